//! The seal that a build leaves (`assets_core::seal`), and the store's share of the world that it speaks of.
//!
//! That share is stats of the store's folders and segments: a file that comes, goes or is replaced changes its folder, and
//! what is written changes its segment. What that can't tell (bytes that rot, a file changed in place, or one that is removed
//! by hand while a build of late runs writes beside it) is found by `verify`, and an object by whoever reads it next.

use crate::error::StoreError;
use crate::files::{self, Output};
use crate::suspects;
use assets_core::hash::{Digest, Hasher};
use assets_core::seal::Seal;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const VERSION: &str = "assets seal 3";

/// The seal that a store has, if any; none while an object is known to be damaged.
pub fn read(root: &Path) -> Option<Seal> {
    if !suspects::all(root).is_empty() {
        return None;
    }
    let text = fs::read_to_string(root.join("seal")).ok()?;
    serde_json::from_str(text.strip_prefix(VERSION)?).ok()
}

/// Leaves a seal in the store. It need not survive a power cut: nobody believes half of one.
///
/// # Errors
/// What can't be written. The store is none the worse.
pub fn write(root: &Path, seal: &Seal) -> Result<(), StoreError> {
    let text = format!("{VERSION}\n{}\n", serde_json::to_string(seal).expect("plain data always encodes"));
    files::replace_unsynced(&root.join("seal"), &temp(root), text.as_bytes())
}

fn temp(root: &Path) -> PathBuf {
    root.join(format!("tmp/seal-{}.tmp", std::process::id()))
}

/// What a look from outside sees of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glance {
    /// All of it, as one hash.
    pub world: Digest<16>,
    /// When any of it was changed last, by the clock of the file system.
    changed_ns: i128,
}

/// Two changes within a tick of the file system's clock look like one: after so long they don't, on most.
const TICK: Duration = Duration::from_millis(50);

impl Glance {
    /// The store as it is now; `None` where it can't be looked at.
    pub fn of(root: &Path) -> Option<Self> {
        let mut looked = Looked { hasher: Hasher::new("assets.glance.store.2"), changed_ns: 0 };
        looked.add("format", &fs::metadata(root.join("format")).ok()?);
        for folder in ["journal", "objects", "tables"] {
            looked.entries(&root.join(folder), folder == "journal").ok()?;
        }
        Some(Self { world: looked.hasher.finish(), changed_ns: looked.changed_ns })
    }

    /// The same, once every further change is sure to show: the file system's clock, by which a file is touched, has gone on
    /// since the last one. `None` where it does not within a tick.
    pub fn settled(root: &Path) -> Option<Self> {
        let probe = Output::emptied(&temp(root)).ok()?;
        let glance = Self::after(root, &probe);
        files::remove_if_there(&temp(root)).ok()?;
        glance
    }

    fn after(root: &Path, probe: &Output) -> Option<Self> {
        let begun = Instant::now();
        loop {
            let now_ns = changed_ns(&probe.metadata().ok()?);
            let glance = Self::of(root)?;
            if glance.changed_ns < now_ns {
                return Some(glance);
            }
            if begun.elapsed() > TICK {
                return None;
            }
            std::thread::sleep(Duration::from_millis(1));
            probe.touch().ok()?;
        }
    }

    /// Whether a change since then would show, going by the clock on the wall.
    pub fn is_settled(&self) -> bool {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let age_ns = now.ok().and_then(|now| i128::try_from(now.as_nanos()).ok()).map(|now| now - self.changed_ns);
        age_ns.is_some_and(|age| age >= TICK.as_nanos() as i128)
    }
}

struct Looked {
    hasher: Hasher,
    changed_ns: i128,
}

impl Looked {
    /// What is directly in a folder; of the journal its segments, as locks lie beside them.
    fn entries(&mut self, folder: &Path, segments: bool) -> io::Result<()> {
        let listed = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            listed => listed?,
        };
        let mut found = Vec::new();
        for entry in listed {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !segments || name.ends_with(".log") {
                found.push((name, fs::metadata(entry.path())?));
            }
        }
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.hasher.number(found.len() as u64);
        found.iter().for_each(|(name, metadata)| self.add(name, metadata));
        Ok(())
    }

    fn add(&mut self, name: &str, metadata: &Metadata) {
        let changed = changed_ns(metadata);
        self.changed_ns = self.changed_ns.max(changed);
        self.hasher.text(name).number(metadata.dev()).number(metadata.ino()).number(metadata.size());
        self.hasher.text(&changed.to_string()).text(&ns(metadata.mtime(), metadata.mtime_nsec()).to_string());
    }
}

fn ns(seconds: i64, rest: i64) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(rest)
}

fn changed_ns(metadata: &Metadata) -> i128 {
    ns(metadata.ctime(), metadata.ctime_nsec())
}
