//! The plan column by column: which parts of a step stand, which are stored under another name or in an older record,
//! and which have to be computed.

use crate::inputs::InputNow;
use crate::plan::{PlannedPart, PlannedStep, World, is_there};
use assets_core::catalog::WantedParts;
use assets_core::executor::PartTask;
use assets_core::freshness::{self, State, Verdict};
use assets_core::part::{self, InputView, Listed, Unsettled};
use assets_core::record::{InputRecord, OutputRecord, Recipe, StepRecord};
use assets_core::{AssetDecl, AssetName, Fingerprint, PartCode, PartId, Reason, Step};
use std::cell::OnceCell;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

/// The verdict on each part that an asset lists.
pub(crate) fn plan(
    world: &World<'_>,
    listed: Listed<'_>,
    step: &Step,
    inputs: &[InputNow],
    forced: bool,
) -> Vec<PlannedPart> {
    let asset = listed.asset;
    if asset.outputs.iter().all(|output| output.parts.is_empty()) {
        return Vec::new();
    }
    let now = Now::new(asset, inputs);
    let views = now.views();
    let newest = world.ledger.newest(step).filter(|record| is_there(world.tables, record));
    let (older, of_use, recipe) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
    let recipe = || recipe.get_or_init(|| now.recipe(asset, newest));
    let found: Vec<_> = listed.fingerprints(&step.partition, &views).collect();
    let wanted = || found.iter().filter_map(|(.., found)| found.as_ref().ok().copied()).collect();
    // A table that can be made only as a whole has no use for older columns.
    let older = || older.get_or_init(|| if asset.by_column { older_records(world, step) } else { Vec::new() });
    let with_columns = || if asset.by_column { older_of_use(world, step, newest, &wanted()) } else { Vec::new() };
    let none_open = BTreeSet::new();
    let mut planned = Vec::new();
    for (output, code, found) in &found {
        let (output, code) = (*output, *code);
        let mut part = PlannedPart {
            output: output.clone(),
            id: code.id.clone(),
            state: State::Stale,
            reasons: Arc::default(),
            fingerprint: None,
            stored: None,
        };
        let open = match found {
            Ok(fingerprint) => {
                part.fingerprint = Some(*fingerprint);
                &none_open
            }
            Err(open) => open,
        };
        if let (Some(fingerprint), false) = (&part.fingerprint, forced) {
            let stored = newest.and_then(|record| find(record, output, fingerprint, &code.id));
            part.stored = stored.or_else(|| {
                let records = of_use.get_or_init(with_columns);
                records.iter().find_map(|record| find(record, output, fingerprint, &code.id))
            });
        }
        let stands = match &part.stored {
            Some((record, id)) => *id == part.id && newest.is_some_and(|newest| newest.generation == record.generation),
            None => {
                open.is_empty() && !forced && newest.is_some_and(|newest| stays_away(newest, code, &part, recipe()))
            }
        };
        part.state = match &part.stored {
            _ if stands => State::Fresh,
            Some(_) => State::Reusable,
            None if open.is_empty() || forced => State::Stale,
            None => State::Maybe,
        };
        if !stands {
            let mut reasons = reasons(world, step, code, recipe(), &part, forced);
            // An earlier version with this code and these parameters may fit once the inputs are known.
            let may_fit =
                || older().iter().any(|record| fits(record, code, &part.output, &now.recipe(asset, Some(record))));
            if part.state == State::Maybe && !reasons.is_empty() && !may_fit() {
                part.state = State::Stale;
            }
            reasons.extend(open.iter().map(to_be_made));
            part.reasons = shared(&planned, reasons);
        }
        planned.push(part);
    }
    if let Some(older) = of_use.get() {
        asset.outputs.iter().for_each(|output| take_from_whole(&mut planned, &output.name, older));
    }
    planned
}

/// The reasons as one of the parts just before has them, where one does.
fn shared(before: &[PlannedPart], reasons: Vec<Reason>) -> Arc<[Reason]> {
    const NEAR: usize = 8;
    let same = before.iter().rev().take(NEAR).find(|part| *part.reasons == *reasons);
    same.map_or_else(|| Arc::from(reasons), |part| Arc::clone(&part.reasons))
}

/// Takes columns from the older table that has no others, where there is one: then nothing of it has to be left out, and
/// it only grows. (Someone tries one constant after the other in the expression of a column.)
fn take_from_whole(planned: &mut [PlannedPart], output: &AssetName, older: &[Arc<StepRecord>]) {
    let taken = || planned.iter().filter(|part| part.output == *output && part.stored.is_some());
    let there = |record: &Arc<StepRecord>, part: &PlannedPart| {
        part.fingerprint.as_ref().and_then(|fingerprint| find(record, output, fingerprint, &part.id))
    };
    let is_whole = |record: &&Arc<StepRecord>| {
        let columns = record.output(output).map_or(0, |output| output.parts.len());
        columns > 0 && columns == taken().count() && taken().all(|part| there(record, part).is_some())
    };
    let has_whole = taken().find_map(|part| part.stored.as_ref()).is_some_and(|(record, _)| is_whole(&record));
    let Some(whole) = older.iter().find(is_whole).filter(|_| !has_whole) else { return };
    for part in planned.iter_mut().filter(|part| part.output == *output && part.stored.is_some()) {
        part.stored = there(whole, part);
    }
}

/// Refines the verdict on a step that is made by columns: what no column of it reads does not count.
pub(crate) fn judge(world: &World<'_>, asset: &AssetDecl, planned: &mut PlannedStep, forced: bool) {
    let reshaped = world.ledger.newest(&planned.step).is_some_and(|newest| newest.recipe.shape != asset.shape());
    let any = |state: State| planned.parts.iter().any(|part| part.state == state);
    let known = planned.parts.iter().all(|part| part.fingerprint.is_some());
    let whole = |reason: &&Reason| {
        matches!(&*reason.code, "forced" | "never_made" | "run_came_back" | "lost_object" | "columns_changed")
    };
    if forced || matches!(planned.verdict.state, State::Failed) && known {
        return;
    }
    let state = if any(State::Stale) || any(State::Reusable) || reshaped {
        let reusable = planned.ready.as_ref().is_some_and(|ready| ready.older.is_some());
        if reusable { State::Reusable } else { State::Stale }
    } else if any(State::Maybe) {
        State::Maybe
    } else {
        State::Fresh
    };
    let mut reasons: Vec<Reason> = Vec::new();
    if state != State::Fresh {
        // Its own reasons and those of its columns, each once; what may happen after what did.
        let own = planned.verdict.reasons.iter().filter(whole);
        for reason in own.chain(planned.parts.iter().flat_map(|part| part.reasons.iter())) {
            if !reasons.contains(reason) {
                reasons.push(reason.clone());
            }
        }
        reasons.sort_by_key(|reason| reason.code == "input_to_be_made");
    }
    planned.verdict = Verdict { state, reasons };
}

pub(crate) fn to_be_made(input: &AssetName) -> Reason {
    let message = format!("{input} is to be made and may come out equal");
    Reason::new("input_to_be_made", message).with("input", input.as_str())
}

/// Whether a record has no rows of a slice, and what goes in now gives none either.
fn stays_away(newest: &StepRecord, code: &PartCode, part: &PlannedPart, now: &Recipe) -> bool {
    // A parameter that is gone is none of the code any more, and may have been what kept the rows away.
    is_absent(newest, part) && newest.recipe.params == now.params && absence_differences(newest, code, now).is_empty()
}

/// Whether a record has its output without rows of that slice. Such a slice is not new: it may never come.
fn is_absent(newest: &StepRecord, part: &PlannedPart) -> bool {
    let output = newest.output(&part.output);
    part.id.slice.is_some() && output.is_some_and(|output| output.parts.iter().all(|known| known.id != part.id))
}

/// What could bring rows of a slice that had none. Nothing was stored that would tell about its own code.
fn absence_differences(newest: &StepRecord, code: &PartCode, now: &Recipe) -> Vec<Reason> {
    let mut reasons = part::differences(code, &newest.recipe, now);
    if newest.recipe.code != now.code || newest.recipe.shape != now.shape {
        reasons.push(Reason::new("code_changed", format!("the code of {} changed", code.id)));
    }
    reasons
}

/// Why a part does not stand.
fn reasons(
    world: &World<'_>,
    step: &Step,
    code: &PartCode,
    now: &Recipe,
    part: &PlannedPart,
    forced: bool,
) -> Vec<Reason> {
    if forced {
        return vec![Reason::new("forced", "you asked to make it again (--force)")];
    }
    let Some(newest) = world.ledger.newest(step) else {
        return vec![Reason::new("never_made", "it was never made")];
    };
    if let Some(reason) = freshness::came_back(newest).filter(|_| part.stored.is_none()) {
        return vec![reason];
    }
    let before = newest.output(&part.output).and_then(|output| output.parts.iter().find(|p| p.id == part.id));
    if let Some((record, id)) = &part.stored {
        let from = if record.generation == newest.generation { "" } else { " in an earlier version" };
        let name = if *id == part.id { String::new() } else { format!(" as {id}") };
        let message = format!("{} is stored already{name}{from}", part.id);
        let reason = Reason::new("column_stored", message).with("column", part.id.to_string());
        return vec![if from.is_empty() { reason } else { reason.with("generation", record.generation) }];
    }
    let lost = "an object that its newest record stored is not in the store any more";
    if is_absent(newest, part) {
        let mut reasons = absence_differences(newest, code, now);
        if reasons.is_empty() && part.fingerprint.is_some() {
            reasons.push(Reason::new("lost_object", lost));
        }
        return reasons;
    }
    let Some(before) = before else {
        let message = format!("the column {} is new", part.id);
        return vec![Reason::new("column_new", message).with("column", part.id.to_string())];
    };
    let mut reasons = part::differences(code, &newest.recipe, now);
    if reasons.is_empty() && part.fingerprint.is_some() {
        let reason = if part.fingerprint == before.fingerprint {
            Reason::new("lost_object", lost)
        } else {
            Reason::new("code_changed", format!("the code of {} changed", part.id))
        };
        reasons.push(reason.with("column", part.id.to_string()));
    }
    reasons
}

/// Whether nothing but open inputs can tell a part of a record from the part as it would be made now.
fn fits(record: &StepRecord, code: &PartCode, output: &AssetName, now: &Recipe) -> bool {
    record.output(output).is_some_and(|output| output.parts.iter().any(|part| part.id == code.id))
        && part::differences(code, &record.recipe, now).is_empty()
}

/// The part of a record's output with that fingerprint; one of the wanted name first.
fn find(
    record: &Arc<StepRecord>,
    output: &AssetName,
    fingerprint: &Fingerprint,
    wanted: &PartId,
) -> Option<(Arc<StepRecord>, PartId)> {
    let parts = &record.output(output)?.parts;
    let fits = || parts.iter().filter(|part| part.fingerprint.as_ref() == Some(fingerprint));
    let part = fits().find(|part| part.id == *wanted).or_else(|| fits().next())?;
    Some((Arc::clone(record), part.id.clone()))
}

/// Records of a step before its newest one whose objects are there, newest first.
pub(crate) fn older_records(world: &World<'_>, step: &Step) -> Vec<Arc<StepRecord>> {
    older_with(world, step, &|_| true)
}

/// Those of them that have one of the wanted columns which the newest one lacks, or no others than wanted ones (`take_from_whole`).
fn older_of_use(
    world: &World<'_>,
    step: &Step,
    newest: Option<&Arc<StepRecord>>,
    wanted: &HashSet<Fingerprint>,
) -> Vec<Arc<StepRecord>> {
    let there: HashSet<Fingerprint> =
        newest.into_iter().flat_map(|newest| newest.part_fingerprints()).flatten().collect();
    let is_lacking = |part: &Fingerprint| wanted.contains(part) && !there.contains(part);
    let is_of_use = |parts: &Vec<Fingerprint>| {
        parts.iter().any(is_lacking) || !parts.is_empty() && parts.iter().all(|part| wanted.contains(part))
    };
    older_with(world, step, &|outputs| outputs.iter().any(is_of_use))
}

fn older_with(world: &World<'_>, step: &Step, is_wanted: &WantedParts<'_>) -> Vec<Arc<StepRecord>> {
    let Some(newest) = world.ledger.newest(step).filter(|newest| newest.generation > 1) else {
        return Vec::new();
    };
    // A catalog that can't answer costs a computation, never a wrong column.
    let records = world.records.with_parts(step, is_wanted).unwrap_or_default().into_iter();
    let is_older = |record: &Arc<StepRecord>| record.generation < newest.generation && !record.is_gone();
    records.filter(|record| is_older(record) && is_there(world.tables, record)).collect()
}

/// The inputs of a step as far as they are known.
struct Now<'a> {
    inputs: Vec<(&'a AssetName, Option<InputRecord>, Unsettled)>,
}

impl<'a> Now<'a> {
    fn new(asset: &'a AssetDecl, inputs: &[InputNow]) -> Self {
        let inputs = asset.inputs.iter().zip(inputs).map(|(decl, now)| match now {
            InputNow::Known(output) => (&decl.output, Some(freshness::read_of(decl, output)), Unsettled::Nothing),
            InputNow::Open(open) => {
                let record = open.recorded.as_ref().map(|output| freshness::read_of(decl, output));
                (&decl.output, record, open.unsettled.clone())
            }
            // Nothing that is made column by column reads over all partitions.
            InputNow::Bad(..) | InputNow::All(_) => (&decl.output, None, Unsettled::Everything),
        });
        Self { inputs: inputs.collect() }
    }

    fn views(&self) -> Vec<InputView<'_>> {
        self.inputs
            .iter()
            .map(|(output, record, unsettled)| InputView { output, record: record.as_ref(), unsettled })
            .collect()
    }

    /// What goes in now; where an input is open, as if it came out equal: what differs then, differs for certain.
    fn recipe(&self, asset: &AssetDecl, newest: Option<&Arc<StepRecord>>) -> Recipe {
        let read = self.inputs.iter().filter_map(|(output, record, unsettled)| {
            if *unsettled == Unsettled::Nothing {
                return record.clone();
            }
            let before = newest.into_iter().flat_map(|newest| &newest.recipe.inputs);
            let mut before = before.clone().find(|input| input.output == **output).cloned();
            if let (Unsettled::Parts(open), Some(before), Some(now)) = (unsettled, before.as_mut(), record) {
                for (id, hash) in &mut before.parts {
                    if let Some((_, settled)) = now.parts.iter().find(|(n, _)| n == id && !open.contains(n)) {
                        *hash = *settled;
                    }
                }
            }
            before
        });
        freshness::recipe(asset, read.collect(), Vec::new())
    }
}

/// What a worker is told about columns: which are stored where, and which are to be computed.
pub(crate) fn tasks(parts: &[PlannedPart]) -> (Vec<PartTask>, Vec<OutputRecord>) {
    let mut earlier: Vec<OutputRecord> = Vec::new();
    let tasks = parts.iter().map(|part| {
        let take = part.stored.as_ref().and_then(|(record, id)| {
            let output = record.output(&part.output)?;
            let at = earlier.iter().position(|known| known == output).unwrap_or_else(|| {
                earlier.push(output.clone());
                earlier.len() - 1
            });
            Some((at, id.clone()))
        });
        PartTask { output: part.output.clone(), id: part.id.clone(), take }
    });
    let tasks = tasks.collect();
    (tasks, earlier)
}

/// Gives each part of a record the fingerprint that it was planned with.
pub(crate) fn sign(record: &mut StepRecord, parts: &[PlannedPart]) {
    for output in &mut record.outputs {
        for part in &mut output.parts {
            let planned = parts.iter().find(|planned| planned.output == output.name && planned.id == part.id);
            part.fingerprint = planned.and_then(|planned| planned.fingerprint);
        }
    }
}
