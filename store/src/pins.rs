//! Versions that are kept by name: `pins/<name>` lists their objects, one a line with the step it is of. What is pinned stays,
//! however old it gets; that is all that a pin does.

use crate::error::{StoreError, reading};
use crate::files::{self, create_folder, remove_if_there, sync_folder};
use assets_core::hash::ObjectId;
use assets_core::key::is_plain_name;
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Objects, each with what it is of.
pub type Pinned = BTreeMap<ObjectId, String>;

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
        let text = fs::read_to_string(&path).map_err(reading(&path))?;
        let lines = text.lines().map(|line| {
            let (object, of) = line.split_once(' ')?;
            Some((object.parse().ok()?, of.to_owned()))
        });
        let pinned: Option<Pinned> = lines.collect();
        // Whoever removes what is not pinned must not go on without it.
        pins.insert(name.to_owned(), pinned.ok_or_else(|| StoreError::Pin { path: path.clone() })?);
    }
    Ok(pins)
}

/// Every object that is pinned.
pub(crate) fn objects(root: &Path) -> Result<HashSet<ObjectId>, StoreError> {
    Ok(read(root)?.into_values().flat_map(BTreeMap::into_keys).collect())
}

/// Writes a pin, in place of one of that name. Whoever does so keeps the store open for writing: nothing is removed meanwhile.
pub(crate) fn write(root: &Path, name: &str, pinned: &Pinned) -> Result<(), StoreError> {
    let folder = folder(root);
    create_folder(&folder)?;
    let text: String = pinned.iter().map(|(object, of)| format!("{object} {of}\n")).collect();
    let temp = folder.join(format!(".{name}-{}", std::process::id()));
    files::replace(&folder.join(name), &temp, text.as_bytes())
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
    use assets_core::hash::ByteHasher;

    #[test]
    fn pins_are_read_as_they_were_written_or_not_at_all() {
        let root = tempfile::tempdir().unwrap();
        let object = |text: &str| {
            let mut hasher = ByteHasher::default();
            hasher.update(text.as_bytes());
            hasher.finish()
        };
        let pinned = Pinned::from([(object("a"), "wide of r1".to_owned()), (object("b"), "fleet".to_owned())]);
        assert!(read(root.path()).unwrap().is_empty());
        write(root.path(), "release-1.0", &pinned).unwrap();
        assert_eq!(read(root.path()).unwrap(), BTreeMap::from([("release-1.0".to_owned(), pinned)]));
        assert_eq!(objects(root.path()).unwrap().len(), 2);
        for bad in ["", "../x", ".x", "a/b", "-rf", "ü"] {
            assert!(!is_plain_name(bad) && !remove(root.path(), bad).unwrap(), "{bad}");
        }
        fs::write(root.path().join("pins/torn"), "0123").unwrap();
        assert_eq!(read(root.path()).unwrap_err().code(), "pin_damaged");
        assert!(remove(root.path(), "torn").unwrap() && remove(root.path(), "release-1.0").unwrap());
        assert!(!remove(root.path(), "release-1.0").unwrap());
    }
}
