//! Content hashes: what a column holds, over fixed blocks of 65,536 rows, with the row count and one canonical NaN,
//! whatever the chunks, threads or file it came in. A column's name is not part of it.

use crate::hash::{ContentHash, Digest, Hasher};
use crate::table::{Table, Values};

/// Rows per hashed block.
pub const BLOCK_ROWS: usize = 65_536;
const CANONICAL_NAN: u64 = 0x7ff8_0000_0000_0000;
/// Longer texts are hashed on their own: a block is held until it is full, and would be as long as all of them.
const TEXT_BYTES_MOST: usize = 1024;

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
            let begin = self.values.len();
            self.values.resize(begin + take * 8, 0);
            let (words, _) = self.values[begin..].as_chunks_mut::<8>();
            words.iter_mut().zip(&values[..take]).for_each(|(word, value)| *word = bits(*value).to_le_bytes());
            self.valid_rows(take, u8::MAX);
            values = &values[take..];
        }
    }

    /// Counts rows whose values are there, a multiple of eight that the block has room for, all valid or none.
    fn valid_rows(&mut self, rows: usize, valid: u8) {
        self.validity.resize(self.validity.len() + rows / 8, valid);
        self.nulls |= valid == 0;
        self.rows += rows as u64;
        self.in_block += rows;
        if self.in_block == BLOCK_ROWS {
            self.close_block();
        }
    }

    /// Adds nulls: the fast way of `None` again and again.
    pub fn nulls(&mut self, mut rows: usize) {
        // A null is an empty text, a zero, or false.
        let width = if self.tag == Tag::Bool { 1 } else { 8 };
        while rows > 0 {
            let take = if self.in_block.is_multiple_of(8) { rows.min(BLOCK_ROWS - self.in_block) & !7 } else { 0 };
            if take == 0 {
                self.start_row(false);
                self.values.resize(self.values.len() + width, 0);
                self.end_row();
                rows -= 1;
                continue;
            }
            self.values.resize(self.values.len() + take * width, 0);
            self.valid_rows(take, 0);
            rows -= take;
        }
    }

    /// Adds floats of which each may be null: the fast way of `float`.
    pub fn maybe_floats(&mut self, values: &[f64], valid: &dyn Fn(usize) -> bool) {
        self.runs(values, valid, Self::floats);
    }

    /// Adds integers or times of which each may be null: the fast way of `int`.
    pub fn maybe_ints(&mut self, values: &[i64], valid: &dyn Fn(usize) -> bool) {
        self.runs(values, valid, Self::ints);
    }

    /// Values and nulls mostly come many in a row.
    fn runs<T>(&mut self, values: &[T], valid: &dyn Fn(usize) -> bool, add: impl Fn(&mut Self, &[T])) {
        let mut start = 0;
        while start < values.len() {
            let is_valid = valid(start);
            let length = (start..values.len()).take_while(|at| valid(*at) == is_valid).count();
            if is_valid {
                add(self, &values[start..start + length]);
            } else {
                self.nulls(length);
            }
            start += length;
        }
    }

    /// Adds an integer, or a time in microseconds.
    pub fn int(&mut self, value: Option<i64>) {
        self.word(value.map(i64::cast_unsigned));
    }

    /// Adds a text.
    pub fn text(&mut self, value: Option<&str>) {
        self.start_row(value.is_some());
        put_text(&mut self.values, value.unwrap_or_default());
        self.end_row();
    }

    /// Adds a text for each code, its place in `texts`: the fast way of `text` for texts that repeat.
    pub fn coded_texts(&mut self, texts: &[Option<&str>], mut codes: &[u32]) {
        let bytes: Vec<Vec<u8>> = texts.iter().map(|text| text_bytes(text.unwrap_or_default())).collect();
        let padded: Option<Vec<_>> = texts.iter().zip(&bytes).map(|(text, bytes)| text.and(padded(bytes))).collect();
        let longest = bytes.iter().map(Vec::len).max().unwrap_or_default();
        if longest < PADDED {
            // Memory that grows is copied, and fetched page by page, each time.
            self.values.reserve(codes.len().min(BLOCK_ROWS - self.in_block) * longest + TEXTS_AT_ONCE * PADDED);
        }
        while let Some(code) = codes.first() {
            let most = codes.len().min(BLOCK_ROWS - self.in_block).min(TEXTS_AT_ONCE) & !7;
            match &padded {
                Some(padded) if most > 0 && self.in_block.is_multiple_of(8) => {
                    let (now, later) = codes.split_at(most);
                    self.short_texts(padded, now);
                    codes = later;
                }
                _ => {
                    self.start_row(texts[*code as usize].is_some());
                    self.values.extend_from_slice(&bytes[*code as usize]);
                    self.end_row();
                    codes = &codes[1..];
                }
            }
        }
    }

    /// Adds short texts that are there, a multiple of eight that the block has room for.
    fn short_texts(&mut self, padded: &[([u8; PADDED], usize)], codes: &[u32]) {
        let mut at = self.values.len();
        // Each is written with what pads it, and the next one over that.
        self.values.resize(at + codes.len() * PADDED, 0);
        for code in codes {
            let (bytes, length) = &padded[*code as usize];
            self.values[at..at + PADDED].copy_from_slice(bytes);
            at += length;
        }
        self.values.truncate(at);
        self.valid_rows(codes.len(), u8::MAX);
    }

    /// Adds the same text again and again: the fast way of `text` for a column of one.
    pub fn repeated_text(&mut self, text: &str, mut rows: usize) {
        let bytes = text_bytes(text);
        while rows > 0 {
            let take = if self.in_block.is_multiple_of(8) { rows.min(BLOCK_ROWS - self.in_block) & !7 } else { 0 };
            if take == 0 {
                self.start_row(true);
                self.values.extend_from_slice(&bytes);
                self.end_row();
                rows -= 1;
                continue;
            }
            let begin = self.values.len();
            self.values.reserve(take * bytes.len());
            self.values.extend_from_slice(&bytes);
            while self.values.len() < begin + take * bytes.len() {
                // Twice as many each time.
                let more = (self.values.len() - begin).min(begin + take * bytes.len() - self.values.len());
                self.values.extend_from_within(begin..begin + more);
            }
            self.valid_rows(take, u8::MAX);
            rows -= take;
        }
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

/// Room for a short text behind its length.
const PADDED: usize = 32;

/// Texts that are put down at once: what pads them stays in the processor's cache.
const TEXTS_AT_ONCE: usize = 1024;

fn padded(bytes: &[u8]) -> Option<([u8; PADDED], usize)> {
    let mut padded = [0; PADDED];
    padded.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some((padded, bytes.len()))
}

fn text_bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_text(&mut bytes, text);
    bytes
}

/// A text's length, then the text or, of a long one, its hash: the length says which.
fn put_text(into: &mut Vec<u8>, text: &str) {
    into.extend_from_slice(&(text.len() as u64).to_le_bytes());
    if text.len() <= TEXT_BYTES_MOST {
        into.extend_from_slice(text.as_bytes());
    } else {
        let hash: Digest<16> = Hasher::new("assets.text.1").text(text).finish();
        into.extend_from_slice(hash.as_bytes());
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
    fn nulls_and_repeated_texts_hash_like_one_by_one() {
        let values: Vec<f64> = (0..150_003).map(f64::from).collect();
        let valid = |row: usize| row % 40_000 > 20_000 || row % 7 == 2;
        let mut slow = ColumnHasher::new(Tag::Float);
        values.iter().enumerate().for_each(|(row, v)| slow.float(Some(*v).filter(|_| valid(row))));
        let mut fast = ColumnHasher::new(Tag::Float);
        fast.maybe_floats(&values[..77], &valid);
        fast.maybe_floats(&values[77..], &|row| valid(row + 77));
        assert_eq!(fast.finish(), slow.finish());
        let texts = [Some("a"), None, Some(""), Some("bcd")];
        let codes = (0..150_003).map(|row| row / 3 % 4);
        let mut slow = ColumnHasher::new(Tag::Text);
        codes.clone().for_each(|code| slow.text(texts[code as usize]));
        (0..9).for_each(|_| slow.text(None));
        let mut fast = ColumnHasher::new(Tag::Text);
        fast.coded_texts(&texts, &codes.collect::<Vec<u32>>());
        fast.nulls(9);
        assert_eq!(fast.finish(), slow.finish());
    }

    #[test]
    fn short_and_equal_texts_hash_like_one_by_one() {
        let long = "x".repeat(PADDED);
        for texts in [vec!["a", "", "nine more"], vec!["a", &long]] {
            let codes: Vec<u32> = (0..150_003).map(|row| row / 5 % texts.len() as u32).collect();
            let optional: Vec<Option<&str>> = texts.iter().copied().map(Some).collect();
            let mut slow = ColumnHasher::new(Tag::Text);
            codes.iter().for_each(|code| slow.text(optional[*code as usize]));
            (0..150_003).for_each(|_| slow.text(optional[0]));
            let expected = slow.finish();
            for cut in [0, 1, 8, 1024, 65_535, 70_001] {
                let mut fast = ColumnHasher::new(Tag::Text);
                fast.coded_texts(&optional, &codes[..cut]);
                fast.coded_texts(&optional, &codes[cut..]);
                fast.repeated_text(texts[0], cut);
                fast.repeated_text(texts[0], codes.len() - cut);
                assert_eq!(fast.finish(), expected, "cut at {cut}");
            }
        }
    }

    #[test]
    fn a_block_of_long_texts_is_short() {
        let long = "x".repeat(TEXT_BYTES_MOST + 1);
        let mut hasher = ColumnHasher::new(Tag::Text);
        (0..1000).for_each(|_| hasher.text(Some(&long)));
        assert!(hasher.values.len() < 32 * 1000);
        let mut coded = ColumnHasher::new(Tag::Text);
        coded.coded_texts(&[Some(&long)], &[0; 1000]);
        let last = "y".repeat(TEXT_BYTES_MOST + 1);
        let mut other = ColumnHasher::new(Tag::Text);
        (0..999).for_each(|_| other.text(Some(&long)));
        other.text(Some(&last));
        let hash = hasher.finish();
        assert_eq!(coded.finish(), hash);
        assert_ne!(other.finish(), hash);
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
