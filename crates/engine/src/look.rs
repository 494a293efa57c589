//! Whether there is anything to do, without doing it.

use crate::plan::{self, World};
use crate::publish::Publisher;
use crate::scope::Scope;
use assets_core::compute::Packer;

/// How much was found fresh where all of it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllFresh {
    /// The steps.
    pub steps: u64,
    /// Their runs, where nothing but that is to be told of them.
    pub runs: Option<u64>,
}

/// How much there is, where a build would find all of it fresh and published, and would have nothing to warn of. What the
/// sources say of themselves is not looked at.
pub fn all_fresh(world: &World<'_>, scope: &Scope, packer: &dyn Packer) -> Option<AllFresh> {
    let plan = plan::plan(world, scope);
    let mut publisher = Publisher::new(world.graph, world.tables, packer);
    let is_fresh = plan.is_fresh() && plan.steps.iter().all(|step| step.warnings().is_empty());
    let is_there = is_fresh && publisher.lost(world.ledger).is_empty() && !publisher.is_pending();
    is_there.then(|| AllFresh { steps: plan.steps.len() as u64, runs: plan.runs_alone() })
}
