//! All that the store does to files: creating, writing, syncing, renaming, linking and removing them. Nothing else in
//! this crate changes a file (but for the lock and for sled), so that here every one of these can be made to fail.

use crate::error::{StoreError, reading, writing};
use crate::faults::{Op, pass};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

const READ_ONLY: u32 = 0o444;

static NUMBERS: AtomicU64 = AtomicU64::new(0);

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct Output {
    file: File,
    path: PathBuf,
    number: u64,
}

impl Output {
    fn open(path: &Path, options: &OpenOptions) -> io::Result<Self> {
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let file = pass(path, || Op::Create(number, path.to_owned()), |_| options.open(path))?;
        Ok(Self { file, path: path.to_owned(), number })
    }

    /// A file that was not there.
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        Self::open(path, OpenOptions::new().write(true).create_new(true))
    }

    /// A file that was not there, and to which others may append as well.
    pub(crate) fn new_log(path: &Path) -> io::Result<Self> {
        Self::open(path, OpenOptions::new().append(true).create_new(true))
    }

    /// An empty file, whatever was there.
    pub(crate) fn emptied(path: &Path) -> io::Result<Self> {
        Self::open(path, OpenOptions::new().write(true).create(true).truncate(true))
    }

    /// The bytes are on disk, and the file's length.
    pub(crate) fn sync_data(&self) -> io::Result<()> {
        pass(&self.path, || Op::Sync(self.number), |_| self.file.sync_data())
    }

    /// The same with all else about the file.
    pub(crate) fn sync_all(&self) -> io::Result<()> {
        pass(&self.path, || Op::Sync(self.number), |_| self.file.sync_all())
    }

    /// Cuts it.
    pub(crate) fn set_len(&self, length: u64) -> io::Result<()> {
        pass(&self.path, || Op::Length(self.number, length), |_| self.file.set_len(length))
    }

    /// The file is whole: nobody changes it any more, and it survives a power cut.
    pub(crate) fn seal(&self) -> io::Result<()> {
        let read_only = Permissions::from_mode(READ_ONLY);
        pass(&self.path, || Op::Seal(self.number), |_| self.file.set_permissions(read_only))?;
        self.sync_all()
    }

    /// What the system says about it.
    pub(crate) fn metadata(&self) -> io::Result<fs::Metadata> {
        self.file.metadata()
    }

    /// Changes it, so that its ctime is that of the file system's clock.
    pub(crate) fn touch(&self) -> io::Result<()> {
        let now = std::time::SystemTime::now();
        self.file.set_times(fs::FileTimes::new().set_modified(now))
    }

    /// The file itself, to be locked.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// The file itself, for another program to write to.
    pub(crate) fn into_file(self) -> File {
        self.file
    }
}

/// What file systems want the places and lengths of direct writes to be multiples of.
pub(crate) const BLOCK_BYTES: usize = 4096;

/// A buffer that begins at a block.
pub(crate) struct Blocks {
    bytes: Vec<u8>,
    start: usize,
}

impl Blocks {
    pub(crate) fn new(length: usize) -> Self {
        let bytes = vec![0; length + BLOCK_BYTES];
        let start = bytes.as_ptr().align_offset(BLOCK_BYTES).min(BLOCK_BYTES);
        Self { bytes, start }
    }

    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        let end = self.bytes.len() - BLOCK_BYTES + self.start;
        &mut self.bytes[self.start..end]
    }
}

impl Output {
    /// Writes bytes past the page cache where they are whole blocks and the file system can: for many of them that
    /// nobody reads soon, a search for pages would cost more than the disk.
    pub(crate) fn write_past_cache(&mut self, buffer: &[u8]) -> io::Result<()> {
        let (file, number) = (&mut self.file, self.number);
        let write = |most: usize| {
            let bytes = &buffer[..buffer.len().min(most)];
            let (direct, _) = bytes.split_at(bytes.len() / BLOCK_BYTES * BLOCK_BYTES);
            let written = match set_direct(file, true).and_then(|()| file.write(direct)) {
                Ok(written) => written,
                // It can't after all.
                Err(error) if error.kind() == ErrorKind::InvalidInput => 0,
                Err(error) => return Err(error),
            };
            set_direct(file, false)?;
            file.write_all(&bytes[written..])
        };
        pass(&self.path, || Op::Write(number, buffer.to_vec()), write)
    }
}

#[cfg(target_os = "linux")]
fn set_direct(file: &File, on: bool) -> io::Result<()> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    let flags = if on { OFlag::O_DIRECT } else { OFlag::empty() };
    fcntl(file, FcntlArg::F_SETFL(flags))?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn set_direct(_: &File, on: bool) -> io::Result<()> {
    if on { Err(ErrorKind::InvalidInput.into()) } else { Ok(()) }
}

impl Output {
    /// Lets the page cache forget what of it is on disk. Its pages are at hand for the next file then: fresh ones cost more.
    #[cfg(target_os = "linux")]
    pub(crate) fn forget_cached(&self) {
        use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
        // Advice, no more.
        let _ = posix_fadvise(&self.file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn forget_cached(&self) {}
}

impl Write for Output {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let (file, number) = (&mut self.file, self.number);
        let write = |most: usize| file.write_all(&buffer[..buffer.len().min(most)]);
        pass(&self.path, || Op::Write(number, buffer.to_vec()), write)?;
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Makes what was created, renamed or removed in a folder survive a power cut.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    let sync = |_| File::open(folder).and_then(|folder| folder.sync_all());
    pass(folder, || Op::SyncFolder(folder.to_owned()), sync).map_err(writing(folder))
}

/// The folder that a file or folder stands in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Creates a folder with its parents, where it is not there. A link to one is none: it may lead out of the store.
pub(crate) fn create_folder(folder: &Path) -> Result<(), StoreError> {
    match fs::symlink_metadata(folder) {
        Ok(metadata) if metadata.is_symlink() => Err(StoreError::Link { path: folder.to_owned() }),
        _ => create_with_parents(folder),
    }
}

fn create_with_parents(folder: &Path) -> Result<(), StoreError> {
    if folder.is_dir() {
        return Ok(());
    }
    if folder.parent().is_some_and(|parent| !parent.as_os_str().is_empty()) {
        create_with_parents(folder_of(folder))?;
    }
    match pass(folder, || Op::Folder(folder.to_owned()), |_| fs::create_dir(folder)) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        done => done.map_err(writing(folder)),
    }
}

/// Gives a file another name, in place of whatever had it.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    pass(to, || Op::Rename(from.to_owned(), to.to_owned()), |_| fs::rename(from, to)).map_err(writing(to))
}

/// Gives a file a further name.
pub(crate) fn link(from: &Path, to: &Path) -> io::Result<()> {
    pass(to, || Op::Link(from.to_owned(), to.to_owned()), |_| fs::hard_link(from, to))
}

/// Replaces a file at once and durably: a reader sees the old bytes or the new ones. `temp` is a free name on the
/// same file system.
pub(crate) fn replace(target: &Path, temp: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    replace_with(target, temp, &mut |file| file.write_all(bytes))
}

/// The same, though after a power cut anything may stand there.
pub(crate) fn replace_unsynced(target: &Path, temp: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let mut file = Output::emptied(temp).map_err(writing(temp))?;
    file.write_all(bytes).map_err(writing(temp))?;
    rename(temp, target)
}

/// As `replace`, with bytes that are written piece by piece.
pub(crate) fn replace_with(
    target: &Path,
    temp: &Path,
    write: &mut dyn FnMut(&mut Output) -> io::Result<()>,
) -> Result<(), StoreError> {
    let mut file = Output::emptied(temp).map_err(writing(temp))?;
    write(&mut file).and_then(|()| file.sync_all()).map_err(writing(temp))?;
    rename(temp, target)?;
    sync_folder(folder_of(target))
}

/// A file's bytes; `None` where there is no such file.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(reading(path)(error)),
    }
}

/// Removes a file; that it is not there is as good.
pub(crate) fn remove_if_there(path: &Path) -> Result<(), StoreError> {
    match pass(path, || Op::Remove(path.to_owned()), |_| fs::remove_file(path)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(writing(path)(error)),
        _ => Ok(()),
    }
}

/// Removes a folder and all that is in it.
pub(crate) fn remove_tree(folder: &Path) -> Result<(), StoreError> {
    pass(folder, || Op::RemoveTree(folder.to_owned()), |_| fs::remove_dir_all(folder)).map_err(writing(folder))
}
