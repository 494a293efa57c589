//! Times as text: ISO 8601 with the zeros of the fraction trimmed or not, with `Z`, an offset, or none.

use chrono::{LocalResult, NaiveDate, TimeZone};

/// A parsed time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// Microseconds since the epoch, and whether the usual text (fraction trimmed, `Z`) is the one parsed.
    Time {
        /// Microseconds.
        us: i64,
        /// Whether the text can be had back from it.
        usual: bool,
    },
    /// A time without a zone, and none is set.
    NoZone,
    /// No time.
    Bad,
}

/// Whether a time lies in the years 0 to 9999: what text can say, and what can be subtracted without overflow.
pub fn in_calendar(us: i64) -> bool {
    (-62_167_219_200_000_000..253_402_300_800_000_000).contains(&us)
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.iter().try_fold(0, |n: u32, b| b.is_ascii_digit().then(|| n * 10 + u32::from(b - b'0')))
}

/// Days since the epoch of a civil date, if there is one.
fn days(year: u32, month: u32, day: u32) -> Option<i64> {
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
    Some(date.signed_duration_since(NaiveDate::default()).num_days())
}

/// Parses texts that mostly share their date: the last one is remembered.
#[derive(Debug, Default)]
pub struct Parser {
    date: [u8; 10],
    days: Option<i64>,
}

impl Parser {
    /// Parses `YYYY-MM-DD[T ]HH:MM:SS[.fraction][Z|±HH:MM|±HHMM|±HH]`. A fraction is cut after microseconds.
    pub fn parse(&mut self, text: &str, zone: Option<&chrono_tz::Tz>) -> Parsed {
        self.try_parse(text.as_bytes(), zone).unwrap_or(Parsed::Bad)
    }

    fn try_parse(&mut self, text: &[u8], zone: Option<&chrono_tz::Tz>) -> Option<Parsed> {
        let shape = text.len() >= 19
            && text[4] == b'-'
            && text[7] == b'-'
            && matches!(text[10], b'T' | b' ' | b't')
            && text[13] == b':'
            && text[16] == b':';
        if !shape {
            return None;
        }
        if self.days.is_none() || self.date != text[..10] {
            self.days = days(number(&text[..4])?, number(&text[5..7])?, number(&text[8..10])?);
            self.date.copy_from_slice(&text[..10]);
        }
        let (hour, minute, second) = (number(&text[11..13])?, number(&text[14..16])?, number(&text[17..19])?);
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let (fraction_us, digits, rest) = fraction(&text[19..])?;
        let day_us = (i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second)) * 1_000_000;
        let local_us = self.days? * 86_400_000_000 + day_us + fraction_us;
        let trimmed = digits == 0 || (digits <= 6 && text[19 + digits] != b'0');
        match rest {
            b"Z" => Some(Parsed::Time { us: local_us, usual: trimmed && text[10] == b'T' }),
            b"z" => Some(Parsed::Time { us: local_us, usual: false }),
            b"" => in_zone(local_us, zone),
            _ => Some(Parsed::Time { us: local_us - offset_us(rest)?, usual: false }),
        }
    }
}

/// (microseconds, digits, what follows); digits count the dot's digits only.
fn fraction(text: &[u8]) -> Option<(i64, usize, &[u8])> {
    let Some(rest) = text.strip_prefix(b".") else { return Some((0, 0, text)) };
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    if digits == 0 {
        return None;
    }
    let us = (0..6).fold(0, |us, i| us * 10 + if i < digits { i64::from(rest[i] - b'0') } else { 0 });
    Some((us, digits, &rest[digits..]))
}

fn offset_us(text: &[u8]) -> Option<i64> {
    let sign = match text.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = match text.len() {
        3 => (number(&text[1..3])?, 0),
        5 => (number(&text[1..3])?, number(&text[3..5])?),
        6 if text[3] == b':' => (number(&text[1..3])?, number(&text[4..6])?),
        _ => return None,
    };
    (hours <= 23 && minutes <= 59).then(|| sign * i64::from(hours * 60 + minutes) * 60_000_000)
}

/// A local time in a zone. One that the zone skips is no time; of one that it has twice, the earlier is meant.
pub fn in_zone(local_us: i64, zone: Option<&chrono_tz::Tz>) -> Option<Parsed> {
    let Some(zone) = zone else { return Some(Parsed::NoZone) };
    let local = chrono::DateTime::from_timestamp_micros(local_us)?.naive_utc();
    match zone.from_local_datetime(&local) {
        LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => {
            Some(Parsed::Time { us: time.timestamp_micros(), usual: false })
        }
        LocalResult::None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_files_have_them() {
        let mut parser = Parser::default();
        let base = 1_669_236_000_000_000;
        let mut check = |text: &str, us: i64, usual: bool| {
            assert_eq!(parser.parse(text, None), Parsed::Time { us: base + us, usual }, "{text}");
        };
        check("2022-11-23T20:40:00Z", 0, true);
        check("2022-11-23T20:40:00.01Z", 10_000, true);
        check("2022-11-23T20:40:00.010Z", 10_000, false);
        check("2022-11-23T20:40:00.0Z", 0, false);
        check("2022-11-23 20:40:00.017Z", 17_000, false);
        check("2022-11-23T21:40:00.5+01:00", 500_000, false);
        check("2022-11-23T15:10:00-0530", 0, false);
        check("2022-11-23T20:40:00.123456789Z", 123_456, false);
        for bad in
            ["", "x", "2022-13-01T00:00:00Z", "2022-02-30T00:00:00Z", "2022-11-23T24:00:00Z", "2022-11-23T20:40:00.Z"]
        {
            assert_eq!(parser.parse(bad, None), Parsed::Bad, "{bad}");
        }
        assert_eq!(parser.parse("2022-11-23T20:40:00", None), Parsed::NoZone);
        let berlin = Some(&chrono_tz::Europe::Berlin);
        assert_eq!(parser.parse("2022-11-23T21:40:00", berlin), Parsed::Time { us: base, usual: false });
        assert_eq!(parser.parse("2022-03-27T02:30:00", berlin), Parsed::Bad, "a time that the zone skips");
    }
}
