//! A look at the store's own files: the format, every frame of the journal, the bytes of every object.
//!
//! Not here: what is in tables, and what is published of them.

use crate::error::{StoreError, reading};
use crate::fold::{self, Look};
use crate::journal::{self, Stretch, Torn};
use crate::objects::FolderTables;
use crate::pins;
use crate::reader::Reader;
use crate::{FORMAT, compact, files, trust};
use assets_core::cores;
use assets_core::finding::Finding;
use assets_core::hash::ObjectId;
use assets_core::reason::Reason;
use assets_core::record::Entry;
use assets_core::table_store::TableStore;
use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How often what may be a moment of another process is looked at again, and how much later.
const LOOKS_MORE: usize = 3;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// What was found, and how much was looked at.
#[derive(Debug, Default)]
pub struct Examined {
    /// What was found.
    pub findings: Vec<Finding>,
    /// Frames of the journal that were read.
    pub frames: usize,
    /// Objects whose bytes were hashed.
    pub objects: usize,
}

/// An object and its file.
pub(crate) type Place = (ObjectId, PathBuf);

/// Looks at everything; changes nothing.
pub(crate) fn examine(root: &Path) -> Result<Examined, StoreError> {
    let mut examined = Examined::default();
    examined.findings.extend(format(root)?);
    let (needed, torn) = read_journal(root, &mut examined)?;
    examined.findings.extend(torn.iter().map(|torn| stretch(root, torn)));
    examined.findings.extend(shorter(root));
    let catalog = root.join("catalog");
    if catalog.exists() && !trust::trusted(&catalog) {
        let message = format!("{} is not as it was closed: the next build folds the journal again", catalog.display());
        let reason = about(Reason::new("catalog_untrusted", message), &catalog);
        examined.findings.push(Finding::note(reason).repaired("folds the journal again"));
    }
    examined.findings.extend(snapshot(root));
    examined.findings.extend(pins::read(root).err().map(|error| Finding::problem(error.reason())));
    examine_objects(root, &needed, &mut examined)?;
    Ok(examined)
}

fn about(reason: Reason, path: &Path) -> Reason {
    reason.with("path", path.display().to_string())
}

/// The format file, where there is a store.
fn format(root: &Path) -> Result<Option<Finding>, StoreError> {
    let path = root.join("format");
    let found = files::read_if_there(&path)?;
    let is_store = !journal::segments(&root.join("journal"))?.is_empty();
    if found.as_deref() == Some(FORMAT.as_bytes()) || (found.is_none() && !is_store) {
        return Ok(None);
    }
    let message = format!("{} does not say that this is a store of this version", path.display());
    Ok(Some(Finding::problem(about(Reason::new("store_format", message), &path)).repaired("writes it again")))
}

/// The snapshot of tips against the journal. What can't be read of that is told by itself.
fn snapshot(root: &Path) -> Option<Finding> {
    let path = root.join("tips");
    match fold::look(root).ok()? {
        Look::Nothing | Look::Sound => None,
        Look::Unused => {
            let message =
                format!("{} is damaged or outdated: nothing reads it, and the next build replaces it", path.display());
            Some(Finding::note(about(Reason::new("tips_unused", message), &path)).repaired("removes it"))
        }
        Look::Wrong => {
            let message = format!("{} does not say what the journal says", path.display());
            Some(Finding::problem(about(Reason::new("tips_wrong", message), &path)).repaired("removes it"))
        }
    }
}

/// Whether the journal held more when tables were published last: a segment that was cut between two frames, or deleted,
/// looks like one that never was longer.
fn shorter(root: &Path) -> Option<Finding> {
    for _ in 0..LOOKS_MORE {
        is_shorter(root)?;
        // Segments may just be put together.
        std::thread::sleep(BETWEEN_LOOKS);
    }
    is_shorter(root)
}

fn is_shorter(root: &Path) -> Option<Finding> {
    let folder = root.join("journal");
    // A killed `gc` may have put segments together, and not have said so where it says what is published.
    if !compact::replaced(&folder, &journal::all_segments(&folder).ok()?).ok()?.is_empty() {
        return None;
    }
    // This first: a build beside this only makes the journal longer.
    let before = Reader::new(root).published()?;
    let (ends, _) = journal::read(&folder, &mut |_| ()).ok()?;
    let now = journal::position(&ends);
    let size = |position: &str| {
        let mut numbers = position.split(", ").filter_map(|part| part.split(' ').next()?.parse::<u64>().ok());
        numbers.next().zip(numbers.next())
    };
    let ((segments, bytes), (segments_before, bytes_before)) = (size(&now)?, size(&before)?);
    if segments >= segments_before && bytes >= bytes_before {
        return None;
    }
    let message = format!(
        "{} holds {segments} segments and {bytes} bytes of records, and held {segments_before} and {bytes_before} when tables \
         were published last: records are lost, and a build makes their steps again",
        folder.display()
    );
    let reason = about(Reason::new("journal_shorter", message), &folder);
    Some(Finding::problem(reason).repaired("takes what is left for the truth").rebuilt())
}

/// Reads all frames: which objects their records need, and what can't be read.
fn read_journal(root: &Path, examined: &mut Examined) -> Result<(HashSet<ObjectId>, Vec<Torn>), StoreError> {
    let (folder, mut needed, mut all) = (root.join("journal"), HashSet::new(), Vec::new());
    for name in journal::segments(&folder)? {
        let mut frame = |entries: Vec<Entry>, _| {
            examined.frames += 1;
            for entry in entries {
                if let Entry::Step(record) = entry {
                    needed.extend(record.objects().copied());
                }
            }
            true
        };
        match journal::read_segment(&folder, &name, &mut frame) {
            Ok((_, torn)) => all.extend(torn),
            Err(error @ (StoreError::Format { .. } | StoreError::Malformed { .. })) => {
                examined.findings.push(Finding::problem(error.reason()));
            }
            Err(error) => return Err(error),
        }
    }
    Ok((needed, all))
}

fn stretch(root: &Path, torn: &Torn) -> Finding {
    let path = root.join("journal").join(&torn.segment);
    let place = format!("{}: {} bytes at byte {}", path.display(), torn.bytes, torn.offset);
    let facts = |reason: Reason| about(reason, &path).with("offset", torn.offset).with("bytes", torn.bytes);
    match torn.stretch {
        Stretch::Unfinished => {
            let message = format!("{place} are a record that was never finished, as a killed process leaves it");
            Finding::note(facts(Reason::new("journal_unfinished", message))).repaired("cuts them off")
        }
        Stretch::BadEnd | Stretch::Hole => {
            let message = format!("{place} are damaged: what they recorded is lost, and a build makes it again");
            let finding = Finding::problem(facts(Reason::new("journal_damaged", message)));
            finding.repaired("takes them out, and keeps a copy of the file in damaged/").rebuilt()
        }
    }
}

/// The objects that are there, with those files among them that are none.
pub(crate) fn objects(root: &Path) -> Result<(Vec<Place>, Vec<PathBuf>), StoreError> {
    let (mut objects, mut others) = (Vec::new(), Vec::new());
    for folder in entries(&root.join("objects"))? {
        let first = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        for path in if folder.is_dir() { entries(&folder)? } else { vec![folder] } {
            let rest = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".parquet"));
            match rest.and_then(|rest| format!("{first}{rest}").parse().ok()) {
                Some(object) => objects.push((object, path)),
                None => others.push(path),
            }
        }
    }
    Ok((objects, others))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(reading(folder)(error)),
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>();
    let mut paths = paths.map_err(reading(folder))?;
    paths.sort();
    Ok(paths)
}

fn examine_objects(root: &Path, needed: &HashSet<ObjectId>, examined: &mut Examined) -> Result<(), StoreError> {
    let (all, others) = objects(root)?;
    examined.objects = all.len();
    for (object, path) in damaged(&FolderTables::to_read(root), &all) {
        let message = format!("{} is damaged: its bytes are not those that its name speaks of", path.display());
        let reason = about(Reason::new("object_damaged", message), &path).with("object", object.to_string());
        let finding = Finding::problem(reason).repaired("moves it to damaged/, unless a good copy of it is published");
        examined.findings.push(if needed.contains(&object) { finding.rebuilt() } else { finding });
    }
    let orphans = all.iter().filter(|(object, _)| !needed.contains(object)).count();
    if orphans > 0 {
        let message = format!("{orphans} objects belong to no record, as killed processes leave them");
        examined.findings.push(Finding::note(Reason::new("orphan_objects", message).with("objects", orphans)));
    }
    for path in others {
        let message = format!("{} is no object; nothing reads it", path.display());
        examined.findings.push(Finding::note(about(Reason::new("unknown_file", message), &path)));
    }
    Ok(())
}

/// Those whose bytes are other ones. Reads several at once.
pub(crate) fn damaged(tables: &FolderTables, all: &[Place]) -> Vec<Place> {
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some((object, path)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            if tables.check(object).is_err_and(|error| error.reason.code == "object_damaged") {
                found.lock().unwrap_or_else(PoisonError::into_inner).push((*object, path.clone()));
            }
        }
    };
    let threads = cores::at_once().min(all.len());
    std::thread::scope(|scope| {
        (1..threads).for_each(|_| drop(scope.spawn(work)));
        work();
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort();
    found
}
