//! A table store in memory, which can lose objects on demand. For tests.

use assets_core::hash::{ByteHasher, ObjectId};
use assets_core::key::AssetName;
use assets_core::reason::Reason;
use assets_core::table_store::{Object, Staged, TableFile, TableStore, TableStoreError};
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
struct Inner {
    objects: HashMap<ObjectId, Arc<[u8]>>,
    published: BTreeMap<TableFile, Arc<[u8]>>,
    puts: usize,
    publications: usize,
}

/// Objects and published tables; clones share them.
#[derive(Debug, Clone, Default)]
pub struct MemoryTables(Arc<Mutex<Inner>>);

impl MemoryTables {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is published there.
    pub fn published(&self, table: &TableFile) -> Option<Arc<[u8]>> {
        self.inner().published.get(table).cloned()
    }

    /// Every published table's place, sorted.
    pub fn published_files(&self) -> Vec<TableFile> {
        self.inner().published.keys().cloned().collect()
    }

    /// Forgets an object, as if someone had deleted its file; true if it was there.
    pub fn lose(&self, object: &ObjectId) -> bool {
        self.inner().objects.remove(object).is_some()
    }

    /// How many objects there are.
    pub fn objects(&self) -> usize {
        self.inner().objects.len()
    }

    /// How many times bytes were put.
    pub fn puts(&self) -> usize {
        self.inner().puts
    }

    /// How many times a table was published.
    pub fn publications(&self) -> usize {
        self.inner().publications
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, object: &ObjectId) -> Result<Arc<[u8]>, TableStoreError> {
        self.inner().objects.get(object).cloned().ok_or_else(|| TableStoreError {
            reason: Reason::new("object_missing", format!("the object {object} is missing"))
                .with("object", object.to_string()),
            transient: false,
            missing: true,
        })
    }
}

fn name_of(bytes: &[u8]) -> ObjectId {
    let mut hasher = ByteHasher::default();
    hasher.update(bytes);
    hasher.finish()
}

fn check(table: &TableFile) -> Result<(), TableStoreError> {
    let stem = table.stem.as_str();
    if stem.is_empty() || stem == "." || stem == ".." || stem.contains(['/', '\0']) {
        let reason = Reason::new("bad_table_name", format!("`{stem}` can't be the name of a table's file"));
        return Err(TableStoreError { reason: reason.with("name", stem), transient: false, missing: false });
    }
    Ok(())
}

struct StagedBytes {
    tables: MemoryTables,
    bytes: Vec<u8>,
}

impl Write for StagedBytes {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.bytes.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Staged for StagedBytes {
    fn put(self: Box<Self>) -> Result<(ObjectId, u64), TableStoreError> {
        let (object, length) = (name_of(&self.bytes), self.bytes.len() as u64);
        let mut inner = self.tables.inner();
        inner.puts += 1;
        inner.objects.insert(object, self.bytes.as_slice().into());
        Ok((object, length))
    }

    fn publish(self: Box<Self>, table: &TableFile) -> Result<u64, TableStoreError> {
        check(table)?;
        let mut inner = self.tables.inner();
        inner.publications += 1;
        inner.published.insert(table.clone(), self.bytes.as_slice().into());
        Ok(self.bytes.len() as u64)
    }
}

impl TableStore for MemoryTables {
    fn stage(&self) -> Result<Box<dyn Staged>, TableStoreError> {
        Ok(Box::new(StagedBytes { tables: self.clone(), bytes: Vec::new() }))
    }

    fn open(&self, object: &ObjectId) -> Result<Object, TableStoreError> {
        self.get(object).map(Object::Bytes)
    }

    fn check(&self, object: &ObjectId) -> Result<(), TableStoreError> {
        self.get(object).map(drop)
    }

    fn bytes(&self, object: &ObjectId) -> Option<u64> {
        self.inner().objects.get(object).map(|bytes| bytes.len() as u64)
    }

    fn publish(&self, table: &TableFile, object: &ObjectId) -> Result<(), TableStoreError> {
        check(table)?;
        let bytes = self.get(object)?;
        let mut inner = self.inner();
        inner.publications += 1;
        inner.published.insert(table.clone(), bytes);
        Ok(())
    }

    fn is_published_as(&self, table: &TableFile, object: &ObjectId) -> Result<bool, TableStoreError> {
        Ok(self.published(table).is_some_and(|bytes| name_of(&bytes) == *object))
    }

    fn open_published(&self, table: &TableFile) -> Result<Object, TableStoreError> {
        self.published(table).map(Object::Bytes).ok_or_else(|| TableStoreError {
            reason: Reason::new("io_error", format!("{} of {} is not published", table.stem, table.output)),
            transient: false,
            missing: false,
        })
    }

    fn is_published(&self, table: &TableFile) -> bool {
        self.inner().published.contains_key(table)
    }

    fn sweep(&self, output: &AssetName, is_left_over: &dyn Fn(&str) -> bool) -> Result<(), TableStoreError> {
        self.inner().published.retain(|table, _| table.output != *output || !is_left_over(&table.stem));
        Ok(())
    }

    fn outputs(&self) -> Result<Vec<AssetName>, TableStoreError> {
        let mut outputs: Vec<AssetName> = self.inner().published.keys().map(|table| table.output.clone()).collect();
        outputs.dedup();
        Ok(outputs)
    }

    fn folder(&self, _: &AssetName) -> Option<PathBuf> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance;

    #[test]
    fn passes_the_suite() {
        conformance::table_store(&|| Box::new(MemoryTables::new()));
    }

    #[test]
    fn a_lost_object_is_a_miss_and_what_is_published_stays() {
        let tables = MemoryTables::new();
        let mut staged = tables.stage().unwrap();
        staged.write_all(b"rows").unwrap();
        let (object, _) = staged.put().unwrap();
        let table = TableFile { output: AssetName::new("wide").unwrap(), stem: "r1".into() };
        tables.publish(&table, &object).unwrap();
        assert!(tables.lose(&object) && !tables.contains(&object));
        assert!(tables.publish(&table, &object).unwrap_err().missing);
        assert_eq!(tables.published(&table).as_deref(), Some(&b"rows"[..]));
        assert_eq!((tables.objects(), tables.puts(), tables.publications()), (0, 1, 1));
    }
}
