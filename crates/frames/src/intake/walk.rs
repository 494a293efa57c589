//! What a pattern names. A `**` means every folder below, but none that a symbolic link leads to: such a link can lead out of
//! the sources, to `/` say, or round in a circle. A link that the pattern itself names is followed.

use glob::{Pattern, PatternError};
use std::collections::BTreeSet;
use std::fs;
use std::io::Error;
use std::path::{Path, PathBuf};

/// Adds what a pattern names, in order; tells of folders that can't be looked into.
pub(super) fn matching(
    pattern: &str,
    found: &mut Vec<PathBuf>,
    problem: &mut dyn FnMut(&Path, &Error),
) -> Result<(), PatternError> {
    Pattern::new(pattern)?;
    let Some((above, below)) = at_stars(pattern) else { return plain(pattern, found, problem) };
    let mut tops = Vec::new();
    if above.contains(['*', '?', '[']) {
        plain(above, &mut tops, problem)?;
    } else {
        tops.push(PathBuf::from(above));
    }
    let mut all = BTreeSet::new();
    let mut below_tops = Vec::new();
    tops.iter().for_each(|top| below_tops.extend(folders(top, problem)));
    for folder in below_tops {
        let Some(text) = folder.to_str() else {
            problem(&folder, &Error::other("its name is not UTF-8"));
            continue;
        };
        let mut here = Vec::new();
        let inside = Path::new(&Pattern::escape(text)).join(below);
        matching(&inside.to_string_lossy(), &mut here, problem)?;
        all.extend(here);
    }
    found.extend(all);
    Ok(())
}

/// A pattern without `**`.
fn plain(pattern: &str, found: &mut Vec<PathBuf>, problem: &mut dyn FnMut(&Path, &Error)) -> Result<(), PatternError> {
    for entry in glob::glob(pattern)? {
        match entry {
            Ok(path) => found.push(path),
            Err(error) => problem(error.path(), error.error()),
        }
    }
    Ok(())
}

/// What stands above the first `**` of a pattern, and what below its last neighbour. At the end of a pattern it names
/// folders only, which are no files.
fn at_stars(pattern: &str) -> Option<(&str, &str)> {
    let at = if pattern.starts_with("**/") { 0 } else { pattern.find("/**/")? + 1 };
    let (above, mut below) = (&pattern[..at], &pattern[at + 3..]);
    while let Some(rest) = below.strip_prefix("**/") {
        below = rest;
    }
    Some((if above.is_empty() { "." } else { above }, below))
}

/// A folder and all below it, links not followed; nothing where there is none.
fn folders(top: &Path, problem: &mut dyn FnMut(&Path, &Error)) -> Vec<PathBuf> {
    if !top.is_dir() {
        return Vec::new();
    }
    let (mut all, mut open) = (Vec::new(), vec![top.to_owned()]);
    while let Some(folder) = open.pop() {
        match fs::read_dir(&folder) {
            Ok(entries) => {
                let folders = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
                open.extend(folders.map(|entry| entry.path()));
            }
            Err(error) => problem(&folder, &error),
        }
        all.push(folder);
    }
    all
}
