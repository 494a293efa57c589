//! Runs assets written over frames: gives them scannable inputs and sinks, checks the request against the
//! declarations, stores what comes out.

use crate::assemble::{Assembly, HELD_ROWS_MOST};
use crate::grow;
use crate::inputs::Inputs;
use crate::kept::{self, Kept};
use crate::outputs::Outputs;
use crate::sink::Sink;
use assets_core::compute::Worker;
use assets_core::executor::{PartTask, Product, StepRequest};
use assets_core::freshness;
use assets_core::graph::Graph;
use assets_core::over_all;
use assets_core::part::Listed;
use assets_core::record::{CheckRecord, OutputRecord};
use assets_core::table_store::TableStore;
use assets_core::{AssetDecl, AssetName, Reason};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// The code of one asset.
pub trait FrameAsset: Send + Sync {
    /// Reads inputs, writes outputs. The error is why there is no table.
    fn make(&self, inputs: &Inputs<'_>, outputs: &mut Outputs<'_>) -> Result<(), Reason>;

    /// About how many bytes of memory a step takes at once, where that is known better than from its tables. Columns of more
    /// than `held_rows` rows are put aside.
    fn memory(&self, asset: &AssetDecl, request: &StepRequest, held_rows: u64) -> Option<u64> {
        let _ = (asset, request, held_rows);
        None
    }
}

impl<F> FrameAsset for F
where
    F: Fn(&Inputs<'_>, &mut Outputs<'_>) -> Result<(), Reason> + Send + Sync,
{
    fn make(&self, inputs: &Inputs<'_>, outputs: &mut Outputs<'_>) -> Result<(), Reason> {
        self(inputs, outputs)
    }
}

/// Runs frame assets against a table store.
pub struct FrameWorker {
    graph: Arc<Graph>,
    code: HashMap<AssetName, Arc<dyn FrameAsset>>,
    tables: Arc<dyn TableStore>,
    kept: Kept,
    /// Columns of more rows are put aside while others of their table are computed.
    held_rows: usize,
}

/// What steps may keep of tables for the next ones: a few runs' samples. Of little memory it is less.
const KEPT_BYTES_MOST: u64 = 64 << 20;

impl FrameWorker {
    /// A worker for the assets of a graph.
    pub fn new(graph: Arc<Graph>, code: HashMap<AssetName, Arc<dyn FrameAsset>>, tables: Arc<dyn TableStore>) -> Self {
        Self { graph, code, tables, kept: Kept::default(), held_rows: usize::MAX }
    }

    /// The same where so much memory is there for steps.
    #[must_use]
    pub fn within(self, memory: u64) -> Self {
        let rows = usize::try_from(memory / 1024).unwrap_or(usize::MAX);
        Self { kept: Kept::up_to(KEPT_BYTES_MOST.min(memory / 16)), held_rows: rows.min(HELD_ROWS_MOST), ..self }
    }

    /// The fingerprint as this worker sees it; a request of another program has another.
    fn verify(&self, listed: Listed<'_>, request: &StepRequest) -> Result<(), Reason> {
        let read = over_all::given(listed.asset, &request.inputs);
        let recipe = freshness::recipe(listed.asset, read, request.slices.clone());
        let own = freshness::fingerprint(listed, &request.step.partition, &recipe);
        if own == request.expected {
            return Ok(());
        }
        let message = format!("{} was planned by another version of this program or its settings", request.step);
        Err(Reason::new("fingerprint_mismatch", message)
            .with("expected", request.expected.to_string())
            .with("own", own.to_string()))
    }
}

/// A step's tables in memory, decoded: what it reads, and what it computes; and half as much again for work.
fn memory_of_tables(asset: &AssetDecl, request: &StepRequest) -> u64 {
    let read = |output: &OutputRecord| {
        let input = asset.inputs.iter().find(|input| input.output == output.name);
        let columns: BTreeSet<&str> = output.parts.iter().map(|part| part.id.column.as_str()).collect();
        columns.into_iter().filter(|column| input.is_none_or(|input| input.reads.includes(column))).count() as u64
    };
    let cells_read: u64 = request.inputs.iter().map(|input| input.output.rows * read(&input.output)).sum();
    let longest = request.inputs.iter().map(|input| input.output.rows).max().unwrap_or_default();
    let rows = longest.max(request.slices.iter().map(|slice| slice.rows).sum());
    let columns: usize = asset.outputs.iter().filter(|output| !output.packed).map(|output| output.columns.len()).sum();
    (cells_read + rows * columns as u64) * 8 * 3 / 2
}

impl Worker for FrameWorker {
    fn memory(&self, request: &StepRequest) -> u64 {
        let Some(asset) = self.graph.asset(request.step.asset.as_str()) else { return 0 };
        let known =
            self.code.get(&request.step.asset).and_then(|code| code.memory(asset, request, self.held_rows as u64));
        known.unwrap_or_else(|| memory_of_tables(asset, request))
    }

    fn make(&self, request: &StepRequest) -> Result<Product, Reason> {
        let unknown = || Reason::new("unknown_asset", format!("this program knows no asset {}", request.step.asset));
        let listed = self.graph.listed(request.step.asset.as_str()).ok_or_else(unknown)?;
        let (asset, code) = (listed.asset, self.code.get(&request.step.asset).ok_or_else(unknown)?);
        self.verify(listed, request)?;
        let tables = self.tables.as_ref();
        let sink = |decl| Sink::new(decl, &asset.dimensions, &request.step.partition);
        let sinks = asset.outputs.iter().map(|decl| (decl.name.clone(), sink(decl)));
        let (checks, warnings, kept) = Default::default();
        let (sinks, pieces, held_rows) = (sinks.collect(), BTreeMap::new(), self.held_rows);
        let dimensions = asset.dimensions.as_slice();
        let mut outputs = Outputs { sinks, pieces, tables, dimensions, held_rows, checks, warnings, kept };
        let shared = RefCell::default();
        let mut grown = grow::begin(asset, request, tables)?;
        let inputs = Inputs { graph: &self.graph, asset, request, tables, shared, kept: &self.kept };
        code.make(&inputs, &mut outputs)?;
        // What was read for it goes before its tables are put together.
        drop(inputs);
        let Outputs { mut sinks, mut pieces, mut checks, warnings, kept, .. } = outputs;
        let mut records = Vec::new();
        let mut taken = Vec::new();
        for decl in &asset.outputs {
            let Some(sink) = sinks.remove(&decl.name) else { continue };
            records.push(if asset.by_column {
                let tasks: Vec<&PartTask> = request.parts.iter().filter(|task| task.output == decl.name).collect();
                let stored = tasks.iter().filter(|task| task.take.is_some());
                taken.extend(stored.map(|task| (decl.name.clone(), task.id.clone())));
                let computed = pieces.remove(&decl.name).unwrap_or_default();
                let (partition, earlier) = (&request.step.partition, &request.earlier);
                let grown = grown.remove(&decl.name);
                Assembly { decl, asset, partition, tasks, earlier, tables, grown }.finish(computed, sink)?
            } else {
                sink.finish(tables)?
            });
            // Sinks refuse other columns: what came through has passed.
            checks.push(CheckRecord {
                output: decl.name.clone(),
                check: "schema".into(),
                blocking: true,
                failed: None,
            });
        }
        for (what, of, value, bytes) in kept {
            let made = |name: &String| records.iter().find(|record| record.name.as_str() == name);
            if let Some(of) = of.iter().map(made).collect::<Option<Vec<_>>>() {
                self.kept.put(kept::key(of, what), value, bytes);
            }
        }
        Ok(Product { outputs: records, checks, warnings, taken })
    }
}
