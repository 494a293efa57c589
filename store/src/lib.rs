//! The store as a folder: a journal that is the truth, an index of it, objects that never change, and the tables that
//! are published of them. Implements core's seams `Records`, `Catalog`, `TableStore` and `Logs`.
//!
//! Not here: what a table is, what is stale, what is made when. Formats on disk: `format` (this file), `journal`,
//! `codec`, `tips`, `trust` (of the index); each has a version that is checked on open.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod checked;
mod claims;
mod codec;
mod compact;
pub mod doctor;
mod error;
mod examine;
#[doc(hidden)]
pub mod faults;
mod files;
mod fold;
pub mod gc;
mod index;
mod journal;
mod lock;
mod logs;
mod objects;
pub mod pins;
mod places;
mod ranges;
mod reader;
mod repair;
pub mod seal;
mod search;
mod suspects;
mod tail;
#[cfg(test)]
mod tests;
mod tips;
mod trust;
mod writer;

pub use error::StoreError;
pub use examine::Examined;
pub use journal::{Stretch, Torn};
pub use lock::Wait;
pub use logs::FolderLogs;
pub use objects::FolderTables;
pub use reader::Reader;
pub use writer::Writer;

use assets_core::catalog::Holder;
use assets_core::excerpt::Excerpt;
use assets_core::reason::Reason;
use lock::WriterLock;
use std::path::Path;

const FORMAT: &str = "assets store 1\n";

/// Opens stores.
#[derive(Debug, Clone, Copy)]
pub struct Store;

impl Store {
    /// Opens the store in this folder for reading. Writes nothing; a store that doesn't exist yet is empty.
    pub fn open_reader(path: &Path) -> Result<Reader, StoreError> {
        check_links(path)?;
        check_format(path)?;
        Ok(Reader::new(path))
    }

    /// Opens the store in this folder for writing, beside other builds, and creates it if need be. While another process
    /// needs it alone, waits for that (then `on_wait` is told once for whom) or fails with `store_busy`.
    pub fn open_writer(path: &Path, wait: Wait, on_wait: &mut dyn FnMut(&Holder)) -> Result<Writer, StoreError> {
        Self::open_writer_for(path, None, wait, on_wait)
    }

    /// The same where no other steps than these are going to be asked for, or recorded.
    pub fn open_writer_for(
        path: &Path,
        part: Option<&Excerpt>,
        wait: Wait,
        on_wait: &mut dyn FnMut(&Holder),
    ) -> Result<Writer, StoreError> {
        // Before anything is written: this may be no store, or a later version's.
        check_links(path)?;
        if !check_format(path)? {
            check_free(path)?;
        }
        files::create_folder(&path.join("journal"))?;
        let lock = WriterLock::share(path, wait, on_wait, |alone| {
            if alone {
                create(path)?;
                writer::clear(&path.join("tmp"))?;
            }
            check_format(path)
        })?;
        Writer::open(path, lock, part)
    }

    /// Looks at every file of the store but the published tables; changes nothing, and needs no good format.
    pub fn examine(path: &Path) -> Result<Examined, StoreError> {
        examine::examine(path)
    }

    /// Puts right what `examine` finds, as far as that can be done without making tables again. Says what was done.
    pub fn repair(path: &Path, wait: Wait, on_wait: &mut dyn FnMut(&Holder)) -> Result<Vec<Reason>, StoreError> {
        if !path.join("journal").is_dir() {
            // Nothing is there that could be damaged.
            return Ok(Vec::new());
        }
        repair::repair(path, WriterLock::alone(path, wait, on_wait)?)
    }
}

/// What stands at the top of a store is its own: a link would lead its writes elsewhere, and its removals.
fn check_links(root: &Path) -> Result<(), StoreError> {
    let own = [
        "journal",
        "journal/lock",
        "journal/claims",
        "catalog",
        "objects",
        "tables",
        "logs",
        "pins",
        "suspects",
        "tmp",
        "format",
        "tips",
    ];
    let mut paths = own.iter().map(|name| root.join(name));
    match paths.find(|path| std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink())) {
        Some(path) => Err(StoreError::Link { path }),
        None => Ok(()),
    }
}

/// What a store begun by a killed process may hold, besides what a fresh file system does.
const BEGUN: [&str; 5] = ["journal", "objects", "tables", "tmp", "lost+found"];

/// A folder that is to become a store must hold nothing of anybody else's: a store empties its own `tmp`.
fn check_free(root: &Path) -> Result<(), StoreError> {
    let foreign = |folder: &Path, own: &dyn Fn(&str) -> bool| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.find(|name| !own(name)).map(|name| folder.join(name))
    };
    let found = foreign(root, &|name| BEGUN.contains(&name))
        .or_else(|| foreign(&root.join("tmp"), &|name| name.ends_with(".tmp")));
    match found {
        Some(found) => Err(StoreError::NotFree { path: root.to_owned(), found }),
        None => Ok(()),
    }
}

/// Whether the folder says that it is a store of this version; false where there is no store yet.
fn check_format(root: &Path) -> Result<bool, StoreError> {
    let path = root.join("format");
    let found = match files::read_if_there(&path)? {
        Some(bytes) if bytes == FORMAT.as_bytes() => return Ok(true),
        Some(bytes) => String::from_utf8_lossy(&bytes).lines().next().unwrap_or_default().chars().take(80).collect(),
        // The file is written before the first segment is.
        None if journal::segments(&root.join("journal"))?.is_empty() => return Ok(false),
        None => "nothing".to_owned(),
    };
    Err(StoreError::Format { path, found, expected: FORMAT.trim().to_owned() })
}

/// What a new store lacks; alone in it. The format comes last: with it the store is one, and whoever finds it can be
/// sure that the store's own name is on disk, even if it was another process that made the folder.
fn create(root: &Path) -> Result<(), StoreError> {
    for folder in ["objects", "tables", "tmp"] {
        files::create_folder(&root.join(folder))?;
    }
    if check_format(root)? {
        return Ok(());
    }
    files::sync_folder(files::folder_of(root))?;
    // Folders further up may be new as well, and need not be ours to read.
    root.ancestors().skip(2).for_each(|above| drop(files::sync_folder(above)));
    files::replace(&root.join("format"), &root.join("tmp/format.tmp"), FORMAT.as_bytes())
}
