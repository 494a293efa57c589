//! Runs assets written over frames: gives them scannable inputs and sinks, checks the request against the
//! declarations, stores what comes out.

use crate::assemble::{Assembly, Piece};
use crate::codes::OwnedCodes;
use crate::kept::{self, Kept};
use crate::sink::{self, Rows, Sink};
use crate::splice::{self, SplicedColumn};
use crate::{columns, frame_error, grow, parquet};
use assets_core::compute::Worker;
use assets_core::executor::{PartTask, Product, StepRequest};
use assets_core::freshness;
use assets_core::graph::Graph;
use assets_core::over_all;
use assets_core::part::Listed;
use assets_core::record::{CheckRecord, OutputRecord, SliceRef, Stored, Unavailable};
use assets_core::table_store::TableStore;
use assets_core::{AssetDecl, AssetName, ColumnDecl, InputDecl, Mapping, OutputDecl, Partition, Reason, Step};
use polars::prelude::*;
use std::any::Any;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

/// The code of one asset.
pub trait FrameAsset: Send + Sync {
    /// Reads inputs, writes outputs. The error is why there is no table.
    fn make(&self, inputs: &Inputs<'_>, outputs: &mut Outputs<'_>) -> Result<(), Reason>;

    /// About how many bytes of memory a step takes at once, where that is known better than from its tables.
    fn memory(&self, asset: &AssetDecl, request: &StepRequest) -> Option<u64> {
        let _ = (asset, request);
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

/// What a step may read.
pub struct Inputs<'a> {
    graph: &'a Graph,
    asset: &'a AssetDecl,
    request: &'a StepRequest,
    tables: &'a dyn TableStore,
    shared: RefCell<HashMap<String, Arc<dyn Any + Send + Sync>>>,
    kept: &'a Kept,
}

impl Inputs<'_> {
    /// The step.
    pub fn step(&self) -> &Step {
        &self.request.step
    }

    /// The step's partition.
    pub fn partition(&self) -> &Partition {
        &self.request.step.partition
    }

    /// The key of a dimension of the step's partition.
    pub fn key(&self, dimension: &str) -> &str {
        self.partition().keys().find(|(d, _)| *d == dimension).map_or("", |(_, key)| key)
    }

    /// Slices of sources, in canonical order.
    pub fn slices(&self) -> &[SliceRef] {
        &self.request.slices
    }

    /// Something that several columns of the step need, made once.
    pub fn shared<T: Any + Send + Sync>(
        &self,
        key: &str,
        make: impl FnOnce() -> Result<T, Reason>,
    ) -> Result<Arc<T>, Reason> {
        self.shared_as(key.to_owned(), || make().map(Arc::new))
    }

    fn shared_as<T: Any + Send + Sync>(
        &self,
        key: String,
        make: impl FnOnce() -> Result<Arc<T>, Reason>,
    ) -> Result<Arc<T>, Reason> {
        let known = self.shared.borrow().get(&key).cloned();
        if let Some(known) = known.and_then(|known| known.downcast().ok()) {
            return Ok(known);
        }
        let made = make()?;
        self.shared.borrow_mut().insert(key, Arc::clone(&made) as Arc<dyn Any + Send + Sync>);
        Ok(made)
    }

    /// Something that is made of these columns of inputs and of nothing else, once for all steps that read the same tables,
    /// as long as there is room for what it takes.
    pub fn kept<T: Any + Send + Sync>(
        &self,
        what: &'static str,
        of: &[(&str, &[&str])],
        bytes: impl Fn(&T) -> u64,
        make: impl FnOnce() -> Result<T, Reason>,
    ) -> Result<Arc<T>, Reason> {
        let mut tables = Vec::new();
        for (name, columns) in of {
            self.may_read(name, columns)?;
            tables.extend(self.tables_of(name)?);
        }
        // Once a step in any case, also where there is no room for it.
        self.shared_as(format!("kept: {what}"), || {
            let key = kept::key(tables, what);
            if let Some(known) = self.kept.get(&key) {
                return Ok(known);
            }
            let made = Arc::new(make()?);
            self.kept.put(key, Arc::clone(&made) as Arc<dyn Any + Send + Sync>, bytes(&made));
            Ok(made)
        })
    }

    /// The columns of an output that this step is to compute, where it is made by columns.
    pub fn wanted(&self, output: &AssetName) -> Vec<&str> {
        let own = self.request.parts.iter().filter(|task| task.output == *output && task.take.is_none());
        own.map(|task| task.id.column.as_str()).collect()
    }

    /// Those of some columns of the step's own table that are stored already, under the names asked for.
    pub(crate) fn stored(&self, output: &AssetName, names: &[&str]) -> Result<Vec<Column>, Reason> {
        let mut by_table: BTreeMap<usize, Vec<(&str, &str)>> = BTreeMap::new();
        for task in self.request.parts.iter().filter(|task| task.output == *output) {
            if let (Some((at, id)), true) = (&task.take, names.contains(&task.id.column.as_str())) {
                by_table.entry(*at).or_default().push((&task.id.column, &id.column));
            }
        }
        let mut columns = Vec::new();
        for (at, wanted) in by_table {
            let Some(record) = self.request.earlier.get(at) else { continue };
            let mut there: Vec<&str> = wanted.iter().map(|(_, there)| *there).collect();
            there.dedup();
            let mut frame = read_output(self.tables, record, Some(&there), None)?;
            frame.rechunk_mut();
            for (name, there) in wanted {
                let column =
                    frame.column(there).map_err(|error| frame_error(&format!("the column {there}"), &error))?;
                columns.push(column.clone().with_name(name.into()));
            }
        }
        Ok(columns)
    }

    fn declared(&self, name: &str) -> Result<&InputDecl, Reason> {
        let found = self.asset.inputs.iter().find(|input| input.output.as_str() == name);
        found.ok_or_else(|| self.undeclared(name, "which it does not declare as an input"))
    }

    fn undeclared(&self, what: &str, why: &str) -> Reason {
        Reason::new("undeclared_input", format!("{} reads {what}, {why}", self.asset.name))
    }

    /// The input, where all of these columns of it are declared.
    fn may_read(&self, name: &str, wanted: &[&str]) -> Result<&InputDecl, Reason> {
        let input = self.declared(name)?;
        match wanted.iter().find(|column| !input.reads.includes(column)) {
            Some(column) => Err(self.undeclared(&format!("{name}.{column}"), "which it does not declare")),
            None => Ok(input),
        }
    }

    /// The tables of an input: one, or over all partitions any number, in their order.
    fn tables_of(&self, name: &str) -> Result<Vec<&OutputRecord>, Reason> {
        self.declared(name)?;
        let outputs = self.request.inputs.iter().map(|input| &input.output);
        Ok(outputs.filter(|output| output.name.as_str() == name).collect())
    }

    /// The record of an input that has one table.
    pub(crate) fn output(&self, name: &str) -> Result<&OutputRecord, Reason> {
        let first = self.tables_of(name)?.into_iter().next();
        first.ok_or_else(|| self.undeclared(name, "of which it was given no table"))
    }

    /// Number of rows of an input.
    pub fn rows(&self, name: &str) -> Result<u64, Reason> {
        Ok(self.tables_of(name)?.iter().map(|output| output.rows).sum())
    }

    /// Columns of an input, the rows of all its partitions one after the other where it is read over all. Only declared
    /// ones can be read: what isn't declared isn't in the fingerprint.
    pub fn read(&self, name: &str, wanted: &[&str]) -> Result<DataFrame, Reason> {
        let input = self.may_read(name, wanted)?;
        match (input.mapping, self.graph.output(name)) {
            (Mapping::All, Some(decl)) => stack(self.tables, decl, &self.tables_of(name)?, wanted),
            _ => read_output(self.tables, self.output(name)?, Some(wanted), None),
        }
    }

    /// A column of texts that repeat, as small numbers.
    pub fn codes(&self, name: &str, column: &str) -> Result<OwnedCodes, Reason> {
        let input = self.declared(name)?;
        let is_one = !matches!(input.mapping, Mapping::All) && input.reads.includes(column);
        if is_one && let Stored::Object(object) = &self.output(name)?.stored {
            let table = splice::Source::open(self.tables.open(object).map_err(sink::store_reason)?)?;
            let codes = table.codes(column);
            if let Some(codes) = codes.map_err(|error| frame_error(&format!("the column {column}"), &error))? {
                return Ok(codes);
            }
        }
        let frame = self.read(name, &[column])?;
        Ok(columns::to_codes(&frame, column)?.into())
    }

    /// The columns of an input that the step reads, in the order of its table.
    pub fn columns(&self, name: &str) -> Result<Vec<&ColumnDecl>, Reason> {
        let input = self.declared(name)?;
        let columns = self.graph.output(name).into_iter().flat_map(|output| &output.columns);
        Ok(columns.filter(|column| input.reads.includes(&column.name)).collect())
    }

    /// All that the step reads of an input.
    pub fn read_all(&self, name: &str) -> Result<DataFrame, Reason> {
        let names: Vec<&str> = self.columns(name)?.into_iter().map(|column| column.name.as_str()).collect();
        self.read(name, &names)
    }

    /// Writes what the step reads of an input as Parquet files, for readers outside of this program: one, or one for each
    /// partition. What is stored is copied as it is encoded.
    pub fn export(&self, name: &str, path: impl Fn(usize) -> PathBuf) -> Result<Vec<PathBuf>, Reason> {
        let columns: Vec<ColumnDecl> = self.columns(name)?.into_iter().cloned().collect();
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let schema = columns::schema(&columns);
        let files = self.tables_of(name)?.into_iter().enumerate().map(|(at, output)| {
            let path = path(at);
            let Stored::Object(object) = &output.stored else {
                parquet::write_file(&read_output(self.tables, output, Some(&names), None)?, &path)?;
                return Ok(path);
            };
            let source = splice::Source::open(self.tables.open(object).map_err(sink::store_reason)?)?;
            let failed = |error| Reason::new("io_error", format!("{} can't be written: {error}", path.display()));
            let mut file = BufWriter::new(File::create(&path).map_err(failed)?);
            let copied =
                |name: &&str| ((*name).to_owned(), SplicedColumn::Copy { source: 0, column: (*name).to_owned() });
            let rows = usize::try_from(output.rows).unwrap_or(usize::MAX);
            splice::splice(&mut file, &schema, &[source], names.iter().map(copied).collect(), rows)?;
            file.flush().map_err(failed)?;
            Ok(path)
        });
        files.collect()
    }

    /// Columns of an input that are null throughout, with their reasons; over all partitions those that are null in
    /// each, with the first one's reason.
    pub fn unavailable(&self, name: &str) -> Result<Vec<&Unavailable>, Reason> {
        let tables = self.tables_of(name)?;
        let Some((first, others)) = tables.split_first() else { return Ok(Vec::new()) };
        let everywhere = |column: &String| {
            others.iter().all(|other| other.unavailable.iter().any(|unavailable| unavailable.column == *column))
        };
        Ok(first.unavailable.iter().filter(|unavailable| everywhere(&unavailable.column)).collect())
    }

    /// The slices that the step was made from last, in the order of its rows.
    pub fn previous_slices(&self) -> &[SliceRef] {
        &self.request.previous_slices
    }

    /// Columns of the step's own output that were null throughout when it was made last.
    pub fn previously_unavailable(&self, name: &str) -> &[Unavailable] {
        let output = self.request.previous.iter().find(|output| output.name.as_str() == name);
        output.map_or(&[], |output| &output.unavailable)
    }

    /// The step's own output as it was made last, if it was.
    pub fn previous(&self, name: &str) -> Option<Result<DataFrame, Reason>> {
        let output = self.request.previous.iter().find(|output| output.name.as_str() == name)?;
        Some(read_output(self.tables, output, None, None))
    }
}

/// Where a step writes.
pub struct Outputs<'a> {
    sinks: BTreeMap<AssetName, Sink>,
    /// Columns one by one, where the asset is made by columns.
    pieces: BTreeMap<AssetName, Vec<(String, Piece)>>,
    tables: &'a dyn TableStore,
    checks: Vec<CheckRecord>,
    warnings: Vec<Reason>,
    kept: Vec<ForLater>,
}

/// Something made of outputs: what it is, of which, and what it takes.
type ForLater = (&'static str, Vec<String>, Arc<dyn Any + Send + Sync>, u64);

impl Outputs<'_> {
    /// Adds rows to an output.
    pub fn write(&mut self, name: &str, batch: DataFrame) -> Result<(), Reason> {
        let tables = self.tables;
        self.sink(name)?.write(batch, tables)
    }

    /// Adds a column to an output that is made by columns.
    pub(crate) fn column(&mut self, output: &AssetName, name: &str, piece: Piece) {
        self.pieces.entry(output.clone()).or_default().push((name.to_owned(), piece));
    }

    /// Gives the next steps what they would make of these outputs, as `Inputs::kept`.
    pub fn keep<T: Any + Send + Sync>(&mut self, what: &'static str, of: &[&str], value: T, bytes: u64) {
        self.kept.push((what, of.iter().map(|name| (*name).to_owned()).collect(), Arc::new(value), bytes));
    }

    /// Says that a column is null throughout, and why.
    pub fn unavailable(&mut self, name: &str, column: &str, reason: Reason) -> Result<(), Reason> {
        self.sink(name)?.unavailable.push(Unavailable { column: column.to_owned(), reason });
        Ok(())
    }

    /// Records a blocking check; a failed one ends the step: its table is neither published nor read.
    pub fn check(&mut self, name: &str, check: &str, failed: Option<Reason>) -> Result<(), Reason> {
        let output = AssetName::new(name).map_err(|error| Reason::new("bad_name", error.to_string()))?;
        if let Some(reason) = failed {
            return Err(reason.failed_check(name, check));
        }
        self.checks.push(CheckRecord { output, check: check.to_owned(), blocking: true, failed: None });
        Ok(())
    }

    /// Something that a person should know.
    pub fn warn(&mut self, warning: Reason) {
        self.warnings.push(warning);
    }

    fn sink(&mut self, name: &str) -> Result<&mut Sink, Reason> {
        self.sinks.get_mut(name).ok_or_else(|| {
            Reason::new("undeclared_output", format!("{name} is not one of the outputs that this asset declares"))
        })
    }
}

/// Runs frame assets against a table store.
pub struct FrameWorker {
    graph: Arc<Graph>,
    code: HashMap<AssetName, Arc<dyn FrameAsset>>,
    tables: Arc<dyn TableStore>,
    kept: Kept,
}

impl FrameWorker {
    /// A worker for the assets of a graph.
    pub fn new(graph: Arc<Graph>, code: HashMap<AssetName, Arc<dyn FrameAsset>>, tables: Arc<dyn TableStore>) -> Self {
        Self { graph, code, tables, kept: Kept::default() }
    }

    /// The same with so much memory for what several steps make of the same tables.
    #[must_use]
    pub fn keeping(self, bytes_most: u64) -> Self {
        Self { kept: Kept::up_to(bytes_most), ..self }
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
        let known = self.code.get(&request.step.asset).and_then(|code| code.memory(asset, request));
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
        let mut outputs = Outputs { sinks: sinks.collect(), pieces: BTreeMap::new(), tables, checks, warnings, kept };
        let shared = RefCell::default();
        let mut grown = grow::begin(asset, request, tables)?;
        let inputs = Inputs { graph: &self.graph, asset, request, tables, shared, kept: &self.kept };
        code.make(&inputs, &mut outputs)?;
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

/// Reads an output from wherever its rows are.
pub fn read_output(
    tables: &dyn TableStore,
    output: &OutputRecord,
    columns: Option<&[&str]>,
    rows: Option<usize>,
) -> Result<DataFrame, Reason> {
    let failed = |error: PolarsError| {
        frame_error(&format!("the table {} can't be read", output.name), &error).with("output", output.name.as_str())
    };
    match &output.stored {
        Stored::Object(object) => {
            let opened = tables.open(object).map_err(sink::store_reason)?;
            parquet::read(opened, columns, rows).map_err(failed)
        }
        Stored::Inline(bytes) => {
            let mut frame = sink::decode(bytes)?;
            if let Some(columns) = columns {
                frame = frame.select(columns.iter().copied()).map_err(failed)?;
            }
            Ok(rows.map_or_else(|| frame.clone(), |rows| frame.head(Some(rows))))
        }
    }
}

/// Reads one column of an output.
pub(crate) fn read_column(tables: &dyn TableStore, output: &OutputRecord, column: &str) -> Result<Column, Reason> {
    let mut frame = read_output(tables, output, Some(&[column]), None)?;
    frame.rechunk_mut();
    frame.column(column).cloned().map_err(|error| frame_error(&format!("the column {column}"), &error))
}

/// Chunks that a stack gathers before it makes them one: each is looked at again with every further one.
pub(crate) const CHUNKS_MAX: usize = 512;

/// Stacks outputs of several steps into one frame of the declared columns.
///
/// # Errors
/// `input_outdated`: a table that was made before these changed.
fn stack(
    tables: &dyn TableStore,
    decl: &OutputDecl,
    outputs: &[&OutputRecord],
    wanted: &[&str],
) -> Result<DataFrame, Reason> {
    let all = columns::empty(&decl.columns);
    let mut frame = all.select(wanted.iter().copied()).map_err(|error| frame_error("columns", &error))?;
    for (read, piece) in sink::rows_of(outputs).enumerate() {
        let rows = match piece? {
            Rows::Inline(rows) => rows.select(wanted.iter().copied()).map_err(|_| outdated(decl))?,
            Rows::Object(output, _) => read_output(tables, output, Some(wanted), None)?,
        };
        frame.vstack_mut(&rows).map_err(|_| outdated(decl))?;
        if read % CHUNKS_MAX == CHUNKS_MAX - 1 {
            frame.rechunk_mut();
        }
    }
    frame.rechunk_mut();
    Ok(frame)
}

fn outdated(decl: &OutputDecl) -> Reason {
    let message = format!("some tables of {0} were made before its columns changed: make {0} again first", decl.name);
    Reason::new("input_outdated", message).with("output", decl.name.as_str())
}
