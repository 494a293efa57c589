//! Tables as files: objects named by the hash of their bytes, and what is published of them, each replaced at once.
//!
//! A file becomes an object in this order: temp file, fsync, rename, fsync of the folder. Published tables are hard
//! links to objects where that is possible, else copies. Both have mode 0444.

use crate::error::{StoreError, reading, writing};
use crate::files::{create_folder, remove_if_there, sync_folder};
use crate::lock::WriterLock;
use assets_core::hash::{ByteHasher, ObjectId};
use assets_core::key::AssetName;
use assets_core::table_store::{Object, Staged, TableFile, TableStore, TableStoreError};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

const BUFFER_BYTES: usize = 256 << 10;
const READ_ONLY: u32 = 0o444;

/// The objects and published tables of a store.
#[derive(Debug, Clone)]
pub struct FolderTables {
    root: PathBuf,
    /// The right to write; `None` for readers.
    lock: Option<Arc<WriterLock>>,
}

impl FolderTables {
    pub(crate) fn to_read(root: &Path) -> Self {
        Self { root: root.to_owned(), lock: None }
    }

    pub(crate) fn to_write(root: &Path, lock: Arc<WriterLock>) -> Self {
        Self { root: root.to_owned(), lock: Some(lock) }
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
        let file = OpenOptions::new().write(true).create_new(true).open(&temp.0).map_err(writing(&temp.0))?;
        let file = BufWriter::with_capacity(BUFFER_BYTES, file);
        Ok(StagedFile { tables: self.clone(), hasher: ByteHasher::default(), bytes: 0, file, temp })
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
        match fs::hard_link(from, to) {
            Err(error) if error.kind() == ErrorKind::NotFound && from.exists() => std::thread::yield_now(),
            other => return other,
        }
    }
    fs::hard_link(from, to)
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
    let mut file = OpenOptions::new().write(true).create_new(true).open(to).map_err(writing(to))?;
    io::copy(&mut source, &mut file).and_then(|_| seal(&file)).map_err(writing(to))
}

/// The file is whole: nobody changes it any more, and it survives a power cut.
fn seal(file: &File) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(READ_ONLY))?;
    file.sync_all()
}

/// The name of a temp file, removed when this is dropped.
#[derive(Debug)]
struct Temp(PathBuf);

impl Temp {
    /// Gives the file its name. Where both are links of one file a rename does nothing and leaves the temp name:
    /// dropping removes it.
    fn rename(self, to: &Path) -> Result<(), StoreError> {
        fs::rename(&self.0, to).map_err(writing(to))
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
    file: BufWriter<File>,
    temp: Temp,
}

impl StagedFile {
    /// All of it on disk, under the temp name still.
    fn finish(mut self) -> Result<(FolderTables, Temp, ObjectId, u64), StoreError> {
        self.file.flush().and_then(|()| seal(self.file.get_ref())).map_err(writing(&self.temp.0))?;
        Ok((self.tables, self.temp, self.hasher.finish(), self.bytes))
    }
}

impl Write for StagedFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.file.write(buffer)?;
        self.hasher.update(&buffer[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Staged for StagedFile {
    fn put(self: Box<Self>) -> Result<(ObjectId, u64), TableStoreError> {
        let (tables, temp, object, bytes) = self.finish()?;
        let path = tables.object_path(&object);
        let folder = path.parent().expect("objects are in folders");
        let new = create_folder(folder)?;
        // Even if one is there: it may be damaged, and these are the bytes that the name speaks of.
        temp.rename(&path)?;
        sync_folder(folder)?;
        if new {
            sync_folder(&tables.root.join("objects"))?;
        }
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

    fn open(&self, object: &ObjectId) -> Result<Object, TableStoreError> {
        let path = self.object_path(object);
        let file = File::open(&path).map_err(|error| self.missing_or(error, object, &path))?;
        Ok(Object::File(file))
    }

    fn contains(&self, object: &ObjectId) -> bool {
        self.object_path(object).is_file()
    }

    fn publish(&self, table: &TableFile, object: &ObjectId) -> Result<(), TableStoreError> {
        Ok(self.publish_object(table, object)?)
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
