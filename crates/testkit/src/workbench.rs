//! A whole program in memory: integer assets, a source that delivers what it is told, in-memory twins of catalog and
//! tables. Builds on it give the exact log of what was made, reused and found fresh.

use crate::integers::{Deliveries, IntCode, IntWorker, NoPacker};
use crate::memory_catalog::MemoryCatalog;
use crate::memory_tables::MemoryTables;
use crate::shuffled::Shuffled;
use assets_core::catalog::{Catalog, Records};
use assets_core::content::hash_values;
use assets_core::freshness::State;
use assets_core::graph::{Graph, GraphError};
use assets_core::ledger::Ledger;
use assets_core::record::{Outcome, SliceRef, SourceRecord};
use assets_core::source::{Delivery, Identified, Source};
use assets_core::table::Values;
use assets_core::{AssetDecl, AssetName, Partition, Reason, Step};
use assets_engine::build::Backends;
use assets_engine::event::StepEvent;
use assets_engine::{BuildOptions, Event, Plan, Scope, World, materialize, plan};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

/// The program.
pub struct Workbench {
    graph: Arc<Graph>,
    code: HashMap<AssetName, IntCode>,
    catalog: MemoryCatalog,
    /// The objects and published tables.
    pub tables: Arc<MemoryTables>,
    deliveries: Deliveries,
    sources: Identified,
    later: Option<Later>,
    builds: u64,
}

/// What the sources hold when they are looked at again.
struct Later(Identified);

impl Source for Later {
    fn identify(&self, _: &Ledger, _: bool) -> Result<Identified, Reason> {
        Ok(self.0.clone())
    }

    fn delivered(&self, _: &[&SourceRecord]) -> BTreeMap<Step, Delivery> {
        self.0.deliveries.clone()
    }
}

/// What a build did.
#[derive(Debug, Default)]
pub struct Log {
    /// A line for each step that was not fresh: `made wide of r1`, sorted.
    pub steps: Vec<String>,
    /// The events behind them.
    pub events: Vec<StepEvent>,
    /// How many steps were fresh.
    pub fresh: u64,
}

impl Workbench {
    /// A program of these assets.
    pub fn new(assets: Vec<(AssetDecl, IntCode)>) -> Result<Self, GraphError> {
        let code = assets.iter().map(|(decl, code)| (decl.name.clone(), Arc::clone(code))).collect();
        let graph = Arc::new(Graph::new(assets.into_iter().map(|(decl, _)| decl).collect())?);
        let tables = Arc::new(MemoryTables::new());
        let (deliveries, sources) = (Deliveries::default(), Identified::default());
        let catalog = MemoryCatalog::new();
        Ok(Self { graph, code, catalog, tables, deliveries, sources, later: None, builds: 0 })
    }

    /// The same store under other declarations: what a change of code or parameters looks like.
    pub fn redeclare(&mut self, assets: Vec<(AssetDecl, IntCode)>) -> Result<(), GraphError> {
        self.code = assets.iter().map(|(decl, code)| (decl.name.clone(), Arc::clone(code))).collect();
        self.graph = Arc::new(Graph::new(assets.into_iter().map(|(decl, _)| decl).collect())?);
        Ok(())
    }

    /// Lets the source deliver these integers to `asset`'s `run`, instead of what it delivered before.
    pub fn deliver(&mut self, asset: &AssetName, run: &str, values: &[i64]) {
        let hash = hash_values(&Values::Int(values.iter().copied().map(Some).collect()));
        self.deliveries.lock().unwrap_or_else(PoisonError::into_inner).insert(hash, values.to_vec());
        let slice = SliceRef { hash, rows: values.len() as u64, path: format!("{run}.txt") };
        let step = Step::new(asset, &Partition::one("run", run));
        self.sources.deliveries.insert(step, Delivery { slices: vec![slice], ..Delivery::default() });
    }

    /// As `deliver`, once the next build looks at its sources again.
    pub fn deliver_later(&mut self, asset: &AssetName, run: &str, values: &[i64]) {
        let before = self.sources.clone();
        self.deliver(asset, run, values);
        self.later = Some(Later(std::mem::replace(&mut self.sources, before)));
    }

    /// Makes a run's source unreadable.
    pub fn damage(&mut self, asset: &AssetName, run: &str) {
        let step = Step::new(asset, &Partition::one("run", run));
        if let Some(delivery) = self.sources.deliveries.get_mut(&step) {
            delivery.failure = Some(Reason::new("source_unreadable", format!("{run}.txt can't be read")));
        }
    }

    /// What is asked for: assets, and runs if any are named.
    pub fn scope(&self, select: &[&str], runs: &[&str]) -> Scope {
        let select: Vec<String> = select.iter().map(ToString::to_string).collect();
        let mut scope = Scope::new(&self.graph, &select, false).expect("assets of this workbench");
        if !runs.is_empty() {
            scope.partitions = Some(runs.iter().map(|run| Partition::one("run", run)).collect());
        }
        let ledger = self.catalog.ledger().expect("memory does not fail");
        scope.settle(&self.world(&ledger));
        scope
    }

    /// The plan for a scope.
    pub fn plan(&self, scope: &Scope) -> Plan {
        let ledger = self.catalog.ledger().expect("memory does not fail");
        plan::plan(&self.world(&ledger), scope)
    }

    fn world<'a>(&'a self, ledger: &'a Ledger) -> World<'a> {
        let (records, tables) = (&self.catalog, self.tables.as_ref());
        World { graph: &self.graph, ledger, sources: &self.sources, records, tables }
    }

    /// `state asset of run` for each step that isn't fresh, sorted.
    pub fn planned(&self, scope: &Scope) -> Vec<String> {
        let plan = self.plan(scope);
        let steps = plan.steps.iter().filter(|planned| planned.verdict.state != State::Fresh);
        let mut lines: Vec<String> =
            steps.map(|planned| format!("{} {}", planned.verdict.state.name(), planned.step)).collect();
        lines.sort();
        lines
    }

    /// Builds a scope in an order drawn from `seed`.
    pub fn build(&mut self, scope: &Scope, seed: u64) -> Log {
        self.builds += 1;
        let worker = Arc::new(IntWorker {
            graph: Arc::clone(&self.graph),
            code: self.code.clone(),
            tables: Arc::clone(&self.tables) as Arc<_>,
            deliveries: Arc::clone(&self.deliveries),
            log: Mutex::default(),
        });
        let executor = Shuffled::new(worker, 4, seed);
        let options = BuildOptions {
            id: format!("build-{}", self.builds),
            trigger: "test".into(),
            version: "test".into(),
            all_published: true,
            wait: true,
            since: std::time::Instant::now(),
            beside: None,
        };
        let backends = Backends {
            graph: &self.graph,
            catalog: &self.catalog,
            tables: self.tables.as_ref(),
            executor: &executor,
            packer: &NoPacker,
            source: self.later.as_ref().map(|later| later as &dyn Source),
            mark_published: &|| Ok(()),
        };
        let mut log = Log::default();
        let mut watch = |event: Event| match event {
            Event::Step(step) => {
                if step.outcome != Outcome::Fresh {
                    log.steps.push(format!("{} {}", step.outcome.name(), step.step));
                }
                log.events.push(step);
            }
            Event::Finished { counts, .. } => log.fresh = counts.fresh,
            _ => {}
        };
        let cancel = AtomicBool::new(false);
        materialize(backends, &self.sources, scope, &options, &cancel, &mut watch).expect("memory does not fail");
        log.steps.sort();
        log
    }

    /// The catalog.
    pub fn catalog(&self) -> &dyn Catalog {
        &self.catalog
    }

    /// The newest integers of a run's step.
    pub fn values(&self, asset: &AssetName, run: &str) -> Option<Vec<i64>> {
        self.values_of(&Step::new(asset, &Partition::one("run", run)))
    }

    /// The newest integers of a step.
    pub fn values_of(&self, step: &Step) -> Option<Vec<i64>> {
        let ledger = self.catalog.ledger().ok()?;
        let record = ledger.newest(step)?.clone();
        let worker = IntWorker {
            graph: Arc::clone(&self.graph),
            code: HashMap::new(),
            tables: Arc::clone(&self.tables) as Arc<_>,
            deliveries: Deliveries::default(),
            log: Mutex::default(),
        };
        worker.read(record.outputs.first()?).ok()
    }
}
