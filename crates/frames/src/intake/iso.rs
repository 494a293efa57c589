//! Times as text: ISO 8601 in UTC, whose fraction loses its trailing zeros. Reading such text is `time`.

/// The text of a time given in µs since 1970: `2022-11-23T20:40:00.01Z`, or `…:00Z` for a whole second.
///
/// Its text order is not its time order, which is the trap it is for.
pub fn time_text(time_us: i64) -> String {
    let mut text = String::with_capacity(27);
    write_time(&mut text, time_us);
    text
}

/// Appends what [`time_text`] gives for a time in µs since 1970; years beyond 0 to 9999 are written as they come.
pub fn write_time(out: &mut String, time_us: i64) {
    let seconds = time_us.div_euclid(1_000_000);
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let of_day = seconds.rem_euclid(86_400);
    digits(out, year, 4);
    out.push('-');
    digits(out, month, 2);
    out.push('-');
    digits(out, day, 2);
    out.push('T');
    digits(out, of_day / 3_600, 2);
    out.push(':');
    digits(out, of_day / 60 % 60, 2);
    out.push(':');
    digits(out, of_day % 60, 2);
    let mut fraction = time_us.rem_euclid(1_000_000);
    if fraction != 0 {
        let mut width = 6;
        while fraction % 10 == 0 {
            fraction /= 10;
            width -= 1;
        }
        out.push('.');
        digits(out, fraction, width);
    }
    out.push('Z');
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar without end in either direction
/// (the algorithm `civil_from_days` of Howard Hinnant: years begin in March, so that the leap day is a year's last).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// A number with leading zeros. By hand, because formatting millions of times through `fmt` costs more than simulating.
fn digits(out: &mut String, value: i64, width: usize) {
    if value < 0 {
        out.push('-');
    }
    let mut rest = value.unsigned_abs();
    let mut reversed = [b'0'; 20];
    let mut length = 0;
    while rest > 0 || length < width {
        reversed[length] = b'0' + (rest % 10) as u8;
        rest /= 10;
        length += 1;
    }
    out.extend(reversed[..length].iter().rev().map(|digit| char::from(*digit)));
}
