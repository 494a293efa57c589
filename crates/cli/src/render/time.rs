//! Times as ISO 8601 in UTC.

use chrono::DateTime;

/// Decimals of a second that these times need: 0, 3 or 6.
pub(crate) fn decimals(times_us: impl IntoIterator<Item = i64>) -> usize {
    let mut needed = 0;
    for time in times_us {
        if time % 1000 != 0 {
            return 6;
        }
        if time % 1_000_000 != 0 {
            needed = 3;
        }
    }
    needed
}

/// `2024-01-02T03:04:05.678Z`, with so many decimals.
pub(crate) fn iso(time_us: i64, decimals: usize) -> String {
    let Some(time) = DateTime::from_timestamp_micros(time_us) else { return format!("{time_us} µs") };
    let format = match decimals {
        0 => "%Y-%m-%dT%H:%M:%SZ",
        3 => "%Y-%m-%dT%H:%M:%S%.3fZ",
        _ => "%Y-%m-%dT%H:%M:%S%.6fZ",
    };
    time.format(format).to_string()
}

/// To the second: when something was made.
pub(crate) fn moment(time_us: i64) -> String {
    iso(time_us.div_euclid(1_000_000) * 1_000_000, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_decimals_they_need() {
        assert_eq!(decimals([1_000_000, 2_000_000]), 0);
        assert_eq!(decimals([1_000_000, 12_000]), 3);
        assert_eq!(decimals([1, 12_000]), 6);
        assert_eq!(iso(1_704_164_645_678_000, 3), "2024-01-02T03:04:05.678Z");
        assert_eq!(iso(-1, 6), "1969-12-31T23:59:59.999999Z");
        assert_eq!(moment(-1), "1969-12-31T23:59:59Z");
    }
}
