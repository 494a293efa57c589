//! What a worker is asked: a step with the tables that it reads.

use crate::inputs::{self, InputNow};
use crate::plan::Ready;
use assets_core::Step;
use assets_core::executor::{PartTask, StepInput, StepRequest};
use assets_core::graph::Graph;
use assets_core::ledger::Ledger;
use assets_core::record::OutputRecord;

/// The request for a step whose inputs all stand. `parts` and `earlier` say which columns are stored where.
pub(crate) fn request(
    graph: &Graph,
    ledger: &Ledger,
    step: &Step,
    ready: &Ready,
    (parts, earlier): (Vec<PartTask>, Vec<OutputRecord>),
    build: &str,
) -> StepRequest {
    let newest = ledger.newest(step);
    let previous = newest.map(|record| record.outputs.clone()).unwrap_or_default();
    let previous_slices = newest.map(|record| record.recipe.slices.clone()).unwrap_or_default();
    let asset = graph.asset(step.asset.as_str());
    let mut inputs = Vec::new();
    for (input, now) in asset.into_iter().flat_map(|asset| &asset.inputs).zip(&ready.inputs) {
        match now {
            InputNow::Known(output) => {
                let from = inputs::input_step(graph, input, &step.partition);
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
        too_little: None,
        build: build.to_owned(),
    }
}
