//! Puts the store's own files right: the format, the journal without what can't be read in it, no index, no damaged
//! object. What is taken out of the way is kept in `damaged/`, where nothing looks.

use crate::error::{StoreError, reading, writing};
use crate::files::{self, Output};
use crate::journal::{self, MAGIC, Stretch};
use crate::lock::WriterLock;
use crate::objects::FolderTables;
use crate::{FORMAT, examine, trust};
use assets_core::reason::Reason;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

/// Repairs the store at `root`, whose lock this is. Says what was done.
pub(crate) fn repair(root: &Path, lock: Arc<WriterLock>) -> Result<Vec<Reason>, StoreError> {
    let mut done = Vec::new();
    done.extend(repair_format(root)?);
    for name in journal::segments(&root.join("journal"))? {
        done.extend(repair_segment(root, &name)?);
    }
    // These speak of the journal as it was before.
    files::remove_if_there(&root.join("tables/.published"))?;
    files::remove_if_there(&root.join("tips"))?;
    let catalog = root.join("catalog");
    if catalog.exists() {
        trust::remove(&catalog)?;
        let message = format!("{} was removed: it is folded from the journal again", catalog.display());
        done.push(Reason::new("catalog_removed", message));
    }
    let (objects, _) = examine::objects(root)?;
    // With the right to write, looking at a damaged one moves it away.
    for (_, path) in examine::damaged(&FolderTables::to_write(root, lock), &objects) {
        let message = format!("{} was damaged, and is in {} now", path.display(), root.join("damaged").display());
        done.push(Reason::new("object_set_aside", message).with("path", path.display().to_string()));
    }
    Ok(done)
}

/// The format again, where the journal itself says that it is of this version.
fn repair_format(root: &Path) -> Result<Option<Reason>, StoreError> {
    let (path, folder) = (root.join("format"), root.join("journal"));
    let found = files::read_if_there(&path)?;
    if found.as_deref() == Some(FORMAT.as_bytes()) {
        return Ok(None);
    }
    let mut frames = 0;
    for name in journal::segments(&folder)? {
        let mut count = |_, _| {
            frames += 1;
            true
        };
        journal::read_segment(&folder, &name, &mut count)?;
    }
    if frames == 0 {
        let found = found.map(|bytes| String::from_utf8_lossy(&bytes).trim().chars().take(80).collect());
        let found = found.unwrap_or_else(|| "nothing".to_owned());
        return Err(StoreError::Format { path, found, expected: FORMAT.trim().to_owned() });
    }
    files::create_folder(&root.join("tmp"))?;
    files::replace(&path, &root.join("tmp/format.tmp"), FORMAT.as_bytes())?;
    Ok(Some(Reason::new("format_written", format!("{} says again that this is a store", path.display()))))
}

/// A segment without what can't be read in it. Where that was more than the end that a killed process leaves, the file is
/// kept as it was.
fn repair_segment(root: &Path, name: &str) -> Result<Option<Reason>, StoreError> {
    let folder = root.join("journal");
    let (_, torn) = journal::read_segment(&folder, name, &mut |_, _| true)?;
    if torn.is_empty() {
        return Ok(None);
    }
    let path = folder.join(name);
    let bytes = fs::read(&path).map_err(reading(&path))?;
    if torn.iter().any(|torn| torn.stretch != Stretch::Unfinished) {
        let damaged = root.join("damaged");
        files::create_folder(&damaged)?;
        let kept = damaged.join(name);
        files::remove_if_there(&kept)?;
        let mut copy = Output::new(&kept).map_err(writing(&kept))?;
        copy.write_all(&bytes).and_then(|()| copy.sync_all()).map_err(writing(&kept))?;
    }
    let mut good = MAGIC.to_vec();
    let (mut at, mut lost) = (MAGIC.len(), 0);
    for torn in &torn {
        let offset = usize::try_from(torn.offset).unwrap_or(usize::MAX).min(bytes.len());
        good.extend_from_slice(bytes.get(at..offset).unwrap_or_default());
        at = offset + usize::try_from(torn.bytes).unwrap_or(usize::MAX);
        lost += torn.bytes;
    }
    good.extend_from_slice(bytes.get(at..).unwrap_or_default());
    files::create_folder(&root.join("tmp"))?;
    files::replace(&path, &root.join("tmp/segment.tmp"), &good)?;
    let message = format!("{lost} bytes that can't be read were taken out of {}", path.display());
    Ok(Some(Reason::new("journal_cut", message).with("path", path.display().to_string()).with("bytes", lost)))
}
