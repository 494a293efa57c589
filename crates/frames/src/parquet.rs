//! Tables in Parquet files, written in batches and read by column.

use crate::codes::Texts;
use crate::guard::guarded;
use crate::splice::Source;
use crate::{encode, frame_error};
use assets_core::Reason;
use assets_core::table_store::{Object, Staged};
use polars::prelude::*;
use polars_arrow::array::Utf8ViewArray;
use polars_io::mmap::MmapBytesReader;
use polars_io::parquet::read::ParquetReader;
use polars_io::prelude::SerReader;
use polars_parquet::write::{
    CompressedPage, DynIter, DynStreamingIterator, FileWriter, ParquetType, fallible_streaming_iterator,
};
use std::io::{Cursor, ErrorKind, Write};

/// Rows in a row group: large enough to compress, small enough to read a part of a long run.
pub const ROW_GROUP_ROWS: usize = 1 << 18;

/// Bytes of texts in a row group: its pages are all in memory before they are written.
pub(crate) const ROW_GROUP_TEXTS: usize = 32 << 20;

/// Writes batches of one schema.
pub struct TableWriter<W: Write> {
    writer: FileWriter<W>,
}

impl<W: Write> TableWriter<W> {
    /// A writer for tables of that schema.
    pub fn new(into: W, schema: &Schema) -> Result<Self, Reason> {
        // Arrow's schema goes with the file: pyarrow can't filter or sort by texts that it says are views.
        let writer = FileWriter::try_new(into, schema.to_arrow(CompatLevel::oldest()), encode::options()?);
        Ok(Self { writer: writer.map_err(|error| write_error(&error))? })
    }

    /// Adds rows, as row groups of their own.
    pub fn write(&mut self, batch: &DataFrame) -> Result<(), Reason> {
        let (mut offset, rows) = (0, group_rows(batch));
        while offset < batch.height() {
            let group = batch.slice(i64::try_from(offset).unwrap_or(i64::MAX), rows);
            let types = self.types();
            let pages = encode::columns(&group.columns().iter().zip(&types).collect::<Vec<_>>())?;
            self.write_group(group.height(), &pages)?;
            offset += rows;
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

/// Rows that make up a row group of a batch: fewer where texts are long.
fn group_rows(batch: &DataFrame) -> usize {
    let rows = |bytes: usize| (batch.height() / bytes.div_ceil(ROW_GROUP_TEXTS).max(1)).clamp(1, ROW_GROUP_ROWS);
    // Nearly always that is enough, and no row is looked at.
    let most = text_bytes_of(batch, &|texts| {
        if texts.total_buffer_len() == 0 { texts.len() * 12 } else { texts.total_bytes_len() }
    });
    if rows(most) == ROW_GROUP_ROWS.min(batch.height().max(1)) { rows(most) } else { rows(text_bytes(batch)) }
}

/// Bytes of the texts in a batch.
pub(crate) fn text_bytes(batch: &DataFrame) -> usize {
    text_bytes_of(batch, &Utf8ViewArray::total_bytes_len)
}

fn text_bytes_of(batch: &DataFrame, of: &dyn Fn(&Utf8ViewArray) -> usize) -> usize {
    let bytes = |texts: Texts<'_>| match texts {
        Texts::Same(text, rows) => text.map_or(0, str::len).saturating_mul(rows),
        Texts::Each(values) => values.downcast_iter().map(of).sum(),
    };
    batch.columns().iter().filter_map(|column| Texts::of(column).ok()).map(bytes).fold(0, usize::saturating_add)
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
pub(crate) fn io_kind(error: &PolarsError) -> Option<ErrorKind> {
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
    fn texts_are_told_as_what_every_reader_knows() {
        let mut bytes = Vec::new();
        let frame = df!("a" => ["x", "y"]).expect("a frame");
        let mut writer = TableWriter::new(&mut bytes, frame.schema()).expect("a writer");
        writer.write(&frame).expect("written");
        writer.finish().expect("finished");
        let metadata = polars_parquet::read::read_metadata(&mut Cursor::new(&bytes)).expect("a footer");
        let told = metadata.key_value_metadata().clone().expect("Arrow's schema");
        let large = Field::new("a".into(), DataType::String).to_arrow(CompatLevel::oldest());
        assert_eq!(large.dtype, ArrowDataType::LargeUtf8);
        let schema = std::iter::once((large.name.clone(), large)).collect();
        assert_eq!(told, [polars_parquet::write::schema_to_metadata_key(&schema)]);
        assert_eq!(read_from(Cursor::new(&bytes), None, None).expect("readable"), frame);
    }

    #[test]
    fn long_texts_make_small_row_groups() {
        let text = "x".repeat(1 << 20);
        let texts = df!("n" => vec![1_i64; 70], "text" => vec![text.as_str(); 70]).expect("a frame");
        assert_eq!(group_rows(&texts), 23);
        assert_eq!(group_rows(&texts.slice(0, 3)), 3);
        assert_eq!(group_rows(&df!("n" => vec![1_i64; ROW_GROUP_ROWS + 9]).expect("a frame")), ROW_GROUP_ROWS);
    }

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
