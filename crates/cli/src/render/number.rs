//! Numbers for people.

/// A measured value: up to 6 decimals and about 9 digits, without trailing zeros; tiny and huge ones with an exponent.
pub(crate) fn float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value == 0.0 || value.is_infinite() {
        return if value == 0.0 { "0".to_owned() } else { value.to_string() };
    }
    let magnitude = value.abs().log10().floor();
    if !(-5.0..15.0).contains(&magnitude) {
        let text = format!("{value:.5e}");
        return match text.split_once('e') {
            Some((digits, exponent)) => format!("{}e{exponent}", trimmed(digits)),
            None => text,
        };
    }
    // Between 0 and 11: the magnitude was just bounded.
    let decimals = if magnitude < 0.0 { 5.0 - magnitude } else { (8.0 - magnitude).clamp(0.0, 6.0) };
    trimmed(&format!("{value:.*}", decimals as usize)).to_owned()
}

fn trimmed(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}

/// A count with thin groups: `1 234 567`.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    if digits.len() < 5 {
        return digits;
    }
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// A size: `12.3 MB`.
pub(crate) fn bytes(value: u64) -> String {
    let mut size = value as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if size < 1000.0 {
            return if unit == "B" { format!("{value} B") } else { format!("{size:.1} {unit}") };
        }
        size /= 1000.0;
    }
    format!("{size:.1} TB")
}

/// A duration: `0.01 s`, `2.1 s`, `3 min 20 s`.
pub(crate) fn seconds(value: f64) -> String {
    match value {
        v if v < 0.0995 => format!("{v:.2} s"),
        v if v < 99.95 => format!("{v:.1} s"),
        v if v < 5999.5 => format!("{} min {:02} s", (v.round() / 60.0).floor(), v.round() % 60.0),
        v => format!("{} h {:02} min", (v / 3600.0).floor(), (v % 3600.0 / 60.0).floor()),
    }
}

/// `1 step`, `2 steps`.
pub(crate) fn plural(n: impl TryInto<u64>, noun: &str) -> String {
    let n = n.try_into().unwrap_or(u64::MAX);
    format!("{} {noun}{}", count(n), if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_keep_what_a_person_reads() {
        let cases = [
            (0.0, "0"),
            (-0.0, "0"),
            (88.0, "88"),
            (88.123_456_789, "88.123457"),
            (-1234.5, "-1234.5"),
            (123_456.789_12, "123456.789"),
            (0.000_012_345, "0.000012345"),
            (0.1 + 0.2, "0.3"),
            (1e-7, "1e-7"),
            (7.582e18, "7.582e18"),
            (1e9, "1000000000"),
            (f64::NAN, "NaN"),
        ];
        for (value, text) in cases {
            assert_eq!(float(value), text);
        }
    }

    #[test]
    fn counts_sizes_and_durations() {
        assert_eq!((count(9999), count(1_234_567)), ("9999".to_owned(), "1 234 567".to_owned()));
        assert_eq!((bytes(999), bytes(12_345_678)), ("999 B".to_owned(), "12.3 MB".to_owned()));
        assert_eq!(
            (seconds(0.012), seconds(2.07), seconds(200.0)),
            ("0.01 s".into(), "2.1 s".into(), "3 min 20 s".into())
        );
    }
}
