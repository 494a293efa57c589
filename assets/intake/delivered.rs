//! Cells as they were delivered, and when their text can be had back from the typed value.

use assets_frames::intake::cell::{Delivered, whole};
use std::borrow::Cow;

/// A number and, where its usual text differs from the delivered one, that.
pub type Typed<'a, T> = (Option<T>, Option<Cow<'a, str>>);

/// A measured value. NaN and infinities stay what they are.
pub fn value(cell: Delivered<'_>) -> Typed<'_, f64> {
    match cell {
        Delivered::Float(value) => (Some(value), None),
        Delivered::Int(value) => (Some(value as f64), None),
        Delivered::Unsigned(value) => (Some(value as f64), None),
        Delivered::Text("") => (None, None),
        Delivered::Text(text) => match text.trim().parse::<f64>() {
            Ok(value) if is_plain(text) || value.to_string() == text => (Some(value), None),
            Ok(value) => (Some(value), Some(Cow::Borrowed(text))),
            Err(_) => (None, Some(Cow::Borrowed(text))),
        },
        Delivered::Null => (None, None),
        other => (None, other.text()),
    }
}

/// Decimals of at most 15 digits without superfluous zeros are the shortest text of their float: no two of them are
/// the same float. Saves printing nearly every value.
fn is_plain(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text).as_bytes();
    let dot = text.iter().position(|b| *b == b'.');
    let digits = text.len() - usize::from(dot.is_some());
    let only_digits = text.iter().enumerate().all(|(i, b)| b.is_ascii_digit() || Some(i) == dot);
    let whole = dot.unwrap_or(text.len());
    let no_leading_zero = whole >= 1 && (text[0] != b'0' || whole == 1);
    let no_trailing_zero = dot.is_none_or(|dot| dot + 1 < text.len() && text[text.len() - 1] != b'0');
    // `-0` reads back as a float that prints `-0`, which the caller's comparison settles.
    digits <= 15 && digits > 0 && only_digits && no_leading_zero && no_trailing_zero && text != b"0"
}

/// A small identifier.
pub fn integer(cell: Delivered<'_>) -> Typed<'_, i64> {
    match cell {
        Delivered::Int(value) => (Some(value), None),
        Delivered::Unsigned(_) => (None, cell.text()),
        Delivered::Float(value) => match whole(value) {
            Some(whole) => (Some(whole), None),
            None => (None, cell.text()),
        },
        Delivered::Text("") => (None, None),
        Delivered::Text(text) => match text.parse::<i64>() {
            Ok(value) if is_plain(text) || value.to_string() == text => (Some(value), None),
            Ok(value) => (Some(value), Some(Cow::Borrowed(text))),
            Err(_) => (text.parse::<f64>().ok().and_then(whole), Some(Cow::Borrowed(text))),
        },
        Delivered::Null => (None, None),
        other => (None, other.text()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_kept_only_where_it_would_be_lost() {
        let of = |text| value(Delivered::Text(text));
        assert_eq!(of("826.1516"), (Some(826.1516), None));
        assert_eq!(of("-258.1794165"), (Some(-258.1794165), None));
        assert_eq!(of("5"), (Some(5.0), None));
        assert_eq!(of("0"), (Some(0.0), None));
        assert_eq!(of("5.0"), (Some(5.0), Some("5.0".into())));
        assert_eq!(of("1e3"), (Some(1000.0), Some("1e3".into())));
        assert_eq!(of("0.1"), (Some(0.1), None));
        assert_eq!(of("abc"), (None, Some("abc".into())));
        assert_eq!(of(""), (None, None));
        assert!(of("NaN").0.is_some_and(f64::is_nan));
        assert_eq!(integer(Delivered::Text("1")), (Some(1), None));
        assert_eq!(integer(Delivered::Text("1.0")), (Some(1), Some("1.0".into())));
        assert_eq!(integer(Delivered::Text("two")), (None, Some("two".into())));
        assert_eq!(integer(Delivered::Float(2.0)), (Some(2), None));
    }

    #[test]
    fn plain_texts_print_back() {
        for text in ["0.000001", "123456789012345", "-0.5", "1440.79", "10", "0.30000000000000"] {
            if is_plain(text) {
                assert_eq!(text.parse::<f64>().map(|v| v.to_string()), Ok(text.to_owned()));
            }
        }
        assert!(!is_plain("0.30") && !is_plain("01") && !is_plain(".5") && !is_plain("5.") && !is_plain("-"));
    }
}
