//! Tables put together from encoded column chunks of earlier tables and from new columns: what is copied is neither
//! decompressed nor decoded.
//!
//! Not here: which columns can be taken from where.

use crate::guard::guarded;
use crate::parquet::{ROW_GROUP_ROWS, TableWriter};
use crate::{encode, frame_error, parquet};
use assets_core::Reason;
use assets_core::table_store::Object;
use polars::prelude::*;
use polars_buffer::Buffer;
use polars_parquet::parquet::metadata::ColumnChunkMetadata;
use polars_parquet::read::{FileMetadata, PageReader, read_metadata};
use polars_parquet::write::CompressedPage;
use polars_utils::mmap::MMapSemaphore;
use std::io::{Cursor, Write};

/// Where a column of a spliced table comes from.
pub enum SplicedColumn {
    /// A column of a source, as it is encoded there.
    Copy {
        /// Which source.
        source: usize,
        /// Its name there.
        column: String,
    },
    /// Values, to be encoded.
    New(Column),
}

impl SplicedColumn {
    /// Some of the values that are to be encoded.
    fn slice(&self, start: usize, rows: usize) -> Option<Column> {
        match self {
            Self::Copy { .. } => None,
            Self::New(values) => Some(values.slice(i64::try_from(start).unwrap_or(i64::MAX), rows)),
        }
    }
}

/// An earlier table. Its bytes are mapped, not read: most of them go from the page cache into the new file.
pub struct Source {
    pub(crate) bytes: Buffer<u8>,
    pub(crate) metadata: FileMetadata,
}

impl Source {
    /// Reads its footer.
    pub fn open(object: Object) -> Result<Self, Reason> {
        Self::of(object).map_err(|error| frame_error("an earlier table can't be read", &error))
    }

    /// As `open`, with polars' own word on what is wrong.
    pub(crate) fn of(object: Object) -> PolarsResult<Self> {
        guarded(|| Self::map(object))
    }

    pub(crate) fn map(object: Object) -> PolarsResult<Self> {
        let bytes = match object {
            // Nothing ever writes into an object.
            Object::File(file) => Buffer::from_owner(MMapSemaphore::new_from_file(&file)?),
            Object::Bytes(bytes) => Buffer::from_owner(bytes),
        };
        let metadata = read_metadata(&mut Cursor::new(bytes.as_slice()))?;
        Ok(Self { bytes, metadata })
    }

    fn group_rows(&self) -> Vec<usize> {
        self.metadata.row_groups.iter().map(|group| group.num_rows()).collect()
    }

    fn chunk(&self, group: usize, column: &str) -> Result<&ColumnChunkMetadata, Reason> {
        let mut chunks = self.metadata.row_groups[group].columns_under_root_iter(column).into_iter().flatten();
        chunks.next().ok_or_else(|| {
            Reason::new("column_missing", format!("an earlier table has no column {column}")).with("column", column)
        })
    }

    /// The bytes of a column chunk; `None` where the table ends before they do.
    pub(crate) fn chunk_bytes(&self, chunk: &ColumnChunkMetadata) -> Option<Buffer<u8>> {
        let range = chunk.byte_range();
        let (start, end) = (usize::try_from(range.start).ok()?, usize::try_from(range.end).ok()?);
        (start <= end && end <= self.bytes.len()).then(|| self.bytes.clone().sliced(start..end))
    }

    /// The encoded pages of a column chunk.
    fn pages(&self, group: usize, column: &str) -> Result<Vec<CompressedPage>, Reason> {
        let chunk = self.chunk(group, column)?;
        let bytes = self.chunk_bytes(chunk).ok_or_else(|| {
            Reason::new("io_error", "an earlier table ends before its column does").with("column", column)
        })?;
        let size = bytes.len();
        let pages = PageReader::new(Cursor::new(bytes), chunk, Vec::new(), size.max(1 << 30));
        let pages = pages.map(|page| {
            page.map(|mut page| {
                if let CompressedPage::Data(data) = &mut page {
                    // A flat column has a value a row.
                    data.num_rows = Some(data.num_values());
                }
                page
            })
        });
        let pages: Result<Vec<_>, _> = pages.collect();
        pages.map_err(|error| frame_error(&format!("the column {column} of an earlier table"), &error.into()))
    }
}

/// Writes a table of these columns, in order. Where the sources' row groups differ, their columns are decoded and
/// encoded again.
///
/// # Errors
/// `column_missing`; what can't be read or written.
pub fn splice<W: Write>(
    into: W,
    schema: &Schema,
    sources: &[Source],
    columns: Vec<(String, SplicedColumn)>,
    rows: usize,
) -> Result<(), Reason> {
    let groups = groups(sources, &columns, rows);
    let mut writer = TableWriter::new(into, schema)?;
    let columns = decoded(sources, columns, &groups)?;
    let mut start = 0;
    for (group, rows) in groups.iter().enumerate() {
        let types = writer.types();
        let new: Vec<Option<Column>> = columns.iter().map(|(_, column)| column.slice(start, *rows)).collect();
        let mut encoded = encode::columns(
            &new.iter().zip(&types).filter_map(|(new, of)| Some((new.as_ref()?, of))).collect::<Vec<_>>(),
        )?
        .into_iter();
        let pages = columns.iter().map(|(_, column)| match column {
            SplicedColumn::Copy { source, column } => sources[*source].pages(group, column),
            SplicedColumn::New(_) => Ok(encoded.next().unwrap_or_default()),
        });
        let pages = pages.collect::<Result<Vec<_>, Reason>>()?;
        writer.write_group(*rows, &pages)?;
        start += rows;
    }
    writer.finish()
}

/// Rows of each row group: as the first source that is copied from has them.
fn groups(sources: &[Source], columns: &[(String, SplicedColumn)], rows: usize) -> Vec<usize> {
    let copied =
        columns.iter().find_map(|(_, c)| if let SplicedColumn::Copy { source, .. } = c { Some(*source) } else { None });
    match copied.and_then(|source| sources.get(source)) {
        Some(source) => source.group_rows(),
        None => (0..rows).step_by(ROW_GROUP_ROWS).map(|start| ROW_GROUP_ROWS.min(rows - start)).collect(),
    }
}

/// Columns of sources with other row groups as values.
fn decoded(
    sources: &[Source],
    columns: Vec<(String, SplicedColumn)>,
    groups: &[usize],
) -> Result<Vec<(String, SplicedColumn)>, Reason> {
    let fits: Vec<bool> = sources.iter().map(|source| source.group_rows() == groups).collect();
    let column = |(name, column): (String, SplicedColumn)| match column {
        SplicedColumn::Copy { source, column } if !fits[source] => {
            let bytes = Cursor::new(sources[source].bytes.clone());
            let frame = parquet::read_from(bytes, Some(&[&column]), None);
            let values = frame.and_then(|frame| frame.column(&column).cloned());
            let values = values.map_err(|error| frame_error(&format!("the column {column}"), &error))?;
            Ok((name, SplicedColumn::New(values)))
        }
        other => Ok((name, other)),
    };
    columns.into_iter().map(column).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns;
    use std::sync::Arc;

    /// A table of `rows` rows of every kind, with nulls.
    fn table(rows: usize) -> DataFrame {
        let known = |row: usize| row % 7 != 3;
        columns::frame(vec![
            columns::constant_text("run", "r", rows),
            columns::times("time", (0..rows as i64).map(|row| row * 1000).collect()),
            columns::maybe_floats("x", (0..rows).map(|row| known(row).then_some(row as f64 / 3.0))),
            columns::ints("n", (0..rows).map(|row| Some(row as i64 % 11))),
            columns::texts("t", (0..rows).map(|row| known(row).then_some(["a", "bc", ""][row % 3]))),
            columns::bools("b", (0..rows).map(|row| Some(row % 2 == 0))),
        ])
        .expect("columns of one length")
    }

    fn written(frame: &DataFrame, batches: &[usize]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = parquet::TableWriter::new(&mut bytes, frame.schema()).expect("a writer");
        let mut start = 0;
        for rows in batches {
            writer.write(&frame.slice(start as i64, *rows)).expect("written");
            start += rows;
        }
        writer.finish().expect("finished");
        bytes
    }

    fn source(bytes: &[u8]) -> Source {
        Source::open(Object::Bytes(Arc::from(bytes))).expect("a table")
    }

    fn copy(source: usize, column: &str) -> SplicedColumn {
        SplicedColumn::Copy { source, column: column.to_owned() }
    }

    fn read(bytes: Vec<u8>) -> DataFrame {
        parquet::read(Object::Bytes(Arc::from(bytes)), None, None).expect("readable")
    }

    #[test]
    fn copied_chunks_are_the_bytes_that_a_writer_would_write() {
        for rows in [0, 1, 1000, ROW_GROUP_ROWS + 5] {
            let frame = table(rows);
            let bytes = written(&frame, &[rows]);
            let all = frame.get_column_names().iter().map(|name| (name.to_string(), copy(0, name))).collect();
            let mut spliced = Vec::new();
            splice(&mut spliced, frame.schema(), &[source(&bytes)], all, rows).expect("spliced");
            assert!(read(spliced.clone()).equals_missing(&frame), "{rows} rows");
            assert_eq!(spliced, bytes, "{rows} rows");
        }
    }

    #[test]
    fn new_and_renamed_columns_stand_beside_copied_ones() {
        let rows = ROW_GROUP_ROWS + 5;
        let frame = table(rows);
        let bytes = written(&frame, &[rows]);
        let new = columns::maybe_floats("y", (0..rows).map(|row| (row != 9).then_some(-(row as f64))));
        let expected = columns::frame(vec![
            frame.column("t").expect("t").clone(),
            new.clone(),
            frame.column("x").expect("x").clone().with_name("z".into()),
        ])
        .expect("a table");
        let all = vec![("t".into(), copy(0, "t")), ("y".into(), SplicedColumn::New(new)), ("z".into(), copy(0, "x"))];
        let mut spliced = Vec::new();
        splice(&mut spliced, expected.schema(), &[source(&bytes)], all, rows).expect("spliced");
        assert!(read(spliced.clone()).equals_missing(&expected));
        assert_eq!(spliced, written(&expected, &[rows]), "as if all had been encoded now");
    }

    #[test]
    fn other_row_groups_are_encoded_again() {
        let rows = 1000;
        let frame = table(rows);
        let (one, two) = (written(&frame, &[rows]), written(&frame, &[400, 600]));
        let all = vec![("t".into(), copy(0, "t")), ("x".into(), copy(1, "x"))];
        let expected = frame.select(["t", "x"]).expect("columns");
        let mut spliced = Vec::new();
        splice(&mut spliced, expected.schema(), &[source(&one), source(&two)], all, rows).expect("spliced");
        assert!(read(spliced).equals_missing(&expected));
        let missing = vec![("t".into(), copy(0, "nope"))];
        let error = splice(Vec::new(), expected.schema(), &[source(&one)], missing, rows).expect_err("no such column");
        assert_eq!(error.code, "column_missing");
    }
}
