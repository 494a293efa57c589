//! Whether the files of the index are what this program wrote last: the file `catalog/state` beside them, which also
//! carries the version of the index. Knows files, not sled.

use crate::error::{StoreError, reading};
use crate::files;
use std::fs::{self, File};
use std::path::Path;
use std::time::UNIX_EPOCH;

/// The version of trees, keys and values in `index`: another one is made anew.
pub(crate) const VERSION: &str = "assets catalog 5";

/// Says that the index is open, before anything in it changes.
pub(crate) fn opened(folder: &Path) -> Result<(), StoreError> {
    write_state(folder, &format!("open {}", boot_id()))
}

/// Puts its files on disk (sled's own flush does not reach it) and vouches for them as they are.
pub(crate) fn closed(folder: &Path) -> Result<(), StoreError> {
    write_state(folder, &format!("closed {}", sled_files(folder, true)?))
}

/// From now on nobody trusts them.
pub(crate) fn withdraw(folder: &Path) {
    let _ = files::remove_if_there(&folder.join("state"));
}

/// Whether sled's files are of this version and either as they were when they were closed, or left open by a process
/// that was killed, on a machine that has been up ever since: what such a process wrote is all there.
pub(crate) fn trusted(folder: &Path) -> bool {
    let Ok(state) = fs::read_to_string(folder.join("state")) else { return false };
    let Some(state) = state.strip_prefix(VERSION).and_then(|rest| rest.strip_prefix('\n')) else { return false };
    match state.trim_end().split_once(' ') {
        Some(("open", boot)) => boot == boot_id() && boot != "unknown",
        Some(("closed", files)) => sled_files(folder, false).is_ok_and(|found| found == files),
        _ => false,
    }
}

fn write_state(folder: &Path, state: &str) -> Result<(), StoreError> {
    files::replace(&folder.join("state"), &folder.join("state.tmp"), format!("{VERSION}\n{state}\n").as_bytes())
}

/// Names one uninterrupted run of this machine.
fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    id.map_or_else(|_| "unknown".to_owned(), |id| id.trim().to_owned())
}

/// Name, size and time of each of sled's files; puts them on disk as well, if asked to.
fn sled_files(folder: &Path, sync: bool) -> Result<String, StoreError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(reading(folder))? {
        let path = entry.map_err(reading(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let metadata = path.metadata().map_err(reading(&path))?;
        if name.starts_with("state") || !metadata.is_file() {
            continue;
        }
        if sync {
            File::open(&path).and_then(|file| file.sync_all()).map_err(reading(&path))?;
        }
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        found.push(format!("{name}:{}:{}", metadata.len(), modified.map_or(0, |time| time.as_nanos())));
    }
    found.sort();
    Ok(found.join(" "))
}

/// Removes the index, whatever stands in its place.
pub(crate) fn remove(folder: &Path) -> Result<(), StoreError> {
    if folder.is_dir() {
        return files::remove_tree(folder);
    }
    files::remove_if_there(folder)
}
