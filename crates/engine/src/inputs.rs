//! What the inputs of a step are at the moment: of its own partition here, over all partitions in `over_all`. The plan
//! asks before a build and the build as inputs settle; both get their answers in one way.

use crate::over_all::{self, AllNow};
use crate::plan::{Partitions, World};
use crate::scope::Scope;
use assets_core::graph::Graph;
use assets_core::part::Unsettled;
use assets_core::record::{OutputRecord, StepRecord};
use assets_core::{AssetDecl, AssetName, InputDecl, Mapping, Partition, Reason, Step};
use std::sync::Arc;

/// What an input of a step is at the moment.
#[derive(Debug, Clone)]
pub enum InputNow {
    /// It stands.
    Known(OutputRecord),
    /// It is to be made, or may be.
    Open(Open),
    /// It can't be had: the root cause, and the step that has it.
    Bad(Step, Reason),
    /// Every partition of it.
    All(Arc<AllNow>),
}

/// An input that is to be made, or may be.
#[derive(Debug, Clone)]
pub struct Open {
    /// The asset that writes it.
    pub asset: AssetName,
    /// What stands of it until then.
    pub recorded: Option<OutputRecord>,
    /// What of that may change.
    pub unsettled: Unsettled,
}

impl InputNow {
    /// Whether any of it is to be made, or may be.
    pub(crate) fn is_open(&self) -> bool {
        match self {
            Self::Open(_) => true,
            Self::All(all) => !all.open.is_empty(),
            Self::Known(_) | Self::Bad(..) => false,
        }
    }
}

/// What has become of a step that is read, as far as the plan or the build knows.
pub(crate) enum StepNow {
    /// It stands.
    Known(Arc<StepRecord>),
    /// It is to be made, or may be: what of each output may change.
    Open(Unsettled),
    /// It failed or is blocked: the root cause, and the step that has it.
    Bad(Step, Reason),
    /// Nobody makes it: what is recorded counts.
    Outside,
}

/// Who knows what becomes of the step that writes an output.
pub(crate) type Knows<'a> = &'a dyn Fn(&Step, &AssetName) -> StepNow;

/// Where inputs are looked up.
#[derive(Clone, Copy)]
pub(crate) struct Lookup<'a> {
    pub(crate) world: &'a World<'a>,
    pub(crate) partitions: &'a Partitions,
    pub(crate) scope: &'a Scope,
    pub(crate) knows: Knows<'a>,
}

impl Lookup<'_> {
    /// All inputs of a step, in the order of the declaration.
    pub(crate) fn all(&self, asset: &AssetDecl, partition: &Partition) -> Vec<InputNow> {
        asset.inputs.iter().map(|input| self.one(input, partition)).collect()
    }

    fn has_partition(&self, step: &Step) -> bool {
        self.partitions.get(&step.asset).is_some_and(|all| all.contains(&step.partition))
    }

    fn one(&self, input: &InputDecl, partition: &Partition) -> InputNow {
        if input.mapping == Mapping::All {
            return over_all::gather(self, input);
        }
        let Some(step) = input_step(self.world.graph, input, partition) else { return not_there(input, partition) };
        let recorded = || self.world.ledger.newest(&step).and_then(|record| record.output(&input.output));
        match (self.knows)(&step, &input.output) {
            StepNow::Known(record) => known(record.output(&input.output), input, &step.partition),
            StepNow::Open(unsettled) => {
                InputNow::Open(Open { recorded: recorded().cloned(), unsettled, asset: step.asset.clone() })
            }
            StepNow::Bad(root, reason) => InputNow::Bad(root, reason),
            // Of a partition that is gone nothing is read, whatever is still there of it.
            StepNow::Outside if !self.has_partition(&step) => not_there(input, &step.partition),
            StepNow::Outside => known(recorded(), input, &step.partition),
        }
    }
}

/// The step that an input of the same partition comes from: the same keys in the dimensions that the input has.
pub fn input_step(graph: &Graph, input: &InputDecl, partition: &Partition) -> Option<Step> {
    let writer = graph.producer(input.output.as_str())?;
    Some(Step::new(&writer.name, &partition.cut(&writer.dimensions)?))
}

/// The steps that an input comes from: one, or one for each partition.
pub(crate) fn input_steps(
    graph: &Graph,
    partitions: &Partitions,
    input: &InputDecl,
    partition: &Partition,
) -> Vec<Step> {
    match (input.mapping, graph.producer(input.output.as_str())) {
        (Mapping::All, Some(writer)) => {
            let all = partitions.get(&writer.name).into_iter().flatten();
            all.map(|partition| Step::new(&writer.name, partition)).collect()
        }
        _ => input_step(graph, input, partition).into_iter().collect(),
    }
}

fn known(output: Option<&OutputRecord>, input: &InputDecl, partition: &Partition) -> InputNow {
    output.map_or_else(|| not_there(input, partition), |output| InputNow::Known(output.clone()))
}

fn not_there(input: &InputDecl, partition: &Partition) -> InputNow {
    InputNow::Bad(Step::new(&input.output, partition), not_made(input, partition))
}

/// Why a table is not there that nobody makes.
pub(crate) fn not_made(input: &InputDecl, partition: &Partition) -> Reason {
    let message = format!(
        "{} was never made for {partition}, and this build does not make it: nothing is delivered for it, or it is out of \
         scope",
        input.output
    );
    Reason::new("input_not_made", message)
}
