//! Who is at work on a store, by locks of the kernel on `journal/lock`: builds share it; whoever removes or rebuilds has
//! it alone and waits for them. Those who read are seen by whoever removes, and never wait.

use crate::error::{StoreError, writing};
use crate::ranges::{self, Mode, Place};
use assets_core::catalog::Holder;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

const WRITERS: Place = Place(0);
const READERS: Place = Place(1);
/// What is over sooner is not worth a word.
const PATIENCE: Duration = Duration::from_millis(300);

/// What to do while another process needs the store for itself, or is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Wait until it ends.
    Forever,
    /// Fail with `store_busy`.
    No,
}

/// The process of that id, with its command line where the system tells it.
pub(crate) fn holder(process: u32) -> Holder {
    let told = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    let mut words = told.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
    let program = words.next().unwrap_or_default();
    let program = program.rsplit('/').next().unwrap_or_default().to_owned();
    let command = std::iter::once(program).chain(words).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    Holder { process, command: command.chars().map(|c| if c.is_control() { ' ' } else { c }).collect() }
}

fn path_in(root: &Path) -> PathBuf {
    root.join("journal/lock")
}

fn open(path: &Path) -> Result<File, StoreError> {
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    open.map_err(writing(path))
}

/// The right to write, until dropped.
#[derive(Debug)]
pub(crate) struct WriterLock {
    _file: File,
}

impl WriterLock {
    /// Takes the lock of the store at `root` beside other builds. Who finds nobody else there has it alone while
    /// `settle` runs, which is told so. Calls `on_wait` once if it has to wait.
    pub(crate) fn share(
        root: &Path,
        wait: Wait,
        on_wait: &mut dyn FnMut(&Holder),
        mut settle: impl FnMut(bool) -> Result<bool, StoreError>,
    ) -> Result<Arc<Self>, StoreError> {
        let path = path_in(root);
        let file = open(&path)?;
        let lock = |mode| ranges::try_lock(&file, WRITERS, mode).map_err(|error| failed(&path, error));
        let mut waiting = Waiting::new(root, wait);
        loop {
            if lock(Mode::Alone)?.is_none() {
                settle(true)?;
                // Elsewhere than on Linux it stays alone.
                lock(Mode::Shared)?;
                return Ok(Arc::new(Self { _file: file }));
            }
            let Some(process) = lock(Mode::Shared)? else {
                // Who was alone may have been killed before it had settled everything.
                if settle(false)? {
                    return Ok(Arc::new(Self { _file: file }));
                }
                ranges::unlock(&file, WRITERS).map_err(|error| failed(&path, error))?;
                std::thread::sleep(Duration::from_millis(2));
                continue;
            };
            waiting.wait(process, on_wait)?;
        }
    }

    /// Takes the lock alone: no build is there, and nobody reads.
    pub(crate) fn alone(root: &Path, wait: Wait, on_wait: &mut dyn FnMut(&Holder)) -> Result<Arc<Self>, StoreError> {
        let path = path_in(root);
        let file = open(&path)?;
        let mut waiting = Waiting::new(root, wait);
        for place in [WRITERS, READERS] {
            while let Some(process) =
                ranges::try_lock(&file, place, Mode::Alone).map_err(|error| failed(&path, error))?
            {
                waiting.wait(process, on_wait)?;
            }
        }
        Ok(Arc::new(Self { _file: file }))
    }
}

/// Lets whoever removes see that something is read, until dropped. What can't be said is not: reading never waits, and
/// never fails for that.
pub(crate) fn reading(root: &Path) -> Option<Arc<File>> {
    let file = File::open(path_in(root)).ok()?;
    ranges::try_lock(&file, READERS, Mode::Shared).ok()?.is_none().then(|| Arc::new(file))
}

/// A process that writes now, if there is one. Asks only.
pub(crate) fn writer(root: &Path) -> Option<Holder> {
    let file = File::open(path_in(root)).ok()?;
    ranges::in_the_way(&file, WRITERS, Mode::Alone).ok()?.map(holder)
}

struct Waiting<'a> {
    root: &'a Path,
    wait: Wait,
    since: Instant,
    pause: Duration,
    told: bool,
}

impl<'a> Waiting<'a> {
    fn new(root: &'a Path, wait: Wait) -> Self {
        Self { root, wait, since: Instant::now(), pause: Duration::from_millis(2), told: false }
    }

    fn wait(&mut self, process: u32, on_wait: &mut dyn FnMut(&Holder)) -> Result<(), StoreError> {
        let has_waited = self.since.elapsed() >= PATIENCE;
        if has_waited && self.wait == Wait::No {
            return Err(StoreError::Busy { path: self.root.to_owned(), holder: holder(process) });
        }
        if has_waited && !self.told {
            self.told = true;
            on_wait(&holder(process));
        }
        std::thread::sleep(self.pause);
        self.pause = (self.pause * 2).min(Duration::from_millis(200));
        Ok(())
    }
}

pub(crate) fn failed(path: &Path, source: io::Error) -> StoreError {
    // ENOLCK, ENOSYS, ENOTSUP, and EINVAL: kernels and file systems that do not know these locks.
    let unknown = matches!(source.raw_os_error(), Some(37 | 38 | 95 | 22)) || source.kind() == ErrorKind::Unsupported;
    if unknown {
        return StoreError::NoLocks { path: path.to_owned(), source };
    }
    writing(path)(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_without_locks_is_told_from_other_troubles() {
        let code = |errno| failed(Path::new("/s/lock"), io::Error::from_raw_os_error(errno)).code();
        assert_eq!([37, 38, 95, 22].map(code), ["store_without_locks"; 4]);
        assert_eq!((code(5), code(13)), ("io_error", "store_unwritable"));
    }
}
