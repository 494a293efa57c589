//! What keeps a store well: `gc` and `doctor`, between the command line's words and the store's.

use assets_cli::app::{Diagnosis, GcCompaction, GcFound, GcGarbage, GcOptions, Level, Pin};
use assets_core::Step;
use assets_core::catalog::{Holder, Records};
use assets_core::graph::Graph;
use assets_core::hash::RecordId;
use assets_core::ledger::Ledger;
use assets_core::reason::plural;
use assets_core::record::StepRecord;
use assets_core::source::Source;
use assets_store::pins::{self, Pinned};
use assets_store::{Store, StoreError, Wait, Writer, doctor, gc};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Looks for what the store can do without, and removes it if asked to.
pub(crate) fn gc(
    store: &Path,
    graph: &Graph,
    store_max: Option<u64>,
    options: &GcOptions,
    on_wait: &mut dyn FnMut(&Holder),
) -> Result<GcFound, StoreError> {
    let keep = gc::Keep {
        versions: usize::from(options.versions),
        younger_than: options.younger_than,
        max_bytes: options.max_bytes.or(store_max),
        is_step: &|step: &Step| graph.has_step(step),
        is_output: &|name| graph.output(name.as_str()).is_some(),
        undeclared: options.undeclared,
    };
    let wait = if options.wait { Wait::Forever } else { Wait::No };
    let found = if options.remove { gc::collect(store, &keep, wait, on_wait)? } else { gc::look(store, &keep)? };
    let garbage = found.garbage.into_iter();
    let garbage = garbage.map(|g| GcGarbage { kind: g.kind.name(), path: g.path, bytes: g.bytes, step: g.step });
    Ok(GcFound {
        garbage: garbage.collect(),
        bytes_left: found.bytes_left,
        is_too_large: found.is_too_large,
        undeclared: found.undeclared,
        compaction: found.compaction.map(|done| GcCompaction {
            entries: done.entries,
            bytes: done.bytes,
            index_bytes: done.index_bytes,
        }),
        no_store: (!store.join("format").exists()).then(|| store.to_owned()),
    })
}

/// What is kept by name.
pub(crate) fn pins(store: &Path) -> Result<BTreeMap<String, Pin>, StoreError> {
    let pin = |pinned: Pinned| Pin { steps: pinned.records.len(), objects: pinned.objects };
    Ok(pins::read(store)?.into_iter().map(|(name, pinned)| (name, pin(pinned))).collect())
}

/// Keeps records by a name.
pub(crate) fn pin(writer: &Writer, name: &str, records: &[(&Step, RecordId, &StepRecord)]) -> Result<(), StoreError> {
    let mut pinned = Pinned::default();
    records.iter().for_each(|(step, id, record)| pinned.add(step, *id, record));
    writer.pin(name, &pinned)
}

/// Looks at the surroundings: of the store, and at the sources.
pub(crate) fn doctor(store: &Path, source: &dyn Source, store_max: Option<u64>) -> Vec<Diagnosis> {
    let mut findings: Vec<Diagnosis> = doctor::examine(store).into_iter().map(finding).collect();
    if let Some(max) = store_max {
        findings.push(size(doctor::bytes(store), max));
    }
    // What is recorded of sources tells which are gone; where it can't be read, that is said above.
    let ledger = Store::open_reader(store).ok().and_then(|reader| reader.ledger().ok()).unwrap_or_default();
    findings.extend(sources(source, &ledger));
    findings
}

fn finding(found: doctor::Finding) -> Diagnosis {
    let level = match found.level {
        doctor::Level::Ok => Level::Ok,
        doctor::Level::Warn => Level::Warn,
        doctor::Level::Bad => Level::Bad,
    };
    Diagnosis { check: found.check.to_owned(), level, message: found.message, advice: found.advice }
}

fn size(bytes: u64, max: u64) -> Diagnosis {
    let message = format!("the store has {} MB, `store_max` says {} MB", bytes / 1_000_000, max / 1_000_000);
    let is_above = bytes > max;
    let advice = is_above.then(|| "`assets gc` shows what would go".to_owned());
    Diagnosis { check: "size".to_owned(), level: if is_above { Level::Warn } else { Level::Ok }, message, advice }
}

fn sources(source: &dyn Source, ledger: &Ledger) -> Vec<Diagnosis> {
    let line = |level, message: String, advice: Option<&str>| Diagnosis {
        check: "sources".to_owned(),
        level,
        message,
        advice: advice.map(str::to_owned),
    };
    let identified = match source.identify(ledger, false) {
        Ok(identified) => identified,
        Err(reason) => return vec![line(Level::Bad, reason.message, Some("see `sources` in assets.toml"))],
    };
    let mut findings: Vec<Diagnosis> = Vec::new();
    for (_, reason) in &identified.problems {
        findings.push(line(Level::Bad, reason.message.clone(), Some("the runs it brings fail until it can be read")));
    }
    for warning in &identified.warnings {
        findings.push(line(Level::Warn, warning.message.clone(), None));
    }
    let now_ns = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let now_ns = i64::try_from(now_ns).unwrap_or(i64::MAX).saturating_add(2_000_000_000);
    let known = ledger.sources().values().chain(&identified.changed);
    for record in known.filter(|record| record.stat.is_some_and(|stat| stat.mtime_ns > now_ns)) {
        let message = format!("{} was changed in the future", record.path);
        findings.push(line(Level::Warn, message, Some("set the clock of the machine that writes it")));
    }
    match identified.files {
        0 if findings.is_empty() => {
            findings.push(line(
                Level::Warn,
                "no file matches".to_owned(),
                Some("see `sources` and `files` in assets.toml"),
            ));
        }
        files => findings.push(line(Level::Ok, format!("{} looked at", plural(files as u64, "file")), None)),
    }
    findings
}
