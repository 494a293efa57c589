//! Objects that someone has found to be damaged who may not put it right: an empty file `suspects/<object>` for each. As
//! long as there is one no seal holds, questions take the object for lost, and whoever opens the store for writing next
//! looks at it: a damaged one makes way for a good one.

use crate::files::{self, Output};
use crate::objects::FolderTables;
use crate::{check_format, check_links};
use assets_core::hash::ObjectId;
use assets_core::table_store::TableStore;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

fn folder(root: &Path) -> PathBuf {
    root.join("suspects")
}

/// Leaves a note of one. A store that can't be written stays without: then `repair` finds it. Whoever reads may have been
/// pointed at a folder that is no store of this version, or leads elsewhere: nothing is written there.
pub(crate) fn note(root: &Path, object: &ObjectId) {
    if !matches!(check_format(root), Ok(true)) || check_links(root).is_err() {
        return;
    }
    let folder = folder(root);
    if files::create_folder(&folder).is_ok() {
        // One that is there already says the same.
        let _ = Output::new(&folder.join(object.to_string())).and_then(|note| note.seal());
        let _ = files::sync_folder(&folder);
    }
}

/// All that are noted.
pub(crate) fn all(root: &Path) -> HashSet<ObjectId> {
    let entries = fs::read_dir(folder(root)).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Looks at all that are noted, with the right to write: a damaged one is moved away, and is a miss from then on. A note
/// stays where that could not be done.
pub(crate) fn settle(root: &Path, tables: &FolderTables) {
    let noted = all(root);
    for object in &noted {
        let path = folder(root).join(object.to_string());
        // Looked at twice: the first look moves a damaged one away.
        let _ = tables.check(object);
        if tables.check(object).map_or_else(|error| error.reason.code == "object_missing", |()| true) {
            let _ = files::remove_if_there(&path);
        }
    }
    if !noted.is_empty() {
        // Goes with the last note.
        let _ = fs::remove_dir(folder(root));
    }
}
