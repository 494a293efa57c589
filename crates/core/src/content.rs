//! Content hashes: what a column holds, over fixed blocks of 65,536 rows, with the row count and one canonical NaN,
//! whatever the chunks, threads or file it came in. A column's name is not part of it.

use crate::hash::{ContentHash, Digest, Hasher};
use crate::table::{Table, Values};

/// Rows per hashed block.
pub const BLOCK_ROWS: usize = 65_536;
const CANONICAL_NAN: u64 = 0x7ff8_0000_0000_0000;

/// The kind of values a column holds: two columns of different kinds never hash alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// `f64`.
    Float,
    /// `i64`.
    Int,
    /// UTF-8.
    Text,
    /// Microseconds since the epoch, UTC.
    Time,
    /// Boolean.
    Bool,
}

/// Hashes one column as its values come by.
pub struct ColumnHasher {
    tag: Tag,
    rows: u64,
    in_block: usize,
    values: Vec<u8>,
    validity: Vec<u8>,
    nulls: bool,
    blocks: Vec<Digest<16>>,
}

impl ColumnHasher {
    /// A hasher for a column of that kind.
    pub fn new(tag: Tag) -> Self {
        Self { tag, rows: 0, in_block: 0, values: Vec::new(), validity: Vec::new(), nulls: false, blocks: Vec::new() }
    }

    fn start_row(&mut self, valid: bool) {
        if self.in_block.is_multiple_of(8) {
            self.validity.push(0);
        }
        if valid {
            let last = self.validity.len() - 1;
            self.validity[last] |= 1 << (self.in_block % 8);
        } else {
            self.nulls = true;
        }
    }

    fn end_row(&mut self) {
        self.rows += 1;
        self.in_block += 1;
        if self.in_block == BLOCK_ROWS {
            self.close_block();
        }
    }

    fn close_block(&mut self) {
        let mut hasher = Hasher::new("assets.block.1");
        hasher.number(self.in_block as u64).bytes(&self.values);
        hasher.bytes(if self.nulls { &self.validity } else { &[] });
        self.blocks.push(hasher.finish());
        self.values.clear();
        self.validity.clear();
        self.nulls = false;
        self.in_block = 0;
    }

    fn word(&mut self, word: Option<u64>) {
        self.start_row(word.is_some());
        self.values.extend_from_slice(&word.unwrap_or(0).to_le_bytes());
        self.end_row();
    }

    /// Adds a float; every NaN counts as the same one.
    pub fn float(&mut self, value: Option<f64>) {
        self.word(value.map(|v| if v.is_nan() { CANONICAL_NAN } else { v.to_bits() }));
    }

    /// Adds floats without nulls: the fast way of `float`.
    pub fn floats(&mut self, values: &[f64]) {
        self.words(values, |v| if v.is_nan() { CANONICAL_NAN } else { v.to_bits() });
    }

    /// Adds integers or times without nulls: the fast way of `int`.
    pub fn ints(&mut self, values: &[i64]) {
        self.words(values, |v| v.cast_unsigned());
    }

    fn words<T: Copy>(&mut self, mut values: &[T], bits: impl Fn(T) -> u64) {
        // Whole bytes of the validity bitmap at once; the ragged start goes row by row.
        while !values.is_empty() {
            if !self.in_block.is_multiple_of(8) || values.len() < 8 {
                self.word(Some(bits(values[0])));
                values = &values[1..];
                continue;
            }
            let take = (values.len().min(BLOCK_ROWS - self.in_block)) & !7;
            self.values.extend(values[..take].iter().flat_map(|v| bits(*v).to_le_bytes()));
            self.validity.resize(self.validity.len() + take / 8, 0xff);
            self.rows += take as u64;
            self.in_block += take;
            if self.in_block == BLOCK_ROWS {
                self.close_block();
            }
            values = &values[take..];
        }
    }

    /// Adds an integer, or a time in microseconds.
    pub fn int(&mut self, value: Option<i64>) {
        self.word(value.map(i64::cast_unsigned));
    }

    /// Adds a text.
    pub fn text(&mut self, value: Option<&str>) {
        self.start_row(value.is_some());
        let text = value.unwrap_or_default();
        self.values.extend_from_slice(&(text.len() as u64).to_le_bytes());
        self.values.extend_from_slice(text.as_bytes());
        self.end_row();
    }

    /// Adds a boolean.
    pub fn bool(&mut self, value: Option<bool>) {
        self.start_row(value.is_some());
        self.values.push(u8::from(value.unwrap_or(false)));
        self.end_row();
    }

    /// The hash of the whole column.
    pub fn finish(mut self) -> ContentHash {
        if self.in_block > 0 {
            self.close_block();
        }
        let mut hasher = Hasher::new("assets.column.1");
        hasher.text(match self.tag {
            Tag::Float => "float",
            Tag::Int => "int",
            Tag::Text => "text",
            Tag::Time => "time",
            Tag::Bool => "bool",
        });
        hasher.number(self.rows);
        self.blocks.iter().for_each(|block| {
            hasher.bytes(block.as_bytes());
        });
        ContentHash(hasher.finish())
    }
}

/// The content hash of a column in memory.
pub fn hash_values(values: &Values) -> ContentHash {
    let mut hasher = ColumnHasher::new(match values {
        Values::Float(_) => Tag::Float,
        Values::Int(_) => Tag::Int,
        Values::Text(_) => Tag::Text,
        Values::Time(_) => Tag::Time,
        Values::Bool(_) => Tag::Bool,
    });
    match values {
        Values::Float(v) => v.iter().for_each(|x| hasher.float(*x)),
        Values::Int(v) | Values::Time(v) => v.iter().for_each(|x| hasher.int(*x)),
        Values::Text(v) => v.iter().for_each(|x| hasher.text(x.as_deref())),
        Values::Bool(v) => v.iter().for_each(|x| hasher.bool(*x)),
    }
    hasher.finish()
}

/// (column, content hash) of a table in memory.
pub fn hash_table(table: &Table) -> Vec<(String, ContentHash)> {
    table.columns.iter().map(|(name, values)| (name.clone(), hash_values(values))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fast_ways_hash_like_the_slow_ones() {
        let values: Vec<f64> =
            (0..150_003).map(|i| if i % 1000 == 3 { f64::NAN } else { f64::from(i) * 0.5 }).collect();
        let mut slow = ColumnHasher::new(Tag::Float);
        values.iter().for_each(|v| slow.float(Some(*v)));
        let expected = slow.finish();
        for cut in [0, 1, 7, 8, 65_535, 65_536, 70_001] {
            let mut fast = ColumnHasher::new(Tag::Float);
            fast.floats(&values[..cut]);
            fast.floats(&values[cut..]);
            assert_eq!(fast.finish(), expected, "cut at {cut}");
        }
    }

    #[test]
    fn what_differs_hashes_differently() {
        let hashes = [
            hash_values(&Values::Float(vec![])),
            hash_values(&Values::Int(vec![])),
            hash_values(&Values::Float(vec![None])),
            hash_values(&Values::Float(vec![Some(0.0)])),
            hash_values(&Values::Int(vec![Some(0)])),
            hash_values(&Values::Time(vec![Some(0)])),
            hash_values(&Values::Text(vec![Some(String::new())])),
            hash_values(&Values::Text(vec![None])),
            hash_values(&Values::Bool(vec![Some(false)])),
        ];
        let distinct: std::collections::BTreeSet<_> = hashes.iter().collect();
        assert_eq!(distinct.len(), hashes.len());
    }

    #[test]
    fn golden_digest_of_a_column() {
        let hash = hash_values(&Values::Float(vec![Some(1.5), None, Some(f64::NAN)]));
        assert_eq!(hash.to_string(), "c6cba7692e895e89fe34e2baa058fbd7");
        let other_nan = f64::from_bits(0x7ff8_0000_0000_0001);
        assert_eq!(hash, hash_values(&Values::Float(vec![Some(1.5), None, Some(other_nan)])));
    }
}
