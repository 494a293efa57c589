//! Versions that are kept by name: `pins/<name>` lists records, one a line with its step, and their objects. What is pinned
//! stays, however old it gets; that is all that a pin does.

use crate::error::{StoreError, reading};
use crate::files::{self, create_folder, remove_if_there, sync_folder};
use assets_core::hash::{ObjectId, RecordId};
use assets_core::key::{Step, is_plain_name};
use assets_core::record::StepRecord;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// What is kept by a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pinned {
    /// Records, each with its step, for people.
    pub records: BTreeMap<RecordId, String>,
    /// What they store.
    pub objects: BTreeSet<ObjectId>,
}

impl Pinned {
    /// Keeps a step's record too.
    pub fn add(&mut self, step: &Step, id: RecordId, record: &StepRecord) {
        self.records.insert(id, step.to_string());
        self.objects.extend(record.objects());
    }

    fn text(&self) -> String {
        let records = self.records.iter().map(|(id, step)| format!("record {id} {step}\n"));
        records.chain(self.objects.iter().map(|object| format!("object {object}\n"))).collect()
    }

    fn parse(text: &str) -> Option<Self> {
        let mut pinned = Self::default();
        for line in text.lines() {
            let (what, rest) = line.split_once(' ')?;
            match (what, rest.split_once(' ')) {
                ("record", Some((id, step))) => drop(pinned.records.insert(id.parse().ok()?, step.to_owned())),
                ("object", None) => drop(pinned.objects.insert(rest.parse().ok()?)),
                _ => return None,
            }
        }
        Some(pinned)
    }
}

fn folder(root: &Path) -> PathBuf {
    root.join("pins")
}

/// All pins, by name.
pub fn read(root: &Path) -> Result<BTreeMap<String, Pinned>, StoreError> {
    let folder = folder(root);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(reading(&folder)(error)),
    };
    let mut pins = BTreeMap::new();
    for entry in entries {
        let path = entry.map_err(reading(&folder))?.path();
        // What is being written begins with a dot.
        let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|name| is_plain_name(name)) else {
            continue;
        };
        let bytes = fs::read(&path).map_err(reading(&path))?;
        // Whoever removes what is not pinned must not go on without it.
        let pinned = std::str::from_utf8(&bytes)
            .ok()
            .and_then(Pinned::parse)
            .ok_or_else(|| StoreError::Pin { path: path.clone() })?;
        pins.insert(name.to_owned(), pinned);
    }
    Ok(pins)
}

/// All that is pinned, by whatever name.
pub(crate) fn all(root: &Path) -> Result<Pinned, StoreError> {
    let mut all = Pinned::default();
    for mut pinned in read(root)?.into_values() {
        all.records.append(&mut pinned.records);
        all.objects.append(&mut pinned.objects);
    }
    Ok(all)
}

/// Writes a pin, in place of one of that name. Whoever does so keeps the store open for writing: nothing is removed meanwhile.
pub(crate) fn write(root: &Path, name: &str, pinned: &Pinned) -> Result<(), StoreError> {
    let folder = folder(root);
    create_folder(&folder)?;
    let temp = folder.join(format!(".{name}-{}", std::process::id()));
    files::replace(&folder.join(name), &temp, pinned.text().as_bytes())
}

/// Removes a pin; false where there is none of that name.
pub(crate) fn remove(root: &Path, name: &str) -> Result<bool, StoreError> {
    let path = folder(root).join(name);
    if !is_plain_name(name) || !path.is_file() {
        return Ok(false);
    }
    remove_if_there(&path)?;
    sync_folder(&folder(root))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use assets_core::hash::{ByteHasher, Digest};

    #[test]
    fn pins_are_read_as_they_were_written_or_not_at_all() {
        let root = tempfile::tempdir().unwrap();
        let mut hasher = ByteHasher::default();
        hasher.update(b"rows");
        let record = RecordId(Digest::from_bytes([7; 16]));
        let records = BTreeMap::from([(record, "wide of a run".to_owned())]);
        let pinned = Pinned { records, objects: BTreeSet::from([hasher.finish()]) };
        assert!(read(root.path()).unwrap().is_empty());
        write(root.path(), "release-1.0", &pinned).unwrap();
        assert_eq!(read(root.path()).unwrap(), BTreeMap::from([("release-1.0".to_owned(), pinned.clone())]));
        assert_eq!(all(root.path()).unwrap(), pinned);
        for bad in ["", "../x", ".x", "a/b", "-rf", "ü"] {
            assert!(!is_plain_name(bad) && !remove(root.path(), bad).unwrap(), "{bad}");
        }
        for torn in [&b"object 0123\n"[..], b"record 12 x", b"what", b"\xff"] {
            fs::write(root.path().join("pins/torn"), torn).unwrap();
            assert_eq!(read(root.path()).unwrap_err().code(), "pin_damaged", "{torn:?}");
        }
        assert!(remove(root.path(), "torn").unwrap() && remove(root.path(), "release-1.0").unwrap());
        assert!(!remove(root.path(), "release-1.0").unwrap());
    }
}
