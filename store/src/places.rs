//! The order in which the steps of an asset got their first records, by which their shared tables are cut: as the snapshot
//! holds it, and who stands near whom in it.

use crate::codec::Subject;
use crate::error::StoreError;
use crate::fold::{self, over};
use crate::tips::{Place, Tips, Unusable};
use assets_core::catalog::Neighbours;
use assets_core::excerpt::Excerpt;
use assets_core::key::{AssetName, Partition, Step};
use assets_core::record::Entry;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// Steps of an order that are read at once.
const CHUNK_STEPS: usize = 512;

/// Where the order of an asset lies in the snapshot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    asset: AssetName,
    steps: u64,
    /// When the last of them got its first record.
    last_us: i64,
    chunks: Vec<Place>,
}

/// Partitions, each with the end of its first record, in that order.
type Ends = Vec<(i64, Partition)>;

impl Order {
    /// Writes partitions with the ends of their first records; `None` where there are none.
    pub(crate) fn write<E>(
        asset: &AssetName,
        mut ends: Ends,
        write: &mut dyn FnMut(&[u8]) -> Result<Place, E>,
    ) -> Result<Option<Self>, E> {
        ends.sort_unstable();
        let Some((last_us, _)) = ends.last() else { return Ok(None) };
        let last_us = *last_us;
        let mut chunks = Vec::new();
        for some in ends.chunks(CHUNK_STEPS) {
            chunks.push(write(&postcard::to_stdvec(some).expect("texts of known lengths always encode"))?);
        }
        Ok(Some(Self { asset: asset.clone(), steps: ends.len() as u64, last_us, chunks }))
    }

    pub(crate) fn asset(&self) -> &AssetName {
        &self.asset
    }
}

/// First records behind a snapshot: generation and end, by partition.
type Firsts = HashMap<Partition, (u64, i64)>;

#[derive(Default)]
struct Found {
    snapshot: Option<Arc<Tips>>,
    /// By assets.
    behind: Vec<Firsts>,
}

/// As `Neighbours::in_ledger` of all that is recorded.
pub(crate) fn neighbours(root: &Path, of: &Neighbours<'_>) -> Result<Vec<(Step, u64)>, StoreError> {
    let assets: Vec<&AssetName> = of.assets().into_iter().collect();
    let place = |asset: &AssetName| assets.binary_search(&asset).ok();
    let of_snapshot = |tips: &Arc<Tips>| Ok(Found { snapshot: Some(Arc::clone(tips)), behind: Vec::new() });
    let wants = |subject: &Subject| matches!(subject, Subject::Step(step) if place(&step.asset).is_some());
    let add = |found: &mut Found, entry| {
        let Entry::Step(record) = entry else { return };
        let Some(at) = place(&record.step.asset) else { return };
        found.behind.resize_with(assets.len(), Firsts::new);
        let end = (record.generation, record.span.end_us);
        let first = found.behind[at].entry(record.step.partition.clone()).or_insert(end);
        *first = end.min(*first);
    };
    let (Found { snapshot, mut behind }, ..) = over(root, &of_snapshot, &wants, &add)?;
    behind.resize_with(assets.len(), Firsts::new);
    let near = assets.iter().zip(behind).map(|(asset, behind)| near(asset, snapshot.as_deref(), &behind, of));
    match near.collect::<Result<Vec<_>, Unusable>>() {
        Ok(near) => Ok(near.concat()),
        // The tips tell it as well.
        Err(Unusable) => {
            let ledger = fold::part(root, &Excerpt::of_assets(assets.into_iter().cloned()))?.ledger;
            Ok(of.in_ledger(&ledger))
        }
    }
}

/// The neighbours of an asset's steps. Where the snapshot knows steps of it and no order, its tips have to be asked.
fn near(
    asset: &AssetName,
    snapshot: Option<&Tips>,
    behind: &Firsts,
    of: &Neighbours<'_>,
) -> Result<Vec<(Step, u64)>, Unusable> {
    let order = snapshot.and_then(|tips| tips.order(asset));
    if snapshot.is_some_and(|tips| order.is_none() && tips.knows(asset)) {
        return Err(Unusable);
    }
    let all = |order: &Order| -> Result<Ends, Unusable> {
        let chunks = order.chunks.iter().map(|chunk| snapshot.ok_or(Unusable)?.read::<Ends>(*chunk));
        Ok(chunks.collect::<Result<Vec<_>, _>>()?.concat())
    };
    // What came behind a snapshot nearly always makes the order longer, and no more: then little of it is read.
    let last_us = order.map_or(i64::MIN, |order| order.last_us);
    let is_new = |(generation, end_us): &(u64, i64)| *generation == 1 && *end_us > last_us;
    let mut own = of.steps.keys().filter(|step| step.asset == *asset);
    if !behind.values().all(is_new) || own.any(|step| !behind.contains_key(&step.partition)) {
        return Ok(near_in_all(asset, order.map_or(Ok(Ends::new()), all)?, behind, of));
    }
    let mut new: Vec<(i64, &Partition)> = behind.iter().map(|(partition, (_, end_us))| (*end_us, partition)).collect();
    new.sort_unstable();
    let steps = order.map_or(0, |order| order.steps);
    let places: HashMap<&Partition, u64> = new.iter().map(|(_, partition)| *partition).zip(steps..).collect();
    let buckets = of.buckets(asset, |step| places.get(&step.partition).copied());
    let mut near = Vec::new();
    for (first, chunk) in (0..).step_by(CHUNK_STEPS).zip(order.into_iter().flat_map(|order| &order.chunks)) {
        let end = (first + CHUNK_STEPS as u64).min(steps);
        if buckets.any(first..end) {
            let all: Ends = snapshot.ok_or(Unusable)?.read(*chunk)?;
            near.extend((first..).zip(all).map(|(place, (_, partition))| (Step::new(asset, &partition), place)));
        }
    }
    near.extend((steps..).zip(new).map(|(place, (_, partition))| (Step::new(asset, partition), place)));
    near.retain(|(_, place)| buckets.hold(*place));
    Ok(near)
}

/// The neighbours in an order that is read as a whole, with what came behind it. Of what both tell the earlier record is in the
/// snapshot, unless two processes made the first one.
fn near_in_all(asset: &AssetName, order: Ends, behind: &Firsts, of: &Neighbours<'_>) -> Vec<(Step, u64)> {
    let mut firsts: HashMap<Partition, i64> =
        order.into_iter().map(|(end_us, partition)| (partition, end_us)).collect();
    for (partition, (generation, end_us)) in behind {
        let first = firsts.entry(partition.clone()).or_insert(*end_us);
        if *generation == 1 {
            *first = (*end_us).min(*first);
        }
    }
    let mut ends: Vec<(i64, &Partition)> = firsts.iter().map(|(partition, end_us)| (*end_us, partition)).collect();
    ends.sort_unstable();
    let places: HashMap<&Partition, u64> = ends.into_iter().map(|(_, partition)| partition).zip(0..).collect();
    let buckets = of.buckets(asset, |step| places.get(&step.partition).copied());
    let near = places.iter().filter(|(_, place)| buckets.hold(**place));
    let mut near: Vec<(Step, u64)> = near.map(|(partition, place)| (Step::new(asset, partition), *place)).collect();
    near.sort_unstable_by_key(|(_, place)| *place);
    near
}
