//! Delimited text, row by row. A quote that is never closed would make one cell of all that follows it: such a file is
//! refused, as nobody can tell which rows it was to hold. So is one with a row of more than 16 MiB: it would have to be
//! held as a whole, however large the file is.

use super::unreadable;
use crate::foreign::CELL_BYTES_MOST;
use assets_core::Reason;
use csv::ByteRecord;
use std::fs::File;
use std::io::{Chain, Read};
use std::path::Path;

/// Bytes of a row.
const ROW_BYTES_MOST: usize = CELL_BYTES_MOST;

/// Stands behind the last row, as a row of its own, unless a quote is open there.
const END: &[u8] = b"\n\x1e\x04end\x04\x1e\n";

/// Bytes of which no more than a row's may be read at once.
struct Rationed<R> {
    bytes: R,
    /// What is left of the row's.
    left: usize,
}

impl<R: Read> Read for Rationed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        let read = self.bytes.read(buffer)?;
        self.left = self.left.saturating_sub(read);
        Ok(read)
    }
}

/// The rows of a file. One with too few cells is a row whose missing cells are empty.
pub struct Delimited<'n> {
    reader: csv::Reader<Rationed<Chain<File, &'static [u8]>>>,
    name: &'n str,
    /// Where the latest row begins.
    line: u64,
}

impl<'n> Delimited<'n> {
    /// Opens a file; `name` is what people call it.
    ///
    /// # Errors
    /// `source_unreadable`.
    pub fn open(path: &Path, name: &'n str, delimiter: u8) -> Result<Self, Reason> {
        let file = File::open(path).map_err(|error| unreadable(name, &error))?;
        let bytes = Rationed { bytes: file.chain(END), left: ROW_BYTES_MOST };
        let reader = csv::ReaderBuilder::new().flexible(true).delimiter(delimiter).from_reader(bytes);
        Ok(Self { reader, name, line: 1 })
    }

    /// The names of its columns, as they stand there.
    ///
    /// # Errors
    /// `source_unreadable`, `row_too_long`.
    pub fn header(&mut self) -> Result<&ByteRecord, Reason> {
        let (name, line) = (self.name, self.line);
        self.reader.byte_headers().map_err(|error| failed(name, line, &error))
    }

    /// The next row; false at the end.
    ///
    /// # Errors
    /// `source_unreadable`; `unclosed_quote` and `row_too_long`, with the line in which the last row begins.
    pub fn next(&mut self, row: &mut ByteRecord) -> Result<bool, Reason> {
        self.reader.get_mut().left = ROW_BYTES_MOST;
        let line = self.reader.position().line();
        if !self.reader.read_byte_record(row).map_err(|error| failed(self.name, line, &error))? {
            let message = format!(
                "{}: a quote in the row that begins in line {} is never closed, so that what follows is one cell; close \
                 it, or double it where it is meant as a sign",
                self.name, self.line
            );
            return Err(Reason::new("unclosed_quote", message).with("path", self.name).with("line", self.line));
        }
        self.line = row.position().map_or(self.line, csv::Position::line);
        Ok(!(row.len() == 1 && row.get(0) == Some(END.trim_ascii())))
    }
}

fn failed(name: &str, line: u64, error: &csv::Error) -> Reason {
    match error.kind() {
        csv::ErrorKind::Io(io) if io.kind() == std::io::ErrorKind::FileTooLarge => {
            let most = ROW_BYTES_MOST >> 20;
            let message = format!(
                "{name}: the row that begins in line {line} is longer than {most} MiB; look for a quote in it that is never \
                 closed, or for what is no delimited text"
            );
            Reason::new("row_too_long", message).with("path", name).with("line", line)
        }
        _ => unreadable(name, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assets_core::Fact;

    fn rows(text: &str) -> Result<Vec<Vec<String>>, Reason> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.csv");
        std::fs::write(&path, text).expect("written");
        let mut delimited = Delimited::open(&path, "a.csv", b',')?;
        delimited.header()?;
        let (mut row, mut rows) = (ByteRecord::new(), Vec::new());
        while delimited.next(&mut row)? {
            rows.push(row.iter().map(|cell| String::from_utf8_lossy(cell).into_owned()).collect());
        }
        Ok(rows)
    }

    #[test]
    fn the_end_is_told_from_an_open_quote() {
        for (text, expected) in [
            ("a,b\n1,2\n", vec![vec!["1", "2"]]),
            ("a,b\n1,2", vec![vec!["1", "2"]]),
            ("a,b\r\n1,2\r\n\r\n", vec![vec!["1", "2"]]),
            ("a,b", vec![]),
            ("a,b\n1,\"x\ny\"", vec![vec!["1", "x\ny"]]),
            ("a,b\n1,5\" pipe\n2,3\n", vec![vec!["1", "5\" pipe"], vec!["2", "3"]]),
            ("a,b\n1,\"say \"\"so\"\"\"\n", vec![vec!["1", "say \"so\""]]),
        ] {
            assert_eq!(rows(text).expect(text), expected, "{text:?}");
        }
        for (text, line) in [("a,b\n1,\"2\n3,4\n", 2), ("a,b\n1,2\n\"", 3)] {
            let reason = rows(text).expect_err(text);
            assert_eq!(
                (reason.code.as_str(), reason.facts.get("line")),
                ("unclosed_quote", Some(&Fact::Count(line))),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_row_longer_than_the_limit_is_refused_where_it_begins() {
        // A buffer more, which is read ahead.
        let cell = "x".repeat(ROW_BYTES_MOST + (1 << 16));
        let fits = format!("a,b\n1,{}\n3,4\n", &cell[..ROW_BYTES_MOST / 2]);
        assert_eq!(rows(&fits).expect("fits").len(), 2);
        for (text, line) in [
            (format!("a,b\n1,2\n3,{cell}\n5,6\n"), 3),
            (format!("a,b\n1,\"2\n{}", "3,4\n".repeat(cell.len() / 4)), 2),
            (format!("{cell}\n1\n"), 1),
        ] {
            let reason = rows(&text).expect_err("too long");
            let told = (reason.code.as_str(), reason.facts.get("line"));
            assert_eq!(told, ("row_too_long", Some(&Fact::Count(line))), "{}", reason.message);
        }
    }
}
