//! What the code of a step reads: columns of its inputs and nothing that it does not declare, slices, what was made before.

use crate::codes::OwnedCodes;
use crate::guard::guarded;
use crate::kept::{self, Kept};
use crate::sink::{self, Rows};
use crate::splice::{self, SplicedColumn};
use crate::{columns, frame_error, parquet};
use assets_core::executor::StepRequest;
use assets_core::graph::Graph;
use assets_core::record::{OutputRecord, SliceRef, Stored, Unavailable};
use assets_core::table_store::TableStore;
use assets_core::{AssetDecl, AssetName, ColumnDecl, InputDecl, Mapping, OutputDecl, Partition, Reason, Step};
use polars::prelude::*;
use std::any::Any;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

/// What a step may read.
pub struct Inputs<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) asset: &'a AssetDecl,
    pub(crate) request: &'a StepRequest,
    pub(crate) tables: &'a dyn TableStore,
    pub(crate) shared: RefCell<HashMap<String, Arc<dyn Any + Send + Sync>>>,
    pub(crate) kept: &'a Kept,
}

/// Takes rows, with the codes of their texts.
pub type TakeBatch<'a> = dyn FnMut(DataFrame, Vec<OwnedCodes>) -> Result<(), Reason> + 'a;

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

    /// The declaration of an output of the step.
    pub(crate) fn output_decl(&self, name: &AssetName) -> Result<&OutputDecl, Reason> {
        let own = self.asset.outputs.iter().find(|output| output.name == *name);
        own.ok_or_else(|| {
            Reason::new("undeclared_output", format!("{name} is not one of the outputs of {}", self.asset.name))
        })
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

    /// Columns of an input that has one table, some rows after the other as they lie, beside `coded` columns of texts that
    /// repeat, as small numbers: what is never needed whole need not be in memory at once.
    pub fn batches(&self, name: &str, wanted: &[&str], coded: &[&str], each: &mut TakeBatch<'_>) -> Result<(), Reason> {
        let all: Vec<&str> = wanted.iter().chain(coded).copied().collect();
        self.may_read(name, &all)?;
        let Stored::Object(object) = &self.output(name)?.stored else {
            let frame = self.read(name, &all)?;
            let codes = coded.iter().map(|column| Ok(columns::to_codes(&frame, column)?.into()));
            let codes = codes.collect::<Result<_, Reason>>()?;
            let frame = frame.select(wanted.iter().copied());
            return each(frame.map_err(|error| frame_error(&format!("the columns of {name}"), &error))?, codes);
        };
        let table = splice::Source::open(self.tables.open(object).map_err(sink::store_reason)?)?;
        let wrong = |error: PolarsError| frame_error(&format!("the table {name} can't be read"), &error);
        for group in table.each_group() {
            let codes = coded.iter().map(|column| match group.codes(column).map_err(wrong)? {
                Some(codes) => Ok(codes),
                None => {
                    let frame = guarded(|| group.read(Some(&[column]))).map_err(wrong)?;
                    Ok(columns::to_codes(&frame, column)?.into())
                }
            });
            let codes = codes.collect::<Result<_, Reason>>()?;
            each(guarded(|| group.read(Some(wanted))).map_err(wrong)?, codes)?;
        }
        Ok(())
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
