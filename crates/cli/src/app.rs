//! What the command line needs of a program: how to open a project, and the few things that only its backends can do.
//! The composition root implements these; nothing here names a concrete store or format.

use assets_core::catalog::{Catalog, Holder, Records};
use assets_core::compute::{Examiner, Packer, Worker};
use assets_core::excerpt::Excerpt;
use assets_core::finding::Finding;
use assets_core::graph::Graph;
use assets_core::hash::{Digest, ObjectId, RecordId};
use assets_core::ledger::Ledger;
use assets_core::logs::Logs;
use assets_core::record::{OutputRecord, StepRecord};
use assets_core::seal::Seal;
use assets_core::source::Source;
use assets_core::table::Table;
use assets_core::table_store::{TableStore, TableStoreError};
use assets_core::{AssetName, Reason, Step};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// An error that ends the program: what happened, what to do, and the exit code.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// What happened, with a stable code.
    pub reason: Reason,
    /// What to do about it.
    pub help: Option<String>,
    /// 1 data, 2 wrong usage, 3 store unusable, 4 transient.
    pub exit: u8,
}

impl Failure {
    /// Wrong usage: exit code 2.
    pub fn usage(reason: Reason) -> Self {
        Self { reason, help: None, exit: 2 }
    }

    /// The same, with help.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Flags of every verb that decide what is opened.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// `--config`; default `assets.toml` here or in a parent folder.
    pub config: Option<PathBuf>,
    /// `--store`.
    pub store: Option<PathBuf>,
    /// `--source`, replacing the file's sources.
    pub sources: Vec<String>,
}

/// What `simulate` is asked for.
#[derive(Debug, Clone)]
pub struct SimulateOptions {
    /// A folder, or a `.csv` or `.parquet` file.
    pub out: PathBuf,
    /// Number of runs.
    pub runs: usize,
    /// Length of each.
    pub seconds: f64,
    /// Whether to add rows with every known trap.
    pub defects: bool,
    /// Standard deviation of the position noise; `None` for the default.
    pub noise: Option<f64>,
    /// Seed of the generator.
    pub seed: u64,
    /// The four runs of the demonstration instead of equal ones.
    pub demo: bool,
}

/// What was written, for a person.
#[derive(Debug, Clone)]
pub struct Simulated {
    /// Files, with their sizes.
    pub files: Vec<(PathBuf, u64)>,
    /// Rows in all.
    pub rows: u64,
    /// Runs.
    pub runs: usize,
}

/// A function that expressions can call, for a person.
#[derive(Debug, Clone)]
pub struct FunctionHelp {
    /// Its name.
    pub name: String,
    /// How it is called.
    pub usage: String,
    /// What it gives.
    pub about: String,
    /// An expression that uses it.
    pub example: String,
}

/// A program around a pipeline.
pub trait App {
    /// Opens the project that the options mean.
    fn open(&self, options: &OpenOptions) -> Result<Box<dyn Project>, Failure>;

    /// Writes a commented settings file into a folder (created if need be) and says where.
    fn init(&self, folder: &Path, sources: &[String]) -> Result<PathBuf, Failure>;

    /// What expressions in the settings can call.
    fn functions(&self) -> Vec<FunctionHelp>;

    /// Writes simulated data.
    fn simulate(&self, options: &SimulateOptions) -> Result<Simulated, Failure>;
}

/// What a look at a store's own files found.
#[derive(Debug, Clone, Default)]
pub struct Examined {
    /// What was found.
    pub findings: Vec<Finding>,
    /// Frames of the journal that were read.
    pub frames: usize,
    /// Objects whose bytes were hashed.
    pub objects: usize,
}

/// A store opened for reading.
pub trait ReadStore: Send + Sync {
    /// As a catalog's reading half.
    fn records(&self) -> &dyn Records;
    /// As a table store.
    fn tables(&self) -> &Arc<dyn TableStore>;
    /// Whether all that is recorded is known to be published.
    fn all_published(&self) -> bool;
}

/// A store opened for writing.
pub trait WriteStore: Send + Sync {
    /// As a catalog.
    fn catalog(&self) -> &dyn Catalog;
    /// As a table store.
    fn tables(&self) -> Arc<dyn TableStore>;
    /// Whether all that is recorded is known to be published.
    fn all_published(&self) -> bool;
    /// Says that all that is recorded, as far as this handle knows, is published.
    fn mark_published(&self) -> Result<(), TableStoreError>;
    /// Keeps records by that name, instead of what was kept by it.
    fn pin(&self, name: &str, records: &[(&Step, RecordId, &StepRecord)]) -> Result<(), Failure>;
    /// Keeps nothing by that name any more; false where nothing was.
    fn unpin(&self, name: &str) -> Result<bool, Failure>;
}

/// What is kept by a name.
#[derive(Debug, Clone, Default)]
pub struct Pin {
    /// How many steps.
    pub steps: usize,
    /// Objects that hold rows of them.
    pub objects: BTreeSet<ObjectId>,
}

/// What `gc` is asked for.
#[derive(Debug, Clone)]
pub struct GcOptions {
    /// Whether to remove; otherwise only to look.
    pub remove: bool,
    /// Versions of each step to keep.
    pub versions: u16,
    /// Whatever is younger stays.
    pub younger_than: Duration,
    /// The size that the store is not to exceed; `None` for what the settings say.
    pub max_bytes: Option<u64>,
    /// Whether tables of what is not declared go too.
    pub undeclared: bool,
    /// Whether to wait for builds and readers.
    pub wait: bool,
}

/// A file that is not needed.
#[derive(Debug, Clone)]
pub struct GcGarbage {
    /// Why, in a word.
    pub kind: &'static str,
    /// Where it is.
    pub path: PathBuf,
    /// What removing it gives back.
    pub bytes: u64,
    /// The step it was made for, if that is known.
    pub step: Option<Step>,
}

/// What `gc` has found.
#[derive(Debug, Clone)]
pub struct GcFound {
    /// What goes.
    pub garbage: Vec<GcGarbage>,
    /// The size of the store afterwards.
    pub bytes_left: u64,
    /// Whether that is still too large.
    pub is_too_large: bool,
    /// Outputs with tables that nothing declares.
    pub undeclared: Vec<AssetName>,
    /// What becomes of the journal, where it is put together.
    pub compaction: Option<GcCompaction>,
    /// Where a store would be, if there is none.
    pub no_store: Option<PathBuf>,
}

/// The journal without what nothing needs any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GcCompaction {
    /// Entries that go.
    pub entries: usize,
    /// How much smaller the journal gets, about.
    pub bytes: u64,
    /// The size of the index, which is made anew.
    pub index_bytes: u64,
}

/// What a look from outside sees of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreGlance {
    /// All of it, as one hash.
    pub world: Digest<16>,
    /// Whether a change since then would show.
    pub is_settled: bool,
}

/// How good or bad a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Warn,
    /// Something does not work.
    Bad,
}

impl Level {
    /// The word used everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }
}

/// One thing that `doctor` looked at.
#[derive(Debug, Clone)]
pub struct Diagnosis {
    /// What: a stable word.
    pub check: String,
    /// How it is.
    pub level: Level,
    /// A sentence.
    pub message: String,
    /// What to do about it.
    pub advice: Option<String>,
}

/// An opened project: a pipeline with its settings, sources and store.
pub trait Project: Send + Sync {
    /// The declared assets.
    fn graph(&self) -> &Graph;
    /// Where inputs come from.
    fn source(&self) -> &dyn Source;
    /// The folder of the store.
    fn store_path(&self) -> &Path;
    /// The settings file.
    fn config_path(&self) -> Option<&Path>;
    /// Number of workers that the settings ask for; `None` where they do not say.
    fn workers(&self) -> Option<usize>;
    /// Bytes of memory that steps may take together.
    fn memory(&self) -> u64;
    /// Bytes of memory that the program may take in all, with what is known of all runs.
    fn memory_in_all(&self) -> u64;
    /// Opens the store for reading. A store that does not exist yet is empty.
    fn reader(&self) -> Result<Box<dyn ReadStore>, Failure>;
    /// Opens the store for writing, beside other builds; waits for whoever needs it alone unless `wait` is false, saying
    /// once for whom.
    fn writer(&self, wait: bool, on_wait: &mut dyn FnMut(&Holder)) -> Result<Box<dyn WriteStore>, Failure> {
        self.writer_for(None, wait, on_wait)
    }
    /// The same where no other steps than these are going to be asked for, or recorded.
    fn writer_for(
        &self,
        part: Option<&Excerpt>,
        wait: bool,
        on_wait: &mut dyn FnMut(&Holder),
    ) -> Result<Box<dyn WriteStore>, Failure>;
    /// Looks at every file of the store but the published tables, and changes nothing.
    fn examine(&self) -> Result<Examined, Failure>;
    /// Puts right what `examine` finds, as far as that needs no table to be made or published; says what was done.
    fn repair(&self, wait: bool, on_wait: &mut dyn FnMut(&Holder)) -> Result<Vec<Reason>, Failure>;
    /// Who looks into tables.
    fn examiner(&self, tables: Arc<dyn TableStore>) -> Box<dyn Examiner>;
    /// The program, its settings and what they declare, as one hash: with the sources and the store, all that verdicts
    /// follow from. `None` where that can't be told.
    fn given(&self) -> Option<Digest<16>>;
    /// The store, looked at from outside; `None` where there is none.
    fn store_glance(&self) -> Option<StoreGlance>;
    /// The same, once every further change is sure to show.
    fn settled_store(&self) -> Option<Digest<16>>;
    /// The seal that was left last, of whatever world.
    fn sealed(&self) -> Option<Seal>;
    /// Leaves a seal. Where it can't be written, what it says is found out again.
    fn seal(&self, seal: &Seal);
    /// Who makes steps.
    fn worker(&self, tables: Arc<dyn TableStore>) -> Arc<dyn Worker>;
    /// Who writes packed views.
    fn packer(&self, tables: Arc<dyn TableStore>) -> Box<dyn Packer>;
    /// Ends whatever the steps of a build have started outside of this program; called where the build is given up.
    fn ender(&self) -> Arc<dyn Fn() + Send + Sync>;
    /// What steps printed.
    fn logs(&self) -> &dyn Logs;
    /// A number with its unit for the headline table that `demo` and a first build print: the output and columns to
    /// show, e.g. `stats` with its most telling columns.
    fn headline(&self) -> Option<(AssetName, Vec<String>)>;
    /// Rows of one output of one step: at most `head`, only `columns` where any are named.
    fn read(
        &self,
        tables: &dyn TableStore,
        output: &OutputRecord,
        columns: &[String],
        head: Option<usize>,
    ) -> Result<Table, Failure>;
    /// The assets that make the tables which a query names; none where it can't be understood.
    fn tables_in(&self, query: &str) -> Vec<AssetName>;
    /// Answers a query over the recorded outputs. Every declared output is a table, empty where nothing is recorded.
    fn sql(&self, tables: Arc<dyn TableStore>, ledger: &Ledger, query: &str) -> Result<Table, Failure>;
    /// Looks for what the store can do without, and removes it if asked to; says once for whom it waits.
    fn gc(&self, options: &GcOptions, on_wait: &mut dyn FnMut(&Holder)) -> Result<GcFound, Failure>;
    /// What is kept by name.
    fn pins(&self) -> Result<BTreeMap<String, Pin>, Failure>;
    /// Looks at the surroundings.
    fn doctor(&self) -> Vec<Diagnosis>;
    /// Writes a query's answer as Parquet.
    fn write_parquet(&self, table: &Table, path: &Path) -> Result<(), Failure>;
}
