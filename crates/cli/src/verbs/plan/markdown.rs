//! A plan as Markdown, for a pull request: what would be made, why, which columns, at what cost.

use super::Answer;
use super::estimate::{Cost, computes};
use super::groups::{self, Group};
use super::text;
use crate::out::Out;
use crate::render::{gone, number, words};
use assets_core::AssetName;
use assets_core::freshness::State;
use assets_engine::plan::PlannedStep;
use std::collections::{BTreeSet, HashMap};

/// Columns that are named in one cell.
const COLUMNS: usize = 12;

pub(crate) fn tell(out: &Out, answer: &Answer<'_>) {
    out.text(&document(answer));
}

fn document(answer: &Answer<'_>) -> String {
    let mut lines = vec![format!("### Plan: {}", escaped(&text::total(answer))), String::new()];
    let groups: Vec<Group<'_>> = groups::steps(answer.plan).into_iter().filter(|g| g.state != State::Fresh).collect();
    if !groups.is_empty() {
        lines.push(row(&["asset", "runs", "state", "why", "columns", "estimate"].map(str::to_owned)));
        lines.push("|---|---:|---|---|---|---|".to_owned());
        lines.extend(groups.iter().map(|group| step_row(answer, group)));
        lines.push(String::new());
    }
    let gone: Vec<String> = gone::to_take_down(answer.plan).iter().map(|line| escaped(line)).collect();
    if !gone.is_empty() {
        lines.extend(gone.into_iter().chain([String::new()]));
    }
    lines.extend(column_table(answer));
    lines.extend(details(answer, &groups));
    lines.join("\n")
}

fn row(cells: &[String]) -> String {
    format!("| {} |", cells.join(" | "))
}

fn step_row(answer: &Answer<'_>, group: &Group<'_>) -> String {
    let runs = group.runs().len();
    let runs = if runs == 0 { String::new() } else { number::count(runs as u64) };
    row(&[
        code(group.asset.as_str()),
        runs,
        group.state.name().to_owned(),
        escaped(&group.why),
        columns_of(answer, group),
        estimate(&answer.estimate.of(group.steps.iter().copied())),
    ])
}

/// The columns that steps of a group compute, where they are made column by column.
fn columns_of(answer: &Answer<'_>, group: &Group<'_>) -> String {
    if !computes(group.state) {
        return String::new();
    }
    if !answer.graph.asset(group.asset.as_str()).is_some_and(|asset| asset.by_column) {
        return "all".to_owned();
    }
    let own = |planned: &PlannedStep| -> (usize, usize) {
        let own = || planned.parts.iter().filter(|part| part.output == *group.asset);
        (own().filter(|part| computes(part.state)).count(), own().count())
    };
    let counts: BTreeSet<(usize, usize)> = group.steps.iter().map(|planned| own(planned)).collect();
    match (counts.first(), counts.last()) {
        (Some((few, all)), Some((many, _))) if few == many => format!("{few} of {all}"),
        (Some((few, _)), Some((many, all))) => format!("{few} to {many} of {all}"),
        _ => String::new(),
    }
}

fn estimate(cost: &Cost) -> String {
    if cost.steps == 0 {
        return String::new();
    }
    match (cost.is_known(), cost.whole_bytes()) {
        (true, Some(bytes)) => format!("{}, {}", number::seconds(cost.seconds), number::bytes(bytes)),
        _ => "unknown".to_owned(),
    }
}

/// The columns that are to be computed, or may be.
fn column_table(answer: &Answer<'_>) -> Vec<String> {
    let alike = groups::columns(answer.graph, answer.plan, &answer.estimate);
    let alike: Vec<_> = alike.into_iter().filter(|alike| computes(alike.state)).collect();
    if alike.is_empty() {
        return Vec::new();
    }
    let certain = number::plural(groups::certain(answer.graph, answer.plan), "column");
    let mut lines = vec![format!("**Columns** ({certain} to compute for certain)"), String::new()];
    lines.push(row(&["output", "columns", "runs", "state", "why", "estimate"].map(str::to_owned)));
    lines.push("|---|---|---:|---|---|---|".to_owned());
    for alike in alike {
        let names = alike.names.iter().take(COLUMNS).map(|name| code(name)).collect::<Vec<_>>().join(" ");
        let more = match alike.names.len().saturating_sub(COLUMNS) {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        lines.push(row(&[
            code(alike.output.as_str()),
            names + &more,
            number::count(alike.runs as u64),
            alike.state.name().to_owned(),
            escaped(&alike.why),
            estimate(&alike.cost),
        ]));
    }
    lines.push(String::new());
    lines
}

/// Runs by name, where an asset is to be made for few of its runs.
fn details(answer: &Answer<'_>, groups: &[Group<'_>]) -> Vec<String> {
    let mut of_asset: HashMap<&AssetName, usize> = HashMap::new();
    answer.plan.steps.iter().for_each(|planned| *of_asset.entry(&planned.step.asset).or_default() += 1);
    let named = groups.iter().filter(|group| text::names_runs(group, of_asset.get(group.asset).copied().unwrap_or(0)));
    let named: Vec<String> = named
        .map(|group| {
            let runs: Vec<String> = group.runs().iter().map(|run| code(run)).collect();
            format!("- {}, {}: {}", code(group.asset.as_str()), group.state.name(), runs.join(" "))
        })
        .collect();
    if named.is_empty() {
        return named;
    }
    let mut lines = vec!["<details><summary>Runs</summary>".to_owned(), String::new()];
    lines.extend(named);
    lines.extend([String::new(), "</details>".to_owned(), String::new()]);
    lines
}

/// A name or id: in `<code>`, where nothing is taken for a mention or an issue.
fn code(text: &str) -> String {
    format!("<code>{}</code>", escaped(text))
}

/// Text of data as text of Markdown: as HTML entities, which mean nothing to a table, a code span or a link.
fn escaped(text: &str) -> String {
    let text = words::safe(text);
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        // Within a word an underscore is one, for Markdown too.
        let within = c == '_' && before.is_alphanumeric() && rest.peek().is_some_and(|next| next.is_alphanumeric());
        if !within
            && matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|' | '~' | '&' | '@' | '$' | '!')
        {
            out.push_str(&format!("&#{};", u32::from(c)));
        } else {
            out.push(c);
        }
        before = c;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_data_is_markdown() {
        assert_eq!(code("a|b`c"), "<code>a&#124;b&#96;c</code>");
        assert_eq!(escaped("vx_1 of _x_ <b> @you"), "vx_1 of &#95;x&#95; &#60;b&#62; &#64;you");
        assert_eq!(escaped("two\nlines"), "two&#92;nlines");
    }
}
