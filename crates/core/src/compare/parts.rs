//! Columns that differ, by content hashes alone.

use crate::hash::{ContentHash, Fingerprint};
use crate::record::{OutputRecord, Part};
use std::collections::{BTreeMap, BTreeSet};

/// What became of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Its content hashes are the same.
    Equal,
    /// Some of them are not.
    Changed,
    /// Only the later version has it.
    Added,
    /// Only the earlier version has it.
    Removed,
    /// What it is computed from is what an earlier column of this name was computed from.
    Renamed(String),
}

impl Change {
    /// The word used everywhere.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Changed => "changed",
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Renamed(_) => "renamed",
        }
    }
}

/// A column of two versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnChange {
    /// Its name; that of the later version where it was renamed.
    pub column: String,
    /// What became of it.
    pub change: Change,
    /// The slices in which it differs; empty without slices.
    pub slices: Vec<String>,
}

type Slices<'a> = BTreeMap<Option<&'a str>, (ContentHash, Option<Fingerprint>)>;

fn by_column(parts: &[Part]) -> BTreeMap<&str, Slices<'_>> {
    let mut columns: BTreeMap<&str, Slices<'_>> = BTreeMap::new();
    for part in parts {
        let content = (part.hash, part.fingerprint);
        columns.entry(&part.id.column).or_default().insert(part.id.slice.as_deref(), content);
    }
    columns
}

/// Every column of either version: in `order` first, then by name.
pub fn columns(before: &OutputRecord, after: &OutputRecord, order: &[&str]) -> Vec<ColumnChange> {
    let (old, new) = (by_column(&before.parts), by_column(&after.parts));
    let mut gone: Vec<&str> = old.keys().filter(|name| !new.contains_key(*name)).copied().collect();
    let mut changes = Vec::new();
    for (name, now) in &new {
        let (change, slices) = match old.get(name) {
            Some(was) => {
                let differing: Vec<&Option<&str>> =
                    was.keys().chain(now.keys()).collect::<BTreeSet<_>>().into_iter().collect();
                let differing = differing.into_iter().filter(|slice| hash(was, slice) != hash(now, slice));
                let differing: Vec<&Option<&str>> = differing.collect();
                let change = if differing.is_empty() { Change::Equal } else { Change::Changed };
                (change, differing.into_iter().flatten().map(ToString::to_string).collect())
            }
            None => match gone.iter().position(|name| is_same(&old[name], now)) {
                Some(at) => (Change::Renamed(gone.remove(at).to_owned()), Vec::new()),
                None => (Change::Added, Vec::new()),
            },
        };
        changes.push(ColumnChange { column: (*name).to_owned(), change, slices });
    }
    let removed = |name: &str| ColumnChange { column: name.to_owned(), change: Change::Removed, slices: Vec::new() };
    changes.extend(gone.into_iter().map(removed));
    changes.sort_by_key(|change| order.iter().position(|name| *name == change.column).unwrap_or(usize::MAX));
    changes
}

fn hash(slices: &Slices<'_>, slice: &Option<&str>) -> Option<ContentHash> {
    slices.get(slice).map(|(hash, _)| *hash)
}

/// Whether two columns have the same fingerprints: neither holds the column's name. Unknown ones say nothing.
fn is_same(was: &Slices<'_>, now: &Slices<'_>) -> bool {
    was.len() == now.len()
        && was.iter().all(|(slice, (_, fingerprint))| {
            fingerprint.is_some() && now.get(slice).is_some_and(|(_, other)| other == fingerprint)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::Hasher;
    use crate::key::AssetName;
    use crate::record::{PartId, Stored};

    fn output(parts: &[(Option<&str>, &str, &str, Option<&str>)]) -> OutputRecord {
        let part = |(slice, column, hash, code): &(Option<&str>, &str, &str, Option<&str>)| Part {
            id: PartId { slice: slice.map(Into::into), column: (*column).into() },
            fingerprint: code.map(|code| Fingerprint(Hasher::new("test").text(code).finish())),
            hash: ContentHash(Hasher::new("test").text(hash).finish()),
        };
        OutputRecord {
            name: AssetName::new("t").expect("a name"),
            stored: Stored::Inline(Vec::new()),
            rows: 0,
            bytes: 0,
            parts: parts.iter().map(part).collect(),
            unavailable: Vec::new(),
        }
    }

    fn told(before: &OutputRecord, after: &OutputRecord) -> Vec<String> {
        let changes = columns(before, after, &["z", "a"]).into_iter();
        changes.map(|c| format!("{} {} {}", c.column, c.change.name(), c.slices.join("+")).trim().to_owned()).collect()
    }

    #[test]
    fn columns_by_name_and_fingerprint() {
        let before = output(&[
            (None, "a", "1", Some("a")),
            (None, "gone", "2", Some("g")),
            (None, "old", "3", Some("o")),
            (None, "unknown", "4", None),
            (None, "z", "5", None),
        ]);
        let after = output(&[
            (None, "a", "other", Some("a2")),
            (None, "fresh", "4", None),
            (None, "new", "3", Some("o")),
            (None, "z", "5", None),
        ]);
        let expected = ["z equal", "a changed", "fresh added", "new renamed", "gone removed", "unknown removed"];
        assert_eq!(told(&before, &after), expected);
    }

    #[test]
    fn slices_that_differ_come_or_go() {
        let before = output(&[(Some("1"), "a", "1", None), (Some("2"), "a", "2", None), (Some("3"), "a", "3", None)]);
        let after = output(&[(Some("1"), "a", "1", None), (Some("2"), "a", "x", None), (Some("4"), "a", "3", None)]);
        assert_eq!(told(&before, &after), ["a changed 2+3+4"]);
        assert_eq!(told(&before, &before), ["a equal"]);
    }
}
