//! How a column becomes the pages of a Parquet file: each kind in the encoding that is small and quick for it.
//!
//! Measured numbers hardly repeat, and compress badly as they stand. With their bytes split into streams (first bytes
//! together, then second ones, …) zstd finds what they share, signs, exponents and leading digits, and passes over the
//! rest: half the time for a smaller file.

use crate::{frame_error, parquet};
use assets_core::Reason;
use polars::prelude::*;
use polars_parquet::parquet::CowBuffer;
use polars_parquet::parquet::page::{DataPage, DataPageHeader, FormatEncoding};
use polars_parquet::read::ParquetError;
use polars_parquet::write::{
    CompressedPage, CompressionOptions, Compressor, Encoding, Page, ParquetType, StatisticsOptions, Version,
    WriteOptions, ZstdLevel, array_to_columns, get_dtype_encoding,
};
use std::num::NonZero;

/// As most tools write and all read.
const ZSTD_LEVEL: i32 = 3;

/// Of split numbers a higher level makes nothing smaller.
const ZSTD_LEVEL_SPLIT: i32 = 1;

/// Values of a row group that are worth further threads.
const VALUES_PER_THREAD: usize = 1 << 21;

/// The options of a file; a column may deviate.
pub(crate) fn options() -> Result<WriteOptions, Reason> {
    options_at(ZSTD_LEVEL)
}

fn options_at(level: i32) -> Result<WriteOptions, Reason> {
    let level = ZstdLevel::try_new(level).map_err(|error| frame_error("zstd", &error))?;
    Ok(WriteOptions {
        statistics: StatisticsOptions::default(),
        compression: CompressionOptions::Zstd(Some(level)),
        version: Version::V1,
        data_page_size: None,
    })
}

/// The encoded pages of columns of one row group, on several threads where there is much to do.
pub(crate) fn columns(columns: &[(&Column, &ParquetType)]) -> Result<Vec<Vec<CompressedPage>>, Reason> {
    let values = columns.iter().map(|(column, _)| column.len()).sum::<usize>();
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(values / VALUES_PER_THREAD);
    if threads < 2 {
        return columns.iter().map(|(column, parquet_type)| pages(column, parquet_type)).collect();
    }
    let share = columns.len().div_ceil(threads);
    std::thread::scope(|scope| {
        let part = |part: &[(&Column, &ParquetType)]| -> Result<Vec<_>, Reason> {
            part.iter().map(|(column, parquet_type)| pages(column, parquet_type)).collect()
        };
        let parts: Vec<_> = columns.chunks(share).map(|chunk| scope.spawn(move || part(chunk))).collect();
        let mut all = Vec::with_capacity(columns.len());
        for part in parts {
            all.extend(part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(all)
    })
}

/// The encoded pages of a column.
fn pages(column: &Column, parquet_type: &ParquetType) -> Result<Vec<CompressedPage>, Reason> {
    let failed = |error: PolarsError| parquet::write_error(&error);
    let array = column.as_materialized_series().rechunk().to_arrow(0, CompatLevel::newest());
    let is_split = column.dtype() == &DataType::Float64;
    let options = options_at(if is_split { ZSTD_LEVEL_SPLIT } else { ZSTD_LEVEL })?;
    let encodings: Vec<Encoding> = if is_split { vec![Encoding::Plain] } else { get_dtype_encoding(array.dtype()) };
    let mut all = Vec::new();
    for pages in array_to_columns(&array, parquet_type.clone(), options, &encodings).map_err(failed)? {
        let pages = pages.map(|page| {
            let page = page.map_err(|error| ParquetError::FeatureNotSupported(error.to_string()))?;
            Ok(if is_split { split(page) } else { page })
        });
        for page in Compressor::new_from_vec(pages, options.compression, Vec::new()) {
            all.push(page.map_err(|error| failed(error.into()))?);
        }
    }
    Ok(all)
}

/// A page of plain 8-byte values with its bytes in streams (Parquet's `BYTE_STREAM_SPLIT`).
fn split(page: Page) -> Page {
    let Page::Data(page) = page else { return page };
    let (DataPageHeader::V1(header), Some(rows)) = (page.header(), page.num_rows) else { return Page::Data(page) };
    let mut header = header.clone();
    header.encoding = FormatEncoding::BYTE_STREAM_SPLIT;
    let bytes = page.buffer();
    // Every column may hold nulls: which values there are stands first, behind its length.
    let levels = bytes.first_chunk().map_or(0, |length| 4 + u32::from_le_bytes(*length) as usize);
    let (levels, values) = bytes.split_at(levels.min(bytes.len()));
    let mut out = Vec::with_capacity(bytes.len());
    out.extend_from_slice(levels);
    split_into(values, &mut out);
    Page::Data(DataPage::new(DataPageHeader::V1(header), CowBuffer::Owned(out), page.descriptor.clone(), rows))
}

fn split_into(values: &[u8], out: &mut Vec<u8>) {
    let (values, _) = values.as_chunks::<8>();
    let begin = out.len();
    out.resize(begin + values.len() * 8, 0);
    // In blocks that stay in the nearest cache, as each is walked eight times.
    const BLOCK: usize = 512;
    for (block, part) in values.chunks(BLOCK).enumerate() {
        for byte in 0..8 {
            let at = begin + byte * values.len() + block * BLOCK;
            out[at..at + part.len()].iter_mut().zip(part).for_each(|(out, value)| *out = value[byte]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::split_into;

    #[test]
    fn the_first_bytes_come_first() {
        let values: Vec<f64> = (0..1500).map(|n| f64::from(n) / 7.0).collect();
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let mut split = vec![9; 3];
        split_into(&bytes, &mut split);
        let at = |n: usize, byte: usize| split[3 + byte * values.len() + n];
        for (n, value) in values.iter().enumerate() {
            assert_eq!(std::array::from_fn(|byte| at(n, byte)), value.to_le_bytes());
        }
        assert_eq!(split.len(), 3 + bytes.len());
    }
}
