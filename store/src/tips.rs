//! A snapshot of all tips: what is true now, folded from closed segments of the journal, so that nobody has to read
//! those again, and who asks about one run, or about one asset, reads that alone. The file `tips`, replaced as a whole.
//!
//! ```text
//! magic, blocks, sources, builds, orders, index, place of the index (u64 LE), its length (u64 LE), its CRC-32 (u32 LE), magic
//! ```
//!
//! Blocks hold tips and slices of sources, each of one asset, sorted by run; the index says of which asset each is and with
//! which run it begins, with its checksum.
//! It is never the truth: damaged, of another version, or of segments that are not as they were, it is not there, and
//! the journal is read. Records are
//! encoded as in the journal, whose version is part of `MAGIC`; a change of `Tip` or of what is below is another `LAYOUT`.

use crate::codec;
use crate::error::StoreError;
use crate::files::{self, Output};
use crate::journal::{End, Ends, Torn};
use crate::places::Order;
use assets_core::cores;
use assets_core::excerpt::Excerpt;
use assets_core::key::{AssetName, Partition, Step};
use assets_core::ledger::{Ledger, Tip};
use assets_core::record::{BuildEnd, BuildRecord, SliceRecord, SourceRecord, Stored};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

const LAYOUT: u8 = 3;
const MAGIC: &[u8; 8] = &[b'A', b'S', b'S', b'E', b'T', b'S', LAYOUT, codec::VERSION];
const FOOTER_BYTES: usize = 28;
/// Enough that the index stays small, little enough that one run costs next to nothing.
const BLOCK_BYTES: usize = 32 << 10;
/// Blocks that are read sooner than another thread begins.
const FEW_BLOCKS: usize = 16;

/// A segment as it was read: it is the same for as long as its file is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Segment {
    name: String,
    end: End,
    stat: Stat,
}

/// Device, inode, size, and times of the last changes, in nanoseconds.
type Stat = (u64, u64, u64, i128, i128);

fn stat(metadata: &Metadata) -> Stat {
    let time = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    let changed = time(metadata.ctime(), metadata.ctime_nsec());
    (metadata.dev(), metadata.ino(), metadata.len(), time(metadata.mtime(), metadata.mtime_nsec()), changed)
}

/// Bytes of the file, with their checksum.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Place {
    offset: u64,
    bytes: u32,
    crc: u32,
}

/// A block of one asset: its first run, and where it is.
#[derive(Debug, Serialize, Deserialize)]
struct Block {
    asset: AssetName,
    first: String,
    place: Place,
}

#[derive(Debug, Serialize, Deserialize)]
struct Index {
    segments: Vec<Segment>,
    torn: Vec<Torn>,
    blocks: Vec<Block>,
    sources: Vec<Place>,
    builds: Place,
    orders: Vec<Order>,
}

/// What a block holds.
#[derive(Debug, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant)] // each is taken apart as soon as it is read
enum Item {
    Tip(Step, Box<Tip>),
    Slice(Slice),
}

/// A slice, and its place: in which source, and among its slices.
#[derive(Debug, Serialize, Deserialize)]
struct Slice {
    source: u32,
    at: u32,
    slice: SliceRecord,
}

/// As `Item`, of what is there already.
#[derive(Serialize)]
enum ItemRef<'a> {
    Tip(&'a Step, &'a Tip),
    Slice(SliceRef<'a>),
}

#[derive(Serialize)]
struct SliceRef<'a> {
    source: u32,
    at: u32,
    slice: &'a SliceRecord,
}

/// A source with the first slice of each asset, and where those stand among all of its slices.
type Head = (SourceRecord, Vec<u32>);
type Builds = Vec<(BuildRecord, Option<BuildEnd>)>;

/// Why a snapshot can't be used. The journal is read instead.
#[derive(Debug)]
pub(crate) struct Unusable;

impl From<io::Error> for Unusable {
    fn from(_: io::Error) -> Self {
        Self
    }
}

/// An open snapshot, of segments that are as they were.
#[derive(Debug)]
pub(crate) struct Tips {
    file: File,
    index: Index,
    bytes: u64,
}

impl Tips {
    /// Opens the snapshot of a store; `None` where there is none that can be used.
    pub(crate) fn open(root: &Path) -> Option<Self> {
        let file = File::open(root.join("tips")).ok()?;
        let bytes = file.metadata().ok()?.len();
        let index = read_index(&file, bytes).ok()?;
        let journal = root.join("journal");
        let is_same = |segment: &Segment| {
            std::fs::metadata(journal.join(&segment.name)).is_ok_and(|now| stat(&now) == segment.stat)
        };
        index.segments.iter().all(is_same).then_some(Self { file, index, bytes })
    }

    /// How far it has read which segments.
    pub(crate) fn ends(&self) -> Ends {
        self.index.segments.iter().map(|segment| (segment.name.clone(), segment.end)).collect()
    }

    /// What can't be read of them.
    pub(crate) fn torn(&self) -> Vec<Torn> {
        self.index.torn.clone()
    }

    /// Its size.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// All of it.
    pub(crate) fn all(&self) -> Result<Ledger, Unusable> {
        let all = self.found(&self.index.blocks.iter().collect::<Vec<_>>(), &|_| true)?;
        let mut sources = self.heads()?;
        sources.iter_mut().for_each(|(source, _)| source.slices.clear());
        let (mut tips, mut slices) = (Vec::new(), Vec::new());
        for found in all {
            tips.push(found.tips);
            slices.extend(found.slices);
        }
        slices.sort_unstable_by_key(|slice| (slice.source, slice.at));
        for Slice { source, slice, .. } in slices {
            sources.get_mut(source as usize).ok_or(Unusable)?.0.slices.push(slice);
        }
        let builds: Builds = self.read(self.index.builds)?;
        Ok(Ledger::of(tips.into_iter().flatten(), sources.into_iter().map(|(source, _)| source), builds))
    }

    /// As `Excerpt::of_ledger` of all of it.
    pub(crate) fn part(&self, excerpt: &Excerpt) -> Result<Ledger, Unusable> {
        let blocks: Vec<&Block> = self.blocks_of(excerpt);
        let is_wanted = |item: &Item| match item {
            Item::Tip(step, _) => excerpt.covers(&step.asset, &step.partition),
            Item::Slice(Slice { slice, .. }) => excerpt.covers(&slice.asset, &slice.partition),
        };
        let (mut tips, mut slices) = (Vec::new(), Vec::new());
        for found in self.found(&blocks, &is_wanted)? {
            tips.push(found.tips);
            slices.extend(found.slices);
        }
        let mut sources = self.heads()?;
        let mut taken: BTreeSet<(u32, u32)> = BTreeSet::new();
        for (source, (_, places)) in (0..).zip(&sources) {
            taken.extend(places.iter().map(|at| (source, *at)));
        }
        slices.retain(|slice| taken.insert((slice.source, slice.at)));
        for Slice { source, at, slice } in slices {
            let (record, places) = sources.get_mut(source as usize).ok_or(Unusable)?;
            places.push(at);
            record.slices.push(slice);
        }
        for (record, places) in sources.iter_mut().filter(|(_, places)| !places.is_sorted()) {
            let mut slices: Vec<_> = places.iter().copied().zip(std::mem::take(&mut record.slices)).collect();
            slices.sort_unstable_by_key(|(at, _)| *at);
            record.slices = slices.into_iter().map(|(_, slice)| slice).collect();
        }
        Ok(Ledger::of(tips.into_iter().flatten(), sources.into_iter().map(|(source, _)| source), Vec::new()))
    }

    /// The order of an asset that has tables of many steps; `None` for others.
    pub(crate) fn order(&self, asset: &AssetName) -> Option<&Order> {
        self.index.orders.iter().find(|order| order.asset() == asset)
    }

    /// Whether it holds anything of an asset.
    pub(crate) fn knows(&self, asset: &AssetName) -> bool {
        self.index.blocks.iter().any(|block| block.asset == *asset)
    }

    /// The blocks that may hold something of an excerpt.
    fn blocks_of(&self, excerpt: &Excerpt) -> Vec<&Block> {
        let mut wanted = BTreeSet::new();
        let mut start = 0;
        for of_asset in self.index.blocks.chunk_by(|one, other| one.asset == other.asset) {
            let asset = &of_asset[0].asset;
            match excerpt.runs_of(asset) {
                _ if !excerpt.covers_asset(asset) => {}
                None => wanted.extend(start..start + of_asset.len()),
                Some(runs) => {
                    // A step that nothing cuts is of the empty run.
                    for run in std::iter::once("").chain(runs) {
                        let first = of_asset.partition_point(|block| block.first.as_str() < run).saturating_sub(1);
                        let end = of_asset.partition_point(|block| block.first.as_str() <= run);
                        wanted.extend(start + first..start + end);
                    }
                }
            }
            start += of_asset.len();
        }
        wanted.into_iter().map(|at| &self.index.blocks[at]).collect()
    }

    /// What blocks hold of what is wanted, in order. Reads several at once.
    fn found(&self, blocks: &[&Block], is_wanted: &(dyn Fn(&Item) -> bool + Sync)) -> Result<Vec<Found>, Unusable> {
        let read = |blocks: &[&Block]| {
            let mut found = Found::default();
            for block in blocks {
                self.block(block.place, &mut |item| {
                    if is_wanted(&item) {
                        found.add(item);
                    }
                })?;
            }
            Ok::<Found, Unusable>(found)
        };
        let width = cores::at_once();
        let share = blocks.len().div_ceil(width).max(FEW_BLOCKS);
        std::thread::scope(|scope| {
            let mut shares = blocks.chunks(share);
            let own = shares.next().unwrap_or_default();
            let threads: Vec<_> = shares.map(|blocks| scope.spawn(move || read(blocks))).collect();
            let own = std::iter::once(read(own));
            own.chain(threads.into_iter().map(|thread| thread.join().unwrap_or(Err(Unusable)))).collect()
        })
    }

    fn heads(&self) -> Result<Vec<Head>, Unusable> {
        let mut all = Vec::new();
        for place in &self.index.sources {
            all.extend(self.read::<Vec<Head>>(*place)?);
        }
        Ok(all)
    }

    fn block(&self, place: Place, each: &mut dyn FnMut(Item)) -> Result<(), Unusable> {
        let bytes = read_at(&self.file, place)?;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (item, after) = postcard::take_from_bytes(rest).map_err(|_| Unusable)?;
            each(item);
            rest = after;
        }
        Ok(())
    }

    pub(crate) fn read<T: DeserializeOwned>(&self, place: Place) -> Result<T, Unusable> {
        postcard::from_bytes(&read_at(&self.file, place)?).map_err(|_| Unusable)
    }
}

#[derive(Debug, Default)]
struct Found {
    tips: Vec<(Step, Tip)>,
    slices: Vec<Slice>,
}

impl Found {
    fn add(&mut self, item: Item) {
        match item {
            Item::Tip(step, tip) => self.tips.push((step, *tip)),
            Item::Slice(slice) => self.slices.push(slice),
        }
    }
}

fn read_at(file: &File, place: Place) -> Result<Vec<u8>, Unusable> {
    let mut bytes = vec![0; place.bytes as usize];
    file.read_exact_at(&mut bytes, place.offset)?;
    if crc32fast::hash(&bytes) == place.crc { Ok(bytes) } else { Err(Unusable) }
}

fn read_index(file: &File, bytes: u64) -> Result<Index, Unusable> {
    let mut magic = [0; MAGIC.len()];
    file.read_exact_at(&mut magic, 0)?;
    let mut footer = [0; FOOTER_BYTES];
    file.read_exact_at(&mut footer, bytes.checked_sub(FOOTER_BYTES as u64).ok_or(Unusable)?)?;
    let number = |from: usize| u64::from_le_bytes(footer[from..from + 8].try_into().expect("eight bytes"));
    let crc = u32::from_le_bytes(footer[16..20].try_into().expect("four bytes"));
    let (offset, length) = (number(0), number(8));
    let is_whole = offset.checked_add(length).is_some_and(|end| end + FOOTER_BYTES as u64 == bytes);
    if magic != *MAGIC || footer[20..] != *MAGIC || !is_whole {
        return Err(Unusable);
    }
    let place = Place { offset, bytes: u32::try_from(length).map_err(|_| Unusable)?, crc };
    postcard::from_bytes(&read_at(file, place)?).map_err(|_| Unusable)
}

/// Replaces the snapshot by one of a ledger that is folded from these segments, all of them final.
///
/// # Errors
/// What can't be written. The store is none the worse.
pub(crate) fn write(root: &Path, ledger: &Ledger, ends: &Ends, torn: Vec<Torn>) -> Result<(), StoreError> {
    let mut segments = Vec::new();
    for (name, end) in ends {
        let path = root.join("journal").join(name);
        let metadata = std::fs::metadata(&path).map_err(crate::error::reading(&path))?;
        segments.push(Segment { name: name.clone(), end: *end, stat: stat(&metadata) });
    }
    files::create_folder(&root.join("tmp"))?;
    let temp = root.join(format!("tmp/tips-{}.tmp", std::process::id()));
    let mut segments = Some(segments);
    let written = files::replace_with(&root.join("tips"), &temp, &mut |file| {
        let mut sink = Sink { file, offset: 0 };
        sink.put(MAGIC)?;
        let index = Index {
            segments: segments.take().unwrap_or_default(),
            torn: torn.clone(),
            blocks: sink.blocks(ledger)?,
            sources: sink.sources(ledger)?,
            builds: sink.place(&encode(&ledger.builds()))?,
            orders: sink.orders(ledger)?,
        };
        let place = sink.place(&encode(&index))?;
        let footer = [&place.offset.to_le_bytes()[..], &u64::from(place.bytes).to_le_bytes(), &place.crc.to_le_bytes()];
        sink.put(&[&footer.concat()[..], MAGIC].concat())
    });
    if written.is_err() {
        // What is left of it is of no use.
        let _ = files::remove_if_there(&temp);
    }
    written
}

fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).expect("plain data of known lengths always encodes")
}

/// Where it is written to.
struct Sink<'a> {
    file: &'a mut Output,
    offset: u64,
}

impl Sink<'_> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.offset += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    fn place(&mut self, bytes: &[u8]) -> io::Result<Place> {
        let too_large = |_| io::Error::other("more than 4 GiB in one block");
        let length = u32::try_from(bytes.len()).map_err(too_large)?;
        let place = Place { offset: self.offset, bytes: length, crc: crc32fast::hash(bytes) };
        self.put(bytes)?;
        Ok(place)
    }

    /// Tips and slices by asset and run, then in an order that depends on nothing else.
    fn blocks(&mut self, ledger: &Ledger) -> io::Result<Vec<Block>> {
        let mut items: Vec<(&AssetName, String, ItemRef<'_>)> = Vec::with_capacity(ledger.steps().len());
        items.extend(
            ledger
                .steps()
                .map(|(step, tip)| (&step.asset, step.partition.run().unwrap_or_default(), ItemRef::Tip(step, tip))),
        );
        for (source, record) in (0..).zip(ledger.sources().values()) {
            for (at, slice) in (0..).zip(&record.slices) {
                let run = slice.partition.run().unwrap_or_default();
                items.push((&slice.asset, run, ItemRef::Slice(SliceRef { source, at, slice })));
            }
        }
        items.sort_unstable_by(|(a, run, one), (b, of, other)| (a, run, one.key()).cmp(&(b, of, other.key())));
        let mut blocks = Vec::new();
        for of_asset in items.chunk_by(|one, other| one.0 == other.0) {
            let mut rest = of_asset;
            while let [(asset, first, _), ..] = rest {
                let mut bytes = Vec::new();
                while let [(_, _, item), after @ ..] = rest
                    && bytes.len() < BLOCK_BYTES
                {
                    bytes = postcard::to_extend(item, bytes).expect("plain data of known lengths always encodes");
                    rest = after;
                }
                blocks.push(Block { asset: (*asset).clone(), first: first.clone(), place: self.place(&bytes)? });
            }
        }
        Ok(blocks)
    }

    /// Of the assets with rows in their records: their tables are shared by many steps, and cut by that order.
    fn orders(&mut self, ledger: &Ledger) -> io::Result<Vec<Order>> {
        let has_rows = |tip: &Tip| {
            let outputs = tip.record().into_iter().flat_map(|record| &record.outputs);
            outputs.into_iter().any(|output| matches!(output.stored, Stored::Inline(_)))
        };
        let shared: BTreeSet<&AssetName> =
            ledger.steps().filter(|(_, tip)| has_rows(tip)).map(|(step, _)| &step.asset).collect();
        let mut orders: BTreeMap<&AssetName, Vec<(i64, Partition)>> = BTreeMap::new();
        for (step, tip) in ledger.steps().filter(|(step, _)| shared.contains(&step.asset)) {
            let first = tip.first_us().map(|end_us| (end_us, step.partition.clone()));
            orders.entry(&step.asset).or_default().extend(first);
        }
        let mut written = Vec::new();
        for (asset, ends) in orders {
            written.extend(Order::write(asset, ends, &mut |bytes| self.place(bytes))?);
        }
        Ok(written)
    }

    fn sources(&mut self, ledger: &Ledger) -> io::Result<Vec<Place>> {
        let all: Vec<&SourceRecord> = ledger.sources().values().collect();
        all.chunks(1000)
            .map(|some| self.place(&encode(&some.iter().map(|source| head(source)).collect::<Vec<_>>())))
            .collect()
    }
}

impl<'a> ItemRef<'a> {
    fn key(&self) -> (Option<&'a Step>, u32, u32) {
        match self {
            Self::Tip(step, _) => (Some(step), 0, 0),
            Self::Slice(slice) => (None, slice.source, slice.at),
        }
    }
}

fn head(source: &SourceRecord) -> Head {
    let mut told = BTreeSet::new();
    let first = (0..).zip(&source.slices).filter(|(_, slice)| told.insert(&slice.asset));
    let (places, slices) = first.map(|(at, slice)| (at, slice.clone())).unzip();
    (
        SourceRecord {
            path: source.path.clone(),
            stat: source.stat,
            content: source.content,
            reading: source.reading,
            slices,
            problem: source.problem.clone(),
            warnings: source.warnings.clone(),
            moved_to: source.moved_to.clone(),
        },
        places,
    )
}
