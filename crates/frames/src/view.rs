//! Views: rows of many steps as one table, in the columns that are declared now. They are put together row group by row
//! group, so that a view may be larger than the memory.

use crate::inputs::{CHUNKS_MAX, read_output};
use crate::parquet::{ROW_GROUP_ROWS, ROW_GROUP_TEXTS, TableWriter, text_bytes};
use crate::sink::Rows;
use crate::splice::Source;
use crate::{columns, frame_error, sink};
use assets_core::compute::Packer;
use assets_core::record::{OutputRecord, Stored};
use assets_core::table_store::{Staged, TableStore};
use assets_core::{OutputDecl, Reason};
use polars::prelude::*;
use std::sync::Arc;

/// Stacks what is there of an output; only the first `head` rows where given. A table that was made before the declared
/// columns changed has null for what it lacks, and for what was of another type.
pub fn stack_as_declared(
    tables: &dyn TableStore,
    decl: &OutputDecl,
    outputs: &[&OutputRecord],
    wanted: Option<&[&str]>,
    head: Option<usize>,
) -> Result<DataFrame, Reason> {
    let all = columns::empty(&decl.columns);
    let mut frame = match wanted {
        Some(wanted) => all.select(wanted.iter().copied()).map_err(|error| frame_error("columns", &error))?,
        None => all,
    };
    let names: Vec<String> = frame.get_column_names().iter().map(ToString::to_string).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for (read, piece) in sink::rows_of(outputs).enumerate() {
        let left = head.map(|head| head.saturating_sub(frame.height()));
        if left == Some(0) {
            break;
        }
        let rows = match piece? {
            Rows::Inline(rows) => rows.head(left.or(Some(usize::MAX))),
            Rows::Object(output, _) => {
                let rows = read_output(tables, output, Some(&names), left);
                rows.or_else(|_| read_output(tables, output, None, left))?
            }
        };
        let rows = as_declared(rows, frame.schema())?;
        frame.vstack_mut(&rows).map_err(|error| frame_error(&format!("rows of {}", decl.name), &error))?;
        if read % CHUNKS_MAX == CHUNKS_MAX - 1 {
            frame.rechunk_mut();
        }
    }
    frame.rechunk_mut();
    Ok(frame)
}

/// Rows in the columns of a schema: null for what they lack, and for what is of another type.
fn as_declared(rows: DataFrame, schema: &Schema) -> Result<DataFrame, Reason> {
    if **rows.schema() == *schema {
        return Ok(rows);
    }
    let column = |(name, dtype): (&PlSmallStr, &DataType)| match rows.column(name) {
        Ok(column) if column.dtype() == dtype => column.clone(),
        _ => Column::full_null(name.clone(), rows.height(), dtype),
    };
    DataFrame::new(rows.height(), schema.iter().map(column).collect())
        .map_err(|error| frame_error("rows of an earlier shape", &error))
}

/// The rows of an output, a row group at a time; one without rows is a batch too.
pub(crate) fn batches<'a>(
    tables: &dyn TableStore,
    output: &'a OutputRecord,
) -> Result<Box<dyn Iterator<Item = Result<DataFrame, Reason>> + 'a>, Reason> {
    match &output.stored {
        Stored::Inline(bytes) => Ok(Box::new(std::iter::once(sink::decode(bytes)))),
        Stored::Object(object) => batches_of(tables, Rows::Object(output, object)),
    }
}

fn batches_of<'a>(
    tables: &dyn TableStore,
    piece: Rows<'a>,
) -> Result<Box<dyn Iterator<Item = Result<DataFrame, Reason>> + 'a>, Reason> {
    Ok(match piece {
        Rows::Inline(rows) => Box::new(std::iter::once(Ok(rows))),
        Rows::Object(output, object) => {
            let failed = |error: &PolarsError| {
                let what = format!("the table {} can't be read", output.name);
                frame_error(&what, error).with("output", output.name.as_str())
            };
            let source =
                Source::of(tables.open(object).map_err(sink::store_reason)?).map_err(|error| failed(&error))?;
            Box::new(source.groups().map(move |rows| rows.map_err(|error| failed(&error))))
        }
    })
}

/// Gives the rows of a view, in its order, a row group at a time: as they are cut where the whole of it is written, but for
/// long texts.
pub(crate) fn each_batch(
    tables: &dyn TableStore,
    decl: &OutputDecl,
    steps: &[&OutputRecord],
    take: &mut dyn FnMut(DataFrame) -> Result<(), Reason>,
) -> Result<(), Reason> {
    let none = columns::empty(&decl.columns);
    let (mut gathered, mut texts, mut chunks) = (none.clone(), 0, 0);
    for piece in sink::rows_of(steps) {
        for rows in batches_of(tables, piece?)? {
            let rows = as_declared(rows?, none.schema())?;
            gathered.vstack_mut(&rows).map_err(|error| frame_error(&format!("rows of {}", decl.name), &error))?;
            (texts, chunks) = (texts + text_bytes(&rows), chunks + 1);
            while gathered.height() >= ROW_GROUP_ROWS {
                let rest = gathered.slice(ROW_GROUP_ROWS as i64, usize::MAX);
                let mut group = std::mem::replace(&mut gathered, rest).head(Some(ROW_GROUP_ROWS));
                group.rechunk_mut();
                take(group)?;
                // Without what was taken of it.
                gathered.rechunk_mut();
                (texts, chunks) = (text_bytes(&gathered), 1);
            }
            if texts >= ROW_GROUP_TEXTS {
                gathered.rechunk_mut();
                take(std::mem::replace(&mut gathered, none.clone()))?;
                (texts, chunks) = (0, 0);
            } else if chunks == CHUNKS_MAX {
                gathered.rechunk_mut();
                chunks = 0;
            }
        }
    }
    gathered.rechunk_mut();
    take(gathered)
}

/// Whether a table holds these rows and no others.
pub(crate) fn holds(
    view: &Source,
    tables: &dyn TableStore,
    decl: &OutputDecl,
    steps: &[&OutputRecord],
) -> Result<bool, Reason> {
    let declared = columns::schema(&decl.columns);
    let unreadable = |error: PolarsError| frame_error("it can't be read", &error);
    let mut found = view.groups().map(|rows| rows.map_err(unreadable));
    let (mut left, mut is_same) = (None, true);
    each_batch(tables, decl, steps, &mut |mut expected| {
        while is_same && expected.height() > 0 {
            let rows = match left.take().filter(|rows: &DataFrame| rows.height() > 0) {
                Some(rows) => rows,
                None => match found.next().transpose()? {
                    Some(rows) => rows,
                    None => {
                        is_same = false;
                        break;
                    }
                },
            };
            let many = expected.height().min(rows.height());
            is_same = **rows.schema() == declared && rows.head(Some(many)).equals_missing(&expected.head(Some(many)));
            let many = i64::try_from(many).unwrap_or(i64::MAX);
            (left, expected) = (Some(rows.slice(many, usize::MAX)), expected.slice(many, usize::MAX));
        }
        Ok(())
    })?;
    is_same &= left.is_none_or(|rows| rows.height() == 0);
    for rows in found {
        if !is_same {
            break;
        }
        let rows = rows?;
        is_same = rows.height() == 0 && **rows.schema() == declared;
    }
    Ok(is_same)
}

/// Writes packed views.
pub struct FramePacker {
    tables: Arc<dyn TableStore>,
}

impl FramePacker {
    /// A packer that reads from that store.
    pub fn new(tables: Arc<dyn TableStore>) -> Self {
        Self { tables }
    }
}

impl Packer for FramePacker {
    fn pack(&self, output: &OutputDecl, steps: &[&OutputRecord], staged: &mut dyn Staged) -> Result<(), Reason> {
        let mut write = || {
            let mut writer = TableWriter::new(&mut *staged, columns::empty(&output.columns).schema())?;
            each_batch(self.tables.as_ref(), output, steps, &mut |rows| writer.write(&rows))?;
            writer.finish()
        };
        let written = write();
        written.map_err(|reason| staged.failed().unwrap_or(reason))
    }
}
