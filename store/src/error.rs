//! Why the store can't do what it is asked, each error naming its path; and what the rest of the program sees of it:
//! a reason with a stable code.

use assets_core::catalog::{CatalogError, Holder};
use assets_core::hash::ObjectId;
use assets_core::reason::Reason;
use assets_core::table_store::TableStoreError;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Everything that can go wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or folder can't be read.
    #[error("can't read `{}`: {source}", .path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file or folder can't be written.
    #[error("can't write `{}`: {source}", .path.display())]
    Write {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The store, or a file of it, was written by another version of this program, or by something else.
    #[error(
        "`{}` says `{found}`, and this version of assets reads `{expected}`: use the version that wrote the store, or \
         another folder",
        .path.display()
    )]
    Format {
        /// The file that says so.
        path: PathBuf,
        /// What it says.
        found: String,
        /// What it should say.
        expected: String,
    },
    /// Another process is at work on it.
    #[error("{holder} is at work on the store `{}`: wait for it to end, then try again", .path.display())]
    Busy {
        /// The store.
        path: PathBuf,
        /// The process.
        holder: Holder,
    },
    /// The file system has no file locks, so that two processes could write at once.
    #[error("the file system of `{}` has no file locks ({source}): put the store on a local disk", .path.display())]
    NoLocks {
        /// The lock file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A link in place of something of the store's own.
    #[error(
        "`{}` is a symbolic link, and a store follows none: what it names could be anywhere. Move what it points to in \
         its place, or set `store` to another folder",
        .path.display()
    )]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// A folder that is no store, and holds something else.
    #[error(
        "`{}` is no store, and holds `{}`: a store needs a folder of its own; set `store` to a new one",
        .path.display(), .found.display()
    )]
    NotFree {
        /// The folder.
        path: PathBuf,
        /// What it holds.
        found: PathBuf,
    },
    /// Opened for reading, asked to write.
    #[error("the store `{}` is open for reading only", .path.display())]
    ReadOnly {
        /// The store.
        path: PathBuf,
    },
    /// A whole frame of the journal, checksum and all, that makes no sense.
    #[error("`{}` holds a record at byte {offset} that can't be understood: {problem}", .path.display())]
    Malformed {
        /// The segment.
        path: PathBuf,
        /// Where its frame begins.
        offset: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// A pin that can't be understood: nobody knows what it keeps.
    #[error(
        "the pin `{}` can't be understood, and without it nobody knows what to keep: pin again by that name, or remove the file",
        .path.display()
    )]
    Pin {
        /// Its file.
        path: PathBuf,
    },
    /// A batch that no reader would accept.
    #[error("a batch of {bytes} bytes is too large for the journal `{}`: commit fewer records at once", .path.display())]
    TooLarge {
        /// The journal.
        path: PathBuf,
        /// The batch's size.
        bytes: usize,
    },
    /// An earlier append failed and could not be undone.
    #[error(
        "an earlier record was written only in part to `{}`, which can't be cut back: start again", .path.display()
    )]
    Broken {
        /// The segment.
        path: PathBuf,
    },
    /// A table's name that would not stay in its folder.
    #[error("`{stem}` can't be the name of a table's file")]
    TableName {
        /// The name.
        stem: String,
    },
    /// An object whose bytes are not those that its name speaks of.
    #[error("`{}` is damaged: its bytes are not those that were written; `assets repair` moves it away, and `assets materialize` makes it again", .path.display())]
    Damaged {
        /// Which one.
        object: ObjectId,
        /// Where it was.
        path: PathBuf,
    },
    /// An object that is not there.
    #[error("the object `{}` is missing", .path.display())]
    Missing {
        /// Which one.
        object: ObjectId,
        /// Where it should be.
        path: PathBuf,
    },
}

/// For `map_err`: reading `path` failed.
pub(crate) fn reading(path: &Path) -> impl FnOnce(io::Error) -> StoreError + '_ {
    |source| StoreError::Read { path: path.to_owned(), source }
}

/// For `map_err`: writing `path` failed.
pub(crate) fn writing(path: &Path) -> impl FnOnce(io::Error) -> StoreError + '_ {
    |source| StoreError::Write { path: path.to_owned(), source }
}

impl StoreError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Read { source, .. } => match source.kind() {
                ErrorKind::PermissionDenied => "store_unreadable",
                _ => "io_error",
            },
            Self::Write { source, .. } => match source.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "disk_full",
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => "store_unwritable",
                _ => "io_error",
            },
            Self::Format { .. } => "store_format",
            Self::Busy { .. } => "store_busy",
            Self::NoLocks { .. } => "store_without_locks",
            Self::Link { .. } => "store_link",
            Self::NotFree { .. } => "store_not_free",
            Self::ReadOnly { .. } => "store_read_only",
            Self::Malformed { .. } => "journal_malformed",
            Self::Pin { .. } => "pin_damaged",
            Self::TooLarge { .. } => "batch_too_large",
            Self::Broken { .. } => "journal_broken",
            Self::TableName { .. } => "bad_table_name",
            Self::Missing { .. } => "object_missing",
            Self::Damaged { .. } => "object_damaged",
        }
    }

    /// Whether trying again may help.
    pub fn transient(&self) -> bool {
        match self {
            Self::Read { source, .. } | Self::Write { source, .. } => may_pass(source),
            Self::Busy { .. } | Self::Broken { .. } | Self::Missing { .. } | Self::Damaged { .. } => true,
            _ => false,
        }
    }

    /// The same as a reason, with the path and what else is known as facts.
    pub fn reason(&self) -> Reason {
        let reason = Reason::new(self.code(), self.to_string());
        let with_path = |path: &Path| reason.clone().with("path", path.display().to_string());
        match self {
            Self::Read { path, .. }
            | Self::Write { path, .. }
            | Self::NoLocks { path, .. }
            | Self::ReadOnly { path }
            | Self::Link { path }
            | Self::Pin { path }
            | Self::TooLarge { path, .. }
            | Self::Broken { path } => with_path(path),
            Self::Malformed { path, offset, .. } => with_path(path).with("offset", *offset),
            Self::NotFree { path, found } => with_path(path).with("found", found.display().to_string()),
            Self::Format { path, found, .. } => with_path(path).with("found", found.as_str()),
            Self::Busy { path, holder } => {
                with_path(path).with("pid", u64::from(holder.process)).with("command", holder.command.as_str())
            }
            Self::TableName { stem } => reason.with("name", stem.as_str()),
            Self::Missing { object, path } | Self::Damaged { object, path } => {
                with_path(path).with("object", object.to_string())
            }
        }
    }
}

/// A full disk can be emptied, a signal passes, a cable can be plugged in again.
fn may_pass(error: &io::Error) -> bool {
    // EIO, ENFILE and EMFILE have no kind in std.
    matches!(error.raw_os_error(), Some(5 | 23 | 24))
        || matches!(
            error.kind(),
            ErrorKind::StorageFull
                | ErrorKind::QuotaExceeded
                | ErrorKind::Interrupted
                | ErrorKind::TimedOut
                | ErrorKind::WouldBlock
                | ErrorKind::ResourceBusy
                | ErrorKind::OutOfMemory
                | ErrorKind::StaleNetworkFileHandle
        )
}

impl From<StoreError> for CatalogError {
    fn from(error: StoreError) -> Self {
        Self { reason: error.reason(), transient: error.transient() }
    }
}

impl From<StoreError> for TableStoreError {
    fn from(error: StoreError) -> Self {
        let missing = matches!(error, StoreError::Missing { .. } | StoreError::Damaged { .. });
        Self { reason: error.reason(), transient: error.transient(), missing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_tell_a_full_disk_from_a_forbidden_one() {
        let write = |errno| writing(Path::new("/s/x"))(io::Error::from_raw_os_error(errno));
        let told = |error: StoreError| (error.code(), error.transient());
        assert_eq!(told(write(28)), ("disk_full", true));
        assert_eq!(told(write(13)), ("store_unwritable", false));
        assert_eq!(told(write(30)), ("store_unwritable", false));
        assert_eq!(told(write(5)), ("io_error", true));
        assert_eq!(told(write(4)), ("io_error", true));
        assert_eq!(told(write(36)), ("io_error", false));
        let denied = reading(Path::new("/s/x"))(io::Error::from_raw_os_error(13));
        assert_eq!(told(denied), ("store_unreadable", false));
        let error = TableStoreError::from(write(28));
        assert!(error.transient && !error.missing && error.to_string().contains("/s/x"));
    }
}
