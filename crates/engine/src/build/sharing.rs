//! A build beside others on one store: it claims each step that it makes, takes in what the others have committed, puts
//! aside what they make, and publishes under claims, so that nothing older ever covers something newer.

use super::{Build, Settled};
use crate::EngineError;
use crate::event::{Event, StepEvent};
use crate::plan;
use crate::publish::{Publisher, Views, ordinals};
use crate::schedule::Index;
use crate::told::{event, is_transient};
use assets_core::catalog::{Claim, Held, Holder, Work};
use assets_core::record::{AttemptRecord, Entry, Outcome};
use assets_core::{Reason, Step};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// What others finish sooner is not worth a word.
const PATIENCE: Duration = Duration::from_millis(500);

/// What this build knows of others.
pub(super) struct Others {
    /// Steps that they make.
    aside: Vec<(Index, Option<Holder>)>,
    next_look: Instant,
    pause: Duration,
    /// Since when there is nothing to do but to wait.
    idle_since: Option<Instant>,
    /// Processes that a person was told to be waiting for.
    told: HashSet<Holder>,
    /// Steps that they have recorded since this build began.
    arrived: HashSet<Step>,
    /// Those of them that this build has not seen to being published.
    unpublished: BTreeSet<Step>,
    /// Their failures since then.
    failed: HashMap<Step, AttemptRecord>,
    /// Whether they have recorded anything since then.
    pub(super) any: bool,
    /// Whether something is left to others to publish.
    pub(super) left_unpublished: bool,
    /// The step and process for which this build was not to wait.
    pub(super) busy: Option<(Step, Holder)>,
}

impl Others {
    pub(super) fn new() -> Self {
        Self {
            aside: Vec::new(),
            next_look: Instant::now(),
            pause: FIRST_PAUSE,
            idle_since: None,
            told: HashSet::new(),
            arrived: HashSet::new(),
            unpublished: BTreeSet::new(),
            failed: HashMap::new(),
            any: false,
            left_unpublished: false,
            busy: None,
        }
    }

    /// How long to wait for this build's own steps before the others' are looked at.
    pub(super) fn pause(&self, longest: Duration) -> Duration {
        if self.aside.is_empty() { longest } else { longest.min(self.pause) }
    }
}

fn write(
    publisher: &Publisher<'_>,
    views: Views<'_>,
    events: &mut dyn FnMut(Event),
) -> Result<Vec<Reason>, EngineError> {
    if !views.is_empty() {
        events(Event::Publishing { files: views.len() });
    }
    publisher.write(views)
}

impl Build<'_> {
    /// Claims a step, or puts it aside while another process has it.
    pub(super) fn claim(&mut self, at: Index, step: &Step) -> Result<Option<Held>, EngineError> {
        match self.backends.catalog.claim(&Work::Step(step.clone()))? {
            Claim::Ours(held) => Ok(Some(held)),
            Claim::Theirs(holder) => {
                self.others.aside.push((at, Some(holder)));
                Ok(None)
            }
        }
    }

    /// A step that has to be judged again, as one that was put aside and is free now.
    pub(super) fn again(&mut self, at: Index) {
        self.others.aside.push((at, None));
        self.others.next_look = Instant::now();
    }

    /// Folds in what others have committed; true where there was anything about steps.
    pub(super) fn take_news(&mut self) -> Result<bool, EngineError> {
        let mut about_steps = false;
        for entry in self.backends.catalog.news()? {
            self.others.any = true;
            match &entry {
                Entry::Step(record) if record.build != self.options.id => {
                    let step = &record.step;
                    if let Some(partitions) = self.plan.partitions.get_mut(&step.asset) {
                        if record.is_gone() {
                            partitions.remove(&step.partition);
                        } else {
                            partitions.insert(step.partition.clone());
                        }
                    }
                    self.moved.insert(step.clone());
                    self.others.failed.remove(step);
                    self.others.arrived.insert(step.clone());
                    self.others.unpublished.insert(step.clone());
                    about_steps = true;
                }
                Entry::Attempt(attempt) if attempt.build != self.options.id => {
                    self.others.failed.insert(attempt.step.clone(), attempt.clone());
                    about_steps = true;
                }
                _ => {}
            }
            self.ledger.apply(entry);
        }
        Ok(about_steps)
    }

    /// Whether another process has recorded the step since this build began.
    pub(super) fn has_arrived(&self, step: &Step) -> bool {
        self.others.arrived.contains(step)
    }

    /// A failure that another process met since this build began is not met a second time, unless it may pass.
    pub(super) fn settle_as_failed_elsewhere(&mut self, at: Index, step: &Step, ready: &plan::Ready) -> bool {
        let same = |attempt: &&AttemptRecord| attempt.fingerprint == ready.fingerprint;
        let Some(attempt) = self.others.failed.get(step).filter(same) else { return false };
        if is_transient(&attempt.reason) {
            return false;
        }
        let reason = attempt.reason.clone();
        self.only_transient = false;
        let told = StepEvent { reason: Some(reason.clone()), ..event(step, Outcome::Failed) };
        (self.events)(Event::Step(told));
        self.settle(at, step, Outcome::Failed, Settled::Bad(step.clone(), reason));
        true
    }

    /// Steps that were put aside and are worth another look now.
    pub(super) fn due(&mut self) -> Vec<Index> {
        if self.others.aside.is_empty() || Instant::now() < self.others.next_look {
            return Vec::new();
        }
        self.others.next_look = Instant::now() + self.others.pause;
        self.others.aside.drain(..).map(|(at, _)| at).collect()
    }

    /// Takes every step that is put aside or off, to give it up.
    pub(super) fn give_up_aside(&mut self) -> Vec<Index> {
        self.others.aside.drain(..).map(|(at, _)| at).chain(self.again.give_up()).collect()
    }

    /// Where nothing is left but what others make: waits a little, and says for whom. False where this build was told
    /// not to wait.
    pub(super) fn idle(&mut self, progressed: bool) -> bool {
        if !progressed && self.running.is_empty() && self.others.aside.is_empty() {
            self.again.sleep();
        }
        if progressed || !self.running.is_empty() || self.others.aside.is_empty() {
            (self.others.idle_since, self.others.pause) = (None, FIRST_PAUSE);
            return true;
        }
        let Some((at, Some(holder))) = self.others.aside.first().cloned() else { return true };
        if !self.options.wait {
            self.others.busy = Some((self.schedule.step(at).clone(), holder));
            return false;
        }
        let since = *self.others.idle_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= PATIENCE {
            for (at, holder) in self.others.aside.clone() {
                let work = Work::Step(self.schedule.step(at).clone());
                holder.iter().for_each(|holder| self.tell_waiting(holder, &work));
            }
        }
        let left = self.others.next_look.saturating_duration_since(Instant::now());
        std::thread::sleep(left.min(LONGEST_PAUSE));
        self.others.pause = (self.others.pause * 2).min(LONGEST_PAUSE);
        true
    }

    fn tell_waiting(&mut self, holder: &Holder, work: &Work) {
        if self.others.told.insert(holder.clone()) {
            (self.events)(Event::Waiting { holder: holder.clone(), work: work.clone() });
        }
    }

    /// Publishes steps, each with its newest record, under its claim. What another process has in its hands it will
    /// publish itself. Where all files are shared they are only noted: those are written under another claim.
    pub(super) fn publish(&mut self, steps: impl IntoIterator<Item = Step>) -> Result<(), EngineError> {
        for step in steps {
            let mut claim = None;
            if self.publisher.has_own_files(&step) {
                let Claim::Ours(held) = self.backends.catalog.claim(&Work::Step(step.clone()))? else {
                    self.others.left_unpublished = true;
                    continue;
                };
                claim = Some(held);
                self.take_news()?;
            }
            let _held = claim;
            let Some(record) = self.ledger.newest(&step) else { continue };
            if plan::is_there(self.backends.tables, record) {
                let record = std::sync::Arc::clone(record);
                self.publisher.step(&record)?;
            }
        }
        Ok(())
    }

    /// Publishes what others have recorded, and the views; under the claim on those. True where all that is recorded, as
    /// far as this build knows, is published.
    pub(super) fn publish_all(&mut self) -> Result<bool, EngineError> {
        self.take_news()?;
        // More may arrive meanwhile; what is known in the end is what the mark will speak of.
        while let Some(step) = self.others.unpublished.pop_first() {
            if self.backends.graph.has_step(&step) {
                self.publish([step])?;
            }
        }
        let left = match self.options.beside {
            None => {
                let views = self.publisher.views(&self.ledger, &ordinals(self.backends.graph, &self.ledger));
                write(&self.publisher, views, self.events)?
            }
            // Steps that were not looked at share files with those that were.
            Some(_) => {
                let (places, sharers) = self.publisher.sharers(self.backends.catalog)?;
                let places = places.iter().map(|(step, place)| (step, *place)).collect();
                let known = self.backends.catalog.ledger_of(&sharers)?;
                write(&self.publisher, self.publisher.views(&known, &places), self.events)?
            }
        };
        self.unpublished = left.len();
        left.into_iter().for_each(|reason| (self.events)(Event::Warning(reason)));
        if self.options.beside.is_none() {
            self.publisher.sweep(&self.ledger)?;
        }
        Ok(!self.others.left_unpublished && self.unpublished == 0)
    }

    /// Files of many steps are written by one process at a time; `None` where a person does not want to wait for it.
    pub(super) fn claim_views(&mut self, cancel: &AtomicBool) -> Result<Option<Held>, EngineError> {
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        let was_cancelled = cancel.load(Ordering::SeqCst);
        loop {
            let holder = match self.backends.catalog.claim(&Work::Views)? {
                Claim::Ours(held) => return Ok(Some(held)),
                Claim::Theirs(holder) => holder,
            };
            let has_waited = begun.elapsed() >= PATIENCE;
            if cancel.load(Ordering::SeqCst) && (has_waited || !was_cancelled) {
                return Ok(None);
            }
            if has_waited {
                self.tell_waiting(&holder, &Work::Views);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
