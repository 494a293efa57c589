//! Inputs that are almost right: a good one, changed in a few places.

use crate::inside::Numbers;

/// Of what gets longer.
const BYTES_MAX: usize = 1 << 17;

/// Numbers at which something ends.
const LIMITS: [&str; 22] = [
    "0",
    "-1",
    "127",
    "128",
    "255",
    "256",
    "32768",
    "65536",
    "2147483647",
    "-2147483648",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "1e999",
    "-0.0",
    "5e-324",
    "nan",
    "99999999999999999999999999999999999999999",
];

/// Text that readers trip over.
const ODD: [&str; 20] = [
    "\0",
    "\u{feff}",
    "\u{202e}",
    "\u{200b}",
    "é",
    "e\u{301}",
    "ﬁ",
    "İ",
    "ß",
    "👩‍🚀",
    "\u{10ffff}",
    "\r",
    "\n",
    "\r\n",
    "\t",
    "\"",
    "'",
    "\\",
    "%",
    "\u{85}",
];

/// A seed with one to a few changes.
pub(crate) fn mutated(seeds: &[Vec<u8>], words: &[String], numbers: &mut Numbers) -> Vec<u8> {
    let mut input = seeds[numbers.below(seeds.len())].clone();
    loop {
        change(&mut input, seeds, words, numbers);
        input.truncate(BYTES_MAX);
        if numbers.below(3) == 0 {
            return input;
        }
    }
}

fn change(input: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[String], numbers: &mut Numbers) {
    let at = numbers.below(input.len() + 1);
    let stretch = at..(at + 1 + short(numbers)).min(input.len());
    match numbers.below(16) {
        0 if at < input.len() => input[at] ^= 1 << numbers.below(8),
        1 if at < input.len() => input[at] = [0, 1, 0x7f, 0x80, 0xff, b' ', b',', b'\n'][numbers.below(8)],
        2 => {
            let bytes = (0..=numbers.below(8)).map(|_| numbers.below(256) as u8).collect::<Vec<_>>();
            put(input, at..at, &bytes);
        }
        3 => put(input, stretch, &[]),
        4 => {
            let copy = input[stretch].to_vec();
            put(input, at..at, &copy);
        }
        5 => {
            let copy = input[stretch].to_vec();
            let to = numbers.below(input.len() + 1);
            put(input, to..to, &copy);
        }
        6 | 7 => {
            let other = &seeds[numbers.below(seeds.len())];
            let from = numbers.below(other.len() + 1);
            let until = (from + 1 + short(numbers)).min(other.len());
            put(input, stretch, &other[from.min(until)..until]);
        }
        8 => {
            let other = &seeds[numbers.below(seeds.len())];
            input.truncate(at);
            input.extend_from_slice(&other[numbers.below(other.len() + 1)..]);
        }
        9 if numbers.below(4) == 0 => input.truncate(at),
        10 if numbers.below(8) == 0 => {
            let piece = if words.is_empty() || numbers.below(2) == 0 {
                input[stretch].to_vec()
            } else {
                words[numbers.below(words.len())].clone().into_bytes()
            };
            put(input, at..at, &piece.repeat(1 << numbers.below(15)));
        }
        11 => put(input, at..at, ODD[numbers.below(ODD.len())].as_bytes()),
        12 => {
            let number = run(input, at, |byte| byte.is_ascii_digit());
            put(input, number, LIMITS[numbers.below(LIMITS.len())].as_bytes());
        }
        13 if !words.is_empty() => {
            let word = run(input, at, |byte| byte.is_ascii_alphanumeric() || byte == b'_');
            put(input, word, words[numbers.below(words.len())].as_bytes());
        }
        14 if !words.is_empty() => put(input, at..at, words[numbers.below(words.len())].as_bytes()),
        15 if !words.is_empty() => {
            let word = format!(" {} ", words[numbers.below(words.len())]);
            put(input, at..at, word.as_bytes());
        }
        _ => put(input, stretch, &[numbers.below(256) as u8]),
    }
}

/// Mostly a few, sometimes many.
fn short(numbers: &mut Numbers) -> usize {
    let bound = 1 << numbers.below(9);
    numbers.below(bound)
}

fn put(input: &mut Vec<u8>, place: std::ops::Range<usize>, bytes: &[u8]) {
    if input.len() + bytes.len() <= 2 * BYTES_MAX {
        input.splice(place.start.min(place.end)..place.end, bytes.iter().copied());
    }
}

/// The next run of such bytes from there on.
fn run(input: &[u8], from: usize, fits: impl Fn(u8) -> bool) -> std::ops::Range<usize> {
    let start = (from..input.len()).find(|at| fits(input[*at])).unwrap_or(input.len());
    let end = (start..input.len()).find(|at| !fits(input[*at])).unwrap_or(input.len());
    start..end
}

/// A shorter input with the same fault, as far as a few tries find one.
pub(crate) fn shrunk(mut input: Vec<u8>, tries: usize, mut is_bad: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
    let (mut size, mut left) = (input.len().div_ceil(2), tries);
    while size > 0 && left > 0 {
        let mut at = 0;
        while at < input.len() && left > 0 {
            let mut less = input.clone();
            less.drain(at..(at + size).min(input.len()));
            left -= 1;
            if is_bad(&less) { input = less } else { at += size }
        }
        size /= 2;
    }
    input
}
