//! The seam to tables: objects that never change, and what is published of them. No rename or link shows here, so
//! that a bucket can stand behind it as well as a folder.

use crate::asset::OutputDecl;
use crate::hash::ObjectId;
use crate::key::{AssetName, Partition};
use crate::reason::Reason;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

/// Why a table can't be stored, opened or published.
#[derive(Debug, thiserror::Error)]
#[error("{}", .reason.message)]
pub struct TableStoreError {
    /// What happened, where, and what to do.
    pub reason: Reason,
    /// Trying again may help.
    pub transient: bool,
    /// The object is not there: a miss, not an error.
    pub missing: bool,
}

/// A published table's place: the output, and which of its files.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableFile {
    /// The output.
    pub output: AssetName,
    /// The file's name without its ending.
    pub stem: String,
}

/// Steps per file of a packed output: enough that a hundred thousand make some hundred files, few enough that one late
/// step rewrites little.
pub const BUCKET_STEPS: u64 = 500;

impl TableFile {
    /// The file of one partition.
    pub fn of(output: &AssetName, partition: &Partition) -> Self {
        Self { output: output.clone(), stem: partition.file_stem() }
    }

    /// The file that publishes a step's rows of an output: its own, or for a packed output the one it shares with the
    /// steps that were first recorded about when it was (`ordinal`, from the ledger).
    pub fn published(output: &OutputDecl, partition: &Partition, ordinal: u64) -> Self {
        if output.packed {
            Self { output: output.name.clone(), stem: format!("part-{:05}", ordinal / BUCKET_STEPS) }
        } else {
            Self::of(&output.name, partition)
        }
    }
}

/// Whether a file of that stem is shared by many steps of a packed output, going by its name.
pub fn is_shared(stem: &str) -> bool {
    stem.strip_prefix("part-").is_some_and(|number| number.len() >= 5 && number.bytes().all(|b| b.is_ascii_digit()))
}

/// Bytes on their way into the store; dropped, they leave nothing.
pub trait Staged: Write + Send {
    /// Why a write failed, if one did: whoever encodes may make words of the system's error.
    fn failed(&self) -> Option<Reason> {
        None
    }

    /// Makes them an object, durable, named by their hash.
    fn put(self: Box<Self>) -> Result<(ObjectId, u64), TableStoreError>;

    /// Publishes them as a table without keeping an object: for views that can be rebuilt at any time.
    fn publish(self: Box<Self>, table: &TableFile) -> Result<u64, TableStoreError>;
}

/// An object's bytes.
pub enum Object {
    /// In a file.
    File(File),
    /// In memory.
    Bytes(Arc<[u8]>),
}

impl Object {
    /// All of its bytes.
    fn read_whole(self) -> io::Result<Vec<u8>> {
        match self {
            Self::File(mut file) => {
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes)?;
                Ok(bytes)
            }
            Self::Bytes(bytes) => Ok(bytes.to_vec()),
        }
    }
}

/// A staged table that begins as an object does.
pub struct Grown {
    /// Where the rest goes.
    pub staged: Box<dyn Staged>,
    /// How many bytes there are already.
    pub kept: u64,
    /// The object's other bytes.
    pub rest: Vec<u8>,
}

/// Objects and published tables.
pub trait TableStore: Send + Sync {
    /// A place to write bytes to.
    fn stage(&self) -> Result<Box<dyn Staged>, TableStoreError>;

    /// A file without a name, for what is to be put into a table and is too much to be held until then; `None` where there
    /// are no files.
    fn scratch(&self) -> Result<Option<File>, TableStoreError> {
        Ok(None)
    }

    /// A place to write to that begins with the bytes of an object, but for the last ones: how many those are is asked with
    /// the last eight. One whose bytes are not those that its name speaks of is a miss.
    fn grow(&self, object: &ObjectId, last: fn([u8; 8]) -> u64) -> Result<Grown, TableStoreError> {
        let failed = |error: io::Error| TableStoreError {
            reason: Reason::new("io_error", format!("the object {object} can't be copied: {error}")),
            transient: true,
            missing: false,
        };
        let mut kept = self.open(object)?.read_whole().map_err(failed)?;
        let last = usize::try_from(last(kept.last_chunk().copied().unwrap_or_default())).unwrap_or(usize::MAX);
        let rest = kept.split_off(kept.len().saturating_sub(last));
        let mut staged = self.stage()?;
        staged.write_all(&kept).map_err(failed)?;
        Ok(Grown { staged, kept: kept.len() as u64, rest })
    }

    /// Opens an object. One whose bytes are not those that its name speaks of is a miss.
    fn open(&self, object: &ObjectId) -> Result<Object, TableStoreError>;

    /// As `open`, without reading it afterwards. That it passed is remembered, so that opening it costs no more.
    fn check(&self, object: &ObjectId) -> Result<(), TableStoreError>;

    /// The size of an object, where it is there.
    fn bytes(&self, object: &ObjectId) -> Option<u64>;

    /// Whether an object is there.
    fn contains(&self, object: &ObjectId) -> bool {
        self.bytes(object).is_some()
    }

    /// Publishes an object as a table, replacing the one before at once.
    fn publish(&self, table: &TableFile, object: &ObjectId) -> Result<(), TableStoreError>;

    /// Whether what is published as a table is that object, byte for byte.
    fn is_published_as(&self, table: &TableFile, object: &ObjectId) -> Result<bool, TableStoreError>;

    /// Opens what is published as a table.
    fn open_published(&self, table: &TableFile) -> Result<Object, TableStoreError>;

    /// Whether a table is published.
    fn is_published(&self, table: &TableFile) -> bool;

    /// Removes those of an output's published tables whose stems are said to be left over from an earlier layout.
    fn sweep(&self, output: &AssetName, is_left_over: &dyn Fn(&str) -> bool) -> Result<(), TableStoreError>;

    /// The names under which tables are published, in order.
    fn outputs(&self) -> Result<Vec<AssetName>, TableStoreError>;

    /// Where a person finds an output's tables, if that is a place.
    fn folder(&self, output: &AssetName) -> Option<PathBuf>;
}
