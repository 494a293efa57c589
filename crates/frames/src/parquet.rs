//! Tables in Parquet files, written in batches and read by column.

use crate::guard::guarded;
use crate::splice::Source;
use crate::{encode, frame_error};
use assets_core::Reason;
use assets_core::table_store::{Object, Staged};
use polars::prelude::*;
use polars_io::mmap::MmapBytesReader;
use polars_io::parquet::read::ParquetReader;
use polars_io::prelude::SerReader;
use polars_parquet::parquet::metadata::ColumnChunkMetadata;
use polars_parquet::read::FileMetadata;
use polars_parquet::write::{
    CompressedPage, DynIter, DynStreamingIterator, FileWriter, ParquetType, fallible_streaming_iterator,
};
use std::io::{Cursor, ErrorKind, Write};

/// Rows in a row group: large enough to compress, small enough to read a part of a long run.
pub const ROW_GROUP_ROWS: usize = 1 << 18;

/// Writes batches of one schema.
pub struct TableWriter<W: Write> {
    writer: FileWriter<W>,
}

impl<W: Write> TableWriter<W> {
    /// A writer for tables of that schema.
    pub fn new(into: W, schema: &Schema) -> Result<Self, Reason> {
        let writer = FileWriter::try_new(into, schema.to_arrow(CompatLevel::newest()), encode::options()?);
        Ok(Self { writer: writer.map_err(|error| write_error(&error))? })
    }

    /// Adds rows, as row groups of their own.
    pub fn write(&mut self, batch: &DataFrame) -> Result<(), Reason> {
        let mut offset = 0;
        while offset < batch.height() {
            let group = batch.slice(i64::try_from(offset).unwrap_or(i64::MAX), ROW_GROUP_ROWS);
            let types = self.types();
            let pages = encode::columns(&group.columns().iter().zip(&types).collect::<Vec<_>>())?;
            self.write_group(group.height(), &pages)?;
            offset += ROW_GROUP_ROWS;
        }
        Ok(())
    }

    /// The types of the columns in the file.
    pub(crate) fn types(&self) -> Vec<ParquetType> {
        self.writer.parquet_schema().fields().to_vec()
    }

    /// Adds a row group of encoded columns.
    pub(crate) fn write_group(&mut self, rows: usize, columns: &[Vec<CompressedPage>]) -> Result<(), Reason> {
        let columns = columns.iter().map(|pages| {
            Ok(DynStreamingIterator::new(fallible_streaming_iterator::convert(pages.iter().map(PolarsResult::Ok))))
        });
        self.writer.write(rows as u64, DynIter::new(columns)).map_err(|error| write_error(&error))
    }

    /// Writes the footer.
    pub fn finish(mut self) -> Result<(), Reason> {
        self.writer.end(None).map(drop).map_err(|error| write_error(&error))
    }
}

pub(crate) fn write_error(error: &PolarsError) -> Reason {
    let message = || format!("the table can't be written: {error}");
    match io_kind(error) {
        Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => Reason::new("disk_full", message()),
        Some(_) => Reason::new("io_error", message()),
        None => frame_error("the table can't be written", error),
    }
}

/// What the system said, if it was the system. The format's own errors keep no more of that than its text.
fn io_kind(error: &PolarsError) -> Option<ErrorKind> {
    if let PolarsError::IO { error, .. } = error {
        return Some(error.kind());
    }
    let text = error.to_string();
    let (_, number) = text.rsplit_once("(os error ")?;
    let number = number.split_once(')')?.0.parse().ok()?;
    Some(std::io::Error::from_raw_os_error(number).kind())
}

/// Writes a whole frame to a staged place.
pub fn write_frame(frame: &DataFrame, staged: &mut dyn Staged) -> Result<(), Reason> {
    let mut write = || {
        let mut writer = TableWriter::new(&mut *staged, frame.schema())?;
        writer.write(frame)?;
        writer.finish()
    };
    let written = write();
    written.map_err(|reason| staged.failed().unwrap_or(reason))
}

/// Writes a whole frame to a file.
pub fn write_file(frame: &DataFrame, path: &std::path::Path) -> Result<(), Reason> {
    let file = std::fs::File::create(path)
        .map_err(|error| Reason::new("io_error", format!("{} can't be written: {error}", path.display())))?;
    let mut writer = TableWriter::new(std::io::BufWriter::new(file), frame.schema())?;
    writer.write(frame)?;
    writer.finish()
}

/// Reads an object; only `columns` where given.
pub fn read(object: Object, columns: Option<&[&str]>, rows: Option<usize>) -> PolarsResult<DataFrame> {
    match (object, rows) {
        (object, None) => guarded(|| Source::map(object)?.read(columns)),
        (Object::File(file), _) => read_from(file, columns, rows),
        (Object::Bytes(bytes), _) => read_from(Cursor::new(bytes), columns, rows),
    }
}

pub(crate) fn read_from<R: MmapBytesReader>(
    from: R,
    columns: Option<&[&str]>,
    rows: Option<usize>,
) -> PolarsResult<DataFrame> {
    let reader = ParquetReader::new(from).with_slice(rows.map(|rows| (0, rows)));
    let Some(columns) = columns else { return guarded(|| reader.finish()) };
    let reader = reader.with_columns(Some(columns.iter().map(|name| (*name).to_owned()).collect()));
    // The file's order is not the asked one.
    guarded(|| reader.finish())?.select(columns.iter().copied())
}

/// Refuses counts of rows that contradict each other, or that no memory could hold: they are reserved before a page is
/// read, and the program would end where that can't be had.
fn believable(metadata: &FileMetadata) -> PolarsResult<()> {
    let groups = || metadata.row_groups.iter();
    let rows: usize = groups().map(|group| group.num_rows()).fold(0, usize::saturating_add);
    let flat = |column: &ColumnChunkMetadata| column.descriptor().descriptor.max_rep_level == 0;
    let differs = groups().any(|group| {
        let mut columns = group.parquet_columns().iter().filter(|column| flat(column));
        columns.any(|column| usize::try_from(column.num_values()).ok() != Some(group.num_rows()))
    });
    if rows != metadata.num_rows || differs {
        polars_bail!(ComputeError: "its counts of rows contradict each other");
    }
    if rows.saturating_mul(8) as u64 > memory_bytes() {
        polars_bail!(ComputeError: "it claims {rows} rows, more than this machine's memory could hold");
    }
    Ok(())
}

/// The machine's memory; where that can't be told, a guess.
fn memory_bytes() -> u64 {
    let told = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = told.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.map_or(64 << 30, |kilobytes| kilobytes << 10)
}

/// A Parquet file of someone else, by its Parquet types alone: the Arrow schema that some writers add may ask for types
/// (dictionaries) that are text for us.
fn foreign(path: &std::path::Path) -> PolarsResult<ParquetReader<std::fs::File>> {
    let mut reader = ParquetReader::new(std::fs::File::open(path)?);
    let mut metadata = reader.get_metadata()?.as_ref().clone();
    believable(&metadata)?;
    metadata.key_value_metadata = None;
    reader.set_metadata(std::sync::Arc::new(metadata));
    Ok(reader)
}

/// Names and types of a foreign file's columns, from its footer alone.
pub fn foreign_columns(path: &std::path::Path) -> PolarsResult<Vec<String>> {
    let schema = guarded(|| foreign(path)?.schema())?;
    Ok(schema.iter().map(|(name, _)| name.to_string()).collect())
}

/// Reads a foreign file.
pub fn read_foreign(path: &std::path::Path) -> PolarsResult<DataFrame> {
    guarded(|| foreign(path)?.finish())
}

/// Reads some columns of a foreign file.
pub fn read_foreign_columns(path: &std::path::Path, columns: &[String]) -> PolarsResult<DataFrame> {
    guarded(|| foreign(path)?.with_columns(Some(columns.to_vec())).finish())
}

/// A column of text in whatever type it was delivered; floats by their shortest form.
pub fn as_text(column: &Column) -> PolarsResult<Vec<Option<String>>> {
    Ok(match column.dtype() {
        DataType::String => column.str()?.iter().map(|text| text.map(str::to_owned)).collect(),
        DataType::Float64 => column.f64()?.iter().map(|v| v.map(|v| v.to_string())).collect(),
        _ => {
            let cast = column.cast(&DataType::String)?;
            cast.str()?.iter().map(|text| text.map(str::to_owned)).collect()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_a_table_that_makes_no_sense() {
        struct Full(i32);
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::Error::from_raw_os_error(self.0))
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let frame = df!("x" => [1_i64, 2, 3]).expect("a frame");
        let code = |errno| {
            let written = TableWriter::new(Full(errno), frame.schema()).and_then(|mut writer| {
                writer.write(&frame)?;
                writer.finish()
            });
            written.expect_err("it is full").code
        };
        assert_eq!((code(28), code(122), code(5)), ("disk_full".into(), "disk_full".into(), "io_error".into()));
    }
}
