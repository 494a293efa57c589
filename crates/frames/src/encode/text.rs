//! Pages of texts that repeat: a dictionary, and each row's place in it.

use crate::codes::Codes;
use polars::prelude::*;
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
    let texts: Vec<&str> = codes.texts.iter().flatten().copied().collect();
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
        null_count: Some(values.null_count() as i64),
        distinct_count: None,
        min_value: told(texts.iter().min()),
        max_value: told(texts.iter().max()),
    };
    let mut bytes = Vec::new();
    let validity = values.chunks().first().and_then(|array| array.validity());
    let is_optional = of.field_info.repetition == Repetition::Optional;
    write_def_levels(&mut bytes, is_optional, validity, values.len(), Version::V1)?;
    keys(&codes, &mut bytes)?;
    let dictionary = Page::Dict(DictPage::new(CowBuffer::Owned(dictionary), texts.len(), false));
    let data = super::page(bytes, values.len(), FormatEncoding::RLE_DICTIONARY, statistics.serialize(), of)?;
    Ok(Some(vec![dictionary, data]))
}

/// Each row's place in the dictionary, which null has none in: their width in bits, then they.
fn keys(codes: &Codes<'_>, out: &mut Vec<u8>) -> PolarsResult<()> {
    let null = codes.texts.iter().position(Option::is_none);
    let count = (codes.texts.len() - usize::from(null.is_some())) as u32;
    let width = u32::BITS - count.saturating_sub(1).leading_zeros();
    out.push(width as u8);
    let keys = match null {
        None => std::borrow::Cow::Borrowed(&codes.codes),
        Some(null) => {
            // Places behind null's move up.
            let null = null as u32;
            let known = codes.codes.iter().filter(|code| **code != null);
            std::borrow::Cow::Owned(known.map(|code| code - u32::from(*code > null)).collect())
        }
    };
    if keys.is_empty() {
        return Ok(());
    }
    if count == 1 {
        // Said once and not row by row.
        <u32 as hybrid_rle::Encoder<u32>>::run_length_encode(out, keys.len(), 0, width)?;
    } else {
        hybrid_rle::encode(out, keys.iter().copied(), width)?;
    }
    Ok(())
}
