//! What would be made, and why: a pure pass over the graph in topological order, from what is recorded, what the
//! sources deliver, and what is stored. The build asks the same questions again as inputs become known.

use crate::gone::{self, Gone};
use crate::inputs::{InputNow, Lookup, StepNow};
use crate::over_all::{self, LeftOut};
use crate::parts;
use crate::scope::Scope;
use assets_core::freshness::{self, Evidence, State, Verdict};
use assets_core::graph::Graph;
use assets_core::ledger::Ledger;
use assets_core::part::{Listed, Unsettled};
use assets_core::record::{Recipe, SliceRef, StepRecord, Stored};
use assets_core::source::{Delivery, Identified};
use assets_core::table_store::TableStore;
use assets_core::{AssetDecl, AssetName, Fingerprint, PartId, Partition, Reason, Step};
use assets_core::{catalog::Records, cores, record::InputRecord};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// All that a plan is made from.
pub struct World<'a> {
    /// The declared assets.
    pub graph: &'a Graph,
    /// What is recorded now.
    pub ledger: &'a Ledger,
    /// What the sources deliver now.
    pub sources: &'a Identified,
    /// Older records.
    pub records: &'a dyn Records,
    /// What is stored.
    pub tables: &'a dyn TableStore,
}

/// A step with its verdict.
#[derive(Debug, Clone)]
pub struct PlannedStep {
    /// The step.
    pub step: Step,
    /// What it is and why.
    pub verdict: Verdict,
    /// What goes in, where all of it is known.
    pub ready: Option<Ready>,
    /// Its parts with what is to be done about each, where parts have fingerprints of their own.
    pub parts: Vec<PlannedPart>,
    /// Partitions of inputs over all partitions that it is made without.
    pub left_out: Vec<LeftOut>,
    /// Of a blocked step: the step that failed first.
    root: Option<Step>,
}

/// A part of a step with its verdict.
#[derive(Debug, Clone)]
pub struct PlannedPart {
    /// The output it belongs to.
    pub output: AssetName,
    /// Which part.
    pub id: PartId,
    /// What it is: fresh, reusable, stale or maybe.
    pub state: State,
    /// Why. Empty only for a fresh part. Most parts of a step have the same ones: it is held once.
    pub reasons: Arc<[Reason]>,
    /// What goes into it, where that is known.
    pub fingerprint: Option<Fingerprint>,
    /// Where it is stored already: the record's output, and its name there.
    pub stored: Option<(Arc<StepRecord>, PartId)>,
}

/// A step whose inputs are all known.
#[derive(Debug, Clone)]
pub struct Ready {
    /// All that goes in.
    pub recipe: Recipe,
    /// Its hash.
    pub fingerprint: Fingerprint,
    /// The older record that can be taken again.
    pub older: Option<Arc<StepRecord>>,
    /// The inputs, all of which stand.
    pub inputs: Vec<InputNow>,
}

impl PlannedStep {
    fn whole(step: Step, verdict: Verdict) -> Self {
        Self { step, verdict, ready: None, parts: Vec::new(), left_out: Vec::new(), root: None }
    }

    /// What a person should know whatever the state: which partitions are left out.
    pub fn warnings(&self) -> Vec<Reason> {
        over_all::warnings(&self.step.asset, &self.left_out)
    }

    /// What of an output may come out differently. Equal code over equal inputs gives an equal part; only a person who
    /// asks to make it again doubts that.
    fn unsettled(&self, output: &AssetName) -> Unsettled {
        let own: Vec<&PlannedPart> = self.parts.iter().filter(|part| part.output == *output).collect();
        let doubted = self
            .verdict
            .reasons
            .iter()
            .any(|reason| matches!(&*reason.code, "forced" | "never_made" | "run_came_back"));
        if own.is_empty() || doubted {
            return Unsettled::Everything;
        }
        let changing = own.iter().filter(|part| part.state != State::Fresh);
        Unsettled::Parts(changing.map(|part| part.id.clone()).collect())
    }

    /// The parts that would be computed.
    pub fn computed(&self) -> impl Iterator<Item = &PlannedPart> {
        self.parts.iter().filter(|part| part.state == State::Stale)
    }
}

/// A plan: every step in scope with its verdict, in topological order.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The steps.
    pub steps: Vec<PlannedStep>,
    /// What is recorded in the scope of partitions that nothing delivers any more.
    pub gone: Vec<Gone>,
    /// The partitions of each asset, whatever the scope.
    pub(crate) partitions: Partitions,
    at: HashMap<Step, usize>,
}

impl Plan {
    /// The planned step.
    pub fn get(&self, step: &Step) -> Option<&PlannedStep> {
        self.at.get(step).map(|at| &self.steps[*at])
    }

    /// Takes out what is known of a step that can be made or stands: of many runs it is more than is kept of their tables.
    pub(crate) fn take(&mut self, step: &Step) -> Option<PlannedStep> {
        let planned = &mut self.steps[*self.at.get(step)?];
        let ready = Some(planned.ready.take()?);
        let (verdict, parts) = (planned.verdict.clone(), std::mem::take(&mut planned.parts));
        Some(PlannedStep { step: step.clone(), verdict, ready, parts, left_out: planned.left_out.clone(), root: None })
    }

    /// Number of steps in each state.
    pub fn counts(&self) -> BTreeMap<State, u64> {
        let mut counts = BTreeMap::new();
        for step in &self.steps {
            *counts.entry(step.verdict.state).or_default() += 1;
        }
        counts
    }

    /// True where every step is fresh, and nothing is to be taken down.
    pub fn is_fresh(&self) -> bool {
        self.steps.iter().all(|step| step.verdict.state == State::Fresh) && self.to_take_down().next().is_none()
    }

    /// Steps that are gone, and whose tables are there still.
    pub fn to_take_down(&self) -> impl Iterator<Item = &Gone> {
        self.gone.iter().filter(|gone| !gone.is_down)
    }

    fn push(&mut self, step: PlannedStep) {
        self.at.insert(step.step.clone(), self.steps.len());
        self.steps.push(step);
    }
}

/// The partitions of each asset.
pub type Partitions = BTreeMap<AssetName, BTreeSet<Partition>>;

/// The partitions that an asset has: those that sources, present or vanished, deliver for it, and those of its inputs
/// that have all its dimensions. What is recorded of others is gone (`gone`).
pub fn partitions(world: &World<'_>) -> Partitions {
    let mut all = Partitions::new();
    for asset in world.graph.assets() {
        let mut own = BTreeSet::new();
        if asset.dimensions.is_empty() {
            own.insert(Partition::none());
        } else {
            own.extend(world.sources.deliveries.keys().filter(|s| asset.has_step(s)).map(|s| s.partition.clone()));
            own.extend(world.sources.others.get(&asset.name).into_iter().flatten().cloned());
            for input in &asset.inputs {
                // One that is cut less finely serves many of its partitions, and says none of them.
                let Some(writer) = world.graph.producer(input.output.as_str()) else { continue };
                let theirs = all.get(&writer.name).into_iter().flatten();
                own.extend(theirs.filter_map(|partition| partition.cut(&asset.dimensions)));
            }
        }
        all.insert(asset.name.clone(), own);
    }
    all
}

/// Every partition of any asset, without the empty one.
pub fn all_partitions(world: &World<'_>) -> BTreeSet<Partition> {
    partitions(world).into_values().flatten().filter(|partition| !partition.is_none()).collect()
}

/// The plan for a scope.
pub fn plan(world: &World<'_>, scope: &Scope) -> Plan {
    let mut plan = Plan { partitions: partitions(world), ..Plan::default() };
    // Assets are in topological order.
    for asset in scope.assets.iter().filter_map(|asset| world.graph.asset(asset.as_str())) {
        let own = plan.partitions.get(&asset.name).into_iter().flatten();
        let steps: Vec<Step> = own.map(|p| Step::new(&asset.name, p)).filter(|step| scope.covers(step)).collect();
        assess_all(world, scope, &plan, asset, &steps).into_iter().for_each(|step| plan.push(step));
    }
    plan.gone = gone::find(world, &plan.partitions, scope);
    plan
}

/// Steps of an asset that a thread is worth.
const STEPS_PER_THREAD: usize = 50;

/// The steps of an asset with their verdicts, on several threads where they are many: none reads another one.
fn assess_all(world: &World<'_>, scope: &Scope, plan: &Plan, asset: &AssetDecl, steps: &[Step]) -> Vec<PlannedStep> {
    let Some(listed) = world.graph.listed(asset.name.as_str()) else { return Vec::new() };
    let one = |step: &Step| {
        let knows = |step: &Step, output: &AssetName| planned(world, plan, step, output);
        let lookup = Lookup { world, partitions: &plan.partitions, scope, knows: &knows };
        let inputs = lookup.all(asset, &step.partition);
        assess(world, listed, step.clone(), inputs, scope)
    };
    if steps.len() < 2 * STEPS_PER_THREAD {
        return steps.iter().map(one).collect();
    }
    let share = steps.len().div_ceil(cores::at_once()).max(STEPS_PER_THREAD);
    steps.par_iter().with_min_len(share).map(one).collect()
}

fn planned(world: &World<'_>, plan: &Plan, step: &Step, output: &AssetName) -> StepNow {
    let Some(planned) = plan.get(step) else { return StepNow::Outside };
    match planned.verdict.state {
        State::Fresh => world.ledger.newest(step).cloned().map_or(StepNow::Outside, StepNow::Known),
        State::Reusable => {
            let older = planned.ready.as_ref().and_then(|ready| ready.older.clone());
            older.map_or_else(|| StepNow::Open(planned.unsettled(output)), StepNow::Known)
        }
        State::Stale | State::Maybe => StepNow::Open(planned.unsettled(output)),
        State::Failed | State::Blocked => {
            let (root, reason) = root_cause(planned);
            StepNow::Bad(root, reason)
        }
    }
}

/// The reason that a step's readers are blocked by, and the step that failed first.
pub fn root_cause(planned: &PlannedStep) -> (Step, Reason) {
    let reason = planned.verdict.reasons.first().cloned();
    let reason = reason.unwrap_or_else(|| Reason::new("blocked", "an input failed"));
    (planned.root.clone().unwrap_or_else(|| planned.step.clone()), reason)
}

/// The verdict on one step, given what its inputs are now.
pub fn assess(world: &World<'_>, listed: Listed<'_>, step: Step, inputs: Vec<InputNow>, scope: &Scope) -> PlannedStep {
    let asset = listed.asset;
    let delivery = world.sources.deliveries.get(&step);
    if let Some(reason) = delivery.and_then(|delivery| delivery.failure.clone()) {
        return PlannedStep::whole(step, Verdict::because(State::Failed, reason));
    }
    let bad = inputs.iter().find_map(|input| match input {
        InputNow::Bad(root, reason) => Some((root.clone(), blocked(root, reason))),
        _ => None,
    });
    if let Some((root, reason)) = bad {
        let verdict = Verdict::because(State::Blocked, reason);
        return PlannedStep { root: Some(root), ..PlannedStep::whole(step, verdict) };
    }
    let left_out = inputs.iter().filter_map(|input| if let InputNow::All(all) = input { Some(all) } else { None });
    let left_out: Vec<LeftOut> = left_out.flat_map(|all| all.left_out.iter().cloned()).collect();
    let forced = scope.forces(&step, world.ledger.newest(&step));
    let parts = parts::plan(world, listed, &step, &inputs, forced);
    let mut planned = if inputs.iter().any(InputNow::is_open) {
        undecided(world, asset, step, &inputs, slices(delivery), forced)
    } else {
        settle(world, listed, step, inputs, &parts, slices(delivery), forced)
    };
    planned.parts = parts;
    planned.left_out = left_out;
    if asset.by_column {
        parts::judge(world, asset, &mut planned, forced);
    }
    planned
}

fn slices(delivery: Option<&Delivery>) -> Vec<SliceRef> {
    delivery.map(|delivery| delivery.slices.clone()).unwrap_or_default()
}

/// The reason of a blocked step: its root cause's, with where that is.
fn blocked(root: &Step, reason: &Reason) -> Reason {
    if reason.facts.contains_key("root_asset") {
        return reason.clone();
    }
    let mut reason = reason.clone().with("root_asset", root.asset.as_str());
    if let Some(run) = root.partition.run() {
        reason = reason.with("root_run", run);
    }
    reason
}

fn settle(
    world: &World<'_>,
    listed: Listed<'_>,
    step: Step,
    inputs: Vec<InputNow>,
    parts: &[PlannedPart],
    slices: Vec<SliceRef>,
    forced: bool,
) -> PlannedStep {
    let asset = listed.asset;
    let read = asset.inputs.iter().zip(&inputs).filter_map(|(input, now)| match now {
        InputNow::Known(output) => Some(freshness::read_of(input, output)),
        InputNow::All(all) => Some(all.read(input, None)),
        InputNow::Open(_) | InputNow::Bad(..) => None,
    });
    let recipe = freshness::recipe(asset, read.collect(), slices);
    let fingerprint = if asset.by_column {
        freshness::of_columns(asset, parts.iter().filter_map(|part| part.fingerprint))
    } else {
        freshness::fingerprint(listed, &step.partition, &recipe)
    };
    let tip = world.ledger.tip(&step);
    let newest = tip.and_then(|tip| tip.record());
    let newest_there = newest.is_none_or(|record| is_there(world.tables, record));
    let older = match newest {
        Some(record) if !forced && (record.fingerprint != fingerprint || !newest_there) => {
            older_record(world, &step, &fingerprint, record)
        }
        _ => None,
    };
    let verdict = freshness::judge(Evidence {
        recipe: &recipe,
        fingerprint,
        newest: newest.map(AsRef::as_ref),
        newest_there,
        older: older.as_deref(),
        attempt: tip.and_then(|tip| tip.attempt()),
        forced,
    });
    let ready = Some(Ready { recipe, fingerprint, older, inputs });
    PlannedStep { ready, ..PlannedStep::whole(step, verdict) }
}

fn older_record(world: &World<'_>, step: &Step, wanted: &Fingerprint, newest: &StepRecord) -> Option<Arc<StepRecord>> {
    if newest.generation < 2 {
        return None;
    }
    // A catalog that can't answer costs a remake, never a wrong table.
    let older = world.records.by_fingerprint(step, wanted).unwrap_or_default();
    older.into_iter().find(|record| record.generation < newest.generation && is_there(world.tables, record))
}

/// Whether everything that a record stored is there, in its full length.
pub fn is_there(tables: &dyn TableStore, record: &StepRecord) -> bool {
    record.outputs.iter().all(|output| match &output.stored {
        Stored::Object(object) => tables.bytes(object) == Some(output.bytes),
        Stored::Inline(_) => true,
    })
}

/// A step with open inputs: stale if what is known already differs from its newest record and from all older ones that
/// could be taken again, else maybe.
fn undecided(
    world: &World<'_>,
    asset: &AssetDecl,
    step: Step,
    inputs: &[InputNow],
    slices: Vec<SliceRef>,
    forced: bool,
) -> PlannedStep {
    let mut reasons = Vec::new();
    if forced {
        reasons.push(Reason::new("forced", "you asked to make it again (--force)"));
    }
    let newest = world.ledger.newest(&step);
    let before = |output: &AssetName| {
        newest.into_iter().flat_map(|newest| &newest.recipe.inputs).find(|input| input.output == *output)
    };
    // What is open as if it came out as a record has read it: what differs then, differs for certain.
    let as_in = |record: &StepRecord| {
        let read = asset.inputs.iter().zip(inputs).map(|(input, now)| {
            let before = record.recipe.inputs.iter().find(|read| read.output == input.output);
            match now {
                InputNow::Known(output) => freshness::read_of(input, output),
                InputNow::All(all) => all.read(input, before),
                InputNow::Open(_) | InputNow::Bad(..) => before.cloned().unwrap_or_else(|| nothing_read(&input.output)),
            }
        });
        freshness::differences(&record.recipe, &freshness::recipe(asset, read.collect(), slices.clone()))
    };
    match newest {
        None => reasons.push(Reason::new("never_made", "it was never made")),
        Some(newest) => {
            reasons.extend(freshness::came_back(newest));
            reasons.extend(as_in(newest));
        }
    }
    // Columns are judged one by one (`parts`).
    let may_fit = || {
        let is_judged_here = !forced && !asset.by_column;
        is_judged_here && parts::older_records(world, &step).iter().any(|record| as_in(record).is_empty())
    };
    let state = if reasons.is_empty() || may_fit() { State::Maybe } else { State::Stale };
    for (input, now) in asset.inputs.iter().zip(inputs) {
        match now {
            InputNow::Open(_) => reasons.push(parts::to_be_made(&input.output)),
            InputNow::All(all) => reasons.extend(all.to_be_made(input, before(&input.output))),
            InputNow::Known(_) | InputNow::Bad(..) => {}
        }
    }
    PlannedStep::whole(step, Verdict { state, reasons })
}

fn nothing_read(output: &AssetName) -> InputRecord {
    InputRecord { output: output.clone(), rows: 0, parts: Vec::new() }
}
