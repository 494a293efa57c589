//! How a column becomes the pages of a Parquet file: each kind in the encoding that is small and quick for it.
//!
//! Floats and texts make up nearly all of a table: their pages are made here, all others by polars.

mod float;
mod text;

pub(crate) use float::join;

use crate::codes::Texts;
use crate::{frame_error, parquet};
use assets_core::{Reason, cores};
use polars::prelude::*;
use polars_parquet::parquet::CowBuffer;
use polars_parquet::parquet::metadata::Descriptor;
use polars_parquet::parquet::page::{DataPage, DataPageHeader, DataPageHeaderV1, FormatEncoding};
use polars_parquet::parquet::schema::Repetition;
use polars_parquet::parquet::schema::types::PrimitiveType;
use polars_parquet::parquet::statistics::ParquetStatistics;
use polars_parquet::read::ParquetError;
use polars_parquet::write::{
    CompressedPage, CompressionOptions, Compressor, Encoding, Page, ParquetType, StatisticsOptions, Version,
    WriteOptions, ZstdLevel, array_to_columns, get_dtype_encoding,
};

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
    let threads = cores::at_once().min(values / VALUES_PER_THREAD);
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
    let is_split = column.dtype() == &DataType::Float64;
    let options = options_at(if is_split { ZSTD_LEVEL_SPLIT } else { ZSTD_LEVEL })?;
    if let (Ok(Texts::Same(Some(text), rows)), ParquetType::PrimitiveType(of)) = (Texts::of(column), parquet_type)
        && rows > 0
        && let Some(pages) = text::same(text, rows, of).map_err(failed)?
    {
        return compressed(pages, options);
    }
    let column = column.as_materialized_series().rechunk();
    let own = match (column.dtype(), parquet_type) {
        (DataType::Float64, ParquetType::PrimitiveType(of)) => {
            Some(float::pages(column.f64().map_err(failed)?, of).map_err(failed)?)
        }
        (DataType::String, ParquetType::PrimitiveType(of)) => {
            text::pages(column.str().map_err(failed)?, of).map_err(failed)?
        }
        _ => None,
    };
    let pages = match own {
        Some(pages) => pages,
        None => general(&column, parquet_type, options).map_err(failed)?,
    };
    compressed(pages, options)
}

fn compressed(pages: Vec<Page>, options: WriteOptions) -> Result<Vec<CompressedPage>, Reason> {
    let failed = |error: ParquetError| parquet::write_error(&error.into());
    let pages = Compressor::new_from_vec(pages.into_iter().map(Ok), options.compression, Vec::new());
    pages.map(|page| page.map_err(failed)).collect()
}

/// Pages as polars makes them.
fn general(column: &Series, parquet_type: &ParquetType, options: WriteOptions) -> PolarsResult<Vec<Page>> {
    let array = column.to_arrow(0, CompatLevel::newest());
    let encodings = match column.dtype() {
        // Times ascend by steps that hardly differ.
        DataType::Datetime(..) => vec![Encoding::DeltaBinaryPacked],
        _ => get_dtype_encoding(array.dtype()),
    };
    let pages = array_to_columns(&array, parquet_type.clone(), options, &encodings)?;
    pages.into_iter().flatten().collect()
}

/// A data page: which values are not null, then the values.
fn page(
    bytes: Vec<u8>,
    rows: usize,
    encoding: FormatEncoding,
    statistics: ParquetStatistics,
    of: &PrimitiveType,
) -> PolarsResult<Page> {
    let too_long = |_| polars_err!(ComputeError: "a page of more than 2^31 rows");
    let header = DataPageHeaderV1 {
        num_values: i32::try_from(rows).map_err(too_long)?,
        encoding,
        definition_level_encoding: FormatEncoding::RLE,
        repetition_level_encoding: FormatEncoding::RLE,
        statistics: Some(statistics),
    };
    let is_optional = of.field_info.repetition == Repetition::Optional;
    let descriptor = Descriptor { primitive_type: of.clone(), max_def_level: i16::from(is_optional), max_rep_level: 0 };
    Ok(Page::Data(DataPage::new(DataPageHeader::V1(header), CowBuffer::Owned(bytes), descriptor, rows)))
}
