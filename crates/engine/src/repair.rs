//! Puts right what is published, from what is stored: good copies come back as objects, damaged tables go, and every
//! table whose object is there is published again.

use crate::EngineError;
use crate::plan::is_there;
use crate::publish::{Publisher, ordinals};
use assets_core::catalog::{Past, Records};
use assets_core::compute::Packer;
use assets_core::graph::Graph;
use assets_core::ledger::Ledger;
use assets_core::record::Stored;
use assets_core::table_store::{Object, TableFile, TableStore};
use assets_core::{ObjectId, Reason, Step};
use std::io;

/// What was done, as a sentence each, and what can't be published until a build has made it.
#[derive(Debug, Default)]
pub struct Repaired {
    /// What was done.
    pub done: Vec<Reason>,
    /// What stays as it was.
    pub left: Vec<Reason>,
}

/// Restores, removes and publishes.
pub fn publish(
    graph: &Graph,
    ledger: &Ledger,
    records: &dyn Records,
    tables: &dyn TableStore,
    packer: &dyn Packer,
) -> Result<Repaired, EngineError> {
    let mut repaired = Repaired::default();
    for (step, tip) in ledger.steps().filter(|(step, _)| graph.has_step(step)) {
        for output in tip.record().into_iter().flat_map(|record| &record.outputs) {
            let Some(decl) = graph.output(output.name.as_str()).filter(|decl| !decl.packed) else { continue };
            let (Stored::Object(object), file) = (&output.stored, TableFile::of(&decl.name, &step.partition)) else {
                continue;
            };
            if tables.check(object).is_ok() || !tables.is_published(&file) {
                continue;
            }
            if tables.is_published_as(&file, object)? {
                restore(tables, &file)?;
                repaired.done.push(about(
                    &file,
                    "object_restored",
                    "was a good copy of a lost object, which is there again",
                ));
            } else if !was_published(records, tables, step, &file)? {
                tables.sweep(&file.output, &|stem| stem == file.stem)?;
                repaired.done.push(about(
                    &file,
                    "table_removed",
                    "was damaged, and is not published until it is made again",
                ));
            }
        }
    }
    let mut publisher = Publisher::new(graph, tables, packer);
    for step in publisher.missing(ledger) {
        if let Some(record) = ledger.newest(&step).filter(|record| is_there(tables, record)) {
            publisher.step(record)?;
        }
    }
    repaired.left = publisher.write(publisher.views(ledger, &ordinals(graph, ledger)))?;
    publisher.sweep(ledger)?;
    let whole = ledger.steps().filter(|(step, _)| graph.has_step(step)).filter_map(|(_, tip)| tip.record());
    let lost = whole.filter(|record| !is_there(tables, record));
    repaired.left.extend(lost.map(|record| {
        let message = format!("{} is lost until a build makes it again", record.step);
        Reason::new("lost_object", message).with("asset", record.step.asset.as_str())
    }));
    Ok(repaired)
}

fn about(file: &TableFile, code: &str, what: &str) -> Reason {
    let message = format!("{}/{}.parquet {what}", file.output, file.stem);
    Reason::new(code, message).with("output", file.output.as_str())
}

/// Whether a published file is what an earlier record of its step stored: then it stays until there is a newer one.
fn was_published(
    records: &dyn Records,
    tables: &dyn TableStore,
    step: &Step,
    file: &TableFile,
) -> Result<bool, EngineError> {
    for past in records.history(step)? {
        let Past::Record(_, record) = past else { continue };
        let own = record.outputs.iter().filter(|output| output.name == file.output);
        let objects: Vec<&ObjectId> = own
            .filter_map(|output| match &output.stored {
                Stored::Object(object) => Some(object),
                Stored::Inline(_) => None,
            })
            .collect();
        for object in objects {
            if tables.is_published_as(file, object)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Makes an object of a published file again.
fn restore(tables: &dyn TableStore, file: &TableFile) -> Result<(), EngineError> {
    let mut staged = tables.stage()?;
    let copied = match tables.open_published(file)? {
        Object::File(mut from) => io::copy(&mut from, staged.as_mut()).map(drop),
        Object::Bytes(bytes) => staged.write_all(&bytes),
    };
    let failed = |error: io::Error| {
        EngineError::Other(Reason::new("io_error", format!("{}/{}: {error}", file.output, file.stem)))
    };
    copied.map_err(failed)?;
    staged.put()?;
    Ok(())
}
