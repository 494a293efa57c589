//! The build: takes steps as their inputs settle, judges each with what its inputs really hold, hands the stale ones
//! to the executor, commits what comes back, publishes what was committed.

mod after;
mod again;
mod asked;
mod beginning;
mod ending;
mod gone;
mod landing;
mod sharing;

use crate::EngineError;
use crate::event::{Event, StepEvent};
use crate::parts;
use crate::plan::{Plan, PlannedPart, Ready, World};
use crate::pool::now_us;
use crate::publish::Publisher;
use crate::schedule::{Index, Schedule};
use crate::scope::Scope;
use crate::sound;
use crate::told::{announce, event, is_transient, told};
pub use after::{After, is_all_there};
use again::Again;
use assets_core::catalog::{Catalog, Commit, Held};
use assets_core::compute::Packer;
use assets_core::executor::{Executor, StepOutcome, WITHDRAWN};
use assets_core::graph::Graph;
use assets_core::ledger::Ledger;
use assets_core::record::{AttemptRecord, BuildRecord, Counts, Entry, Outcome};
use assets_core::source::{Identified, Source};
use assets_core::table_store::{TableStore, TableStoreError};
use assets_core::{AssetName, Reason, Step};
use landing::GATHERED_FOR;
use sharing::Others;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// The backends of a build.
pub struct Backends<'a> {
    /// The declared assets.
    pub graph: &'a Graph,
    /// Where records go.
    pub catalog: &'a dyn Catalog,
    /// Where tables go.
    pub tables: &'a dyn TableStore,
    /// Who makes steps.
    pub executor: &'a dyn Executor,
    /// Who writes packed views.
    pub packer: &'a dyn Packer,
    /// Where sources are looked at again, should one change while it is read.
    pub source: Option<&'a dyn Source>,
    /// Says that all that is recorded, as far as the catalog knows now, is published.
    pub mark_published: &'a dyn Fn() -> Result<(), TableStoreError>,
}

/// What a build is told besides its scope.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// Unique id of the build.
    pub id: String,
    /// What started it: the command line.
    pub trigger: String,
    /// Version of the program.
    pub version: String,
    /// Whether everything recorded is known to be published (then only what this build makes is).
    pub all_published: bool,
    /// Whether to wait for steps that other processes make; else they are an error.
    pub wait: bool,
    /// When a person began to wait: before sources were identified.
    pub since: Instant,
    /// Where the catalog was opened for a part of what there is, as all else is known to be fresh and published: how many
    /// steps of each asset that is.
    pub beside: Option<BTreeMap<AssetName, u64>>,
}

impl BuildOptions {
    /// How many fresh steps of an asset there are that are not looked at.
    pub(crate) fn beside(&self, asset: &AssetName) -> u64 {
        self.beside.as_ref().and_then(|beside| beside.get(asset)).copied().unwrap_or(0)
    }
}

/// How a build ended.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildSummary {
    /// How its steps ended.
    pub counts: Counts,
    /// Wall time.
    pub seconds: f64,
    /// Whether a person interrupted it.
    pub interrupted: bool,
    /// Sources that can't be read.
    pub source_problems: usize,
    /// Whether all failures are such that trying again may help.
    pub only_transient: bool,
    /// Published files that stay as they were, because rows for them can't be read.
    pub unpublished: usize,
    /// Steps whose tables were taken down.
    pub gone: u64,
    /// What stands now.
    pub after: After,
}

/// What a step has become, for its readers.
enum Settled {
    /// Its newest record does.
    Stands,
    Bad(Step, Reason),
}

/// A step in the hands of a worker: what it is made from, and why.
struct Running {
    at: Index,
    ready: Ready,
    because: Vec<Reason>,
    parts: Vec<PlannedPart>,
    held: Held,
}

/// What a step has come to, not committed yet, with the claim on it.
struct Pending {
    at: Index,
    entry: Entry,
    event: StepEvent,
    held: Held,
    since: Instant,
}

struct Build<'a> {
    backends: Backends<'a>,
    sources: Cow<'a, Identified>,
    scope: &'a Scope,
    options: &'a BuildOptions,
    ledger: Ledger,
    plan: Plan,
    schedule: Schedule,
    settled: HashMap<Step, Settled>,
    /// Steps that are not what they were when the plan was made.
    moved: BTreeSet<Step>,
    publisher: Publisher<'a>,
    /// Steps in the hands of workers.
    running: BTreeMap<Step, Running>,
    /// Committed together, then settled.
    pending: Vec<Pending>,
    others: Others,
    again: Again,
    /// What is asked for, without doing anything again that was done meanwhile.
    unforced: Scope,
    counts: Counts,
    only_transient: bool,
    unpublished: usize,
    gone: u64,
    begun: bool,
    planned: (u64, u64),
    events: &'a mut dyn FnMut(Event),
}

/// Makes what is stale in the scope. `cancel` set: no further step is started, those running are finished and kept.
pub fn materialize<'a>(
    backends: Backends<'a>,
    sources: &'a Identified,
    scope: &'a Scope,
    options: &'a BuildOptions,
    cancel: &AtomicBool,
    events: &'a mut dyn FnMut(Event),
) -> Result<BuildSummary, EngineError> {
    events(Event::Identified { files: sources.files, changed: sources.changed.len() });
    sources.warnings.iter().for_each(|warning| events(Event::Warning(warning.clone())));
    for (path, reason) in &sources.problems {
        events(Event::Source { path: path.clone(), reason: reason.clone() });
    }
    let ledger = backends.catalog.ledger()?;
    let (graph, tables) = (backends.graph, backends.tables);
    let world = World { graph, ledger: &ledger, sources, records: backends.catalog, tables };
    let (plan, damaged) = sound::plan(&world, scope);
    damaged.into_iter().for_each(|reason| events(Event::Warning(reason)));
    let (planned, is_fresh) = (announce(&plan, options, events), plan.is_fresh());
    let beside = scope.assets.iter().map(|asset| options.beside(asset)).sum();
    let schedule = Schedule::new(graph, plan.steps.iter().map(|step| step.step.clone()).collect());
    let publisher = Publisher::new(graph, tables, backends.packer);
    let mut unforced = scope.clone();
    unforced.force = false;
    let mut build = Build {
        backends,
        sources: Cow::Borrowed(sources),
        scope,
        options,
        ledger,
        plan,
        schedule,
        settled: HashMap::new(),
        moved: BTreeSet::new(),
        publisher,
        running: BTreeMap::new(),
        pending: Vec::new(),
        others: Others::new(),
        again: Again::default(),
        unforced,
        counts: Counts { fresh: beside, ..Counts::default() },
        only_transient: sources.problems.iter().all(|(_, reason)| is_transient(reason)),
        unpublished: 0,
        gone: 0,
        begun: false,
        planned,
        events,
    };
    build.start(is_fresh)?;
    let interrupted = build.run(cancel)?;
    let seconds = options.since.elapsed().as_secs_f64();
    build.finish(interrupted, cancel)?;
    if let Some((step, holder)) = build.others.busy.take() {
        return Err(EngineError::Busy(step, holder));
    }
    (build.events)(Event::Finished { counts: build.counts, gone: build.gone, seconds, interrupted });
    let after = After::of(&build);
    Ok(BuildSummary {
        counts: build.counts,
        seconds,
        interrupted,
        source_problems: sources.problems.len(),
        only_transient: build.only_transient,
        unpublished: build.unpublished,
        gone: build.gone,
        after,
    })
}

impl<'a> Build<'a> {
    /// Records the beginning and the sources, and publishes what an earlier build could not. A build with nothing to
    /// do writes nothing at all.
    fn start(&mut self, nothing_to_make: bool) -> Result<(), EngineError> {
        if !self.options.all_published {
            let steps = self.publisher.missing(&self.ledger);
            self.publish(steps)?;
        } else if self.options.beside.is_none() {
            let steps = self.publisher.lost(&self.ledger);
            self.publish(steps)?;
        }
        // A source too young to trust its stat would be recorded at every look; one that moved has to be known before it
        // changes in its new place.
        let is_news = |source: &assets_core::record::SourceRecord| source.stat.is_some() || source.moved_to.is_some();
        if !nothing_to_make || self.sources.changed.iter().any(is_news) {
            let changed = self.sources.changed.iter().cloned().map(Entry::Source).collect();
            self.commit(changed)?;
        }
        self.take_down()
    }

    /// The begin record goes before the first thing that a build writes. The step, if there is one, that another
    /// process has recorded meanwhile: nothing is committed then.
    fn commit(&mut self, mut entries: Vec<Entry>) -> Result<Option<Step>, EngineError> {
        if entries.is_empty() {
            return Ok(None);
        }
        let has_begun = self.begun;
        if !self.begun {
            self.begun = true;
            let begin = BuildRecord {
                id: self.options.id.clone(),
                trigger: self.options.trigger.clone(),
                process: std::process::id(),
                version: self.options.version.clone(),
                start_us: now_us(),
                planned: self.planned,
            };
            entries.insert(0, Entry::Begin(begin));
        }
        match self.backends.catalog.commit(entries.clone())? {
            Commit::Committed => entries.into_iter().for_each(|entry| self.ledger.apply(entry)),
            Commit::Conflict(step) => {
                self.begun = has_begun;
                return Ok(Some(step));
            }
        }
        Ok(None)
    }

    fn run(&mut self, cancel: &AtomicBool) -> Result<bool, EngineError> {
        let (sender, outcomes) = channel();
        while !self.schedule.is_done() {
            let cancelled = cancel.load(Ordering::SeqCst);
            if cancelled {
                self.backends.executor.withdraw();
            }
            if cancelled && self.running.is_empty() && self.pending.is_empty() {
                self.cancel_rest();
                return Ok(true);
            }
            let before = self.counts.total();
            let started = !cancelled && self.start_ready(&sender)?;
            self.collect(&outcomes, started || !self.pending.is_empty());
            if cancelled || !self.may_gather() {
                self.land()?;
            }
            if !self.idle(self.counts.total() > before) {
                self.cancel_rest();
                return Ok(false);
            }
        }
        // The last step may have been ended by what asked for an end.
        Ok(cancel.load(Ordering::SeqCst) && self.counts.failed > 0)
    }

    /// Takes what workers have brought; waits for something where there is nothing else to do.
    fn collect(&mut self, outcomes: &Receiver<StepOutcome>, mut busy: bool) {
        while !self.running.is_empty() {
            let full = !self.has_room(0);
            let longest = if self.pending.is_empty() { Duration::from_millis(100) } else { GATHERED_FOR };
            let longest = self.others.pause(longest);
            let wait = if busy && !full { Duration::ZERO } else { longest };
            match outcomes.recv_timeout(wait) {
                Ok(outcome) => {
                    self.take_outcome(outcome);
                    busy = true;
                }
                // A look at the interrupt flag now and then; otherwise whatever is pending gets committed.
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn take_outcome(&mut self, outcome: StepOutcome) {
        let StepOutcome { step, result, span } = outcome;
        let Some(Running { at, ready, because, parts, held }) = self.running.remove(&step) else { return };
        if matches!(&result, Err(reason) if reason.code == WITHDRAWN) {
            return self.cancel(at, &step);
        }
        match result {
            Ok(product) => {
                product.warnings.into_iter().for_each(|warning| (self.events)(Event::Warning(warning)));
                let reason = because.first().cloned();
                let because = because.into_iter().chain(self.again.because(&step)).collect();
                let mut record = self.record(&step, ready, because, span);
                record.outputs = product.outputs;
                record.checks = product.checks;
                parts::sign(&mut record, &parts);
                let mut event = StepEvent { reason, ..told(&record, Outcome::Made) };
                let first = record.outputs.first().map(|output| output.name.clone());
                let taken = product.taken.into_iter().filter(|(output, _)| Some(output) == first.as_ref());
                event.reused = taken.map(|(_, id)| id.column.to_string()).collect();
                event.computed.retain(|column| !event.reused.contains(column));
                self.pending.push(Pending {
                    at,
                    entry: Entry::Step(Arc::new(record)),
                    event,
                    held,
                    since: Instant::now(),
                });
            }
            Err(reason) => {
                let after_generation = self.ledger.tip(&step).map_or(0, |tip| tip.generation());
                let (build, fingerprint, seconds) = (self.options.id.clone(), ready.fingerprint, span.seconds());
                let attempt = AttemptRecord { step, fingerprint, after_generation, reason, span, build };
                if self.put_off(at, &attempt) {
                    return;
                }
                self.only_transient &= is_transient(&attempt.reason);
                let mut event = event(&attempt.step, Outcome::Failed);
                event.reason = Some(attempt.reason.clone());
                event.seconds = Some(seconds);
                self.pending.push(Pending { at, entry: Entry::Attempt(attempt), event, held, since: Instant::now() });
            }
        }
    }

    fn settle(&mut self, at: Index, step: &Step, outcome: Outcome, settled: Settled) {
        self.counts.add(outcome);
        if outcome != Outcome::Fresh {
            self.moved.insert(step.clone());
        }
        self.settled.insert(step.clone(), settled);
        self.schedule.settle(at);
    }
}
