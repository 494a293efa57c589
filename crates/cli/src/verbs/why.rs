//! `assets why`: the whole chain of reasons behind one step.

use crate::app::{App, Failure};
use crate::args::{Global, StepArgs};
use crate::out::Out;
use crate::render::tree::Tree;
use crate::render::{number, reasons, time, words};
use crate::session::Session;
use crate::verbs::lineage;
use assets_core::freshness::State;
use assets_core::record::RUN_GONE;
use assets_core::{Fact, Reason, Step, StepRecord};
use assets_engine::inspect::{self, Why};
use assets_engine::{gone, plan};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(crate) fn run(app: &dyn App, out: &Out, global: &Global, args: &StepArgs) -> Result<u8, Failure> {
    let run: Vec<String> = args.run.iter().cloned().collect();
    let session = Session::open_for(app, global, std::slice::from_ref(&args.asset), &run)?;
    let (step, scope) = match session.step(&args.asset, args.run.as_deref()) {
        Err(failure) if failure.reason.code == RUN_GONE => {
            let step = session.recorded_step(&args.asset, args.run.as_deref())?;
            return gone(out, &session, &step).ok_or(failure);
        }
        found => found?,
    };
    let plan = session.plan(&scope);
    if plan.get(&step).is_none()
        && let Some(done) = gone(out, &session, &step)
    {
        return Ok(done);
    }
    let Some(why) = inspect::why(&session.world(), &plan, &step) else {
        let message = format!("nothing is known of {step}");
        return Err(Failure::usage(Reason::new("unknown_step", message)).help("`assets status` shows what there is"));
    };
    if out.json {
        out.json(&why_json(&session, &why));
    } else {
        session.warn(out);
        out.text(&tree(&session, &why).render());
    }
    Ok(0)
}

/// Tells of a step that nothing delivers any more, if it is one.
fn gone(out: &Out, session: &Session, step: &Step) -> Option<u8> {
    let world = session.world();
    let reason = gone::why(&world, &plan::partitions(&world), step)?;
    let newest = session.ledger.newest(step)?;
    let last = match reason.facts.get("last_us") {
        Some(Fact::Count(at)) => *at,
        _ => newest.span.end_us,
    };
    if out.json {
        out.json(&json!({
            "asset": step.asset.as_str(),
            "run": step.partition.run(),
            "state": "gone",
            "taken_down": newest.is_gone(),
            "reasons": [reason.to_json()],
            "last_made": time::iso(last, 6),
        }));
        return Some(0);
    }
    session.warn(out);
    out.line(&format!("{} is gone", words::bold(words::safe(&step.to_string()))));
    out.line(&format!("{} {}", words::safe(&reason.message), words::dim(format!("({})", reason.code))));
    let tables = if newest.is_gone() { "its tables are taken down" } else { "a build takes its tables down" };
    out.line(&words::dim(format!("last made {}; {tables}", time::moment(last))));
    out.hint("its versions are kept: where a source delivers it again, nothing is computed (`assets history`)");
    Some(0)
}

fn tree(session: &Session, why: &Why) -> Tree {
    let verb = if why.state == State::Failed { "" } else { "is " };
    let mut text = format!("{} {verb}{}", words::bold(&why.step), words::state(why.state));
    for reason in &why.reasons {
        text += &format!("\n{} {}", words::safe(&reason.message), words::dim(format!("({})", reason.code)));
    }
    for warning in &why.warnings {
        text += &format!("\n{} {}", words::safe(&warning.message), words::dim(format!("({})", warning.code)));
    }
    if let Some(record) = &why.newest {
        text += &format!("\n{}", words::dim(made(record)));
        for (reason, columns) in unavailable(record) {
            text += &format!("\nnull: {}: {}", listed(&columns), words::safe(&reason));
        }
    }
    let inputs = why.inputs.iter().map(|input| tree(session, input));
    let others = why.others.iter().filter(|(_, states)| !states.is_empty());
    let others =
        others.map(|(asset, states)| Tree::new(format!("{asset} of {}", counted(states, !why.inputs.is_empty()))));
    let sources = session.slices(&why.step);
    Tree { text, children: inputs.chain(others).chain(sources.iter().map(lineage::source)).collect() }
}

/// `497 further runs: 496 fresh, 1 stale`
fn counted(states: &BTreeMap<State, usize>, further: bool) -> String {
    let runs = number::plural(states.values().sum::<usize>(), if further { "further run" } else { "run" });
    format!("{runs}: {}", words::states(states))
}

fn made(record: &StepRecord) -> String {
    let verb = if record.reuses.is_some() { "taken again" } else { "made" };
    let took = number::seconds(record.span.seconds());
    let because = reasons::line(&record.because);
    let because = if because.is_empty() { String::new() } else { format!(", because {because}") };
    format!("last {verb} {} in {took} by build {}{because}", time::moment(record.span.end_us), record.build)
}

/// Columns that are null throughout, by the sentence that says why.
fn unavailable(record: &StepRecord) -> BTreeMap<String, Vec<String>> {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for output in &record.outputs {
        for column in &output.unavailable {
            let name = if output.name == record.step.asset {
                column.column.clone()
            } else {
                format!("{}.{}", output.name, column.column)
            };
            groups.entry(column.reason.message.clone()).or_default().push(name);
        }
    }
    groups
}

/// At most twelve names.
pub(crate) fn listed(names: &[String]) -> String {
    match names.get(..12) {
        Some(first) if names.len() > 12 => format!("{} and {} more", first.join(", "), names.len() - 12),
        _ => names.join(", "),
    }
}

fn why_json(session: &Session, why: &Why) -> Value {
    let reasons = |reasons: &[Reason]| reasons.iter().map(Reason::to_json).collect::<Vec<_>>();
    let made = why.newest.as_ref().map(|record| {
        json!({
            "at": time::iso(record.span.end_us, 6),
            "seconds": record.span.seconds(),
            "build": record.build,
            "reused": record.reuses.is_some(),
            "because": reasons(&record.because),
        })
    });
    let columns = why.newest.iter().flat_map(|record| &record.outputs).flat_map(|output| {
        output.unavailable.iter().map(|column| {
            json!({
                "output": output.name.as_str(),
                "column": column.column,
                "code": column.reason.code,
                "message": column.reason.message,
            })
        })
    });
    let slices = session.slices(&why.step);
    let sources = slices.iter().map(|slice| json!({"path": slice.path, "rows": slice.rows}));
    let others = why.others.iter().map(|(asset, states)| {
        let states: BTreeMap<&str, usize> = states.iter().map(|(state, n)| (state.name(), *n)).collect();
        json!({"asset": asset.as_str(), "runs": states})
    });
    let mut object = json!({
        "asset": why.step.asset.as_str(),
        "run": why.step.partition.run(),
        "state": why.state.name(),
        "reasons": reasons(&why.reasons),
        "warnings": reasons(&why.warnings),
        "unavailable": columns.collect::<Vec<_>>(),
        "inputs": why.inputs.iter().map(|input| why_json(session, input)).collect::<Vec<_>>(),
        "further_inputs": others.collect::<Vec<_>>(),
        "sources": sources.collect::<Vec<_>>(),
    });
    if let Some(made) = made {
        object["made"] = made;
    }
    object
}
