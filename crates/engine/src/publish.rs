//! Publishing: one file a step, or views over many steps for packed outputs. Always after the commit, so that what is
//! published is true; what a killed build left unpublished, the next one publishes first.

use crate::EngineError;
use assets_core::compute::Packer;
use assets_core::graph::Graph;
use assets_core::ledger::Ledger;
use assets_core::record::{OutputRecord, StepRecord, Stored};
use assets_core::table_store::{TableFile, TableStore};
use assets_core::{AssetName, OutputDecl, Step};
use std::collections::{BTreeMap, BTreeSet};

/// A step of a view: its place, the step, its rows.
type Row<'a> = (u64, &'a Step, &'a OutputRecord);

/// What is to be published.
pub(crate) struct Publisher<'a> {
    graph: &'a Graph,
    tables: &'a dyn TableStore,
    packer: &'a dyn Packer,
    /// Views to be written.
    dirty: BTreeSet<TableFile>,
}

impl<'a> Publisher<'a> {
    pub(crate) fn new(graph: &'a Graph, tables: &'a dyn TableStore, packer: &'a dyn Packer) -> Self {
        Self { graph, tables, packer, dirty: BTreeSet::new() }
    }

    /// Publishes a step's tables; packed ones are noted and written by `flush`.
    pub(crate) fn step(&mut self, record: &StepRecord, ordinal: u64) -> Result<(), EngineError> {
        for output in &record.outputs {
            let Some(decl) = self.graph.output(output.name.as_str()) else { continue };
            let file = TableFile::published(decl, &record.step.partition, ordinal);
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
            if self.graph.asset(step.asset.as_str()).is_some() && crate::plan::is_there(self.tables, record) {
                self.step(record, tip.ordinal)?;
            }
        }
        Ok(())
    }

    /// Publishes again what someone removed from the published tables.
    pub(crate) fn note_lost(&mut self, ledger: &Ledger) -> Result<(), EngineError> {
        for (step, tip) in ledger.steps() {
            let Some(record) = tip.record() else { continue };
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

    /// Removes published files that nothing recorded is published in any more: those of an earlier layout.
    pub(crate) fn sweep(&self, ledger: &Ledger) -> Result<(), EngineError> {
        let mut keep: BTreeMap<&AssetName, BTreeSet<String>> = BTreeMap::new();
        for (step, tip) in ledger.steps() {
            for output in tip.record().into_iter().flat_map(|record| &record.outputs) {
                let Some(decl) = self.graph.output(output.name.as_str()) else { continue };
                let file = TableFile::published(decl, &step.partition, tip.ordinal);
                keep.entry(&decl.name).or_default().insert(file.stem);
            }
        }
        for (output, stems) in keep {
            self.tables.sweep(output, &stems)?;
        }
        Ok(())
    }

    /// How many files `flush` would write.
    pub(crate) fn pending(&self) -> usize {
        self.dirty.len()
    }

    /// Writes the views that were noted, from what the ledger holds now.
    pub(crate) fn flush(&mut self, ledger: &Ledger) -> Result<(), EngineError> {
        let mut views: BTreeMap<TableFile, Vec<Row<'_>>> = BTreeMap::new();
        for (step, tip) in ledger.steps() {
            let Some(record) = tip.record() else { continue };
            for output in &record.outputs {
                let Some(decl) = self.graph.output(output.name.as_str()) else { continue };
                let file = TableFile::published(decl, &step.partition, tip.ordinal);
                if self.dirty.contains(&file) {
                    views.entry(file).or_default().push((tip.ordinal, step, output));
                }
            }
        }
        for (file, mut steps) in views {
            steps.sort_by_key(|(ordinal, step, _)| (*ordinal, *step));
            let Some(decl) = self.graph.output(file.output.as_str()) else { continue };
            self.write(decl, &file, &steps.iter().map(|(_, _, output)| *output).collect::<Vec<_>>())?;
        }
        self.dirty.clear();
        Ok(())
    }

    fn write(&self, decl: &OutputDecl, file: &TableFile, steps: &[&OutputRecord]) -> Result<(), EngineError> {
        let mut staged = self.tables.stage()?;
        self.packer.pack(decl, steps, staged.as_mut()).map_err(EngineError::Other)?;
        staged.publish(file)?;
        Ok(())
    }
}
