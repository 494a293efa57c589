//! `assets history`: everything that happened to one step, newest first.

use crate::app::{App, Failure};
use crate::args::{Global, HistoryArgs};
use crate::edge;
use crate::out::Out;
use crate::render::{number, time, words};
use crate::session::Session;
use crate::verbs::why::listed;
use assets_core::catalog::Past;
use assets_core::compare::{self, Change, ColumnChange};
use assets_core::graph::Graph;
use assets_core::record::{AttemptRecord, Outcome, OutputRecord, Span};
use assets_core::{AssetName, Reason, RecordId, Step, StepRecord};
use console::Style;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// One thing that happened, with what it changed.
struct Event<'a> {
    past: &'a Past,
    /// What started the build, where that is recorded.
    trigger: Option<&'a str>,
    outputs: Vec<OutputChange<'a>>,
}

/// An output of a record, and what differs from the record before it.
struct OutputChange<'a> {
    record: &'a OutputRecord,
    rows_before: Option<u64>,
    /// `None` in the first record.
    columns: Option<Vec<ColumnChange>>,
}

pub(crate) fn run(app: &dyn App, out: &Out, global: &Global, args: &HistoryArgs) -> Result<u8, Failure> {
    let session = Session::recorded(app, global)?;
    let step = session.recorded_step(&args.step.asset, args.step.run.as_deref())?;
    let past = session.reader.records().history(&step)?;
    let graph = session.project.graph();
    let asked = graph.output(&args.step.asset).map(|output| &output.name);
    // Of an asset all outputs, of a further output that one alone.
    let only = asked.filter(|name| **name != step.asset);
    if past.is_empty() {
        return Err(never_made(&step));
    }
    let triggers: HashMap<&str, &str> =
        session.ledger.builds().iter().map(|(build, _)| (build.id.as_str(), build.trigger.as_str())).collect();
    let events: Vec<Event<'_>> = (0..past.len()).map(|at| event(graph, &past, at, &triggers, only)).collect();
    if out.json {
        let history: Vec<Value> = events.iter().map(event_json).collect();
        let asset = only.unwrap_or(&step.asset).as_str();
        out.json(&json!({"asset": asset, "run": step.partition.run(), "history": history}));
    } else {
        text(out, only.unwrap_or(&step.asset), &step, &events);
    }
    Ok(0)
}

/// Nothing is recorded of a step.
pub(crate) fn never_made(step: &Step) -> Failure {
    let reason = Reason::new("never_made", format!("nothing ever happened to {step}"));
    Failure { reason, help: Some(format!("assets materialize {}", step.asset)), exit: edge::DATA }
}

/// The records of a step among all that happened, newest first.
pub(crate) fn records(past: &[Past]) -> impl Iterator<Item = (&RecordId, &Arc<StepRecord>)> {
    past.iter().filter_map(|past| if let Past::Record(id, record) = past { Some((id, record)) } else { None })
}

fn event<'a>(
    graph: &Graph,
    past: &'a [Past],
    at: usize,
    triggers: &HashMap<&str, &'a str>,
    only: Option<&AssetName>,
) -> Event<'a> {
    let build = match &past[at] {
        Past::Record(_, record) => record.build.as_str(),
        Past::Attempt(attempt) => attempt.build.as_str(),
    };
    let mut outputs = Vec::new();
    if let Past::Record(_, record) = &past[at] {
        // What was taken down in between is no version to compare with.
        let before = records(&past[at + 1..]).map(|(_, record)| record).find(|record| !record.is_gone());
        for output in record.outputs.iter().filter(|output| only.is_none_or(|name| output.name == *name)) {
            let was = before.and_then(|before| before.output(&output.name));
            let columns = was.map(|was| compare::columns(was, output, &declared(graph, &output.name)));
            outputs.push(OutputChange { record: output, rows_before: was.map(|was| was.rows), columns });
        }
    }
    Event { past: &past[at], trigger: triggers.get(build).copied(), outputs }
}

/// The columns of an output as it is declared now, in order.
pub(crate) fn declared<'a>(graph: &'a Graph, output: &AssetName) -> Vec<&'a str> {
    let decl = graph.output(output.as_str());
    decl.into_iter().flat_map(|output| &output.columns).map(|column| column.name.as_str()).collect()
}

fn outcome(record: &StepRecord) -> Outcome {
    if record.reuses.is_some() { Outcome::Reused } else { Outcome::Made }
}

/// The word for a record, and how it looks.
fn word(record: &StepRecord) -> (&'static str, Style) {
    let outcome = outcome(record);
    if record.is_gone() { ("gone", Style::new().dim()) } else { (outcome.name(), words::outcome_style(outcome)) }
}

fn event_json(event: &Event<'_>) -> Value {
    let mut object = Map::new();
    let (name, span, build, reasons) = match event.past {
        Past::Record(_, record) => (word(record).0, &record.span, &record.build, record.because.as_slice()),
        Past::Attempt(AttemptRecord { reason, span, build, .. }) => {
            (Outcome::Failed.name(), span, build, std::slice::from_ref(reason))
        }
    };
    object.insert("event".into(), name.into());
    object.insert("at".into(), time::iso(span.end_us, 6).into());
    object.insert("seconds".into(), span.seconds().into());
    object.insert("build".into(), build.as_str().into());
    object.insert("trigger".into(), event.trigger.into());
    object.insert("reasons".into(), reasons.iter().map(Reason::to_json).collect());
    if let Past::Record(id, record) = event.past {
        object.insert("generation".into(), record.generation.into());
        object.insert("record".into(), id.to_string().into());
        object.insert("replaces".into(), record.replaces.map(|id| id.to_string()).into());
        object.insert("reuses".into(), record.reuses.map(|id| id.to_string()).into());
        object.insert("content_hash".into(), record.content_hash().to_string().into());
        object.insert("rows".into(), event.outputs.first().map(|output| output.record.rows).into());
        object.insert("bytes".into(), event.outputs.iter().map(|output| output.record.bytes).sum::<u64>().into());
        object.insert("outputs".into(), event.outputs.iter().map(output_json).collect());
        let checks = record.checks.iter().map(|check| {
            json!({
                "output": check.output.as_str(),
                "check": check.check,
                "blocking": check.blocking,
                "passed": check.failed.is_none(),
                "reason": check.failed.as_ref().map(Reason::to_json),
            })
        });
        object.insert("checks".into(), checks.collect());
    }
    object.into()
}

fn output_json(output: &OutputChange<'_>) -> Value {
    let changes = output.columns.as_deref().map(|columns| {
        let changed = columns.iter().filter(|column| column.change != Change::Equal);
        changed.map(column_json).collect::<Vec<_>>()
    });
    json!({
        "output": output.record.name.as_str(),
        "rows": output.record.rows,
        "rows_before": output.rows_before,
        "bytes": output.record.bytes,
        "changes": changes,
    })
}

/// `{"column", "change", "from"?, "slices"?}`.
pub(crate) fn column_json(column: &ColumnChange) -> Value {
    let mut object = json!({"column": column.column, "change": column.change.name()});
    if let Change::Renamed(from) = &column.change {
        object["from"] = from.as_str().into();
    }
    if !column.slices.is_empty() {
        object["slices"] = column.slices.clone().into();
    }
    object
}

fn text(out: &Out, name: &AssetName, step: &Step, events: &[Event<'_>]) {
    let records = events.iter().filter(|event| matches!(event.past, Past::Record(..))).count();
    let failed = events.len() - records;
    let failed = if failed == 0 { String::new() } else { format!(", {}", number::plural(failed, "failed attempt")) };
    let of = step.partition.run().map(|run| format!(" of {run}")).unwrap_or_default();
    out.line(&format!("{}: {}{failed}", words::bold(format!("{name}{of}")), number::plural(records, "record")));
    let width = events.iter().map(|event| generation(event).len()).max().unwrap_or(0);
    for event in events {
        let ((name, style), span) = match event.past {
            Past::Record(_, record) => (word(record), &record.span),
            Past::Attempt(attempt) => ((Outcome::Failed.name(), words::outcome_style(Outcome::Failed)), &attempt.span),
        };
        let word = style.apply_to(format!("{name:<6}"));
        out.line(&format!("{:>width$}  {word}  {}", generation(event), facts(event, span)));
        details(event).iter().for_each(|(label, told)| {
            out.line(&format!("{:width$}  {} {told}", "", words::dim(format!("{label:<7}"))));
        });
    }
}

fn generation(event: &Event<'_>) -> String {
    match event.past {
        Past::Record(_, record) => record.generation.to_string(),
        Past::Attempt(_) => "-".to_owned(),
    }
}

fn facts(event: &Event<'_>, span: &Span) -> String {
    let mut facts = vec![time::moment(span.end_us), number::seconds(span.seconds())];
    if let (Past::Record(id, _), Some(output)) = (event.past, event.outputs.first()) {
        facts.push(number::plural(output.record.rows, "row"));
        facts.push(number::bytes(event.outputs.iter().map(|output| output.record.bytes).sum()));
        facts.push(words::dim(id.to_string().chars().take(12).collect::<String>()));
    }
    facts.join("  ")
}

/// (label, text) of each line below an event.
fn details(event: &Event<'_>) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    let why = |reason: &Reason| {
        ("why", format!("{} {}", words::safe(&reason.message), words::dim(format!("({})", reason.code))))
    };
    match event.past {
        Past::Attempt(attempt) => lines.push(why(&attempt.reason)),
        Past::Record(_, record) => {
            lines.extend(record.because.iter().map(why));
            if !record.is_gone() {
                lines.push(("changed", changed(&event.outputs)));
            }
            let failed: Vec<_> = record.checks.iter().filter(|check| check.failed.is_some()).collect();
            if !record.checks.is_empty() {
                let passed = record.checks.len() - failed.len();
                let failed = if failed.is_empty() { String::new() } else { format!(", {} failed", failed.len()) };
                lines.push(("checks", format!("{passed} passed{failed}")));
            }
            lines.extend(failed.iter().filter_map(|check| {
                let reason = check.failed.as_ref()?;
                Some(("", format!("{} of {}: {}", check.check, check.output, words::safe(&reason.message))))
            }));
        }
    }
    if let Some(trigger) = event.trigger {
        lines.push(("by", words::safe(trigger)));
    }
    lines
}

/// One line: which columns changed, by what became of them.
fn changed(outputs: &[OutputChange<'_>]) -> String {
    let mut told = Vec::new();
    for (i, output) in outputs.iter().enumerate() {
        // The first output needs no name: it is what was asked for.
        let whose = if i == 0 { String::new() } else { format!("{}: ", output.record.name) };
        let Some(columns) = &output.columns else { continue };
        let mut parts = Vec::new();
        if let Some(before) = output.rows_before.filter(|before| *before != output.record.rows) {
            parts.push(format!("rows {} → {}", number::count(before), number::count(output.record.rows)));
        }
        for (change, word) in [(Change::Changed, ""), (Change::Added, "new "), (Change::Removed, "gone ")] {
            let names = columns.iter().filter(|column| column.change == change);
            let names: Vec<String> = names.map(with_slices).collect();
            let all = columns.len();
            if names.len() == all && all > 3 && change == Change::Changed && columns.iter().all(|c| c.slices.is_empty())
            {
                parts.push(format!("all {all} columns"));
            } else if !names.is_empty() {
                parts.push(format!("{word}{}", listed(&names)));
            }
        }
        parts.extend(columns.iter().filter_map(|column| match &column.change {
            Change::Renamed(from) => Some(format!("{from} is {} now", column.column)),
            _ => None,
        }));
        if !parts.is_empty() {
            told.push(format!("{whose}{}", parts.join("; ")));
        }
    }
    if outputs.iter().all(|output| output.columns.is_none()) {
        return "everything: it is the first".to_owned();
    }
    if told.is_empty() { "nothing: it came out equal".to_owned() } else { told.join("; ") }
}

/// A column, with the slices in which it differs where there are any.
pub(crate) fn with_slices(column: &ColumnChange) -> String {
    match column.slices.as_slice() {
        [] => column.column.clone(),
        slices if slices.len() <= 3 => format!("{} ({})", column.column, slices.join(", ")),
        slices => format!("{} ({} slices)", column.column, slices.len()),
    }
}
