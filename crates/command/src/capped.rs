//! What is kept of what a step prints: its beginning and its end. A command that prints without end must not fill the disk.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};

/// Bytes that are kept of the beginning, as they come, and of the end, once it is known.
const KEPT: usize = 1 << 20;

/// A log with its middle left out.
#[derive(Debug)]
pub(crate) struct Capped {
    file: File,
    written: usize,
    end: VecDeque<u8>,
    dropped: u64,
    kept: usize,
}

impl Capped {
    /// An empty log in a file.
    pub(crate) fn new(file: File) -> Self {
        Self::keeping(file, KEPT)
    }

    fn keeping(file: File, kept: usize) -> Self {
        Self { file, written: 0, end: VecDeque::new(), dropped: 0, kept }
    }
}

impl Write for Capped {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let (first, rest) = text.split_at(text.len().min(self.kept - self.written));
        self.file.write_all(first)?;
        self.written += first.len();
        self.end.extend(rest);
        let over = self.end.len().saturating_sub(self.kept);
        self.end.drain(..over);
        self.dropped += over as u64;
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Capped {
    /// Writes the end. A full disk shows where it matters, at the tables.
    fn drop(&mut self) {
        if self.dropped > 0 {
            // The rest of a line that is cut says nothing.
            let line = self.end.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            self.end.drain(..line);
            let dropped = self.dropped + line as u64;
            let _ =
                write!(self.file, "\n[… {dropped} bytes are left out here: a log keeps its beginning and its end …]\n");
        }
        let (one, two) = self.end.as_slices();
        let _ = self.file.write_all(one).and_then(|()| self.file.write_all(two));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(parts: &[&str]) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let mut log = Capped::keeping(File::create(&path).expect("created"), 8);
        parts.iter().for_each(|part| log.write_all(part.as_bytes()).expect("written"));
        drop(log);
        std::fs::read_to_string(&path).expect("read")
    }

    #[test]
    fn the_beginning_and_the_end_are_kept() {
        assert_eq!(kept(&["one\n", "two\n"]), "one\ntwo\n");
        assert_eq!(
            kept(&["one\ntwo\nthree\nfour"]),
            "one\ntwo\nthree\nfour"
                .replace("three\n", "\n[… 6 bytes are left out here: a log keeps its beginning and its end …]\n")
        );
        let long = kept(&["one\ntwo\n", &"x\n".repeat(500), "last\n"]);
        assert!(long.starts_with("one\ntwo\n\n[… 998 bytes"), "{long}");
        assert!(long.ends_with("x\nlast\n"), "{long}");
    }
}
