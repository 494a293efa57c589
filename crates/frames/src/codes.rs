//! Texts that repeat as small numbers: whoever goes by a column of few distinct texts looks at each of them once, and not
//! at every row's.

use polars::prelude::*;
use std::collections::HashMap;

/// A column of texts as it is held: in each row, or once for all of them.
pub(crate) enum Texts<'a> {
    /// The same in so many rows, which no memory is taken for.
    Same(Option<&'a str>, usize),
    /// Each row's own.
    Each(&'a StringChunked),
}

impl<'a> Texts<'a> {
    /// Those of a column.
    pub(crate) fn of(column: &'a Column) -> PolarsResult<Self> {
        match column.as_scalar_column().filter(|_| column.dtype() == &DataType::String) {
            Some(same) => Ok(Self::Same(same.scalar().value().get_str(), same.len())),
            None => column
                .try_str()
                .map(Self::Each)
                .ok_or_else(|| polars_err!(SchemaMismatch: "{} is no text", column.name())),
        }
    }

    /// As codes.
    pub(crate) fn codes(self) -> Codes<'a> {
        match self {
            Self::Same(_, 0) => Codes::default(),
            Self::Same(text, rows) => Codes { texts: vec![text], codes: vec![0; rows] },
            Self::Each(values) => Codes::of(values),
        }
    }
}

/// A column of texts: which there are, and which of them each row has.
#[derive(Debug, Default, PartialEq)]
pub struct Codes<'a> {
    /// The distinct texts, and null where there is one, in the order in which they come.
    pub texts: Vec<Option<&'a str>>,
    /// Each row's place in `texts`.
    pub codes: Vec<u32>,
}

/// Places for texts that are remembered by how they are stored, two beside each other for those that fall on one.
const RECENT: usize = 128;

/// The codes of what was seen last. Text of up to 12 bytes is stored in a row's own 16 bytes, longer text elsewhere, once
/// or more often: of one chunk equal bytes are equal text, and others may be.
struct Recent {
    /// `None`: nothing was seen there.
    seen: [(u128, Option<u32>); RECENT],
}

impl Recent {
    fn new() -> Self {
        Self { seen: [(0, None); RECENT] }
    }

    fn place(stored: u128) -> usize {
        let folded = (stored ^ (stored >> 64)) as u64;
        // Fibonacci hashing: the highest bits depend on all of them.
        (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as usize * 2
    }

    fn find(&self, stored: u128) -> Option<u32> {
        let place = Self::place(stored);
        let (first, second) = (self.seen[place], self.seen[place + 1]);
        if first.0 == stored { first.1 } else { second.1.filter(|_| second.0 == stored) }
    }

    fn push(&mut self, stored: u128, code: u32) -> u32 {
        let place = Self::place(stored);
        self.seen[place + 1] = self.seen[place];
        self.seen[place] = (stored, Some(code));
        code
    }
}

/// All texts by what they say.
#[derive(Default)]
struct Distinct<'a> {
    texts: Vec<Option<&'a str>>,
    codes: HashMap<Option<&'a str>, u32>,
}

impl<'a> Distinct<'a> {
    fn code(&mut self, text: Option<&'a str>) -> u32 {
        *self.codes.entry(text).or_insert_with(|| {
            self.texts.push(text);
            // polars counts rows in 32 bits, and there are no more texts than rows.
            (self.texts.len() - 1) as u32
        })
    }
}

impl<'a> Codes<'a> {
    /// The codes of a column.
    pub fn of(values: &'a StringChunked) -> Self {
        Self::up_to(values, usize::MAX).unwrap_or_default()
    }

    /// The codes of a column that has at most so many distinct texts.
    pub fn up_to(values: &'a StringChunked, most: usize) -> Option<Self> {
        let mut codes: Vec<u32> = Vec::with_capacity(values.len());
        let mut distinct = Distinct::default();
        for (chunk, array) in values.downcast_iter().zip(values.chunks()) {
            let validity = array.validity();
            let mut recent = Recent::new();
            let mut null = None;
            let rows = chunk.views().len();
            // Most columns of text say the same in every row.
            if array.null_count() == rows {
                codes.resize(codes.len() + rows, if rows > 0 { distinct.code(None) } else { 0 });
                continue;
            }
            let first = chunk.views()[0].as_u128();
            if array.null_count() == 0 && chunk.views().iter().all(|view| view.as_u128() == first) {
                codes.resize(codes.len() + rows, distinct.code(Some(chunk.value(0))));
                continue;
            }
            for (row, view) in chunk.views().iter().enumerate() {
                let is_null = validity.is_some_and(|validity| !validity.get_bit(row));
                let stored = view.as_u128();
                let known = if is_null { null } else { recent.find(stored) };
                let code = match known {
                    Some(code) => code,
                    None if is_null => *null.insert(distinct.code(None)),
                    None => recent.push(stored, distinct.code(Some(chunk.value(row)))),
                };
                codes.push(code);
                if distinct.texts.len() > most {
                    return None;
                }
            }
        }
        (distinct.texts.len() <= most).then_some(Self { texts: distinct.texts, codes })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.codes.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }

    /// The text of a row.
    pub fn get(&self, row: usize) -> Option<&'a str> {
        self.texts[self.codes[row] as usize]
    }
}

/// The distinct values of integers, in the order in which they come, and each row's place among them.
pub(crate) fn of_ints(values: &Int64Chunked) -> (Vec<Option<i64>>, Vec<u32>) {
    let (mut distinct, mut known, mut last) = (Vec::new(), HashMap::new(), None);
    let codes = values.iter().map(|value| match last {
        Some((same, code)) if same == value => code,
        _ => {
            let code = *known.entry(value).or_insert_with(|| {
                distinct.push(value);
                // polars counts rows in 32 bits, and there are no more values than rows.
                (distinct.len() - 1) as u32
            });
            last = Some((value, code));
            code
        }
    });
    let codes = codes.collect();
    (distinct, codes)
}

/// Codes with texts of their own.
#[derive(Debug, Default, PartialEq)]
pub struct OwnedCodes {
    /// The distinct texts, and null where there is one.
    pub texts: Vec<Option<String>>,
    /// Each row's place in `texts`.
    pub codes: Vec<u32>,
}

impl From<Codes<'_>> for OwnedCodes {
    fn from(codes: Codes<'_>) -> Self {
        let texts = codes.texts.into_iter().map(|text| text.map(str::to_owned)).collect();
        Self { texts, codes: codes.codes }
    }
}

impl OwnedCodes {
    /// The text of a row.
    pub fn get(&self, row: usize) -> Option<&str> {
        self.texts[self.codes[row] as usize].as_deref()
    }

    /// Adds rows of these texts.
    pub(crate) fn extend(&mut self, texts: Vec<String>, rows: &Places) -> Option<()> {
        let place = |text: String| {
            let known = self.texts.iter().position(|known| known.as_ref() == Some(&text));
            let place = known.unwrap_or_else(|| {
                self.texts.push(Some(text));
                self.texts.len() - 1
            });
            place as u32
        };
        let places: Vec<u32> = texts.into_iter().map(place).collect();
        match rows {
            Places::First(rows) => self.codes.resize(self.codes.len() + rows, *places.first()?),
            Places::Each(codes) => {
                self.codes.reserve(codes.len());
                for code in codes {
                    self.codes.push(*places.get(*code as usize)?);
                }
            }
        }
        Some(())
    }
}

/// Which texts rows have.
pub(crate) enum Places {
    /// So many rows the first one.
    First(usize),
    /// Each row its own, by its place.
    Each(Vec<u32>),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns;

    #[test]
    fn equal_texts_have_one_code_however_they_are_stored() {
        let long = "longer than twelve bytes";
        let cells = [Some("x"), None, Some(long), Some("y"), Some(long), Some("x"), None, Some("")];
        let column = columns::texts("t", cells.into_iter());
        let mut values = column.str().expect("texts").clone();
        values.append(&values.clone()).expect("appended");
        let codes = Codes::of(&values);
        assert_eq!(codes.texts, [Some("x"), None, Some(long), Some("y"), Some("")]);
        assert_eq!(codes.codes[..8], [0, 1, 2, 3, 2, 0, 1, 4]);
        assert_eq!(codes.codes[..8], codes.codes[8..]);
        assert_eq!(codes.get(12), Some(long));
        assert!(Codes::up_to(&values, 4).is_none());
    }

    #[test]
    fn more_texts_than_are_remembered() {
        let texts: Vec<String> = (0..100).map(|n| format!("{}", n % 23)).collect();
        let column = columns::texts("t", texts.iter().map(|text| Some(text.as_str())));
        let codes = Codes::of(column.str().expect("texts"));
        assert_eq!(codes.texts.len(), 23);
        assert!((0..100).all(|row| codes.get(row) == Some(texts[row].as_str())));
    }
}
