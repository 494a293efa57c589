//! One writer at a time, by a lock of the kernel on `journal/lock`: it vanishes with its process, however that ends.
//! The file tells who holds it, so that whoever waits can say for whom.

use crate::error::{StoreError, writing};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What to do while another process writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Wait until it ends.
    Forever,
    /// Fail with `store_busy`.
    No,
}

/// The process that writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process id; 0 where it isn't known.
    pub pid: u32,
    /// The machine it runs on.
    pub host: String,
    /// Its command line.
    pub command: String,
    /// When it took the lock, microseconds since the epoch.
    pub started_us: i64,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            0 => f.write_str("another process"),
            pid => write!(f, "process {pid} on {} (`{}`)", self.host, self.command),
        }
    }
}

impl Holder {
    fn this_process() -> Self {
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            pid: std::process::id(),
            host: host(),
            command: std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" "),
            started_us: i64::try_from(started.as_micros()).unwrap_or(i64::MAX),
        }
    }

    /// Who says in the lock file that it holds the lock. It is written just after the lock is taken, so an empty
    /// file is looked at again for a moment.
    fn read(path: &Path) -> Self {
        for _ in 0..20 {
            let told = std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
            if let Some(holder) = told {
                return holder;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { pid: 0, host: String::new(), command: String::new(), started_us: 0 }
    }
}

fn host() -> String {
    let read = |path| std::fs::read_to_string(path).ok();
    let name = read("/proc/sys/kernel/hostname").or_else(|| read("/etc/hostname"));
    name.or_else(|| std::env::var("HOSTNAME").ok()).map_or_else(|| "this machine".to_owned(), |n| n.trim().to_owned())
}

/// The right to write, until dropped.
#[derive(Debug)]
pub(crate) struct WriterLock(File);

impl WriterLock {
    /// Takes the lock of the store at `root`. Calls `on_wait` once if it has to wait.
    pub(crate) fn take(root: &Path, wait: Wait, on_wait: &mut dyn FnMut(&Holder)) -> Result<Self, StoreError> {
        let path = root.join("journal/lock");
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = open.map_err(writing(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(failed(&path, error)),
            Err(TryLockError::WouldBlock) => {
                let holder = Holder::read(&path);
                if wait == Wait::No {
                    return Err(StoreError::Busy { path: root.to_owned(), holder });
                }
                on_wait(&holder);
                wait_for(&file).map_err(|error| failed(&path, error))?;
            }
        }
        let lock = Self(file);
        lock.tell(&Holder::this_process()).map_err(writing(&path))?;
        Ok(lock)
    }

    fn tell(&self, holder: &Holder) -> io::Result<()> {
        let text = serde_json::to_vec(holder).map_err(io::Error::other)?;
        self.0.set_len(0)?;
        (&self.0).write_all(&text)
    }
}

fn wait_for(file: &File) -> io::Result<()> {
    loop {
        match file.lock() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

fn failed(path: &Path, source: io::Error) -> StoreError {
    match source.kind() {
        // ENOLCK, ENOTSUP, ENOSYS: the first has no kind in std.
        ErrorKind::Unsupported => StoreError::NoLocks { path: path.to_owned(), source },
        _ if source.raw_os_error() == Some(37) => StoreError::NoLocks { path: path.to_owned(), source },
        _ => writing(path)(source),
    }
}

impl Drop for WriterLock {
    fn drop(&mut self) {
        // So that the next one's waiter is not told about this process. The lock itself goes with the file.
        let _ = self.0.set_len(0);
    }
}
