//! How a build ends: what is given up, what is published at last, and the record of its end.

use super::{Build, Settled};
use crate::EngineError;
use crate::event::Event;
use crate::pool::now_us;
use crate::schedule::Index;
use crate::told::event;
use assets_core::Step;
use assets_core::excerpt::Excerpt;
use assets_core::freshness::State;
use assets_core::record::{BuildEnd, Entry, Outcome};
use std::sync::atomic::AtomicBool;

impl Build<'_> {
    /// Gives up what is not begun.
    pub(super) fn cancel_rest(&mut self) {
        for at in self.give_up_aside() {
            let step = self.schedule.step(at).clone();
            self.cancel(at, &step);
        }
        while let Some(at) = self.schedule.take() {
            let step = self.schedule.step(at).clone();
            self.cancel(at, &step);
        }
    }

    /// A step that is not begun any more.
    pub(super) fn cancel(&mut self, at: Index, step: &Step) {
        let fresh = self.judge(step).is_some_and(|planned| planned.verdict.state == State::Fresh);
        let outcome = if fresh { Outcome::Fresh } else { Outcome::Cancelled };
        if !fresh {
            (self.events)(Event::Step(event(step, outcome)));
        }
        self.settle(at, step, outcome, Settled::Stands);
    }

    /// Publishes the views, records the end, and says that all is published: one process at a time, so that the last one
    /// speaks for all.
    pub(super) fn finish(&mut self, interrupted: bool, cancel: &AtomicBool) -> Result<(), EngineError> {
        if !self.begun && self.options.all_published && !self.publisher.is_pending() {
            return Ok(());
        }
        let held = self.claim_views(cancel)?;
        let all_published = held.is_some() && self.publish_all()?;
        if self.begun {
            let whole = if self.options.beside.is_some() && self.publisher.has_undeclared()? {
                Some(self.backends.catalog.ledger_of(&Excerpt::default())?)
            } else {
                None
            };
            for warning in self.publisher.undeclared(whole.as_ref().unwrap_or(&self.ledger))? {
                (self.events)(Event::Warning(warning));
            }
            let (id, counts) = (self.options.id.clone(), self.counts);
            self.commit(vec![Entry::End(BuildEnd { id, end_us: now_us(), counts, interrupted })])?;
        }
        if all_published {
            (self.backends.mark_published)()?;
        }
        Ok(())
    }
}
