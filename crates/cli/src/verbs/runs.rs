//! `assets runs`: a line a run.

use crate::app::{App, Failure};
use crate::args::{Global, RunsArgs, ScopeArgs};
use crate::out::Out;
use crate::render::grid::{Grid, Look};
use crate::render::{gone, number, time};
use crate::session::Session;
use assets_core::Partition;
use assets_core::freshness::State;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
struct Run {
    rows: u64,
    paths: BTreeSet<String>,
    states: BTreeMap<State, u64>,
    last_us: Option<i64>,
}

pub(crate) fn run(app: &dyn App, out: &Out, global: &Global, args: &RunsArgs) -> Result<u8, Failure> {
    let session = Session::open(app, global)?;
    let scope = session.scope(&ScopeArgs { select: Vec::new(), runs: args.runs.clone() })?;
    let plan = session.plan(&scope);
    let mut runs: BTreeMap<&Partition, Run> = BTreeMap::new();
    for planned in plan.steps.iter().filter(|planned| !planned.step.partition.is_none()) {
        let run = runs.entry(&planned.step.partition).or_default();
        *run.states.entry(planned.verdict.state).or_default() += 1;
        let record = session.ledger.newest(&planned.step);
        run.last_us = run.last_us.max(record.map(|record| record.span.end_us));
        for slice in session.slices(&planned.step) {
            run.rows += slice.rows;
            run.paths.insert(slice.path);
        }
    }
    if out.json {
        let runs: Vec<Value> = runs.iter().map(|(partition, run)| run_json(partition, run)).collect();
        out.json(&json!({"runs": runs, "gone": gone::runs_json(&plan)}));
        return Ok(0);
    }
    session.warn(out);
    if runs.is_empty() {
        gone::tell(out, &plan);
        out.line("no runs: no source has delivered anything yet");
        return Ok(0);
    }
    text(out, &runs);
    gone::tell(out, &plan);
    Ok(0)
}

fn run_json(partition: &Partition, run: &Run) -> Value {
    let states: Map<String, Value> =
        State::ALL.iter().map(|s| (s.name().into(), run.states.get(s).copied().unwrap_or(0).into())).collect();
    json!({
        "run": partition.run(),
        "rows": run.rows,
        "states": states,
        "last_made": run.last_us.map(|at| time::iso(at, 6)),
        "sources": run.paths,
    })
}

fn text(out: &Out, runs: &BTreeMap<&Partition, Run>) {
    let mut grid = Grid::new(&["run", ">rows", "states", "last made", "from"]);
    for (partition, run) in runs {
        let worst = run.states.keys().max().copied().unwrap_or(State::Fresh);
        let states = if run.states.len() == 1 {
            format!("all {}", worst.name())
        } else {
            run.states.iter().map(|(state, n)| format!("{n} {}", state.name())).collect::<Vec<_>>().join(", ")
        };
        let from = match run.paths.first() {
            Some(first) if run.paths.len() > 1 => format!("{first} and {} more", run.paths.len() - 1),
            first => first.cloned().unwrap_or_default(),
        };
        grid.row(vec![
            (partition.to_string(), Look::Plain),
            (number::count(run.rows), Look::Plain),
            (states, Look::State(worst)),
            (run.last_us.map_or_else(|| "never".to_owned(), time::moment), Look::Dim),
            (from, Look::Plain),
        ]);
    }
    out.text(&grid.render());
}
