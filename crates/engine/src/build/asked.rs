//! What a worker is told about a step, and the record that its answer becomes part of.

use super::Build;
use crate::parts;
use crate::plan::{PlannedPart, Ready};
use crate::request;
use assets_core::executor::StepRequest;
use assets_core::record::{Span, StepRecord};
use assets_core::{Reason, Step};

impl Build<'_> {
    /// What a worker is asked for.
    pub(super) fn request(&self, step: &Step, ready: &Ready, parts: &[PlannedPart]) -> StepRequest {
        let asset = self.backends.graph.asset(step.asset.as_str());
        let columns = if asset.is_some_and(|asset| asset.by_column) { parts::tasks(parts) } else { Default::default() };
        request::request(self.backends.graph, &self.ledger, step, ready, columns, &self.options.id)
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
}
