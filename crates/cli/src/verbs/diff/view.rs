//! A diff for scripts and for people.

use super::{Column, Compared, Diff, First, Version};
use crate::out::Out;
use crate::render::grid::{Grid, Look};
use crate::render::{number, rows, time, words};
use crate::verbs::history::{column_json, with_slices};
use crate::verbs::why::listed;
use assets_core::Reason;
use assets_core::compare::Change;
use assets_core::graph::Graph;
use assets_core::table::Values;
use console::Term;
use serde_json::{Value, json};
use std::io::IsTerminal;

pub(super) fn json(diff: &Diff<'_>) -> Value {
    let (before, after) = (diff.from.output.rows, diff.to.output.rows);
    let mut counts = json!({"before": before, "after": after});
    let mut object = json!({
        "asset": diff.to.output.name.as_str(),
        "run": diff.step.partition.run(),
        "from": version_json(&diff.from),
        "to": version_json(&diff.to),
        "differs": differs(diff),
    });
    match &diff.alignment {
        Ok(alignment) => {
            let (only_before, only_after) = alignment.unmatched();
            counts["compared"] = alignment.matched().into();
            counts["only_before"] = only_before.into();
            counts["only_after"] = only_after.into();
            object["aligned_by"] = alignment.by.name().into();
        }
        Err(reason) => object["unread"] = reason.to_json(),
    }
    object["rows"] = counts;
    object["columns"] = diff.columns.iter().map(value_json).collect();
    object["reasons"] = diff.reasons.iter().map(Reason::to_json).collect();
    object["also"] = diff.also.clone().into();
    object
}

fn differs(diff: &Diff<'_>) -> bool {
    diff.from.output.rows != diff.to.output.rows
        || diff.columns.iter().any(|column| column.change.change != Change::Equal)
}

fn version_json(version: &Version<'_>) -> Value {
    let record = version.record;
    json!({
        "generation": record.generation,
        "record": version.id.to_string(),
        "at": time::iso(record.span.end_us, 6),
        "build": record.build,
        "reused": record.reuses.is_some(),
        "because": record.because.iter().map(Reason::to_json).collect::<Vec<_>>(),
    })
}

fn value_json(column: &Column) -> Value {
    let mut object = column_json(&column.change);
    match &column.values {
        None => {}
        Some(Err(reason)) => object["unread"] = reason.to_json(),
        Some(Ok(Compared { changes, first })) => {
            object["differ"] = changes.differ.into();
            object["nulls_before"] = changes.nulls.0.into();
            object["nulls_after"] = changes.nulls.1.into();
            object["largest_difference"] = changes.largest.into();
            object["mean_difference"] = changes.mean.into();
            object["first"] = first.as_ref().map(first_json).into();
        }
    }
    object
}

fn first_json(first: &First) -> Value {
    json!({
        "row_before": first.rows.0,
        "row_after": first.rows.1,
        "time": first.time_us.map(|at| time::iso(at, 6)),
        "slice": first.slice,
        "before": rows::json_value(&first.was, 0),
        "after": rows::json_value(&first.is, 0),
    })
}

pub(super) fn text(out: &Out, graph: &Graph, diff: &Diff<'_>) {
    let of = diff.step.partition.run().map(|run| format!(" of {run}")).unwrap_or_default();
    out.line(&words::bold(format!("{}{of}", diff.to.output.name)));
    for (label, version) in [("from", &diff.from), ("to", &diff.to)] {
        let record = version.record;
        let made = if record.reuses.is_some() { "reused" } else { "made" };
        let id: String = version.id.to_string().chars().take(12).collect();
        let generation = format!("generation {}", record.generation);
        let when = time::moment(record.span.end_us);
        out.line(&line(label, &format!("{generation}, {made} {when}  {}", words::dim(id))));
    }
    why(out, diff);
    out.line(&line("rows", &row_counts(diff)));
    if !differs(diff) {
        out.line("nothing differs: all columns have equal content hashes");
    }
    if let Err(reason) = &diff.alignment {
        out.line(&line("unread", &format!("{} {}", reason.message, words::dim(format!("({})", reason.code)))));
    }
    others(out, diff);
    compared(out, graph, diff);
    if !diff.also.is_empty() {
        let run = diff.step.partition.run().map(|run| format!(" --run {run}")).unwrap_or_default();
        let differ = if diff.also.len() == 1 { "differs" } else { "differ" };
        out.hint(&format!("{} {differ}, too: assets diff {}{run}", diff.also.join(", "), diff.also[0]));
    }
}

fn line(label: &str, text: &str) -> String {
    format!("  {} {text}", words::dim(format!("{label:<6}")))
}

fn why(out: &Out, diff: &Diff<'_>) {
    // What the later one was made for says more where nothing of its recipe differs, as after `--force`.
    let next = diff.to.record.replaces.as_ref() == Some(diff.from.id);
    let reasons = if diff.reasons.is_empty() && next { &diff.to.record.because } else { &diff.reasons };
    for reason in reasons {
        let code = words::dim(format!("({})", reason.code));
        out.line(&line("why", &format!("{} {code}", words::safe(&reason.message))));
    }
    if reasons.is_empty() {
        out.line(&line("why", "nothing that goes into it differs"));
    }
}

fn row_counts(diff: &Diff<'_>) -> String {
    let (before, after) = (diff.from.output.rows, diff.to.output.rows);
    let mut text = number::count(after);
    if before != after {
        text = format!("{} → {text}", number::count(before));
    }
    let Ok(alignment) = &diff.alignment else { return text };
    if diff.columns.iter().all(|column| column.values.is_none()) {
        return text;
    }
    text += &format!(", matched by {}", alignment.by.name());
    let (only_before, only_after) = alignment.unmatched();
    if only_before + only_after > 0 {
        let count = |n: usize| number::count(n as u64);
        let both = count(alignment.matched());
        text += &format!(": {both} in both, {} only before, {} only after", count(only_before), count(only_after));
    }
    text
}

/// Columns of which no value is shown, by what became of them.
fn others(out: &Out, diff: &Diff<'_>) {
    let named = |change: &Change| -> Vec<String> {
        let columns = diff.columns.iter().filter(|column| column.change.change == *change);
        columns.map(|column| with_slices(&column.change)).collect()
    };
    let tell = |label: &str, names: Vec<String>| {
        if !names.is_empty() {
            out.line(&line(label, &listed(&names)));
        }
    };
    tell("new", named(&Change::Added));
    tell("gone", named(&Change::Removed));
    let renamed = diff.columns.iter().filter_map(|column| match &column.change.change {
        Change::Renamed(from) => Some(format!("{from} → {}", column.change.column)),
        _ => None,
    });
    tell("named", renamed.collect());
    if differs(diff) {
        tell("equal", named(&Change::Equal));
    }
    if diff.alignment.is_err() {
        tell("differ", named(&Change::Changed));
    }
}

fn compared(out: &Out, graph: &Graph, diff: &Diff<'_>) {
    let read: Vec<(&Column, &Compared)> =
        diff.columns.iter().filter_map(|column| Some((column, column.values.as_ref()?.as_ref().ok()?))).collect();
    if !read.is_empty() {
        let (grid, has_time) = table(graph, &read);
        let mut grid = grid;
        let dropped = if std::io::stdout().is_terminal() { grid.fit(usize::from(Term::stdout().size().1)) } else { 0 };
        out.text(&format!("\n{}", grid.render()));
        if dropped > 0 {
            out.hint(&format!("{} more than this terminal is wide for", number::plural(dropped, "column")));
        }
        let place = if has_time { "time" } else { "row" };
        out.hint(&format!(
            "largest, mean: absolute differences; was, is: the values at the first {place} that differs"
        ));
    }
    if diff.alignment.is_ok() {
        let unread = diff.columns.iter().filter_map(|column| column.values.as_ref()?.as_ref().err());
        unread.for_each(|reason| out.line(&line("unread", &reason.message)));
    }
}

/// A row for each column that was read; and whether times say which row is the first that differs.
fn table(graph: &Graph, read: &[(&Column, &Compared)]) -> (Grid, bool) {
    let firsts = || read.iter().filter_map(|(_, compared)| compared.first.as_ref());
    let has_time = firsts().any(|first| first.time_us.is_some());
    let decimals = time::decimals(firsts().filter_map(|first| first.time_us));
    let has_nulls = read.iter().any(|(_, compared)| compared.changes.nulls != (0, 0));
    let sliced = firsts().any(|first| first.slice.is_some());
    let mut headers = vec!["column", ">differ", ">largest", ">mean"];
    headers.extend(has_nulls.then_some(">nulls"));
    headers.push(if has_time { "first time" } else { ">first row" });
    headers.extend(sliced.then_some("slice"));
    headers.extend([">was", ">is"]);
    let mut grid = Grid::new(&headers);
    for (column, Compared { changes, first }) in read {
        let size = |size: Option<f64>| size.filter(|_| changes.differ > 0).map_or_else(String::new, number::float);
        let name = match rows::unit(graph, &column.change.column) {
            Some(unit) => format!("{} [{unit}]", column.change.column),
            None => column.change.column.clone(),
        };
        let mut cells = vec![name, number::count(changes.differ), size(changes.largest), size(changes.mean)];
        if has_nulls {
            let (before, after) = changes.nulls;
            cells.push(if before == after { number::count(after) } else { format!("{before} → {after}") });
        }
        let place = first.as_ref().map(|first| match first.time_us {
            Some(at) => time::iso(at, decimals),
            None => number::count(first.rows.1 as u64 + 1),
        });
        cells.push(place.unwrap_or_default());
        if sliced {
            cells.push(first.as_ref().and_then(|first| first.slice.clone()).unwrap_or_default());
        }
        for value in [first.as_ref().map(|first| &first.was), first.as_ref().map(|first| &first.is)] {
            cells.push(value.map(cell).unwrap_or_default());
        }
        grid.row(cells.into_iter().map(|cell| (cell, Look::Plain)).collect());
    }
    (grid, has_time)
}

fn cell(values: &Values) -> String {
    let text = rows::cells(values, 1).into_iter().next().flatten().unwrap_or_else(|| "null".to_owned());
    if text.chars().count() > 24 { text.chars().take(23).chain(['…']).collect() } else { text }
}
