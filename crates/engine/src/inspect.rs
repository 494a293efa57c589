//! Questions about what is: why a step is as it is, and what is wrong anywhere. Answers are data.

use crate::inputs;
use crate::plan::{Plan, World};
use assets_core::freshness::State;
use assets_core::over_all::NAMED;
use assets_core::record::StepRecord;
use assets_core::{AssetName, Fact, Mapping, Reason, Step};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// A step with its verdict and those of all it is made from.
#[derive(Debug, Clone)]
pub struct Why {
    /// The step.
    pub step: Step,
    /// Its state.
    pub state: State,
    /// All its reasons.
    pub reasons: Vec<Reason>,
    /// Its newest record.
    pub newest: Option<Arc<StepRecord>>,
    /// Which partitions of its inputs it is made without.
    pub warnings: Vec<Reason>,
    /// What it reads, each with its own chain; a step reached twice is told once. Of an input over all partitions the
    /// first few that are not fresh.
    pub inputs: Vec<Why>,
    /// How many further partitions it reads over all, by asset and state.
    pub others: Vec<(AssetName, BTreeMap<State, usize>)>,
}

/// The whole chain of reasons behind a step.
pub fn why(world: &World<'_>, plan: &Plan, step: &Step) -> Option<Why> {
    chain(world, plan, step, &mut BTreeSet::new())
}

fn chain(world: &World<'_>, plan: &Plan, step: &Step, told: &mut BTreeSet<Step>) -> Option<Why> {
    let planned = plan.get(step)?;
    let asset = world.graph.asset(step.asset.as_str())?;
    let (mut inputs, mut others) = (Vec::new(), Vec::new());
    for input in &asset.inputs {
        let mut from = inputs::input_steps(world.graph, &plan.partitions, input, &step.partition);
        if input.mapping == Mapping::All {
            let (first, rest) = notable(plan, from);
            from = first;
            others.extend(world.graph.producer(input.output.as_str()).map(|writer| (writer.name.clone(), rest)));
        }
        for from in from {
            if told.insert(from.clone()) {
                inputs.extend(chain(world, plan, &from, told));
            }
        }
    }
    Some(Why {
        step: step.clone(),
        state: planned.verdict.state,
        reasons: planned.verdict.reasons.clone(),
        newest: world.ledger.newest(step).cloned(),
        warnings: planned.warnings(),
        inputs,
        others,
    })
}

/// The first few steps that are not fresh, and how many others there are in which state.
fn notable(plan: &Plan, steps: Vec<Step>) -> (Vec<Step>, BTreeMap<State, usize>) {
    let mut first = Vec::new();
    let mut others = BTreeMap::new();
    for step in steps {
        let Some(state) = plan.get(&step).map(|planned| planned.verdict.state) else { continue };
        if state != State::Fresh && first.len() < NAMED {
            first.push(step);
        } else {
            *others.entry(state).or_default() += 1;
        }
    }
    (first, others)
}

/// What kind of thing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemKind {
    /// A source can't be read.
    Source,
    /// A step has no table for its data or code.
    Failure,
    /// Columns are null for a whole partition.
    Unavailable,
}

impl ProblemKind {
    /// The word used everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Failure => "failure",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Something that is wrong, with what it costs.
#[derive(Debug, Clone)]
pub struct Problem {
    /// What kind of thing.
    pub kind: ProblemKind,
    /// Where; `None` for a source.
    pub step: Option<Step>,
    /// Why.
    pub reason: Reason,
    /// Steps that are blocked by it.
    pub blocks: Vec<Step>,
    /// Steps over all partitions that are made without it.
    pub left_out_of: Vec<Step>,
    /// Columns that are null by it, as (output, column).
    pub columns: Vec<(AssetName, String)>,
}

/// All that is wrong within a plan's scope.
pub fn problems(world: &World<'_>, plan: &Plan) -> Vec<Problem> {
    let mut problems: Vec<Problem> = Vec::new();
    for (path, reason) in &world.sources.problems {
        let reason =
            if reason.facts.contains_key("path") { reason.clone() } else { reason.clone().with("path", path.as_str()) };
        let (blocks, left_out_of, columns) = (vec![], vec![], vec![]);
        problems.push(Problem { kind: ProblemKind::Source, step: None, reason, blocks, left_out_of, columns });
    }
    let mut left_out: HashMap<&Step, Vec<Step>> = HashMap::new();
    for planned in &plan.steps {
        for left in &planned.left_out {
            let readers = left_out.entry(&left.root).or_default();
            if !readers.contains(&planned.step) {
                readers.push(planned.step.clone());
            }
        }
    }
    for planned in plan.steps.iter().filter(|planned| planned.verdict.state == State::Failed) {
        let reason = planned.verdict.reasons.first().cloned().unwrap_or_else(|| Reason::new("failed", "it failed"));
        let blocks = blocked_by(world, plan, &planned.step);
        let left_out_of = left_out.remove(&planned.step).unwrap_or_default();
        let step = Some(planned.step.clone());
        problems.push(Problem { kind: ProblemKind::Failure, step, reason, blocks, left_out_of, columns: vec![] });
    }
    problems.extend(never_delivered(world, plan));
    problems.extend(unavailable(world, plan));
    problems
}

/// Steps that are blocked by an input that there is no step for: nothing was ever delivered for it.
fn never_delivered(world: &World<'_>, plan: &Plan) -> Vec<Problem> {
    let mut problems = Vec::new();
    for planned in plan.steps.iter().filter(|planned| planned.verdict.state == State::Blocked) {
        let Some(reason) = planned.verdict.reasons.first().filter(|reason| reason.code == "input_not_made") else {
            continue;
        };
        let Some(asset) = world.graph.asset(planned.step.asset.as_str()) else { continue };
        // Those further down carry the same reason.
        let is_first = asset.inputs.iter().any(|input| {
            let text = Fact::Text(input.output.to_string());
            let from = inputs::input_step(world.graph, input, &planned.step.partition);
            reason.facts.get("root_asset") == Some(&text) && from.is_some_and(|from| plan.get(&from).is_none())
        });
        if is_first {
            let (step, blocks) = (Some(planned.step.clone()), blocked_by(world, plan, &planned.step));
            problems.push(Problem {
                kind: ProblemKind::Failure,
                step,
                reason: reason.clone(),
                blocks,
                left_out_of: vec![],
                columns: vec![],
            });
        }
    }
    problems
}

fn blocked_by(world: &World<'_>, plan: &Plan, root: &Step) -> Vec<Step> {
    let below: BTreeSet<AssetName> = world.graph.descendants(root.asset.as_str(), usize::MAX).into_iter().collect();
    let blocked = plan.steps.iter().filter(|planned| planned.verdict.state == State::Blocked);
    let blocked = blocked.filter(|planned| below.contains(&planned.step.asset));
    let same = blocked.filter(|planned| {
        let keys: Vec<_> = planned.step.partition.keys().collect();
        // What is not cut can be blocked by a failure anywhere.
        keys.is_empty() || root.partition.keys().all(|key| keys.contains(&key))
    });
    same.map(|planned| planned.step.clone()).collect()
}

/// Unavailable columns, grouped by partition and root cause: what one missing sensor costs is one problem.
fn unavailable(world: &World<'_>, plan: &Plan) -> Vec<Problem> {
    let mut groups: BTreeMap<(assets_core::Partition, String, String), Problem> = BTreeMap::new();
    for planned in &plan.steps {
        let Some(record) = world.ledger.newest(&planned.step) else { continue };
        for output in &record.outputs {
            for column in &output.unavailable {
                let reason = &column.reason;
                let key = (planned.step.partition.clone(), reason.code.clone(), reason.message.clone());
                let problem = groups.entry(key).or_insert_with(|| Problem {
                    kind: ProblemKind::Unavailable,
                    step: Some(planned.step.clone()),
                    reason: reason.clone(),
                    blocks: Vec::new(),
                    left_out_of: Vec::new(),
                    columns: Vec::new(),
                });
                problem.columns.push((output.name.clone(), column.column.clone()));
            }
        }
    }
    groups.into_values().collect()
}
