//! A seal says that everything was fresh in a world that one hash stands for. While that hash stays the same, so does the
//! answer, and nobody has to work it out again: what a verdict follows from is the declarations, the settings, the
//! sources, the journal, and which files there are.
//!
//! Here is the store's share of the hash, by stats of its folders and segments: a file that comes, goes or is replaced
//! changes its folder, and what is written changes its segment. What that can't tell (an object changed in place, bytes
//! that rot) is found by whoever reads it next, and by `verify`.

use crate::error::StoreError;
use crate::files;
use crate::suspects;
use assets_core::hash::{Digest, Hasher};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const VERSION: &str = "assets seal 2";

/// That everything was fresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seal {
    /// What the world was.
    pub world: Digest<16>,
    /// How many steps there were.
    pub steps: u64,
    /// How many runs they were of, where nothing else was to be told of them.
    pub runs: Option<u64>,
}

impl Seal {
    /// The seal that a store has, if any; none while an object is known to be damaged.
    pub fn read(root: &Path) -> Option<Self> {
        if !suspects::all(root).is_empty() {
            return None;
        }
        let text = fs::read_to_string(root.join("seal")).ok()?;
        let mut words = text.strip_prefix(VERSION)?.split_ascii_whitespace();
        let (world, runs, steps) = (words.next()?, words.next()?, words.next()?);
        Some(Self { world: world.parse().ok()?, steps: steps.parse().ok()?, runs: runs.parse().ok() })
    }

    /// Leaves it in the store.
    ///
    /// # Errors
    /// What can't be written. The store is none the worse.
    pub fn write(&self, root: &Path) -> Result<(), StoreError> {
        let runs = self.runs.map_or_else(|| "-".to_owned(), |runs| runs.to_string());
        let text = format!("{VERSION}\n{} {runs} {}\n", self.world, self.steps);
        let temp = root.join(format!("tmp/seal-{}.tmp", std::process::id()));
        files::replace(&root.join("seal"), &temp, text.as_bytes())
    }
}

/// What a look from outside says of a store, as one hash; `None` where it can't be looked at, or was touched so lately
/// that a further change might not show.
pub fn glance(root: &Path) -> Option<Digest<16>> {
    let mut hasher = Hasher::new("assets.glance.store.1");
    add(&mut hasher, "format", &fs::metadata(root.join("format")).ok()?)?;
    for folder in ["journal", "objects", "tables"] {
        entries(&mut hasher, &root.join(folder), folder == "journal").ok()??;
    }
    Some(hasher.finish())
}

/// What is directly in a folder; of the journal its segments, as locks lie beside them.
fn entries(hasher: &mut Hasher, folder: &Path, segments: bool) -> io::Result<Option<()>> {
    let listed = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(())),
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
    hasher.number(found.len() as u64);
    Ok(found.iter().try_for_each(|(name, metadata)| add(hasher, name, metadata)))
}

/// Two changes within one tick of the file system's clock look like one.
const TICK_NS: i128 = 50_000_000;

fn add(hasher: &mut Hasher, name: &str, metadata: &Metadata) -> Option<()> {
    let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    let changed = nanoseconds(metadata.ctime(), metadata.ctime_nsec());
    let modified = nanoseconds(metadata.mtime(), metadata.mtime_nsec());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?.as_nanos();
    if i128::try_from(now).ok()? - changed.max(modified) < TICK_NS {
        return None;
    }
    hasher.text(name).number(metadata.dev()).number(metadata.ino()).number(metadata.size());
    hasher.text(&changed.to_string()).text(&modified.to_string());
    Some(())
}
