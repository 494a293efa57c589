//! What is known to stand without a look at every step: by the seal that a build leaves, while the program, its settings and
//! the store are as they were. Where only files have come, a build looks at the runs in them and at nothing else.

use crate::app::{Project, StoreGlance, WriteStore};
use crate::progress::tally::Tally;
use assets_core::excerpt::Excerpt;
use assets_core::graph::Graph;
use assets_core::hash::Digest;
use assets_core::ledger::Ledger;
use assets_core::record::SourceRecord;
use assets_core::seal::Seal;
use assets_core::source::Identified;
use assets_core::{AssetName, Mapping, Partition, Reason, Step};
use assets_engine::{BuildSummary, Scope, World, is_all_there, plan};
use std::collections::{BTreeMap, BTreeSet};

/// Runs that are looked at alone; for more it is as quick to look at all.
const RUNS_MOST: usize = 1000;

/// Files with a stat that is not recorded as they have it now, and their bytes, which every build hashes again until one that
/// looks at everything records it.
const UNTRUSTED_MOST: (usize, u64) = (32, 64 << 20);

/// How the world looks, before anything is read: what changes meanwhile makes it another one.
pub(crate) struct Standing {
    given: Digest<16>,
    /// `None` where there is no store yet.
    store: Option<StoreGlance>,
    sources: Option<Digest<16>>,
    /// The seal of a world that differs in its sources at most.
    seal: Option<Seal>,
}

/// How much there is, where all of it is fresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AllFresh {
    /// The steps.
    pub(crate) steps: u64,
    /// Their runs, where nothing but that is to be told of them.
    pub(crate) runs: Option<u64>,
}

impl Standing {
    /// `None` where it can't be told.
    pub(crate) fn of(project: &dyn Project) -> Option<Self> {
        let (given, store) = (project.given()?, project.store_glance());
        let is_of_now = |seal: &Seal| seal.given == given && store.is_some_and(|store| store.world == seal.store);
        let seal = project.sealed().filter(is_of_now);
        Some(Self { given, store, sources: project.source().glance(), seal })
    }

    /// Whether everything is known to be fresh.
    pub(crate) fn everything(&self) -> Option<AllFresh> {
        let seal = self.seal.as_ref().filter(|seal| seal.sources.is_some() && seal.sources == self.sources)?;
        Some(AllFresh { steps: seal.all()?, runs: seal.runs })
    }

    /// What has come since, where that is all that has changed, and all that has to be looked at for a scope.
    pub(crate) fn come(&self, project: &dyn Project, scope: &Scope) -> Option<Come> {
        let seal = self.seal.as_ref().filter(|_| !scope.needs_states() && !scope.only)?;
        let graph = project.graph();
        let cut: BTreeSet<&Vec<String>> =
            graph.assets().map(|asset| &asset.dimensions).filter(|dimensions| !dimensions.is_empty()).collect();
        if cut.len() != 1 || has_runs_behind_all(graph) {
            return None;
        }
        let heads = project.reader().ok()?.records().ledger_of(&Excerpt::of_runs([])).ok()?;
        let Identified { changed, problems, warnings, vanished, files, .. } =
            project.source().identify(&heads, false).ok()?;
        let is_gone = vanished.iter().any(|file| !file.steps.is_empty());
        if files == 0 || !problems.is_empty() || is_gone {
            return None;
        }
        let known = |record: &SourceRecord| heads.sources().get(&record.path);
        let (new, others): (Vec<_>, Vec<_>) = changed.into_iter().partition(|record| known(record).is_none());
        let is_same = |record: &SourceRecord| {
            let same = |before: &SourceRecord| (before.content, before.reading) == (record.content, record.reading);
            record.moved_to.is_none() && record.content.is_some() && known(record).is_some_and(same)
        };
        let bytes = others.iter().filter_map(|record| record.stat).map(|stat| stat.bytes).sum::<u64>();
        if others.len() > UNTRUSTED_MOST.0 || bytes > UNTRUSTED_MOST.1 || !others.iter().all(is_same) {
            return None;
        }
        let mut runs = seal.except.clone();
        for slice in new.iter().flat_map(|record| &record.slices) {
            // What is not of a run is read by all of them.
            runs.insert(slice.partition.run()?);
        }
        if new.iter().any(|record| record.moved_to.is_some() || record.problem.is_some()) || runs.len() > RUNS_MOST {
            return None;
        }
        let over_all = scope.assets.iter().filter_map(|name| graph.asset(name.as_str()));
        let over_all = over_all.flat_map(|asset| &asset.inputs).filter(|input| input.mapping == Mapping::All);
        let over_all = over_all.filter_map(|input| graph.producer(input.output.as_str()));
        let whole: BTreeSet<AssetName> = over_all.map(|asset| asset.name.clone()).collect();
        Some(Come { new, untrusted: others.len(), files, warnings, runs, whole })
    }

    /// Whether nothing has to be looked at for a scope that is all there is; then it is said so for the sources as they are.
    pub(crate) fn nothing_came(&self, project: &dyn Project, come: &Come) -> Option<AllFresh> {
        let is_nothing = come.new.is_empty() && come.untrusted == 0 && come.runs.is_empty() && come.warnings.is_empty();
        let seal = self.seal.as_ref().filter(|_| is_nothing)?;
        let fresh = AllFresh { steps: seal.all()?, runs: seal.runs };
        if self.sources.is_some() {
            project.seal(&Seal { sources: self.sources, ..seal.clone() });
        }
        Some(fresh)
    }
}

/// Whether an asset that is cut is made from one that reads over all runs: then another run concerns every one.
fn has_runs_behind_all(graph: &Graph) -> bool {
    let reads_all = |name: &AssetName| {
        let inputs = graph.asset(name.as_str()).into_iter().flat_map(|asset| &asset.inputs);
        inputs.into_iter().any(|input| input.mapping == Mapping::All)
    };
    let cut = graph.assets().filter(|asset| !asset.dimensions.is_empty());
    cut.into_iter()
        .any(|asset| reads_all(&asset.name) || graph.ancestors(asset.name.as_str(), usize::MAX).iter().any(reads_all))
}

/// What has come since a seal was left.
pub(crate) struct Come {
    new: Vec<SourceRecord>,
    /// Files whose stats are to be recorded.
    untrusted: usize,
    files: usize,
    /// What is to be told of sources, whichever they are of.
    warnings: Vec<Reason>,
    /// The runs that have to be looked at.
    runs: BTreeSet<String>,
    /// Assets that are read over all runs.
    whole: BTreeSet<AssetName>,
}

/// A build that looks at some runs.
pub(crate) struct Part {
    /// The sources, as far as they deliver for these.
    pub(crate) sources: Identified,
    /// The steps of all others, by asset.
    pub(crate) beside: BTreeMap<AssetName, u64>,
    runs_beside: Option<u64>,
    runs: BTreeSet<String>,
}

impl Come {
    /// What has to be known of records.
    pub(crate) fn excerpt(&self) -> Excerpt {
        Excerpt::of_runs(self.runs.iter().cloned()).and_all_of(self.whole.iter().cloned())
    }

    /// The part of a build, in a store that was opened for it; `None` where that is not as it was, or a run came back.
    pub(crate) fn part(self, project: &dyn Project, look: &Standing, store: &dyn WriteStore) -> Option<Part> {
        let seal = look.seal.as_ref()?;
        if project.store_glance()?.world != seal.store || !store.all_published() {
            return None;
        }
        let (graph, ledger) = (project.graph(), store.catalog().ledger().ok()?);
        let is_of = |step: &Step| step.partition.run().is_some_and(|run| self.runs.contains(&run));
        let (mut beside, mut before) = (seal.steps.clone(), BTreeSet::<&Partition>::new());
        let mut others: BTreeMap<AssetName, BTreeSet<Partition>> = BTreeMap::new();
        for (step, tip) in ledger.steps().filter(|(step, _)| graph.has_step(step)) {
            let Some(record) = tip.record() else { continue };
            if !is_of(step) {
                if self.whole.contains(&step.asset) && !record.is_gone() {
                    others.entry(step.asset.clone()).or_default().insert(step.partition.clone());
                }
                continue;
            }
            if record.is_gone() {
                return None;
            }
            if !step.partition.run().is_some_and(|run| seal.except.contains(&run)) {
                // It is among those that the seal speaks of.
                let steps = beside.get_mut(&step.asset)?;
                *steps = steps.checked_sub(1)?;
                before.insert(&step.partition);
            }
        }
        let runs_beside = match seal.runs {
            Some(runs) => Some(runs.checked_sub(before.len() as u64)?),
            None => None,
        };
        let mut records: BTreeMap<&str, &SourceRecord> =
            ledger.sources().iter().map(|(path, record)| (path.as_str(), record)).collect();
        records.extend(self.new.iter().map(|record| (record.path.as_str(), record)));
        let mut deliveries = project.source().delivered(&records.into_values().collect::<Vec<_>>());
        deliveries.retain(|step, _| step.partition.is_none() || is_of(step));
        let (changed, files, warnings) = (self.new, self.files, self.warnings);
        let sources = Identified { deliveries, changed, files, warnings, others, ..Identified::default() };
        Some(Part { sources, beside, runs_beside, runs: self.runs })
    }
}

impl Part {
    /// Cuts a scope to the runs that are looked at.
    pub(crate) fn cut(&self, world: &World<'_>, scope: &mut Scope) {
        let is_of = |partition: &Partition| partition.run().is_some_and(|run| self.runs.contains(&run));
        scope.partitions = Some(plan::all_partitions(world).into_iter().filter(is_of).collect());
    }
}

/// A build that has ended well enough for something to be said of what stands now.
pub(crate) struct Ended<'a> {
    pub(crate) summary: &'a BuildSummary,
    pub(crate) tally: &'a Tally,
    /// How many warnings were of sources: every build tells them.
    pub(crate) of_sources: usize,
    /// Whether it was asked for everything.
    pub(crate) of_everything: bool,
    /// The part that it looked at, if not at all.
    pub(crate) part: Option<&'a Part>,
}

/// Leaves a seal of what stands now, so that it is not looked at again. What goes wrong with that is nothing to a person
/// whose tables are made: it is found out again.
pub(crate) fn leave(project: &dyn Project, store: &dyn WriteStore, look: &Standing, ended: &Ended<'_>) -> Option<()> {
    let Ended { summary, tally, of_sources, of_everything, part } = ended;
    let after = &summary.after;
    let is_calm = after.holds && summary.source_problems == 0 && summary.unpublished == 0 && tally.files > 0;
    if summary.interrupted || tally.warnings > *of_sources || !is_calm || !(*of_everything || part.is_some()) {
        return None;
    }
    let bad: BTreeSet<String> = after.bad.iter().filter_map(Partition::run).collect();
    let is_well = *of_everything && after.uncut.is_some();
    // Whoever could not publish all of it leaves that to the next build.
    if !store.all_published() {
        return None;
    }
    let world = project.settled_store()?;
    let is_untouched = look.store.is_some_and(|store| store.is_settled && store.world == world);
    let mut seal = Seal {
        given: look.given,
        store: world,
        sources: look.sources,
        steps: after.steps.clone(),
        runs: after.runs,
        except: bad,
        uncut: after.uncut,
        warned: *of_sources > 0,
    };
    match part {
        None if !is_well => return None,
        None => {}
        Some(_) if is_untouched && !is_well => return None,
        Some(part) => {
            seal.steps = part.beside.clone();
            seal.runs = part.runs_beside;
            if is_well {
                after.steps.iter().for_each(|(asset, steps)| *seal.steps.entry(asset.clone()).or_default() += steps);
                seal.runs = part.runs_beside.zip(after.runs).map(|(beside, runs)| beside + runs);
            } else {
                seal.except.extend(part.runs.iter().cloned());
                seal.uncut = None;
            }
        }
    }
    if seal.except.len() > RUNS_MOST || !store.catalog().news().ok()?.is_empty() {
        return None;
    }
    // Looked at after the world was: what goes from now on changes it.
    if part.is_none() && !is_untouched && !is_there(project, store, &store.catalog().ledger().ok()?) {
        return None;
    }
    project.seal(&seal);
    Some(())
}

fn is_there(project: &dyn Project, store: &dyn WriteStore, ledger: &Ledger) -> bool {
    let (tables, sources) = (store.tables(), Identified::default());
    let world = World { graph: project.graph(), ledger, sources: &sources, records: store.catalog(), tables: &*tables };
    is_all_there(&world, project.packer(store.tables()).as_ref())
}
