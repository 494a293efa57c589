//! Looks into stored tables and published views for whoever doubts them.

use crate::columns;
use crate::frame_error;
use crate::parquet;
use crate::parts::PartsHasher;
use crate::worker::{read_output, rows_of_view};
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
        let frame = read_output(self.tables.as_ref(), output, None, None)?;
        if frame.height() as u64 != output.rows {
            let what = format!("it has {} rows instead of {}", frame.height(), output.rows);
            return Err(differs(output, "rows_differ", &what));
        }
        // A table that was made before the declaration changed has other columns: what both have is compared.
        let mut known = decl.clone();
        // Its types are what they were: nobody can change them and keep the object's name.
        known.columns.retain(|column| frame.schema().get(&column.name) == Some(&columns::dtype(column.kind)));
        let mut hasher = PartsHasher::new(&known, &asset.dimensions);
        hasher.update(&frame)?;
        let found = hasher.finish();
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
        let expected = rows_of_view(self.tables.as_ref(), output, steps)?;
        let found = parquet::read(view, None, None).map_err(|error| frame_error("it can't be read", &error))?;
        Ok(found.schema() == expected.schema() && found.equals_missing(&expected))
    }
}
