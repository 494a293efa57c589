//! What is told of a step that ended: from its record, or from the reason that there is none.

use crate::event::StepEvent;
use assets_core::record::{Outcome, StepRecord};
use assets_core::{Reason, Step};
use std::collections::BTreeSet;

/// Failures of the surroundings rather than of data or code.
pub(crate) fn is_transient(reason: &Reason) -> bool {
    matches!(
        &*reason.code,
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
