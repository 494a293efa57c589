//! Inputs over all partitions: which tables stand, which are to be made, and which are left out, with the reason. The
//! reader is made from whatever is good; where nothing is, it is blocked.

use crate::inputs::{self, InputNow, Lookup, StepNow};
use crate::plan;
use assets_core::freshness::State;
use assets_core::graph::Graph;
use assets_core::over_all::{self, NAMED};
use assets_core::part::Unsettled;
use assets_core::record::{InputRecord, OutputRecord, PartId, StepRecord};
use assets_core::{AssetDecl, AssetName, ContentHash, InputDecl, Mapping, Partition, Reads, Reason, Step};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// An input over all partitions, as it is at the moment. Each list in the order of partitions.
#[derive(Debug, Clone, Default)]
pub struct AllNow {
    /// Tables that stand.
    pub known: Vec<(Partition, Arc<StepRecord>)>,
    /// Partitions whose table is to be made, or may be.
    pub open: Vec<Partition>,
    /// Those that are not read.
    pub left_out: Vec<LeftOut>,
}

/// A partition that is not read.
#[derive(Debug, Clone, PartialEq)]
pub struct LeftOut {
    /// The output that would be read.
    pub input: AssetName,
    /// The step whose table it is.
    pub step: Step,
    /// The step that failed, or that was never made.
    pub root: Step,
    /// Why.
    pub reason: Reason,
}

impl AllNow {
    /// The tables that stand, in order.
    pub(crate) fn tables(&self, input: &InputDecl) -> impl Iterator<Item = (&Partition, &OutputRecord)> {
        self.known.iter().filter_map(|(partition, record)| Some((partition, record.output(&input.output)?)))
    }

    /// What is read of it, an entry for each partition; of one that is to be made, as if it came out as `before`.
    pub(crate) fn read(&self, input: &InputDecl, before: Option<&InputRecord>) -> InputRecord {
        let mut rows = 0;
        let mut entries: Vec<(PartId, ContentHash)> = Vec::with_capacity(self.known.len() + self.open.len());
        for (partition, output) in self.tables(input) {
            rows += output.rows;
            entries.push((over_all::entry(partition), over_all::read_of(input, output)));
        }
        if !self.open.is_empty() {
            let before = entries_of(before);
            entries.extend(self.open.iter().map(|partition| {
                let id = over_all::entry(partition);
                let hash = before.get(&id).copied().unwrap_or_else(over_all::not_known_yet);
                (id, hash)
            }));
        }
        over_all::record(input, rows, entries)
    }

    /// That partitions which the reader's newest record read are to be made; new ones are a difference by themselves.
    pub(crate) fn to_be_made(&self, input: &InputDecl, before: Option<&InputRecord>) -> Option<Reason> {
        let known = entries_of(before);
        let open =
            self.open.iter().filter(|partition| before.is_none() || known.contains_key(&over_all::entry(partition)));
        let open: Vec<String> = open.map(ToString::to_string).collect();
        let open: Vec<&str> = open.iter().map(String::as_str).collect();
        let message = match open.as_slice() {
            [] => return None,
            [one] => format!("{} of {one} is to be made and may come out equal", input.output),
            several => format!(
                "{} of {} runs is to be made and may come out equal: {}",
                input.output,
                several.len(),
                over_all::named(several)
            ),
        };
        Some(over_all::about(Reason::new("input_to_be_made", message).with("input", input.output.as_str()), &open))
    }
}

fn entries_of(record: Option<&InputRecord>) -> HashMap<&PartId, ContentHash> {
    record.into_iter().flat_map(|record| &record.parts).map(|(id, hash)| (id, *hash)).collect()
}

/// The warning that an asset leaves partitions out: how many, the first few by name, and why those.
pub(crate) fn warnings(asset: &AssetName, left_out: &[LeftOut]) -> Vec<Reason> {
    let inputs: BTreeSet<&AssetName> = left_out.iter().map(|left| &left.input).collect();
    let warning = |input: &AssetName| {
        let own: Vec<&LeftOut> = left_out.iter().filter(|left| left.input == *input).collect();
        let told: Vec<String> = own.iter().take(NAMED).map(|left| why(left)).collect();
        let more = if own.len() > NAMED { format!("; and {} more", own.len() - NAMED) } else { String::new() };
        let noun = if own.len() == 1 { "run" } else { "runs" };
        let message = format!("{asset} leaves out {} {noun} of {input}: {}{more}", own.len(), told.join("; "));
        let codes: Vec<String> = own.iter().take(NAMED).map(|left| left.reason.code.clone()).collect();
        let names: Vec<String> = own.iter().map(|left| left.step.partition.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let reason = Reason::new("runs_left_out", message).with("asset", asset.as_str()).with("input", input.as_str());
        over_all::about(reason.with("codes", codes), &names)
    };
    inputs.into_iter().map(warning).collect()
}

fn why(left: &LeftOut) -> String {
    let partition = &left.step.partition;
    match left.reason.code.as_str() {
        "input_not_made" => format!("{partition} (not made)"),
        "input_other_columns" => format!("{partition} (made with other columns)"),
        _ => format!("{partition} ({} failed: {})", left.root.asset, left.reason.message),
    }
}

/// Every partition of an input.
pub(crate) fn gather(lookup: &Lookup<'_>, input: &InputDecl) -> InputNow {
    let world = lookup.world;
    let Some(writer) = world.graph.producer(input.output.as_str()) else { return InputNow::All(Arc::default()) };
    let outside = Outside::new(lookup, writer);
    let mut all = AllNow::default();
    for partition in lookup.partitions.get(&writer.name).into_iter().flatten() {
        let step = Step::new(&writer.name, partition);
        let now = match (lookup.knows)(&step, &input.output) {
            StepNow::Outside => outside.step(&step, input),
            now => now,
        };
        let recorded = || world.ledger.newest(&step).cloned();
        let now = match now {
            // What is to be made of it is nothing that is read.
            StepNow::Open(Unsettled::Parts(parts)) if !parts.iter().any(|id| input.reads.includes(&id.column)) => {
                recorded().map_or(StepNow::Open(Unsettled::Everything), StepNow::Known)
            }
            now => now,
        };
        match now {
            StepNow::Known(record) if record.output(&input.output).is_some() => {
                all.known.push((partition.clone(), record));
            }
            StepNow::Open(_) => all.open.push(partition.clone()),
            StepNow::Bad(root, reason) => {
                all.left_out.push(LeftOut { input: input.output.clone(), step, root, reason });
            }
            StepNow::Known(_) | StepNow::Outside => {
                let (root, reason) = (step.clone(), inputs::not_made(input, partition));
                all.left_out.push(LeftOut { input: input.output.clone(), step, root, reason });
            }
        }
    }
    match none_left(&all) {
        Some(left) => InputNow::Bad(left.root.clone(), left.reason.clone()),
        None => InputNow::All(Arc::new(all)),
    }
}

/// Why there is nothing to read where there should be: a failure before what was merely never made.
fn none_left(all: &AllNow) -> Option<&LeftOut> {
    if !(all.known.is_empty() && all.open.is_empty()) {
        return None;
    }
    let failed = all.left_out.iter().find(|left| left.reason.code != "input_not_made");
    failed.or_else(|| all.left_out.first())
}

/// Steps that nobody makes: what is recorded counts, unless the latest attempt at it failed.
struct Outside<'a> {
    lookup: Lookup<'a>,
    writer: &'a AssetDecl,
    shape: String,
    /// The writer and all it is made from partition by partition, in topological order.
    chain: Vec<&'a AssetDecl>,
}

impl<'a> Outside<'a> {
    fn new(lookup: &Lookup<'a>, writer: &'a AssetDecl) -> Self {
        let graph = lookup.world.graph;
        let mut names = BTreeSet::from([&writer.name]);
        let mut open = vec![writer];
        while let Some(asset) = open.pop() {
            let inputs = asset.inputs.iter().filter(|input| input.mapping == Mapping::Identity);
            let writers = inputs.filter_map(|input| graph.producer(input.output.as_str()));
            open.extend(writers.filter(|writer| names.insert(&writer.name)));
        }
        let chain = graph.assets().filter(|asset| names.contains(&asset.name)).collect();
        let nothing: inputs::Knows<'a> = &|_, _| StepNow::Outside;
        Self { lookup: Lookup { knows: nothing, ..*lookup }, writer, shape: writer.shape(), chain }
    }

    fn step(&self, step: &Step, input: &InputDecl) -> StepNow {
        if let Some((root, reason)) = self.failure(step) {
            return StepNow::Bad(root, reason);
        }
        let Some(record) = self.lookup.world.ledger.newest(step) else { return StepNow::Outside };
        if !self.has_what_is_read(record, input) {
            let message =
                format!("{step} was made with other columns than are declared now, and nobody makes it again");
            return StepNow::Bad(step.clone(), Reason::new("input_other_columns", message));
        }
        StepNow::Known(Arc::clone(record))
    }

    /// The first of the steps behind a table whose latest attempt failed, with what is recorded of its inputs.
    fn failure(&self, step: &Step) -> Option<(Step, Reason)> {
        let world = self.lookup.world;
        self.chain.iter().find_map(|asset| {
            let own = Step::new(&asset.name, &step.partition.cut(&asset.dimensions)?);
            let attempted = world.ledger.tip(&own).is_some_and(|tip| tip.attempt().is_some());
            let delivery = if asset.reads_sources { world.sources.deliveries.get(&own) } else { None };
            if !attempted && delivery.is_none_or(|delivery| delivery.failure.is_none()) {
                return None;
            }
            let read = self.lookup.all(asset, &own.partition);
            let planned = plan::assess(world, world.graph.listed(asset.name.as_str())?, own, read, self.lookup.scope);
            let reason = planned.verdict.reasons.into_iter().next()?;
            (planned.verdict.state == State::Failed).then_some((planned.step, reason))
        })
    }

    /// Whether a record has the columns that are read, whatever others it has or lacks.
    fn has_what_is_read(&self, record: &StepRecord, input: &InputDecl) -> bool {
        let Some(output) = record.output(&input.output) else { return false };
        let is_there = |column: &String| {
            self.writer.dimensions.contains(column) || output.parts.iter().any(|part| part.id.column == *column)
        };
        record.recipe.shape == self.shape
            || matches!(&input.reads, Reads::Columns(columns) if columns.iter().all(is_there))
    }
}

/// The assets of which an asset reads every partition.
pub(crate) fn reads_over_all(graph: &Graph, asset: &AssetDecl) -> BTreeSet<AssetName> {
    let inputs = asset.inputs.iter().filter(|input| input.mapping == Mapping::All);
    inputs.filter_map(|input| graph.producer(input.output.as_str())).map(|writer| writer.name.clone()).collect()
}
