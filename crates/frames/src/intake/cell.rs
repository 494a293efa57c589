//! Cells as they were delivered, whatever the file's type for them.

use super::iso::time_text;
use super::time::{self, Parsed, Parser};
use crate::codes::{self, Codes, OwnedCodes};
use crate::parquet;
use polars::prelude::*;
use std::borrow::Cow;

/// A cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Delivered<'a> {
    /// Nothing.
    Null,
    /// Text.
    Text(&'a str),
    /// Text that was not UTF-8, with the bytes that are not replaced: different ones may look alike.
    Broken(&'a str),
    /// A float.
    Float(f64),
    /// An integer.
    Int(i64),
    /// An integer beyond `i64`.
    Unsigned(u64),
    /// Microseconds since the epoch.
    Time(i64),
    /// Microseconds of a local time without a zone.
    Local(i64),
}

impl<'a> Delivered<'a> {
    /// A cell as text; `None` where there is nothing.
    pub fn text(self) -> Option<Cow<'a, str>> {
        Some(match self {
            Self::Null => return None,
            Self::Text(text) | Self::Broken(text) => Cow::Borrowed(text),
            Self::Float(value) => value.to_string().into(),
            Self::Int(value) => value.to_string().into(),
            Self::Unsigned(value) => value.to_string().into(),
            // Beyond the calendar a count of microseconds is all there is to say.
            Self::Time(us) | Self::Local(us) if !time::in_calendar(us) => us.to_string().into(),
            Self::Time(us) => time_text(us).into(),
            Self::Local(us) => time_text(us).trim_end_matches('Z').to_owned().into(),
        })
    }

    /// Whether it is the very same: zeros of either sign are different texts, and equal NaNs are one.
    pub fn is(self, other: Self) -> bool {
        match (self, other) {
            (Self::Float(value), Self::Float(other)) => value.to_bits() == other.to_bits(),
            _ => self == other,
        }
    }

    /// Bytes of its text, where it was delivered as one.
    pub fn text_bytes(self) -> usize {
        match self {
            Self::Text(text) | Self::Broken(text) => text.len(),
            _ => 0,
        }
    }

    /// The time that it says; one outside of the calendar is none.
    pub fn time(self, parser: &mut Parser, zone: Option<&chrono_tz::Tz>) -> Parsed {
        match self {
            Self::Time(us) if time::in_calendar(us) => Parsed::Time { us, usual: true },
            Self::Local(us) if time::in_calendar(us) => time::in_zone(us, zone).unwrap_or(Parsed::Bad),
            Self::Text(text) => match parser.parse(text, zone) {
                Parsed::Time { us, .. } if !time::in_calendar(us) => Parsed::Bad,
                parsed => parsed,
            },
            _ => Parsed::Bad,
        }
    }
}

/// A float that is a whole number, as one.
pub fn whole(value: f64) -> Option<i64> {
    (value.fract() == 0.0 && value.abs() < 1e15).then_some(value as i64)
}

/// Integers as texts, each of them written once.
fn repeated(values: &Int64Chunked) -> OwnedCodes {
    let (distinct, codes) = codes::of_ints(values);
    OwnedCodes { texts: distinct.into_iter().map(|value| value.map(|value| value.to_string())).collect(), codes }
}

/// A column of any type, cell by cell.
pub enum Cells<'a> {
    /// Text.
    Texts(Vec<Option<&'a str>>),
    /// What is text only for us.
    Owned(Vec<Option<String>>),
    /// Floats.
    Floats(Vec<Option<f64>>),
    /// Floats that are all there.
    AllFloats(&'a [f64]),
    /// Integers.
    Ints(Vec<Option<i64>>),
    /// Integers that are all there.
    AllInts(&'a [i64]),
    /// Integers beyond `i64`.
    Unsigned(Vec<Option<u64>>),
    /// Microseconds, and whether they have a zone.
    Times(Vec<Option<i64>>, bool),
    /// Integers that repeat, as texts.
    Repeated(OwnedCodes),
    /// Texts that repeat.
    Coded(Codes<'a>),
}

/// Texts of so many kinds are held as codes.
const KINDS_MOST: usize = 256;

impl<'a> Cells<'a> {
    /// The cells of a column.
    pub fn of(column: &'a Column) -> PolarsResult<Self> {
        Ok(match column.dtype() {
            DataType::String => Self::Texts(column.str()?.iter().collect()),
            DataType::Float64 => match column.f64()?.cont_slice() {
                Ok(all) => Self::AllFloats(all),
                Err(_) => Self::Floats(column.f64()?.iter().collect()),
            },
            DataType::Int64 => match column.i64()?.cont_slice() {
                Ok(all) => Self::AllInts(all),
                Err(_) => Self::Ints(column.i64()?.iter().collect()),
            },
            DataType::UInt64 => Self::Unsigned(column.u64()?.iter().collect()),
            DataType::Datetime(_, zone) => {
                let zoned = zone.is_some();
                let micros = column.cast(&DataType::Datetime(TimeUnit::Microseconds, zone.clone()))?;
                Self::Times(micros.datetime()?.physical().iter().collect(), zoned)
            }
            dtype if dtype.is_integer() => Self::Ints(column.cast(&DataType::Int64)?.i64()?.iter().collect()),
            dtype if dtype.is_float() => Self::Floats(column.cast(&DataType::Float64)?.f64()?.iter().collect()),
            _ => Self::Owned(parquet::as_text(column)?),
        })
    }

    /// The cells of a column of which most are like others.
    pub fn alike(column: &'a Column) -> PolarsResult<Self> {
        match column.dtype() {
            DataType::String => {
                Codes::up_to(column.str()?, KINDS_MOST).map_or_else(|| Self::of(column), |codes| Ok(Self::Coded(codes)))
            }
            _ => Self::of(column),
        }
    }

    /// A column whose cells are wanted as text, whatever type they came in.
    pub fn text(column: &'a Column) -> PolarsResult<Self> {
        match column.dtype() {
            DataType::String => Self::alike(column),
            DataType::Int64 => Ok(Self::Repeated(repeated(column.i64()?))),
            dtype if dtype.is_signed_integer() => Ok(Self::Repeated(repeated(column.cast(&DataType::Int64)?.i64()?))),
            _ => Ok(Self::Owned(parquet::as_text(column)?)),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Texts(cells) => cells.len(),
            Self::Owned(cells) => cells.len(),
            Self::Floats(cells) => cells.len(),
            Self::AllFloats(cells) => cells.len(),
            Self::Ints(cells) => cells.len(),
            Self::AllInts(cells) => cells.len(),
            Self::Unsigned(cells) => cells.len(),
            Self::Times(cells, _) => cells.len(),
            Self::Repeated(cells) => cells.codes.len(),
            Self::Coded(cells) => cells.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A small number that stands for a cell: those with the same one are equal.
    pub fn code(&self, row: usize) -> Option<usize> {
        match self {
            Self::Repeated(cells) => Some(cells.codes[row] as usize),
            Self::Coded(cells) => Some(cells.codes[row] as usize),
            _ => None,
        }
    }

    /// Whether two cells are the very same.
    pub fn is_same(&self, row: usize, other: usize) -> bool {
        match (self.code(row), self.code(other)) {
            (Some(code), Some(other)) => code == other,
            _ => self.get(row).is(self.get(other)),
        }
    }

    /// The text of a cell; empty where it is none.
    pub fn get_text(&self, row: usize) -> &str {
        match self.get(row) {
            Delivered::Text(text) => text,
            _ => "",
        }
    }

    /// A cell.
    pub fn get(&self, row: usize) -> Delivered<'_> {
        let cell = match self {
            Self::Texts(cells) => cells[row].map(Delivered::Text),
            Self::Owned(cells) => cells[row].as_deref().map(Delivered::Text),
            Self::Floats(cells) => cells[row].map(Delivered::Float),
            Self::AllFloats(cells) => Some(Delivered::Float(cells[row])),
            Self::Ints(cells) => cells[row].map(Delivered::Int),
            Self::AllInts(cells) => Some(Delivered::Int(cells[row])),
            Self::Unsigned(cells) => cells[row].map(Delivered::Unsigned),
            Self::Times(cells, true) => cells[row].map(Delivered::Time),
            Self::Times(cells, false) => cells[row].map(Delivered::Local),
            Self::Repeated(cells) => cells.get(row).map(Delivered::Text),
            Self::Coded(cells) => cells.get(row).map(Delivered::Text),
        };
        cell.unwrap_or(Delivered::Null)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns;

    #[test]
    fn integers_are_the_texts_that_polars_makes_of_them() {
        let cells = [Some(7), Some(7), None, Some(-8), Some(7), None, Some(i64::MIN)];
        let column = columns::ints("cell_id", cells.into_iter());
        for column in [column.cast(&DataType::Int64), column.slice(0, 6).cast(&DataType::Int16)] {
            let column = column.expect("they fit");
            let texts = parquet::as_text(&column).expect("texts");
            let found = Cells::text(&column).expect("texts");
            assert!(matches!(&found, Cells::Repeated(codes) if codes.texts.len() <= 4));
            let expected = texts.iter().map(|text| text.as_deref().map_or(Delivered::Null, Delivered::Text));
            assert!((0..found.len()).map(|row| found.get(row)).eq(expected));
        }
    }
}
