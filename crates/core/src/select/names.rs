//! Names in a selection: what they mean in a graph, and what was meant where they mean nothing.

use super::eval::Leaf;
use super::parse::{Filter, Written};
use super::{FAILED, Place, Problem, STALE, SelectError};
use crate::asset::AssetDecl;
use crate::freshness::State;
use crate::graph::Graph;
use crate::key::AssetName;
use crate::suggest;
use std::collections::BTreeSet;

/// The asset of that name, or the one that writes the output of that name.
pub fn resolve(graph: &Graph, name: &str) -> Result<AssetName, SelectError> {
    match graph.producer(name) {
        Some(asset) => Ok(asset.name.clone()),
        None => Err(unknown(graph, name, None)),
    }
}

fn unknown(graph: &Graph, name: &str, place: Option<Place>) -> SelectError {
    let hint = suggest::hint(name, graph.outputs().map(|o| o.name.as_str()));
    let hint = if hint.is_empty() { there_are(graph.order().iter().map(AssetName::as_str)) } else { hint };
    SelectError::Unknown { name: name.to_owned(), hint, place }
}

fn there_are<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    match names.get(..12) {
        Some(first) if names.len() > 12 => format!("; there are {} and {} more", first.join(", "), names.len() - 12),
        _ if names.is_empty() => "; there is none".to_owned(),
        _ => format!("; there are {}", names.join(", ")),
    }
}

/// The nearest of the known words, or all of them.
pub(super) fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match suggest::hint(word, known.clone()) {
        hint if hint.is_empty() => there_are(known.into_iter()),
        hint => hint,
    }
}

/// An error with its place.
pub(super) fn error(text: &str, problem: Problem, at: usize) -> SelectError {
    SelectError::Malformed { problem, place: Place { text: text.to_owned(), column: at + 1 } }
}

/// What a filter means in a graph. What selects nothing because nothing has that name is an error: a slip of the pen
/// must not look like a selection of nothing.
pub(super) fn leaf(graph: &Graph, text: &str, written: &Written) -> Result<Leaf, SelectError> {
    let wrong = |problem| Err(error(text, problem, written.at));
    let having = |has: &dyn Fn(&AssetDecl) -> bool| -> BTreeSet<AssetName> {
        graph.assets().filter(|asset| has(asset)).map(|asset| asset.name.clone()).collect()
    };
    let assets = match &written.filter {
        Filter::Key(key) => {
            let found = having(&|asset| asset.outputs.iter().any(|output| fits(key, output.name.as_str())));
            if found.is_empty() {
                let several = text.trim() != key;
                let place = several.then(|| Place { text: text.to_owned(), column: written.at + 1 });
                return Err(unknown(graph, key, place));
            }
            found
        }
        Filter::Tag { name, value } => {
            let found = having(&|asset| asset.tags.iter().any(|tag| has_tag(tag, name, value.as_deref())));
            if found.is_empty() {
                let tag = value.as_ref().map_or_else(|| name.clone(), |value| format!("{name}={value}"));
                let known: BTreeSet<&str> = graph.assets().flat_map(|asset| &asset.tags).map(String::as_str).collect();
                let hint = suggestion(&tag, known);
                return wrong(Problem::UnknownTag { tag, hint });
            }
            found
        }
        Filter::Column(column) => {
            let found = having(&|asset| asset.outputs.iter().any(|output| has_column(output, column)));
            if found.is_empty() {
                let known: BTreeSet<&str> =
                    graph.outputs().flat_map(|output| &output.columns).map(|column| column.name.as_str()).collect();
                let short = column.split_once('.').map_or(column.as_str(), |(_, column)| column);
                let hint = suggest::hint(short, known);
                return wrong(Problem::UnknownColumn { column: column.clone(), hint });
            }
            found
        }
        Filter::Stale(state) => return states("stale", state.as_deref(), &STALE, 2).or_else(wrong),
        Filter::Failed(state) => return states("failed", state.as_deref(), &FAILED, FAILED.len()).or_else(wrong),
    };
    Ok(Leaf::Assets(assets))
}

fn has_tag(tag: &str, name: &str, value: Option<&str>) -> bool {
    match (tag.split_once('='), value) {
        (Some((own, own_value)), Some(value)) => fits(name, own) && fits(value, own_value),
        (Some((own, _)), None) => fits(name, own),
        (None, None) => fits(name, tag),
        (None, Some(_)) => false,
    }
}

/// `column`, or `output.column`.
fn has_column(output: &crate::OutputDecl, pattern: &str) -> bool {
    let column = match pattern.split_once('.') {
        Some((name, column)) if fits(name, output.name.as_str()) => column,
        Some(_) => return false,
        None => pattern,
    };
    output.columns.iter().any(|known| fits(column, &known.name))
}

fn states(filter: &'static str, asked: Option<&str>, known: &[State], default: usize) -> Result<Leaf, Problem> {
    let Some(asked) = asked else { return Ok(Leaf::States(known[..default].iter().copied().collect())) };
    let found: BTreeSet<State> = known.iter().copied().filter(|state| fits(asked, state.name())).collect();
    if found.is_empty() {
        let hint = suggestion(asked, known.iter().map(|state| state.name()));
        return Err(Problem::UnknownState { filter, state: asked.to_owned(), hint });
    }
    Ok(Leaf::States(found))
}

/// Whether a pattern, in which `*` stands for any characters, describes the whole of a text.
pub(super) fn fits(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        // The earliest place leaves the most for what follows.
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}
