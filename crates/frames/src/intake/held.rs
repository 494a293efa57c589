//! Rows of slices: held from the reading of their file until a step takes them, or read again where they were too many.

use super::examine::changed;
use super::limits::{Turns, width};
use super::{Intake, Parsed, ROW_BYTES, TakeRows, Taken, is_of, locked};
use assets_core::hash::Digest;
use assets_core::record::{SliceRecord, SliceRef};
use assets_core::{ContentHash, Reason, Step};
use polars::prelude::DataFrame;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;

/// Step, path and content: two partitions of one file may hold the same rows.
type SliceKey = (Step, String, ContentHash);

/// Files with more rows than can be held, by who reads them: their slices in the order of steps, with their rows.
pub(super) type Large = HashMap<(usize, String), Vec<(SliceKey, u64)>>;

/// The rows of slices, where they could be held.
type Slices = [(SliceRecord, Option<DataFrame>)];

/// Rows that are held.
#[derive(Default)]
pub(super) struct HeldRows {
    /// With the bytes that they take, about in the order in which steps ask for them.
    frames: BTreeMap<SliceKey, (DataFrame, u64)>,
    bytes: u64,
    /// What steps have got since the files were looked at: nobody else asks for it.
    given: HashSet<SliceKey>,
}

impl HeldRows {
    /// Every slice may be asked for from now on.
    pub(super) fn ask_again(&mut self) {
        self.given.clear();
    }

    /// Holds rows within `most` bytes, in place of those that are probably asked for later. `asked`: the step that asks
    /// now; most before it have asked already, or won't.
    fn keep(&mut self, key: SliceKey, frame: DataFrame, bytes: u64, most: u64, asked: Option<&Step>) {
        if self.given.contains(&key) || self.frames.contains_key(&key) {
            return;
        }
        let rank = |key: &SliceKey| (asked.is_some_and(|asked| key.0 < *asked), key.clone());
        let mut missing = (self.bytes + bytes).saturating_sub(most);
        let mut later = Vec::new();
        for (other, (_, freed)) in self.last_first(asked) {
            if missing == 0 || rank(other) <= rank(&key) {
                break;
            }
            missing = missing.saturating_sub(*freed);
            later.push(other.clone());
        }
        if missing > 0 {
            return;
        }
        later.iter().for_each(|key| drop(self.remove(key)));
        self.bytes += bytes;
        self.frames.insert(key, (frame, bytes));
    }

    /// All of it, what is asked for after the others first.
    fn last_first(&self, asked: Option<&Step>) -> impl Iterator<Item = (&SliceKey, &(DataFrame, u64))> {
        let least = |step: &Step| (step.clone(), String::new(), ContentHash(Digest::from_bytes([0; 16])));
        let before = asked.map(|asked| self.frames.range(..least(asked)).rev()).into_iter().flatten();
        let from = asked.map_or(Bound::Unbounded, |asked| Bound::Included(least(asked)));
        before.chain(self.frames.range((from, Bound::Unbounded)).rev())
    }

    fn remove(&mut self, key: &SliceKey) -> Option<DataFrame> {
        let (frame, bytes) = self.frames.remove(key)?;
        self.bytes -= bytes;
        Some(frame)
    }

    fn take(&mut self, key: &SliceKey) -> Option<DataFrame> {
        let frame = self.remove(key)?;
        self.given.insert(key.clone());
        Some(frame)
    }
}

impl Intake {
    /// Holds the rows of slices of a reading for as long as there is room for them. `asked`: the step for which the file was
    /// read again.
    pub(super) fn keep(
        &self,
        name: &str,
        slices: Vec<(SliceRecord, Option<DataFrame>)>,
        taken: Option<&Taken>,
        asked: Option<&Step>,
    ) {
        let mut held = locked(&self.held);
        for (slice, frame) in slices {
            let Some(frame) = frame else { continue };
            // Who counts nothing has rows of one size.
            let bytes = taken.map_or(frame.height() as u64 * ROW_BYTES, |_| frame.estimated_size() as u64);
            let key = (Step::new(&slice.asset, &slice.partition), name.to_owned(), slice.hash);
            held.keep(key, frame, bytes, self.limits.held_most(), asked);
        }
    }

    /// Notes what a file holds that was read as a whole, where its rows were too many to be held.
    pub(super) fn note_if_large(&self, reader: usize, name: &str, slices: &Slices) {
        if slices.iter().all(|(_, rows)| rows.is_some()) {
            return;
        }
        let of = |slice: &SliceRecord| (Step::new(&slice.asset, &slice.partition), name.to_owned(), slice.hash);
        let mut all: Vec<(SliceKey, u64)> = slices.iter().map(|(slice, _)| (of(slice), slice.rows)).collect();
        all.sort();
        locked(&self.large).insert((reader, name.to_owned()), all);
    }

    /// Of a large file the steps whose rows are read along with those of a step, which is the first of them, because they
    /// are asked for next and can be held: a file of many short partitions need not be read for each. `None` where a file is
    /// not known to be large: then all of it is.
    fn read_along(&self, reader: usize, name: &str, step: &Step) -> Option<Vec<Step>> {
        let large = locked(&self.large);
        let all = large.get(&(reader, name.to_owned()))?;
        let held = locked(&self.held);
        let room = self.limits.held_most().saturating_sub(held.bytes) / ROW_BYTES;
        let mut room = room.min(self.limits.shared_by(width()).rows_most as u64);
        let mut along = Vec::new();
        for (key, rows) in &all[all.partition_point(|((other, ..), _)| other < step)..] {
            if *rows >= room {
                break;
            }
            if !held.given.contains(key) && !held.frames.contains_key(key) {
                room -= rows;
                along.push(key.0.clone());
            }
        }
        Some(along)
    }

    /// Gives the rows of a step's slice, as delivered, to `each`; false where its file does not hold them any more.
    ///
    /// # Errors
    /// The file is there and can't be read, or it changed meanwhile; what `each` says.
    pub fn open(&self, step: &Step, slice: &SliceRef, each: &mut TakeRows<'_>) -> Result<bool, Reason> {
        let key = (step.clone(), slice.path.clone(), slice.hash);
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
        let along = self.read_along(owner, &slice.path, step);
        if along.as_ref().is_none_or(|along| along.len() > 1 && along.contains(step)) {
            // However many steps there are at once, no more files are read than at first.
            let _turn = Turns::wait(&self.again);
            let limits = self.limits.shared_by(width());
            let Parsed { mut slices, taken, .. } = match &along {
                None => own.reader.read(&path, &slice.path, &limits)?,
                Some(along) => own.reader.read_some(&path, &slice.path, &limits, along)?,
            };
            if along.is_none() {
                self.note_if_large(owner, &slice.path, &slices);
            }
            let found = slices.iter().position(|(found, _)| is_it(found)).map(|at| slices.swap_remove(at));
            locked(&self.held).given.insert(key);
            let is_whole = slices.iter().chain(&found).all(|(_, rows)| rows.is_some());
            self.keep(&slice.path, slices, taken.as_ref(), Some(step));
            match found {
                Some((_, Some(frame))) => return each(frame).map(|()| true),
                None if !is_listed => return Ok(false),
                None if is_whole => return Err(changed(&slice.path)),
                // Too many, by themselves; or with others, because their texts are long: then each is read by itself.
                _ if along.is_some() => drop(locked(&self.large).insert((owner, slice.path.clone()), Vec::new())),
                _ => {}
            }
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
    use crate::intake::{FileReader, Limits, Patterns, reading};
    use assets_core::ledger::Ledger;
    use assets_core::source::{Identified, Source};
    use assets_core::{AssetName, ColumnDecl, Fingerprint, Kind, Partition};
    use std::fs;
    use std::path::Path;
    use std::sync::Mutex;

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

    #[test]
    fn what_is_asked_for_later_makes_room_for_what_is_asked_for_sooner() {
        let step = |day: &str| Step::new(&table().name, &Partition::one("day", day));
        let hash = ContentHash(Digest::from_bytes([7; 16]));
        let mut held = HeldRows::default();
        let mut keep = |days: &[&str], asked: Option<&str>| -> String {
            let asked = asked.map(step);
            for day in days {
                let key = (step(day), "a.csv".to_owned(), hash);
                held.keep(key, DataFrame::empty(), 10, 25, asked.as_ref());
            }
            held.frames.keys().filter_map(|(step, ..)| step.partition.run()).collect()
        };
        assert_eq!(keep(&["c", "d"], None), "cd");
        assert_eq!(keep(&["e", "a"], None), "ac", "the first ones of all files");
        assert_eq!(keep(&["d"], Some("b")), "cd", "nobody asks for what was before");
        assert_eq!(keep(&["a", "e", "c"], Some("b")), "cd");
        let key = |day| (step(day), "a.csv".to_owned(), hash);
        held.keep(key("a"), DataFrame::empty(), 26, 25, None);
        held.keep(key("cc"), DataFrame::empty(), 20, 25, None);
        assert_eq!(held.bytes, 20, "nothing goes for what can't be held all the same");
        assert!(held.take(&key("never")).is_none());
        held.keep(key("e"), DataFrame::empty(), 5, 25, None);
        assert!(held.take(&key("c")).is_some() && held.take(&key("e")).is_some());
        held.keep(key("c"), DataFrame::empty(), 10, 25, None);
        assert_eq!((held.frames.len(), held.bytes), (1, 10), "what was given is not asked for again");
    }

    /// A table of which no rows are held where they are too many; notes what is read of its files.
    struct Long {
        table: TableOfFiles,
        read: Arc<Mutex<Vec<String>>>,
        /// What happens before a file is read.
        before: fn(&Path),
    }

    impl Long {
        fn note(&self, what: String) {
            locked(&self.read).push(what);
        }
    }

    impl FileReader for Long {
        fn assets(&self) -> Vec<&AssetName> {
            self.table.assets()
        }

        fn unpartitioned(&self) -> Vec<&AssetName> {
            self.table.unpartitioned()
        }

        fn fingerprint(&self) -> Fingerprint {
            self.table.fingerprint()
        }

        fn settings(&self) -> reading::Settings {
            self.table.settings()
        }

        fn outdated(&self, slices: &[&SliceRecord], before: &reading::Settings) -> Option<reading::Outdated> {
            self.table.outdated(slices, before)
        }

        fn read(&self, path: &Path, name: &str, limits: &Limits) -> Result<Parsed, Reason> {
            self.note("all".to_owned());
            (self.before)(path);
            let mut parsed = self.table.read(path, name, limits)?;
            if parsed.slices.iter().map(|(slice, _)| slice.rows as usize).sum::<usize>() > limits.rows_most {
                parsed.slices.iter_mut().for_each(|(_, rows)| *rows = None);
            }
            Ok(parsed)
        }

        fn read_some(&self, path: &Path, name: &str, limits: &Limits, steps: &[Step]) -> Result<Parsed, Reason> {
            let days: Vec<_> = steps.iter().filter_map(|step| step.partition.run()).collect();
            self.note(days.join(" "));
            let mut parsed = self.table.read(path, name, limits)?;
            parsed.slices.retain(|(slice, _)| steps.iter().any(|step| is_of(slice, step)));
            assert!(parsed.slices.iter().map(|(slice, _)| slice.rows as usize).sum::<usize>() <= limits.rows_most);
            Ok(parsed)
        }

        fn read_one(
            &self,
            path: &Path,
            name: &str,
            step: &Step,
            each: &mut TakeRows<'_>,
        ) -> Result<Option<SliceRecord>, Reason> {
            self.note(format!("only {}", step.partition.run().unwrap_or_default()));
            self.table.read_one(path, name, step, each)
        }
    }

    #[test]
    fn of_a_large_file_as_much_is_read_at_once_as_can_be_held() {
        let folder = tempfile::tempdir().expect("a folder");
        let rows_of = |(day, rows): &(&str, usize)| (0..*rows).map(|_| format!("{day},1\n")).collect::<String>();
        let days = [("a", 100), ("b", 100), ("c", 300), ("d", 100), ("e", 100), ("f", 100), ("g", 10)];
        let text: String = days.iter().map(rows_of).collect();
        fs::write(folder.path().join("a.csv"), format!("day,value\n{text}")).expect("written");
        // Room for 250 rows of each file, however many are read at once.
        let memory = 250 * ROW_BYTES * 4 * width() as u64;
        let read: Arc<Mutex<Vec<String>>> = Arc::default();
        let reader = Arc::new(Long { table: table(), read: Arc::clone(&read), before: |_| () });
        let patterns = Patterns { patterns: vec!["*.csv".into()], base: folder.path().to_owned(), reader };
        let intake = Intake::new(vec![patterns], memory);
        let identified = intake.identify(&Ledger::default(), false).expect("identified");
        for (day, count) in &days {
            assert_eq!(rows(&intake, &identified, day), Ok(Some(*count)), "{day}");
        }
        assert_eq!(*locked(&read), ["all", "a b", "only c", "d e", "f g"]);
        fs::write(folder.path().join("a.csv"), "day,value\na,1\n").expect("written");
        let changed = rows(&intake, &identified, "a").expect_err("it holds other rows now");
        assert_eq!(changed.code, "source_changed_while_reading");
    }
    #[test]
    fn a_file_that_is_renamed_while_it_is_looked_at_is_looked_at_again() {
        let folder = tempfile::tempdir().expect("a folder");
        for day in ["a", "b"] {
            fs::write(folder.path().join(format!("{day}.csv")), format!("day,value\n{day},1\n")).expect("written");
        }
        let before = |path: &Path| {
            if path.ends_with("b.csv") {
                fs::rename(path, path.with_file_name("c.csv")).expect("renamed");
            }
        };
        let reader = Arc::new(Long { table: table(), read: Arc::default(), before });
        let patterns = Patterns { patterns: vec!["*.csv".into()], base: folder.path().to_owned(), reader };
        let intake = Intake::new(vec![patterns], 1 << 20);
        let identified = intake.identify(&Ledger::default(), false).expect("identified");
        assert_eq!((identified.files, &identified.problems[..]), (2, &[][..]));
        assert_eq!(rows(&intake, &identified, "b"), Ok(Some(1)));
    }
}
