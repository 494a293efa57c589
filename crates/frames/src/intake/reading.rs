//! With which settings a file was read: noted beside its slices, so that, once the file is not there any more, it is known
//! which of them have changed since, and whether its rows can stand for what would be read now.

use super::listing::Patterns;
use assets_core::facts::Facts;
use assets_core::record::{SliceRecord, SourceRecord};
use assets_core::{Fact, Partition, Reason};
use std::collections::{BTreeMap, BTreeSet};

/// The code of the note among a source's warnings. It is no warning.
const NOTE: &str = "read_with";

/// Settings that decide how a file is read, by the names that people know.
pub type Settings = BTreeMap<String, String>;

/// What can't be read again: how a setting has changed, and what that concerns.
#[derive(Debug, Clone, PartialEq)]
pub struct Outdated {
    /// The setting.
    pub setting: String,
    /// Its value when the file was read.
    pub old: String,
    /// Its value now.
    pub new: String,
    /// The partitions whose rows may be others; `None` where nobody knows which.
    pub partitions: Option<BTreeSet<Partition>>,
}

impl Outdated {
    /// A setting that decides about all that was read of the file.
    pub fn all_of(slices: &[&SliceRecord], setting: &str, old: &str, new: &str) -> Self {
        let partitions = slices.iter().map(|slice| slice.partition.clone()).collect();
        let [setting, old, new] = [setting, old, new].map(str::to_owned);
        Self { setting, old, new, partitions: Some(partitions) }
    }

    /// Why what a file brought can't be used.
    pub(super) fn reason(&self, path: &str) -> Reason {
        let Self { setting, old, new, .. } = self;
        let what = if old.is_empty() {
            format!("{setting} changed since it was read")
        } else {
            format!("`{setting}` changed since it was read: {old} → {new}")
        };
        let message = format!(
            "{path} is not there any more, and {what}; its rows can't be read again: bring the file back, take the setting \
             back, or let the file go (`assets forget {path} --yes`)"
        );
        let reason = Reason::new("vanished_source_outdated", message).with("path", path);
        reason.with("setting", setting.as_str()).with("old", old.as_str()).with("new", new.as_str())
    }
}

/// What stands for a setting that isn't set.
pub const NOT_SET: &str = "(not set)";

/// Whether times that were read with one zone may be others with another: without one, only times that have their own
/// were read.
pub fn other_zone(old: Option<&String>, new: &str) -> bool {
    old.is_some_and(|old| old != new && old != NOT_SET)
}

fn key(patterns: &Patterns, setting: &str) -> String {
    let whose = patterns.reader.assets().first().map_or("", |name| name.as_str());
    format!("{whose}:{setting}")
}

fn note_of(record: &SourceRecord) -> Option<&Reason> {
    record.warnings.iter().find(|warning| warning.code == NOTE)
}

/// What people should be told of a source.
pub(super) fn warnings(record: &SourceRecord) -> impl Iterator<Item = Reason> {
    record.warnings.iter().filter(|warning| warning.code != NOTE).cloned()
}

/// The note that stays while a file can't be read.
pub(super) fn kept(known: Option<&SourceRecord>) -> Vec<Reason> {
    known.and_then(note_of).cloned().into_iter().collect()
}

/// A record with the note of what its slices were read with: of those readers that `stay` what was known before.
pub(super) fn noted(
    all: &[Patterns],
    readers: &[usize],
    stay: &BTreeSet<usize>,
    known: Option<&SourceRecord>,
    mut record: SourceRecord,
) -> SourceRecord {
    let mut facts = Facts::default();
    for (at, patterns) in all.iter().enumerate() {
        if stay.contains(&at) {
            let prefix = key(patterns, "");
            let before = known.and_then(note_of).into_iter().flat_map(|note| note.facts.iter());
            let own = before.filter(|(name, _)| name.starts_with(&prefix));
            facts.extend(own.map(|(name, fact)| (name.clone(), fact.clone())));
        } else if readers.contains(&at) {
            let settings = patterns.reader.settings();
            facts.extend(settings.into_iter().map(|(name, value)| (key(patterns, &name), Fact::Text(value))));
        }
    }
    record.warnings.retain(|warning| warning.code != NOTE);
    let note = Reason::new(NOTE, "the settings that it was read with");
    record.warnings.push(Reason { facts, ..note });
    record
}

/// The record of a file that need not be read again, with the note that an earlier version of this program did not keep.
pub(super) fn with_note(all: &[Patterns], readers: &[usize], record: &SourceRecord) -> SourceRecord {
    if note_of(record).is_some() {
        return record.clone();
    }
    let stay = (0..all.len()).filter(|at| !readers.contains(at)).collect();
    noted(all, readers, &stay, Some(record), record.clone())
}

/// What a reader's settings were when the file was read, where that is known.
pub(super) fn before(patterns: &Patterns, record: &SourceRecord) -> Option<Settings> {
    let prefix = key(patterns, "");
    let facts = &note_of(record)?.facts;
    let own = facts.iter().filter_map(|(name, fact)| match fact {
        Fact::Text(value) => Some((name.strip_prefix(&prefix)?.to_owned(), value.clone())),
        _ => None,
    });
    Some(own.collect())
}
