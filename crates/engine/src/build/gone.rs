//! Takes down what is gone: a record without tables for each such step, as true as any other; what is published of it
//! goes with the views and what else is left over, at the end of this build or of the next one.

use super::Build;
use crate::EngineError;
use crate::event::Event;
use crate::gone::Gone;
use crate::pool::now_us;
use assets_core::catalog::{Claim, Work};
use assets_core::record::{Entry, StepRecord};
use std::sync::Arc;

/// Steps that are claimed at once: a kernel's list of locks should stay short.
const AT_ONCE: usize = 256;

impl Build<'_> {
    /// Takes down all that the plan has found to be gone.
    pub(super) fn take_down(&mut self) -> Result<(), EngineError> {
        let gone: Vec<Gone> = self.plan.to_take_down().cloned().collect();
        gone.chunks(AT_ONCE).try_for_each(|some| self.take_down_some(some))
    }

    fn take_down_some(&mut self, gone: &[Gone]) -> Result<(), EngineError> {
        let mut ours = Vec::new();
        for gone in gone {
            match self.backends.catalog.claim(&Work::Step(gone.step.clone()))? {
                Claim::Ours(held) => ours.push((gone, held)),
                // Whoever makes or takes down the step knows better, or the next build does.
                Claim::Theirs(_) => self.others.left_unpublished = true,
            }
        }
        self.take_news()?;
        let mut records: Vec<(StepRecord, &Gone)> = Vec::new();
        for (gone, _) in ours.iter().filter(|(gone, _)| !self.has_arrived(&gone.step)) {
            let made = self.ledger.tip(&gone.step).and_then(|tip| tip.made.clone());
            if let Some((id, newest)) = made.filter(|(_, newest)| !newest.is_gone()) {
                let record = StepRecord::gone(id, &newest, gone.reason.clone(), now_us(), &self.options.id);
                records.push((record, gone));
            }
        }
        let entries = |records: &[(StepRecord, &Gone)]| {
            records.iter().map(|(record, _)| Entry::Step(Arc::new(record.clone()))).collect()
        };
        while let Some(step) = self.commit(entries(&records))? {
            // Nobody should have recorded what this build has claimed. If so it stands.
            self.take_news()?;
            records.retain(|(record, _)| record.step != step);
        }
        for (record, gone) in records {
            self.publisher.step(&record)?;
            self.gone += 1;
            (self.events)(Event::Gone { step: record.step, reason: gone.reason.clone() });
        }
        Ok(())
    }
}
