//! Whether what is stored and published is what the records say, and whether making a step again gives the same.
//!
//! Not here: files, frames of the journal, hashes of bytes: the backend of the store looks at these.

use crate::discard::{Counted, Discard};
use crate::plan::{self, Plan, PlannedStep, World};
use crate::publish;
use crate::request;
use assets_core::catalog::{Past, Records};
use assets_core::compute::{Examiner, Packer, Worker};
use assets_core::executor::PartTask;
use assets_core::finding::Finding;
use assets_core::freshness::State;
use assets_core::graph::Graph;
use assets_core::ledger::{Ledger, Tip};
use assets_core::record::{OutputRecord, StepRecord, Stored};
use assets_core::table_store::{TableFile, TableStore};
use assets_core::{AssetDecl, ObjectId, OutputDecl, Reason, Step};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is looked at, and by whom.
pub struct Verification<'a> {
    /// The declared assets.
    pub graph: &'a Graph,
    /// What is recorded.
    pub ledger: &'a Ledger,
    /// What was recorded.
    pub records: &'a dyn Records,
    /// What is stored and published.
    pub tables: &'a dyn TableStore,
    /// Who looks into tables.
    pub examiner: &'a dyn Examiner,
    /// Who writes views over many steps.
    pub packer: &'a dyn Packer,
    /// Whether all that is recorded should be published: no build was interrupted.
    pub all_published: bool,
}

/// What was found, and how much was looked at.
#[derive(Debug, Default)]
pub struct Verified {
    /// What was found.
    pub findings: Vec<Finding>,
    /// Tables that were read and compared with their records.
    pub tables: usize,
    /// Published files that were compared.
    pub published: usize,
}

impl Verification<'_> {
    /// Every newest record against what is stored of it, every published file against its records.
    pub fn run(&self) -> Verified {
        let mut verified = Verified::default();
        let mut tips: Vec<(&Step, &Tip)> = self.ledger.steps().filter(|(step, _)| self.graph.has_step(step)).collect();
        tips.sort_by_key(|(step, _)| *step);
        for (step, tip) in tips {
            let Some(asset) = self.graph.asset(step.asset.as_str()) else { continue };
            for output in tip.record().into_iter().flat_map(|record| &record.outputs) {
                verified.findings.extend(self.stored(asset, step, output));
                verified.tables += 1;
                let Some(decl) = self.graph.output(output.name.as_str()).filter(|decl| !decl.packed) else { continue };
                if let Stored::Object(object) = &output.stored {
                    let file = TableFile::of(&decl.name, &step.partition);
                    verified.findings.extend(self.published(step, &file, object));
                    verified.published += 1;
                }
            }
        }
        let ordinals = publish::ordinals(self.graph, self.ledger);
        for (file, rows) in publish::views(self.graph, self.ledger, &ordinals, &|_, _| true) {
            let Some(decl) = self.graph.output(file.output.as_str()) else { continue };
            let rows: Vec<&OutputRecord> = rows.into_iter().map(|(_, _, output)| output).collect();
            verified.findings.extend(self.view(decl, &file, &rows));
            verified.published += 1;
        }
        verified
    }

    /// What is stored of an output against its record.
    fn stored(&self, asset: &AssetDecl, step: &Step, output: &OutputRecord) -> Option<Finding> {
        let sound = match &output.stored {
            Stored::Object(object) => self.tables.check(object).map_err(|error| error.reason),
            Stored::Inline(_) => Ok(()),
        };
        let reason = match sound.and_then(|()| self.examiner.examine(asset, output)) {
            Ok(()) => return None,
            // The look at all objects tells of it.
            Err(reason) if reason.code == "object_damaged" => return None,
            Err(reason) => reason,
        };
        let reason = reason.with("output", output.name.as_str());
        Some(Finding::problem(reason).of(step).rebuilt())
    }

    /// A published file that is one object.
    fn published(&self, step: &Step, file: &TableFile, object: &ObjectId) -> Option<Finding> {
        match self.tables.is_published_as(file, object) {
            Ok(true) => None,
            Err(error) => Some(Finding::problem(error.reason).of(step)),
            // That its object is lost is told by itself.
            Ok(false) if !self.tables.is_published(file) && !self.tables.contains(object) => None,
            Ok(false) if !self.tables.is_published(file) => Some(self.not_published(file).of(step)),
            Ok(false) if self.is_older(step, file) => Some(self.outdated(file).of(step)),
            Ok(false) => Some(self.damaged(file, "it is not what was published").of(step)),
        }
    }

    /// Whether an earlier record of the step was published as that.
    fn is_older(&self, step: &Step, file: &TableFile) -> bool {
        let past = self.records.history(step).unwrap_or_default();
        past.iter().any(|past| match past {
            Past::Record(_, record) => {
                let mut own = record.outputs.iter().filter(|output| output.name == file.output);
                own.any(|output| match &output.stored {
                    Stored::Object(object) => self.tables.is_published_as(file, object).unwrap_or(false),
                    Stored::Inline(_) => false,
                })
            }
            Past::Attempt(_) => false,
        })
    }

    /// A published file with the rows of many steps.
    fn view(&self, decl: &OutputDecl, file: &TableFile, rows: &[&OutputRecord]) -> Option<Finding> {
        if !self.tables.is_published(file) {
            return Some(self.not_published(file));
        }
        let mut written = Counted::default();
        if self.packer.pack(decl, rows, &mut written).is_ok()
            && self.tables.is_published_as(file, &written.object()).unwrap_or(false)
        {
            return None;
        }
        let view = match self.tables.open_published(file) {
            Ok(view) => view,
            Err(error) => return Some(Finding::problem(error.reason)),
        };
        match self.examiner.holds(view, decl, rows) {
            Ok(true) => {
                Some(self.damaged(file, "its rows are right, its bytes are not those that are written of them"))
            }
            Ok(false) if !self.all_published => Some(self.outdated(file)),
            Ok(false) => Some(self.damaged(file, "it has other rows than are recorded")),
            // What it is made from is told by itself.
            Err(reason) if matches!(&*reason.code, "object_damaged" | "object_missing") => None,
            Err(reason) => Some(self.damaged(file, &reason.message)),
        }
    }

    fn place(&self, file: &TableFile) -> String {
        let name = format!("{}.parquet", file.stem);
        let folder = self.tables.folder(&file.output);
        folder.map_or_else(|| format!("{}/{name}", file.output), |folder| folder.join(&name).display().to_string())
    }

    fn about(&self, file: &TableFile, code: &str, what: &str) -> Reason {
        let place = self.place(file);
        Reason::new(code, format!("{place} {what}")).with("path", place).with("output", file.output.as_str())
    }

    fn not_published(&self, file: &TableFile) -> Finding {
        let reason = self.about(file, "table_missing", "is recorded and not published");
        self.after_a_build(reason).repaired("publishes it")
    }

    fn outdated(&self, file: &TableFile) -> Finding {
        let reason = self.about(file, "table_outdated", "is an earlier version than the newest record");
        self.after_a_build(reason).repaired("publishes the newest version")
    }

    /// What an interrupted build left to be published is no problem: the next one does.
    fn after_a_build(&self, reason: Reason) -> Finding {
        if self.all_published { Finding::problem(reason) } else { Finding::note(reason).rebuilt() }
    }

    fn damaged(&self, file: &TableFile, what: &str) -> Finding {
        let reason = self.about(file, "table_damaged", &format!("is damaged: {what}"));
        Finding::problem(reason).repaired("publishes it again")
    }
}

/// Makes up to `count` steps again, keeping nothing, and compares what comes out. Gives how many were made.
pub fn recompute(
    world: &World<'_>,
    plan: &Plan,
    count: usize,
    seed: usize,
    worker: &dyn Fn(Arc<dyn TableStore>) -> Arc<dyn Worker>,
    tables: &Arc<dyn TableStore>,
) -> (usize, Vec<Finding>) {
    let fresh: Vec<&PlannedStep> =
        plan.steps.iter().filter(|planned| planned.verdict.state == State::Fresh && planned.ready.is_some()).collect();
    let count = count.min(fresh.len());
    let worker = worker(Arc::new(Discard::over(Arc::clone(tables))));
    // Spread over all of them, from another place each time.
    let chosen = (0..count).map(|i| fresh[(seed + i * fresh.len() / count) % fresh.len()]);
    (count, chosen.filter_map(|planned| again(world, planned, worker.as_ref())).collect())
}

fn again(world: &World<'_>, planned: &PlannedStep, worker: &dyn Worker) -> Option<Finding> {
    let (step, ready) = (&planned.step, planned.ready.as_ref()?);
    let (record, asset) = (world.ledger.newest(step)?, world.graph.asset(step.asset.as_str())?);
    let all = |part: &plan::PlannedPart| PartTask { output: part.output.clone(), id: part.id.clone(), take: None };
    let tasks = if asset.by_column { planned.parts.iter().map(all).collect() } else { Vec::new() };
    let request = request::request(world.graph, world.ledger, step, ready, (tasks, Vec::new()), "verify");
    let outcome = crate::pool::perform(worker, request);
    let reason = match outcome.result {
        Ok(product) => {
            let made = StepRecord { outputs: product.outputs, ..record.as_ref().clone() };
            let (was, is) = (record.content_hash(), made.content_hash());
            if was == is {
                return None;
            }
            let message = format!("{step} comes out otherwise when it is made again: {}", differing(record, &made));
            Reason::new("recompute_differs", message).with("recorded", was.to_string()).with("made", is.to_string())
        }
        Err(reason) => {
            let message = format!("{step} can't be made again: {}", reason.message);
            Reason::new("recompute_failed", message).with("cause", reason.code)
        }
    };
    Some(Finding::problem(reason).of(step))
}

/// The first few parts that differ.
fn differing(one: &StepRecord, two: &StepRecord) -> String {
    let parts = |record: &StepRecord| -> BTreeMap<String, String> {
        let parts = record.outputs.iter().flat_map(|output| {
            output.parts.iter().map(move |part| (format!("{}.{}", output.name, part.id), part.hash.to_string()))
        });
        parts.collect()
    };
    let (one, two) = (parts(one), parts(two));
    let names = one.keys().chain(two.keys()).filter(|name| one.get(*name) != two.get(*name));
    let names: std::collections::BTreeSet<&String> = names.collect();
    let told: Vec<&str> = names.iter().take(5).map(|name| name.as_str()).collect();
    if names.len() > 5 { format!("{} and {} more", told.join(", "), names.len() - 5) } else { told.join(", ") }
}
