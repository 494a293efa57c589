//! A table store that reads and keeps nothing of what is written: for making steps again to compare.

use assets_core::hash::ByteHasher;
use assets_core::table_store::{Object, Staged, TableFile, TableStore, TableStoreError};
use assets_core::{AssetName, ObjectId, Reason};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

/// Reads from another store.
pub(crate) struct Discard(Arc<dyn TableStore>);

impl Discard {
    pub(crate) fn over(tables: Arc<dyn TableStore>) -> Self {
        Self(tables)
    }
}

fn refused() -> TableStoreError {
    let reason = Reason::new("store_read_only", "what is made only to compare is not published");
    TableStoreError { reason, transient: false, missing: false }
}

/// Counts and hashes what is written.
#[derive(Default)]
pub(crate) struct Counted {
    hasher: ByteHasher,
    bytes: u64,
}

impl Counted {
    /// The name of an object of these bytes.
    pub(crate) fn object(&self) -> ObjectId {
        self.hasher.finish()
    }
}

impl Write for Counted {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.hasher.update(buffer);
        self.bytes += buffer.len() as u64;
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Staged for Counted {
    fn put(self: Box<Self>) -> Result<(ObjectId, u64), TableStoreError> {
        Ok((self.object(), self.bytes))
    }

    fn publish(self: Box<Self>, _: &TableFile) -> Result<u64, TableStoreError> {
        Err(refused())
    }
}

impl TableStore for Discard {
    fn stage(&self) -> Result<Box<dyn Staged>, TableStoreError> {
        Ok(Box::new(Counted::default()))
    }

    fn open(&self, object: &ObjectId) -> Result<Object, TableStoreError> {
        self.0.open(object)
    }

    fn check(&self, object: &ObjectId) -> Result<(), TableStoreError> {
        self.0.check(object)
    }

    fn bytes(&self, object: &ObjectId) -> Option<u64> {
        self.0.bytes(object)
    }

    fn publish(&self, _: &TableFile, _: &ObjectId) -> Result<(), TableStoreError> {
        Err(refused())
    }

    fn is_published_as(&self, table: &TableFile, object: &ObjectId) -> Result<bool, TableStoreError> {
        self.0.is_published_as(table, object)
    }

    fn open_published(&self, table: &TableFile) -> Result<Object, TableStoreError> {
        self.0.open_published(table)
    }

    fn is_published(&self, table: &TableFile) -> bool {
        self.0.is_published(table)
    }

    fn sweep(&self, _: &AssetName, _: &dyn Fn(&str) -> bool) -> Result<(), TableStoreError> {
        Err(refused())
    }

    fn outputs(&self) -> Result<Vec<AssetName>, TableStoreError> {
        self.0.outputs()
    }

    fn folder(&self, output: &AssetName) -> Option<PathBuf> {
        self.0.folder(output)
    }
}
