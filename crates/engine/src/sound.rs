//! Looks at what a build is going to read before it begins: an object that is damaged makes way, so that the plan has
//! its step among those that are to be made, instead of readers that fail in the middle.

use crate::plan::{self, Plan, PlannedStep, World};
use crate::scope::Scope;
use crate::{inputs, parts};
use assets_core::executor;
use assets_core::freshness::State;
use assets_core::record::{OutputRecord, Stored};
use assets_core::table_store::TableStore;
use assets_core::{AssetDecl, InputDecl, ObjectId, Reason, cores};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Rounds of looking: in each at least one object makes way, or it is left to its reader to say what is wrong.
const ROUNDS_MAX: usize = 20;

/// A plan whose tables can be read, and what had to make way for it.
pub(crate) fn plan(world: &World<'_>, scope: &Scope) -> (Plan, Vec<Reason>) {
    let mut warnings = Vec::new();
    for _ in 0..ROUNDS_MAX {
        let plan = plan::plan(world, scope);
        let damaged = check(world.tables, &to_be_read(world, &plan));
        if damaged.is_empty() {
            return (plan, warnings);
        }
        warnings.extend(damaged);
    }
    (plan::plan(world, scope), warnings)
}

/// Objects that the steps of a plan will read, as far as they stand already.
fn to_be_read(world: &World<'_>, plan: &Plan) -> Vec<ObjectId> {
    let mut objects = BTreeSet::new();
    for planned in plan.steps.iter().filter(|planned| planned.verdict.state != State::Fresh) {
        let Some(asset) = world.graph.asset(planned.step.asset.as_str()) else { continue };
        let older = planned.ready.as_ref().and_then(|ready| ready.older.as_ref());
        objects.extend(older.iter().flat_map(|record| record.objects()));
        objects.extend(taken_from(asset, planned));
        // What a source no longer delivers is taken from the step's own table.
        let own = world
            .ledger
            .newest(&planned.step)
            .filter(|record| asset.reads_sources && plan::is_there(world.tables, record));
        objects.extend(own.iter().flat_map(|record| record.objects()));
        objects.extend(inputs_of(world, plan, asset, planned));
    }
    objects.into_iter().collect()
}

/// Objects that columns are taken from. One that only grows is looked through while it is copied.
fn taken_from(asset: &AssetDecl, planned: &PlannedStep) -> BTreeSet<ObjectId> {
    let (tasks, earlier) = parts::tasks(&planned.parts);
    let stored = planned.parts.iter().filter_map(|part| part.stored.as_ref());
    let mut objects: BTreeSet<ObjectId> = stored.flat_map(|(record, _)| record.objects()).copied().collect();
    for output in &asset.outputs {
        if let Some(object) = executor::grown_from(asset, output, &tasks, &earlier) {
            objects.remove(&object);
        }
    }
    objects
}

/// Objects of a step's inputs that stand.
fn inputs_of(world: &World<'_>, plan: &Plan, asset: &AssetDecl, planned: &PlannedStep) -> Vec<ObjectId> {
    let object = |output: &OutputRecord| match &output.stored {
        Stored::Object(object) => Some(*object),
        Stored::Inline(_) => None,
    };
    let mut objects = Vec::new();
    for input in asset.inputs.iter().filter(|input| !asset.by_column || is_read(asset, planned, input)) {
        for from in inputs::input_steps(world.graph, &plan.partitions, input, &planned.step.partition) {
            let stands = plan.get(&from).is_none_or(|from| matches!(from.verdict.state, State::Fresh | State::Maybe));
            let record = world.ledger.newest(&from).filter(|record| stands && plan::is_there(world.tables, record));
            objects.extend(record.and_then(|record| record.output(&input.output)).and_then(object));
        }
    }
    objects
}

/// Whether a column that is to be computed reads the input: most are computed from columns of the same table.
fn is_read(asset: &AssetDecl, planned: &PlannedStep, input: &InputDecl) -> bool {
    planned.parts.iter().filter(|part| part.stored.is_none()).any(|part| {
        let output = asset.outputs.iter().find(|output| output.name == part.output);
        let code = output.and_then(|output| output.parts.iter().find(|code| code.id == part.id));
        code.is_none_or(|code| code.opens.contains(&input.output))
    })
}

/// Reads objects through, several at once; a warning for each that is damaged.
fn check(tables: &dyn TableStore, objects: &[ObjectId]) -> Vec<Reason> {
    let (next, damaged) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(object) = objects.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = tables.check(object)
                && error.missing
                && !tables.contains(object)
            {
                damaged.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(error.reason);
            }
        }
    };
    let threads = cores::at_once().min(objects.len());
    std::thread::scope(|scope| {
        (1..threads).for_each(|_| drop(scope.spawn(work)));
        work();
    });
    damaged.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}
