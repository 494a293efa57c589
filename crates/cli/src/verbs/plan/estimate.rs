//! What a plan costs, from recorded times and sizes: seconds of work, how long that takes as several steps are made at
//! once, and bytes of tables to write (not the journal, nor the files that packed tables are published in).
//!
//! The model. A step made as a whole takes as long as its newest record took, or the median of its asset where it has
//! none, and writes as much. A step made column by column takes
//!
//! ```text
//! whole × share + copying × (1 − share)        share: columns to compute of all its columns
//! ```
//!
//! where `whole` is the time of a record of which everything was computed, and `copying` is `COPY_STEP_S` plus the bytes at
//! `COPY_BYTES_PER_S`, times what the asset's records that mostly copied needed in relation to that, if there are any. Its
//! tables are written anew: the newest size, grown by the share of new columns. What may change counts as if it did.

use crate::session::Session;
use assets_core::catalog::Past;
use assets_core::freshness::State;
use assets_core::ledger::Ledger;
use assets_core::record::{OutputRecord, StepRecord};
use assets_core::{AssetDecl, AssetName, Fact, Step};
use assets_engine::plan::{Plan, PlannedPart, PlannedStep};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// What a step that copies costs besides its bytes: opening, checking, making durable. Measured on two cores.
const COPY_STEP_S: f64 = 0.01;
/// How fast columns are copied, hashed and made durable. Measured on two cores.
const COPY_BYTES_PER_S: f64 = 60e6;
/// Steps whose history is read where no newest record was computed as a whole.
const SAMPLES: usize = 3;

/// States in which a build calls the asset's code.
pub(crate) fn computes(state: State) -> bool {
    matches!(state, State::Stale | State::Maybe | State::Failed)
}

/// What steps or columns cost together.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Cost {
    pub(crate) seconds: f64,
    pub(crate) bytes: f64,
    /// How many are counted, and of how many nothing is recorded to go by.
    pub(crate) steps: usize,
    pub(crate) unknown: usize,
}

impl Cost {
    fn known(seconds: f64, bytes: f64) -> Self {
        Self { seconds, bytes, steps: 1, unknown: 0 }
    }

    fn unknown() -> Self {
        Self { steps: 1, unknown: 1, ..Self::default() }
    }

    /// With what something else costs.
    pub(crate) fn add(&mut self, other: &Self) {
        self.seconds += other.seconds;
        self.bytes += other.bytes;
        self.steps += other.steps;
        self.unknown += other.unknown;
    }

    /// Whether anything is known of it. Nothing to make is known to cost nothing.
    pub(crate) fn is_known(&self) -> bool {
        self.steps == 0 || self.unknown < self.steps
    }

    /// Seconds to the millisecond, where known.
    pub(crate) fn rounded_seconds(&self) -> Option<f64> {
        self.is_known().then(|| (self.seconds * 1e3).round() / 1e3)
    }

    /// Whole bytes, where known.
    pub(crate) fn whole_bytes(&self) -> Option<u64> {
        // Sizes of files: not negative, and far below 2^53.
        self.is_known().then_some(self.bytes.round() as u64)
    }
}

/// What each step of a plan costs.
#[derive(Debug, Default)]
pub(crate) struct Estimate<'a> {
    steps: HashMap<&'a Step, Cost>,
    columns: HashMap<&'a Step, Cost>,
    /// How many steps were made at once, on average.
    at_once: f64,
}

impl<'a> Estimate<'a> {
    /// Looks at what is recorded of the assets that have something to make.
    pub(crate) fn new(session: &Session, plan: &'a Plan) -> Self {
        let mut known: HashMap<&AssetName, Known> = HashMap::new();
        let mut estimate = Self::default();
        for planned in plan.steps.iter().filter(|planned| computes(planned.verdict.state)) {
            let name = &planned.step.asset;
            let Some(asset) = session.project.graph().asset(name.as_str()) else { continue };
            let newest = session.ledger.newest(&planned.step).filter(|record| !record.is_gone());
            // What its own record tells says more than those of all others, which need not be looked at then.
            let (cost, column) = own_cost(asset, planned, newest).unwrap_or_else(|| {
                known.entry(name).or_insert_with(|| Known::of(session, asset)).cost(asset, planned, newest)
            });
            estimate.steps.insert(&planned.step, cost);
            estimate.columns.insert(&planned.step, column);
        }
        // One step waits for no other.
        if estimate.steps.len() > 1 {
            estimate.at_once = at_once(session.whole_ledger());
        }
        estimate
    }

    /// What some of the steps cost; those that are not to be made cost nothing.
    pub(crate) fn of(&self, steps: impl IntoIterator<Item = &'a PlannedStep>) -> Cost {
        let mut sum = Cost::default();
        steps.into_iter().filter_map(|planned| self.steps.get(&planned.step)).for_each(|cost| sum.add(cost));
        sum
    }

    /// How long a person waits for that, as several steps are made at once.
    pub(crate) fn elapsed(&self, cost: &Cost) -> f64 {
        cost.seconds / self.at_once.min(cost.steps as f64).max(1.0)
    }

    /// What computing one more column of a step costs.
    pub(crate) fn column(&self, step: &Step) -> Cost {
        self.columns.get(step).copied().unwrap_or_else(Cost::unknown)
    }
}

/// How many steps builds made at once: the time that the newest records took by themselves to that in which any was made.
fn at_once(ledger: &Ledger) -> f64 {
    let mut builds: HashMap<&str, Vec<(i64, i64)>> = HashMap::new();
    for record in ledger.steps().filter_map(|(_, tip)| tip.record()).filter(|record| record.reuses.is_none()) {
        builds.entry(&record.build).or_default().push((record.span.start_us, record.span.end_us));
    }
    let (mut work, mut elapsed) = (0, 0);
    for mut spans in builds.into_values() {
        spans.sort_unstable();
        let mut until = i64::MIN;
        for (start, end) in spans {
            work += end - start;
            elapsed += (end - start.max(until)).max(0);
            until = until.max(end);
        }
    }
    work as f64 / elapsed.max(1) as f64
}

/// How a record came about, as far as that tells how long it takes.
enum Kind {
    Whole,
    /// Mostly copied: the share of its columns that was computed.
    Copied(f64),
    /// Anything between: how much was computed is not recorded.
    Between,
}

fn kind(asset: &AssetDecl, record: &StepRecord) -> Kind {
    let all = |codes: &[&str]| record.because.iter().all(|reason| codes.contains(&reason.code.as_str()));
    let any = |codes: &[&str]| record.because.iter().any(|reason| codes.contains(&reason.code.as_str()));
    if !asset.by_column || any(&["never_made", "forced"]) {
        return Kind::Whole;
    }
    if record.because.is_empty() || !all(&["column_new", "column_stored", "columns_changed"]) {
        return Kind::Between;
    }
    let new = record.because.iter().filter(|reason| reason.code == "column_new");
    let new = new.filter_map(|reason| match reason.facts.get("column") {
        Some(Fact::Text(column)) => Some(column.as_str()),
        _ => None,
    });
    let columns = record.outputs.first().map_or(0, |output| output.parts.len()).max(1);
    let share = new.collect::<BTreeSet<_>>().len() as f64 / columns as f64;
    if share < 0.5 { Kind::Copied(share) } else { Kind::Between }
}

/// What a step costs, and what one computed column of it does, where its newest record made all of it and so will the
/// next one.
fn own_cost(asset: &AssetDecl, planned: &PlannedStep, newest: Option<&Arc<StepRecord>>) -> Option<(Cost, Cost)> {
    let is_whole = !asset.by_column || planned.parts.is_empty();
    let record = newest.filter(|record| is_whole && record.reuses.is_none())?;
    let cost = matches!(kind(asset, record), Kind::Whole)
        .then(|| Cost::known(record.span.seconds(), grown(planned, record)))?;
    Some((cost, cost))
}

/// What is recorded of one asset.
struct Known {
    /// Seconds of a step of which everything is computed.
    whole: Option<f64>,
    /// Bytes of a step.
    bytes: Option<f64>,
    /// How long copying takes in relation to the stated constants.
    pace: f64,
}

impl Known {
    fn of(session: &Session, asset: &AssetDecl) -> Self {
        let (mut whole, mut between, mut copied, mut bytes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut copiers: Vec<&Step> = Vec::new();
        for (step, tip) in session.whole_ledger().steps().filter(|(step, _)| step.asset == asset.name) {
            let Some(record) = tip.record().filter(|record| !record.is_gone()) else { continue };
            bytes.push(size(record));
            // One that took over an older table took no time.
            if record.reuses.is_some() {
                copiers.push(step);
                continue;
            }
            match kind(asset, record) {
                Kind::Whole => whole.push(record.span.seconds()),
                Kind::Between => between.push(record.span.seconds()),
                Kind::Copied(share) => copied.push((share, record.span.seconds(), size(record))),
            }
            copiers.push(step);
        }
        if whole.is_empty() {
            copiers.sort();
            for step in copiers.into_iter().take(SAMPLES) {
                whole.extend(whole_ones(session, asset, step));
            }
        }
        let whole = median(whole).or_else(|| median(between));
        let paces = copied.into_iter().map(|(share, seconds, bytes)| {
            let copying = seconds - whole.unwrap_or(0.0) * share;
            (copying / (1.0 - share)).max(0.0) / copy_seconds(bytes)
        });
        let pace = median(paces.collect()).unwrap_or(1.0);
        Self { whole, bytes: median(bytes), pace }
    }

    /// What a step costs, and what one computed column of it does.
    fn cost(&self, asset: &AssetDecl, planned: &PlannedStep, newest: Option<&Arc<StepRecord>>) -> (Cost, Cost) {
        let own = newest.filter(|record| record.reuses.is_none() && matches!(kind(asset, record), Kind::Whole));
        let whole = own.map(|record| record.span.seconds()).or(self.whole);
        let written = newest.map(|record| grown(planned, record)).or(self.bytes);
        let (Some(whole), Some(written)) = (whole, written) else { return (Cost::unknown(), Cost::unknown()) };
        if !asset.by_column || planned.parts.is_empty() {
            return (Cost::known(whole, written), Cost::known(whole, written));
        }
        let (share, columns) = share(asset, &planned.parts);
        // Nobody copies for longer than making it anew would take.
        let copying = (self.pace * copy_seconds(written)).min(whole);
        let columns = columns.max(1) as f64;
        let step = Cost::known(whole * share + copying * (1.0 - share), written);
        (step, Cost::known(whole / columns, written / columns))
    }
}

/// Seconds of the records of a step that were computed as a whole.
fn whole_ones(session: &Session, asset: &AssetDecl, step: &Step) -> Vec<f64> {
    // Without an answer there is one sample less.
    let past = session.reader.records().history(step).unwrap_or_default().into_iter();
    let records = past.filter_map(|past| if let Past::Record(_, record) = past { Some(record) } else { None });
    let whole = records.filter(|record| record.reuses.is_none() && matches!(kind(asset, record), Kind::Whole));
    whole.map(|record| record.span.seconds()).collect()
}

fn copy_seconds(bytes: f64) -> f64 {
    COPY_STEP_S + bytes / COPY_BYTES_PER_S
}

fn size(record: &StepRecord) -> f64 {
    record.outputs.iter().map(|output| output.bytes as f64).sum()
}

/// The share of columns to compute, and how many columns there are: of the output with the largest share.
fn share(asset: &AssetDecl, parts: &[PlannedPart]) -> (f64, usize) {
    let mut largest = (0.0, 0);
    for output in &asset.outputs {
        let own = || parts.iter().filter(|part| part.output == output.name);
        let (all, some) = (own().count(), own().filter(|part| computes(part.state)).count());
        let share = some as f64 / all.max(1) as f64;
        if largest.1 == 0 || share > largest.0 {
            largest = (share, all);
        }
    }
    largest
}

/// The size of a record's tables with the columns that they have now.
fn grown(planned: &PlannedStep, record: &StepRecord) -> f64 {
    let size = |output: &OutputRecord| {
        let now = planned.parts.iter().filter(|part| part.output == output.name);
        let sliced = output.parts.iter().any(|part| part.id.slice.is_some());
        let (now, before) = (now.count(), output.parts.len());
        // Slices come and go with the data; only columns are declared.
        let growth = if sliced || now == 0 || before == 0 { 1.0 } else { now as f64 / before as f64 };
        output.bytes as f64 * growth
    };
    record.outputs.iter().map(size).sum()
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
