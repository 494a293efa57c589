//! Tables as files: objects named by the hash of their bytes, and what is published of them, each replaced at once.
//!
//! A file becomes an object in this order: temp file, fsync, rename, fsync of the folder. Published tables are hard
//! links to objects where that is possible, else copies. Both have mode 0444.

use crate::checked::Checked;
use crate::error::{StoreError, reading, writing};
use crate::files::{self, Blocks, Output, create_folder, remove_if_there, sync_folder};
use crate::lock::WriterLock;
use crate::suspects;
use assets_core::hash::{ByteHasher, ObjectId};
use assets_core::key::AssetName;
use assets_core::reason::Reason;
use assets_core::slots::waiting;
use assets_core::table_store::{Grown, Object, Staged, TableFile, TableStore, TableStoreError};
use std::cell::Cell;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

const BUFFER_BYTES: usize = 256 << 10;
/// What is read at once: it is hashed while it is in the cache.
const COPY_BYTES: usize = 64 << 10;
/// What of a copied table is written at once where it goes past the page cache. A table that fits goes through that one, which
/// forgets it then. Measured on a disk that is slow to flush, by turns: 200 tables of 1.75 MB took 2.3 s and 3.1 s, five of
/// 200 MB as long in both ways, but 3.8 s of the system's processor time through the cache and 1.7 s past it.
const GROW_BYTES: usize = 4 << 20;

thread_local! {
    /// Fresh memory for every table would cost more than its bytes.
    static GROWING: Cell<Option<Blocks>> = const { Cell::new(None) };
}

/// The objects and published tables of a store.
#[derive(Debug, Clone)]
pub struct FolderTables {
    root: PathBuf,
    /// The right to write; `None` for readers.
    lock: Option<Arc<WriterLock>>,
    /// Folders of objects whose names are known to be on disk.
    durable: Arc<Mutex<HashSet<PathBuf>>>,
    checked: Checked,
    /// For readers: what was found to be damaged before, and is as good as lost.
    suspects: Arc<OnceLock<HashSet<ObjectId>>>,
}

impl FolderTables {
    pub(crate) fn to_read(root: &Path) -> Self {
        Self::new(root, None)
    }

    pub(crate) fn to_write(root: &Path, lock: Arc<WriterLock>) -> Self {
        Self::new(root, Some(lock))
    }

    fn new(root: &Path, lock: Option<Arc<WriterLock>>) -> Self {
        let checked = Checked::default();
        Self { root: root.to_owned(), lock, durable: Arc::default(), checked, suspects: Arc::default() }
    }

    /// Where an object is, if it is there.
    pub fn object_path(&self, object: &ObjectId) -> PathBuf {
        let name = object.to_string();
        let (folder, rest) = name.split_at(2);
        self.root.join("objects").join(folder).join(format!("{rest}.parquet"))
    }

    /// Where a table is, if it is published. Core encodes names so that they stay in their folder; here it matters.
    pub fn table_path(&self, table: &TableFile) -> Result<PathBuf, StoreError> {
        let stem = table.stem.as_str();
        if stem.is_empty() || stem == "." || stem == ".." || stem.contains(['/', '\0']) {
            return Err(StoreError::TableName { stem: stem.to_owned() });
        }
        Ok(self.output_folder(&table.output).join(format!("{stem}.parquet")))
    }

    fn output_folder(&self, output: &AssetName) -> PathBuf {
        self.root.join("tables").join(output.as_str())
    }

    fn may_write(&self) -> Result<(), StoreError> {
        match self.lock {
            Some(_) => Ok(()),
            None => Err(StoreError::ReadOnly { path: self.root.clone() }),
        }
    }

    fn temp(&self) -> Result<Temp, StoreError> {
        let folder = self.root.join("tmp");
        create_folder(&folder)?;
        Ok(Temp(folder.join(temp_name())))
    }

    fn stage_file(&self) -> Result<StagedFile, StoreError> {
        self.may_write()?;
        let temp = self.temp()?;
        let file = Output::new(&temp.0).map_err(writing(&temp.0))?;
        let file = BufWriter::with_capacity(BUFFER_BYTES, file);
        Ok(StagedFile {
            tables: self.clone(),
            hasher: ByteHasher::default(),
            bytes: 0,
            file,
            failed: None,
            is_forgotten: false,
            temp,
        })
    }

    fn publish_object(&self, table: &TableFile, object: &ObjectId) -> Result<(), StoreError> {
        self.may_write()?;
        let (from, to) = (self.object_path(object), self.table_path(table)?);
        let found = fs::metadata(&from).map_err(|error| self.missing_or(error, object, &from))?;
        let same = |there: fs::Metadata| (there.dev(), there.ino()) == (found.dev(), found.ino());
        if fs::symlink_metadata(&to).is_ok_and(same) {
            return Ok(());
        }
        create_folder(&self.output_folder(&table.output))?;
        let temp = self.temp()?;
        if let Err(error) = link(&from, &temp.0) {
            if error.kind() == ErrorKind::NotFound || error.kind() == ErrorKind::StorageFull {
                return Err(self.missing_or(error, object, &from));
            }
            // Another device, too many links, another user's file, a file system without links.
            copy(&from, &temp.0)?;
        }
        temp.rename(&to)
    }

    /// A folder for objects, whose name survives a power cut. That it is there says nothing about that: whoever made it
    /// may have been killed since, or be another thread that is about to put it on disk.
    fn durable_folder(&self, folder: &Path) -> Result<(), StoreError> {
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        if durable.contains(folder) && folder.is_dir() {
            return Ok(());
        }
        create_folder(folder)?;
        let objects = self.root.join("objects");
        let there = fs::read_dir(&objects).map_err(reading(&objects))?.flatten().map(|entry| entry.path());
        let there: Vec<PathBuf> = there.collect();
        sync_folder(&objects)?;
        durable.extend(there);
        Ok(())
    }

    /// An object's file, if its bytes are those that its name speaks of. One that is damaged makes way for a good one,
    /// where this process may write: then it is a miss.
    fn checked_file(&self, object: &ObjectId) -> Result<File, StoreError> {
        let path = self.object_path(object);
        let file = File::open(&path).map_err(|error| self.missing_or(error, object, &path))?;
        if self.checked.holds(&file, object).map_err(reading(&path))? {
            return Ok(file);
        }
        Err(self.damaged(object, path)?)
    }

    fn damaged(&self, object: &ObjectId, path: PathBuf) -> Result<StoreError, StoreError> {
        if self.lock.is_some() {
            self.set_aside(&path, &format!("{object}.parquet"))?;
        } else {
            suspects::note(&self.root, object);
        }
        Ok(StoreError::Damaged { object: *object, path })
    }

    /// Copies an object but for its last bytes, and looks it through in the same pass.
    fn grow_file(&self, object: &ObjectId, last: fn([u8; 8]) -> u64) -> Result<Grown, StoreError> {
        let path = self.object_path(object);
        let file = File::open(&path).map_err(|error| self.missing_or(error, object, &path))?;
        let found = file.metadata().map_err(reading(&path))?;
        let mut end = [0; 8];
        if let Some(at) = found.len().checked_sub(end.len() as u64) {
            file.read_exact_at(&mut end, at).map_err(reading(&path))?;
        }
        let kept = found.len().saturating_sub(last(end));
        let mut staged = self.stage_file()?;
        staged.is_forgotten = kept <= GROW_BYTES as u64;
        let mut blocks = GROWING.take().unwrap_or_else(|| Blocks::new(GROW_BYTES));
        let (mut file, mut left, mut filled) = (file, kept, 0);
        let at_once = if staged.is_forgotten { BUFFER_BYTES } else { GROW_BYTES };
        let buffer = &mut blocks.bytes()[..at_once];
        while left > 0 {
            let most = COPY_BYTES.min(buffer.len() - filled).min(usize::try_from(left).unwrap_or(usize::MAX));
            match file.read(&mut buffer[filled..filled + most]) {
                // Shorter than it was said to be: what is read is not the object.
                Ok(0) => break,
                Ok(read) => {
                    staged.hasher.update(&buffer[filled..filled + read]);
                    filled += read;
                    left -= read as u64;
                    if filled == buffer.len() || left == 0 {
                        staged.begin(&buffer[..std::mem::take(&mut filled)])?;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(reading(&path)(error)),
            }
        }
        GROWING.set(Some(blocks));
        if staged.is_forgotten {
            // What is about to be forgotten goes to the disk first: while what is new is computed.
            staged.file.get_ref().forget_cached();
        }
        let (mut whole, mut rest) = (staged.hasher.clone(), Vec::new());
        file.read_to_end(&mut rest).map_err(reading(&path))?;
        whole.update(&rest);
        if left > 0 || whole.finish() != *object {
            return Err(self.damaged(object, path)?);
        }
        self.checked.note(object, &found);
        Ok(Grown { staged: Box::new(staged), kept, rest })
    }

    /// Moves a damaged file to where nothing looks for it: what is left in it may be of use to a person.
    pub(crate) fn set_aside(&self, path: &Path, name: &str) -> Result<(), StoreError> {
        let folder = self.root.join("damaged");
        create_folder(&folder)?;
        files::rename(path, &folder.join(name))
    }

    fn missing_or(&self, error: io::Error, object: &ObjectId, path: &Path) -> StoreError {
        match error.kind() {
            ErrorKind::NotFound => StoreError::Missing { object: *object, path: path.to_owned() },
            ErrorKind::StorageFull => writing(path)(error),
            _ => reading(path)(error),
        }
    }
}

/// Another thread may put the same bytes under the same name at this moment: then the file that was there has no name any
/// more when it is to be linked, and another one has.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    for _ in 0..1000 {
        match files::link(from, to) {
            Err(error) if error.kind() == ErrorKind::NotFound && from.exists() => std::thread::yield_now(),
            other => return other,
        }
    }
    files::link(from, to)
}

/// A name that no other process uses, not even one in another container that has the same id.
fn temp_name() -> String {
    static OWN: OnceLock<u128> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let since = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{}-{:x}-{number}.tmp", std::process::id(), OWN.get_or_init(since))
}

fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    let mut source = File::open(from).map_err(reading(from))?;
    let mut file = Output::new(to).map_err(writing(to))?;
    io::copy(&mut source, &mut file).and_then(|_| file.seal()).map_err(writing(to))
}

/// The name of a temp file, removed when this is dropped.
#[derive(Debug)]
struct Temp(PathBuf);

impl Temp {
    /// Gives the file its name. Where both are links of one file a rename does nothing and leaves the temp name:
    /// dropping removes it.
    fn rename(self, to: &Path) -> Result<(), StoreError> {
        files::rename(&self.0, to)
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        // What can't be removed now goes when the store is opened next.
        let _ = remove_if_there(&self.0);
    }
}

/// Bytes on their way: into a temp file, and through the hash that names the object.
struct StagedFile {
    tables: FolderTables,
    hasher: ByteHasher,
    bytes: u64,
    file: BufWriter<Output>,
    failed: Option<Reason>,
    /// Whether nobody reads it soon, and the page cache need not hold it.
    is_forgotten: bool,
    temp: Temp,
}

impl StagedFile {
    /// Remembers why a write failed.
    fn note(&mut self, error: io::Error) -> io::Error {
        let same = error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
        self.failed.get_or_insert_with(|| writing(&self.temp.0)(same).reason());
        error
    }

    /// Writes bytes that are hashed already past the buffer, while there is nothing in it.
    fn begin(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let file = self.file.get_mut();
        let written = if self.is_forgotten { file.write_all(bytes) } else { waiting(|| file.write_past_cache(bytes)) };
        written.map_err(writing(&self.temp.0))?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// All of it on disk, under the temp name still.
    fn finish(mut self) -> Result<(FolderTables, Temp, ObjectId, u64), StoreError> {
        waiting(|| self.file.flush().and_then(|()| self.file.get_ref().seal())).map_err(writing(&self.temp.0))?;
        if self.is_forgotten {
            self.file.get_ref().forget_cached();
        }
        let object = self.hasher.finish();
        if let Ok(metadata) = self.file.get_ref().metadata() {
            self.tables.checked.note(&object, &metadata);
        }
        Ok((self.tables, self.temp, object, self.bytes))
    }
}

impl Write for StagedFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.file.write(buffer).map_err(|error| self.note(error))?;
        self.hasher.update(&buffer[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush().map_err(|error| self.note(error))
    }
}

impl Staged for StagedFile {
    fn failed(&self) -> Option<Reason> {
        self.failed.clone()
    }

    fn put(self: Box<Self>) -> Result<(ObjectId, u64), TableStoreError> {
        let (tables, temp, object, bytes) = self.finish()?;
        let path = tables.object_path(&object);
        let folder = path.parent().expect("objects are in folders");
        tables.durable_folder(folder)?;
        // Even if one is there: it may be damaged, and these are the bytes that the name speaks of.
        waiting(|| temp.rename(&path).and_then(|()| sync_folder(folder)))?;
        Ok((object, bytes))
    }

    fn publish(self: Box<Self>, table: &TableFile) -> Result<u64, TableStoreError> {
        let (tables, temp, _, bytes) = self.finish()?;
        let path = tables.table_path(table)?;
        create_folder(&tables.output_folder(&table.output))?;
        temp.rename(&path)?;
        Ok(bytes)
    }
}

impl TableStore for FolderTables {
    fn stage(&self) -> Result<Box<dyn Staged>, TableStoreError> {
        Ok(Box::new(self.stage_file()?))
    }

    fn scratch(&self) -> Result<Option<File>, TableStoreError> {
        self.may_write()?;
        let temp = self.temp()?;
        let file = File::options().read(true).write(true).create_new(true).open(&temp.0);
        // Its name goes here.
        Ok(Some(file.map_err(writing(&temp.0))?))
    }

    fn grow(&self, object: &ObjectId, last: fn([u8; 8]) -> u64) -> Result<Grown, TableStoreError> {
        Ok(self.grow_file(object, last)?)
    }

    fn open(&self, object: &ObjectId) -> Result<Object, TableStoreError> {
        Ok(Object::File(self.checked_file(object)?))
    }

    fn check(&self, object: &ObjectId) -> Result<(), TableStoreError> {
        self.checked_file(object)?;
        Ok(())
    }

    fn bytes(&self, object: &ObjectId) -> Option<u64> {
        if self.lock.is_none() && self.suspects.get_or_init(|| suspects::all(&self.root)).contains(object) {
            return None;
        }
        fs::metadata(self.object_path(object)).ok().filter(fs::Metadata::is_file).map(|metadata| metadata.len())
    }

    fn publish(&self, table: &TableFile, object: &ObjectId) -> Result<(), TableStoreError> {
        Ok(self.publish_object(table, object)?)
    }

    fn is_published_as(&self, table: &TableFile, object: &ObjectId) -> Result<bool, TableStoreError> {
        let path = self.table_path(table)?;
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(reading(&path)(error).into()),
        };
        Ok(self.checked.holds(&file, object).map_err(reading(&path))?)
    }

    fn open_published(&self, table: &TableFile) -> Result<Object, TableStoreError> {
        let path = self.table_path(table)?;
        Ok(Object::File(File::open(&path).map_err(reading(&path))?))
    }

    fn is_published(&self, table: &TableFile) -> bool {
        self.table_path(table).is_ok_and(|path| path.is_file())
    }

    fn sweep(&self, output: &AssetName, is_left_over: &dyn Fn(&str) -> bool) -> Result<(), TableStoreError> {
        self.may_write()?;
        let folder = self.output_folder(output);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(reading(&folder)(error).into()),
        };
        for entry in entries {
            let path = entry.map_err(reading(&folder))?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            if path.extension().is_some_and(|ending| ending == "parquet") && is_left_over(stem) {
                remove_if_there(&path)?;
            }
        }
        Ok(())
    }

    fn outputs(&self) -> Result<Vec<AssetName>, TableStoreError> {
        let folder = self.root.join("tables");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(reading(&folder)(error).into()),
        };
        let mut outputs = Vec::new();
        for entry in entries {
            let path = entry.map_err(reading(&folder))?.path();
            // What else a person keeps there is not a table.
            let name = path.file_name().and_then(|name| AssetName::new(name.to_str()?).ok());
            let holds_any = fs::read_dir(&path).is_ok_and(|mut files| files.next().is_some());
            outputs.extend(name.filter(|_| holds_any));
        }
        outputs.sort();
        Ok(outputs)
    }

    fn folder(&self, output: &AssetName) -> Option<PathBuf> {
        Some(self.output_folder(output))
    }
}
