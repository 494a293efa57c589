//! What nothing needs any more: old versions, objects that no record speaks of, temp files of processes that are gone, logs
//! and tables of what is not declared any more. Looking removes nothing. Whoever removes is alone in the store, and what is
//! gone afterwards is a miss, which costs a making, never an error.
//!
//! Never removed: what the newest record of a step stores, and what is pinned. The journal loses records of versions that
//! are not kept (`compact`).

pub use crate::compact::Compaction;
use crate::compact::{self, Keeping};
use crate::error::{StoreError, reading, writing};
use crate::files::remove_if_there;
use crate::journal;
use crate::lock::{self, Wait, WriterLock};
use crate::pins;
use assets_core::catalog::Holder;
use assets_core::hash::ObjectId;
use assets_core::key::{AssetName, Step};
use assets_core::record::{Entry, StepRecord};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What is to be kept.
pub struct Keep<'a> {
    /// So many versions of each step, the newest among them; at least one.
    pub versions: usize,
    /// Whatever is younger.
    pub younger_than: Duration,
    /// The size that the store is not to exceed: older versions go before it does, the oldest first.
    pub max_bytes: Option<u64>,
    /// Which steps are declared.
    pub is_step: &'a dyn Fn(&Step) -> bool,
    /// Which outputs are declared.
    pub is_output: &'a dyn Fn(&AssetName) -> bool,
    /// Whether tables of what is not declared go too.
    pub undeclared: bool,
}

/// Why something goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A table that newer ones have replaced, more often than is kept.
    OldVersion,
    /// One that would be kept, were there room.
    OverSize,
    /// An object that no record speaks of: a killed process left it.
    Orphan,
    /// A file that a killed process was writing.
    Temp,
    /// A log of a step that does not exist any more.
    Log,
    /// A table of what is not declared any more.
    Undeclared,
}

impl Kind {
    /// The word used everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::OldVersion => "old_version",
            Self::OverSize => "over_size",
            Self::Orphan => "orphan",
            Self::Temp => "temp",
            Self::Log => "log",
            Self::Undeclared => "undeclared",
        }
    }
}

/// A file, or a folder of temp files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Garbage {
    /// Why it goes.
    pub kind: Kind,
    /// Where it is.
    pub path: PathBuf,
    /// Its size; 0 where another name of the file stays.
    pub bytes: u64,
    /// The step it was made for, if that is known.
    pub step: Option<Step>,
}

/// All that goes, and how much stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// What goes.
    pub garbage: Vec<Garbage>,
    /// The size of the store afterwards.
    pub bytes_left: u64,
    /// Whether that is above the size it is not to exceed: the newest tables alone need it.
    pub is_too_large: bool,
    /// Outputs that are not declared any more and have tables still.
    pub undeclared: Vec<AssetName>,
    /// What becomes of the journal, where it is put together.
    pub compaction: Option<Compaction>,
}

/// What would go. Holds nothing, and removes nothing.
pub fn look(root: &Path, keep: &Keep<'_>) -> Result<Found, StoreError> {
    crate::check_format(root)?;
    crate::check_links(root)?;
    // What a process is writing now is none of it.
    let found = find(root, keep, lock::writer(root).is_none())?;
    Ok(Found { compaction: compact::look(root, keeping(root, keep)?)?, ..found })
}

/// What of the journal is to be kept.
fn keeping(root: &Path, keep: &Keep<'_>) -> Result<Keeping, StoreError> {
    let now_us = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
    let since_us = i64::try_from(now_us.saturating_sub(keep.younger_than.as_micros())).unwrap_or(i64::MAX);
    let pinned = pins::all(root)?.records.into_keys().collect();
    Ok(Keeping { versions: keep.versions.max(1), since_us, pinned })
}

/// Removes what goes, alone in the store: waits for builds and readers (then `on_wait` is told once for whom), or fails
/// with `store_busy`.
pub fn collect(
    root: &Path,
    keep: &Keep<'_>,
    wait: Wait,
    on_wait: &mut dyn FnMut(&Holder),
) -> Result<Found, StoreError> {
    if !crate::check_format(root)? {
        return Ok(Found::default());
    }
    crate::check_links(root)?;
    let _alone = WriterLock::alone(root, wait, on_wait)?;
    let mut found = find(root, keep, true)?;
    for garbage in &found.garbage {
        let path = &garbage.path;
        if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
            fs::remove_dir_all(path).map_err(writing(path))?;
        } else {
            remove_if_there(path)?;
        }
        // Folders of tables, logs and objects go with their last file; one that is not empty stays.
        if garbage.kind != Kind::Temp {
            path.parent().map(fs::remove_dir);
        }
    }
    found.compaction = compact::compact(root, keeping(root, keep)?)?;
    if found.compaction.is_some() {
        found.bytes_left = bytes_of(root)?;
    }
    Ok(found)
}

fn find(root: &Path, keep: &Keep<'_>, temps: bool) -> Result<Found, StoreError> {
    let records = Records::read(root, keep)?;
    let mut found = Found { bytes_left: bytes_of(root)?, ..Found::default() };
    let mut spare = Vec::new();
    let young = |metadata: &Metadata| is_younger(metadata, keep.younger_than);
    let pinned = pins::all(root)?.objects;
    for (object, path, metadata) in objects(root)?.into_iter().filter(|(object, ..)| !pinned.contains(object)) {
        let (kind, step) = match records.of(&object) {
            Some(Use::Newest) => continue,
            Some(Use::Kept { step, last_us }) => {
                spare.push((
                    *last_us,
                    Garbage { kind: Kind::OverSize, path, bytes: freed(&metadata), step: Some(step.clone()) },
                ));
                continue;
            }
            Some(Use::Old(step)) => (Kind::OldVersion, Some(step.clone())),
            None => (Kind::Orphan, None),
        };
        let garbage = Garbage { kind, path, bytes: freed(&metadata), step };
        if young(&metadata) {
            // Young ones stay, unless there is no room.
            spare.extend(garbage.step.is_some().then_some((i64::MAX, Garbage { kind: Kind::OverSize, ..garbage })));
        } else {
            found.garbage.push(garbage);
        }
    }
    if temps {
        for (path, _) in entries(&root.join("tmp"))? {
            found.garbage.push(Garbage { kind: Kind::Temp, bytes: bytes_of(&path)?, path, step: None });
        }
    }
    for (folder, _) in entries(&root.join("logs"))? {
        for (path, metadata) in entries(&folder)? {
            if !records.has_log(&folder, &path) && !young(&metadata) {
                found.garbage.push(Garbage { kind: Kind::Log, path, bytes: freed(&metadata), step: None });
            }
        }
    }
    undeclared(root, keep, &records, &mut found)?;
    count_last_names(&mut found.garbage);
    let goes: u64 = found.garbage.iter().map(|garbage| garbage.bytes).sum();
    found.bytes_left = found.bytes_left.saturating_sub(goes);
    make_room(&mut found, spare, keep.max_bytes);
    found.garbage.sort_by(|a, b| (a.kind, &a.path).cmp(&(b.kind, &b.path)));
    Ok(found)
}

/// A file whose names all go is given back with the last of them.
fn count_last_names(garbage: &mut [Garbage]) {
    let mut names: HashMap<(u64, u64), u64> = HashMap::new();
    for garbage in garbage.iter_mut().filter(|garbage| garbage.bytes == 0) {
        let Ok(metadata) = fs::symlink_metadata(&garbage.path) else { continue };
        let named = names.entry((metadata.dev(), metadata.ino())).or_default();
        *named += 1;
        if metadata.is_file() && metadata.nlink() > 1 && *named == metadata.nlink() {
            garbage.bytes = metadata.len();
        }
    }
}

/// Gives up versions that would be kept, the least recently used first.
fn make_room(found: &mut Found, mut spare: Vec<(i64, Garbage)>, max_bytes: Option<u64>) {
    let Some(max) = max_bytes else { return };
    spare.sort_by(|a, b| (a.0, &a.1.path).cmp(&(b.0, &b.1.path)));
    for (_, garbage) in spare {
        if found.bytes_left <= max {
            break;
        }
        found.bytes_left = found.bytes_left.saturating_sub(garbage.bytes);
        found.garbage.push(garbage);
    }
    found.is_too_large = found.bytes_left > max;
}

/// Tables of outputs that some record speaks of, and that are declared no more. What else lies there is not ours.
fn undeclared(root: &Path, keep: &Keep<'_>, records: &Records, found: &mut Found) -> Result<(), StoreError> {
    for (folder, _) in entries(&root.join("tables"))? {
        let name = folder.file_name().and_then(|name| AssetName::new(name.to_str()?).ok());
        let Some(name) = name.filter(|name| !(keep.is_output)(name) && records.outputs.contains(name)) else {
            continue;
        };
        let files = entries(&folder)?.into_iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "parquet"));
        let garbage =
            files.map(|(path, metadata)| Garbage { kind: Kind::Undeclared, path, bytes: freed(&metadata), step: None });
        let garbage: Vec<Garbage> = garbage.collect();
        if !garbage.is_empty() {
            found.undeclared.push(name);
        }
        if keep.undeclared {
            found.garbage.extend(garbage);
        }
    }
    found.undeclared.sort();
    Ok(())
}

/// What an object is needed for.
enum Use {
    /// The newest record of a step.
    Newest,
    /// A version that is kept, used last then.
    Kept { step: Step, last_us: i64 },
    /// None that is kept.
    Old(Step),
}

/// All that the journal says of objects.
struct Records {
    objects: HashMap<ObjectId, Use>,
    outputs: HashSet<AssetName>,
    /// Asset and file name of each log that may be there.
    logs: BTreeSet<(String, String)>,
}

/// A record's generation, when it was made, and its objects.
type Version = (u64, i64, Vec<ObjectId>);

impl Records {
    fn read(root: &Path, keep: &Keep<'_>) -> Result<Self, StoreError> {
        let mut versions: BTreeMap<Step, Vec<Version>> = BTreeMap::new();
        let mut all = Self { objects: HashMap::new(), outputs: HashSet::new(), logs: BTreeSet::new() };
        journal::read(&root.join("journal"), &mut |entry| match entry {
            Entry::Step(record) => {
                all.outputs.extend(record.outputs.iter().map(|output| output.name.clone()));
                versions.entry(record.step.clone()).or_default().push(version(&record));
            }
            Entry::Attempt(attempt) => drop(versions.entry(attempt.step).or_default()),
            _ => {}
        })?;
        for (step, versions) in versions {
            let is_step = (keep.is_step)(&step);
            if is_step {
                all.logs.insert((step.asset.to_string(), step.partition.file_stem()));
            }
            all.note(&step, versions, keep.versions.max(1), is_step || !keep.undeclared);
        }
        Ok(all)
    }

    /// Versions that stored the same count once.
    fn note(&mut self, step: &Step, mut versions: Vec<Version>, keep: usize, is_needed: bool) {
        versions.sort_by_key(|(generation, ..)| std::cmp::Reverse(*generation));
        let mut distinct: Vec<&[ObjectId]> = Vec::new();
        for (_, last_us, objects) in &versions {
            let at = distinct.iter().position(|known| known == objects).unwrap_or_else(|| {
                distinct.push(objects);
                distinct.len() - 1
            });
            for object in objects {
                let now = match at {
                    _ if !is_needed => Use::Old(step.clone()),
                    0 => Use::Newest,
                    at if at < keep => Use::Kept { step: step.clone(), last_us: *last_us },
                    _ => Use::Old(step.clone()),
                };
                let before = self.objects.remove(object);
                self.objects.insert(*object, the_more_needed(before, now));
            }
        }
    }

    fn of(&self, object: &ObjectId) -> Option<&Use> {
        self.objects.get(object)
    }

    fn has_log(&self, folder: &Path, path: &Path) -> bool {
        let text = |name: Option<&std::ffi::OsStr>| name.unwrap_or_default().to_string_lossy().into_owned();
        self.logs.contains(&(text(folder.file_name()), text(path.file_stem())))
    }
}

fn version(record: &StepRecord) -> Version {
    (record.generation, record.span.end_us, record.objects().copied().collect())
}

/// One object can serve several steps and versions.
fn the_more_needed(before: Option<Use>, now: Use) -> Use {
    match (before, now) {
        (Some(Use::Newest), _) | (_, Use::Newest) => Use::Newest,
        (Some(Use::Kept { step, last_us: a }), Use::Kept { last_us: b, .. }) => Use::Kept { step, last_us: a.max(b) },
        (Some(kept @ Use::Kept { .. }), _) => kept,
        (_, now) => now,
    }
}

/// Every object's file. What does not look like one is not ours.
fn objects(root: &Path) -> Result<Vec<(ObjectId, PathBuf, Metadata)>, StoreError> {
    let mut found = Vec::new();
    for (folder, _) in entries(&root.join("objects"))? {
        for (path, metadata) in entries(&folder)? {
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            let name = format!("{}{stem}", folder.file_name().unwrap_or_default().to_string_lossy());
            if let (Ok(object), true) = (name.parse(), metadata.is_file()) {
                found.push((object, path, metadata));
            }
        }
    }
    Ok(found)
}

/// What is in a folder, links not followed; nothing where there is no such folder.
fn entries(folder: &Path) -> Result<Vec<(PathBuf, Metadata)>, StoreError> {
    let listed = match fs::read_dir(folder) {
        Ok(listed) => listed,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(Vec::new()),
        Err(error) => return Err(reading(folder)(error)),
    };
    let mut found = Vec::new();
    for entry in listed {
        let entry = entry.map_err(reading(folder))?;
        match entry.metadata() {
            Ok(metadata) => found.push((entry.path(), metadata)),
            // Beside a build files come and go.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(reading(&entry.path())(error)),
        }
    }
    Ok(found)
}

/// The size of all files below, each counted once however many names it has.
pub(crate) fn bytes_of(path: &Path) -> Result<u64, StoreError> {
    let (mut bytes, mut seen, mut open) = (0, HashSet::new(), vec![path.to_owned()]);
    if let Ok(metadata) = fs::symlink_metadata(path)
        && metadata.is_file()
    {
        return Ok(metadata.len());
    }
    while let Some(folder) = open.pop() {
        for (path, metadata) in entries(&folder)? {
            if metadata.is_dir() {
                open.push(path);
            } else if metadata.nlink() < 2 || seen.insert((metadata.dev(), metadata.ino())) {
                bytes += metadata.len();
            }
        }
    }
    Ok(bytes)
}

/// What removing this name gives back.
fn freed(metadata: &Metadata) -> u64 {
    if metadata.nlink() > 1 { 0 } else { metadata.len() }
}

/// What comes from the future is young.
fn is_younger(metadata: &Metadata, age: Duration) -> bool {
    let modified = metadata.modified().ok();
    let is = modified.and_then(|time| SystemTime::now().duration_since(time).ok());
    is.is_none_or(|is| is < age)
}
