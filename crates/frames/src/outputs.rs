//! Where the code of a step writes: rows and columns of its declared outputs, checks, and what people should know.

use crate::assemble::{Aside, Piece};
use crate::columns;
use crate::sink::Sink;
use assets_core::record::{CheckRecord, Unavailable};
use assets_core::table_store::TableStore;
use assets_core::{AssetName, OutputDecl, Reason};
use polars::prelude::{Column, DataFrame};
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where a step writes.
pub struct Outputs<'a> {
    pub(crate) sinks: BTreeMap<AssetName, Sink>,
    /// Columns one by one, where the asset is made by columns.
    pub(crate) pieces: BTreeMap<AssetName, Vec<(String, Piece)>>,
    pub(crate) tables: &'a dyn TableStore,
    pub(crate) dimensions: &'a [String],
    pub(crate) held_rows: usize,
    pub(crate) checks: Vec<CheckRecord>,
    pub(crate) warnings: Vec<Reason>,
    pub(crate) kept: Vec<ForLater>,
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

    /// The same of very many rows, which need not stay in memory: what stands for it then, where it was put aside.
    pub(crate) fn column_aside(&mut self, output: &OutputDecl, values: Column) -> Result<Option<Aside>, Reason> {
        let name = values.name().to_string();
        let decl = output.columns.iter().find(|column| column.name == name);
        if let Some(expected) = decl.map(|decl| columns::dtype(decl.kind)).filter(|expected| expected != values.dtype())
        {
            let message = format!("the column {name} of {} has another type than it declares", output.name);
            return Err(Reason::new("schema_mismatch", message)
                .with("declared", expected.to_string())
                .with("written", values.dtype().to_string()));
        }
        let is_held = output.packed || values.len() <= self.held_rows;
        let aside = if is_held { None } else { Aside::put(&values, output, self.dimensions, self.tables)? };
        self.column(&output.name, &name, aside.clone().map_or(Piece::New(values), Piece::Aside));
        Ok(aside)
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
