//! `assets plan`: what materialize would do, each step with its reasons, and how long it may take.

use crate::app::{App, Failure};
use crate::args::{Global, MaterializeArgs, ScopeArgs};
use crate::out::Out;
use crate::render::{number, reasons, words};
use crate::session::Session;
use assets_core::AssetName;
use assets_core::freshness::State;
use assets_core::graph::Graph;
use assets_engine::plan::{Plan, PlannedPart, PlannedStep};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};

/// Runs that are named one by one.
const NAMED: usize = 12;
/// More groups of one asset and state than this are told together by their codes.
const GROUPS: usize = 8;

pub(crate) fn run(app: &dyn App, out: &Out, global: &Global, args: &ScopeArgs) -> Result<u8, Failure> {
    dry_run(app, out, global, &MaterializeArgs { scope: args.clone(), ..MaterializeArgs::default() })
}

/// The plan of a materialize with these flags.
pub(crate) fn dry_run(app: &dyn App, out: &Out, global: &Global, args: &MaterializeArgs) -> Result<u8, Failure> {
    let session = Session::open(app, global)?;
    let mut scope = session.scope(&args.scope)?;
    if args.only {
        scope.assets.clone_from(&scope.selected);
    }
    (scope.only, scope.force) = (args.only, args.force);
    let plan = session.plan(&scope);
    let estimate = estimate(&session, &plan);
    if out.json {
        out.json(&plan_json(session.project.graph(), &plan, estimate));
    } else {
        session.warn(out);
        plan_text(out, &plan, estimate);
        columns_text(out, session.project.graph(), &plan);
    }
    Ok(0)
}

/// Seconds of work, from the median of each asset's recorded times; `None` where nothing to make was ever timed.
fn estimate(session: &Session, plan: &Plan) -> Option<f64> {
    let mut spans: HashMap<&AssetName, Vec<f64>> = HashMap::new();
    for (step, tip) in session.ledger.steps() {
        if let Some(record) = tip.record().filter(|record| record.reuses.is_none()) {
            spans.entry(&step.asset).or_default().push(record.span.seconds());
        }
    }
    let median = |asset: &AssetName| {
        let mut seconds = spans.get(asset)?.clone();
        seconds.sort_by(f64::total_cmp);
        seconds.get(seconds.len() / 2).copied()
    };
    let to_make = plan.steps.iter().filter(|planned| computes(planned.verdict.state));
    let known: Vec<f64> = to_make.filter_map(|planned| median(&planned.step.asset)).collect();
    (!known.is_empty()).then(|| known.iter().sum())
}

/// States in which a build calls the asset's code.
fn computes(state: State) -> bool {
    matches!(state, State::Stale | State::Maybe | State::Failed)
}

fn plan_json(graph: &Graph, plan: &Plan, estimate: Option<f64>) -> Value {
    let counts = plan.counts();
    let counts: Map<String, Value> =
        State::ALL.iter().map(|state| (state.name().into(), counts.get(state).copied().unwrap_or(0).into())).collect();
    let steps: Vec<Value> = plan.steps.iter().map(|planned| step_json(graph, planned)).collect();
    json!({"steps": steps, "counts": counts, "estimated_seconds": estimate})
}

fn step_json(graph: &Graph, planned: &PlannedStep) -> Value {
    let reasons: Vec<Value> = planned.verdict.reasons.iter().map(assets_core::Reason::to_json).collect();
    let name = &planned.step.asset;
    let mut step = json!({
        "asset": name.as_str(),
        "run": planned.step.partition.run(),
        "state": planned.verdict.state.name(),
        "reasons": reasons,
    });
    if graph.asset(name.as_str()).is_some_and(|asset| asset.by_column) && !planned.parts.is_empty() {
        let named = |state: State| -> Vec<&str> {
            let own = planned.parts.iter().filter(|part| part.output == *name && part.state == state);
            own.map(|part| part.id.column.as_str()).collect()
        };
        step["columns"] = named(State::Stale).into();
        step["columns_maybe"] = named(State::Maybe).into();
        step["columns_reused"] = [named(State::Fresh), named(State::Reusable)].concat().into();
    } else {
        let output = graph.output(name.as_str()).filter(|_| computes(planned.verdict.state));
        let columns = output.into_iter().flat_map(|o| &o.columns).map(|column| column.name.as_str());
        step["columns"] = columns.collect();
    }
    let parts = planned.parts.iter().filter(|part| part.state != State::Fresh);
    let parts = parts.map(|part| {
        let reasons: Vec<Value> = part.reasons.iter().map(assets_core::Reason::to_json).collect();
        json!({"output": part.output.as_str(), "part": part.id.to_string(), "state": part.state.name(), "reasons": reasons})
    });
    step["parts"] = parts.collect();
    step
}

/// Parts of one output that are alike in how many runs are in which state, and why.
struct Alike<'a> {
    output: &'a AssetName,
    names: Vec<String>,
    state: State,
    runs: usize,
    why: String,
}

/// What is to be done column by column, in the order of the plan.
fn columns<'a>(graph: &Graph, plan: &'a Plan) -> Vec<Alike<'a>> {
    type Key<'a> = (&'a AssetName, String, State);
    let mut order: Vec<Key<'a>> = Vec::new();
    let mut found: HashMap<Key<'a>, (usize, Vec<String>)> = HashMap::new();
    let told = plan.steps.iter().filter(|planned| matches!(planned.verdict.state, State::Stale | State::Maybe));
    for (planned, part) in told.flat_map(|planned| planned.parts.iter().map(move |part| (planned, part))) {
        let by_column = graph.asset(planned.step.asset.as_str()).is_some_and(|asset| asset.by_column);
        if part.state == State::Fresh && !by_column {
            continue;
        }
        // All columns of a slice are told by its name.
        let name = part.id.slice.clone().unwrap_or_else(|| part.id.column.clone());
        let key = (&part.output, name, part.state);
        let (runs, why) = found.entry(key.clone()).or_insert_with(|| {
            order.push(key);
            Default::default()
        });
        *runs += usize::from(part.id.slice.is_none() || part.id.column == first_column(planned, part));
        for reason in &part.reasons {
            // New columns are told together.
            let is_new = reason.code == "column_new";
            let sentence = if is_new { "new".to_owned() } else { words::safe(&reason.message) };
            if !why.contains(&sentence) {
                why.push(sentence);
            }
        }
    }
    let mut alike: Vec<Alike<'a>> = Vec::new();
    for key in order {
        let Some((runs, why)) = found.remove(&key) else { continue };
        let (output, name, state) = key;
        let why = match why.len() {
            0..=3 => why.join("; "),
            n => format!("{}; and {} further reasons", why[..2].join("; "), n - 2),
        };
        let same = |a: &&mut Alike<'_>| a.output == output && a.state == state && a.runs == runs && a.why == why;
        match alike.iter_mut().find(same) {
            Some(known) => known.names.push(name),
            None => alike.push(Alike { output, names: vec![name], state, runs, why }),
        }
    }
    alike
}

/// The first column of a part's slice: a slice is counted once.
fn first_column<'a>(planned: &'a PlannedStep, part: &PlannedPart) -> &'a str {
    let same = planned.parts.iter().find(|p| p.output == part.output && p.id.slice == part.id.slice);
    same.map_or("", |first| first.id.column.as_str())
}

/// Columns that are named in one line.
const COLUMNS: usize = 16;

fn columns_text(out: &Out, graph: &Graph, plan: &Plan) {
    let alike = columns(graph, plan);
    if alike.is_empty() {
        return;
    }
    out.line("");
    out.line("by column:");
    let width = alike.iter().map(|alike| alike.output.as_str().len()).max().unwrap_or(0);
    for alike in alike {
        // A stored column costs nothing: how it is called elsewhere matters only where it is not simply kept.
        let (word, why) =
            if alike.state == State::Fresh { ("kept", String::new()) } else { (alike.state.name(), alike.why) };
        let word = words::state_style(alike.state).apply_to(format!("{word:<8}"));
        let names = match alike.names.get(..COLUMNS) {
            Some(first) if alike.names.len() > COLUMNS => {
                format!("{} and {} more", first.join(" "), alike.names.len() - COLUMNS)
            }
            _ => alike.names.join(" "),
        };
        let runs = number::plural(alike.runs, "run");
        out.line(format!("{:<width$}  {runs:>9}  {word}  {names}", alike.output.as_str()).trim_end());
        if !why.is_empty() {
            out.line(&words::dim(format!("{:width$}                       {why}", "")));
        }
    }
    let computed: usize =
        plan.steps.iter().filter(|p| p.verdict.state == State::Stale).map(|p| computed(graph, p)).sum();
    out.line(&format!("{} to compute for certain", number::plural(computed, "column")));
}

/// Columns of a step that is made by columns that will be computed.
fn computed(graph: &Graph, planned: &PlannedStep) -> usize {
    let by_column = graph.asset(planned.step.asset.as_str()).is_some_and(|asset| asset.by_column);
    if by_column { planned.computed().count() } else { 0 }
}

struct Group<'a> {
    asset: &'a AssetName,
    state: State,
    why: String,
    steps: Vec<&'a PlannedStep>,
}

/// Steps of an asset that are alike, in the order of the plan.
fn groups(plan: &Plan) -> Vec<Group<'_>> {
    let mut distinct: BTreeMap<(&AssetName, State), std::collections::BTreeSet<String>> = BTreeMap::new();
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

fn plan_text(out: &Out, plan: &Plan, estimate: Option<f64>) {
    let groups = groups(plan);
    let width = groups.iter().map(|group| group.asset.as_str().len()).max().unwrap_or(0);
    let mut per_asset: HashMap<&AssetName, usize> = HashMap::new();
    plan.steps.iter().for_each(|planned| *per_asset.entry(&planned.step.asset).or_default() += 1);
    for group in &groups {
        let runs: Vec<String> = group.steps.iter().filter_map(|planned| planned.step.partition.run()).collect();
        let how_many = if runs.is_empty() { String::new() } else { number::plural(runs.len(), "run") };
        let word = words::state_style(group.state).apply_to(format!("{:<8}", group.state.name()));
        let line = format!("{:<width$}  {how_many:>9}  {word}  {}", group.asset.as_str(), group.why);
        out.line(line.trim_end());
        let part_of_it = per_asset.get(group.asset).is_some_and(|all| *all > runs.len());
        if part_of_it && group.state != State::Fresh && !runs.is_empty() && runs.len() <= NAMED {
            out.line(&words::dim(format!("{:width$}             {}", "", runs.join(" "))));
        }
    }
    out.line(&total(plan, estimate));
}

fn total(plan: &Plan, estimate: Option<f64>) -> String {
    let steps = number::plural(plan.steps.len(), "step");
    if plan.steps.is_empty() {
        return "no steps: nothing is delivered yet, or nothing fits the selection".to_owned();
    }
    if plan.is_fresh() {
        return format!("everything is fresh: {steps}, nothing to do");
    }
    let counts = plan.counts();
    let counts: Vec<String> =
        State::ALL.iter().filter_map(|state| counts.get(state).map(|n| format!("{n} {}", state.name()))).collect();
    let estimate = estimate.map(|seconds| format!("; about {} of work", number::seconds(seconds))).unwrap_or_default();
    format!("{steps}: {}{estimate}", counts.join(", "))
}
