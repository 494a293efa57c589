//! How steps begin: each is judged with what its inputs hold now, claimed where there is something to do, and handed to the
//! executor; several at once, as far as it has room.

use super::landing::GATHERED;
use super::{Build, Running, Settled};
use crate::EngineError;
use crate::event::{Event, StepEvent};
use crate::inputs::{self, Lookup, StepNow};
use crate::over_all;
use crate::plan::{self, PlannedStep, World};
use crate::schedule::Index;
use crate::told::{event, is_transient};
use assets_core::catalog::Held;
use assets_core::executor::StepOutcome;
use assets_core::freshness::State;
use assets_core::record::Outcome;
use assets_core::{AssetName, Mapping, Step};
use std::sync::mpsc::Sender;

/// Steps of a few rows that are in flight where one of a table of its own would be.
const STOCK: usize = 8;

impl Build<'_> {
    /// Judges steps whose inputs are settled and submits the stale ones, until the executor has its hands full.
    pub(super) fn start_ready(&mut self, sender: &Sender<StepOutcome>) -> Result<bool, EngineError> {
        let mut progressed = false;
        let again = self.again.due();
        if !again.is_empty() {
            self.look_at_sources_again()?;
        }
        for at in self.due().into_iter().chain(again) {
            self.begin_aside(at, sender)?;
        }
        // What others have committed is asked for once, after all claims on those that begin together.
        let (mut begun, mut has_claims) = (Vec::new(), false);
        while self.has_room(begun.len()) && self.pending.len() < GATHERED {
            let Some(at) = self.schedule.take() else { break };
            progressed = true;
            let step = self.schedule.step(at).clone();
            if self.stands(&step) {
                self.settle(at, &step, Outcome::Fresh, Settled::Stands);
                continue;
            }
            let Some(planned) = self.planned_or_judged(&step) else {
                self.schedule.settle(at);
                continue;
            };
            let mut claim = None;
            if planned.ready.is_some() && planned.verdict.state != State::Fresh {
                let Some(held) = self.claim(at, &step)? else { continue };
                (claim, has_claims) = (Some(held), true);
            }
            begun.push((at, step, planned, claim));
        }
        let is_news = has_claims && self.take_news()?;
        for (at, step, mut planned, claim) in begun {
            if is_news && claim.is_some() {
                planned = self.planned_or_judged(&step).unwrap_or(planned);
            }
            self.begin_step(at, step, planned, claim, sender)?;
        }
        Ok(progressed)
    }

    /// Whether the executor has room for the step that comes next, beside those that run and so many that are about to.
    pub(super) fn has_room(&self, about_to: usize) -> bool {
        // Made of a few rows, and making a few: a statistic of a long table may take as long as another one.
        let graph = self.backends.graph;
        let is_packed = |name: &AssetName| graph.output(name.as_str()).is_some_and(|output| output.packed);
        let is_small = |step: &Step| {
            graph.asset(step.asset.as_str()).is_some_and(|asset| {
                let outputs = asset.outputs.iter().map(|output| &output.name);
                outputs.chain(asset.inputs.iter().map(|input| &input.output)).all(is_packed)
            })
        };
        // A worker is done with a few rows before it can be given more: it has them in stock.
        let stock = if self.schedule.next().is_some_and(is_small) { STOCK } else { 1 };
        self.running.len() + about_to < self.backends.executor.width() * stock
    }

    /// There was something to do when it was looked at last, but another process had it, or it failed.
    fn begin_aside(&mut self, at: Index, sender: &Sender<StepOutcome>) -> Result<(), EngineError> {
        let step = self.schedule.step(at).clone();
        let Some(held) = self.claim(at, &step)? else { return Ok(()) };
        self.take_news()?;
        match self.planned_or_judged(&step) {
            Some(planned) => self.begin_step(at, step, planned, Some(held), sender),
            None => {
                self.schedule.settle(at);
                Ok(())
            }
        }
    }

    fn begin_step(
        &mut self,
        at: Index,
        step: Step,
        mut planned: PlannedStep,
        claim: Option<Held>,
        sender: &Sender<StepOutcome>,
    ) -> Result<(), EngineError> {
        for warning in planned.warnings() {
            (self.events)(Event::Warning(warning.clone()));
            if planned.verdict.state != State::Fresh {
                // Its record says so as well.
                planned.verdict.reasons.push(warning);
            }
        }
        match (planned.verdict.state, planned.ready.take(), claim) {
            (State::Fresh, Some(_), _) => self.settle(at, &step, Outcome::Fresh, Settled::Stands),
            (State::Reusable, Some(ready), Some(held)) if ready.older.is_some() => {
                self.reuse(at, step, ready, planned.verdict.reasons, held);
            }
            (State::Stale | State::Failed | State::Maybe | State::Reusable, Some(ready), Some(held)) => {
                if self.settle_as_failed_elsewhere(at, &step, &ready) {
                    return Ok(());
                }
                let request = self.request(&step, &ready, &planned.parts);
                (self.events)(Event::Started(step.clone()));
                let running = Running { at, ready, because: planned.verdict.reasons, parts: planned.parts, held };
                self.running.insert(step, running);
                self.backends.executor.submit(request, sender.clone());
            }
            (state, ..) => {
                let (root, reason) = plan::root_cause(&planned);
                let outcome = if state == State::Blocked { Outcome::Blocked } else { Outcome::Failed };
                self.only_transient &= outcome == Outcome::Blocked || is_transient(&reason);
                let event = StepEvent { reason: Some(reason.clone()), ..event(&step, outcome) };
                (self.events)(Event::Step(event));
                self.settle(at, &step, outcome, Settled::Bad(root, reason));
            }
        }
        Ok(())
    }

    /// Whether the plan found it fresh, with nothing to tell, and nothing has changed since.
    fn stands(&self, step: &Step) -> bool {
        let is_fresh = |planned: &PlannedStep| {
            planned.verdict.state == State::Fresh && planned.ready.is_some() && planned.left_out.is_empty()
        };
        self.moved.is_empty() && !self.has_arrived(step) && self.plan.get(step).is_some_and(is_fresh)
    }

    /// The plan's verdict where all inputs were known to it and still are what it saw; else a new one.
    fn planned_or_judged(&mut self, step: &Step) -> Option<PlannedStep> {
        let graph = self.backends.graph;
        let asset = graph.asset(step.asset.as_str())?;
        let own = asset.inputs.iter().filter(|input| input.mapping == Mapping::Identity);
        let mut own = own.filter_map(|input| inputs::input_step(graph, input, &step.partition));
        let over_all = over_all::reads_over_all(graph, asset);
        let has_moved = own.any(|from| self.moved.contains(&from))
            || !over_all.is_empty() && self.moved.iter().any(|moved| over_all.contains(&moved.asset));
        let is_known = !has_moved && !self.has_arrived(step) && !self.again.has_failed(step);
        is_known.then(|| self.plan.take(step)).flatten().or_else(|| self.judge(step))
    }

    /// The verdict with what the inputs hold now.
    pub(super) fn judge(&self, step: &Step) -> Option<PlannedStep> {
        let graph = self.backends.graph;
        let listed = graph.listed(step.asset.as_str())?;
        let world = World {
            graph,
            ledger: &self.ledger,
            sources: &self.sources,
            records: self.backends.catalog,
            tables: self.backends.tables,
        };
        let knows = |from: &Step, _: &AssetName| match self.settled.get(from) {
            Some(Settled::Stands) => self.ledger.newest(from).cloned().map_or(StepNow::Outside, StepNow::Known),
            Some(Settled::Bad(root, reason)) => StepNow::Bad(root.clone(), reason.clone()),
            None => StepNow::Outside,
        };
        let lookup = Lookup { world: &world, partitions: &self.plan.partitions, scope: self.scope, knows: &knows };
        let inputs = lookup.all(listed.asset, &step.partition);
        let scope = if self.has_arrived(step) { &self.unforced } else { self.scope };
        Some(plan::assess(&world, listed, step.clone(), inputs, scope))
    }
}
