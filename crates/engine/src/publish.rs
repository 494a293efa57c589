//! Publishing: one file a step, or views over many steps for packed outputs. Always after the commit, so that what is
//! published is true; what a killed build left unpublished, the next one publishes first. Whoever calls this holds the
//! claim on what is published, and knows the newest records: nobody publishes an older table over a newer one.

use crate::EngineError;
use assets_core::catalog::{Neighbours, Records};
use assets_core::compute::Packer;
use assets_core::excerpt::Excerpt;
use assets_core::graph::Graph;
use assets_core::ledger::Ledger;
use assets_core::record::{OutputRecord, StepRecord, Stored};
use assets_core::table_store::{BUCKET_STEPS, TableFile, TableStore, is_shared};
use assets_core::{AssetName, OutputDecl, Reason, Step};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A step of a view: its place, the step, its rows.
pub(crate) type Row<'a> = (u64, &'a Step, &'a OutputRecord);

/// Files to be written, each with the rows that belong into it.
pub(crate) type Views<'a> = BTreeMap<TableFile, Vec<Row<'a>>>;

/// What is to be published.
pub(crate) struct Publisher<'a> {
    graph: &'a Graph,
    tables: &'a dyn TableStore,
    packer: &'a dyn Packer,
    /// Steps whose rows go into views, and whether they are new there.
    noted: HashMap<Step, bool>,
    /// Views to be written whatever changed.
    lost: BTreeSet<TableFile>,
    /// Whether every view is to be written.
    everything: bool,
    /// Outputs of which something was published.
    touched: BTreeSet<AssetName>,
}

impl<'a> Publisher<'a> {
    pub(crate) fn new(graph: &'a Graph, tables: &'a dyn TableStore, packer: &'a dyn Packer) -> Self {
        let (noted, lost, touched) = (HashMap::new(), BTreeSet::new(), BTreeSet::new());
        Self { graph, tables, packer, noted, lost, everything: false, touched }
    }

    /// Publishes a step's tables; packed ones are noted and written later, as views. Those of a step that is gone go when
    /// what is left over is swept.
    pub(crate) fn step(&mut self, record: &StepRecord) -> Result<(), EngineError> {
        if let Some(asset) = self.graph.asset(record.step.asset.as_str()).filter(|_| record.is_gone()) {
            self.touched.extend(asset.outputs.iter().map(|output| output.name.clone()));
            self.noted.entry(record.step.clone()).or_default();
        }
        for output in &record.outputs {
            let Some(decl) = self.graph.output(output.name.as_str()) else { continue };
            self.touched.insert(decl.name.clone());
            match &output.stored {
                Stored::Object(object) if !decl.packed => {
                    self.tables.publish(&TableFile::of(&decl.name, &record.step.partition), object)?;
                }
                _ => {
                    let is_new = self.noted.entry(record.step.clone()).or_default();
                    *is_new |= record.generation == 1;
                }
            }
        }
        Ok(())
    }

    /// Whether a step has files that it shares with no other.
    pub(crate) fn has_own_files(&self, step: &Step) -> bool {
        let asset = self.graph.asset(step.asset.as_str());
        asset.is_some_and(|asset| asset.outputs.iter().any(|output| !output.packed))
    }

    /// The steps to be published where nobody knows what is: all that the ledger holds.
    pub(crate) fn missing(&mut self, ledger: &Ledger) -> Vec<Step> {
        self.everything = true;
        let recorded = ledger.steps().filter(|(step, tip)| tip.record().is_some() && self.graph.has_step(step));
        recorded.map(|(step, _)| step.clone()).collect()
    }

    /// The steps to be published again because someone removed their tables; views that were removed are noted.
    pub(crate) fn lost(&mut self, ledger: &Ledger) -> Vec<Step> {
        let places = ordinals(self.graph, ledger);
        let (mut lost, mut known) = (Vec::new(), BTreeSet::new());
        for (step, tip) in ledger.steps() {
            let Some(record) = tip.record().filter(|_| self.graph.has_step(step)) else { continue };
            let mut is_lost = false;
            for decl in record.outputs.iter().filter_map(|output| self.graph.output(output.name.as_str())) {
                let Some(file) = file(decl, step, &places) else { continue };
                if !decl.packed {
                    is_lost |= !self.tables.is_published(&file);
                } else if !known.contains(&file) {
                    if !self.tables.is_published(&file) {
                        self.lost.insert(file.clone());
                        self.touched.insert(decl.name.clone());
                    }
                    known.insert(file);
                }
            }
            lost.extend(is_lost.then(|| step.clone()));
        }
        lost
    }

    /// Whether there may be views to be written.
    pub(crate) fn is_pending(&self) -> bool {
        self.everything || !self.noted.is_empty() || !self.lost.is_empty()
    }

    /// All steps whose rows go into the views that are to be written, with the places of those that share views.
    pub(crate) fn sharers(&self, records: &dyn Records) -> Result<(Vec<(Step, u64)>, Excerpt), EngineError> {
        let steps = self.noted.iter().filter(|(step, _)| is_packed(self.graph, &step.asset));
        let steps = steps.map(|(step, is_new)| (step, *is_new)).collect();
        let places = records.neighbours(&Neighbours { steps, bucket: BUCKET_STEPS })?;
        let all = || places.iter().map(|(step, _)| step).chain(self.noted.keys());
        let runs = all().filter_map(|step| step.partition.run());
        let excerpt = Excerpt::of_assets(all().map(|step| step.asset.clone())).in_runs(runs);
        Ok((places, excerpt))
    }

    /// The views to be written, with what the ledger holds now of their steps.
    pub(crate) fn views<'l>(&self, ledger: &'l Ledger, places: &HashMap<&Step, u64>) -> Views<'l> {
        if !self.is_pending() {
            return Views::new();
        }
        let wanted = self.wanted(places);
        views(self.graph, ledger, places, &|decl, file| self.everything || wanted.holds(decl, file))
    }

    /// The views to be written. A step that is new moves those behind it, which another process may have recorded meanwhile,
    /// to other places: all files from its own on are written.
    fn wanted(&self, places: &HashMap<&Step, u64>) -> Wanted<'_> {
        let (mut dirty, mut from) = (self.lost.clone(), HashMap::<&AssetName, String>::new());
        for (step, is_new) in &self.noted {
            let outputs = self.graph.asset(step.asset.as_str()).into_iter().flat_map(|asset| &asset.outputs);
            for decl in outputs {
                let Some(file) = file(decl, step, places) else { continue };
                if *is_new && decl.packed {
                    let first = from.entry(&decl.name).or_insert_with(|| file.stem.clone());
                    *first = file.stem.clone().min(std::mem::take(first));
                }
                dirty.insert(file);
            }
        }
        Wanted { dirty, from }
    }

    /// Writes views. One whose rows can't all be read stays as it was published before: the reasons are returned.
    pub(crate) fn write(&self, views: Views<'_>) -> Result<Vec<Reason>, EngineError> {
        let mut left = Vec::new();
        for (file, steps) in views {
            let Some(decl) = self.graph.output(file.output.as_str()) else { continue };
            let rows: Vec<&OutputRecord> = steps.iter().map(|(_, _, output)| *output).collect();
            match self.write_one(decl, &file, &rows) {
                Err(EngineError::Other(reason)) if is_lost(&reason) => left.push(not_published(&file, &reason)),
                done => done?,
            }
        }
        Ok(left)
    }

    fn write_one(&self, decl: &OutputDecl, file: &TableFile, rows: &[&OutputRecord]) -> Result<(), EngineError> {
        let mut staged = self.tables.stage()?;
        self.packer.pack(decl, rows, staged.as_mut()).map_err(EngineError::Other)?;
        staged.publish(file)?;
        Ok(())
    }

    /// Removes what an earlier layout left of the outputs that were published now: files of many steps where each has its
    /// own now, or the other way round, files of steps that were cut by other dimensions, and of steps that are gone.
    /// Nothing else goes: a table whose record was lost is still a table.
    pub(crate) fn sweep(&self, ledger: &Ledger) -> Result<(), EngineError> {
        let places = if self.touched.is_empty() { HashMap::new() } else { ordinals(self.graph, ledger) };
        for decl in self.touched.iter().filter_map(|name| self.graph.output(name.as_str())) {
            let writer = self.graph.producer(decl.name.as_str()).map(|asset| &asset.name);
            let (mut now, mut before) = (BTreeSet::new(), BTreeSet::new());
            for (step, tip) in ledger.steps() {
                let Some(record) = tip.record() else { continue };
                let is_gone = record.is_gone() && Some(&step.asset) == writer;
                if is_gone || record.output(&decl.name).is_some() {
                    let Some(file) = file(decl, step, &places) else { continue };
                    if self.graph.has_step(step) && !is_gone {
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

    /// Whether there are tables of outputs that are not declared.
    pub(crate) fn has_undeclared(&self) -> Result<bool, EngineError> {
        Ok(self.tables.outputs()?.iter().any(|output| self.graph.output(output.as_str()).is_none()))
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
}

/// Views that are to be written.
struct Wanted<'a> {
    dirty: BTreeSet<TableFile>,
    /// Packed outputs of which all views are, from this one on.
    from: HashMap<&'a AssetName, String>,
}

impl Wanted<'_> {
    fn holds(&self, decl: &OutputDecl, file: &TableFile) -> bool {
        let is_behind = self.from.get(&decl.name).is_some_and(|first| *first <= file.stem);
        is_behind && decl.packed || self.dirty.contains(file)
    }
}

fn is_packed(graph: &Graph, asset: &AssetName) -> bool {
    graph.asset(asset.as_str()).is_some_and(|asset| asset.outputs.iter().any(|output| output.packed))
}

/// The places of the steps of packed assets, by which their files are cut.
pub(crate) fn ordinals<'l>(graph: &Graph, ledger: &'l Ledger) -> HashMap<&'l Step, u64> {
    ledger.ordinals(|asset| is_packed(graph, asset))
}

/// The published file of an output of a step; `None` where it shares one and its place is not known.
pub(crate) fn file(decl: &OutputDecl, step: &Step, ordinals: &HashMap<&Step, u64>) -> Option<TableFile> {
    let place = ordinals.get(step).copied();
    (!decl.packed || place.is_some()).then(|| TableFile::published(decl, &step.partition, place.unwrap_or(0)))
}

/// Published files of many steps that are wanted, with the rows that belong into each, in their order.
pub(crate) fn views<'l>(
    graph: &Graph,
    ledger: &'l Ledger,
    ordinals: &HashMap<&Step, u64>,
    is_wanted: &dyn Fn(&OutputDecl, &TableFile) -> bool,
) -> Views<'l> {
    let mut views = Views::new();
    for (step, tip) in ledger.steps().filter(|(step, _)| graph.has_step(step)) {
        for output in tip.record().into_iter().flat_map(|record| &record.outputs) {
            let Some(decl) = graph.output(output.name.as_str()) else { continue };
            let is_view = decl.packed || matches!(output.stored, Stored::Inline(_));
            let Some(file) = file(decl, step, ordinals) else { continue };
            if is_view && is_wanted(decl, &file) {
                views.entry(file).or_default().push((ordinals.get(step).copied().unwrap_or(0), step, output));
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
