//! An opened project with what is recorded and delivered now: what every reading verb starts from.

use crate::app::{App, Failure, OpenOptions, Project, ReadStore};
use crate::args::{Global, ScopeArgs};
use crate::edge;
use crate::memory;
use crate::out::Out;
use assets_core::excerpt::Excerpt;
use assets_core::ledger::Ledger;
use assets_core::record::SliceRef;
use assets_core::select;
use assets_core::source::Identified;
use assets_core::{AssetName, Mapping, Partition, Reason, Step};
use assets_engine::memory::Watch;
use assets_engine::plan::{Plan, all_partitions};
use assets_engine::scope::resolve_run;
use assets_engine::{Scope, ScopeError, World, gone};
use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Flags of every verb that decide what is opened.
pub(crate) fn open_options(global: &Global) -> OpenOptions {
    OpenOptions { config: global.config.clone(), store: global.store.clone(), sources: global.source.clone() }
}

/// All that a question is answered from.
pub(crate) struct Session {
    pub(crate) project: Box<dyn Project>,
    pub(crate) reader: Arc<dyn ReadStore>,
    /// What is recorded: of everything, or of the runs that are asked about.
    pub(crate) ledger: Ledger,
    pub(crate) sources: Identified,
    /// What is recorded of everything, where it was needed after all.
    whole: OnceCell<Ledger>,
    is_part: bool,
    _limit: Watch,
}

/// A run that is gone.
pub(crate) struct GoneRun {
    pub(crate) run: String,
    /// Why.
    pub(crate) reason: Reason,
    /// When its tables were taken down, if they were.
    pub(crate) down_us: Option<i64>,
}

impl Session {
    /// Opens the project, folds the records, and identifies the sources in memory.
    pub(crate) fn open(app: &dyn App, global: &Global) -> Result<Self, Failure> {
        let mut session = Self::recorded(app, global)?;
        session.identify(global.rehash)?;
        Ok(session)
    }

    fn identify(&mut self, rehash: bool) -> Result<(), Failure> {
        let sources = self.project.source().identify(&self.ledger, rehash);
        self.sources = sources.map_err(edge::unlisted)?;
        Ok(())
    }

    /// The same for a question about these assets and runs: where it can be answered from what is recorded of those
    /// runs alone, nothing else is read.
    pub(crate) fn open_for(
        app: &dyn App,
        global: &Global,
        select: &[String],
        runs: &[String],
    ) -> Result<Self, Failure> {
        Self::of(app.open(&open_options(global))?, global, select, runs)
    }

    /// The same in a project that is open already.
    pub(crate) fn of(
        project: Box<dyn Project>,
        global: &Global,
        select: &[String],
        runs: &[String],
    ) -> Result<Self, Failure> {
        let mut session = Self::over(project, global)?;
        if session.is_about_few(select, runs) {
            session.take_part(&Excerpt::of_runs(runs.iter().cloned()))?;
            session.identify(global.rehash)?;
            // How many runs a source had that is gone is a question about all of them.
            let vanished = session.sources.warnings.iter().any(|warning| warning.code == "source_vanished");
            if !vanished && session.knows(runs) {
                return Ok(session);
            }
        }
        session.take_all()?;
        session.identify(global.rehash)?;
        Ok(session)
    }

    /// The same without looking at the sources.
    pub(crate) fn recorded_for(
        app: &dyn App,
        global: &Global,
        select: &[String],
        runs: &[String],
    ) -> Result<Self, Failure> {
        let mut session = Self::unread(app, global)?;
        if session.is_about_few(select, runs) {
            session.take_part(&Excerpt::of_runs(runs.iter().cloned()))?;
            if session.knows(runs) {
                return Ok(session);
            }
        }
        session.take_all()?;
        Ok(session)
    }

    /// The same without looking at the sources.
    pub(crate) fn recorded(app: &dyn App, global: &Global) -> Result<Self, Failure> {
        let mut session = Self::unread(app, global)?;
        session.take_all()?;
        Ok(session)
    }

    /// What is recorded of the tables that a query reads.
    pub(crate) fn recorded_of_query(app: &dyn App, global: &Global, query: &str) -> Result<Self, Failure> {
        let mut session = Self::unread(app, global)?;
        let read = session.project.tables_in(query);
        session.take_part(&Excerpt::of_assets(read))?;
        Ok(session)
    }

    fn unread(app: &dyn App, global: &Global) -> Result<Self, Failure> {
        Self::over(app.open(&open_options(global))?, global)
    }

    fn over(project: Box<dyn Project>, global: &Global) -> Result<Self, Failure> {
        let out = Out { json: global.json, quiet: global.quiet };
        let limit = memory::limit_in_all(out, project.as_ref());
        let reader: Arc<dyn ReadStore> = Arc::from(project.reader()?);
        let (ledger, sources) = (Ledger::default(), Identified::default());
        Ok(Self { project, reader, ledger, sources, whole: OnceCell::new(), is_part: false, _limit: limit })
    }

    fn take_all(&mut self) -> Result<(), Failure> {
        (self.ledger, self.is_part) = (self.reader.records().ledger()?, false);
        Ok(())
    }

    fn take_part(&mut self, excerpt: &Excerpt) -> Result<(), Failure> {
        (self.ledger, self.is_part) = (self.reader.records().ledger_of(excerpt)?, true);
        Ok(())
    }

    /// What is recorded of everything. Where that can't be read a second time, it is what was read first.
    pub(crate) fn whole_ledger(&self) -> &Ledger {
        if !self.is_part {
            return &self.ledger;
        }
        self.whole.get_or_init(|| self.reader.records().ledger().unwrap_or_else(|_| self.ledger.clone()))
    }

    /// Whether these runs could be all that counts: each named as a whole, cut as all others are, and nothing asked for
    /// that is over all runs, or that depends on states.
    fn is_about_few(&self, select: &[String], runs: &[String]) -> bool {
        let graph = self.project.graph();
        let cut: BTreeSet<&Vec<String>> =
            graph.assets().map(|asset| &asset.dimensions).filter(|dimensions| !dimensions.is_empty()).collect();
        let Ok(scope) = Scope::new(graph, select, false) else { return false };
        let is_over_all = |name: &AssetName| {
            let inputs = graph.asset(name.as_str()).into_iter().flat_map(|asset| &asset.inputs);
            inputs.clone().any(|input| input.mapping == Mapping::All)
        };
        !runs.is_empty() && cut.len() == 1 && !scope.needs_states() && !scope.assets.iter().any(is_over_all)
    }

    /// Whether each of these runs is known by exactly that name: then no other run can be meant.
    fn knows(&self, runs: &[String]) -> bool {
        let known: Vec<String> = all_partitions(&self.world()).iter().filter_map(Partition::run).collect();
        runs.iter().all(|run| known.iter().filter(|known| *known == run).count() == 1)
    }

    /// The same with the steps that are asked for; states are known only of what the sources deliver, so for them, and
    /// only then, the sources are looked at after all.
    pub(crate) fn recorded_scope(app: &dyn App, global: &Global, args: &ScopeArgs) -> Result<(Self, Scope), Failure> {
        let mut session = Self::recorded(app, global)?;
        if Scope::new(session.project.graph(), &args.select, false)?.needs_states() {
            session.identify(global.rehash)?;
        }
        let scope = session.scope(args)?;
        Ok((session, scope))
    }

    /// What a plan is made from.
    pub(crate) fn world(&self) -> World<'_> {
        World {
            graph: self.project.graph(),
            ledger: &self.ledger,
            sources: &self.sources,
            records: self.reader.records(),
            tables: self.reader.tables().as_ref(),
        }
    }

    /// Every partition that was ever delivered; where the sources were not looked at, those recorded.
    pub(crate) fn known(&self) -> BTreeSet<Partition> {
        let mut known = all_partitions(&self.world());
        if !known.is_empty() {
            return known;
        }
        let there = self.ledger.steps().filter(|(_, tip)| tip.record().is_none_or(|record| !record.is_gone()));
        known.extend(there.map(|(step, _)| step.partition.clone()).filter(|p| !p.is_none()));
        known
    }

    /// The steps that are asked for, with all they are made from.
    pub(crate) fn scope(&self, args: &ScopeArgs) -> Result<Scope, Failure> {
        let mut scope = Scope::new(self.project.graph(), &args.select, false)?;
        if !args.runs.is_empty() {
            scope.restrict(&self.known(), &args.runs).map_err(|error| no_run(&self.world(), error))?;
        }
        scope.settle(&self.world());
        Ok(scope)
    }

    /// Of runs that are asked for, those that are gone, each with why; and the others.
    pub(crate) fn without_gone(&self, runs: &[String]) -> (Vec<String>, Vec<GoneRun>) {
        let (mut others, mut all) = (Vec::new(), Vec::new());
        let known = if runs.is_empty() { BTreeSet::new() } else { self.known() };
        let world = self.world();
        for run in runs {
            let gone = if resolve_run(&known, run).is_err() { gone_run(&world, run) } else { None };
            match gone {
                None => others.push(run.clone()),
                Some((step, reason)) => {
                    let down = self.ledger.newest(step).filter(|record| record.is_gone());
                    all.push(GoneRun { run: run.clone(), reason, down_us: down.map(|record| record.span.end_us) });
                }
            }
        }
        (others, all)
    }

    /// The plan for a scope.
    pub(crate) fn plan(&self, scope: &Scope) -> Plan {
        assets_engine::plan::plan(&self.world(), scope)
    }

    /// The one step that an asset or output and a run mean, and a scope that holds it with its ancestors.
    pub(crate) fn step(&self, asset: &str, run: Option<&str>) -> Result<(Step, Scope), Failure> {
        let graph = self.project.graph();
        let name = select::resolve(graph, asset)?;
        let mut scope = Scope::new(graph, &[name.to_string()], false)?;
        if graph.asset(name.as_str()).is_some_and(|asset| asset.dimensions.is_empty()) {
            return Ok((Step::new(&name, &Partition::none()), scope));
        }
        let partition = partition_of(&self.world(), &name, run, self.known())?;
        scope.partitions = Some(BTreeSet::from([partition.clone()]));
        Ok((Step::new(&name, &partition), scope))
    }

    /// The one step that an asset or output and a run mean, among all of which anything is recorded.
    pub(crate) fn recorded_step(&self, asset: &str, run: Option<&str>) -> Result<Step, Failure> {
        let graph = self.project.graph();
        let name = select::resolve(graph, asset)?;
        if graph.asset(name.as_str()).is_some_and(|asset| asset.dimensions.is_empty()) {
            return Ok(Step::new(&name, &Partition::none()));
        }
        let recorded = self.ledger.steps().map(|(step, _)| step.partition.clone()).filter(|p| !p.is_none());
        let partition = partition_of(&self.world(), &name, run, recorded.collect())?;
        Ok(Step::new(&name, &partition))
    }

    /// The slices that a step's table was made from, under the names that their files have now; those delivered now
    /// where it was never made.
    pub(crate) fn slices(&self, step: &Step) -> Vec<SliceRef> {
        let mut now = self.sources.deliveries.get(step).map(|delivery| delivery.slices.clone()).unwrap_or_default();
        let Some(record) = self.ledger.newest(step) else { return now };
        let mut renamed = |slice: &SliceRef| {
            let same = |exact: bool| move |s: &SliceRef| s.hash == slice.hash && (!exact || s.path == slice.path);
            let at = now.iter().position(same(true)).or_else(|| now.iter().position(same(false)));
            at.map_or_else(|| slice.clone(), |at| now.swap_remove(at))
        };
        record.recipe.slices.iter().map(&mut renamed).collect()
    }

    /// Tells what the sources warn about, for a person.
    pub(crate) fn warn(&self, out: &Out) {
        if out.json {
            return;
        }
        self.sources.warnings.iter().for_each(|warning| out.warn(&warning.message));
        match self.sources.problems.len() {
            0 => {}
            1 => out.warn("a source can't be read: see `assets errors`"),
            n => out.warn(&format!("{n} sources can't be read: see `assets errors`")),
        }
        if self.sources.files == 0 && self.ledger.is_empty() {
            out.hint("no file matches the sources of the settings, and nothing is recorded yet");
        }
    }
}

/// What is wrong with a run that was asked for: one that was there and is gone is told apart from one that never was.
pub(crate) fn no_run(world: &World<'_>, error: ScopeError) -> Failure {
    let ScopeError::UnknownRun { asked, .. } = &error else { return error.into() };
    match gone_run(world, asked) {
        None => error.into(),
        Some((step, reason)) => {
            let help = format!("`assets why {} --run …` and `assets history` still tell of it", step.asset);
            Failure::usage(reason).help(help)
        }
    }
}

/// The first step of a run that is gone, and why it is.
fn gone_run<'a>(world: &World<'a>, asked: &str) -> Option<(&'a Step, Reason)> {
    let partitions = assets_engine::plan::partitions(world);
    // Where the sources were not looked at, only what was taken down is known to be gone.
    let looked = !world.sources.deliveries.is_empty();
    let is_down = |step: &Step| world.ledger.newest(step).is_some_and(|record| record.is_gone());
    let own = |step: &&Step| step.partition.run().is_some_and(|run| run == asked) && (looked || is_down(step));
    // The first asset's is the nearest to the files.
    let mut steps: Vec<&Step> = world.ledger.steps().map(|(step, _)| step).filter(own).collect();
    steps.sort_by_key(|step| world.graph.order().iter().position(|name| *name == step.asset));
    steps.into_iter().find_map(|step| Some((step, gone::why(world, &partitions, step)?)))
}

/// The one partition of an asset that a run means: of all that are known, those cut by its dimensions.
fn partition_of(
    world: &World<'_>,
    name: &AssetName,
    run: Option<&str>,
    mut known: BTreeSet<Partition>,
) -> Result<Partition, Failure> {
    if let Some(asset) = world.graph.asset(name.as_str()) {
        known.retain(|partition| partition.keys().map(|(dimension, _)| dimension).eq(&asset.dimensions));
    }
    let Some(run) = run else {
        let message = format!("{name} has a table a run: say which one with --run");
        return Err(Failure::usage(Reason::new("run_needed", message)).help("`assets runs` lists them"));
    };
    let fits = resolve_run(&known, run).map_err(|error| no_run(world, error))?;
    match fits.as_slice() {
        [partition] => Ok(partition.clone()),
        _ => {
            let message = format!("`{run}` fits {} runs: this verb answers for one", fits.len());
            Err(Failure::usage(Reason::new("ambiguous_run", message)).help("write the whole id"))
        }
    }
}
