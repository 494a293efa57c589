//! Times in SQL: columns of times are UTC, and so is every time that a person writes beside one, in whatever
//! usual form. polars compares neither with text nor with a time without zone; here both sides become the latter.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};
use sqlparser::ast::{
    BinaryOperator, CastKind, DataType, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned, TimezoneInfo,
    TypedString, Value,
};
use sqlparser::tokenizer::Location;

/// A text beside a time that is none.
pub(crate) struct NoTime {
    text: String,
    /// Where it stands.
    pub(crate) place: Location,
}

impl NoTime {
    /// What is wrong with it.
    pub(crate) fn message(&self) -> String {
        let text = &self.text;
        format!("`{text}` is no time: write it like '2022-11-23T20:45:00Z' (UTC where no zone is given)")
    }
}

/// Which names are columns of times: by the table, where one is named, and the column.
pub(crate) type Names<'a> = &'a dyn Fn(Option<&str>, &str) -> bool;

/// Whether an expression is over a column of times, and a time itself.
pub(crate) fn is_time(expr: &Expr, names: Names<'_>) -> bool {
    match expr {
        Expr::Identifier(name) => names(None, &name.value),
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [.., table, column] => names(Some(&table.value), &column.value),
            _ => false,
        },
        Expr::Nested(expr) => is_time(expr, names),
        Expr::Cast { expr, data_type, .. } => is_timestamp(data_type) && is_time(expr, names),
        Expr::BinaryOp { left, op: BinaryOperator::Plus | BinaryOperator::Minus, right } => {
            is_time(left, names) && matches!(**right, Expr::Interval(_))
        }
        Expr::Function(function) => {
            let name = function.name.to_string().to_lowercase();
            let keeps = matches!(&*name, "min" | "max" | "first" | "last" | "coalesce" | "lag" | "lead");
            let FunctionArguments::List(list) = &function.args else { return false };
            keeps
                && list.args.iter().any(|argument| match argument {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => is_time(expr, names),
                    _ => false,
                })
        }
        _ => false,
    }
}

/// Makes what an expression compares comparable, where one side is a time. Whether something in the expression itself
/// was replaced; what is in it has been before.
pub(crate) fn replace(expr: &mut Expr, names: Names<'_>) -> Result<bool, NoTime> {
    match expr {
        Expr::BinaryOp { left, op, right } if is_comparison(op) => {
            together(names, &mut [left.as_mut(), right.as_mut()])
        }
        Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right) => {
            together(names, &mut [left.as_mut(), right.as_mut()])
        }
        Expr::Between { expr, low, high, .. } => together(names, &mut [expr.as_mut(), low.as_mut(), high.as_mut()]),
        Expr::InList { expr, list, .. } => {
            let mut sides: Vec<&mut Expr> = std::iter::once(expr.as_mut()).chain(list).collect();
            together(names, &mut sides)
        }
        // A timestamp on its own: the forms that polars does not know.
        Expr::TypedString(_) | Expr::Cast { .. } => match written(expr).filter(|text| text.is_timestamp) {
            Some(text) => {
                *expr = text.literal()?;
                Ok(true)
            }
            None => Ok(false),
        },
        _ => Ok(false),
    }
}

fn is_comparison(op: &BinaryOperator) -> bool {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq, Spaceship};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | Spaceship)
}

/// What is compared, made comparable: where one side is a column's time and another is written, all are times without
/// a zone.
fn together(names: Names<'_>, sides: &mut [&mut Expr]) -> Result<bool, NoTime> {
    let with_column = sides.iter().any(|side| is_time(side, names));
    if !with_column || !sides.iter().any(|side| is_written(side)) {
        return Ok(false);
    }
    for side in sides {
        if is_time(side, names) {
            let expr = Box::new(std::mem::replace(&mut **side, Expr::Value(Value::Null.into())));
            let kind = CastKind::Cast;
            **side = Expr::Cast { kind, expr, data_type: timestamp(), array: false, format: None };
        } else {
            spell(side)?;
        }
    }
    Ok(true)
}

/// Whether a side is a time that a person wrote, with an interval or without.
fn is_written(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryOp { left, op: BinaryOperator::Plus | BinaryOperator::Minus, right } => {
            matches!(**right, Expr::Interval(_)) && is_written(left)
        }
        Expr::Nested(expr) => is_written(expr),
        expr => written(expr).is_some(),
    }
}

fn spell(expr: &mut Expr) -> Result<(), NoTime> {
    match expr {
        Expr::BinaryOp { left, .. } if is_written(left) => spell(left),
        Expr::Nested(inner) => spell(inner),
        other => {
            if let Some(text) = written(other) {
                *other = text.literal()?;
            }
            Ok(())
        }
    }
}

/// A text that may be a time.
struct Written {
    text: String,
    place: Location,
    is_timestamp: bool,
}

fn written(expr: &Expr) -> Option<Written> {
    let text = |value: &Value| match value {
        Value::SingleQuotedString(text) => Some(text.clone()),
        _ => None,
    };
    let place = expr.span().start;
    match expr {
        Expr::Value(value) => Some(Written { text: text(&value.value)?, place, is_timestamp: false }),
        Expr::TypedString(typed) if is_timestamp(&typed.data_type) || typed.data_type == DataType::Date => {
            let is_timestamp = typed.data_type != DataType::Date;
            Some(Written { text: text(&typed.value.value)?, place: typed.value.span.start, is_timestamp })
        }
        Expr::Cast { expr, data_type, .. } if is_timestamp(data_type) || *data_type == DataType::Date => {
            let Expr::Value(value) = expr.as_ref() else { return None };
            let is_timestamp = *data_type != DataType::Date;
            Some(Written { text: text(&value.value)?, place: value.span.start, is_timestamp })
        }
        _ => None,
    }
}

impl Written {
    /// The time as polars reads it.
    fn literal(self) -> Result<Expr, NoTime> {
        let Some(time) = parse(&self.text) else { return Err(NoTime { text: self.text, place: self.place }) };
        let value = Value::SingleQuotedString(time.format("%Y-%m-%d %H:%M:%S%.6f").to_string()).into();
        Ok(Expr::TypedString(TypedString { data_type: timestamp(), value, uses_odbc_syntax: false }))
    }
}

fn timestamp() -> DataType {
    DataType::Timestamp(None, TimezoneInfo::None)
}

fn is_timestamp(kind: &DataType) -> bool {
    matches!(kind, DataType::Timestamp(..) | DataType::TimestampNtz(_) | DataType::Datetime(_))
}

/// A time as people write it, in UTC: with `Z` or an offset, or without; a date is its midnight.
fn parse(text: &str) -> Option<NaiveDateTime> {
    let text = text.trim().replacen(['T', 't'], " ", 1);
    for format in ["%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f %#z", "%Y-%m-%d %H:%M%#z"] {
        if let Ok(time) = DateTime::parse_from_str(&text, format) {
            return Some(time.naive_utc());
        }
    }
    for format in ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"] {
        if let Ok(time) = NaiveDateTime::parse_from_str(&text, format) {
            return Some(time);
        }
    }
    Some(NaiveDate::parse_from_str(&text, "%Y-%m-%d").ok()?.and_time(NaiveTime::MIN))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn times_as_people_write_them() {
        for (text, utc) in [
            ("2022-11-23T20:45:00Z", "2022-11-23 20:45:00"),
            ("2022-11-23 20:45:00", "2022-11-23 20:45:00"),
            ("2022-11-23T21:45:00.5+01:00", "2022-11-23 20:45:00.500"),
            ("2022-11-23 21:45:00 +0100", "2022-11-23 20:45:00"),
            ("2022-11-23 20:45:00.123456", "2022-11-23 20:45:00.123456"),
            ("2022-11-23 20:45", "2022-11-23 20:45:00"),
            ("2022-11-23T20:45Z", "2022-11-23 20:45:00"),
            ("2022-11-23", "2022-11-23 00:00:00"),
        ] {
            assert_eq!(parse(text).map(|time| time.to_string()).as_deref(), Some(utc), "{text}");
        }
        for none in ["", "yesterday", "2022-13-01", "2022-11-23T25:00:00Z", "7582"] {
            assert_eq!(parse(none), None, "{none}");
        }
    }
}
