//! What is told of a plan, and of a step that ended: from its record, or from the reason that there is none.

use crate::build::BuildOptions;
use crate::event::{Event, StepEvent};
use crate::plan::Plan;
use assets_core::freshness::State;
use assets_core::record::{Outcome, StepRecord};
use assets_core::{AssetName, Fact, Reason, Step};
use std::collections::BTreeSet;

/// Failures of the surroundings rather than of data or code. That a source can't be read any more is as its cause is.
pub(crate) fn is_transient(reason: &Reason) -> bool {
    match reason.facts.get("cause") {
        Some(Fact::Text(cause)) if reason.code == "source_unreadable" => may_pass(cause),
        _ => may_pass(&reason.code),
    }
}

fn may_pass(code: &str) -> bool {
    matches!(
        code,
        "disk_full"
            | "io_error"
            | "no_threads"
            | "object_damaged"
            | "object_missing"
            | "source_changed_while_reading"
            | "store_busy"
            | "store_unreadable"
            | "store_unwritable"
    )
}

/// Tells how much each asset has to do; the steps in all, and those that may be made.
pub(crate) fn announce(plan: &Plan, options: &BuildOptions, events: &mut dyn FnMut(Event)) -> (u64, u64) {
    let mut assets: Vec<(AssetName, u64, u64)> = Vec::new();
    for step in &plan.steps {
        if assets.last().is_none_or(|(name, ..)| *name != step.step.asset) {
            assets.push((step.step.asset.clone(), options.beside(&step.step.asset), 0));
        }
        if let Some((_, all, to_make)) = assets.last_mut() {
            *all += 1;
            *to_make += u64::from(step.verdict.state != State::Fresh);
        }
    }
    let totals = assets.iter().fold((0, 0), |(all, make), (_, a, m)| (all + a, make + m));
    events(Event::Planned(assets));
    totals
}

pub(crate) fn event(step: &Step, outcome: Outcome) -> StepEvent {
    StepEvent {
        step: step.clone(),
        outcome,
        reason: None,
        because: Vec::new(),
        rows: None,
        computed: Vec::new(),
        reused: Vec::new(),
        seconds: None,
        unavailable: Vec::new(),
    }
}

pub(crate) fn told(record: &StepRecord, outcome: Outcome) -> StepEvent {
    let first = record.outputs.first();
    let columns: BTreeSet<&str> =
        first.into_iter().flat_map(|output| &output.parts).map(|part| part.id.column.as_str()).collect();
    let unavailable = record
        .outputs
        .iter()
        .flat_map(|output| output.unavailable.iter().map(|column| (output.name.clone(), column.clone())));
    StepEvent {
        because: record.because.clone(),
        rows: first.map(|output| output.rows),
        computed: columns.into_iter().map(str::to_owned).collect(),
        seconds: Some(record.span.seconds()),
        unavailable: unavailable.collect(),
        ..event(&record.step, outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_can_not_be_read_is_as_transient_as_its_cause() {
        let unreadable = |cause: &str| Reason::new("source_unreadable", "it can't be read").with("cause", cause);
        assert!(is_transient(&unreadable("source_changed_while_reading")));
        assert!(!is_transient(&unreadable("source_unreadable")));
        assert!(!is_transient(&Reason::new("missing_column", "no").with("cause", "source_changed_while_reading")));
    }
}
