//! What stands once a build has ended: enough to say so, and not to look at it again before something changes.

use super::{Build, Settled};
use crate::plan::{self, World};
use crate::publish::Publisher;
use assets_core::compute::Packer;
use assets_core::{AssetName, Partition};
use std::collections::{BTreeMap, BTreeSet};

/// What stands. Of what a build did not look at nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct After {
    /// Whether it is true still: nothing was given up, nobody else has recorded anything, and no source has changed.
    pub holds: bool,
    /// Partitions of which a step failed or is blocked.
    pub bad: BTreeSet<Partition>,
    /// How many steps of each asset that is cut stand, without those of bad partitions.
    pub steps: BTreeMap<AssetName, u64>,
    /// The partitions of these, where their states are all that is to be told of them: none is gone, and none left out.
    pub runs: Option<u64>,
    /// How many steps stand that nothing cuts; `None` where one of them does not.
    pub uncut: Option<u64>,
}

impl After {
    pub(super) fn of(build: &Build<'_>) -> Self {
        let is_bad = |step| !matches!(build.settled.get(step), Some(Settled::Stands));
        let steps = build.plan.steps.iter().map(|planned| &planned.step);
        let bad: BTreeSet<Partition> =
            steps.clone().filter(|step| is_bad(step)).map(|step| step.partition.clone()).collect();
        let (mut by_asset, mut runs, mut uncut) = (BTreeMap::<AssetName, u64>::new(), BTreeSet::new(), 0);
        for step in steps.filter(|step| !bad.contains(&step.partition)) {
            if step.partition.is_none() {
                uncut += 1;
            } else {
                *by_asset.entry(step.asset.clone()).or_default() += 1;
                runs.insert(&step.partition);
            }
        }
        let is_plain = build.plan.gone.is_empty() && build.plan.steps.iter().all(|planned| planned.left_out.is_empty());
        let others = &build.others;
        Self {
            holds: build.counts.cancelled == 0 && !others.any && !others.left_unpublished && !build.again.has_looked,
            runs: is_plain.then_some(runs.len() as u64),
            uncut: (!bad.contains(&Partition::none())).then_some(uncut),
            steps: by_asset,
            bad,
        }
    }
}

/// Whether the objects and published tables of all that is recorded are there.
pub fn is_all_there(world: &World<'_>, packer: &dyn Packer) -> bool {
    let mut publisher = Publisher::new(world.graph, world.tables, packer);
    let is_published = publisher.lost(world.ledger).is_empty() && !publisher.is_pending();
    is_published
        && world
            .ledger
            .steps()
            .filter(|(step, _)| world.graph.has_step(step))
            .all(|(_, tip)| tip.record().is_none_or(|record| plan::is_there(world.tables, record)))
}
