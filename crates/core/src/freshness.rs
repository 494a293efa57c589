//! When a step is fresh: a pure function from what is declared, what is recorded and what the inputs hold now, to a
//! state with all its reasons. Nothing here looks at a disk, a clock, or an order of execution.

use crate::asset::{AssetDecl, Reads};
use crate::hash::{ContentHash, Fingerprint, Hasher};
use crate::key::Partition;
use crate::over_all;
use crate::part::Listed;
use crate::reason::{Reason, plural};
use crate::record::{AttemptRecord, InputRecord, OutputRecord, Part, PartId, Recipe, SliceRef, StepRecord};
use crate::shared_text::SharedText;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What a step is, before a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// What is stored follows from what is true now.
    Fresh,
    /// An older record of this step does: taking it again computes nothing.
    Reusable,
    /// It has to be made.
    Stale,
    /// An input is to be remade and may come out equal.
    Maybe,
    /// The latest attempt failed with this fingerprint.
    Failed,
    /// An input failed.
    Blocked,
}

impl State {
    /// All of them, in the order in which people read them.
    pub const ALL: [Self; 6] = [Self::Fresh, Self::Reusable, Self::Stale, Self::Maybe, Self::Failed, Self::Blocked];

    /// The word used everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Reusable => "reusable",
            Self::Stale => "stale",
            Self::Maybe => "maybe",
            Self::Failed => "failed",
            Self::Blocked => "blocked",
        }
    }
}

/// A state with all its reasons.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The state.
    pub state: State,
    /// Why. Empty only for a fresh step.
    pub reasons: Vec<Reason>,
}

impl Verdict {
    /// A state for one reason.
    pub fn because(state: State, reason: Reason) -> Self {
        Self { state, reasons: vec![reason] }
    }
}

/// What a step reads of one output, as that output is now.
pub fn read_of(input: &crate::InputDecl, output: &OutputRecord) -> InputRecord {
    let parts = output.parts.iter().filter(|part| input.reads.includes(&part.id.column));
    let mut parts: Vec<(PartId, ContentHash)> = parts.map(|part| (part.id.clone(), seen(part, output))).collect();
    for absent in output.unavailable.iter().filter(|absent| !output.parts.iter().any(|part| absent.is_of(part))) {
        let ids = columns_read(input, output).into_iter();
        let ids = ids.map(|column| PartId { slice: Some((&absent.column).into()), column });
        parts.extend(ids.map(|id| (id, unknown(&absent.reason, None))));
    }
    parts.sort_by(|(a, _), (b, _)| a.cmp(b));
    InputRecord { output: output.name.clone(), rows: output.rows, parts }
}

/// A part as its readers see it: where it can't be known, with the reason, which they hand on.
fn seen(part: &Part, output: &OutputRecord) -> ContentHash {
    let reason = output.unavailable.iter().find(|unavailable| unavailable.is_of(part));
    reason.map_or(part.hash, |unavailable| unknown(&unavailable.reason, Some(part.hash)))
}

/// What stands for something that can't be known: the reason's code and facts, whatever the words.
fn unknown(reason: &Reason, hash: Option<ContentHash>) -> ContentHash {
    let mut hasher = Hasher::new("assets.unknown.1");
    hasher.text(&reason.code).number(reason.facts.len() as u64);
    for (name, fact) in reason.facts.iter() {
        hasher.text(name).text(&format!("{fact:?}"));
    }
    hash.iter().for_each(|hash| {
        hasher.bytes(hash.0.as_bytes());
    });
    ContentHash(hasher.finish())
}

fn columns_read(input: &crate::InputDecl, output: &OutputRecord) -> BTreeSet<SharedText> {
    match &input.reads {
        Reads::Columns(columns) => columns.iter().map(SharedText::from).collect(),
        Reads::All if output.parts.is_empty() => BTreeSet::from(["*".into()]),
        Reads::All => output.parts.iter().map(|part| part.id.column.clone()).collect(),
    }
}

/// All that goes into a step now. `inputs` in the order of the declaration.
pub fn recipe(asset: &AssetDecl, inputs: Vec<InputRecord>, mut slices: Vec<SliceRef>) -> Recipe {
    // Neither the order nor the names of files count, only what is in them.
    slices.sort_by(|a, b| (a.hash, &a.path).cmp(&(b.hash, &b.path)));
    Recipe { code: asset.code.clone(), shape: asset.shape(), params: asset.params.clone(), inputs, slices }
}

/// The fingerprint of a step: no paths, times, attempt numbers, thread counts, descriptions or units.
///
/// Of an asset made by columns: over those of its columns, so that it changes exactly when one of them does.
pub fn fingerprint(listed: Listed<'_>, partition: &Partition, recipe: &Recipe) -> Fingerprint {
    let asset = listed.asset;
    if asset.by_column {
        let parts = listed.of_recipe(partition, recipe);
        return of_columns(asset, parts.into_iter().map(|(.., found)| found));
    }
    let mut hasher = Hasher::new("assets.fingerprint.1");
    hasher.text(asset.name.as_str()).number(partition.keys().len() as u64);
    for (dimension, key) in partition.keys() {
        hasher.text(dimension).text(key);
    }
    hasher.text(&recipe.code).text(&recipe.shape).number(recipe.params.len() as u64);
    for (name, value) in &recipe.params {
        hasher.text(name).text(value);
    }
    hasher.number(recipe.inputs.len() as u64);
    for input in &recipe.inputs {
        hasher.text(input.output.as_str()).number(input.rows).number(input.parts.len() as u64);
        for (part, hash) in &input.parts {
            hasher.optional(part.slice.as_deref()).text(&part.column).bytes(hash.0.as_bytes());
        }
    }
    hasher.number(recipe.slices.len() as u64);
    for slice in &recipe.slices {
        hasher.bytes(slice.hash.0.as_bytes()).number(slice.rows);
    }
    Fingerprint(hasher.finish())
}

/// The fingerprint of a step that is made by columns, from those of all parts that it lists, in their order.
pub fn of_columns(asset: &AssetDecl, parts: impl Iterator<Item = Fingerprint>) -> Fingerprint {
    let mut hasher = Hasher::new("assets.fingerprint.columns.1");
    hasher.text(&asset.shape());
    for fingerprint in parts {
        hasher.bytes(fingerprint.0.as_bytes());
    }
    Fingerprint(hasher.finish())
}

/// What there is to judge a step by, once all its inputs are known.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// All that goes in now.
    pub recipe: &'a Recipe,
    /// Its hash.
    pub fingerprint: Fingerprint,
    /// The newest record.
    pub newest: Option<&'a StepRecord>,
    /// Whether everything the newest record stored is there.
    pub newest_there: bool,
    /// Whether an older record has this fingerprint, and its objects are there.
    pub older: Option<&'a StepRecord>,
    /// The latest attempt, if it failed after the newest record.
    pub attempt: Option<&'a AttemptRecord>,
    /// Whether a person asked to make it in any case.
    pub forced: bool,
}

/// The verdict on a step whose inputs are all known.
pub fn judge(evidence: Evidence<'_>) -> Verdict {
    let mut reasons = Vec::new();
    if evidence.forced {
        reasons.push(Reason::new("forced", "you asked to make it again (--force)"));
    }
    match evidence.newest {
        None => reasons.push(Reason::new("never_made", "it was never made")),
        Some(newest) => {
            reasons.extend(came_back(newest));
            reasons.extend(differences(&newest.recipe, evidence.recipe));
            if reasons.is_empty() && newest.fingerprint != evidence.fingerprint {
                // Unknown is never fresh: the hashes differ even where we can't say in what.
                reasons.push(Reason::new("changed", "what goes into it differs from its newest record"));
            }
            if !evidence.newest_there {
                let missing = newest.objects().map(ToString::to_string).collect::<Vec<_>>();
                let message = "an object that its newest record stored is not in the store any more";
                reasons.push(Reason::new("lost_object", message).with("objects", missing));
            }
        }
    }
    let failed = evidence.attempt.filter(|attempt| attempt.fingerprint == evidence.fingerprint);
    if let (Some(attempt), false) = (failed, evidence.forced) {
        reasons.insert(0, attempt.reason.clone());
        return Verdict { state: State::Failed, reasons };
    }
    let state = match evidence.older {
        _ if reasons.is_empty() => State::Fresh,
        Some(_) if !evidence.forced => State::Reusable,
        _ => State::Stale,
    };
    Verdict { state, reasons }
}

/// That a step whose tables were taken down is wanted again.
pub fn came_back(newest: &StepRecord) -> Option<Reason> {
    newest.is_gone().then(|| Reason::new("run_came_back", "it was gone, and is delivered again"))
}

/// What changed between two recipes, old value → new value.
pub fn differences(old: &Recipe, new: &Recipe) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if old.code != new.code {
        let message = format!("its code changed: {} → {}", old.code, new.code);
        reasons
            .push(Reason::new("code_changed", message).with("old", old.code.as_str()).with("new", new.code.as_str()));
    }
    if old.shape != new.shape {
        reasons.push(Reason::new("columns_changed", "the columns that it declares changed"));
    }
    parameter_differences(old, new, &mut reasons);
    input_differences(old, new, &mut reasons);
    slice_differences(old, new, &mut reasons);
    reasons
}

fn parameter_differences(old: &Recipe, new: &Recipe, reasons: &mut Vec<Reason>) {
    let value = |params: &[(SharedText, SharedText)], name: &str| {
        params.iter().find(|(n, _)| n == name).map_or_else(|| "(not set)".to_owned(), |(_, value)| value.to_string())
    };
    let mut names: Vec<&SharedText> = old.params.iter().chain(&new.params).map(|(name, _)| name).collect();
    names.sort();
    names.dedup();
    for name in names {
        let (before, now) = (value(&old.params, name), value(&new.params, name));
        if before != now {
            let reason = Reason::new("parameter_changed", format!("the parameter {name} changed: {before} → {now}"));
            reasons.push(reason.with("parameter", name.as_str()).with("old", before).with("new", now));
        }
    }
}

fn input_differences(old: &Recipe, new: &Recipe, reasons: &mut Vec<Reason>) {
    for now in &new.inputs {
        let Some(before) = old.inputs.iter().find(|input| input.output == now.output) else {
            let reason = Reason::new("new_input", format!("it reads {} now", now.output));
            reasons.push(reason.with("input", now.output.as_str()));
            continue;
        };
        if over_all::is_over_all(before, now) {
            reasons.extend(over_all::differences(before, now));
            continue;
        }
        if before.rows != now.rows {
            let message = format!("{} has {} instead of {}", now.output, plural(now.rows, "row"), before.rows);
            let reason = Reason::new("input_rows_changed", message).with("input", now.output.as_str());
            reasons.push(reason.with("old", before.rows).with("new", now.rows));
        }
        let changed: Vec<String> = changed_parts(before, now);
        if !changed.is_empty() {
            let reason = Reason::new("input_changed", format!("{} changed in {}", now.output, listed(&changed)));
            reasons.push(reason.with("input", now.output.as_str()).with("parts", changed));
        }
    }
    for before in &old.inputs {
        if !new.inputs.iter().any(|input| input.output == before.output) {
            let reason = Reason::new("input_gone", format!("it does not read {} any more", before.output));
            reasons.push(reason.with("input", before.output.as_str()));
        }
    }
}

fn changed_parts(before: &InputRecord, now: &InputRecord) -> Vec<String> {
    let was: std::collections::BTreeMap<_, _> = before.parts.iter().map(|(id, hash)| (id, hash)).collect();
    let is: std::collections::BTreeMap<_, _> = now.parts.iter().map(|(id, hash)| (id, hash)).collect();
    let mut changed: Vec<String> =
        is.iter().filter(|(id, hash)| was.get(*id) != Some(*hash)).map(|(id, _)| id.to_string()).collect();
    changed.extend(was.keys().filter(|id| !is.contains_key(*id)).map(ToString::to_string));
    changed
}

fn listed(names: &[String]) -> String {
    match names {
        [names @ .., last] if names.len() < 4 => {
            if names.is_empty() {
                last.clone()
            } else {
                format!("{} and {last}", names.join(", "))
            }
        }
        _ => format!("{} and {} further parts", names[..3].join(", "), names.len() - 3),
    }
}

fn slice_differences(old: &Recipe, new: &Recipe, reasons: &mut Vec<Reason>) {
    let only_in = |these: &Recipe, those: &Recipe| -> Vec<SliceRef> {
        let mut rest: Vec<_> = those.slices.iter().map(|slice| slice.hash).collect();
        let mut only = Vec::new();
        for slice in &these.slices {
            match rest.iter().position(|hash| *hash == slice.hash) {
                Some(at) => drop(rest.swap_remove(at)),
                None => only.push(slice.clone()),
            }
        }
        only
    };
    let mut gone = only_in(old, new);
    for slice in only_in(new, old) {
        let reason = match gone.iter().position(|before| before.path == slice.path) {
            Some(at) => {
                let before = gone.swap_remove(at);
                let message = format!(
                    "its rows in {} changed ({} → {})",
                    slice.path,
                    plural(before.rows, "row"),
                    plural(slice.rows, "row")
                );
                Reason::new("source_changed", message)
                    .with("old", before.hash.to_string())
                    .with("new", slice.hash.to_string())
            }
            None => Reason::new("source_added", format!("{} brings {}", slice.path, plural(slice.rows, "more row"))),
        };
        reasons.push(reason.with("path", slice.path.as_str()).with("rows", slice.rows));
    }
    for slice in gone {
        let message = format!("{} brings its {} no more", slice.path, plural(slice.rows, "row"));
        reasons.push(Reason::new("source_removed", message).with("path", slice.path.as_str()).with("rows", slice.rows));
    }
}
