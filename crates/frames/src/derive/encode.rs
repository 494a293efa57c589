//! How the parts of a plan are written into hashes: by value and data type, completely, equal in every process.

use super::opaque;
use assets_core::Reason;
use assets_core::hash::{Digest, Hasher};
use polars::prelude::*;
use polars_plan::dsl::Operator;
use polars_plan::plans::{DynListLiteralValue, DynLiteralValue, LiteralValue};
use std::fmt::{Debug, Write};

/// A hasher for one kind of node. The version of polars is in each: another one may compute other values.
pub(super) fn hasher(kind: &str) -> Hasher {
    let mut hasher = Hasher::new("assets.derive.1");
    hasher.text(polars::VERSION).text(kind);
    hasher
}

/// The hash of one kind of node over others.
pub(super) fn compose(kind: &str, codes: &[Digest<32>]) -> Digest<32> {
    let mut hasher = hasher(kind);
    for code in codes {
        hasher.bytes(code.as_bytes());
    }
    hasher.finish()
}

pub(crate) fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// What polars' `Debug` writes where it leaves something out: pointers, closures, generated names, categories.
const LEFT_OUT: [&str; 8] = [
    "PlanCallback",
    "no_eq",
    "lazy-serde",
    "ColumnUdf",
    "DynamicPred",
    "anonymous_scan",
    "_POLARS_TMP_",
    "Enum([...])",
];

/// A parameter as `Debug` writes it, places in the arena aside. The enums of polars' plans derive it, so that it is
/// complete; where a field leaves something out, it says one of the words above and is refused.
pub(super) fn said(value: &impl Debug) -> Result<String, Reason> {
    let text = format!("{value:?}");
    if LEFT_OUT.iter().any(|word| text.contains(word)) {
        let shown: String = text.chars().take(80).collect();
        return Err(opaque(&format!("`{shown}`")));
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find("Node(") {
        out.push_str(&rest[..at + 5]);
        rest = rest[at + 5..].trim_start_matches(|c: char| c.is_ascii_digit());
    }
    out.push_str(rest);
    Ok(out)
}

/// Operators by name: their `Debug` gives `&` to two of them.
pub(super) fn operator(op: Operator) -> String {
    match op {
        Operator::LogicalAnd => "and".to_owned(),
        Operator::LogicalOr => "or".to_owned(),
        op => op.to_string(),
    }
}

/// A data type, nested ones completely.
pub(super) fn dtype(dtype: &DataType) -> Result<String, Reason> {
    said(dtype)
}

/// A literal by value and data type; the name that a series has is free.
pub(super) fn literal(hasher: &mut Hasher, value: &LiteralValue) -> Result<(), Reason> {
    match value {
        LiteralValue::Dyn(value) => {
            hasher.text("dyn");
            dynamic(hasher, value);
        }
        LiteralValue::Scalar(scalar) => {
            hasher.text("scalar").text(&dtype(scalar.dtype())?);
            any_value(hasher, scalar.value())?;
        }
        LiteralValue::Series(values) => {
            hasher.text("series");
            series(hasher, values)?;
        }
        LiteralValue::Range(range) => {
            hasher.text("range").text(&dtype(&range.dtype)?);
            hasher.bytes(&range.low.to_le_bytes()).bytes(&range.high.to_le_bytes());
        }
    }
    Ok(())
}

fn dynamic(hasher: &mut Hasher, value: &DynLiteralValue) {
    match value {
        DynLiteralValue::Str(value) => hasher.text("str").text(value),
        DynLiteralValue::Int(value) => hasher.text("int").bytes(&value.to_le_bytes()),
        DynLiteralValue::Float(value) => hasher.text("float").bytes(&value.to_le_bytes()),
        DynLiteralValue::List(value) => {
            dynamic_list(hasher, value);
            hasher
        }
    };
}

fn dynamic_list(hasher: &mut Hasher, value: &DynListLiteralValue) {
    match value {
        DynListLiteralValue::Str(values) => {
            hasher.text("strs").number(values.len() as u64);
            for value in values.iter() {
                hasher.optional(value.as_ref().map(|value| value.as_str()));
            }
        }
        DynListLiteralValue::Int(values) => {
            hasher.text("ints").number(values.len() as u64);
            values.iter().for_each(|value| optional(hasher, value.map(i128::to_le_bytes)));
        }
        DynListLiteralValue::Float(values) => {
            hasher.text("floats").number(values.len() as u64);
            values.iter().for_each(|value| optional(hasher, value.map(f64::to_le_bytes)));
        }
        DynListLiteralValue::List(values) => {
            hasher.text("lists").number(values.len() as u64);
            for value in values {
                hasher.number(u64::from(value.is_some()));
                if let Some(value) = value {
                    dynamic_list(hasher, value);
                }
            }
        }
    }
}

fn optional<const N: usize>(hasher: &mut Hasher, bytes: Option<[u8; N]>) {
    hasher.number(u64::from(bytes.is_some()));
    if let Some(bytes) = bytes {
        hasher.bytes(&bytes);
    }
}

/// All values of a series.
pub(super) fn series(hasher: &mut Hasher, values: &Series) -> Result<(), Reason> {
    hasher.text(&dtype(values.dtype())?).number(values.len() as u64);
    let values = values.rechunk();
    values.iter().try_for_each(|value| any_value(hasher, &value))
}

fn any_value(hasher: &mut Hasher, value: &AnyValue<'_>) -> Result<(), Reason> {
    match value {
        AnyValue::String(text) => hasher.text("text").text(text),
        AnyValue::StringOwned(text) => hasher.text("text").text(text),
        AnyValue::Binary(bytes) => hasher.text("bytes").bytes(bytes),
        AnyValue::BinaryOwned(bytes) => hasher.text("bytes").bytes(bytes),
        AnyValue::Float32(value) => hasher.text("f32").bytes(&value.to_le_bytes()),
        AnyValue::Float64(value) => hasher.text("f64").bytes(&value.to_le_bytes()),
        AnyValue::Datetime(value, unit, zone) => {
            hasher.text("datetime").bytes(&value.to_le_bytes()).text(&said(unit)?);
            hasher.optional(zone.map(|zone| zone.as_str()))
        }
        AnyValue::DatetimeOwned(value, unit, zone) => {
            hasher.text("datetime").bytes(&value.to_le_bytes()).text(&said(unit)?);
            hasher.optional(zone.as_ref().map(|zone| zone.as_str()))
        }
        AnyValue::List(values) => {
            hasher.text("list");
            series(hasher, values)?;
            hasher
        }
        AnyValue::Null | AnyValue::Boolean(_) | AnyValue::Duration(..) | AnyValue::Time(_) | AnyValue::Date(_) => {
            hasher.text(&said(value)?)
        }
        value if value.is_integer() => hasher.text(&said(value)?),
        value => nested(hasher, value)?,
    };
    Ok(())
}

/// A struct field by field, an array value by value; what else there is has no complete text.
fn nested<'h>(hasher: &'h mut Hasher, value: &AnyValue<'_>) -> Result<&'h mut Hasher, Reason> {
    match value.dtype() {
        DataType::Struct(fields) => {
            hasher.text("struct").number(fields.len() as u64);
            for field in &fields {
                hasher.text(&field.name);
            }
            for value in value._iter_struct_av() {
                any_value(hasher, &value)?;
            }
            Ok(hasher)
        }
        dtype => {
            let mut what = String::from("a literal of type ");
            write!(what, "{dtype}").map_err(|_| opaque("a literal"))?;
            Err(opaque(&what))
        }
    }
}
