//! Publishing: one file a step, or views over many steps for packed outputs. Always after the commit, so that what is
//! published is true; what a killed build left unpublished, the next one publishes first.

use crate::EngineError;
use assets_core::compute::Packer;
use assets_core::graph::Graph;
use assets_core::ledger::Ledger;
use assets_core::record::{OutputRecord, StepRecord, Stored};
use assets_core::table_store::{TableFile, TableStore, is_shared};
use assets_core::{AssetName, OutputDecl, Reason, Step};
use std::collections::{BTreeMap, BTreeSet};

/// A step of a view: its place, the step, its rows.
pub(crate) type Row<'a> = (u64, &'a Step, &'a OutputRecord);

/// What is to be published.
pub(crate) struct Publisher<'a> {
    graph: &'a Graph,
    tables: &'a dyn TableStore,
    packer: &'a dyn Packer,
    /// Views to be written.
    dirty: BTreeSet<TableFile>,
    /// Outputs of which something was published.
    touched: BTreeSet<AssetName>,
}

impl<'a> Publisher<'a> {
    pub(crate) fn new(graph: &'a Graph, tables: &'a dyn TableStore, packer: &'a dyn Packer) -> Self {
        Self { graph, tables, packer, dirty: BTreeSet::new(), touched: BTreeSet::new() }
    }

    /// Publishes a step's tables; packed ones are noted and written by `flush`.
    pub(crate) fn step(&mut self, record: &StepRecord, ordinal: u64) -> Result<(), EngineError> {
        for output in &record.outputs {
            let Some(decl) = self.graph.output(output.name.as_str()) else { continue };
            let file = TableFile::published(decl, &record.step.partition, ordinal);
            self.touched.insert(decl.name.clone());
            match &output.stored {
                Stored::Object(object) if !decl.packed => self.tables.publish(&file, object)?,
                _ => drop(self.dirty.insert(file)),
            }
        }
        Ok(())
    }

    /// Publishes whatever the ledger holds and the published tables lack.
    pub(crate) fn missing(&mut self, ledger: &Ledger) -> Result<(), EngineError> {
        for (step, tip) in ledger.steps() {
            let Some(record) = tip.record() else { continue };
            if self.graph.has_step(step) && crate::plan::is_there(self.tables, record) {
                self.step(record, tip.ordinal)?;
            }
        }
        Ok(())
    }

    /// Publishes again what someone removed from the published tables.
    pub(crate) fn note_lost(&mut self, ledger: &Ledger) -> Result<(), EngineError> {
        for (step, tip) in ledger.steps() {
            let Some(record) = tip.record().filter(|_| self.graph.has_step(step)) else { continue };
            for output in &record.outputs {
                let Some(decl) = self.graph.output(output.name.as_str()) else { continue };
                let file = TableFile::published(decl, &step.partition, tip.ordinal);
                if !self.tables.is_published(&file) && crate::plan::is_there(self.tables, record) {
                    self.step(record, tip.ordinal)?;
                    break;
                }
            }
        }
        Ok(())
    }

    /// Removes what an earlier layout left of the outputs that were published now: files of many steps where each has its
    /// own now, or the other way round, and files of steps that were cut by other dimensions. Nothing else goes: a table
    /// whose record was lost is still a table.
    pub(crate) fn sweep(&self, ledger: &Ledger) -> Result<(), EngineError> {
        for decl in self.touched.iter().filter_map(|name| self.graph.output(name.as_str())) {
            let (mut now, mut before) = (BTreeSet::new(), BTreeSet::new());
            for (step, tip) in ledger.steps() {
                if tip.record().is_some_and(|record| record.output(&decl.name).is_some()) {
                    let file = TableFile::published(decl, &step.partition, tip.ordinal);
                    if self.graph.has_step(step) {
                        now.insert(file.stem)
                    } else {
                        before.insert(file.stem)
                    };
                }
            }
            let is_left_over =
                |stem: &str| !now.contains(stem) && (is_shared(stem) != decl.packed || before.contains(stem));
            self.tables.sweep(&decl.name, &is_left_over)?;
        }
        Ok(())
    }

    /// Warnings of tables that are published still, though their output is not declared any more.
    pub(crate) fn undeclared(&self, ledger: &Ledger) -> Result<Vec<Reason>, EngineError> {
        let mut outputs = self.tables.outputs()?;
        outputs.retain(|output| self.graph.output(output.as_str()).is_none());
        if !outputs.is_empty() {
            // Of what no record speaks nobody knows whether it was ever declared.
            let records = ledger.steps().filter_map(|(_, tip)| tip.record());
            let recorded: BTreeSet<&AssetName> =
                records.flat_map(|record| &record.outputs).map(|output| &output.name).collect();
            outputs.retain(|output| recorded.contains(output));
        }
        let warning = |output: AssetName| {
            let folder =
                self.tables.folder(&output).map_or_else(|| output.to_string(), |path| path.display().to_string());
            let message = format!(
                "{folder} holds tables of an asset that is not declared any more; delete the folder if nobody reads it"
            );
            Reason::new("undeclared_table", message).with("output", output.as_str()).with("path", folder)
        };
        Ok(outputs.into_iter().map(warning).collect())
    }

    /// How many files `flush` would write.
    pub(crate) fn pending(&self) -> usize {
        self.dirty.len()
    }

    /// Writes the views that were noted, from what the ledger holds now. One whose rows can't all be read stays as it was
    /// published before: the reasons are returned.
    pub(crate) fn flush(&mut self, ledger: &Ledger) -> Result<Vec<Reason>, EngineError> {
        let mut left = Vec::new();
        for (file, steps) in views(self.graph, ledger, Some(&self.dirty)) {
            let Some(decl) = self.graph.output(file.output.as_str()) else { continue };
            let rows = steps.iter().map(|(_, _, output)| *output).collect::<Vec<_>>();
            match self.write(decl, &file, &rows) {
                Err(EngineError::Other(reason)) if is_lost(&reason) => left.push(not_published(&file, &reason)),
                done => done?,
            }
        }
        self.dirty.clear();
        Ok(left)
    }

    fn write(&self, decl: &OutputDecl, file: &TableFile, steps: &[&OutputRecord]) -> Result<(), EngineError> {
        let mut staged = self.tables.stage()?;
        self.packer.pack(decl, steps, staged.as_mut()).map_err(EngineError::Other)?;
        staged.publish(file)?;
        Ok(())
    }
}

/// Published files of many steps, those of `wanted` or all, with the rows that belong into each, in their order.
pub(crate) fn views<'l>(
    graph: &Graph,
    ledger: &'l Ledger,
    wanted: Option<&BTreeSet<TableFile>>,
) -> BTreeMap<TableFile, Vec<Row<'l>>> {
    let mut views: BTreeMap<TableFile, Vec<Row<'l>>> = BTreeMap::new();
    for (step, tip) in ledger.steps().filter(|(step, _)| graph.has_step(step)) {
        for output in tip.record().into_iter().flat_map(|record| &record.outputs) {
            let Some(decl) = graph.output(output.name.as_str()) else { continue };
            let file = TableFile::published(decl, &step.partition, tip.ordinal);
            let is_view = decl.packed || matches!(output.stored, Stored::Inline(_));
            if is_view && wanted.is_none_or(|wanted| wanted.contains(&file)) {
                views.entry(file).or_default().push((tip.ordinal, step, output));
            }
        }
    }
    views.values_mut().for_each(|steps| steps.sort_by_key(|(ordinal, step, _)| (*ordinal, *step)));
    views
}

/// Whether rows can't be read because what holds them is gone: their step is to be made again.
fn is_lost(reason: &Reason) -> bool {
    matches!(&*reason.code, "object_missing" | "object_damaged" | "inline_rows")
}

fn not_published(file: &TableFile, why: &Reason) -> Reason {
    let message = format!(
        "{}/{}.parquet stays as it was published before: {}; build the runs in it that are stale",
        file.output, file.stem, why.message
    );
    let reason = Reason::new("not_published", message).with("output", file.output.as_str());
    reason.with("file", file.stem.as_str()).with("cause", why.code.as_str())
}
