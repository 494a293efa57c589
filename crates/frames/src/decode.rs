//! Columns of our own tables as values, one column after the other and chunk by chunk: tables are read by steps, and those
//! run on several threads anyway.

use crate::encode;
use crate::splice::Source;
use polars::prelude::*;
use polars_buffer::Buffer;
use polars_parquet::parquet::compression::DecompressionContext;
use polars_parquet::parquet::metadata::ColumnChunkMetadata;
use polars_parquet::parquet::page::{FormatEncoding, split_buffer};
use polars_parquet::read::{BasicDecompressor, Page, PageReader, column_iter_to_arrays, decompress, infer_schema};
use std::io::Cursor;

/// No page of ours is larger.
const PAGE_BYTES_MAX: usize = 1 << 30;

impl Source {
    /// The table; only `columns` where given, in that order.
    pub(crate) fn read(&self, columns: Option<&[&str]>) -> PolarsResult<DataFrame> {
        let schema = infer_schema(&self.metadata)?;
        let all: Vec<&str> = schema.iter_names().map(|name| name.as_str()).collect();
        let read = columns.unwrap_or(&all).iter().map(|name| {
            let field = schema.get(name).ok_or_else(|| polars_err!(ColumnNotFound: "{name}"))?;
            Ok(match self.floats(field)? {
                Some(values) => Float64Chunked::from_vec(field.name.clone(), values).into_column(),
                None => self.general(field)?,
            })
        });
        DataFrame::new(self.metadata.num_rows, read.collect::<PolarsResult<_>>()?)
    }

    /// The chunks of a column, with their bytes.
    fn chunks<'a>(
        &'a self,
        column: &'a str,
    ) -> impl Iterator<Item = PolarsResult<(&'a ColumnChunkMetadata, Buffer<u8>)>> {
        self.metadata.row_groups.iter().map(move |group| {
            let chunk = group.columns_under_root_iter(column).and_then(|mut chunks| chunks.next());
            let chunk = chunk.ok_or_else(|| polars_err!(ColumnNotFound: "{column}"))?;
            let bytes = self.chunk_bytes(chunk);
            let bytes = bytes.ok_or_else(|| polars_err!(ComputeError: "the file ends before {column} does"))?;
            Ok((chunk, bytes))
        })
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

    /// A column of split floats; `None` where it is another, or one with nulls.
    fn floats(&self, field: &ArrowField) -> PolarsResult<Option<Vec<f64>>> {
        if DataType::from_arrow_field(field) != DataType::Float64 {
            return Ok(None);
        }
        let mut values = Vec::with_capacity(self.metadata.num_rows);
        let (mut scratch, mut context) = (Vec::new(), DecompressionContext::Unset);
        for chunk in self.chunks(&field.name) {
            let (chunk, bytes) = chunk?;
            for page in PageReader::new(Cursor::new(bytes), chunk, Vec::new(), PAGE_BYTES_MAX) {
                let Page::Data(mut page) = decompress(page?, &mut scratch, &mut context)? else { return Ok(None) };
                let streams = split_buffer(&page)?.values;
                let is_split = page.header().encoding() == FormatEncoding::BYTE_STREAM_SPLIT;
                if !is_split || streams.len() != page.num_values() * 8 {
                    return Ok(None);
                }
                encode::join(streams, &mut values);
                scratch = std::mem::take(page.buffer_mut());
            }
        }
        Ok(Some(values))
    }
}
