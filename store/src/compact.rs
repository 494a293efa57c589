//! The journal in one segment, without records that nothing needs any more: part of `gc`, alone in the store.
//!
//! What is true now stays as it is, bit for bit: the newest record of each step, its first one (places in packed tables
//! follow from it), its latest attempt, the sources. So do versions that `gc` keeps, one record for each fingerprint, what is pinned,
//! whatever is younger than what may go, and the builds that any of these speak of.
//!
//! The new segment counts from the moment it has its name: the list `compacted`, written before, says which ones it
//! replaces, and whoever finds both passes over those. So a process killed at any point leaves one of the two.

use crate::codec;
use crate::error::{StoreError, writing};
use crate::files;
use crate::fold;
use crate::gc::bytes_of;
use crate::journal::{self, Ends, MAGIC, Stretch, Torn};
use crate::trust;
use assets_core::hash::{ContentHash, Digest, Fingerprint, Hasher, RecordId};
use assets_core::key::Step;
use assets_core::record::{AttemptRecord, Entry, StepRecord};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::Write;
use std::path::Path;

const LIST: &str = "compacted";
const VERSION: &str = "assets compacted 1";
/// Bytes of entries in one frame, but for the last one in it.
const FRAME_BYTES: usize = 256 << 10;
/// The share of entries that have to go before it is worth it.
const SHARE: usize = 8;
/// With more segments than this they are put together even where nothing goes.
const MANY_SEGMENTS: usize = 16;

/// What is kept.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keeping {
    /// Versions of each step.
    pub(crate) versions: usize,
    /// Records that ended later, in microseconds since the epoch.
    pub(crate) since_us: i64,
    /// Records that are pinned.
    pub(crate) pinned: HashSet<RecordId>,
}

/// The names among these that a newer segment has replaced.
pub(crate) fn replaced(folder: &Path, names: &[String]) -> Result<BTreeSet<String>, StoreError> {
    let Some(bytes) = files::read_if_there(&folder.join(LIST))? else { return Ok(BTreeSet::new()) };
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.lines();
    // Half a list replaces nothing: the segment that it speaks of is named in its last line.
    match (lines.next(), lines.next_back()) {
        (Some(VERSION), Some(new)) if names.iter().any(|name| name == new) => Ok(lines.map(str::to_owned).collect()),
        _ => Ok(BTreeSet::new()),
    }
}

/// Removes what an earlier call has replaced and was killed before it removed it.
fn finish(folder: &Path) -> Result<(), StoreError> {
    let all = journal::all_segments(folder)?;
    for name in replaced(folder, &all)? {
        files::remove_if_there(&folder.join(name))?;
    }
    files::sync_folder(folder)?;
    files::remove_if_there(&folder.join(LIST))
}

/// What putting the journal together comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compaction {
    /// Entries of the journal that nothing needs any more.
    pub entries: usize,
    /// How much smaller the journal is without them; before it is done, about.
    pub bytes: u64,
    /// The size of the index, which is made anew afterwards.
    pub index_bytes: u64,
}

/// What is needed of the journal, and its segments; nothing where it is not worth it to put it together.
fn weigh(folder: &Path, keeping: Keeping) -> Result<Option<(Needs, Ends)>, StoreError> {
    let mut needs = Needs::new(keeping);
    let (ends, torn) = journal::read(folder, &mut |entry| needs.look(&entry))?;
    let is_whole = torn.iter().all(|torn: &Torn| torn.stretch == Stretch::Unfinished);
    let needs = needs.settled();
    let is_worth_it = needs.spare * SHARE > needs.looked || ends.len() > MANY_SEGMENTS;
    Ok((is_whole && !ends.is_empty() && is_worth_it).then_some((needs, ends)))
}

/// What `compact` would do. Changes nothing.
pub(crate) fn look(root: &Path, keeping: Keeping) -> Result<Option<Compaction>, StoreError> {
    let folder = root.join("journal");
    let Some((needs, _)) = weigh(&folder, keeping)? else { return Ok(None) };
    let (mut words, mut all, mut left) = (0, 0, 0);
    journal::read(&folder, &mut |entry| {
        let bytes = codec::encode(&entry).len() as u64;
        all += bytes;
        left += if needs.has(&entry, &mut words) { bytes } else { 0 };
    })?;
    let index_bytes = bytes_of(&root.join("catalog"))?;
    Ok(Some(Compaction { entries: needs.spare, bytes: all - left, index_bytes }))
}

/// Puts the journal together, where that gives anything back. Whoever calls this is alone in the store.
/// What it did.
pub(crate) fn compact(root: &Path, keeping: Keeping) -> Result<Option<Compaction>, StoreError> {
    let folder = root.join("journal");
    finish(&folder)?;
    let Some((needs, ends)) = weigh(&folder, keeping)? else { return Ok(None) };
    let (before, index_bytes) = (bytes_of(&folder)?, bytes_of(&root.join("catalog"))?);
    files::create_folder(&root.join("tmp"))?;
    let temp = root.join("tmp/compact.tmp");
    write(&folder, &temp, &needs)?;
    let name = journal::next_name(&ends);
    let list: Vec<&str> = ends.keys().map(String::as_str).collect();
    let text = format!("{VERSION}\n{}\n{name}\n", list.join("\n"));
    files::replace(&folder.join(LIST), &root.join("tmp/compacted.tmp"), text.as_bytes())?;
    files::rename(&temp, &folder.join(&name))?;
    files::sync_folder(&folder)?;
    // From here on the new one is the journal. What follows costs time if it is not done.
    let now = journal::read(&folder, &mut |_| ())?.0;
    mark(root, &ends, &now)?;
    trust::remove(&root.join("catalog"))?;
    finish(&folder)?;
    fold::leave(root, None)?;
    let bytes = before.saturating_sub(bytes_of(&folder)?);
    Ok(Some(Compaction { entries: needs.spare, bytes, index_bytes }))
}

/// Where everything was published, it still is.
fn mark(root: &Path, before: &Ends, now: &Ends) -> Result<(), StoreError> {
    let path = root.join("tables/.published");
    let Some(bytes) = files::read_if_there(&path)? else { return Ok(()) };
    let text = String::from_utf8_lossy(&bytes);
    match text.strip_prefix(&journal::position(before)) {
        Some(rest) if rest.starts_with(' ') => {
            let text = format!("{}{rest}", journal::position(now));
            files::replace(&path, &root.join("tmp/published.tmp"), text.as_bytes())
        }
        _ => files::remove_if_there(&path),
    }
}

/// All entries that are needed, in their order.
fn write(folder: &Path, temp: &Path, needs: &Needs) -> Result<(), StoreError> {
    files::remove_if_there(temp)?;
    let mut file = files::Output::new(temp).map_err(writing(temp))?;
    file.write_all(MAGIC).map_err(writing(temp))?;
    let (mut batch, mut failed, mut words, mut bytes) = (Vec::new(), None, 0, 0);
    let mut put = |batch: &mut Vec<Entry>| {
        if let Err(error) = journal::put(&mut file, temp, batch) {
            failed.get_or_insert(error);
        }
        batch.clear();
    };
    journal::read(folder, &mut |entry| {
        if needs.has(&entry, &mut words) {
            bytes += codec::encode(&entry).len();
            batch.push(entry);
        }
        if bytes >= FRAME_BYTES {
            put(&mut batch);
            bytes = 0;
        }
    })?;
    put(&mut batch);
    match failed {
        Some(error) => Err(error),
        None => file.sync_all().map_err(writing(temp)),
    }
}

/// What a record is told from others of its step by: when it counts, and what version it is.
struct Version {
    place: (u64, i64),
    id: RecordId,
    content: ContentHash,
    fingerprint: Fingerprint,
    build: String,
}

/// What is needed of the journal.
struct Needs {
    keeping: Keeping,
    versions: HashMap<Step, Vec<Version>>,
    attempts: HashMap<Step, ((u64, i64), Digest<16>, String)>,
    /// The last word on each source: its place among all words on sources.
    sources: BTreeMap<String, usize>,
    words: usize,
    young_attempts: usize,
    looked: usize,
    records: HashSet<RecordId>,
    last_attempts: HashSet<Digest<16>>,
    builds: HashSet<String>,
    /// How many entries are not.
    spare: usize,
}

fn name_of(attempt: &AttemptRecord) -> Digest<16> {
    let mut hasher = Hasher::new("assets.attempt.1");
    hasher.text(&format!("{attempt:?}"));
    hasher.finish()
}

fn version(record: &StepRecord) -> Version {
    Version {
        place: (record.generation, record.span.end_us),
        id: record.id(),
        content: record.content_hash(),
        fingerprint: record.fingerprint,
        build: record.build.clone(),
    }
}

impl Needs {
    fn new(keeping: Keeping) -> Self {
        Self {
            keeping,
            versions: HashMap::new(),
            attempts: HashMap::new(),
            sources: BTreeMap::new(),
            words: 0,
            young_attempts: 0,
            looked: 0,
            records: HashSet::new(),
            last_attempts: HashSet::new(),
            builds: HashSet::new(),
            spare: 0,
        }
    }

    fn look(&mut self, entry: &Entry) {
        self.looked += 1;
        match entry {
            Entry::Step(record) => self.versions.entry(record.step.clone()).or_default().push(version(record)),
            Entry::Attempt(attempt) => {
                let place = (attempt.after_generation, attempt.span.end_us);
                let found = (place, name_of(attempt), attempt.build.clone());
                if attempt.span.end_us >= self.keeping.since_us {
                    self.young_attempts += 1;
                    self.builds.insert(attempt.build.clone());
                }
                let known = self.attempts.entry(attempt.step.clone()).or_insert_with(|| found.clone());
                // As the ledger takes them: of two at once the later one.
                if known.0 <= place {
                    *known = found;
                }
            }
            Entry::Source(source) => {
                self.words += 1;
                if source.moved_to.is_some() {
                    self.sources.remove(&source.path);
                } else {
                    self.sources.insert(source.path.clone(), self.words);
                }
            }
            Entry::Begin(_) | Entry::End(_) => {}
        }
    }

    /// Decides, once everything was looked at.
    fn settled(mut self) -> Self {
        for mut versions in std::mem::take(&mut self.versions).into_values() {
            versions.sort_by_key(|version| std::cmp::Reverse(version.place));
            let (mut contents, mut kept): (Vec<ContentHash>, HashSet<(ContentHash, Fingerprint)>) = Default::default();
            let (last, newest) = (versions.len() - 1, versions[0].place.0);
            for (at, version) in versions.into_iter().enumerate() {
                if !contents.contains(&version.content) {
                    contents.push(version.content);
                }
                let rank = contents.iter().position(|content| *content == version.content).unwrap_or(0);
                let is_new =
                    kept.len() < self.keeping.versions * 2 && kept.insert((version.content, version.fingerprint));
                let is_kept = rank < self.keeping.versions && is_new || self.keeping.pinned.contains(&version.id);
                if version.place.0 == newest || at == last || is_kept || version.place.1 >= self.keeping.since_us {
                    self.records.insert(version.id);
                    self.builds.insert(version.build);
                }
            }
        }
        let mut attempts = self.young_attempts;
        for (place, attempt, build) in std::mem::take(&mut self.attempts).into_values() {
            attempts += usize::from(place.1 < self.keeping.since_us);
            self.last_attempts.insert(attempt);
            self.builds.insert(build);
        }
        let needed = self.records.len() + attempts + self.sources.len() + 2 * self.builds.len();
        self.spare = self.looked.saturating_sub(needed);
        self
    }

    /// Whether it is. Each is met in the order in which it was looked at; `words` counts those on sources.
    fn has(&self, entry: &Entry, words: &mut usize) -> bool {
        match entry {
            Entry::Step(record) => self.records.contains(&record.id()),
            Entry::Attempt(attempt) => {
                self.last_attempts.contains(&name_of(attempt)) || attempt.span.end_us >= self.keeping.since_us
            }
            Entry::Source(source) => {
                *words += 1;
                self.sources.get(&source.path) == Some(words)
            }
            Entry::Begin(build) => self.builds.contains(&build.id),
            Entry::End(end) => self.builds.contains(&end.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::{Fault, Probe};
    use crate::gc::{self, Keep};
    use crate::{Store, Wait};
    use assets_core::catalog::{Catalog, Commit, Past, Records};
    use assets_core::ledger::Ledger;
    use assets_testkit::conformance::{attempt, begin, end, object, record, source, step};
    use std::sync::Arc;
    use std::time::Duration;

    const STEPS: usize = 5;

    /// A store that was built so many times, each time with another outcome, and failed a little.
    fn rebuilt(root: &Path, builds: std::ops::Range<usize>) {
        for number in builds {
            let writer = Store::open_writer(root, Wait::No, &mut |_| ()).unwrap();
            let ledger = writer.ledger().unwrap();
            let build = format!("b{number}");
            let mut batch = vec![begin(&build), Entry::Source(source("in/a.csv"))];
            for run in 0..STEPS {
                let step = step("wide", &format!("r{run}"));
                let before = ledger.newest(&step).cloned();
                batch.push(Entry::Attempt(attempt(&step, before.as_ref().map_or(0, |b| b.generation), "boom", &build)));
                let made = record(&step, before.as_deref(), &format!("{number} {run}"), &build);
                batch.push(Entry::Step(Arc::new(made)));
            }
            batch.push(end(&build));
            assert_eq!(writer.commit(batch).unwrap(), Commit::Committed);
        }
    }

    fn all_published(root: &Path) {
        let writer = Store::open_writer(root, Wait::No, &mut |_| ()).unwrap();
        writer.set_published(&format!("{} layout", writer.position())).unwrap();
    }

    fn collect(root: &Path) -> Result<gc::Found, StoreError> {
        let keep = Keep {
            versions: 2,
            younger_than: Duration::ZERO,
            max_bytes: None,
            is_step: &|_| true,
            is_output: &|_| true,
            undeclared: false,
        };
        gc::collect(root, &keep, Wait::No, &mut |_| ())
    }

    /// What is true now, but for builds that nothing speaks of any more.
    fn now(root: &Path) -> Ledger {
        let ledger = Store::open_reader(root).unwrap().ledger().unwrap();
        let tips = ledger.steps().map(|(step, tip)| (step.clone(), tip.clone()));
        Ledger::of(tips, ledger.sources().values().cloned(), Vec::new())
    }

    fn size(root: &Path) -> u64 {
        gc::bytes_of(&root.join("journal")).unwrap()
    }

    #[test]
    fn a_hundred_builds_need_no_more_room_than_a_few_once_they_are_collected() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let mut sizes = Vec::new();
        for round in 0..4 {
            rebuilt(root, round * 25..(round + 1) * 25);
            let (before, grown) = (now(root), size(root));
            collect(root).unwrap();
            assert_eq!(now(root), before, "what is true now is as it was");
            sizes.push(size(root));
            assert!(sizes[round] * 4 < grown, "{sizes:?} of {grown}");
        }
        assert!(sizes[3] <= sizes[0] + 200, "{sizes:?}");
        assert_eq!(journal::all_segments(&root.join("journal")).unwrap().len(), 1);
        let reader = Store::open_reader(root).unwrap();
        let history = reader.history(&step("wide", "r1")).unwrap();
        let told: Vec<u64> = history
            .iter()
            .map(|past| match past {
                Past::Record(_, record) => record.generation,
                Past::Attempt(_) => 0,
            })
            .collect();
        assert_eq!(told, [100, 0, 99, 1], "the first, two versions, the last attempt");
        assert_eq!(reader.of_object(&object("99 1")).unwrap().len(), 1);
        assert!(reader.of_build("b50").unwrap().is_empty());
        drop(reader);
        assert!(!collect(root).unwrap().is_too_large);
        rebuilt(root, 100..101);
        assert_eq!(now(root).newest(&step("wide", "r1")).unwrap().generation, 101, "builds go on");
    }

    #[test]
    fn wherever_it_stops_the_same_is_true() {
        let made = tempfile::tempdir().unwrap();
        rebuilt(made.path(), 0..6);
        let expected = now(made.path());
        let (mut fails, mut outdated) = (0, 0);
        for at in 0.. {
            let folder = tempfile::tempdir().unwrap();
            let root = folder.path();
            rebuilt(root, 0..6);
            all_published(root);
            assert!(fold::leave(root, None).unwrap());
            let probe = Probe::fail(root, Fault { at, errno: 28, bytes: 3, lasting: true });
            let done = collect(root);
            drop(probe);
            assert_eq!(now(root), expected, "stopped at {at}");
            let told = Store::examine(root).unwrap().findings;
            assert!(told.iter().all(|told| told.reason.code != "journal_shorter"), "stopped at {at}: {told:?}");
            outdated += told.iter().filter(|told| told.reason.code == "tips_unused").count();
            let history = Store::open_reader(root).unwrap().history(&step("wide", "r1")).unwrap();
            assert!(matches!(history.len(), 12 | 4), "nothing is told twice: {} at {at}", history.len());
            collect(root).unwrap();
            assert_eq!(now(root), expected, "stopped at {at}, and again");
            rebuilt(root, 6..7);
            if done.is_ok() {
                break;
            }
            fails += 1;
        }
        assert!(fails > 8, "{fails}");
        assert!(outdated > 0, "the journal is put together before a snapshot of it is left, which nothing reads then");
    }

    #[test]
    fn what_is_young_stays_and_published_stays_published() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        rebuilt(root, 0..3);
        all_published(root);
        assert!(
            compact(root, Keeping { versions: 1, since_us: 0, ..Keeping::default() }).unwrap().is_none(),
            "nothing may go yet"
        );
        collect(root).unwrap();
        let reader = Store::open_reader(root).unwrap();
        assert_eq!(reader.published().unwrap(), format!("{} layout", reader.position().unwrap()));
    }
}
