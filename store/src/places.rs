//! The order in which the steps of an asset got their first records, by which their shared tables are cut: as the snapshot
//! holds it, and who stands near whom in it.

use crate::codec::Subject;
use crate::error::StoreError;
use crate::fold::{self, over};
use crate::tips::Tips;
use assets_core::catalog::Neighbours;
use assets_core::excerpt::Excerpt;
use assets_core::key::{AssetName, Partition, Step};
use assets_core::record::Entry;
use std::collections::HashMap;
use std::path::Path;

/// The partitions of an asset's steps that have a record, each with the end of its first one, in that order. Of many only
/// few are asked for: they stay as they are written.
#[derive(Debug, Default)]
pub(crate) struct Order {
    ends_us: Vec<i64>,
    /// Each with its length (u32 LE).
    keys: Vec<u8>,
}

impl Order {
    pub(crate) fn of(sorted: &[(i64, Partition)]) -> Self {
        let mut order = Self { ends_us: sorted.iter().map(|(end_us, _)| *end_us).collect(), keys: Vec::new() };
        for (_, partition) in sorted {
            let key = Self::key(partition);
            let length = u32::try_from(key.len()).expect("keys of a partition are short");
            order.keys.extend(length.to_le_bytes());
            order.keys.extend(key);
        }
        order
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = postcard::to_stdvec(&self.ends_us).expect("numbers always encode");
        bytes.extend(&self.keys);
        bytes
    }

    /// `None` where these bytes are no order.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (ends_us, keys) = postcard::take_from_bytes(bytes).ok()?;
        let order = Self { ends_us, keys: keys.to_vec() };
        (order.entries().count() as u64 == order.len()).then_some(order)
    }

    fn len(&self) -> u64 {
        self.ends_us.len() as u64
    }

    fn last_us(&self) -> Option<i64> {
        self.ends_us.last().copied()
    }

    /// A partition as it is written.
    fn key(partition: &Partition) -> Vec<u8> {
        postcard::to_stdvec(partition).expect("texts of known lengths always encode")
    }

    fn partition(key: &[u8]) -> Option<Partition> {
        postcard::from_bytes(key).ok()
    }

    /// Each end, with its partition as it is written.
    fn entries(&self) -> impl Iterator<Item = (i64, &[u8])> {
        let mut rest = self.keys.as_slice();
        self.ends_us.iter().map_while(move |end_us| {
            let (length, after) = rest.split_first_chunk()?;
            let (key, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            rest = after;
            Some((*end_us, key))
        })
    }
}

/// First records behind a snapshot: generation and end, by partition.
type Firsts = HashMap<Partition, (u64, i64)>;

/// What is told of an asset.
#[derive(Default)]
struct Found {
    /// `None` where the snapshot does not tell.
    order: Option<Order>,
    behind: Firsts,
}

/// As `Neighbours::in_ledger` of all that is recorded.
pub(crate) fn neighbours(root: &Path, of: &Neighbours<'_>) -> Result<Vec<(Step, u64)>, StoreError> {
    let assets: Vec<&AssetName> = of.assets().into_iter().collect();
    let place = |asset: &AssetName| assets.binary_search(&asset).ok();
    let of_snapshot = |tips: &Tips| {
        let found = |asset: &&AssetName| Ok(Found { order: tips.order(asset)?, behind: Firsts::new() });
        assets.iter().map(found).collect()
    };
    let wants = |subject: &Subject| matches!(subject, Subject::Step(step) if place(&step.asset).is_some());
    let add = |all: &mut Vec<Found>, entry| {
        let Entry::Step(record) = entry else { return };
        let Some(at) = place(&record.step.asset) else { return };
        all.resize_with(assets.len(), Found::default);
        let end = (record.generation, record.span.end_us);
        let first = all[at].behind.entry(record.step.partition.clone()).or_insert(end);
        *first = end.min(*first);
    };
    let (mut all, _, (snapshot_bytes, _)): (Vec<Found>, _, _) = over(root, &of_snapshot, &wants, &add)?;
    all.resize_with(assets.len(), Found::default);
    if snapshot_bytes > 0 && all.iter().any(|found| found.order.is_none()) {
        let tips = fold::part(root, &Excerpt::of_assets(assets.into_iter().cloned()))?.ledger;
        return Ok(of.in_ledger(&tips));
    }
    let near = assets.into_iter().zip(all).flat_map(|(asset, found)| {
        let order = found.order.unwrap_or_default();
        near(asset, &order, &found.behind, of).unwrap_or_else(|| near_in_all(asset, &order, found.behind, of))
    });
    Ok(near.collect())
}

/// The neighbours in an order that what came behind it only makes longer, as it nearly always does; else `None`.
fn near(asset: &AssetName, order: &Order, behind: &Firsts, of: &Neighbours<'_>) -> Option<Vec<(Step, u64)>> {
    let own = || of.steps.keys().filter(|step| step.asset == *asset);
    // Partitions are looked for as they are written.
    let mut wanted: HashMap<Vec<u8>, (&Partition, Option<u64>)> = HashMap::new();
    for partition in behind.keys().chain(own().map(|step| &step.partition)) {
        wanted.insert(Order::key(partition), (partition, None));
    }
    for (place, (end_us, key)) in (0..).zip(order.entries()) {
        let Some((partition, found)) = wanted.get_mut(key) else { continue };
        *found = Some(place);
        if is_displaced(end_us, behind.get(*partition)) {
            return None;
        }
    }
    let mut places: HashMap<&Partition, u64> =
        wanted.into_values().filter_map(|(p, place)| Some((p, place?))).collect();
    let mut new: Vec<(i64, &Partition)> = Vec::new();
    new.extend(behind.iter().filter(|(p, _)| !places.contains_key(p)).map(|(p, (_, end_us))| (*end_us, p)));
    new.sort_unstable();
    if new.first().is_some_and(|(end_us, _)| order.last_us().is_some_and(|last_us| *end_us <= last_us)) {
        return None;
    }
    let new: Vec<(u64, &Partition)> = (order.len()..).zip(new.into_iter().map(|(_, partition)| partition)).collect();
    places.extend(new.iter().map(|(place, partition)| (*partition, *place)));
    let buckets = of.buckets(asset, |step| places.get(&step.partition).copied());
    let old = (0..).zip(order.entries()).filter(|(place, _)| buckets.hold(*place));
    let old = old.map(|(place, (_, key))| Some((Step::new(asset, &Order::partition(key)?), place)));
    let new = new.into_iter().filter(|(place, _)| buckets.hold(*place));
    old.chain(new.map(|(place, partition)| Some((Step::new(asset, partition), place)))).collect()
}

/// Of what both tell, the earlier record is in the snapshot, unless two processes made the first one.
fn is_displaced(end_us: i64, behind: Option<&(u64, i64)>) -> bool {
    behind.is_some_and(|(generation, other_us)| *generation == 1 && *other_us < end_us)
}

/// The same whatever the order is.
fn near_in_all(asset: &AssetName, order: &Order, mut behind: Firsts, of: &Neighbours<'_>) -> Vec<(Step, u64)> {
    let mut all: Vec<(i64, Partition)> =
        order.entries().filter_map(|(end_us, key)| Some((end_us, Order::partition(key)?))).collect();
    all.retain(|(end_us, partition)| {
        let is_displaced = is_displaced(*end_us, behind.get(partition));
        if !is_displaced {
            behind.remove(partition);
        }
        !is_displaced
    });
    all.extend(behind.into_iter().map(|(partition, (_, end_us))| (end_us, partition)));
    all.sort_unstable();
    let places: HashMap<&Partition, u64> = all.iter().map(|(_, partition)| partition).zip(0..).collect();
    let buckets = of.buckets(asset, |step| places.get(&step.partition).copied());
    let near = (0..).zip(&all).filter(|(place, _)| buckets.hold(*place));
    near.map(|(place, (_, partition))| (Step::new(asset, partition), place)).collect()
}
