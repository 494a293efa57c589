//! The seam to whoever makes steps: requests that could travel, outcomes that come back in any order.

use crate::asset::{AssetDecl, OutputDecl};
use crate::hash::{Fingerprint, ObjectId};
use crate::key::{AssetName, Partition, Step};
use crate::reason::Reason;
use crate::record::{CheckRecord, OutputRecord, PartId, SliceRef, Span, Stored};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::mpsc::Sender;

/// An input of a request: where it is and what its parts hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepInput {
    /// The partition it belongs to.
    pub partition: Partition,
    /// Its record.
    pub output: OutputRecord,
}

/// A column of a step that is made by columns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartTask {
    /// The output it belongs to.
    pub output: AssetName,
    /// Which part.
    pub id: PartId,
    /// Where it is stored already: an index into the request's `earlier` tables, and its name there.
    pub take: Option<(usize, PartId)>,
}

/// The object of which a new table of an output keeps all columns, under whatever names, and lacks some: it is that
/// object with further columns. (`None` also where nothing is new: then it is that object itself.)
pub fn grown_from(
    asset: &AssetDecl,
    output: &OutputDecl,
    tasks: &[PartTask],
    earlier: &[OutputRecord],
) -> Option<ObjectId> {
    if !asset.by_column || output.packed {
        return None;
    }
    let own = || tasks.iter().filter(|task| task.output == output.name);
    let (at, _) = own().find_map(|task| task.take.as_ref())?;
    let (from, before) = (*at, earlier.get(*at)?);
    let mut kept = BTreeSet::new();
    let mut is_news = false;
    for task in own() {
        match &task.take {
            Some((at, id)) if *at != from || !kept.insert(id) => return None,
            Some((_, id)) => is_news |= *id != task.id,
            None => is_news = true,
        }
    }
    let is_whole = kept.len() == before.parts.len() && before.parts.iter().all(|part| kept.contains(&part.id));
    match &before.stored {
        Stored::Object(object) if is_news && is_whole => Some(*object),
        _ => None,
    }
}

/// A step to be made. A worker computes the fingerprint from its own declarations and these inputs, and refuses a
/// mismatch: then it is another program than the one that planned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRequest {
    /// The step.
    pub step: Step,
    /// What the planner expects to be made from.
    pub expected: Fingerprint,
    /// Inputs, in the order of the declaration; of one over all partitions a table for each, in their order.
    pub inputs: Vec<StepInput>,
    /// Slices of sources, in canonical order.
    pub slices: Vec<SliceRef>,
    /// The outputs of the step's newest record: what a source no longer delivers is taken from there.
    pub previous: Vec<OutputRecord>,
    /// The slices which that record was made from, in the order of its rows.
    pub previous_slices: Vec<SliceRef>,
    /// The columns, where the step is made by columns; empty otherwise.
    pub parts: Vec<PartTask>,
    /// Earlier tables of this step, from which columns are taken.
    pub earlier: Vec<OutputRecord>,
    /// Bytes of memory that were not enough for the last attempt with the same inputs, which was stopped for it.
    pub too_little: Option<u64>,
    /// The build.
    pub build: String,
}

/// What a worker brought.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Product {
    /// The tables, stored.
    pub outputs: Vec<OutputRecord>,
    /// The checks, all passed or not blocking.
    pub checks: Vec<CheckRecord>,
    /// What a person should know.
    pub warnings: Vec<Reason>,
    /// Parts that were taken from earlier tables as they were, by output.
    pub taken: Vec<(AssetName, PartId)>,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepOutcome {
    /// The step.
    pub step: Step,
    /// The product, or why there is none.
    pub result: Result<Product, Reason>,
    /// When and where.
    pub span: Span,
}

/// The code of the reason for which a request was given back: it was withdrawn before it was begun.
pub const WITHDRAWN: &str = "withdrawn";

/// Makes steps, several at once.
pub trait Executor: Send + Sync {
    /// How many requests are worth having in flight.
    fn width(&self) -> usize;

    /// Takes a request; its outcome goes to `done`, whatever happens, a panic included.
    fn submit(&self, request: StepRequest, done: Sender<StepOutcome>);

    /// Says that requests which are not begun yet need not be: they come back with the reason `WITHDRAWN`.
    fn withdraw(&self) {}
}
