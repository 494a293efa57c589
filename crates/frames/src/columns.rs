//! Columns in and out of frames: vectors of plain values, nulls as `None` or NaN, times in microseconds UTC.

use crate::codes::{Codes, Texts};
use crate::frame_error;
use assets_core::{ColumnDecl, Kind, Reason};
use polars::prelude::*;
use polars_arrow::bitmap::Bitmap;

/// The data type of a declared column.
pub fn dtype(kind: Kind) -> DataType {
    match kind {
        Kind::Float => DataType::Float64,
        Kind::Int => DataType::Int64,
        Kind::Text => DataType::String,
        Kind::Time => DataType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC)),
        Kind::Bool => DataType::Boolean,
    }
}

/// What a column of that type is declared as; `None` for what no table holds.
pub fn kind(dtype: &DataType) -> Option<Kind> {
    match dtype {
        DataType::Boolean => Some(Kind::Bool),
        DataType::String => Some(Kind::Text),
        DataType::Datetime(..) => Some(Kind::Time),
        dtype if dtype.is_integer() => Some(Kind::Int),
        dtype if dtype.is_float() => Some(Kind::Float),
        _ => None,
    }
}

/// Whether a time of that type says in which zone it is.
pub fn has_zone(dtype: &DataType) -> bool {
    matches!(dtype, DataType::Datetime(_, Some(_)))
}

/// A column as values of a kind; NaN, which tables don't hold, becomes null.
pub fn conform(column: &Column, kind: Kind) -> PolarsResult<Column> {
    let column = column.cast(&dtype(kind))?;
    if kind != Kind::Float {
        return Ok(column);
    }
    let nan = column.f64()?.iter().any(|value| value.is_some_and(f64::is_nan));
    Ok(if nan { maybe_floats(column.name(), column.f64()?.iter().map(|v| v.filter(|v| !v.is_nan()))) } else { column })
}

/// The schema of declared columns.
pub fn schema(columns: &[ColumnDecl]) -> Schema {
    columns.iter().map(|column| Field::new(column.name.as_str().into(), dtype(column.kind))).collect()
}

/// A frame without rows.
pub fn empty(columns: &[ColumnDecl]) -> DataFrame {
    DataFrame::empty_with_schema(&schema(columns))
}

/// A column of floats.
pub fn floats(name: &str, values: Vec<f64>) -> Column {
    Float64Chunked::from_vec(name.into(), values).into_column()
}

/// A column of floats where NaN is null: kernels say NaN for unknown, tables say null.
pub fn floats_nan_null(name: &str, values: Vec<f64>) -> Column {
    let unknown = values.iter().filter(|value| value.is_nan()).count();
    if unknown == values.len() {
        return Float64Chunked::full_null(name.into(), values.len()).into_column();
    }
    if unknown > 0 {
        let known = Bitmap::from_trusted_len_iter(values.iter().map(|value| !value.is_nan()));
        Float64Chunked::from_vec_validity(name.into(), values, Some(known)).into_column()
    } else {
        floats(name, values)
    }
}

/// A column of optional floats.
pub fn maybe_floats(name: &str, values: impl Iterator<Item = Option<f64>>) -> Column {
    Float64Chunked::from_iter_options(name.into(), values).into_column()
}

/// A column of integers.
pub fn ints(name: &str, values: impl Iterator<Item = Option<i64>>) -> Column {
    Int64Chunked::from_iter_options(name.into(), values).into_column()
}

/// A column of integers without nulls.
pub fn whole_ints(name: &str, values: Vec<i64>) -> Column {
    Int64Chunked::from_vec(name.into(), values).into_column()
}

/// A column of text.
pub fn texts<'a>(name: &str, values: impl Iterator<Item = Option<&'a str>>) -> Column {
    StringChunked::from_iter_options(name.into(), values).into_column()
}

/// A column of texts that repeat, by each row's place in `texts`.
pub fn coded_texts(name: &str, texts: &[Option<&str>], codes: Vec<u32>) -> Result<Column, Reason> {
    let wrong = |error| frame_error(&format!("the column {name}"), &error);
    match texts {
        [] | [None] => Ok(null_texts(name, codes.len())),
        [Some(text)] => Ok(constant_text(name, text, codes.len())),
        texts => {
            let texts = StringChunked::from_iter_options(name.into(), texts.iter().copied());
            let codes = IdxCa::from_vec("code".into(), codes);
            Ok(texts.take(&codes).map_err(wrong)?.into_column())
        }
    }
}

/// No text in any row.
pub fn null_texts(name: &str, rows: usize) -> Column {
    Column::full_null(name.into(), rows, &DataType::String)
}

/// The same text in every row.
pub fn constant_text(name: &str, text: &str, rows: usize) -> Column {
    Column::new_scalar(name.into(), Scalar::new(DataType::String, AnyValue::StringOwned(text.into())), rows)
}

/// A column of booleans.
pub fn bools(name: &str, values: impl Iterator<Item = Option<bool>>) -> Column {
    BooleanChunked::from_iter_options(name.into(), values).into_column()
}

/// A column of times in microseconds.
pub fn times(name: &str, values: Vec<i64>) -> Column {
    let physical = Int64Chunked::from_vec(name.into(), values);
    physical.into_datetime(TimeUnit::Microseconds, Some(TimeZone::UTC)).into_column()
}

/// A column of optional times in microseconds.
pub fn maybe_times(name: &str, values: impl Iterator<Item = Option<i64>>) -> Column {
    let physical = Int64Chunked::from_iter_options(name.into(), values);
    physical.into_datetime(TimeUnit::Microseconds, Some(TimeZone::UTC)).into_column()
}

/// A frame of columns of equal length.
pub fn frame(columns: Vec<Column>) -> Result<DataFrame, Reason> {
    DataFrame::new_infer_height(columns).map_err(|error| frame_error("columns do not make a table", &error))
}

fn typed<'a, T>(
    frame: &'a DataFrame,
    name: &str,
    get: impl Fn(&'a Column) -> PolarsResult<&'a ChunkedArray<T>>,
) -> Result<&'a ChunkedArray<T>, Reason>
where
    T: PolarsDataType,
{
    frame.column(name).and_then(get).map_err(|error| frame_error(&format!("the column {name}"), &error))
}

/// Floats of a column, NaN where null.
pub fn to_floats(frame: &DataFrame, name: &str) -> Result<Vec<f64>, Reason> {
    let values = typed(frame, name, Column::f64)?;
    let mut all = Vec::with_capacity(values.len());
    for chunk in values.downcast_iter() {
        match chunk.validity() {
            None => all.extend_from_slice(chunk.values()),
            Some(_) => all.extend(chunk.iter().map(|value| value.copied().unwrap_or(f64::NAN))),
        }
    }
    Ok(all)
}

/// Integers of a column.
pub fn to_ints(frame: &DataFrame, name: &str) -> Result<Vec<Option<i64>>, Reason> {
    Ok(typed(frame, name, Column::i64)?.iter().collect())
}

/// Texts of a column that repeat, as small numbers.
pub fn to_codes<'a>(frame: &'a DataFrame, name: &str) -> Result<Codes<'a>, Reason> {
    let texts = frame.column(name).and_then(Texts::of);
    Ok(texts.map_err(|error| frame_error(&format!("the column {name}"), &error))?.codes())
}

/// Texts of a column.
pub fn to_texts<'a>(frame: &'a DataFrame, name: &str) -> Result<Vec<Option<&'a str>>, Reason> {
    Ok(typed(frame, name, Column::str)?.iter().collect())
}

/// Times of a column in microseconds.
pub fn to_times(frame: &DataFrame, name: &str) -> Result<Vec<Option<i64>>, Reason> {
    let column = frame.column(name).and_then(Column::datetime);
    let column = column.map_err(|error| frame_error(&format!("the column {name}"), &error))?;
    Ok(column.physical().iter().collect())
}

/// Times of a column in microseconds, one after the other.
pub fn iter_times<'a>(frame: &'a DataFrame, name: &str) -> Result<impl Iterator<Item = Option<i64>> + use<'a>, Reason> {
    let column = frame.column(name).and_then(Column::datetime);
    let column = column.map_err(|error| frame_error(&format!("the column {name}"), &error))?;
    Ok(column.physical().iter())
}

/// Integers of a column, one after the other.
pub fn iter_ints<'a>(frame: &'a DataFrame, name: &str) -> Result<impl Iterator<Item = Option<i64>> + use<'a>, Reason> {
    Ok(typed(frame, name, Column::i64)?.iter())
}

/// Floats of a column, one after the other.
pub fn iter_floats<'a>(
    frame: &'a DataFrame,
    name: &str,
) -> Result<impl Iterator<Item = Option<f64>> + use<'a>, Reason> {
    Ok(typed(frame, name, Column::f64)?.iter())
}
