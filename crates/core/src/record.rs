//! What is kept: of one making of a step, of one failed attempt, of one source file, of one build.
//!
//! These are the in-memory types; how they are written is the backend's codec, with a version of its own.

use crate::hash::{ContentHash, Fingerprint, Hasher, ObjectId, RecordId};
use crate::key::{AssetName, Partition, Step};
use crate::reason::Reason;
use crate::shared_text::SharedText;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// The unit of content hashing: a column, or a column of one slice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PartId {
    /// The slice, its key's values joined by `/`; `None` where the asset has no slice key.
    pub slice: Option<SharedText>,
    /// The column.
    pub column: SharedText,
}

impl PartId {
    /// A column of an asset without slices.
    pub fn column(name: &str) -> Self {
        Self { slice: None, column: name.into() }
    }
}

impl fmt::Display for PartId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.slice {
            Some(slice) => write!(f, "{slice}:{}", self.column),
            None => f.write_str(&self.column),
        }
    }
}

/// One part of an output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Which one.
    pub id: PartId,
    /// What went into it, where parts have fingerprints of their own; otherwise the step's counts.
    pub fingerprint: Option<Fingerprint>,
    /// What came out.
    pub hash: ContentHash,
}

/// Where an output's rows are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Stored {
    /// In an object.
    Object(ObjectId),
    /// In the record itself, encoded as a small table.
    Inline(Vec<u8>),
}

/// A column that is null for the whole partition, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unavailable {
    /// The column, or the slice.
    pub column: String,
    /// The root cause.
    pub reason: Reason,
}

impl Unavailable {
    /// Whether it speaks of that part: the column, or all of a slice.
    pub fn is_of(&self, part: &Part) -> bool {
        part.id.slice.as_ref().unwrap_or(&part.id.column) == &self.column
    }
}

/// One table as it came out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutputRecord {
    /// The output's name.
    pub name: AssetName,
    /// Where its rows are.
    pub stored: Stored,
    /// Number of rows.
    pub rows: u64,
    /// Size of what is stored.
    pub bytes: u64,
    /// Its parts, sorted by id.
    pub parts: Vec<Part>,
    /// Columns that are null throughout, with their reasons.
    pub unavailable: Vec<Unavailable>,
}

/// What a step read of one input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputRecord {
    /// The output that was read.
    pub output: AssetName,
    /// Its row count.
    pub rows: u64,
    /// The parts that were read, with the content hashes they had; of an input over all partitions an entry for each
    /// (`over_all`).
    pub parts: Vec<(PartId, ContentHash)>,
}

/// A slice of a source as a step read it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SliceRef {
    /// The slice's content hash: its identity.
    pub hash: ContentHash,
    /// Its rows.
    pub rows: u64,
    /// Where it was found. Not part of any fingerprint.
    pub path: String,
}

/// The outcome of one check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckRecord {
    /// The output it looked at.
    pub output: AssetName,
    /// The check's name with its thresholds.
    pub check: String,
    /// A failed blocking check keeps its table unpublished.
    pub blocking: bool,
    /// `None` where it passed.
    pub failed: Option<Reason>,
}

/// What went into a step, kept so that a later plan can say what changed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// The stated code version.
    pub code: String,
    /// Names and kinds of the columns it declares to write, as one hash.
    pub shape: String,
    /// (dotted name, canonical text) of each parameter.
    pub params: Vec<(SharedText, SharedText)>,
    /// What was read of other assets.
    pub inputs: Vec<InputRecord>,
    /// What was read of sources.
    pub slices: Vec<SliceRef>,
}

/// Where and when a step ran.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// Microseconds since the epoch.
    pub start_us: i64,
    /// Microseconds since the epoch.
    pub end_us: i64,
    /// Which worker.
    pub worker: String,
}

impl Span {
    /// How long it took.
    pub fn seconds(&self) -> f64 {
        (self.end_us - self.start_us) as f64 / 1e6
    }
}

/// One making of a step. Committed once, never changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The step.
    pub step: Step,
    /// 1 for the first record of a step, then one more each: the order of a step's records, whoever wrote them.
    pub generation: u64,
    /// The record it replaces.
    pub replaces: Option<RecordId>,
    /// The older record whose outputs it took over; `None` where it was made.
    pub reuses: Option<RecordId>,
    /// All that went in, as one hash.
    pub fingerprint: Fingerprint,
    /// All that went in, one by one.
    pub recipe: Recipe,
    /// What came out.
    pub outputs: Vec<OutputRecord>,
    /// Checks that were made.
    pub checks: Vec<CheckRecord>,
    /// Why it was made.
    pub because: Vec<Reason>,
    /// When and where.
    pub span: Span,
    /// The build that made it.
    pub build: String,
}

/// The code of the reason for which a step's tables were taken down.
pub const RUN_GONE: &str = "run_gone";

impl StepRecord {
    /// The record that follows `newest` where nothing delivers the step's partition any more: no table, and what went in
    /// last, so that it can still be told. The step may come back; its earlier records are there.
    pub fn gone(id: RecordId, newest: &Self, why: Reason, at_us: i64, build: &str) -> Self {
        let mut hasher = Hasher::new("assets.fingerprint.gone.1");
        hasher.text(newest.step.asset.as_str());
        Self {
            step: newest.step.clone(),
            generation: newest.generation + 1,
            replaces: Some(id),
            reuses: None,
            fingerprint: Fingerprint(hasher.finish()),
            recipe: newest.recipe.clone(),
            outputs: Vec::new(),
            checks: Vec::new(),
            because: vec![why],
            span: Span { start_us: at_us, end_us: at_us, worker: "main".to_owned() },
            build: build.to_owned(),
        }
    }

    /// Whether its tables were taken down, because nothing delivers its partition any more.
    pub fn is_gone(&self) -> bool {
        self.outputs.is_empty() && self.because.iter().any(|reason| reason.code == RUN_GONE)
    }

    /// The record's name, from its content.
    pub fn id(&self) -> RecordId {
        let mut hasher = Hasher::new("assets.record.1");
        hasher.text(self.step.asset.as_str()).number(self.generation).text(&self.build);
        for (dimension, key) in self.step.partition.keys() {
            hasher.text(dimension).text(key);
        }
        hasher.bytes(self.fingerprint.0.as_bytes()).bytes(self.content_hash().0.as_bytes());
        hasher.number(self.span.start_us.cast_unsigned()).number(self.span.end_us.cast_unsigned());
        RecordId(hasher.finish())
    }

    /// The step's content hash: over names and hashes of all its outputs' parts.
    pub fn content_hash(&self) -> ContentHash {
        let mut hasher = Hasher::new("assets.content.1");
        for output in &self.outputs {
            hasher.text(output.name.as_str()).number(output.rows).number(output.parts.len() as u64);
            for part in &output.parts {
                hasher.optional(part.id.slice.as_deref()).text(&part.id.column).bytes(part.hash.0.as_bytes());
            }
        }
        ContentHash(hasher.finish())
    }

    /// The output of that name.
    pub fn output(&self, name: &AssetName) -> Option<&OutputRecord> {
        self.outputs.iter().find(|output| output.name == *name)
    }

    /// The fingerprints of the parts of each output, of those that have one.
    pub fn part_fingerprints(&self) -> Vec<Vec<Fingerprint>> {
        let of_output = |output: &OutputRecord| output.parts.iter().filter_map(|part| part.fingerprint).collect();
        self.outputs.iter().map(of_output).collect()
    }

    /// All objects it needs.
    pub fn objects(&self) -> impl Iterator<Item = &ObjectId> {
        self.outputs.iter().filter_map(|output| match &output.stored {
            Stored::Object(id) => Some(id),
            Stored::Inline(_) => None,
        })
    }
}

/// One attempt at a step that brought no table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// The step.
    pub step: Step,
    /// What it would have been made from.
    pub fingerprint: Fingerprint,
    /// The generation of the record that was newest then; a newer record makes this attempt history.
    pub after_generation: u64,
    /// Why it failed.
    pub reason: Reason,
    /// When and where.
    pub span: Span,
    /// The build.
    pub build: String,
}

/// What a stat says about a file: enough to trust that its content is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStat {
    /// Device.
    pub device: u64,
    /// Inode.
    pub inode: u64,
    /// Size.
    pub bytes: u64,
    /// Modification time, nanoseconds.
    pub mtime_ns: i64,
    /// Change time, nanoseconds.
    pub ctime_ns: i64,
}

/// A slice of a source: the rows of one partition (or those that have none).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SliceRecord {
    /// The asset that reads it.
    pub asset: AssetName,
    /// Its partition.
    pub partition: Partition,
    /// Content hash of its rows as delivered.
    pub hash: ContentHash,
    /// Number of rows.
    pub rows: u64,
}

/// A source file as it was read last, or why it can't be read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// Where it is, as the settings name it.
    pub path: String,
    /// Its stat when it was read; `None` where that can't be trusted (too young) or there is none.
    pub stat: Option<FileStat>,
    /// Hash of its bytes; `None` where it was never readable.
    pub content: Option<ObjectId>,
    /// Hash of the settings that decide how it is read.
    pub reading: Fingerprint,
    /// Its slices, when it was readable last.
    pub slices: Vec<SliceRecord>,
    /// Why it can't be read now.
    pub problem: Option<Reason>,
    /// What a person should know about its content.
    pub warnings: Vec<Reason>,
    /// Where it has moved, if its content was found again elsewhere: then it is no source any more. Empty where a person
    /// said that it is gone for good.
    pub moved_to: Option<String>,
}

impl SourceRecord {
    /// That it is gone for good, with all that it delivered.
    #[must_use]
    pub fn forgotten(&self) -> Self {
        Self { slices: Vec::new(), warnings: Vec::new(), moved_to: Some(String::new()), ..self.clone() }
    }

    /// One of its slices, as a step names it that reads it.
    pub fn delivers(&self, slice: &SliceRecord) -> SliceRef {
        SliceRef { hash: slice.hash, rows: slice.rows, path: self.path.clone() }
    }
}

/// The beginning of a build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BuildRecord {
    /// Unique id.
    pub id: String,
    /// What started it: the command line.
    pub trigger: String,
    /// Process id.
    pub process: u32,
    /// Version of the program.
    pub version: String,
    /// Microseconds since the epoch.
    pub start_us: i64,
    /// How many steps it looked at, and how many it expected to make.
    pub planned: (u64, u64),
}

/// How many steps ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // one field an outcome; `Outcome` says what each means
pub struct Counts {
    pub made: u64,
    pub reused: u64,
    pub fresh: u64,
    pub failed: u64,
    pub blocked: u64,
    pub cancelled: u64,
}

impl Counts {
    /// Counts one outcome.
    pub fn add(&mut self, outcome: Outcome) {
        *match outcome {
            Outcome::Made => &mut self.made,
            Outcome::Reused => &mut self.reused,
            Outcome::Fresh => &mut self.fresh,
            Outcome::Failed => &mut self.failed,
            Outcome::Blocked => &mut self.blocked,
            Outcome::Cancelled => &mut self.cancelled,
        } += 1;
    }

    /// Steps in all.
    pub fn total(&self) -> u64 {
        self.made + self.reused + self.fresh + self.failed + self.blocked + self.cancelled
    }
}

/// How a step ended in a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Computed and committed.
    Made,
    /// An older record of this step was taken again.
    Reused,
    /// Nothing to do.
    Fresh,
    /// No table; the reason says why.
    Failed,
    /// An input failed.
    Blocked,
    /// The build was interrupted before it.
    Cancelled,
}

impl Outcome {
    /// The word used everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::Made => "made",
            Self::Reused => "reused",
            Self::Fresh => "fresh",
            Self::Failed => "failed",
            Self::Blocked => "blocked",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The end of a build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BuildEnd {
    /// The build's id.
    pub id: String,
    /// Microseconds since the epoch.
    pub end_us: i64,
    /// How its steps ended.
    pub counts: Counts,
    /// Whether a person interrupted it.
    pub interrupted: bool,
}

/// One line of the truth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Entry {
    /// A build began.
    Begin(BuildRecord),
    /// A step was made or reused.
    Step(Arc<StepRecord>),
    /// A step failed.
    Attempt(AttemptRecord),
    /// A source was read, changed, or became unreadable.
    Source(SourceRecord),
    /// A build ended.
    End(BuildEnd),
}
