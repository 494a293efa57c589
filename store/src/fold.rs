//! What is true now: the newest snapshot of all tips, and on it whatever the journal holds behind it. Without a snapshot
//! that can be used it is the whole journal: the same, later.

use crate::codec::{Subject, Wants};
use crate::error::StoreError;
use crate::journal::{self, Ends};
use crate::tail::Tail;
use crate::tips::{self, Tips, Unusable};
use assets_core::excerpt::Excerpt;
use assets_core::ledger::Ledger;
use assets_core::record::Entry;
use std::path::Path;
use std::sync::Arc;

/// Bytes of the journal behind a snapshot that nobody minds reading.
const LITTLE_BYTES: u64 = 128 << 10;
/// Bytes behind it that are too many, however large it is itself.
const MUCH_BYTES: u64 = 4 << 20;
/// Below that a snapshot is worth writing again when it has grown by this share.
const GROWTH: u64 = 8;

/// What is folded, and how far the journal was read for it.
pub(crate) struct Folded {
    pub(crate) ledger: Ledger,
    pub(crate) tail: Tail,
    /// The size of the snapshot that was used, and how far that had read the journal.
    pub(crate) snapshot: (u64, Ends),
}

/// All that is true now.
pub(crate) fn all(root: &Path) -> Result<Folded, StoreError> {
    fold(root, None)
}

/// The same of some steps.
pub(crate) fn part(root: &Path, excerpt: &Excerpt) -> Result<Folded, StoreError> {
    fold(root, Some(excerpt))
}

fn fold(root: &Path, excerpt: Option<&Excerpt>) -> Result<Folded, StoreError> {
    let of_snapshot = |tips: &Arc<Tips>| excerpt.map_or_else(|| tips.all(), |excerpt| tips.part(excerpt));
    let add = |ledger: &mut Ledger, entry| match excerpt {
        None => ledger.apply(entry),
        Some(excerpt) => excerpt.of_entry(entry).into_iter().for_each(|entry| ledger.apply(entry)),
    };
    let wants = |subject: &Subject| match subject {
        Subject::Step(step) => excerpt.is_none_or(|excerpt| excerpt.covers(&step.asset, &step.partition)),
        Subject::Other => true,
    };
    let (ledger, tail, snapshot) = over(root, &of_snapshot, &wants, &add)?;
    Ok(Folded { ledger, tail, snapshot })
}

/// What is folded from a snapshot.
pub(crate) type OfSnapshot<'a, T> = &'a dyn Fn(&Arc<Tips>) -> Result<T, Unusable>;

/// Something folded from the snapshot, if there is one, and from whatever is behind it; how far the journal was read for
/// that; the snapshot's size, and how far that had read it.
pub(crate) fn over<T: Default>(
    root: &Path,
    of_snapshot: OfSnapshot<'_, T>,
    wants: Wants<'_>,
    add: &dyn Fn(&mut T, Entry),
) -> Result<(T, Tail, (u64, Ends)), StoreError> {
    let advance = |folded: &mut T, tail: &mut Tail| {
        let mut frame = |_: &str, entries: Vec<Entry>, _| entries.into_iter().for_each(|entry| add(folded, entry));
        tail.advance_for(&|_| false, wants, &mut frame)
    };
    if let Some(tips) = Tips::open(root).map(Arc::new)
        && let Ok(mut folded) = of_snapshot(&tips)
    {
        let mut tail = Tail::after(&root.join("journal"), tips.ends(), tips.torn());
        advance(&mut folded, &mut tail)?;
        // A segment that comes before others of the snapshot, or is gone since, is none of what it was folded from.
        let (before, last) = (tips.ends(), tips.ends().into_keys().next_back());
        let follow = tail.ends().keys().filter(|name| !before.contains_key(*name));
        if !tail.has_shrunk() && follow.min().is_none_or(|first| last.is_none_or(|last| *first > last)) {
            return Ok((folded, tail, (tips.bytes(), before)));
        }
    }
    loop {
        let (mut folded, mut tail) = (T::default(), Tail::new(&root.join("journal")));
        advance(&mut folded, &mut tail)?;
        // Segments can be put together while they are read.
        if !tail.has_shrunk() {
            return Ok((folded, tail, (0, Ends::new())));
        }
    }
}

/// Whether reading what a snapshot of that size lacks has become worth more than writing another one.
pub(crate) fn is_outdated((bytes, before): &(u64, Ends), now: &Ends) -> bool {
    let behind =
        now.iter().map(|(name, end)| end.offset - before.get(name).map_or(0, |end| end.offset).min(end.offset));
    behind.sum::<u64>() > (bytes / GROWTH).clamp(LITTLE_BYTES, MUCH_BYTES)
}

/// Leaves a snapshot of all that the journal holds now, where all of its segments are final: whoever is last to write
/// leaves it. `known` is what is folded of it, if nobody else has written meanwhile.
///
/// # Errors
/// What can't be read or written: the journal is read then.
pub(crate) fn leave(root: &Path, known: Option<(&Ledger, &Tail, &Ends)>) -> Result<bool, StoreError> {
    if let Some((ledger, tail, ends)) = known {
        let is_all = crate::journal::segments(&root.join("journal"))?.iter().all(|name| ends.contains_key(name));
        if tail.is_final() && is_all {
            tips::write(root, ledger, ends, tail.torn())?;
            return Ok(true);
        }
    }
    let folded = all(root)?;
    let is_final = folded.tail.is_final();
    if is_final {
        tips::write(root, &folded.ledger, folded.tail.ends(), folded.tail.torn())?;
    }
    Ok(is_final)
}

/// What a look at the snapshot finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// There is none.
    Nothing,
    /// It is of other segments, of another version, or can't be read: nobody uses it.
    Unused,
    /// It is used, and says what the journal says.
    Sound,
    /// It is used, and should not be.
    Wrong,
}

/// Holds the snapshot against the segments that it was folded from.
pub(crate) fn look(root: &Path) -> Result<Look, StoreError> {
    if std::fs::symlink_metadata(root.join("tips")).is_err() {
        return Ok(Look::Nothing);
    }
    let Some(tips) = Tips::open(root) else { return Ok(Look::Unused) };
    let Ok(found) = tips.all() else { return Ok(Look::Unused) };
    let (mut ledger, mut ends) = (Ledger::default(), Ends::new());
    for name in tips.ends().into_keys() {
        let mut frame = |entries: Vec<Entry>, _| {
            entries.into_iter().for_each(|entry| ledger.apply(entry));
            true
        };
        let (end, _) = journal::read_segment(&root.join("journal"), &name, &mut frame)?;
        ends.insert(name, end);
    }
    Ok(if ledger == found && ends == tips.ends() { Look::Sound } else { Look::Wrong })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gc::{self, Keep};
    use crate::{Store, Wait, Writer};
    use assets_core::catalog::{Catalog, Commit, Neighbours, Records};
    use assets_core::key::{Partition, Step};
    use assets_core::record::StepRecord;
    use assets_testkit::conformance::{self, attempt, begin, end, fill, record, source, step};
    use assets_testkit::memory_catalog::MemoryCatalog;
    use std::collections::BTreeSet;
    use std::fs;
    use std::io::Write;

    fn writer(path: &Path) -> Writer {
        Store::open_writer(path, Wait::No, &mut |_| ()).unwrap()
    }

    /// From the journal alone.
    fn journal_alone(root: &Path) -> Ledger {
        let mut ledger = Ledger::default();
        journal::read(&root.join("journal"), &mut |entry| ledger.apply(entry)).unwrap();
        ledger
    }

    /// Whatever there is of a snapshot: the answers are those of the journal.
    fn check(root: &Path, what: &str) {
        let expected = journal_alone(root);
        let reader = Store::open_reader(root).unwrap();
        assert_eq!(reader.ledger().unwrap(), expected, "{what}");
        let mut runs: BTreeSet<String> = expected.steps().filter_map(|(step, _)| step.partition.run()).collect();
        runs.insert("never".to_owned());
        let assets = expected.steps().map(|(step, _)| step.asset.clone()).chain([step("never", "a").asset]);
        let assets: BTreeSet<_> = assets.collect();
        let one_run = runs.into_iter().map(|run| Excerpt::of_runs([run]));
        let one_asset = assets.iter().map(|asset| Excerpt::of_assets([asset.clone()]));
        let two = |run: &str, asset: &str| {
            let (run, asset) = (run.to_owned(), step(asset, "a").asset);
            let both = Excerpt::of_assets([asset.clone()]).in_runs([run.clone()]);
            [both, Excerpt::of_runs([run]).and_all_of([asset])]
        };
        let others = [Excerpt::of_assets(assets.clone()), Excerpt::of_assets([]), Excerpt::default()];
        let others = others.into_iter().chain(two("r1", "wide")).chain(two("r3", "raw"));
        let steps: Vec<&Step> = expected.steps().map(|(step, _)| step).collect();
        for (bucket, every, is_new) in [(1, 1, false), (2, 3, false), (3, 5, true), (100, 7, true)] {
            let steps = steps.iter().step_by(every).map(|step| (*step, is_new)).collect();
            let of = Neighbours { steps, bucket };
            assert_eq!(reader.neighbours(&of).unwrap(), of.in_ledger(&expected), "{what}: {of:?}");
        }
        for excerpt in one_run.chain(one_asset).chain(others) {
            assert_eq!(reader.ledger_of(&excerpt).unwrap(), excerpt.of_ledger(&expected), "{what}: {excerpt:?}");
        }
    }

    #[test]
    fn answers_are_the_same_with_a_snapshot() {
        let folder = tempfile::tempdir().unwrap();
        let twin = MemoryCatalog::new();
        fill(&twin);
        let one = writer(folder.path());
        fill(&one);
        assert!(one.leave_tips().unwrap());
        assert_eq!(look(folder.path()).unwrap(), Look::Sound);
        conformance::records(&twin, &one);
        check(folder.path(), "all of it in the snapshot");
        let late = Entry::Step(Arc::new(record(&step("wide", "late"), None, "n", "b9")));
        for catalog in [&one as &dyn Catalog, &twin] {
            assert_eq!(catalog.commit(vec![begin("b9"), late.clone()]).unwrap(), Commit::Committed);
        }
        check(folder.path(), "some behind it");
        let two = writer(folder.path());
        assert!(!two.leave_tips().unwrap(), "another process writes: the last one leaves it");
        conformance::records(&twin, &two);
        drop((one, two));
        conformance::records(&twin, &Store::open_reader(folder.path()).unwrap());
    }

    #[test]
    fn a_damaged_or_foreign_snapshot_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let one = writer(folder.path());
        fill(&one);
        one.leave_tips().unwrap();
        drop(one);
        let path = folder.path().join("tips");
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x40;
            fs::write(&path, &bad).unwrap();
            assert_ne!(look(folder.path()).unwrap(), Look::Wrong, "byte {at}");
            if at % 41 == 0 {
                check(folder.path(), &format!("byte {at}"));
            }
        }
        for cut in [0, 7, 8, good.len() / 2, good.len() - 1] {
            fs::write(&path, &good[..cut]).unwrap();
            check(folder.path(), &format!("cut at {cut}"));
        }
        fs::write(&path, &good).unwrap();
        assert_eq!(look(folder.path()).unwrap(), Look::Sound);
        // Another journal: of fewer entries, under the same name.
        let segment =
            folder.path().join("journal").join(&journal::segments(&folder.path().join("journal")).unwrap()[0]);
        let bytes = fs::read(&segment).unwrap();
        fs::write(&segment, &bytes[..bytes.len() - 1]).unwrap();
        assert_eq!(look(folder.path()).unwrap(), Look::Unused);
        check(folder.path(), "a segment that was cut");
        fs::remove_file(&segment).unwrap();
        check(folder.path(), "a segment that is gone");
    }

    /// A random life of a store.
    struct Life {
        root: tempfile::TempDir,
        seed: u64,
        open: Vec<Writer>,
        newest: std::collections::BTreeMap<(String, String), StepRecord>,
    }

    impl Life {
        fn below(&mut self, most: usize) -> usize {
            self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.seed >> 33) as usize % most
        }

        fn commit(&mut self) {
            let build = format!("b{}", self.below(9));
            let (asset, run) = (["raw", "wide", "fleet"][self.below(3)], format!("r{}", self.below(12)));
            let on = if asset == "fleet" {
                Step::new(&conformance::name("fleet"), &Partition::none())
            } else {
                step(asset, &run)
            };
            let before = self
                .newest
                .get(&(asset.to_owned(), if asset == "fleet" { String::new() } else { run.clone() }))
                .cloned();
            let at = self.below(self.open.len());
            let made = record(&on, before.as_ref(), &format!("made {}", self.below(5)), &build);
            let other = match self.below(4) {
                0 => Entry::Source(source(&format!("in/{}.csv", self.below(4)))),
                1 => Entry::Attempt(attempt(&on, made.generation, "boom", &build)),
                2 => end(&build),
                _ => begin(&build),
            };
            let key = (asset.to_owned(), if asset == "fleet" { String::new() } else { run });
            let batch = vec![begin(&build), Entry::Step(Arc::new(made.clone())), other];
            assert_eq!(self.open[at].commit(batch).unwrap(), Commit::Committed);
            self.newest.insert(key, made);
        }

        /// What a killed process leaves.
        fn tear(&mut self) {
            let folder = self.root.path().join("journal");
            let Some(last) = journal::segments(&folder).unwrap().pop() else { return };
            let mut file = fs::OpenOptions::new().append(true).open(folder.join(last)).unwrap();
            file.write_all(&[9, 0, 0, 0, 1]).unwrap();
        }

        fn collect(&mut self) {
            let keep = Keep {
                versions: 1,
                younger_than: std::time::Duration::ZERO,
                max_bytes: None,
                is_step: &|_| true,
                is_output: &|_| true,
                undeclared: false,
            };
            gc::collect(self.root.path(), &keep, Wait::No, &mut |_| ()).unwrap();
        }

        fn go_on(&mut self) -> &'static str {
            match self.below(12) {
                0 => {
                    self.open[0].leave_tips().unwrap();
                    "a snapshot"
                }
                1 if self.open.len() < 3 => {
                    self.open.push(writer(self.root.path()));
                    "another process"
                }
                2 | 3 => {
                    let at = self.below(self.open.len());
                    drop(self.open.swap_remove(at));
                    let all = self.open.is_empty();
                    let what = match self.below(6) {
                        0 if all => {
                            self.tear();
                            "a kill"
                        }
                        1 if all => {
                            Store::repair(self.root.path(), Wait::No, &mut |_| ()).unwrap();
                            "a repair"
                        }
                        2 if all => {
                            self.collect();
                            "gc"
                        }
                        _ => "an end",
                    };
                    if all {
                        self.open.push(writer(self.root.path()));
                    }
                    what
                }
                _ => {
                    self.commit();
                    "a commit"
                }
            }
        }
    }

    #[test]
    fn whatever_happens_to_a_store_a_snapshot_changes_no_answer() {
        for seed in 0..6 {
            let root = tempfile::tempdir().unwrap();
            let open = vec![writer(root.path())];
            let mut life = Life { root, seed, open, newest: std::collections::BTreeMap::new() };
            let mut told = Vec::new();
            for _ in 0..40 {
                told.push(life.go_on());
                check(life.root.path(), &format!("seed {seed}: {told:?}"));
            }
        }
    }
}
