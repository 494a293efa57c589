//! Inputs over all partitions: what a step reads of each is one entry in its record, whatever the number of columns, so
//! that a change of one partition can be named and the record stays small.
//!
//! Not here: which partitions there are, and which are left out (that is the planner's).

use crate::asset::{AssetDecl, InputDecl, Mapping};
use crate::executor::StepInput;
use crate::freshness;
use crate::hash::{ContentHash, Hasher};
use crate::key::Partition;
use crate::reason::{Reason, plural};
use crate::record::{InputRecord, OutputRecord, PartId};
use std::collections::BTreeMap;

/// Stands for all that is read of a partition.
const ALL_THAT_IS_READ: &str = "*";
/// Partitions that a reason names; the others are counted.
pub const NAMED: usize = 3;

/// The entry of a partition among the parts of an input.
pub fn entry(partition: &Partition) -> PartId {
    // Several keys joined could be read in two ways; the name of a file can't.
    let name = if partition.keys().len() == 1 { partition.run() } else { None };
    PartId { slice: Some(name.unwrap_or_else(|| partition.file_stem()).into()), column: ALL_THAT_IS_READ.into() }
}

/// What a step reads of one partition: number of rows and parts, or the reasons for which those can't be known.
pub fn read_of(input: &InputDecl, output: &OutputRecord) -> ContentHash {
    let read = freshness::read_of(input, output);
    let mut hasher = Hasher::new("assets.over_all.1");
    hasher.number(read.rows).number(read.parts.len() as u64);
    for (id, hash) in &read.parts {
        hasher.optional(id.slice.as_deref()).text(&id.column).bytes(hash.0.as_bytes());
    }
    ContentHash(hasher.finish())
}

/// What stands for a partition that is to be made for the first time: it equals nothing that is recorded.
pub fn not_known_yet() -> ContentHash {
    ContentHash(Hasher::new("assets.over_all.open.1").finish())
}

/// What a step reads of an input over all partitions: an entry for each.
pub fn record(input: &InputDecl, rows: u64, mut entries: Vec<(PartId, ContentHash)>) -> InputRecord {
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    InputRecord { output: input.output.clone(), rows, parts: entries }
}

/// What a step reads of each of its inputs, from the tables that it was given: those of an input over all partitions
/// follow each other.
pub fn given(asset: &AssetDecl, tables: &[StepInput]) -> Vec<InputRecord> {
    let mut rest = tables;
    let read = asset.inputs.iter().filter_map(|input| {
        let own = match input.mapping {
            Mapping::Identity => usize::from(!rest.is_empty()),
            Mapping::All => rest.iter().take_while(|table| table.output.name == input.output).count(),
        };
        let (own, others) = rest.split_at(own);
        rest = others;
        if input.mapping == Mapping::Identity {
            return own.first().map(|table| freshness::read_of(input, &table.output));
        }
        let rows = own.iter().map(|table| table.output.rows).sum();
        let entries = own.iter().map(|table| (entry(&table.partition), read_of(input, &table.output)));
        Some(record(input, rows, entries.collect()))
    });
    read.collect()
}

/// Whether both are records of an input over all partitions.
pub(crate) fn is_over_all(before: &InputRecord, now: &InputRecord) -> bool {
    let is_entry = |(id, _): &(PartId, ContentHash)| id.slice.is_some() && id.column == ALL_THAT_IS_READ;
    let all = |record: &InputRecord| record.parts.iter().all(is_entry);
    !(before.parts.is_empty() && now.parts.is_empty()) && all(before) && all(now)
}

/// Which partitions came, went or changed.
pub(crate) fn differences(before: &InputRecord, now: &InputRecord) -> Vec<Reason> {
    fn entries(record: &InputRecord) -> BTreeMap<&str, ContentHash> {
        record.parts.iter().map(|(id, hash)| (id.slice.as_deref().unwrap_or_default(), *hash)).collect()
    }
    let (was, is) = (entries(before), entries(now));
    let changed: Vec<&str> =
        is.iter().filter(|(run, hash)| was.get(*run).is_some_and(|old| old != *hash)).map(|(run, _)| *run).collect();
    let added: Vec<&str> = is.keys().filter(|run| !was.contains_key(*run)).copied().collect();
    let removed: Vec<&str> = was.keys().filter(|run| !is.contains_key(*run)).copied().collect();
    let input = now.output.as_str();
    let found = [
        ("input_changed", &changed, format!("{input} changed in {}", counted(&changed))),
        ("run_added", &added, format!("{input} has {} more: {}", runs(&added), named(&added))),
        ("run_removed", &removed, format!("{input} has {} less: {}", runs(&removed), named(&removed))),
    ];
    let found = found.into_iter().filter(|(_, which, _)| !which.is_empty());
    found.map(|(code, which, message)| about(Reason::new(code, message).with("input", input), which)).collect()
}

/// Adds the first few partitions, and how many there are, as facts.
#[must_use]
pub fn about(reason: Reason, which: &[&str]) -> Reason {
    let first: Vec<String> = which.iter().take(NAMED).map(|run| (*run).to_owned()).collect();
    reason.with("runs", first).with("count", which.len())
}

fn runs(which: &[&str]) -> String {
    plural(which.len() as u64, "run")
}

/// `run a`, or `5 runs: a, b, c and 2 more`.
pub fn counted(which: &[&str]) -> String {
    match which {
        [one] => format!("run {one}"),
        _ => format!("{}: {}", runs(which), named(which)),
    }
}

/// At most three names; the others are counted.
pub fn named(which: &[&str]) -> String {
    match which {
        [first @ .., last] if !first.is_empty() && which.len() <= NAMED => format!("{} and {last}", first.join(", ")),
        _ if which.len() <= NAMED => which.concat(),
        _ => format!("{} and {} more", which[..NAMED].join(", "), which.len() - NAMED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::AssetName;

    fn read(entries: &[(&str, u64)]) -> InputRecord {
        let input = InputDecl::all(AssetName::new("stats").expect("a name")).over_all();
        let entries = entries.iter().map(|(run, value)| {
            let mut hasher = Hasher::new("test");
            (entry(&Partition::one("run", run)), ContentHash(hasher.number(*value).finish()))
        });
        record(&input, 0, entries.collect())
    }

    #[test]
    fn changes_name_three_runs_and_count_the_others() {
        let before = read(&[("a", 1), ("b", 1), ("c", 1)]);
        assert!(is_over_all(&before, &before) && differences(&before, &before).is_empty());
        let now = read(&[("a", 2), ("c", 1), ("r1", 1), ("r2", 1), ("r3", 1), ("r4", 1)]);
        let told: Vec<(String, String)> =
            differences(&before, &now).into_iter().map(|reason| (reason.code, reason.message)).collect();
        let expected = [
            ("input_changed", "stats changed in run a"),
            ("run_added", "stats has 4 runs more: r1, r2, r3 and 1 more"),
            ("run_removed", "stats has 1 run less: b"),
        ];
        assert_eq!(told, expected.map(|(code, message)| (code.to_owned(), message.to_owned())));
        assert_eq!(named(&["a", "b"]), "a and b");
        assert_eq!(counted(&["a", "b", "c"]), "3 runs: a, b and c");
    }

    #[test]
    fn keys_that_join_alike_are_different_entries() {
        let two = |day, station| entry(&Partition::many([("day", day), ("station", station)]));
        assert_ne!(two("1,2", "x"), two("1", "2,x"));
        assert_eq!(entry(&Partition::one("run", "a/b")).slice.as_deref(), Some("a/b"));
    }
}
