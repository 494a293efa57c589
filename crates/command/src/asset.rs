//! A table by a command: its declaration, and the code that hands a step to it.

use crate::batch::Batch;
use crate::manifest::{self, Files};
use crate::process::{self, Program};
use crate::report::Report;
use crate::{Places, code};
use assets_core::graph::Graph;
use assets_core::{AssetDecl, AssetName, ColumnDecl, InputDecl, Kind, Mapping, OutputDecl, Reason, suggest};
use assets_frames::defined::{Declared, Definition, dimensions};
use assets_frames::{FrameAsset, Inputs, Outputs};
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;

/// A table that a command reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// The table.
    pub table: String,
    /// The columns; `None` for all.
    pub columns: Option<Vec<String>>,
}

/// A table that a command writes.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// Its columns, without those of the partition.
    pub columns: Vec<ColumnDecl>,
    /// Whether it has a row or a few per partition.
    pub packed: bool,
}

/// A table as a person defines it by a command.
pub struct TableByCommand {
    /// Its name.
    pub name: String,
    /// One line for people. Metadata.
    pub description: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Files besides those that the command names: patterns, from the settings' folder.
    pub code: Vec<String>,
    /// What it reads.
    pub inputs: Vec<Input>,
    /// What it writes; the first one carries its name.
    pub outputs: Vec<Output>,
    /// Whether it is one table, made from all partitions of what it reads; else one a partition.
    pub over_all: bool,
    /// What it is told besides.
    pub parameters: Map<String, Value>,
    /// One process for many steps.
    pub batch: bool,
    /// How long a step may take.
    pub timeout: Option<Duration>,
    /// Where it runs.
    pub places: Places,
}

impl Definition for TableByCommand {
    fn name(&self) -> &str {
        &self.name
    }

    fn reads(&self) -> Result<Vec<String>, Reason> {
        Ok(self.inputs.iter().map(|input| input.table.clone()).collect())
    }

    fn declare(&self, name: AssetName, graph: &Graph) -> Result<Declared, Reason> {
        let bad = |message: String| Reason::new("bad_definition", message);
        if self.command.first().is_none_or(|program| program.trim().is_empty()) {
            return Err(bad("`command` is empty: give a program and its arguments".to_owned()));
        }
        let inputs = self.inputs.iter().map(|input| declared_input(input, self.over_all, graph));
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        let cut_alike = inputs.iter().filter(|input| input.mapping == Mapping::Identity);
        let keys = dimensions(graph, cut_alike.map(|input| input.output.as_str()))?;
        let outputs = self.outputs.iter().map(|output| declared_output(output, &keys, graph));
        let outputs = outputs.collect::<Result<Vec<_>, _>>()?;
        let version = code::fingerprint(&self.command, &self.code, &self.places.base)?;
        let mut declared = outputs.iter().cloned();
        let first = declared.next().ok_or_else(|| bad("it writes no table".to_owned()))?;
        let mut decl = AssetDecl::new(first, &version).described(&self.description).tagged(&["command"]);
        decl = declared.fold(decl, AssetDecl::also);
        decl.dimensions.clone_from(&keys);
        decl = inputs.iter().cloned().fold(decl, AssetDecl::reads);
        decl = self.parameters.iter().fold(decl, |decl, (name, value)| decl.param(name, value));
        let is_packed = |input: &InputDecl| graph.output(input.output.as_str()).is_some_and(|output| output.packed);
        let program = Program { argv: self.command.clone() };
        let batch = self.batch.then(|| Batch::new(program.clone(), self.places.clone(), self.timeout));
        let asset = CommandAsset {
            name,
            inputs: inputs.into_iter().map(|input| (input.output.clone(), is_packed(&input))).collect(),
            outputs,
            keys,
            parameters: self.parameters.clone(),
            program,
            code: self.code.clone(),
            version,
            timeout: self.timeout,
            places: self.places.clone(),
            batch,
        };
        Ok((decl, Arc::new(asset)))
    }
}

fn declared_input(input: &Input, over_all: bool, graph: &Graph) -> Result<InputDecl, Reason> {
    let known = || graph.outputs().map(|output| output.name.as_str());
    let Some(output) = graph.output(&input.table) else {
        let hint = suggest::hint(&input.table, known());
        let message = format!("`inputs` names the table `{}`, which there is not{hint}", input.table);
        return Err(Reason::new("unknown_table", message).with("table", input.table.as_str()));
    };
    let is_cut = graph.producer(&input.table).is_some_and(|writer| !writer.dimensions.is_empty());
    let mapped = |decl: InputDecl| if over_all && is_cut { decl.over_all() } else { decl };
    let Some(columns) = &input.columns else { return Ok(mapped(InputDecl::all(output.name.clone()))) };
    let names = || output.columns.iter().map(|column| column.name.as_str());
    if let Some(unknown) = columns.iter().find(|column| !names().any(|name| name == *column)) {
        let hint = suggest::hint(unknown, names());
        let message =
            format!("`inputs` names the column `{unknown}` of {}, which has none of that name{hint}", output.name);
        return Err(Reason::new("unknown_column", message).with("column", unknown.as_str()));
    }
    // The keys come along: who reads a table wants to know whose it is.
    let keys = graph.producer(&input.table).into_iter().flat_map(|asset| asset.dimensions.iter());
    let mut columns: Vec<String> = keys.chain(columns).cloned().collect();
    columns.sort();
    columns.dedup();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    Ok(mapped(InputDecl::columns(output.name.clone(), &columns)))
}

fn declared_output(output: &Output, keys: &[String], graph: &Graph) -> Result<OutputDecl, Reason> {
    let bad = |message: String| Reason::new("bad_definition", message).with("output", output.name.as_str());
    let name = AssetName::new(&output.name).map_err(|error| Reason::new("bad_name", error.to_string()))?;
    if graph.output(&output.name).is_some() {
        let message = format!("there is a table `{name}` already: choose another name");
        return Err(Reason::new("name_taken", message).with("output", name.as_str()));
    }
    if output.columns.is_empty() {
        return Err(bad(format!("{name} declares no columns: say what it holds, as in `columns.score = \"float\"`")));
    }
    let mut columns: Vec<ColumnDecl> =
        keys.iter().map(|key| ColumnDecl::new(key, Kind::Text, "", "what cuts the table")).collect();
    for column in &output.columns {
        if columns.iter().any(|known| known.name == column.name) {
            return Err(bad(format!("{name} has the column `{}` twice, or it is what cuts the table", column.name)));
        }
        columns.push(column.clone());
    }
    let decl = OutputDecl::new(name, columns);
    Ok(if output.packed { decl.packed() } else { decl })
}

/// The code of a table by a command.
pub(crate) struct CommandAsset {
    pub(crate) name: AssetName,
    /// With whether they are packed.
    pub(crate) inputs: Vec<(AssetName, bool)>,
    pub(crate) outputs: Vec<OutputDecl>,
    pub(crate) keys: Vec<String>,
    pub(crate) parameters: Map<String, Value>,
    program: Program,
    /// Patterns of further files, and the fingerprint of all that is its code.
    code: Vec<String>,
    version: String,
    timeout: Option<Duration>,
    places: Places,
    batch: Option<Batch>,
}

impl CommandAsset {
    /// The columns of an output that the command writes: all but the keys.
    pub(crate) fn own_columns<'a>(&'a self, output: &'a OutputDecl) -> impl Iterator<Item = &'a ColumnDecl> {
        output.columns.iter().filter(|column| !self.keys.contains(&column.name))
    }

    /// The one step of a process of its own.
    fn alone(&self, inputs: &Inputs<'_>, files: &Files<'_>) -> Result<Report, Reason> {
        let mut manifest = manifest::of_step(self, inputs, files)?;
        manifest.insert("batch".to_owned(), false.into());
        let path = files.manifest();
        std::fs::write(&path, Value::Object(manifest).to_string()).map_err(|error| {
            Reason::new("io_error", format!("the manifest {} can't be written: {error}", path.display()))
        })?;
        let log = self.places.logs.create(inputs.step())?;
        self.program.run(&self.places, &path, log, self.timeout)?;
        Report::of_file(&files.report())
    }

    fn land(&self, inputs: &Inputs<'_>, outputs: &mut Outputs<'_>) -> Result<(), Reason> {
        let Some(batch) = &self.batch else {
            let folder = scratch(&self.places)?;
            let files = Files { folder: folder.path(), prefix: String::new() };
            return self.alone(inputs, &files)?.land(self, &files, inputs, outputs);
        };
        let files = batch.files()?;
        let report = manifest::of_step(self, inputs, &files);
        let report = report.and_then(|manifest| batch.ask(self, inputs.step(), &Value::Object(manifest)));
        let landed = report.and_then(|report| report.land(self, &files, inputs, outputs));
        files.remove(self);
        landed
    }
}

impl CommandAsset {
    /// What was made by other code than was planned is none of this step's.
    fn still_the_same(&self) -> Result<(), Reason> {
        let now = code::fingerprint(&self.program.argv, &self.code, &self.places.base);
        if now.is_ok_and(|now| now == self.version) {
            return Ok(());
        }
        let message = format!("the code of {} changed while it ran: make it again", self.name);
        Err(Reason::new("code_changed_while_running", message))
    }
}

impl FrameAsset for CommandAsset {
    fn make(&self, inputs: &Inputs<'_>, outputs: &mut Outputs<'_>) -> Result<(), Reason> {
        self.land(inputs, outputs).and_then(|()| self.still_the_same()).map_err(|reason| {
            let log = self.places.logs.read(inputs.step(), process::TAIL_BYTES).unwrap_or_default();
            process::with_log(reason, log)
        })
    }
}

/// A folder for files between this program and another, gone with what it returns.
pub(crate) fn scratch(places: &Places) -> Result<tempfile::TempDir, Reason> {
    let made = std::fs::create_dir_all(&places.scratch);
    let made = made.and_then(|()| std::path::absolute(&places.scratch));
    let made = made.and_then(|scratch| tempfile::Builder::new().prefix("command-").tempdir_in(scratch));
    made.map_err(|error| {
        Reason::new("io_error", format!("a folder in {} can't be made: {error}", places.scratch.display()))
    })
}
