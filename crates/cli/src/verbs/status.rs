//! `assets status`: runs × assets, and the state of each.

use crate::app::{App, Failure, Project};
use crate::args::{Global, ScopeArgs};
use crate::out::Out;
use crate::render::grid::{Grid, Look};
use crate::render::{gone, number, words};
use crate::session::{Session, open_options};
use crate::standing::{AllFresh, Standing};
use assets_core::freshness::State;
use assets_core::{AssetName, Partition, Reason};
use assets_engine::plan::{Plan, PlannedStep};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// With more runs than this, those where everything is fresh are only counted.
const ALL_ROWS: u64 = 40;

type Rows<'a> = BTreeMap<&'a Partition, BTreeMap<&'a AssetName, &'a PlannedStep>>;

pub(crate) fn run(app: &dyn App, out: &Out, global: &Global, args: &ScopeArgs) -> Result<u8, Failure> {
    let project = app.open(&open_options(global))?;
    if let Some(runs) = only_fresh(out, project.as_ref(), global, args) {
        out.line(&all_fresh(runs, "run"));
        return Ok(0);
    }
    let session = Session::of(project, global, &args.select, &args.runs)?;
    let (runs, asked_gone) = session.without_gone(&args.runs);
    if runs.is_empty() && !asked_gone.is_empty() {
        if out.json {
            out.json(&json!({"runs": [], "gone": asked_gone.iter().map(gone::one_json).collect::<Vec<_>>()}));
        } else {
            asked_gone.iter().for_each(|gone| gone::tell_one(out, gone));
            out.hint("`assets history ASSET --run …` tells what it was");
        }
        return Ok(0);
    }
    let scope = session.scope(&ScopeArgs { select: args.select.clone(), runs })?;
    let plan = session.plan(&scope);
    let mut rows: Rows<'_> = BTreeMap::new();
    for planned in plan.steps.iter().filter(|planned| scope.selects(&planned.step)) {
        rows.entry(&planned.step.partition).or_default().insert(&planned.step.asset, planned);
    }
    if out.json {
        let runs: Vec<Value> = rows.iter().map(|(run, row)| row_json(&session, run, row, &scope.selected)).collect();
        let asked = asked_gone.iter().map(gone::one_json);
        let gone: Vec<Value> = gone::runs_json(&plan).into_iter().chain(asked).collect();
        out.json(&json!({"runs": runs, "gone": gone}));
        return Ok(0);
    }
    session.warn(out);
    if rows.is_empty() {
        gone::tell(out, &plan);
        out.line(if plan.steps.is_empty() && args.select.is_empty() {
            "no runs: no source has delivered anything yet"
        } else {
            "no step fits the selection"
        });
        return Ok(0);
    }
    text(out, &rows, &scope.selected);
    asked_gone.iter().for_each(|gone| gone::tell_one(out, gone));
    gone::tell(out, &plan);
    rows.values().flat_map(BTreeMap::values).for_each(|planned| {
        planned.warnings().iter().for_each(|warning| out.warn(&words::safe(&warning.message)));
    });
    hints(out, &plan);
    Ok(0)
}

/// How many runs a person would be told of, where it is known that all are fresh, and they are too many to be named.
fn only_fresh(out: &Out, project: &dyn Project, global: &Global, args: &ScopeArgs) -> Option<u64> {
    if out.json || global.rehash || !args.select.is_empty() || !args.runs.is_empty() {
        return None;
    }
    let AllFresh { runs, .. } = Standing::of(project)?.everything()?;
    runs.filter(|runs| *runs > ALL_ROWS)
}

fn all_fresh(runs: u64, noun: &str) -> String {
    format!("{} where everything is fresh", number::plural(usize::try_from(runs).unwrap_or(usize::MAX), noun))
}

fn row_json(
    session: &Session,
    run: &Partition,
    row: &BTreeMap<&AssetName, &PlannedStep>,
    order: &[AssetName],
) -> Value {
    let mut assets = Map::new();
    for (asset, planned) in order.iter().filter_map(|asset| row.get(asset).map(|planned| (asset, planned))) {
        let mut cell = Map::new();
        cell.insert("state".into(), planned.verdict.state.name().into());
        if let Some(record) = session.ledger.newest(&planned.step) {
            cell.insert("content_hash".into(), record.content_hash().to_string().into());
        }
        if let Some(reason) = planned.verdict.reasons.first() {
            cell.insert("reason".into(), reason.to_json());
        }
        let warnings = planned.warnings();
        if !warnings.is_empty() {
            cell.insert("warnings".into(), warnings.iter().map(Reason::to_json).collect());
        }
        assets.insert(asset.to_string(), cell.into());
    }
    json!({"run": run.run(), "assets": assets})
}

fn text(out: &Out, rows: &Rows<'_>, order: &[AssetName]) {
    let headers: Vec<&str> = std::iter::once("run").chain(order.iter().map(AssetName::as_str)).collect();
    let mut grid = Grid::new(&headers);
    let fresh = |row: &BTreeMap<_, &PlannedStep>| row.values().all(|planned| planned.verdict.state == State::Fresh);
    let (mut shown, mut left_out) = (0, 0);
    for (run, row) in rows {
        if rows.len() as u64 > ALL_ROWS && fresh(row) {
            left_out += u64::from(!run.is_none());
            continue;
        }
        shown += 1;
        let name = run.run().map_or_else(|| ("(no run)".to_owned(), Look::Dim), |run| (run, Look::Plain));
        let cells = order.iter().map(|asset| match row.get(asset) {
            Some(planned) => (planned.verdict.state.name().to_owned(), Look::State(planned.verdict.state)),
            None => (String::new(), Look::Plain),
        });
        grid.row(std::iter::once(name).chain(cells).collect());
    }
    if shown > 0 {
        out.text(&grid.render());
    }
    if left_out > 0 {
        let noun = if shown > 0 { "further run" } else { "run" };
        out.line(&all_fresh(left_out, noun));
    }
}

fn hints(out: &Out, plan: &Plan) {
    let counts = plan.counts();
    let has = |state| counts.get(&state).is_some_and(|n| *n > 0);
    if has(State::Stale) || has(State::Maybe) || has(State::Reusable) {
        out.hint(
            "stale: to be made; maybe: depends on how an input comes out; reusable: an older table is right again",
        );
        out.hint("`assets plan` says why, `assets materialize` makes them");
    }
    if has(State::Failed) || has(State::Blocked) {
        out.hint("`assets errors` says what failed and what it blocks");
    }
}
