//! What is gone: steps that were made once, and whose partition nothing delivers any more, neither a file that is there
//! nor one that vanished. A key was corrected, a run's rows were taken out of a file, or a file was forgotten.
//!
//! Not here: taking their tables down, which is the build's. Their records stay: what comes back is taken again.

use crate::plan::{Partitions, World};
use crate::scope::Scope;
use assets_core::record::{RUN_GONE, StepRecord};
use assets_core::{AssetName, Reason, Step};
use std::collections::{BTreeSet, HashMap};

/// A step that is gone.
#[derive(Debug, Clone, PartialEq)]
pub struct Gone {
    /// The step.
    pub step: Step,
    /// Why, with the file that delivered its partition last.
    pub reason: Reason,
    /// Whether its tables are taken down already.
    pub is_down: bool,
}

/// All steps of a scope that are gone, in topological order.
pub(crate) fn find(world: &World<'_>, partitions: &Partitions, scope: &Scope) -> Vec<Gone> {
    let is_there = |step: &Step| partitions.get(&step.asset).is_some_and(|all| all.contains(&step.partition));
    let recorded = world.ledger.steps().filter_map(|(step, tip)| Some((step, tip.record()?)));
    let mut found: Vec<(&Step, &StepRecord)> = recorded
        .filter(|(step, _)| scope.takes_down(step) && world.graph.has_step(step) && !is_there(step))
        .map(|(step, record)| (step, record.as_ref()))
        .collect();
    let order: HashMap<&AssetName, usize> = world.graph.order().iter().zip(0..).collect();
    found.sort_by_key(|(step, _)| (order.get(&step.asset), &step.partition));
    let open = found.iter().filter(|(_, record)| !record.is_gone()).map(|(step, _)| *step);
    let delivered = delivered(world, partitions, open);
    let gone = found.into_iter().map(|(step, record)| Gone {
        step: step.clone(),
        reason: reason(world, partitions, step, record, &delivered),
        is_down: record.is_gone(),
    });
    gone.collect()
}

/// Why a step is gone, if it is.
pub fn why(world: &World<'_>, partitions: &Partitions, step: &Step) -> Option<Reason> {
    let is_there = partitions.get(&step.asset).is_some_and(|all| all.contains(&step.partition));
    let record = world.ledger.newest(step).filter(|_| !is_there && world.graph.has_step(step))?;
    Some(reason(world, partitions, step, record, &delivered(world, partitions, std::iter::once(step))))
}

/// The files of which it is recorded that they deliver what these steps are made from.
fn delivered<'a>(
    world: &World<'a>,
    partitions: &Partitions,
    steps: impl Iterator<Item = &'a Step>,
) -> HashMap<Step, BTreeSet<&'a str>> {
    let mut wanted: HashMap<Step, BTreeSet<&str>> =
        steps.flat_map(|step| readers(world, partitions, step)).map(|step| (step, BTreeSet::new())).collect();
    if wanted.is_empty() {
        return wanted;
    }
    for source in world.ledger.sources().values() {
        for slice in &source.slices {
            if let Some(paths) = wanted.get_mut(&Step::new(&slice.asset, &slice.partition)) {
                paths.insert(&source.path);
            }
        }
    }
    wanted
}

/// The steps that read sources, of those that a step is made from; it may be one itself. What is still delivered is no
/// cause: a table of all stations, say, where one station is gone.
fn readers(world: &World<'_>, partitions: &Partitions, step: &Step) -> Vec<Step> {
    let above = world.graph.ancestors(step.asset.as_str(), usize::MAX).into_iter();
    let assets = above.chain([step.asset.clone()]).filter_map(|name| world.graph.asset(name.as_str()));
    let cut = assets.filter(|asset| asset.reads_sources && !asset.dimensions.is_empty());
    let all = cut.filter_map(|asset| Some(Step::new(&asset.name, &step.partition.cut(&asset.dimensions)?)));
    let is_there = |step: &Step| partitions.get(&step.asset).is_some_and(|all| all.contains(&step.partition));
    let (there, gone): (Vec<Step>, Vec<Step>) = all.partition(is_there);
    if gone.is_empty() { there } else { gone }
}

fn reason(
    world: &World<'_>,
    partitions: &Partitions,
    step: &Step,
    newest: &StepRecord,
    delivered: &HashMap<Step, BTreeSet<&str>>,
) -> Reason {
    if let Some(told) = newest.because.iter().find(|_| newest.is_gone()) {
        return told.clone();
    }
    let readers = readers(world, partitions, step);
    let known: BTreeSet<&str> = readers.iter().filter_map(|reader| delivered.get(reader)).flatten().copied().collect();
    // What is recorded of the files themselves may be newer than the last table.
    let recorded = readers.iter().filter_map(|reader| world.ledger.newest(reader));
    let recorded: BTreeSet<&str> =
        recorded.flat_map(|record| &record.recipe.slices).map(|slice| slice.path.as_str()).collect();
    let paths = if known.is_empty() { recorded } else { known };
    let last = match paths.first() {
        None => String::new(),
        Some(first) if paths.len() == 1 => format!("; {first} did last"),
        Some(first) => format!("; {first} and {} more did last", paths.len() - 1),
    };
    let message = format!("no source delivers {} any more{last}", step.partition);
    let reason = Reason::new(RUN_GONE, message).with("last_us", newest.span.end_us);
    let reason = if let Some(run) = step.partition.run() { reason.with("run", run) } else { reason };
    reason.with("paths", paths.into_iter().map(str::to_owned).collect::<Vec<_>>())
}
