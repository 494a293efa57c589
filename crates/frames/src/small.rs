//! Frames as small tables and back: rows that travel in records, and answers on their way to a person.

use crate::{columns, frame_error};
use assets_core::Reason;
use assets_core::table::{Table, Values};
use polars::prelude::*;

/// A frame as a table in memory.
pub fn to_table(frame: &DataFrame) -> Result<Table, Reason> {
    let columns = frame.columns().iter().map(|column| Ok((column.name().to_string(), values(column)?)));
    Ok(Table { columns: columns.collect::<Result<_, Reason>>()? })
}

fn values(column: &Column) -> Result<Values, Reason> {
    let wrong = |error: PolarsError| frame_error(&format!("the column {}", column.name()), &error);
    Ok(match column.dtype() {
        DataType::Float64 => Values::Float(column.f64().map_err(wrong)?.iter().collect()),
        DataType::Int64 => Values::Int(column.i64().map_err(wrong)?.iter().collect()),
        DataType::Boolean => Values::Bool(column.bool().map_err(wrong)?.iter().collect()),
        DataType::Datetime(TimeUnit::Microseconds, _) => {
            Values::Time(column.datetime().map_err(wrong)?.physical().iter().collect())
        }
        DataType::Datetime(..) | DataType::Date => {
            let wanted = DataType::Datetime(TimeUnit::Microseconds, None);
            return values(&column.cast(&wanted).map_err(wrong)?);
        }
        DataType::String => {
            Values::Text(column.str().map_err(wrong)?.iter().map(|text| text.map(str::to_owned)).collect())
        }
        dtype if dtype.is_float() => return values(&column.cast(&DataType::Float64).map_err(wrong)?),
        dtype if dtype.is_integer() => return values(&column.cast(&DataType::Int64).map_err(wrong)?),
        DataType::Null => Values::Text(vec![None; column.len()]),
        // Lists, structs, durations: their own text form is what a person can read.
        _ => {
            let series = column.as_materialized_series();
            let texts = (0..series.len()).map(|row| match series.get(row) {
                Ok(AnyValue::Null) | Err(_) => None,
                Ok(value) => Some(value.to_string()),
            });
            Values::Text(texts.collect())
        }
    })
}

/// A table in memory as a frame.
pub fn from_table(table: &Table) -> Result<DataFrame, Reason> {
    let columns = table.columns.iter().map(|(name, values)| match values {
        Values::Float(v) => columns::maybe_floats(name, v.iter().copied()),
        Values::Int(v) => columns::ints(name, v.iter().copied()),
        Values::Text(v) => columns::texts(name, v.iter().map(Option::as_deref)),
        Values::Time(v) => columns::maybe_times(name, v.iter().copied()),
        Values::Bool(v) => columns::bools(name, v.iter().copied()),
    });
    columns::frame(columns.collect())
}
