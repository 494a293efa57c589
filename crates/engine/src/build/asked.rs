//! What a worker is told about a step, and the record that its answer becomes part of.

use super::Build;
use crate::inputs::{self, InputNow};
use crate::parts;
use crate::plan::{PlannedPart, Ready};
use assets_core::executor::{StepInput, StepRequest};
use assets_core::record::{Span, StepRecord};
use assets_core::{Reason, Step};

impl Build<'_> {
    /// What a worker is asked for.
    pub(super) fn request(&self, step: &Step, ready: &Ready, parts: &[PlannedPart]) -> StepRequest {
        let newest = self.ledger.newest(step);
        let previous = newest.map(|record| record.outputs.clone()).unwrap_or_default();
        let previous_slices = newest.map(|record| record.recipe.slices.clone()).unwrap_or_default();
        let asset = self.backends.graph.asset(step.asset.as_str());
        let (parts, earlier) =
            if asset.is_some_and(|asset| asset.by_column) { parts::tasks(parts) } else { Default::default() };
        let mut inputs = Vec::new();
        for (input, now) in asset.into_iter().flat_map(|asset| &asset.inputs).zip(&ready.inputs) {
            match now {
                InputNow::Known(output) => {
                    let from = inputs::input_step(self.backends.graph, input, &step.partition);
                    let partition = from.map(|from| from.partition).unwrap_or_default();
                    inputs.push(StepInput { partition, output: output.clone() });
                }
                InputNow::All(all) => inputs.extend(
                    all.tables(input)
                        .map(|(partition, output)| StepInput { partition: partition.clone(), output: output.clone() }),
                ),
                InputNow::Open(_) | InputNow::Bad(..) => {}
            }
        }
        StepRequest {
            step: step.clone(),
            expected: ready.fingerprint,
            inputs,
            slices: ready.recipe.slices.clone(),
            previous,
            previous_slices,
            parts,
            earlier,
            build: self.options.id.clone(),
        }
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
