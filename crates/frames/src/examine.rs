//! Looks into stored tables and published views for whoever doubts them.

use crate::parts::PartsHasher;
use crate::splice::Source;
use crate::{columns, frame_error, view};
use assets_core::compute::Examiner;
use assets_core::record::OutputRecord;
use assets_core::table_store::{Object, TableStore};
use assets_core::{AssetDecl, OutputDecl, Reason};
use std::sync::Arc;

/// Compares tables with what is recorded of them.
pub struct FrameExaminer {
    tables: Arc<dyn TableStore>,
}

impl FrameExaminer {
    /// One that reads from that store.
    pub fn new(tables: Arc<dyn TableStore>) -> Self {
        Self { tables }
    }
}

fn differs(output: &OutputRecord, code: &str, what: &str) -> Reason {
    Reason::new(code, format!("the stored table {} is not what its record says: {what}", output.name))
}

impl Examiner for FrameExaminer {
    fn examine(&self, asset: &AssetDecl, output: &OutputRecord) -> Result<(), Reason> {
        let Some(decl) = asset.outputs.iter().find(|decl| decl.name == output.name) else { return Ok(()) };
        // A table that was made before the declaration changed has other columns: what both have is compared.
        let mut known = decl.clone();
        let (mut hasher, mut rows) = (None, 0);
        for batch in view::batches(self.tables.as_ref(), output)? {
            let batch = batch?;
            rows += batch.height() as u64;
            let hasher = hasher.get_or_insert_with(|| {
                // Its types are what they were: nobody can change them and keep the object's name.
                known.columns.retain(|column| batch.schema().get(&column.name) == Some(&columns::dtype(column.kind)));
                PartsHasher::new(&known, &asset.dimensions)
            });
            hasher.update(&batch)?;
        }
        if rows != output.rows {
            let what = format!("it has {rows} rows instead of {}", output.rows);
            return Err(differs(output, "rows_differ", &what));
        }
        let found = hasher.map(PartsHasher::finish).unwrap_or_default();
        let is_known = |name: &str| known.columns.iter().any(|column| column.name == name);
        let recorded = output.parts.iter().filter(|part| is_known(&part.id.column));
        for part in recorded {
            match found.iter().find(|other| other.id == part.id) {
                Some(other) if other.hash == part.hash => {}
                Some(_) => return Err(differs(output, "content_differs", &format!("{} has other values", part.id))),
                None => return Err(differs(output, "schema_differs", &format!("{} is not in it", part.id))),
            }
        }
        Ok(())
    }

    fn holds(&self, view: Object, output: &OutputDecl, steps: &[&OutputRecord]) -> Result<bool, Reason> {
        let view = Source::of(view).map_err(|error| frame_error("it can't be read", &error))?;
        view::holds(&view, self.tables.as_ref(), output, steps)
    }
}
