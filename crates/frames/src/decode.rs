//! Columns of our own tables as values, one column after the other and chunk by chunk: tables are read by steps, and those
//! run on several threads anyway.

use crate::codes::{OwnedCodes, Places};
use crate::columns;
use crate::encode;
use crate::guard::guarded;
use crate::splice::Source;
use polars::prelude::*;
use polars_arrow::bitmap::BitmapBuilder;
use polars_buffer::Buffer;
use polars_parquet::parquet::compression::DecompressionContext;
use polars_parquet::parquet::encoding::hybrid_rle::{HybridRleChunk, HybridRleDecoder};
use polars_parquet::parquet::metadata::{ColumnChunkMetadata, RowGroupMetadata};
use polars_parquet::parquet::page::{CompressedPage, DataPage, DataPageHeader, FormatEncoding, split_buffer};
use polars_parquet::read::{BasicDecompressor, Page, PageReader, column_iter_to_arrays, decompress, infer_schema};
use std::io::Cursor;

/// Texts of a column that are read as codes: each row group's are looked up among all.
const TEXTS_MAX: usize = 256;

/// No page of ours is larger.
const PAGE_BYTES_MAX: usize = 1 << 30;

impl Source {
    /// The table; only `columns` where given, in that order.
    pub(crate) fn read(&self, columns: Option<&[&str]>) -> PolarsResult<DataFrame> {
        let schema = infer_schema(&self.metadata)?;
        let all: Vec<&str> = schema.iter_names().map(|name| name.as_str()).collect();
        let mut decompressing = Decompressing::default();
        let read = columns.unwrap_or(&all).iter().map(|name| {
            let field = schema.get(name).ok_or_else(|| polars_err!(ColumnNotFound: "{name}"))?;
            Ok(match self.floats(field, &mut decompressing)? {
                Some(values) => values.into_column(),
                None if self.has_no_text(field) => columns::null_texts(name, self.metadata.num_rows),
                None => self.general(field)?,
            })
        });
        DataFrame::new(self.metadata.num_rows, read.collect::<PolarsResult<_>>()?)
    }

    /// The rows of one row group after the other; a table without any is one group without rows.
    pub(crate) fn groups(&self) -> impl Iterator<Item = PolarsResult<DataFrame>> + 'static {
        self.each_group().map(|one| guarded(|| one.read(None)))
    }

    /// Each row group as a table of its own; a table without any is one.
    pub(crate) fn each_group(&self) -> impl Iterator<Item = Self> + 'static {
        let (bytes, mut metadata) = (self.bytes.clone(), self.metadata.clone());
        let groups = std::mem::take(&mut metadata.row_groups);
        let ones = groups.len().max(1);
        let mut groups = groups.into_iter();
        (0..ones).map(move |_| {
            let mut one = Self { bytes: bytes.clone(), metadata: metadata.clone() };
            one.metadata.row_groups.extend(groups.next());
            one.metadata.num_rows = one.metadata.row_groups.iter().map(|group| group.num_rows()).sum();
            one
        })
    }

    /// The chunks of a column, with their bytes.
    fn chunks<'a>(
        &'a self,
        column: &'a str,
    ) -> impl Iterator<Item = PolarsResult<(&'a ColumnChunkMetadata, Buffer<u8>)>> {
        self.metadata.row_groups.iter().map(move |group| {
            let chunk = group.columns_under_root_iter(column).and_then(|mut chunks| chunks.next());
            let chunk = chunk.ok_or_else(|| polars_err!(ColumnNotFound: "{column}"))?;
            let bytes = self.chunk_bytes(chunk)?;
            let bytes = bytes.ok_or_else(|| polars_err!(ComputeError: "the file ends before {column} does"))?;
            Ok((chunk, bytes))
        })
    }

    /// Whether a column of texts says of itself that it holds none.
    fn has_no_text(&self, field: &ArrowField) -> bool {
        let has_none = |group: &RowGroupMetadata| {
            let chunk = group.columns_under_root_iter(&field.name).and_then(|mut chunks| chunks.next())?;
            let statistics = chunk.statistics(&self.metadata.footer_buf)?.ok()?;
            Some(usize::try_from(statistics.null_count()?).ok()? == group.num_rows())
        };
        DataType::from_arrow_field(field) == DataType::String
            && self.metadata.row_groups.iter().all(|group| has_none(group) == Some(true))
    }

    /// A column of any kind, as polars decodes it.
    fn general(&self, field: &ArrowField) -> PolarsResult<Column> {
        let mut arrays = Vec::new();
        for chunk in self.chunks(&field.name) {
            let (chunk, bytes) = chunk?;
            let pages = PageReader::new(Cursor::new(bytes), chunk, Vec::new(), PAGE_BYTES_MAX);
            let pages = BasicDecompressor::new(pages, Vec::new());
            let of = &chunk.descriptor().descriptor.primitive_type;
            arrays.extend(column_iter_to_arrays(vec![pages], vec![of], field.clone(), None)?.0);
        }
        if arrays.is_empty() {
            return Ok(Series::new_empty(field.name.clone(), &DataType::from_arrow_field(field)).into_column());
        }
        Ok(Series::try_from((field, arrays))?.into_column())
    }

    /// A column of split floats; `None` where it is another.
    fn floats(&self, field: &ArrowField, with: &mut Decompressing) -> PolarsResult<Option<Float64Chunked>> {
        if DataType::from_arrow_field(field) != DataType::Float64 {
            return Ok(None);
        }
        let mut values = Floats::with_room(self.metadata.num_rows);
        for chunk in self.chunks(&field.name) {
            let (chunk, bytes) = chunk?;
            for page in PageReader::new(Cursor::new(bytes), chunk, Vec::new(), PAGE_BYTES_MAX) {
                let Page::Data(mut page) = with.page(page?)? else { return Ok(None) };
                let is_split = page.header().encoding() == FormatEncoding::BYTE_STREAM_SPLIT;
                if !is_split || !values.add(&page)? {
                    return Ok(None);
                }
                with.scratch = std::mem::take(page.buffer_mut());
            }
        }
        Ok(Some(values.finish(field.name.clone())))
    }

    /// A column of texts that repeat, as its pages hold it; `None` where it is stored otherwise, or has nulls.
    pub(crate) fn codes(&self, column: &str) -> PolarsResult<Option<OwnedCodes>> {
        let mut all = OwnedCodes::default();
        let mut decompressing = Decompressing::default();
        for chunk in self.chunks(column) {
            let (chunk, bytes) = chunk?;
            let mut texts = None;
            for page in PageReader::new(Cursor::new(bytes), chunk, Vec::new(), PAGE_BYTES_MAX) {
                match decompressing.page(page?)? {
                    Page::Dict(page) => texts = dictionary(&page.buffer, page.num_values),
                    Page::Data(page) => {
                        let codes = if has_no_null(&page) { places(&page)? } else { None };
                        let (Some(texts), Some(codes)) = (texts.clone(), codes) else { return Ok(None) };
                        if all.extend(texts, &codes).is_none() {
                            return Ok(None);
                        }
                    }
                }
            }
        }
        Ok(Some(all))
    }
}

/// What pages are decompressed with, and into: making it takes as long as a small page.
struct Decompressing {
    scratch: Vec<u8>,
    context: DecompressionContext,
}

impl Default for Decompressing {
    fn default() -> Self {
        Self { scratch: Vec::new(), context: DecompressionContext::Unset }
    }
}

impl Decompressing {
    fn page(&mut self, page: CompressedPage) -> PolarsResult<Page> {
        Ok(decompress(page, &mut self.scratch, &mut self.context)?)
    }
}

/// Floats of which each may be null.
struct Floats {
    /// Whatever a page claims.
    most: usize,
    /// A null is zero.
    values: Vec<f64>,
    /// Which are known, from the first page with a null on.
    known: Option<BitmapBuilder>,
    /// Those that are known in a page.
    dense: Vec<f64>,
}

impl Floats {
    /// None, with room for so many.
    fn with_room(most: usize) -> Self {
        Self { most, values: Vec::with_capacity(most), known: None, dense: Vec::new() }
    }

    /// Adds a page of split floats; false where it contradicts itself.
    fn add(&mut self, page: &DataPage) -> PolarsResult<bool> {
        let (rows, parts) = (page.num_values(), split_buffer(page)?);
        let before = self.values.len();
        if rows > self.most - before {
            return Ok(false);
        }
        if parts.values.len() == rows * 8 {
            encode::join(parts.values, &mut self.values);
            self.known.iter_mut().for_each(|known| known.extend_constant(rows, true));
            return Ok(true);
        }
        let known = self.known.get_or_insert_with(|| {
            let mut known = BitmapBuilder::new();
            known.extend_constant(before, true);
            known
        });
        self.dense.clear();
        encode::join(parts.values.get(..parts.values.len() / 8 * 8).unwrap_or_default(), &mut self.dense);
        let mut dense = self.dense.as_slice();
        let mut take = |rows: usize| dense.split_off(..rows);
        for chunk in HybridRleDecoder::new(parts.def, 1, rows).into_chunk_iter() {
            match chunk? {
                HybridRleChunk::Rle(0, rows) => {
                    self.values.resize(self.values.len() + rows, 0.0);
                    known.extend_constant(rows, false);
                }
                HybridRleChunk::Rle(_, rows) => {
                    let Some(there) = take(rows) else { return Ok(false) };
                    self.values.extend_from_slice(there);
                    known.extend_constant(rows, true);
                }
                HybridRleChunk::Bitpacked(bits) => {
                    let (rows, bits) = (bits.len(), bits.as_slice());
                    known.extend_from_slice(bits, 0, rows);
                    for (at, byte) in bits.iter().enumerate() {
                        let rows = 8.min(rows - at * 8);
                        let byte = byte & (u8::MAX >> (8 - rows));
                        let Some(there) = take(byte.count_ones() as usize) else { return Ok(false) };
                        if there.len() == rows {
                            self.values.extend_from_slice(there);
                        } else {
                            let mut there = there.iter();
                            let value = |bit| if byte >> bit & 1 == 1 { there.next().copied() } else { None };
                            self.values.extend((0..rows).map(value).map(Option::unwrap_or_default));
                        }
                    }
                }
            }
        }
        Ok(dense.is_empty() && self.values.len() == before + rows)
    }

    fn finish(self, name: PlSmallStr) -> Float64Chunked {
        Float64Chunked::from_vec_validity(name, self.values, self.known.and_then(BitmapBuilder::into_opt_validity))
    }
}

/// Texts one after the other, each behind its length.
fn dictionary(mut bytes: &[u8], count: usize) -> Option<Vec<String>> {
    let mut texts = Vec::new();
    for _ in 0..count.min(TEXTS_MAX + 1) {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        texts.push(std::str::from_utf8(text).ok()?.to_owned());
        bytes = rest;
    }
    (texts.len() <= TEXTS_MAX).then_some(texts)
}

/// Whether a page says of itself that it holds no null.
fn has_no_null(page: &DataPage) -> bool {
    match page.header() {
        DataPageHeader::V1(header) => header.statistics.as_ref().and_then(|s| s.null_count) == Some(0),
        DataPageHeader::V2(header) => header.num_nulls == 0,
    }
}

/// Each row's place in the dictionary.
fn places(page: &DataPage) -> PolarsResult<Option<Places>> {
    let rows = page.num_values();
    Ok(match (page.header().encoding(), split_buffer(page)?.values.split_first()) {
        (FormatEncoding::RLE_DICTIONARY, Some((0, _))) => Some(Places::First(rows)),
        (FormatEncoding::RLE_DICTIONARY, Some((width, keys))) => {
            let codes = HybridRleDecoder::new(keys, u32::from(*width), rows).collect()?;
            (codes.len() == rows).then_some(Places::Each(codes))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::Codes;
    use crate::parquet;
    use assets_core::table_store::Object;
    use std::sync::Arc;

    #[test]
    fn floats_are_read_as_polars_reads_them() {
        let rows = parquet::ROW_GROUP_ROWS + 131;
        let number = |row: usize| (row as f64).sqrt();
        let all: [&dyn Fn(usize) -> Option<f64>; 6] = [
            &|row| Some(number(row)),
            &|row| Some(number(row)).filter(|_| row % 3 != 1),
            &|row| Some(number(row)).filter(|_| row / 1000 % 2 == 0),
            &|row| Some(number(row)).filter(|_| row + 1 != rows),
            &|row| Some(number(row)).filter(|_| row == 7),
            &|_| None,
        ];
        let column = |at: usize| columns::maybe_floats(&at.to_string(), (0..rows).map(all[at]));
        let frame = columns::frame((0..all.len()).map(column).collect()).expect("a table");
        let mut bytes = Vec::new();
        let mut writer = parquet::TableWriter::new(&mut bytes, frame.schema()).expect("a writer");
        writer.write(&frame).expect("written");
        writer.finish().expect("finished");
        let independent = parquet::read_from(Cursor::new(bytes.clone()), None, None).expect("readable");
        let source = Source::open(Object::Bytes(Arc::from(bytes))).expect("a table");
        let read = source.read(None).expect("readable");
        assert!(read.equals_missing(&frame) && independent.equals_missing(&frame));
        let fields = infer_schema(&source.metadata).expect("a schema");
        for field in fields.iter_values() {
            let floats =
                source.floats(field, &mut Decompressing::default()).expect("readable").expect("they are split");
            let column = frame.column(&field.name).expect("a column");
            assert_eq!(floats.null_count(), column.null_count(), "{}", field.name);
            assert!(floats.iter().eq(column.f64().expect("floats").iter()), "{}", field.name);
        }
    }

    #[test]
    fn codes_are_read_as_they_would_be_found() {
        let rows = parquet::ROW_GROUP_ROWS + 77;
        let known = ["b", "a", "a text of more than twelve bytes"];
        let frame = columns::frame(vec![
            columns::texts("t", (0..rows).map(|row| Some(known[row / 5 % 3]))),
            columns::constant_text("c", "same", rows),
            columns::texts("n", (0..rows).map(|row| Some("x").filter(|_| row != 9))),
            columns::null_texts("0", rows),
        ])
        .expect("a table");
        let mut bytes = Vec::new();
        let mut writer = parquet::TableWriter::new(&mut bytes, frame.schema()).expect("a writer");
        writer.write(&frame).expect("written");
        writer.finish().expect("finished");
        let source = Source::open(Object::Bytes(Arc::from(bytes))).expect("a table");
        assert!(source.read(None).expect("readable").equals_missing(&frame));
        for name in ["t", "c"] {
            let found = Codes::of(frame.column(name).and_then(Column::str).expect("texts"));
            // Not printed where they differ: there are too many.
            assert!(source.codes(name).expect("readable") == Some(found.into()), "{name}");
        }
        assert_eq!(source.codes("n").expect("readable"), None, "nulls");
        assert_eq!(source.codes("0").expect("readable"), None, "nulls alone");
    }
}
