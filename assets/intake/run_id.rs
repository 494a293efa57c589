//! Run ids: text as it is; numbers as their shortest round-trip decimal without an exponent.

use assets_frames::intake::cell::Delivered;
use std::borrow::Cow;

/// Beyond this, two integers can be the same float.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// An id, and whether it went through a float that may have merged it with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunId<'a> {
    /// The id.
    pub id: Cow<'a, str>,
    /// Whether digits may be lost.
    pub imprecise: bool,
}

/// The id that a cell means; `None` where it means none.
pub fn of_cell(cell: Delivered<'_>) -> Option<RunId<'_>> {
    match cell {
        Delivered::Text(text) => Some(of_text(text)),
        Delivered::Float(value) => of_float(value),
        Delivered::Int(value) => Some(RunId { id: value.to_string().into(), imprecise: false }),
        Delivered::Unsigned(value) => Some(RunId { id: value.to_string().into(), imprecise: false }),
        Delivered::Broken(_) | Delivered::Null | Delivered::Time(_) | Delivered::Local(_) => None,
    }
}

/// The id that a float means; `None` for NaN and infinities.
pub fn of_float(value: f64) -> Option<RunId<'static>> {
    // Rust's own display of floats is the shortest that reads back equal, and has no exponent.
    value.is_finite().then(|| RunId { id: Cow::Owned(value.to_string()), imprecise: value.abs() > EXACT_MAX })
}

/// The id that a text means: with an exponent it is a float's text, otherwise it is taken as it is.
pub fn of_text(text: &str) -> RunId<'_> {
    let float = if is_exponential(text) { text.parse::<f64>().ok().and_then(of_float) } else { None };
    float.unwrap_or(RunId { id: Cow::Borrowed(text), imprecise: false })
}

fn is_exponential(text: &str) -> bool {
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else { return false };
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    let mantissa = mantissa.trim_start_matches(['+', '-']);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    // An exponent that makes a number of more digits than an id may have stays a text.
    digits(whole) && digits(fraction) && digits(exponent.trim_start_matches(['+', '-'])) && exponent.len() <= 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_out() {
        let float = of_float(7.58229308099147e18).expect("finite");
        assert_eq!((float.id.as_ref(), float.imprecise), ("7582293080991470000", true));
        assert_eq!(of_float(7.0).expect("finite").id, "7");
        assert_eq!(of_float(f64::NAN), None);
        assert_eq!(of_text("7.58229308099147e+18").id, "7582293080991470000");
        for same in ["007", "12405186538561671661", "a/b", "1e", "e5", "run-1e5", " x"] {
            assert_eq!(of_text(same), RunId { id: Cow::Borrowed(same), imprecise: false });
        }
    }
}
