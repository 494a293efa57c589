//! What steps have come to becomes true: committed together, published, told.

use super::{Build, Pending, Settled};
use crate::EngineError;
use crate::event::Event;
use assets_core::record::Entry;
use std::time::Duration;

/// Steps that are committed together where others are ready, and how long the first of them waits for the others.
pub(super) const GATHERED: usize = 64;
pub(super) const GATHERED_FOR: Duration = Duration::from_millis(10);

impl Build<'_> {
    /// Whether what is pending may wait for more to be committed with it, as each commit takes a sync: while other steps are
    /// ready, nobody waits for it.
    pub(super) fn may_gather(&self) -> bool {
        let is_young = |first: &Pending| first.since.elapsed() < GATHERED_FOR;
        self.schedule.has_ready() && self.pending.len() < GATHERED && self.pending.first().is_some_and(is_young)
    }

    /// Commits what is pending, publishes it, tells it, and lets its readers go.
    pub(super) fn land(&mut self) -> Result<(), EngineError> {
        self.record_put_off()?;
        if self.pending.is_empty() {
            return Ok(());
        }
        let mut pending = std::mem::take(&mut self.pending);
        while let Some(step) = self.commit(pending.iter().map(|pending| pending.entry.clone()).collect())? {
            // Nobody should have recorded what this build has claimed. If so it stands, and the step is judged again.
            self.take_news()?;
            let (refused, rest) = pending.into_iter().partition(|pending| pending.event.step == step);
            pending = rest;
            refused.into_iter().for_each(|refused: Pending| self.again(refused.at));
        }
        for Pending { at, entry, event, held, .. } in pending {
            let settled = match entry {
                Entry::Step(record) => {
                    self.publisher.step(&record)?;
                    Settled::Stands
                }
                Entry::Attempt(attempt) => Settled::Bad(attempt.step, attempt.reason),
                Entry::Begin(_) | Entry::Source(_) | Entry::End(_) => continue,
            };
            let (step, outcome) = (event.step.clone(), event.outcome);
            drop(held);
            (self.events)(Event::Step(event));
            self.settle(at, &step, outcome, settled);
        }
        Ok(())
    }
}
