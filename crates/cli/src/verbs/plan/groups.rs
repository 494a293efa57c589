//! What of a plan is alike and therefore told once: steps of an asset, and columns of an output.

use super::estimate::{Cost, Estimate, computes};
use crate::render::{reasons, words};
use assets_core::AssetName;
use assets_core::freshness::State;
use assets_core::graph::Graph;
use assets_engine::plan::{Plan, PlannedPart, PlannedStep};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// More groups of one asset and state than this are told together by their codes.
const GROUPS: usize = 8;

/// Steps of an asset that are alike.
pub(crate) struct Group<'a> {
    pub(crate) asset: &'a AssetName,
    pub(crate) state: State,
    pub(crate) why: String,
    pub(crate) steps: Vec<&'a PlannedStep>,
}

impl Group<'_> {
    /// The runs in it.
    pub(crate) fn runs(&self) -> Vec<String> {
        self.steps.iter().filter_map(|planned| planned.step.partition.run()).collect()
    }
}

/// Steps of an asset that are alike, in the order of the plan.
pub(crate) fn steps(plan: &Plan) -> Vec<Group<'_>> {
    let mut distinct: BTreeMap<(&AssetName, State), BTreeSet<String>> = BTreeMap::new();
    for planned in &plan.steps {
        distinct.entry((&planned.step.asset, planned.verdict.state)).or_default().insert(sentences(planned));
    }
    let mut at: HashMap<(&AssetName, State, String), usize> = HashMap::new();
    let mut groups: Vec<Group<'_>> = Vec::new();
    for planned in &plan.steps {
        let (asset, state) = (&planned.step.asset, planned.verdict.state);
        let many = distinct.get(&(asset, state)).is_some_and(|all| all.len() > GROUPS);
        let key = if many { codes(planned) } else { sentences(planned) };
        let index = *at.entry((asset, state, key)).or_insert_with(|| {
            groups.push(Group { asset, state, why: sentences(planned), steps: Vec::new() });
            groups.len() - 1
        });
        let group = &mut groups[index];
        if many && group.steps.len() == 1 && group.why != sentences(planned) {
            group.why += " (and alike)";
        }
        group.steps.push(planned);
    }
    groups
}

fn sentences(planned: &PlannedStep) -> String {
    reasons::line(&planned.verdict.reasons)
}

fn codes(planned: &PlannedStep) -> String {
    planned.verdict.reasons.iter().map(|reason| reason.code.as_str()).collect::<Vec<_>>().join(" ")
}

/// Parts of one output that are alike in how many runs are in which state, and why.
pub(crate) struct Alike<'a> {
    pub(crate) output: &'a AssetName,
    pub(crate) names: Vec<String>,
    pub(crate) state: State,
    pub(crate) runs: usize,
    pub(crate) why: String,
    /// What computing them costs, where the asset is made column by column.
    pub(crate) cost: Cost,
}

/// One column, or one slice, in one state.
#[derive(Default)]
struct Found {
    runs: usize,
    why: Vec<String>,
    cost: Cost,
}

/// What is to be done column by column, in the order of the plan.
pub(crate) fn columns<'a>(graph: &Graph, plan: &'a Plan, estimate: &Estimate<'a>) -> Vec<Alike<'a>> {
    type Key<'a> = (&'a AssetName, String, State);
    let mut order: Vec<Key<'a>> = Vec::new();
    let mut found: HashMap<Key<'a>, Found> = HashMap::new();
    let told = plan.steps.iter().filter(|planned| matches!(planned.verdict.state, State::Stale | State::Maybe));
    for (planned, part) in told.flat_map(|planned| planned.parts.iter().map(move |part| (planned, part))) {
        let by_column = graph.asset(planned.step.asset.as_str()).is_some_and(|asset| asset.by_column);
        if part.state == State::Fresh && !by_column {
            continue;
        }
        // All columns of a slice are told by its name.
        let name = part.id.slice.as_ref().unwrap_or(&part.id.column).to_string();
        let key = (&part.output, name, part.state);
        let known = found.entry(key.clone()).or_insert_with(|| {
            order.push(key);
            Found::default()
        });
        known.runs += usize::from(part.id.slice.is_none() || part.id.column == first_column(planned, part));
        // What further outputs add is not told apart.
        if by_column && computes(part.state) && part.output == planned.step.asset {
            known.cost.add(&estimate.column(&planned.step));
        }
        for reason in part.reasons.iter() {
            // New columns are told together.
            let is_new = reason.code == "column_new";
            let sentence = if is_new { "new".to_owned() } else { words::safe(&reason.message) };
            if !known.why.contains(&sentence) {
                known.why.push(sentence);
            }
        }
    }
    let mut alike: Vec<Alike<'a>> = Vec::new();
    for key in order {
        let Some(Found { runs, why, cost }) = found.remove(&key) else { continue };
        let (output, name, state) = key;
        let why = match why.len() {
            0..=3 => why.join("; "),
            n => format!("{}; and {} further reasons", why[..2].join("; "), n - 2),
        };
        let same = |a: &&mut Alike<'_>| a.output == output && a.state == state && a.runs == runs && a.why == why;
        match alike.iter_mut().find(same) {
            Some(known) => {
                known.names.push(name);
                known.cost.add(&cost);
            }
            None => alike.push(Alike { output, names: vec![name], state, runs, why, cost }),
        }
    }
    alike
}

/// The first column of a part's slice: a slice is counted once.
fn first_column<'a>(planned: &'a PlannedStep, part: &PlannedPart) -> &'a str {
    let same = planned.parts.iter().find(|p| p.output == part.output && p.id.slice == part.id.slice);
    same.map_or("", |first| first.id.column.as_str())
}

/// Columns that will be computed for certain, of steps that are made column by column.
pub(crate) fn certain(graph: &Graph, plan: &Plan) -> usize {
    let by_column = |planned: &&PlannedStep| {
        planned.verdict.state == State::Stale
            && graph.asset(planned.step.asset.as_str()).is_some_and(|asset| asset.by_column)
    };
    plan.steps.iter().filter(by_column).map(|planned| planned.computed().count()).sum()
}
