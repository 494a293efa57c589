//! What kind of file a source is, and whether it has the columns that are wanted.

use super::unreadable;
use assets_core::{Reason, suggest};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// A format that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Parquet.
    Parquet,
    /// Delimited text with a header.
    Delimited,
}

/// First bytes of what is not read, with what that is.
const FOREIGN: [(&[u8], &str, &str); 8] = [
    (b"\x1f\x8b", "compressed_file", "compressed with gzip"),
    (b"\x28\xb5\x2f\xfd", "compressed_file", "compressed with zstd"),
    (b"BZh", "compressed_file", "compressed with bzip2"),
    (b"\xfd7zX", "compressed_file", "compressed with xz"),
    (b"PK\x03\x04", "compressed_file", "a zip archive, such as an Excel workbook"),
    (b"\xff\xfe", "wrong_encoding", "text in UTF-16"),
    (b"\xfe\xff", "wrong_encoding", "text in UTF-16"),
    (b"\x89HDF", "unknown_format", "an HDF5 file"),
];

impl Format {
    /// The format of a file: Parquet by its first bytes or its ending, delimited text otherwise.
    ///
    /// # Errors
    /// `empty_file`, `compressed_file`, `wrong_encoding`, `unknown_format`, `source_unreadable`.
    pub fn of(path: &Path, name: &str) -> Result<Self, Reason> {
        let mut start = [0; 4];
        let mut file = File::open(path).map_err(|error| unreadable(name, &error))?;
        let mut filled = 0;
        while filled < 4 {
            match file.read(&mut start[filled..]).map_err(|error| unreadable(name, &error))? {
                0 => break,
                read => filled += read,
            }
        }
        if filled == 0 {
            return Err(Reason::new("empty_file", format!("{name} is empty")).with("path", name));
        }
        let start = &start[..filled];
        if let Some((_, code, what)) = FOREIGN.iter().find(|(magic, ..)| start.starts_with(magic)) {
            let message =
                format!("{name} is {what}: Parquet is read, and delimited text in UTF-8, neither of them packed");
            return Err(Reason::new(code, message).with("path", name));
        }
        let is_parquet = start == b"PAR1" || path.extension().is_some_and(|ending| ending == "parquet");
        Ok(if is_parquet { Self::Parquet } else { Self::Delimited })
    }
}

/// Refuses a file that lacks a column.
///
/// # Errors
/// `missing_column`, with what is `missing` and what the file `has`.
pub fn has_columns(name: &str, wanted: &[&str], there: &[&str]) -> Result<(), Reason> {
    let missing: Vec<&str> = wanted.iter().copied().filter(|column| !there.contains(column)).collect();
    let Some(first) = missing.first() else { return Ok(()) };
    let hint = suggest::hint(first, there.iter().copied());
    let has: Vec<String> = there.iter().take(40).map(ToString::to_string).collect();
    let more = if there.len() > has.len() { ", …" } else { "" };
    let message = format!("{name} has no column {}{hint} (it has {}{more})", missing.join(", "), has.join(", "));
    let missing: Vec<String> = missing.into_iter().map(str::to_owned).collect();
    Err(Reason::new("missing_column", message).with("path", name).with("missing", missing).with("has", has))
}
