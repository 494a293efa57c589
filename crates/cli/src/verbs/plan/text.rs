//! A plan for a terminal.

use super::Answer;
use super::estimate::Cost;
use super::groups::{self, Group};
use crate::out::Out;
use crate::render::{gone, number, words};
use assets_core::AssetName;
use assets_core::freshness::State;
use std::collections::HashMap;

/// Runs that are named one by one.
const NAMED: usize = 12;
/// Columns that are named in one line: so many, and no more than this many characters.
const COLUMNS: usize = 16;
const NAMES: usize = 80;
/// A reason that would make a line longer than this has a line of its own.
const WIDTH: usize = 100;

pub(crate) fn tell(out: &Out, answer: &Answer<'_>) {
    steps(out, answer);
    columns(out, answer);
}

fn steps(out: &Out, answer: &Answer<'_>) {
    let groups = groups::steps(answer.plan);
    let width = groups.iter().map(|group| group.asset.as_str().len()).max().unwrap_or(0);
    let costs: Vec<Cost> = groups.iter().map(|group| answer.estimate.of(group.steps.iter().copied())).collect();
    let estimated = costs.iter().any(|cost| cost.steps > 0 && cost.is_known());
    let mut per_asset: HashMap<&AssetName, usize> = HashMap::new();
    answer.plan.steps.iter().for_each(|planned| *per_asset.entry(&planned.step.asset).or_default() += 1);
    for (group, cost) in groups.iter().zip(&costs) {
        let (runs, cost) = (group.runs(), if estimated { cell(cost) } else { String::new() });
        let how_many = if runs.is_empty() { String::new() } else { number::plural(runs.len(), "run") };
        let word = words::state_style(group.state).apply_to(format!("{:<8}", group.state.name()));
        let before = format!("{:<width$}  {how_many:>9}  {word}  {cost}", group.asset.as_str());
        let fits = console::measure_text_width(&before) + group.why.chars().count() <= WIDTH;
        let indented = |text: &str| words::dim(format!("{:width$}             {text}", ""));
        if fits {
            out.line(format!("{before}{}", group.why).trim_end());
        } else {
            out.line(before.trim_end());
            out.line(&indented(&group.why));
        }
        if names_runs(group, per_asset.get(group.asset).copied().unwrap_or(0)) {
            out.line(&indented(&runs.join(" ")));
        }
    }
    for line in gone::to_take_down(answer.plan) {
        out.line(&words::dim(words::safe(&line)));
    }
    out.line(&total(answer));
}

/// Whether the runs of a group are named: it is a part of its asset's, and they are few.
pub(crate) fn names_runs(group: &Group<'_>, of_asset: usize) -> bool {
    let runs = group.runs().len();
    of_asset > runs && group.state != State::Fresh && (1..=NAMED).contains(&runs)
}

/// The estimate of a line, as wide in every line.
fn cell(cost: &Cost) -> String {
    if cost.steps == 0 || !cost.is_known() {
        return " ".repeat(22);
    }
    format!("{:>10}  {:>8}  ", number::seconds(cost.seconds), number::bytes(cost.whole_bytes().unwrap_or(0)))
}

fn columns(out: &Out, answer: &Answer<'_>) {
    let alike = groups::columns(answer.graph, answer.plan, &answer.estimate);
    if alike.is_empty() {
        return;
    }
    out.line("");
    out.line("by column:");
    let width = alike.iter().map(|alike| alike.output.as_str().len()).max().unwrap_or(0);
    for alike in alike {
        // A stored column costs nothing: how it is called elsewhere matters only where it is not simply kept.
        let (word, mut why) =
            if alike.state == State::Fresh { ("kept", String::new()) } else { (alike.state.name(), alike.why) };
        if alike.cost.steps > 0 && alike.cost.is_known() {
            let bytes = number::bytes(alike.cost.whole_bytes().unwrap_or(0));
            why += &format!(" (about {}, {bytes})", number::seconds(alike.cost.seconds));
        }
        let word = words::state_style(alike.state).apply_to(format!("{word:<8}"));
        let names = named(&alike.names);
        let runs = number::plural(alike.runs, "run");
        out.line(format!("{:<width$}  {runs:>9}  {word}  {names}", alike.output.as_str()).trim_end());
        if !why.is_empty() {
            out.line(&words::dim(format!("{:width$}                       {why}", "")));
        }
    }
    let computed = groups::certain(answer.graph, answer.plan);
    out.line(&format!("{} to compute for certain", number::plural(computed, "column")));
}

fn named(names: &[String]) -> String {
    let mut length = 0;
    let fits = names.iter().take(COLUMNS).take_while(|name| {
        length += name.chars().count() + 1;
        length <= NAMES
    });
    let shown = fits.count().max(1).min(names.len());
    let first = names[..shown].join(" ");
    if shown < names.len() { format!("{first} and {} more", names.len() - shown) } else { first }
}

/// The last line: how many steps are in which state, and what it costs.
pub(crate) fn total(answer: &Answer<'_>) -> String {
    let plan = answer.plan;
    let steps = number::plural(plan.steps.len(), "step");
    let down = match plan.to_take_down().count() {
        0 => String::new(),
        n => format!("; {} of what is gone to take down", number::plural(n, "step")),
    };
    if plan.steps.is_empty() && down.is_empty() {
        return "no steps: nothing is delivered yet, or nothing fits the selection".to_owned();
    }
    if plan.is_fresh() {
        return format!("everything is fresh: {steps}, nothing to do");
    }
    let counts = plan.counts();
    let told = |state: &State| counts.get(state).map(|n| format!("{n} {}", state.name()));
    let told: Vec<String> = State::ALL.iter().filter_map(told).collect();
    format!("{steps}: {}{}{down}", told.join(", "), work(answer))
}

fn work(answer: &Answer<'_>) -> String {
    let cost = answer.estimate.of(&answer.plan.steps);
    if cost.steps == 0 || !cost.is_known() {
        return String::new();
    }
    let about = if answer.plan.counts().contains_key(&State::Maybe) { "up to about" } else { "about" };
    let bytes = number::bytes(cost.whole_bytes().unwrap_or(0));
    let unknown = match cost.unknown {
        0 => String::new(),
        n => format!(", and {} of which nothing is recorded", number::plural(n, "step")),
    };
    let elapsed = answer.estimate.elapsed(&cost);
    let at_once = if elapsed > 0.8 * cost.seconds {
        String::new()
    } else {
        format!(" in about {}, as several steps are made at once", number::seconds(elapsed))
    };
    format!("; {about} {} of work{at_once}, {bytes} to write{unknown}", number::seconds(cost.seconds))
}
