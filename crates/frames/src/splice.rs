//! Tables put together from encoded column chunks of earlier tables and from new columns: what is copied is neither
//! decompressed nor decoded.
//!
//! Not here: which columns can be taken from where.

use crate::guard::guarded;
use crate::parquet::{ROW_GROUP_ROWS, TableWriter};
use crate::{columns, encode, frame_error, parquet};
use assets_core::Reason;
use assets_core::table_store::Object;
use polars::prelude::*;
use polars_buffer::Buffer;
use polars_parquet::parquet::metadata::ColumnChunkMetadata;
use polars_parquet::read::{FileMetadata, PageReader, read_metadata};
use polars_parquet::write::CompressedPage;
use polars_utils::mmap::MMapSemaphore;
use std::fs::File;
use std::io::{BufWriter, Cursor, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Where a column of a spliced table comes from.
pub enum SplicedColumn {
    /// A column of a source, as it is encoded there.
    Copy {
        /// Which source.
        source: usize,
        /// Its name there.
        column: String,
    },
    /// A column that was put aside.
    Aside(Arc<Source>),
    /// Values, to be encoded.
    New(Column),
}

impl SplicedColumn {
    /// Some of the values that are to be encoded.
    fn slice(&self, start: usize, rows: usize) -> Option<Column> {
        match self {
            Self::Copy { .. } | Self::Aside(_) => None,
            Self::New(values) => Some(values.slice(i64::try_from(start).unwrap_or(i64::MAX), rows)),
        }
    }
}

/// An earlier table, or a column that was put aside.
pub struct Source {
    pub(crate) bytes: SourceBytes,
    pub(crate) metadata: FileMetadata,
}

/// Where its bytes are.
#[derive(Clone)]
pub(crate) enum SourceBytes {
    /// Mapped, not read: most of them go from the page cache into the new file.
    Mapped(Buffer<u8>),
    /// Read when they are needed: pages of very large files that are mapped count as memory of the process.
    File(Arc<File>, u64),
}

/// Larger files are not mapped where all of their bytes go into another file.
const MAPPED_BYTES: u64 = 256 << 20;

impl SourceBytes {
    /// Some of them; `None` where they end before.
    fn range(&self, range: &std::ops::Range<u64>) -> PolarsResult<Option<Buffer<u8>>> {
        let (Ok(start), Ok(end)) = (usize::try_from(range.start), usize::try_from(range.end)) else { return Ok(None) };
        match self {
            Self::Mapped(bytes) => Ok((start <= end && end <= bytes.len()).then(|| bytes.clone().sliced(start..end))),
            Self::File(_, length) if start > end || range.end > *length => Ok(None),
            Self::File(file, _) => {
                let mut bytes = vec![0; end - start];
                file.read_exact_at(&mut bytes, range.start)?;
                Ok(Some(Buffer::from(bytes)))
            }
        }
    }
}

impl Source {
    /// Reads its footer.
    pub fn open(object: Object) -> Result<Self, Reason> {
        Self::of(object).map_err(|error| unread("an earlier table can't be read", &error))
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
        Ok(Self { bytes: SourceBytes::Mapped(bytes), metadata })
    }

    /// As `open`, for a table whose bytes are all copied.
    pub(crate) fn to_copy(object: Object) -> Result<Self, Reason> {
        match object {
            Object::File(file) if file.metadata().is_ok_and(|metadata| metadata.len() > MAPPED_BYTES) => {
                guarded(|| Self::read_from(file)).map_err(|error| unread("an earlier table can't be read", &error))
            }
            object => Self::open(object),
        }
    }

    fn read_from(mut file: File) -> PolarsResult<Self> {
        let (metadata, length) = (read_metadata(&mut file)?, file.metadata()?.len());
        Ok(Self { bytes: SourceBytes::File(Arc::new(file), length), metadata })
    }

    /// Writes a column to a file, from which it can be read and copied.
    pub(crate) fn aside(file: File, column: &Column) -> Result<Self, Reason> {
        let frame = columns::frame(vec![column.clone()])?;
        let mut into = BufWriter::with_capacity(1 << 20, file);
        let mut writer = TableWriter::new(&mut into, frame.schema())?;
        writer.write(&frame)?;
        writer.finish()?;
        let file = into.into_inner().map_err(|error| parquet::write_error(&error.into_error().into()))?;
        Self::read_from(file).map_err(|error| unread("a column that was put aside can't be read", &error))
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
    pub(crate) fn chunk_bytes(&self, chunk: &ColumnChunkMetadata) -> PolarsResult<Option<Buffer<u8>>> {
        self.bytes.range(&chunk.byte_range())
    }

    /// A column, decoded.
    pub(crate) fn column(&self, name: &str) -> Result<Column, Reason> {
        let frame = guarded(|| self.read(Some(&[name])));
        let column = frame.and_then(|frame| frame.column(name).cloned());
        column.map_err(|error| unread(&format!("the column {name}"), &error))
    }

    /// The encoded pages of a column chunk.
    fn pages(&self, group: usize, column: &str) -> Result<Vec<CompressedPage>, Reason> {
        let chunk = self.chunk(group, column)?;
        let bytes = self.chunk_bytes(chunk).map_err(|error| unread("an earlier table can't be read", &error))?;
        let bytes = bytes.ok_or_else(|| {
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

/// Why a table can't be read: what the system said may pass.
fn unread(what: &str, error: &PolarsError) -> Reason {
    match parquet::io_kind(error) {
        Some(_) => Reason::new("io_error", format!("{what}: {error}")),
        None => frame_error(what, error),
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
        let pages = columns.iter().map(|(name, column)| match column {
            SplicedColumn::Aside(source) => source.pages(group, name),
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
            Ok((name, SplicedColumn::New(sources[source].column(&column)?)))
        }
        SplicedColumn::Aside(source) if source.group_rows() != groups => {
            let values = source.column(&name)?;
            Ok((name, SplicedColumn::New(values)))
        }
        other => Ok((name, other)),
    };
    columns.into_iter().map(column).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
