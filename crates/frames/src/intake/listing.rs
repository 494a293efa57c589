//! Which files there are, and what a stat says of each.

use super::{FileReader, unreadable, walk};
use assets_core::hash::{ByteHasher, Digest, Hasher};
use assets_core::record::FileStat;
use assets_core::{ObjectId, Reason};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// A stat younger than this may hide a later write within the clock's grain.
const STAT_TRUST_NS: i128 = 2_000_000_000;

/// Files by patterns, and who reads them.
pub struct Patterns {
    /// Patterns, as the settings name them.
    pub patterns: Vec<String>,
    /// What they are relative to.
    pub base: PathBuf,
    /// Who reads what they name.
    pub reader: Arc<dyn FileReader>,
}

/// A listed file.
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// Who reads it: places among the patterns.
    pub(super) readers: Vec<usize>,
}

/// What the patterns give.
#[derive(Default)]
pub(super) struct Listing {
    pub(super) files: Vec<Listed>,
    /// What could not be listed: a path, and why.
    pub(super) problems: Vec<(String, Reason)>,
    /// Names that are no patterns, and no files.
    pub(super) missing: Vec<String>,
}

/// Lists all files, sorted by name. One file by two spellings or links is one source; the first that names it names it.
pub(super) fn list(all: &[Patterns]) -> Result<Listing, Reason> {
    let mut listing = Listing::default();
    let mut found: BTreeMap<String, Listed> = BTreeMap::new();
    let (mut seen, mut folders) = (HashMap::<PathBuf, String>::new(), HashMap::new());
    for (reader, own) in all.iter().enumerate() {
        for path in paths(own, &mut listing)? {
            let place = place_of(&path, &mut folders).unwrap_or_else(|_| path.clone());
            let name = seen.entry(place.clone()).or_insert_with(|| {
                let name = own.name_of(&path);
                // Another file of that name, relative to elsewhere.
                if found.contains_key(&name) { place.display().to_string() } else { name }
            });
            let file = found.entry(name.clone());
            let file = file.or_insert_with(|| Listed { name: name.clone(), path, readers: Vec::new() });
            if file.readers.last() != Some(&reader) {
                file.readers.push(reader);
            }
        }
    }
    listing.files = found.into_values().collect();
    Ok(listing)
}

/// Where a file really is. Its folder is asked for once: that looks at every part of a path.
fn place_of(path: &Path, folders: &mut HashMap<PathBuf, PathBuf>) -> std::io::Result<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let (Some(folder), Some(name)) = (folder, path.file_name()) else { return fs::canonicalize(path) };
    if fs::symlink_metadata(path)?.is_symlink() {
        return fs::canonicalize(path);
    }
    if let Some(folder) = folders.get(folder) {
        return Ok(folder.join(name));
    }
    let place = fs::canonicalize(folder)?;
    let file = place.join(name);
    folders.insert(folder.to_owned(), place);
    Ok(file)
}

/// Names, readers and stats of all files, as one hash; `None` where anything is amiss, or a stat too young to trust.
pub(super) fn glance(all: &[Patterns]) -> Option<Digest<16>> {
    let listing = list(all).ok().filter(|listing| listing.problems.is_empty() && listing.missing.is_empty())?;
    let mut hasher = Hasher::new("assets.glance.sources.1");
    hasher.number(listing.files.len() as u64);
    for file in &listing.files {
        let stat = stat_of(&fs::metadata(&file.path).ok().filter(fs::Metadata::is_file)?);
        if !is_old_enough(&stat) {
            return None;
        }
        hasher.text(&file.name).text(&file.path.to_string_lossy()).number(file.readers.len() as u64);
        for reader in &file.readers {
            hasher.number(*reader as u64);
        }
        hasher.number(stat.device).number(stat.inode).number(stat.bytes);
        hasher.number(stat.mtime_ns.cast_unsigned()).number(stat.ctime_ns.cast_unsigned());
    }
    Some(hasher.finish())
}

impl Patterns {
    fn name_of(&self, path: &Path) -> String {
        path.strip_prefix(&self.base).unwrap_or(path).display().to_string()
    }
}

fn paths(own: &Patterns, listing: &mut Listing) -> Result<Vec<PathBuf>, Reason> {
    let mut all = Vec::new();
    for pattern in &own.patterns {
        let full = own.base.join(pattern);
        let bad = |error: &dyn std::fmt::Display| {
            Reason::new("bad_source_pattern", format!("the source pattern `{pattern}` can't be used: {error}"))
        };
        let text = full.to_str().ok_or_else(|| bad(&"it is not UTF-8"))?;
        // A file whose own name holds `[` or `*` is meant literally.
        let mut paths = Vec::new();
        if full.is_file() {
            paths.push(full.clone());
        } else {
            let mut problem = |path: &Path, error: &std::io::Error| {
                let name = own.name_of(path);
                listing.problems.push((name.clone(), unreadable(&name, error)));
            };
            walk::matching(text, &mut paths, &mut problem).map_err(|error| bad(&error))?;
        }
        let names_one = !pattern.contains(['*', '?', '[']);
        if paths.is_empty() && names_one {
            listing.missing.push(own.name_of(&full));
        }
        all.extend(paths.into_iter().filter(|path| !path.is_dir()));
    }
    Ok(all)
}

pub(super) fn stat_of(metadata: &fs::Metadata) -> FileStat {
    FileStat {
        device: metadata.dev(),
        inode: metadata.ino(),
        bytes: metadata.size(),
        mtime_ns: metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec(),
        ctime_ns: metadata.ctime() * 1_000_000_000 + metadata.ctime_nsec(),
    }
}

pub(super) fn is_old_enough(stat: &FileStat) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i128);
    now - i128::from(stat.ctime_ns.max(stat.mtime_ns)) > STAT_TRUST_NS
}

pub(super) fn hash_file(path: &Path) -> std::io::Result<ObjectId> {
    let mut file = fs::File::open(path)?;
    let mut hasher = ByteHasher::default();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            read => hasher.update(&buffer[..read]),
        }
    }
}
