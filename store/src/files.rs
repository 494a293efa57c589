//! The few things done to files everywhere in the store: making a folder, syncing it, replacing a file at once.

use crate::error::{StoreError, reading, writing};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

/// Makes what was created, renamed or removed in a folder survive a power cut.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(writing(folder))
}

/// Creates a folder with its parents; true where it was not there. A link to one is none: it may lead out of the store.
pub(crate) fn create_folder(folder: &Path) -> Result<bool, StoreError> {
    match fs::symlink_metadata(folder) {
        Ok(metadata) if metadata.is_dir() => return Ok(false),
        Ok(metadata) if metadata.is_symlink() => return Err(StoreError::Link { path: folder.to_owned() }),
        _ => {}
    }
    fs::create_dir_all(folder).map_err(writing(folder))?;
    Ok(true)
}

/// Replaces a file at once and durably: a reader sees the old bytes or the new ones. `temp` is a free name on the
/// same file system.
pub(crate) fn replace(target: &Path, temp: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let mut file = File::create(temp).map_err(writing(temp))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(writing(temp))?;
    fs::rename(temp, target).map_err(writing(target))?;
    target.parent().map_or(Ok(()), sync_folder)
}

/// A file's bytes; `None` where there is no such file.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(reading(path)(error)),
    }
}

/// Removes a file; that it is not there is as good.
pub(crate) fn remove_if_there(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(writing(path)(error)),
        _ => Ok(()),
    }
}
