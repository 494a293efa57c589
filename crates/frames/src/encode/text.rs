//! Pages of texts that repeat: a dictionary, and each row's place in it.

use crate::codes::Codes;
use polars::prelude::*;
use polars_arrow::bitmap::Bitmap;
use polars_parquet::parquet::CowBuffer;
use polars_parquet::parquet::encoding::hybrid_rle;
use polars_parquet::parquet::page::{DictPage, FormatEncoding};
use polars_parquet::parquet::schema::Repetition;
use polars_parquet::parquet::schema::types::PrimitiveType;
use polars_parquet::parquet::statistics::BinaryStatistics;
use polars_parquet::write::{Page, Version, write_def_levels};

/// Texts that make a dictionary whatever the number of rows.
const TEXTS_MIN: usize = 128;

/// Texts up to this size are told as the least and the greatest.
const TOLD_BYTES: usize = 64;

/// The pages of a column in one chunk; `None` where its texts hardly repeat.
pub(super) fn pages(values: &StringChunked, of: &PrimitiveType) -> PolarsResult<Option<Vec<Page>>> {
    let Some(codes) = Codes::up_to(values, TEXTS_MIN.max(values.len() / 4 * 3)) else { return Ok(None) };
    let validity = values.chunks().first().and_then(|array| array.validity());
    coded(&codes.texts, validity, values.len(), of, |bytes| keys(&codes, bytes))
}

/// The pages of a column that says the same in every row.
pub(super) fn same(text: &str, rows: usize, of: &PrimitiveType) -> PolarsResult<Option<Vec<Page>>> {
    coded(&[Some(text)], None, rows, of, |bytes| same_keys(rows, bytes))
}

fn coded(
    texts: &[Option<&str>],
    validity: Option<&Bitmap>,
    rows: usize,
    of: &PrimitiveType,
    keys: impl FnOnce(&mut Vec<u8>) -> PolarsResult<()>,
) -> PolarsResult<Option<Vec<Page>>> {
    let texts: Vec<&str> = texts.iter().flatten().copied().collect();
    let mut dictionary = Vec::new();
    for text in &texts {
        let Ok(length) = u32::try_from(text.len()) else { return Ok(None) };
        dictionary.extend_from_slice(&length.to_le_bytes());
        dictionary.extend_from_slice(text.as_bytes());
    }
    let told = texts.iter().all(|text| text.len() <= TOLD_BYTES);
    let told = |text: Option<&&str>| text.filter(|_| told).map(|text| text.as_bytes().to_vec());
    let statistics = BinaryStatistics {
        primitive_type: of.clone(),
        null_count: Some(validity.map_or(0, Bitmap::unset_bits) as i64),
        distinct_count: None,
        min_value: told(texts.iter().min()),
        max_value: told(texts.iter().max()),
    };
    let mut bytes = Vec::new();
    let is_optional = of.field_info.repetition == Repetition::Optional;
    write_def_levels(&mut bytes, is_optional, validity, rows, Version::V1)?;
    keys(&mut bytes)?;
    let dictionary = Page::Dict(DictPage::new(CowBuffer::Owned(dictionary), texts.len(), false));
    let data = super::page(bytes, rows, FormatEncoding::RLE_DICTIONARY, statistics.serialize(), of)?;
    Ok(Some(vec![dictionary, data]))
}

/// Each row's place in the dictionary, which null has none in: their width in bits, then they.
fn keys(codes: &Codes<'_>, out: &mut Vec<u8>) -> PolarsResult<()> {
    let null = codes.texts.iter().position(Option::is_none);
    let count = (codes.texts.len() - usize::from(null.is_some())) as u32;
    let width = u32::BITS - count.saturating_sub(1).leading_zeros();
    let keys = match null {
        None => std::borrow::Cow::Borrowed(&codes.codes),
        Some(null) => {
            // Places behind null's move up.
            let null = null as u32;
            let known = codes.codes.iter().filter(|code| **code != null);
            std::borrow::Cow::Owned(known.map(|code| code - u32::from(*code > null)).collect())
        }
    };
    if width == 0 {
        return same_keys(keys.len(), out);
    }
    out.push(width as u8);
    hybrid_rle::encode(out, keys.iter().copied(), width)?;
    Ok(())
}

/// The only place in a dictionary, said once and not row by row.
fn same_keys(rows: usize, out: &mut Vec<u8>) -> PolarsResult<()> {
    out.push(0);
    if rows > 0 {
        <u32 as hybrid_rle::Encoder<u32>>::run_length_encode(out, rows, 0, 0)?;
    }
    Ok(())
}
