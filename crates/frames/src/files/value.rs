//! Cells as values of declared kinds, and columns of them.

use crate::columns;
use crate::intake::cell::{Delivered, whole};
use crate::intake::time::{Parsed, Parser};
use assets_core::Kind;
use polars::prelude::{Column, IntoColumn, PlSmallStr, StringChunkedBuilder};

/// A cell as a value of its column's kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Float(f64),
    Int(i64),
    Time(i64),
    Bool(bool),
    Text(&'a str),
    /// Text that is text only for us.
    OwnText,
    /// None of its kind.
    Bad,
    /// A time without a zone, and none is set.
    NoZone,
}

/// The value of a cell.
pub(super) fn value<'a>(
    cell: Delivered<'a>,
    kind: Kind,
    parser: &mut Parser,
    zone: Option<&chrono_tz::Tz>,
) -> Value<'a> {
    match (kind, cell) {
        (_, Delivered::Null) => Value::Null,
        (_, Delivered::Broken(_)) => Value::Bad,
        (Kind::Text, Delivered::Text(text)) => Value::Text(text),
        (Kind::Text, _) => Value::OwnText,
        (_, Delivered::Text(text)) if text.trim().is_empty() => Value::Null,
        (Kind::Float, cell) => float(cell),
        (Kind::Int, cell) => integer(cell),
        (Kind::Bool, cell) => boolean(cell),
        (Kind::Time, cell) => time(trimmed(cell), parser, zone),
    }
}

fn time<'a>(cell: Delivered<'a>, parser: &mut Parser, zone: Option<&chrono_tz::Tz>) -> Value<'a> {
    let mut parsed = cell.time(parser, zone);
    if let (Parsed::Bad, Delivered::Text(text)) = (parsed, cell) {
        // A day means its beginning, and a minute too.
        let whole = match text.len() {
            10 => format!("{text}T00:00:00"),
            16 => format!("{text}:00"),
            _ => return Value::Bad,
        };
        parsed = Delivered::Text(&whole).time(parser, zone);
    }
    match parsed {
        Parsed::Time { us, .. } => Value::Time(us),
        Parsed::NoZone => Value::NoZone,
        Parsed::Bad => Value::Bad,
    }
}

fn trimmed(cell: Delivered<'_>) -> Delivered<'_> {
    match cell {
        Delivered::Text(text) => Delivered::Text(text.trim()),
        other => other,
    }
}

/// A number; that it is none (NaN) is how numbers say null.
fn float(cell: Delivered<'_>) -> Value<'_> {
    let value = match cell {
        Delivered::Float(value) => value,
        Delivered::Int(value) => value as f64,
        Delivered::Unsigned(value) => value as f64,
        Delivered::Text(text) => match text.trim().parse::<f64>() {
            // A number too large for a float is not infinite.
            Ok(value) if value.is_infinite() && text.contains(|digit: char| digit.is_ascii_digit()) => {
                return Value::Bad;
            }
            Ok(value) => value,
            Err(_) => return Value::Bad,
        },
        _ => return Value::Bad,
    };
    if value.is_nan() { Value::Null } else { Value::Float(value) }
}

/// A whole number; floats that are whole are meant as one: a column with nulls is often written so.
fn integer(cell: Delivered<'_>) -> Value<'_> {
    let of_float = |value: f64| match whole(value) {
        Some(value) => Value::Int(value),
        None if value.is_nan() => Value::Null,
        None => Value::Bad,
    };
    match cell {
        Delivered::Int(value) => Value::Int(value),
        Delivered::Unsigned(value) => i64::try_from(value).map_or(Value::Bad, Value::Int),
        Delivered::Float(value) => of_float(value),
        Delivered::Text(text) => match text.trim().parse::<i64>() {
            Ok(value) => Value::Int(value),
            Err(_) => text.trim().parse().map_or(Value::Bad, of_float),
        },
        _ => Value::Bad,
    }
}

fn boolean(cell: Delivered<'_>) -> Value<'_> {
    match cell {
        Delivered::Int(0) => Value::Bool(false),
        Delivered::Int(1) => Value::Bool(true),
        Delivered::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" => Value::Bool(true),
            "false" | "0" => Value::Bool(false),
            _ => Value::Bad,
        },
        _ => Value::Bad,
    }
}

/// Values of one column.
pub(super) enum Values {
    Float(Vec<Option<f64>>),
    Int(Vec<Option<i64>>),
    Time(Vec<Option<i64>>),
    Bool(Vec<Option<bool>>),
    /// Each text is copied once, to where it stays.
    Text(StringChunkedBuilder),
}

impl Values {
    pub(super) fn new(kind: Kind) -> Self {
        match kind {
            Kind::Float => Self::Float(Vec::new()),
            Kind::Int => Self::Int(Vec::new()),
            Kind::Time => Self::Time(Vec::new()),
            Kind::Bool => Self::Bool(Vec::new()),
            Kind::Text => Self::Text(StringChunkedBuilder::new(PlSmallStr::EMPTY, 0)),
        }
    }

    /// Adds a value of the column's kind; anything else is null. `cell` is where it came from.
    pub(super) fn push(&mut self, value: Value<'_>, cell: Delivered<'_>) {
        match (self, value) {
            (Self::Float(all), value) => all.push(if let Value::Float(value) = value { Some(value) } else { None }),
            (Self::Int(all), value) => all.push(if let Value::Int(value) = value { Some(value) } else { None }),
            (Self::Time(all), value) => all.push(if let Value::Time(value) = value { Some(value) } else { None }),
            (Self::Bool(all), value) => all.push(if let Value::Bool(value) = value { Some(value) } else { None }),
            (Self::Text(all), Value::Text(text)) => all.append_value(text),
            (Self::Text(all), Value::OwnText) => all.append_option(cell.text()),
            (Self::Text(all), _) => all.append_null(),
        }
    }

    pub(super) fn column(self, name: &str) -> Column {
        match self {
            Self::Float(all) => columns::maybe_floats(name, all.into_iter()),
            Self::Int(all) => columns::ints(name, all.into_iter()),
            Self::Time(all) => columns::maybe_times(name, all.into_iter()),
            Self::Bool(all) => columns::bools(name, all.into_iter()),
            Self::Text(all) => all.finish().with_name(name.into()).into_column(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_become_values_of_their_kind_or_none() {
        let of = |text, kind| value(Delivered::Text(text), kind, &mut Parser::default(), None);
        assert_eq!(of(" 4.5 ", Kind::Float), Value::Float(4.5));
        assert_eq!(of("1e3", Kind::Float), Value::Float(1000.0));
        assert_eq!(of("nan", Kind::Float), Value::Null);
        assert_eq!(of("4,5", Kind::Float), Value::Bad);
        assert_eq!(of("1e400", Kind::Float), Value::Bad);
        assert_eq!(of("-inf", Kind::Float), Value::Float(f64::NEG_INFINITY));
        assert_eq!(of("7", Kind::Int), Value::Int(7));
        assert_eq!(of("7.0", Kind::Int), Value::Int(7));
        assert_eq!(of("9007199254740993", Kind::Int), Value::Int(9_007_199_254_740_993));
        assert_eq!(of("7.5", Kind::Int), Value::Bad);
        assert_eq!(of("TRUE", Kind::Bool), Value::Bool(true));
        assert_eq!(of("0", Kind::Bool), Value::Bool(false));
        assert_eq!(of("yes", Kind::Bool), Value::Bad);
        assert_eq!(of("1970-01-01T00:00:01Z", Kind::Time), Value::Time(1_000_000));
        assert_eq!(of("1970-01-01T00:00:01", Kind::Time), Value::NoZone);
        assert_eq!(of("1970-01-01", Kind::Time), Value::NoZone);
        let paris = chrono_tz::Europe::Paris;
        let there = |text| value(Delivered::Text(text), Kind::Time, &mut Parser::default(), Some(&paris));
        assert_eq!(there("2024-07-01"), Value::Time(1_719_784_800_000_000));
        assert_eq!(there("2024-07-01 00:05"), Value::Time(1_719_785_100_000_000));
        assert_eq!(there("2024-07-01T0:05"), Value::Bad);
        assert_eq!(of("", Kind::Float), Value::Null);
        assert_eq!(of(" x", Kind::Text), Value::Text(" x"));
        let float = |kind| value(Delivered::Float(2.5), kind, &mut Parser::default(), None);
        assert_eq!((float(Kind::Text), float(Kind::Int)), (Value::OwnText, Value::Bad));
    }
}
