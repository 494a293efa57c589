//! Rows of slices: held from the reading of their file until a step takes them, or read again where they were too many.

use super::{Intake, Parsed, ROW_BYTES, TakeRows, Taken, changed, is_of, locked, width};
use assets_core::record::{SliceRecord, SliceRef};
use assets_core::{ContentHash, Reason, Step};
use polars::prelude::DataFrame;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Path, step and content: two partitions of one file may hold the same rows.
type SliceKey = (String, Step, ContentHash);

/// Rows that are held.
#[derive(Default)]
pub(super) struct HeldRows {
    /// With the bytes that they take.
    frames: HashMap<SliceKey, (DataFrame, u64)>,
    bytes: u64,
    /// What steps have asked for since the files were looked at: nobody else asks for it.
    given: HashSet<SliceKey>,
}

impl HeldRows {
    /// Every slice may be asked for from now on.
    pub(super) fn ask_again(&mut self) {
        self.given.clear();
    }

    fn keep(&mut self, key: SliceKey, frame: DataFrame, bytes: u64) {
        self.bytes += bytes;
        if let Some((_, before)) = self.frames.insert(key, (frame, bytes)) {
            self.bytes -= before;
        }
    }

    fn take(&mut self, key: &SliceKey) -> Option<DataFrame> {
        self.given.insert(key.clone());
        let (frame, bytes) = self.frames.remove(key)?;
        self.bytes -= bytes;
        Some(frame)
    }
}

impl Intake {
    /// Holds the rows of slices of a reading for as long as there is room for them.
    pub(super) fn keep(&self, name: &str, slices: Vec<(SliceRecord, Option<DataFrame>)>, taken: Option<&Taken>) {
        let mut held = locked(&self.held);
        for (slice, frame) in slices {
            let Some(frame) = frame else {
                locked(&self.large).insert(name.to_owned());
                continue;
            };
            let bytes = match taken {
                Some(taken) if taken.is_much() => frame.estimated_size() as u64,
                _ => frame.height() as u64 * ROW_BYTES,
            };
            let key = (name.to_owned(), Step::new(&slice.asset, &slice.partition), slice.hash);
            if held.bytes + bytes <= self.limits.held_most() && !held.given.contains(&key) {
                held.keep(key, frame, bytes);
            }
        }
    }

    /// Gives the rows of a step's slice, as delivered, to `each`; false where its file does not hold them any more.
    ///
    /// # Errors
    /// The file is there and can't be read, or it changed meanwhile; what `each` says.
    pub fn open(&self, step: &Step, slice: &SliceRef, each: &mut TakeRows<'_>) -> Result<bool, Reason> {
        let key = (slice.path.clone(), step.clone(), slice.hash);
        let Some(owner) = self.reader_of(&step.asset) else { return Ok(false) };
        let held = || locked(&self.held).take(&key);
        if let Some(frame) = held() {
            return each(frame).map(|()| true);
        }
        let guard = Arc::clone(locked(&self.files).entry(slice.path.clone()).or_default());
        let one_reader = locked(&guard);
        if let Some(frame) = held() {
            return each(frame).map(|()| true);
        }
        let own = &self.readers[owner];
        let listed = locked(&self.paths).get(&slice.path).cloned();
        let is_listed = listed.as_ref().is_some_and(|(_, readers)| readers.contains(&owner));
        let path = listed.map_or_else(|| own.base.join(&slice.path), |(path, _)| path);
        if !path.exists() {
            return Ok(false);
        }
        let is_it = |found: &SliceRecord| is_of(found, step) && found.hash == slice.hash;
        if !locked(&self.large).contains(&slice.path) {
            let Parsed { mut slices, taken, .. } =
                own.reader.read(&path, &slice.path, &self.limits.shared_by(width()))?;
            let at = slices.iter().position(|(found, _)| is_it(found));
            let found = at.map(|at| slices.remove(at));
            // Steps come in the order of slices: the next ones are asked for next.
            slices.rotate_left(at.unwrap_or_default());
            let is_whole = slices.iter().chain(&found).all(|(_, rows)| rows.is_some());
            self.keep(&slice.path, slices, taken.as_ref());
            match found {
                Some((_, Some(frame))) => return each(frame).map(|()| true),
                None if !is_listed => return Ok(false),
                None if is_whole => return Err(changed(&slice.path)),
                _ => locked(&self.large).insert(slice.path.clone()),
            };
        }
        drop(one_reader);
        match own.reader.read_one(&path, &slice.path, step, each)? {
            Some(found) if is_it(&found) => Ok(true),
            _ => Err(changed(&slice.path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::TableOfFiles;
    use crate::intake::Patterns;
    use assets_core::ledger::Ledger;
    use assets_core::source::{Identified, Source};
    use assets_core::{AssetName, ColumnDecl, Kind, Partition};
    use std::fs;
    use std::path::Path;

    fn table() -> TableOfFiles {
        let name = |name: &str| AssetName::new(name).expect("a name");
        TableOfFiles {
            name: name("readings"),
            rejects: name("readings_rejects"),
            description: String::new(),
            packed: false,
            keys: vec!["day".into()],
            columns: vec![ColumnDecl::new("value", Kind::Int, "", "")],
            timezone: None,
            delimiter: b',',
        }
    }

    /// Readings of two days, identified with room for so many bytes.
    fn identified(folder: &Path, memory: u64) -> (Intake, Identified) {
        fs::write(folder.join("a.csv"), "day,value\nmon,1\ntue,2\nmon,3\n").expect("written");
        of_file(folder, memory)
    }

    fn of_file(folder: &Path, memory: u64) -> (Intake, Identified) {
        let patterns = Patterns { patterns: vec!["*.csv".into()], base: folder.to_owned(), reader: Arc::new(table()) };
        let intake = Intake::new(vec![patterns], memory);
        let identified = intake.identify(&Ledger::default(), false).expect("identified");
        (intake, identified)
    }

    fn rows(intake: &Intake, identified: &Identified, day: &str) -> Result<Option<usize>, Reason> {
        let step = Step::new(&table().name, &Partition::one("day", day));
        let mut rows = 0;
        let each = &mut |frame: DataFrame| {
            rows += frame.height();
            Ok(())
        };
        Ok(intake.open(&step, &identified.deliveries[&step].slices[0], each)?.then_some(rows))
    }

    #[test]
    fn rows_that_are_not_held_are_read_again() {
        let folder = tempfile::tempdir().expect("a folder");
        for memory in [u64::MAX, 600] {
            let (intake, identified) = identified(folder.path(), memory);
            assert_eq!(rows(&intake, &identified, "mon"), Ok(Some(2)));
            assert_eq!(rows(&intake, &identified, "tue"), Ok(Some(1)));
            fs::write(folder.path().join("a.csv"), "day,value\nmon,1\n").expect("written");
            let changed = rows(&intake, &identified, "mon").expect_err("it holds other rows now");
            assert_eq!(changed.code, "source_changed_while_reading");
            fs::remove_file(folder.path().join("a.csv")).expect("removed");
            assert_eq!(rows(&intake, &identified, "mon"), Ok(None), "what it held is not there any more");
        }
    }

    #[test]
    fn what_was_asked_for_makes_room_for_what_will_be() {
        let folder = tempfile::tempdir().expect("a folder");
        let rows_of = |day| (0..100).map(|_| format!("{day},1\n")).collect::<String>();
        let days = ["a", "b", "c", "d"];
        let text: String = days.iter().map(|day| rows_of(*day)).collect();
        fs::write(folder.path().join("a.csv"), format!("day,value\n{text}")).expect("written");
        // Room for two of the four.
        let (intake, identified) = of_file(folder.path(), 28_000);
        for day in &days[..3] {
            assert_eq!(rows(&intake, &identified, day), Ok(Some(100)), "{day}");
        }
        fs::remove_file(folder.path().join("a.csv")).expect("removed");
        assert_eq!(rows(&intake, &identified, "d"), Ok(Some(100)), "held when the file was read again for c");
        assert_eq!(rows(&intake, &identified, "a"), Ok(None));
    }
}
