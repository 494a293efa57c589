//! Sizes as people write them.

/// Bytes of a size such as `50GB`, `200 GiB` or `1048576`.
///
/// # Errors
/// What a size looks like.
pub fn parse(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        "kib" => 1024.0,
        "mib" => 1024.0 * 1024.0,
        "gib" => 1024.0 * 1024.0 * 1024.0,
        "tib" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return Err(bad(text)),
    };
    let bytes = number.parse::<f64>().map_err(|_| bad(text))? * unit;
    // Beyond 2^63 nobody has a disk.
    if bytes.is_finite() && bytes < 9e18 { Ok(bytes as u64) } else { Err(bad(text)) }
}

fn bad(text: &str) -> String {
    format!("`{text}` is not a size: write a number with kB, MB, GB, TB, or KiB, MiB, GiB, TiB, such as 200GiB")
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn sizes_have_units() {
        let sizes = ["17", "1.5 kB", "200GiB", "2 TB", "0"].map(parse);
        assert_eq!(sizes, [Ok(17), Ok(1500), Ok(200 << 30), Ok(2_000_000_000_000), Ok(0)]);
        assert!(["", "GB", "1XB", "1..2GB", "-1", "1e999GB"].iter().all(|text| parse(text).is_err()));
    }
}
