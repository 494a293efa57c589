//! Files that were there before and are not any more: what they brought stays, with a warning, until the file comes back
//! or a person lets it go. What would have to be read again, because a setting changed, fails its steps.

use super::reading::{self, Outdated};
use super::{Intake, Listed};
use assets_core::ledger::Ledger;
use assets_core::record::{SliceRecord, SliceRef, SourceRecord};
use assets_core::source::{Identified, Vanished};
use assets_core::{Fingerprint, Partition, Reason, Step};
use std::collections::{BTreeMap, BTreeSet};

/// What is known of where a recorded file is.
#[derive(Clone, Copy)]
pub(super) enum Seen<'a> {
    /// It is there, and these readers read it.
    At(&'a Listed),
    /// Its folder can't be looked into.
    Unknown,
    /// It is not there, or no pattern names it.
    Nowhere,
}

impl Seen<'_> {
    /// Whether it is there no more for that reader.
    pub(super) fn is_lost_to(self, reader: usize) -> bool {
        match self {
            Self::At(file) => !file.readers.contains(&reader),
            Self::Unknown => false,
            Self::Nowhere => true,
        }
    }
}

/// What can't be read again: whose it is, the file, and why.
pub(super) type Lost = (usize, String, Outdated);

impl Intake {
    /// Tells that some slices of a file are not there any more, and notes which of them can't stand for what would be read
    /// now.
    pub(super) fn vanished(
        &self,
        identified: &mut Identified,
        record: &SourceRecord,
        gone: &[&SliceRecord],
        seen: Seen<'_>,
    ) -> Vec<Lost> {
        let steps: Vec<Step> = gone.iter().map(|slice| Step::new(&slice.asset, &slice.partition)).collect();
        let forgotten = match seen {
            Seen::At(_) => {
                let stays = |slice: &&SliceRecord| !gone.contains(slice);
                SourceRecord { slices: record.slices.iter().filter(stays).cloned().collect(), ..record.clone() }
            }
            Seen::Unknown | Seen::Nowhere => record.forgotten(),
        };
        let rows = gone.iter().map(|slice| slice.rows).sum();
        identified.vanished.push(Vanished { path: record.path.clone(), rows, steps: steps.clone(), forgotten });
        if gone.is_empty() {
            return Vec::new();
        }
        let warning = warning(record, gone);
        for step in &steps {
            if let Some(delivery) = identified.deliveries.get_mut(step) {
                delivery.warnings.push(warning.clone());
            }
        }
        identified.warnings.push(warning);
        let mut owners: BTreeMap<usize, Vec<&SliceRecord>> = BTreeMap::new();
        for slice in gone {
            if let Some(owner) = self.reader_of(&slice.asset) {
                owners.entry(owner).or_default().push(slice);
            }
        }
        let all: BTreeSet<usize> = owners.keys().copied().collect();
        let lost = owners.into_iter().filter_map(|(owner, slices)| {
            Some((owner, record.path.clone(), self.outdated(owner, record, &slices, &all)?))
        });
        lost.collect()
    }

    /// What of the slices of a reader can't be read again, though it would have to be.
    fn outdated(
        &self,
        owner: usize,
        record: &SourceRecord,
        slices: &[&SliceRecord],
        owners: &BTreeSet<usize>,
    ) -> Option<Outdated> {
        let patterns = &self.readers[owner];
        if let Some(before) = reading::before(patterns, record) {
            return patterns.reader.outdated(slices, &before);
        }
        // An earlier version of this program noted no settings, only a hash of them.
        let fingerprint = |readers: &mut dyn Iterator<Item = usize>| -> Fingerprint {
            self.fingerprint_of(readers.map(|at| self.readers[at].reader.fingerprint()).collect())
        };
        let is_same = record.reading == fingerprint(&mut owners.iter().copied())
            || record.reading == fingerprint(&mut (0..self.readers.len()));
        (!is_same).then(|| Outdated::all_of(slices, "how its rows are read", "", ""))
    }
}

/// Fails the steps that would have to read again what is not there any more.
pub(super) fn fail(intake: &Intake, identified: &mut Identified, lost: &[Lost]) {
    for (owner, path, outdated) in lost {
        let reason = outdated.reason(path);
        let assets = intake.readers[*owner].reader.assets();
        for (step, delivery) in &mut identified.deliveries {
            let concerns = |partitions: &BTreeSet<Partition>| partitions.contains(&step.partition);
            if assets.contains(&&step.asset) && outdated.partitions.as_ref().is_none_or(concerns) {
                delivery.failure.get_or_insert_with(|| reason.clone());
            }
        }
        identified.problems.push((path.clone(), reason));
    }
}

/// Fails the steps that were never made and read what is not there any more: no table holds its rows.
pub(super) fn fail_unstored(identified: &mut Identified, known: &Ledger) {
    let paths: BTreeSet<&str> = identified.vanished.iter().map(|file| file.path.as_str()).collect();
    for step in identified.vanished.iter().flat_map(|file| &file.steps).filter(|step| known.newest(step).is_none()) {
        let Some(delivery) = identified.deliveries.get_mut(step) else { continue };
        let is_here = |slice: &SliceRef| !paths.contains(slice.path.as_str());
        let has_copy = |slice: &SliceRef| delivery.slices.iter().any(|s| is_here(s) && s.hash == slice.hash);
        if let Some(slice) = delivery.slices.iter().find(|slice| !is_here(slice) && !has_copy(slice)) {
            let message = format!("{} is not there any more, and its rows were never stored", slice.path);
            let reason = Reason::new("source_vanished", message).with("path", slice.path.as_str());
            delivery.failure.get_or_insert(reason);
        }
    }
}

fn warning(record: &SourceRecord, gone: &[&SliceRecord]) -> Reason {
    let partitions: BTreeSet<&Partition> = gone.iter().map(|slice| &slice.partition).collect();
    let runs = partitions.iter().filter(|partition| !partition.is_none()).count();
    let (stay, it) = match runs {
        0 => ("its rows stay as they are".to_owned(), "them"),
        1 => ("its one run stays as it is".to_owned(), "it"),
        n => (format!("its {n} runs stay as they are"), "them"),
    };
    let message =
        format!("{} is not there any more (or no pattern names it); {stay}: `assets forget` lets {it} go", record.path);
    Reason::new("source_vanished", message).with("path", record.path.as_str()).with("runs", runs)
}
