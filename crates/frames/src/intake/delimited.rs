//! Delimited text, row by row. A quote that is never closed would make one cell of all that follows it: such a file is
//! refused, as nobody can tell which rows it was to hold.

use super::unreadable;
use assets_core::Reason;
use csv::ByteRecord;
use std::fs::File;
use std::io::{Chain, Read};
use std::path::Path;

/// Stands behind the last row, as a row of its own, unless a quote is open there.
const END: &[u8] = b"\n\x1e\x04end\x04\x1e\n";

/// The rows of a file. One with too few cells is a row whose missing cells are empty.
pub struct Delimited<'n> {
    reader: csv::Reader<Chain<File, &'static [u8]>>,
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
        let reader = csv::ReaderBuilder::new().flexible(true).delimiter(delimiter).from_reader(file.chain(END));
        Ok(Self { reader, name, line: 1 })
    }

    /// The names of its columns, as they stand there.
    ///
    /// # Errors
    /// `source_unreadable`.
    pub fn header(&mut self) -> Result<&ByteRecord, Reason> {
        let name = self.name;
        self.reader.byte_headers().map_err(|error| unreadable(name, &error))
    }

    /// The next row; false at the end.
    ///
    /// # Errors
    /// `source_unreadable`; `unclosed_quote`, with the line in which the last row begins.
    pub fn next(&mut self, row: &mut ByteRecord) -> Result<bool, Reason> {
        if !self.reader.read_byte_record(row).map_err(|error| unreadable(self.name, &error))? {
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
}
