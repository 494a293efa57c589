//! What a worker is told about a step, and the record that its answer becomes part of; or the record of an older answer.

use super::{Build, Pending};
use crate::parts;
use crate::plan::{PlannedPart, Ready};
use crate::pool::now_us;
use crate::request;
use crate::schedule::Index;
use crate::told::told;
use assets_core::catalog::Held;
use assets_core::executor::StepRequest;
use assets_core::reason::Fact;
use assets_core::record::{Entry, Outcome, Span, StepRecord};
use assets_core::{Reason, Step};
use std::sync::Arc;

impl Build<'_> {
    /// What a worker is asked for.
    pub(super) fn request(&self, step: &Step, ready: &Ready, parts: &[PlannedPart]) -> StepRequest {
        let asset = self.backends.graph.asset(step.asset.as_str());
        let columns = if asset.is_some_and(|asset| asset.by_column) { parts::tasks(parts) } else { Default::default() };
        let request = request::request(self.backends.graph, &self.ledger, step, ready, columns, &self.options.id);
        StepRequest { too_little: self.too_little(step, ready), ..request }
    }

    /// Memory that was not enough for the same step before: each time that it is tried costs a beginning. Another version of
    /// the program may need less, and who forces it wants to see.
    fn too_little(&self, step: &Step, ready: &Ready) -> Option<u64> {
        let tip = self.ledger.tip(step)?;
        let attempt = tip.attempt().filter(|attempt| attempt.fingerprint == ready.fingerprint)?;
        let Some(Fact::Count(bytes)) = attempt.reason.facts.get("stopped_at_bytes") else { return None };
        let (build, _) = self.ledger.builds().iter().rev().find(|(build, _)| build.id == attempt.build)?;
        let is_same = build.version == self.options.version && !self.scope.forces(step, tip.record());
        is_same.then(|| u64::try_from(*bytes).ok()).flatten()
    }

    /// A record that follows the newest one.
    pub(super) fn record(&self, step: &Step, ready: Ready, because: Vec<Reason>, span: Span) -> StepRecord {
        let tip = self.ledger.tip(step);
        StepRecord {
            step: step.clone(),
            generation: tip.map_or(0, |tip| tip.generation()) + 1,
            replaces: tip.and_then(|tip| tip.made.as_ref()).map(|(id, _)| *id),
            reuses: None,
            fingerprint: ready.fingerprint,
            recipe: ready.recipe,
            outputs: Vec::new(),
            checks: Vec::new(),
            because,
            span,
            build: self.options.id.clone(),
        }
    }

    /// Takes an older record's tables as they are.
    pub(super) fn reuse(&mut self, at: Index, step: Step, mut ready: Ready, because: Vec<Reason>, held: Held) {
        let Some(older) = ready.older.take() else { return };
        let now = now_us();
        let span = Span { start_us: now, end_us: now, worker: "main".to_owned() };
        let reason = because.first().cloned();
        let mut record = self.record(&step, ready, because, span);
        record.reuses = Some(older.id());
        record.outputs.clone_from(&older.outputs);
        record.checks.clone_from(&older.checks);
        let mut event = told(&record, Outcome::Reused);
        event.reason = reason;
        std::mem::swap(&mut event.computed, &mut event.reused);
        let since = std::time::Instant::now();
        self.pending.push(Pending { at, entry: Entry::Step(Arc::new(record)), event, held, since });
    }
}
