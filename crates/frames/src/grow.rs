//! Tables that are an earlier one with further columns: the earlier file's bytes stay in front as they are, the encoded
//! new columns go behind them, and a footer over both ends it. Nothing of what is kept is decoded, or even looked at.
//!
//! Readers find column chunks by the footer alone, so that those of a row group need not lie side by side.

use crate::guard::guarded;
use crate::parquet::TableWriter;
use crate::sink::store_reason;
use crate::splice::SplicedColumn;
use crate::{columns, encode, frame_error};
use assets_core::executor::{self, StepRequest};
use assets_core::table_store::{Grown, TableStore};
use assets_core::{AssetDecl, AssetName, Reason};
use polars::prelude::*;
use polars_parquet_format::thrift::protocol::{TCompactInputProtocol, TCompactOutputProtocol};
use polars_parquet_format::{ColumnChunk, FileMetaData, OffsetIndex, RowGroup};
use std::collections::{BTreeMap, HashMap};
use std::io::{Cursor, Write};

const MAGIC: &[u8; 4] = b"PAR1";

/// The outputs of a step that are an earlier table with further columns, begun: before anything is read of that table: it is looked
/// through while it is copied.
pub(crate) fn begin(
    asset: &AssetDecl,
    request: &StepRequest,
    tables: &dyn TableStore,
) -> Result<BTreeMap<AssetName, Grown>, Reason> {
    let mut all = BTreeMap::new();
    for output in &asset.outputs {
        if let Some(object) = executor::grown_from(asset, output, &request.parts, &request.earlier) {
            let begun = tables.grow(&object, footer_bytes).map_err(store_reason)?;
            all.insert(output.name.clone(), begun);
        }
    }
    Ok(all)
}

/// How many bytes at a file's end are its footer, given the last eight.
pub(crate) fn footer_bytes(last: [u8; 8]) -> u64 {
    let [a, b, c, d, ..] = last;
    u64::from(u32::from_le_bytes([a, b, c, d])) + last.len() as u64
}

/// Writes what makes a whole table of the first `kept` bytes of an earlier one, of which `footer` is the rest. `columns`
/// are all columns of the new table in order; those that are copied are the earlier table's.
///
/// # Errors
/// `column_missing`; what can't be read or written.
pub(crate) fn finish<W: Write>(
    mut into: W,
    kept: u64,
    footer: &[u8],
    schema: &Schema,
    columns: &[(String, SplicedColumn)],
) -> Result<(), Reason> {
    let earlier = read_footer(footer)?;
    let groups: Vec<usize> =
        earlier.row_groups.iter().map(|group| usize::try_from(group.num_rows).unwrap_or(usize::MAX)).collect();
    let new = Appended::new(columns, &groups, kept)?;
    let mut table = read_footer(&empty_table(schema)?)?;
    table.num_rows = earlier.num_rows;
    let mut chunks = new.groups.into_iter();
    for group in earlier.row_groups {
        table.row_groups.push(merged(group, chunks.next(), columns)?);
    }
    let failed = |error: std::io::Error| crate::parquet::write_error(&error.into());
    into.write_all(&new.bytes).map_err(failed)?;
    write_footer(&mut into, &table)
}

/// New columns as bytes for the end of a file, with the chunks they are, by name, for each row group.
struct Appended {
    bytes: Vec<u8>,
    groups: Vec<HashMap<String, ColumnChunk>>,
}

impl Appended {
    /// Encodes them as a table of their own, and takes its bytes without what makes it a file.
    fn new(columns: &[(String, SplicedColumn)], groups: &[usize], at: u64) -> Result<Self, Reason> {
        let Some(file) = written(columns, groups)? else {
            return Ok(Self { bytes: Vec::new(), groups: Vec::new() });
        };
        let shift = i64::try_from(at).unwrap_or(i64::MAX) - MAGIC.len() as i64;
        let table = read_footer(&file)?;
        let chunks = table.row_groups.iter().flat_map(|group| &group.columns);
        let first_index = chunks.filter_map(|chunk| chunk.offset_index_offset).min();
        let end = first_index.and_then(|at| usize::try_from(at).ok()).unwrap_or(file.len() - footer_of(&file));
        let mut bytes = file[MAGIC.len()..end].to_vec();
        let mut groups = Vec::new();
        for group in table.row_groups {
            let mut chunks = HashMap::new();
            for mut chunk in group.columns {
                moved(&mut chunk, shift);
                if let Some(index) = chunk.offset_index_offset.and_then(|at| file.get(usize::try_from(at).ok()?..)) {
                    // The places of pages are from the file's beginning.
                    let index = moved_index(index, shift)?;
                    chunk.offset_index_offset = i64::try_from(at + bytes.len() as u64).ok();
                    chunk.offset_index_length = i32::try_from(index.len()).ok();
                    bytes.extend(index);
                }
                chunks.insert(name_of(&chunk), chunk);
            }
            groups.push(chunks);
        }
        Ok(Self { bytes, groups })
    }
}

/// The new ones among the columns, as a table of their own; `None` where there are none.
fn written(columns: &[(String, SplicedColumn)], groups: &[usize]) -> Result<Option<Vec<u8>>, Reason> {
    let new = columns.iter().filter_map(|(name, column)| match column {
        SplicedColumn::New(values) => Some(Ok(values.clone().with_name(name.as_str().into()))),
        SplicedColumn::Aside(source) => Some(source.column(name)),
        SplicedColumn::Copy { .. } => None,
    });
    let new: Vec<Column> = new.collect::<Result<_, Reason>>()?;
    if new.is_empty() {
        return Ok(None);
    }
    let frame = columns::frame(new)?;
    let mut bytes = Vec::new();
    let mut writer = TableWriter::new(&mut bytes, frame.schema())?;
    let mut start = 0;
    for rows in groups {
        let group = frame.slice(i64::try_from(start).unwrap_or(i64::MAX), *rows);
        let types = writer.types();
        let pages = encode::columns(&group.columns().iter().zip(&types).collect::<Vec<_>>())?;
        writer.write_group(*rows, &pages)?;
        start += rows;
    }
    writer.finish()?;
    Ok(Some(bytes))
}

/// A row group with the chunks of both.
fn merged(
    mut earlier: RowGroup,
    new: Option<HashMap<String, ColumnChunk>>,
    columns: &[(String, SplicedColumn)],
) -> Result<RowGroup, Reason> {
    let mut new = new.unwrap_or_default();
    let kept = std::mem::take(&mut earlier.columns).into_iter();
    let mut kept: HashMap<String, ColumnChunk> = kept.map(|chunk| (name_of(&chunk), chunk)).collect();
    let mut all = Vec::new();
    for (name, column) in columns {
        let found = match column {
            SplicedColumn::Copy { column, .. } => kept.remove(column),
            SplicedColumn::New(_) | SplicedColumn::Aside(_) => new.remove(name),
        };
        let mut chunk = found.ok_or_else(|| {
            let message = format!("an earlier table has no column for {name}");
            Reason::new("column_missing", message).with("column", name.as_str())
        })?;
        if let Some(about) = &mut chunk.meta_data {
            about.path_in_schema = vec![name.clone()];
        }
        all.push(chunk);
    }
    let sum = |size: fn(&polars_parquet_format::ColumnMetaData) -> i64| {
        all.iter().filter_map(|chunk| chunk.meta_data.as_ref()).map(size).sum()
    };
    let total_byte_size = sum(|about| about.total_uncompressed_size);
    let total_compressed_size = Some(sum(|about| about.total_compressed_size));
    Ok(RowGroup { columns: all, total_byte_size, total_compressed_size, ..earlier })
}

/// The chunk as it lies in a file in which it begins so many bytes later.
fn moved(chunk: &mut ColumnChunk, shift: i64) {
    chunk.file_offset += shift;
    chunk.column_index_offset = chunk.column_index_offset.map(|at| at + shift);
    if let Some(about) = &mut chunk.meta_data {
        about.data_page_offset += shift;
        about.index_page_offset = about.index_page_offset.map(|at| at + shift);
        about.dictionary_page_offset = about.dictionary_page_offset.map(|at| at + shift);
    }
}

fn moved_index(bytes: &[u8], shift: i64) -> Result<Vec<u8>, Reason> {
    let mut from = TCompactInputProtocol::new(Cursor::new(bytes), usize::MAX);
    let mut index = OffsetIndex::read_from_in_protocol(&mut from).map_err(thrift_error)?;
    index.page_locations.iter_mut().for_each(|page| page.offset += shift);
    let mut moved = Vec::new();
    index.write_to_out_protocol(&mut TCompactOutputProtocol::new(&mut moved)).map_err(thrift_error)?;
    Ok(moved)
}

fn name_of(chunk: &ColumnChunk) -> String {
    chunk.meta_data.as_ref().map(|about| about.path_in_schema.join(".")).unwrap_or_default()
}

/// A table of that schema without rows: what a footer says of the schema is in it.
fn empty_table(schema: &Schema) -> Result<Vec<u8>, Reason> {
    let mut bytes = Vec::new();
    TableWriter::new(&mut bytes, schema)?.finish()?;
    Ok(bytes)
}

/// How many bytes of a file, or of its end, are the footer.
fn footer_of(end: &[u8]) -> usize {
    let last = end.last_chunk().copied().unwrap_or_default();
    usize::try_from(footer_bytes(last)).unwrap_or(usize::MAX).min(end.len())
}

/// The footer of a file, or of its end.
fn read_footer(end: &[u8]) -> Result<FileMetaData, Reason> {
    let footer = &end[end.len() - footer_of(end)..];
    guarded(|| {
        let mut from = TCompactInputProtocol::new(Cursor::new(footer), usize::MAX);
        FileMetaData::read_from_in_protocol(&mut from).map_err(|error| polars_err!(ComputeError: "its footer: {error}"))
    })
    .map_err(|error| frame_error("an earlier table can't be read", &error))
}

fn write_footer(into: &mut impl Write, table: &FileMetaData) -> Result<(), Reason> {
    let mut bytes = Vec::new();
    let length = table.write_to_out_protocol(&mut TCompactOutputProtocol::new(&mut bytes)).map_err(thrift_error)?;
    bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend(MAGIC);
    into.write_all(&bytes).map_err(|error| crate::parquet::write_error(&error.into()))
}

fn thrift_error(error: impl std::fmt::Display) -> Reason {
    Reason::new("frame_error", format!("a table's footer: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parquet::{self, ROW_GROUP_ROWS};
    use crate::splice::Source;
    use assets_core::table_store::Object;
    use std::sync::Arc;

    fn table(rows: usize) -> DataFrame {
        columns::frame(vec![
            columns::constant_text("run", "r", rows),
            columns::maybe_floats("x", (0..rows).map(|row| (row % 7 != 3).then_some(row as f64 / 3.0))),
            columns::texts("t", (0..rows).map(|row| (row % 5 != 1).then_some(["a", "bc", ""][row % 3]))),
        ])
        .expect("columns of one length")
    }

    fn file(frame: &DataFrame) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = TableWriter::new(&mut bytes, frame.schema()).expect("a writer");
        writer.write(frame).expect("written");
        writer.finish().expect("finished");
        bytes
    }

    /// The table that an earlier one becomes; each column is one of the earlier table's, or new.
    fn grown(earlier: &[u8], wanted: &DataFrame, from: &[Option<&str>]) -> Result<Vec<u8>, Reason> {
        let columns = wanted.columns().iter().zip(from).map(|(column, from)| {
            let piece = match from {
                Some(from) => SplicedColumn::Copy { source: 0, column: (*from).to_owned() },
                None => SplicedColumn::New(column.clone()),
            };
            (column.name().to_string(), piece)
        });
        let kept = earlier.len() - footer_of(earlier);
        let mut bytes = earlier[..kept].to_vec();
        let footer = &earlier[kept..];
        finish(&mut bytes, kept as u64, footer, wanted.schema(), &columns.collect::<Vec<_>>()).map(|()| bytes)
    }

    fn read(bytes: &[u8]) -> DataFrame {
        let ours = parquet::read(Object::Bytes(Arc::from(bytes)), None, None).expect("readable");
        let theirs = parquet::read_from(Cursor::new(bytes.to_vec()), None, None).expect("readable for polars");
        assert!(ours.equals_missing(&theirs));
        ours
    }

    /// Where the pages of each column begin, as the offset index says, and the chunk.
    fn places(bytes: &[u8]) -> Vec<(i64, i64)> {
        let table = read_footer(bytes).expect("a footer");
        let chunks = table.row_groups.iter().flat_map(|group| &group.columns);
        let place = |chunk: &ColumnChunk| {
            let about = chunk.meta_data.as_ref().expect("about the chunk");
            let at = usize::try_from(chunk.offset_index_offset.expect("an index")).expect("a place");
            let mut from = TCompactInputProtocol::new(Cursor::new(&bytes[at..]), usize::MAX);
            let index = OffsetIndex::read_from_in_protocol(&mut from).expect("an index");
            (index.page_locations.first().expect("a page").offset, about.data_page_offset)
        };
        chunks.map(place).collect()
    }

    #[test]
    fn a_grown_table_reads_as_one_written_anew() {
        for rows in [0, 1, 1000, ROW_GROUP_ROWS + 5] {
            let earlier = table(rows);
            let bytes = file(&earlier);
            let new = columns::maybe_floats("y", (0..rows).map(|row| (row != 9).then_some(-(row as f64))));
            let other = columns::texts("u", (0..rows).map(|row| Some(["p", "q"][row % 2])));
            let named = |from: &str, to: &str| earlier.column(from).expect("a column").clone().with_name(to.into());
            let wanted = columns::frame(vec![named("run", "run"), new, named("t", "t"), named("x", "z")]);
            let wanted = wanted.expect("a table");
            let once = grown(&bytes, &wanted, &[Some("run"), None, Some("t"), Some("x")]).expect("grown");
            assert!(read(&once).equals_missing(&wanted), "{rows} rows");
            assert!(once.starts_with(&bytes[..bytes.len() - footer_of(&bytes)]));

            let mut last = wanted.clone();
            last.with_column(other).expect("one more column");
            let twice =
                grown(&once, &last, &[Some("run"), Some("y"), Some("t"), Some("z"), None]).expect("grown again");
            assert!(read(&twice).equals_missing(&last), "{rows} rows");
            assert!(places(&twice).iter().all(|(page, chunk)| page == chunk), "{:?}", places(&twice));
            let sizes = |bytes: &[u8]| {
                let groups = read_footer(bytes).expect("a footer").row_groups;
                groups.iter().map(|g| (g.total_byte_size, g.total_compressed_size)).collect::<Vec<_>>()
            };
            assert_eq!(sizes(&twice), sizes(&file(&last)), "as if all had been encoded now");
            let codes = Source::open(Object::Bytes(Arc::from(&*twice)))
                .and_then(|source| source.codes("u").map_err(|error| frame_error("codes", &error)));
            codes.expect("codes of a new column can be read");
        }
    }

    #[test]
    fn what_is_not_there_or_no_footer_is_an_error() {
        let bytes = file(&table(10));
        let wanted = table(10).select(["run", "x"]).expect("columns");
        let missing = grown(&bytes, &wanted, &[Some("run"), Some("nope")]).expect_err("no such column");
        assert_eq!(missing.code, "column_missing");
        let cut = grown(&bytes[..bytes.len() - 9], &wanted, &[Some("run"), Some("x")]).expect_err("no footer");
        assert_eq!(cut.code, "frame_error");
    }
}
