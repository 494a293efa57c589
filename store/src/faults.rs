//! For tests: lets the store's own writes fail, and records them. Where nothing is installed it costs one load.
//!
//! A probe watches the store at one root folder, so that tests run side by side. Every operation under that root is
//! counted, whoever does it; `files` is the only place that asks. sled writes by itself and is not seen here.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One operation on files, as it was done. Open files are known by a number, because names change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// A new or emptied file.
    Create(u64, PathBuf),
    /// Bytes behind what was written before.
    Write(u64, Vec<u8>),
    /// A file cut or extended to a length.
    Length(u64, u64),
    /// A file put on disk.
    Sync(u64),
    /// A file made read-only.
    Seal(u64),
    /// A file's new name.
    Rename(PathBuf, PathBuf),
    /// A further name of a file.
    Link(PathBuf, PathBuf),
    /// A name removed.
    Remove(PathBuf),
    /// A folder removed with all that is in it.
    RemoveTree(PathBuf),
    /// A new folder; those above it are told before.
    Folder(PathBuf),
    /// A folder's names put on disk.
    SyncFolder(PathBuf),
    /// Something that a test wants to find again.
    Mark(String),
}

impl Op {
    /// What it is, in a word or two.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Create(..) => "create",
            Self::Write(..) => "write",
            Self::Length(..) => "set length",
            Self::Sync(..) => "sync",
            Self::Seal(..) => "set permissions",
            Self::Rename(..) => "rename",
            Self::Link(..) => "link",
            Self::Remove(..) => "remove",
            Self::RemoveTree(..) => "remove folder",
            Self::Folder(..) => "create folder",
            Self::SyncFolder(..) => "sync folder",
            Self::Mark(..) => "mark",
        }
    }
}

/// What is to fail.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// The number of the operation, from 0.
    pub at: usize,
    /// With which error of the system.
    pub errno: i32,
    /// How many bytes a write brings before it fails.
    pub bytes: usize,
    /// Whether all that follow fail too.
    pub lasting: bool,
}

#[derive(Default)]
struct State {
    seen: usize,
    fault: Option<Fault>,
    hit: Option<(&'static str, PathBuf)>,
    recorded: Option<Vec<Op>>,
}

struct Watched {
    root: PathBuf,
    state: Mutex<State>,
}

impl Watched {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

static INSTALLED: AtomicUsize = AtomicUsize::new(0);
static WATCHED: Mutex<Vec<Arc<Watched>>> = Mutex::new(Vec::new());

fn watched() -> MutexGuard<'static, Vec<Arc<Watched>>> {
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Watches one store until dropped.
pub struct Probe(Arc<Watched>);

impl Probe {
    fn install(root: &Path, state: State) -> Self {
        let own = Arc::new(Watched { root: root.to_owned(), state: Mutex::new(state) });
        watched().push(Arc::clone(&own));
        INSTALLED.fetch_add(1, Ordering::SeqCst);
        Self(own)
    }

    /// Counts operations.
    pub fn count(root: &Path) -> Self {
        Self::install(root, State::default())
    }

    /// Lets an operation fail.
    pub fn fail(root: &Path, fault: Fault) -> Self {
        Self::install(root, State { fault: Some(fault), ..State::default() })
    }

    /// Records what is done.
    pub fn record(root: &Path) -> Self {
        Self::install(root, State { recorded: Some(Vec::new()), ..State::default() })
    }

    /// How many operations there were.
    pub fn seen(&self) -> usize {
        self.0.state().seen
    }

    /// What failed first, and where.
    pub fn hit(&self) -> Option<(&'static str, PathBuf)> {
        self.0.state().hit.clone()
    }

    /// Puts a mark among what is recorded.
    pub fn mark(&self, text: &str) {
        if let Some(recorded) = &mut self.0.state().recorded {
            recorded.push(Op::Mark(text.to_owned()));
        }
    }

    /// What was recorded so far.
    pub fn recorded(&self) -> Vec<Op> {
        self.0.state().recorded.clone().unwrap_or_default()
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        watched().retain(|watched| !Arc::ptr_eq(watched, &self.0));
        INSTALLED.fetch_sub(1, Ordering::SeqCst);
    }
}

impl State {
    /// The fault that this operation meets.
    fn met(&mut self, op: &Op, path: &Path) -> Option<Fault> {
        let at = self.seen;
        self.seen += 1;
        let met = self.fault.filter(|fault| at == fault.at || (fault.lasting && at > fault.at))?;
        self.hit.get_or_insert((op.name(), path.to_owned()));
        Some(met)
    }
}

/// Does an operation on `path`, unless it is to fail. `act` is told how many bytes to write at most. A probe does one
/// operation after the other, so that their order is the recorded one.
pub(crate) fn pass<T>(path: &Path, op: impl FnOnce() -> Op, act: impl FnOnce(usize) -> io::Result<T>) -> io::Result<T> {
    if INSTALLED.load(Ordering::Acquire) == 0 {
        return act(usize::MAX);
    }
    let found = watched().iter().find(|watched| path.starts_with(&watched.root)).cloned();
    let Some(found) = found else { return act(usize::MAX) };
    let (mut state, mut op) = (found.state(), op());
    let Some(fault) = state.met(&op, path) else {
        let done = act(usize::MAX)?;
        state.recorded.as_mut().into_iter().for_each(|recorded| recorded.push(op.clone()));
        return Ok(done);
    };
    if let Op::Write(_, bytes) = &mut op {
        bytes.truncate(fault.bytes);
        act(bytes.len())?;
        state.recorded.as_mut().into_iter().for_each(|recorded| recorded.push(op.clone()));
    }
    Err(io::Error::from_raw_os_error(fault.errno))
}
