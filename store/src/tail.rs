//! Following a journal that several processes append to: what is new since it was looked at last, without reading again
//! what can't have changed. A process locks its segment for as long as it lives; one that nobody has locked is final.

use crate::codec::Wants;
use crate::error::{StoreError, reading};
use crate::journal::{self, End, Ends, Torn};
use crate::ranges::{self, Mode, Place};
use assets_core::record::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Where a process locks its own segment.
pub(crate) const ALIVE: Place = Place(0);
/// A folder's time moves in ticks of the kernel: one that moved just now may do so again unseen.
const TICK: Duration = Duration::from_millis(50);

/// Entries of a frame, with the segment and where the frame ends.
pub(crate) type Frame<'a> = &'a mut dyn FnMut(&str, Vec<Entry>, End);

/// How far a journal was read.
#[derive(Debug)]
pub(crate) struct Tail {
    folder: PathBuf,
    ends: Ends,
    /// Segments that may still grow.
    live: BTreeSet<String>,
    /// What can't be read of final segments.
    torn: BTreeMap<String, Vec<Torn>>,
    /// The folder's time, once no new segment can hide behind it.
    listed: Option<SystemTime>,
    /// Whether a segment is shorter than it was, or gone.
    shrunk: bool,
}

impl Tail {
    /// Before anything was read.
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            ends: Ends::new(),
            live: BTreeSet::new(),
            torn: BTreeMap::new(),
            listed: None,
            shrunk: false,
        }
    }

    /// Behind final segments that are read already, as far as they can be.
    pub(crate) fn after(folder: &Path, ends: Ends, torn: Vec<Torn>) -> Self {
        let mut tail = Self { ends, ..Self::new(folder) };
        torn.into_iter().for_each(|torn| tail.torn.entry(torn.segment.clone()).or_default().push(torn));
        tail
    }

    /// Whether every segment that was read is final.
    pub(crate) fn is_final(&self) -> bool {
        self.live.is_empty()
    }

    /// How far each segment is read.
    pub(crate) fn ends(&self) -> &Ends {
        &self.ends
    }

    /// What can't be read of final segments.
    pub(crate) fn torn(&self) -> Vec<Torn> {
        self.torn.values().flatten().cloned().collect()
    }

    /// Whether what was read is not all there any more: an append that was undone, or a journal put in place of another.
    pub(crate) fn has_shrunk(&self) -> bool {
        self.shrunk
    }

    /// Reads every whole frame that was not read yet, in the order of segments; but of those that `is_own` nothing.
    pub(crate) fn advance(&mut self, is_own: &dyn Fn(&str) -> bool, each: Frame<'_>) -> Result<(), StoreError> {
        self.advance_for(is_own, &|_| true, each)
    }

    /// The same, without the entries of these frames that are not wanted.
    pub(crate) fn advance_for(
        &mut self,
        is_own: &dyn Fn(&str) -> bool,
        wants: Wants<'_>,
        each: Frame<'_>,
    ) -> Result<(), StoreError> {
        let known = self.live.clone();
        let new = self.list(is_own)?;
        for name in known.into_iter().chain(new) {
            self.read(&name, wants, each)?;
        }
        Ok(())
    }

    /// Segments that were not there before.
    fn list(&mut self, is_own: &dyn Fn(&str) -> bool) -> Result<Vec<String>, StoreError> {
        let modified = fs::metadata(&self.folder).and_then(|metadata| metadata.modified()).ok();
        if modified.is_some() && modified == self.listed {
            return Ok(Vec::new());
        }
        let age = modified.and_then(|time| SystemTime::now().duration_since(time).ok());
        self.listed = modified.filter(|_| age.is_some_and(|age| age > TICK));
        let names = journal::segments(&self.folder)?;
        self.shrunk |= self.ends.keys().any(|known| names.binary_search(known).is_err());
        Ok(names.into_iter().filter(|name| !self.ends.contains_key(name) && !is_own(name)).collect())
    }

    fn read(&mut self, name: &str, wants: Wants<'_>, each: Frame<'_>) -> Result<(), StoreError> {
        let path = self.folder.join(name);
        let before = self.ends.get(name).copied().unwrap_or_default();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                // Put together with others since it was listed, or taken away.
                self.shrunk = true;
                return Ok(());
            }
            Err(error) => return Err(reading(&path)(error)),
        };
        // Asked before it is read: what is final then is read to its end.
        let is_live = is_live(&file);
        let length = file.metadata().map_err(reading(&path))?.len();
        self.shrunk |= length < before.offset;
        if length > before.offset || !self.ends.contains_key(name) {
            let mut frame = |entries: Vec<Entry>, end| {
                each(name, entries, end);
                true
            };
            let (end, torn) = journal::read_from(&self.folder, name, before, wants, &mut frame)?;
            self.ends.insert(name.to_owned(), end);
            if !torn.is_empty() && !is_live {
                self.torn.insert(name.to_owned(), torn);
            }
        }
        if is_live {
            self.live.insert(name.to_owned());
        } else {
            self.live.remove(name);
        }
        Ok(())
    }
}

/// Whether its process lives, or has only just made it.
fn is_live(file: &File) -> bool {
    // Elsewhere than on Linux nobody can tell.
    let is_locked = cfg!(not(target_os = "linux"))
        || ranges::in_the_way(file, ALIVE, Mode::Alone).is_ok_and(|process| process.is_some());
    is_locked || file.metadata().is_ok_and(|metadata| metadata.len() < journal::HEADER_BYTES)
}
