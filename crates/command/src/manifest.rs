//! What a command is handed for one step: its inputs as Parquet files, its parameters, where its tables go.

use crate::asset::CommandAsset;
use assets_core::table::{Table, Values};
use assets_core::{AssetName, ColumnDecl, OutputDecl, Reason};
use assets_frames::{Inputs, small};
use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// The files between this program and another that are of one step. They are gone with it.
pub(crate) struct Files<'a> {
    /// A folder, shared with other steps.
    pub(crate) folder: &'a Path,
    /// What tells the step's files from those of others.
    pub(crate) prefix: String,
}

impl Files<'_> {
    fn named(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{}{name}", self.prefix))
    }

    /// Where the manifest goes, if it is a file.
    pub(crate) fn manifest(&self) -> PathBuf {
        self.named("manifest.json")
    }

    /// Where the report goes, if it is a file.
    pub(crate) fn report(&self) -> PathBuf {
        self.named("report.json")
    }

    /// Where a table goes, if it is a file.
    pub(crate) fn output(&self, output: &OutputDecl) -> PathBuf {
        self.named(&format!("{}.parquet", output.name))
    }

    fn input(&self, name: &AssetName, at: usize) -> PathBuf {
        self.named(&format!("{name}.{at}.in.parquet"))
    }

    /// Removes what is there of a step's files.
    pub(crate) fn remove(&self, asset: &CommandAsset) {
        let inputs = asset.inputs.iter().filter(|(_, packed)| !packed);
        let inputs = inputs.flat_map(|(name, _)| (0..).map(|at| self.input(name, at)).take_while(|path| path.exists()));
        // Most are not there; and what stays goes with the folder.
        for path in inputs.collect::<Vec<_>>().into_iter().chain(asset.outputs.iter().map(|output| self.output(output)))
        {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// The manifest of a step, its inputs written to files. Rows of packed inputs, few as they are, stand in it themselves: a
/// command that reads nothing else needs no library.
pub(crate) fn of_step(
    asset: &CommandAsset,
    inputs: &Inputs<'_>,
    files: &Files<'_>,
) -> Result<Map<String, Value>, Reason> {
    let partition = inputs.partition();
    let mut tables = Map::new();
    for (name, packed) in &asset.inputs {
        let rows = inputs.rows(name.as_str())?;
        let columns = columns(inputs.columns(name.as_str())?.into_iter());
        let table = if *packed {
            let table = small::to_table(&inputs.read_all(name.as_str())?)?;
            json!({"rows": rows, "columns": columns, "values": values(&table)})
        } else {
            let paths = inputs.export(name.as_str(), |at| files.input(name, at))?;
            json!({"rows": rows, "columns": columns, "paths": paths})
        };
        tables.insert(name.to_string(), table);
    }
    let outputs = asset.outputs.iter().map(|output| {
        let table = json!({"path": files.output(output), "columns": columns(asset.own_columns(output))});
        (output.name.to_string(), table)
    });
    let keys: Map<String, Value> = partition.keys().map(|(name, key)| (name.to_owned(), key.into())).collect();
    let manifest = json!({
        "version": 1,
        "asset": asset.name.as_str(),
        "step": partition.file_stem(),
        "run": partition.run(),
        "partition": keys,
        "parameters": asset.parameters,
        "inputs": tables,
        "outputs": outputs.collect::<Map<_, _>>(),
        "report": files.report(),
    });
    match manifest {
        Value::Object(map) => Ok(map),
        _ => Ok(Map::new()),
    }
}

/// What one process for many steps is told at its start; the steps come on its standard input, a manifest a line.
pub(crate) fn of_batch(asset: &CommandAsset) -> Value {
    let outputs = asset.outputs.iter();
    let outputs =
        outputs.map(|output| (output.name.to_string(), json!({"columns": columns(asset.own_columns(output))})));
    json!({
        "version": 1,
        "asset": asset.name.as_str(),
        "batch": true,
        "parameters": asset.parameters,
        "outputs": outputs.collect::<Map<_, _>>(),
    })
}

fn columns<'a>(declared: impl Iterator<Item = &'a ColumnDecl>) -> Vec<Value> {
    declared.map(|column| json!({"name": column.name, "type": column.kind.name(), "unit": column.unit})).collect()
}

/// Rows as objects; times as text in UTC.
fn values(table: &Table) -> Vec<Value> {
    let value = |values: &Values, row: usize| match values {
        Values::Float(v) => v[row].into(),
        Values::Int(v) => v[row].into(),
        Values::Bool(v) => v[row].into(),
        Values::Text(v) => v[row].clone().into(),
        Values::Time(v) => {
            let time = v[row].and_then(DateTime::from_timestamp_micros);
            time.map(|time| time.to_rfc3339_opts(SecondsFormat::Micros, true)).into()
        }
    };
    let row = |row| table.columns.iter().map(|(name, all)| (name.clone(), value(all, row))).collect::<Map<_, _>>();
    (0..table.rows()).map(|at| row(at).into()).collect()
}
