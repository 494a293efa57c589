//! What a build tells while it goes on: one stream, in order, for bars, lines, JSON and tests alike.

use assets_core::catalog::{Holder, Work};
use assets_core::record::{Counts, Outcome, Unavailable};
use assets_core::{AssetName, Reason, Step};

/// Something happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Sources were identified: how many files, how many of them had to be read.
    Identified {
        /// Files looked at.
        files: usize,
        /// Files that were new or changed.
        changed: usize,
    },
    /// A person should know this.
    Warning(Reason),
    /// A source can't be read.
    Source {
        /// Where it is.
        path: String,
        /// Why.
        reason: Reason,
    },
    /// The plan stands: (asset, steps in all, steps that may be made).
    Planned(Vec<(AssetName, u64, u64)>),
    /// Nothing is left to do here before another process has done something.
    Waiting {
        /// Who it is.
        holder: Holder,
        /// What it does.
        work: Work,
    },
    /// A step was handed to a worker.
    Started(Step),
    /// A step has ended.
    Step(StepEvent),
    /// A step's tables are taken down: nothing delivers its partition any more.
    Gone {
        /// The step.
        step: Step,
        /// Who delivered it last.
        reason: Reason,
    },
    /// Published views are being written.
    Publishing {
        /// How many files.
        files: usize,
    },
    /// The build has ended.
    Finished {
        /// How its steps ended.
        counts: Counts,
        /// Steps whose tables were taken down.
        gone: u64,
        /// Wall time.
        seconds: f64,
        /// Whether it was interrupted.
        interrupted: bool,
    },
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq)]
pub struct StepEvent {
    /// The step.
    pub step: Step,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, where there is something to say.
    pub reason: Option<Reason>,
    /// Of a step that was made: all that its record says about why.
    pub because: Vec<Reason>,
    /// Rows of its first output.
    pub rows: Option<u64>,
    /// Columns of its first output that were computed.
    pub computed: Vec<String>,
    /// Columns of its first output that were taken over.
    pub reused: Vec<String>,
    /// Time of the worker.
    pub seconds: Option<f64>,
    /// (output, column and reason) of what is null throughout.
    pub unavailable: Vec<(AssetName, Unavailable)>,
}
