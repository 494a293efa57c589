//! Pages of measured numbers.
//!
//! They hardly repeat, and compress badly as they stand. With their bytes split into streams (first bytes together, then
//! second ones, …; Parquet's `BYTE_STREAM_SPLIT`) zstd finds what they share, signs, exponents and leading digits, and
//! passes over the rest: half the time for a smaller file.

use polars::prelude::*;
use polars_arrow::bitmap::utils::SlicesIterator;
use polars_parquet::parquet::page::FormatEncoding;
use polars_parquet::parquet::schema::Repetition;
use polars_parquet::parquet::schema::types::PrimitiveType;
use polars_parquet::parquet::statistics::PrimitiveStatistics;
use polars_parquet::write::{Page, Version, write_def_levels};
use wide::u8x16;

/// Rows of a page: a mebibyte of values.
const PAGE_ROWS: usize = 1 << 17;

/// The pages of a column in one chunk.
pub(super) fn pages(values: &Float64Chunked, of: &PrimitiveType) -> PolarsResult<Vec<Page>> {
    let mut pages = Vec::new();
    for array in values.downcast_iter() {
        let mut start = 0;
        // A column without rows has a page too.
        while start < array.len() || pages.is_empty() {
            let rows = PAGE_ROWS.min(array.len() - start);
            let values = &array.values()[start..start + rows];
            let validity = array.validity().map(|validity| validity.clone().sliced(start, rows));
            let validity = validity.filter(|validity| validity.unset_bits() > 0);
            let mut bytes = Vec::with_capacity(rows * 8 + 64);
            let is_optional = of.field_info.repetition == Repetition::Optional;
            write_def_levels(&mut bytes, is_optional, validity.as_ref(), rows, Version::V1)?;
            let range = match &validity {
                None => append(values, &mut bytes),
                Some(validity) => {
                    let mut known: Vec<f64> = Vec::with_capacity(rows - validity.unset_bits());
                    // Values and nulls mostly come many in a row.
                    SlicesIterator::new(validity)
                        .for_each(|(at, rows)| known.extend_from_slice(&values[at..at + rows]));
                    append(&known, &mut bytes)
                }
            };
            let statistics = PrimitiveStatistics::<f64> {
                primitive_type: of.clone(),
                null_count: Some(validity.map_or(0, |validity| validity.unset_bits() as i64)),
                distinct_count: None,
                min_value: range.map(|[low, _]| low),
                max_value: range.map(|[_, high]| high),
            };
            pages.push(super::page(bytes, rows, FormatEncoding::BYTE_STREAM_SPLIT, statistics.serialize(), of)?);
            start += rows;
        }
    }
    Ok(pages)
}

/// Appends values, split, and says their range: none where there is no value or a NaN, as Parquet asks for.
fn append(values: &[f64], out: &mut Vec<u8>) -> Option<[f64; 2]> {
    split_into(values, out);
    // Several at a time: one after the other waits for the comparison before.
    let (mut low, mut high, mut nan) = ([f64::INFINITY; 8], [f64::NEG_INFINITY; 8], [false; 8]);
    let (eights, rest) = values.as_chunks::<8>();
    for eight in eights.iter().map(<[f64; 8]>::as_slice).chain([rest]) {
        for (at, value) in eight.iter().enumerate() {
            low[at] = if *value < low[at] { *value } else { low[at] };
            high[at] = if *value > high[at] { *value } else { high[at] };
            nan[at] |= value.is_nan();
        }
    }
    if values.is_empty() || nan.contains(&true) {
        return None;
    }
    // Zeros of either sign are equal: the range holds both.
    let low = low.into_iter().fold(f64::INFINITY, f64::min);
    let high = high.into_iter().fold(f64::NEG_INFINITY, f64::max);
    Some([if low == 0.0 { -0.0 } else { low }, if high == 0.0 { 0.0 } else { high }])
}

/// The 128 bytes of eight vectors with the second half between those of the first: seven times, and they are as before.
/// Of sixteen values three times makes eight streams values, four times values streams.
fn shuffled(bytes: [u8x16; 8]) -> [u8x16; 8] {
    let pair = |at: usize| {
        let (first, second) = (bytes[at], bytes[at + 4]);
        [u8x16::unpack_low(first, second), u8x16::unpack_high(first, second)]
    };
    let ([a, b], [c, d], [e, f], [g, h]) = (pair(0), pair(1), pair(2), pair(3));
    [a, b, c, d, e, f, g, h]
}

fn split_into(values: &[f64], out: &mut Vec<u8>) {
    let begin = out.len();
    out.resize(begin + values.len() * 8, 0);
    if values.is_empty() {
        return;
    }
    let mut streams = out[begin..].chunks_exact_mut(values.len());
    let mut streams: [&mut [u8]; 8] = std::array::from_fn(|_| streams.next().unwrap_or_default());
    let (blocks, rest) = values.as_chunks::<16>();
    for (block, start) in blocks.iter().zip((0..).step_by(16)) {
        let two = |at: usize| u128::from(block[at + 1].to_bits()) << 64 | u128::from(block[at].to_bits());
        let bytes = std::array::from_fn(|pair| u8x16::from(two(pair * 2).to_le_bytes()));
        let split = shuffled(shuffled(shuffled(shuffled(bytes))));
        for (stream, part) in streams.iter_mut().zip(split) {
            stream[start..start + 16].copy_from_slice(&part.to_array());
        }
    }
    for (value, at) in rest.iter().zip(blocks.len() * 16..) {
        streams.iter_mut().zip(value.to_le_bytes()).for_each(|(stream, byte)| stream[at] = byte);
    }
}

/// Values whose bytes are split into streams, put together again, after those that are in `out`.
pub(crate) fn join(streams: &[u8], out: &mut Vec<f64>) {
    let rows = streams.len() / 8;
    if rows == 0 {
        return;
    }
    let mut streams = streams.chunks_exact(rows);
    let streams: [&[u8]; 8] = std::array::from_fn(|_| streams.next().unwrap_or_default());
    // Not filled with zeros first: that took as long as joining.
    out.reserve(rows);
    let mut block = [0.0; 16];
    for start in (0..rows / 16 * 16).step_by(16) {
        let bytes = streams.map(|stream| u8x16::from(*stream[start..].first_chunk().unwrap_or(&[0; 16])));
        let bytes = shuffled(shuffled(shuffled(bytes)));
        for (two, bytes) in block.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
            let bits = u128::from_le_bytes(bytes.to_array());
            *two = [f64::from_bits(bits as u64), f64::from_bits((bits >> 64) as u64)];
        }
        out.extend_from_slice(&block);
    }
    out.extend((rows / 16 * 16..rows).map(|at| f64::from_le_bytes(streams.map(|stream| stream[at]))));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_come_first() {
        (0..70).chain([1500]).for_each(are_split);
    }

    fn are_split(count: u32) {
        let values: Vec<f64> = (0..count).map(|n| f64::from(n) / -7.0).collect();
        let mut split = vec![9; 3];
        split_into(&values, &mut split);
        let at = |n: usize, byte: usize| split[3 + byte * values.len() + n];
        for (n, value) in values.iter().enumerate() {
            assert_eq!(std::array::from_fn(|byte| at(n, byte)), value.to_le_bytes());
        }
        assert_eq!(split.len(), 3 + values.len() * 8);
        let mut joined = vec![0.5];
        join(&split[3..], &mut joined);
        assert_eq!(joined[1..], values);
    }

    #[test]
    fn the_range_of_values_holds_zeros_of_either_sign_and_no_nan() {
        let range = |values: &[f64]| append(values, &mut Vec::new());
        let values: Vec<f64> = (0..19).map(|n| f64::from(n * n % 17) - 3.5).collect();
        assert_eq!(range(&values), Some([-3.5, 12.5]));
        assert_eq!(range(&[0.0]).map(|range| range.map(f64::is_sign_negative)), Some([true, false]));
        assert_eq!(range(&[1.0, f64::NAN]), None);
        assert_eq!(range(&[]), None);
        assert_eq!(range(&[f64::INFINITY]), Some([f64::INFINITY; 2]));
    }
}
