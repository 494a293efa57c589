//! `assets check`: the recorded checks of each step. It evaluates nothing.

use crate::app::{App, Failure};
use crate::args::{Global, ScopeArgs};
use crate::edge;
use crate::out::Out;
use crate::render::grid::{Grid, Look};
use crate::render::number;
use crate::session::Session;
use assets_core::{AssetName, Fact, Reason, Step};
use serde_json::{Map, Value, json};

struct Check<'a> {
    step: &'a Step,
    output: &'a AssetName,
    name: String,
    blocking: bool,
    failed: Option<&'a Reason>,
}

pub(crate) fn run(app: &dyn App, out: &Out, global: &Global, args: &ScopeArgs) -> Result<u8, Failure> {
    let (session, scope) = Session::recorded_scope(app, global, args)?;
    let graph = session.project.graph();
    let mut steps: Vec<_> =
        session.ledger.steps().filter(|(step, _)| scope.selects(step) && graph.has_step(step)).collect();
    let place = |step: &Step| scope.assets.iter().position(|asset| *asset == step.asset);
    steps.sort_by(|(a, _), (b, _)| (place(a), &a.partition).cmp(&(place(b), &b.partition)));
    let mut checks: Vec<Check<'_>> = Vec::new();
    for (step, tip) in steps {
        for check in tip.record().into_iter().flat_map(|record| &record.checks) {
            let (output, name, failed) = (&check.output, check.check.clone(), check.failed.as_ref());
            checks.push(Check { step, output, name, blocking: check.blocking, failed });
        }
        if let Some(attempt) = tip.attempt().filter(|attempt| attempt.reason.code == "check_failed") {
            let name = match attempt.reason.facts.get("check") {
                Some(Fact::Text(name)) => name.clone(),
                _ => "check".to_owned(),
            };
            checks.push(Check { step, output: &step.asset, name, blocking: true, failed: Some(&attempt.reason) });
        }
    }
    if out.json {
        print_json(out, &checks)
    } else {
        text(out, &checks)
    }
    Ok(if checks.iter().any(|check| check.blocking && check.failed.is_some()) { edge::DATA } else { 0 })
}

fn counts(checks: &[Check<'_>]) -> (usize, usize, usize) {
    let failed = checks.iter().filter(|check| check.failed.is_some()).count();
    let blocking = checks.iter().filter(|check| check.failed.is_some() && check.blocking).count();
    (checks.len() - failed, failed, blocking)
}

fn print_json(out: &Out, checks: &[Check<'_>]) {
    let entry = |check: &Check<'_>| -> Value {
        let mut object = Map::new();
        object.insert("asset".into(), check.step.asset.as_str().into());
        object.insert("run".into(), check.step.partition.run().into());
        object.insert("output".into(), check.output.as_str().into());
        object.insert("check".into(), check.name.clone().into());
        object.insert("blocking".into(), check.blocking.into());
        object.insert("passed".into(), check.failed.is_none().into());
        if let Some(reason) = check.failed {
            object.insert("reason".into(), reason.to_json());
        }
        object.into()
    };
    let (passed, failed, blocking) = counts(checks);
    let counts = json!({"passed": passed, "failed": failed, "failed_blocking": blocking});
    out.json(&json!({"checks": checks.iter().map(entry).collect::<Vec<_>>(), "counts": counts}));
}

fn text(out: &Out, checks: &[Check<'_>]) {
    if checks.is_empty() {
        out.line("no checks are recorded");
        return;
    }
    let mut per_check: Vec<(&AssetName, &str, usize, usize)> = Vec::new();
    for check in checks {
        let found = per_check.iter().position(|(output, name, ..)| *output == check.output && *name == check.name);
        let at = found.unwrap_or_else(|| {
            per_check.push((check.output, &check.name, 0, 0));
            per_check.len() - 1
        });
        if check.failed.is_some() { per_check[at].3 += 1 } else { per_check[at].2 += 1 }
    }
    let mut grid = Grid::new(&["output", "check", ">passed", ">failed"]);
    for (output, name, passed, failed) in per_check {
        let look = if failed > 0 { Look::Bad } else { Look::Dim };
        let cells = [(output.to_string(), Look::Plain), (name.to_owned(), Look::Plain)];
        grid.row(cells.into_iter().chain([(passed.to_string(), Look::Good), (failed.to_string(), look)]).collect());
    }
    out.text(&grid.render());
    for check in checks {
        if let Some(reason) = check.failed {
            let kind = if check.blocking { "blocks its table" } else { "a warning" };
            out.line(&format!("failed ({kind}): {} of {}: {}", check.name, check.step, reason.message));
        }
    }
    let (passed, failed, _) = counts(checks);
    out.line(&format!("{} passed, {failed} failed", number::plural(passed, "check")));
}
