//! What the command line needs of a program: how to open a project, and the few things that only its backends can do.
//! The composition root implements these; nothing here names a concrete store or format.

use assets_core::catalog::{Catalog, Records};
use assets_core::compute::{Examiner, Packer, Worker};
use assets_core::finding::Finding;
use assets_core::graph::Graph;
use assets_core::ledger::Ledger;
use assets_core::logs::Logs;
use assets_core::record::OutputRecord;
use assets_core::source::Source;
use assets_core::table::Table;
use assets_core::table_store::TableStore;
use assets_core::{AssetName, Reason};
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    /// Says that all that is recorded now is published.
    fn mark_published(&self) -> Result<(), Failure>;
}

/// Who holds the store, while one waits for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Holder {
    /// Its process.
    pub process: u32,
    /// Its command line.
    pub command: String,
    /// When it began, microseconds since the epoch.
    pub since_us: i64,
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
    /// Opens the store for reading. A store that does not exist yet is empty.
    fn reader(&self) -> Result<Box<dyn ReadStore>, Failure>;
    /// Opens the store for writing; waits for another build unless `wait` is false, saying once for whom.
    fn writer(&self, wait: bool, on_wait: &mut dyn FnMut(&Holder)) -> Result<Box<dyn WriteStore>, Failure>;
    /// Looks at every file of the store but the published tables, and changes nothing.
    fn examine(&self) -> Result<Examined, Failure>;
    /// Puts right what `examine` finds, as far as that needs no table to be made or published; says what was done.
    fn repair(&self, wait: bool, on_wait: &mut dyn FnMut(&Holder)) -> Result<Vec<Reason>, Failure>;
    /// Who looks into tables.
    fn examiner(&self, tables: Arc<dyn TableStore>) -> Box<dyn Examiner>;
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
    /// Answers a query over the recorded outputs. Every declared output is a table, empty where nothing is recorded.
    fn sql(&self, tables: Arc<dyn TableStore>, ledger: &Ledger, query: &str) -> Result<Table, Failure>;
    /// Writes a query's answer as Parquet.
    fn write_parquet(&self, table: &Table, path: &Path) -> Result<(), Failure>;
}
