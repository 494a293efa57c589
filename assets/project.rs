//! A project on this machine: its settings file, its sources, its store. The one place that names concrete backends.

use crate::columns::RUN;
use crate::functions::functions;
use crate::pipeline::{self, Pipeline, Sources};
use crate::recording;
use crate::settings::{Settings, Shipped};
use crate::simulate::Options;
use crate::upkeep;
use assets_cli::app::{
    App, Diagnosis, Examined, Failure, FunctionHelp, GcFound, GcOptions, OpenOptions, Pin, Project, ReadStore,
    SimulateOptions, Simulated, StoreGlance, WriteStore,
};
use assets_cli::size;
use assets_command::Places;
use assets_core::catalog::{Catalog, Holder, Records};
use assets_core::compute::{Examiner, Packer, Worker};
use assets_core::excerpt::Excerpt;
use assets_core::graph::Graph;
use assets_core::hash::{Digest, Hasher, RecordId};
use assets_core::ledger::Ledger;
use assets_core::logs::Logs;
use assets_core::record::{OutputRecord, StepRecord};
use assets_core::seal::Seal;
use assets_core::source::Source;
use assets_core::table::Table;
use assets_core::table_store::{TableStore, TableStoreError};
use assets_core::{AssetName, Reason, Step, suggest};
use assets_frames::aligned::Defined;
use assets_frames::examine::FrameExaminer;
use assets_frames::expression::Function;
use assets_frames::view::FramePacker;
use assets_frames::{FrameWorker, foreign, parquet, read_output, small, sql};
use assets_store::seal::{self, Glance};
use assets_store::{FolderLogs, FolderTables, Reader, Store, StoreError, Wait, Writer};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The settings file's usual name.
pub const SETTINGS_FILE: &str = "assets.toml";

/// What mends tables that can't be read.
const DAMAGED: &str = "`assets repair` finds what is damaged, and `assets materialize` makes it again";

/// The program `assets` around the telemetry pipeline.
#[derive(Default)]
pub struct Telemetry {
    /// Further columns of `features`.
    pub features: Vec<Defined>,
}

fn failed(exit: u8) -> impl Fn(Reason) -> Failure {
    move |reason| Failure { reason, help: None, exit }
}

fn store_failure(error: &StoreError) -> Failure {
    let help = match error.code() {
        "store_unwritable" => {
            "build as the user who owns the store, where its file system may be written, or set `store` to a folder of your own; \
             questions need no right to write"
        }
        "disk_full" => "make room (`assets gc` shows what can go) and run the command again: what was finished is kept",
        _ => "`assets doctor` looks at what the store stands on",
    };
    Failure { reason: error.reason(), help: Some(help.to_owned()), exit: if error.transient() { 4 } else { 3 } }
}

impl App for Telemetry {
    fn open(&self, options: &OpenOptions) -> Result<Box<dyn Project>, Failure> {
        let config = find_settings(options)?;
        let (settings, base) = match &config {
            Some(path) => {
                let text = fs::read_to_string(path).map_err(|error| {
                    let message = format!("{} can't be read: {error}", path.display());
                    Failure::usage(Reason::new("settings_unreadable", message))
                })?;
                let settings = Settings::parse(&text, path).map_err(Failure::usage)?;
                let base = path.parent().map(Path::to_owned).unwrap_or_default();
                (settings, if base.as_os_str().is_empty() { PathBuf::from(".") } else { base })
            }
            None => (Settings::default(), PathBuf::from(".")),
        };
        let store = options.store.clone().unwrap_or_else(|| base.join(&settings.store));
        let places =
            Places { base: base.clone(), scratch: store.join("tmp"), logs: Arc::new(FolderLogs::new(store.clone())) };
        // `--source` is relative to where the person is; the file's are relative to the file.
        let sources = if options.sources.is_empty() {
            Sources { patterns: settings.sources.clone(), base: base.clone() }
        } else if settings.pipeline == Shipped::Telemetry {
            Sources { patterns: options.sources.clone(), base: PathBuf::from(".") }
        } else {
            let message = "`--source` names sources of the telemetry pipeline, which these settings turn off";
            return Err(
                Failure::usage(Reason::new("no_such_sources", message)).help("change `files` of a table instead")
            );
        };
        let pipeline = pipeline::pipeline(&settings, sources, &places, self.features.clone());
        let pipeline = pipeline.map_err(|reason| {
            let place = config.as_ref().map(|path| format!("{}: ", path.display())).unwrap_or_default();
            Failure::usage(Reason { message: format!("{place}{}", reason.message), ..reason })
        })?;
        let store_max = settings.store_max.as_deref().and_then(|size| size::parse(size).ok());
        let (workers, memory) = (settings.workers, settings.memory_bytes());
        Ok(Box::new(Opened { pipeline, store, config, workers, memory, store_max, logs: places.logs }))
    }

    fn init(&self, folder: &Path, sources: &[String]) -> Result<PathBuf, Failure> {
        let path = folder.join(SETTINGS_FILE);
        let io = |error: std::io::Error| {
            failed(3)(Reason::new("io_error", format!("{} can't be written: {error}", path.display())))
        };
        fs::create_dir_all(folder).map_err(io)?;
        if path.exists() {
            let message = format!("{} is there already", path.display());
            return Err(Failure::usage(Reason::new("settings_exist", message)).help("edit it, or remove it first"));
        }
        let defaults = Settings::default().sources;
        fs::write(&path, settings_file(if sources.is_empty() { &defaults } else { sources })).map_err(io)?;
        Ok(path)
    }

    fn functions(&self) -> Vec<FunctionHelp> {
        let help = |function: Function| FunctionHelp {
            name: function.name.to_owned(),
            usage: function.usage.to_owned(),
            about: function.about.to_owned(),
            example: function.example.to_owned(),
        };
        functions(&pipeline::around(&Settings::default())).into_iter().map(help).collect()
    }

    fn simulate(&self, options: &SimulateOptions) -> Result<Simulated, Failure> {
        let defaults = Options::default();
        let asked = Options {
            runs: options.runs,
            seconds: options.seconds,
            seed: options.seed,
            noise_mm: options.noise.unwrap_or(defaults.noise_mm),
            defects: options.defects,
            demo: options.demo,
            ..defaults
        };
        let written = recording::write(&asked, &options.out).map_err(failed(3))?;
        Ok(Simulated { files: written.files, rows: written.rows, runs: written.runs })
    }
}

/// The file that was named, or the nearest one here or in a parent folder.
fn find_settings(options: &OpenOptions) -> Result<Option<PathBuf>, Failure> {
    if let Some(path) = &options.config {
        if path.is_file() {
            return Ok(Some(path.clone()));
        }
        let reason = Reason::new("no_settings", format!("there is no settings file {}", path.display()));
        return Err(Failure::usage(reason).help("`assets init` writes one"));
    }
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    for (up, folder) in here.ancestors().enumerate() {
        if folder.join(SETTINGS_FILE).is_file() {
            // A relative path where possible: it is shown to people.
            let relative: PathBuf = std::iter::repeat_n("..", up).collect();
            return Ok(Some(relative.join(SETTINGS_FILE)));
        }
    }
    if options.sources.is_empty() {
        let reason = Reason::new("no_settings", format!("there is no {SETTINGS_FILE} here or in a parent folder"));
        let help = "`assets init` writes one; `assets demo` makes a whole example; or name files with --source";
        return Err(Failure::usage(reason).help(help));
    }
    Ok(None)
}

struct Opened {
    pipeline: Pipeline,
    store: PathBuf,
    config: Option<PathBuf>,
    workers: Option<usize>,
    memory: u64,
    store_max: Option<u64>,
    logs: Arc<dyn Logs>,
}

impl Project for Opened {
    fn graph(&self) -> &Graph {
        &self.pipeline.graph
    }

    fn source(&self) -> &dyn Source {
        self.pipeline.intake.as_ref()
    }

    fn store_path(&self) -> &Path {
        &self.store
    }

    fn config_path(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    fn workers(&self) -> Option<usize> {
        self.workers
    }

    fn memory(&self) -> u64 {
        self.memory
    }

    fn memory_in_all(&self) -> u64 {
        self.memory.saturating_mul(2).min(foreign::memory_bytes() / 8 * 7).max(self.memory)
    }

    fn reader(&self) -> Result<Box<dyn ReadStore>, Failure> {
        let reader = Store::open_reader(&self.store).map_err(|error| store_failure(&error))?;
        let tables = Arc::new(reader.tables());
        Ok(Box::new(Reading { reader, tables, layout: layout(&self.pipeline.graph) }))
    }

    fn writer_for(
        &self,
        part: Option<&Excerpt>,
        wait: bool,
        on_wait: &mut dyn FnMut(&Holder),
    ) -> Result<Box<dyn WriteStore>, Failure> {
        let writer = Store::open_writer_for(&self.store, part, waiting(wait), on_wait);
        let writer = writer.map_err(|error| store_failure(&error))?;
        let tables = Arc::new(writer.tables());
        Ok(Box::new(Writing { writer, tables, layout: layout(&self.pipeline.graph) }))
    }

    fn examine(&self) -> Result<Examined, Failure> {
        let assets_store::Examined { findings, frames, objects } =
            Store::examine(&self.store).map_err(|error| store_failure(&error))?;
        Ok(Examined { findings, frames, objects })
    }

    fn repair(&self, wait: bool, on_wait: &mut dyn FnMut(&Holder)) -> Result<Vec<Reason>, Failure> {
        Store::repair(&self.store, waiting(wait), on_wait).map_err(|error| store_failure(&error))
    }

    fn examiner(&self, tables: Arc<dyn TableStore>) -> Box<dyn Examiner> {
        Box::new(FrameExaminer::new(tables))
    }

    fn given(&self) -> Option<Digest<16>> {
        let program = std::fs::metadata(std::env::current_exe().ok()?).ok()?;
        let mut hasher = Hasher::new("assets.world.1");
        hasher.number(program.len()).text(&format!("{:?}", program.modified().ok()?));
        let settings = self.config.as_ref().map(std::fs::read_to_string).transpose().ok()?;
        hasher.optional(settings.as_deref());
        for asset in self.pipeline.graph.assets() {
            // All of it, whatever it is: a label too many costs a look, a field too few a lie.
            hasher.text(&format!("{asset:?}"));
        }
        Some(hasher.finish())
    }

    fn store_glance(&self) -> Option<StoreGlance> {
        let glance = Glance::of(&self.store)?;
        Some(StoreGlance { world: glance.world, is_settled: glance.is_settled() })
    }

    fn settled_store(&self) -> Option<Digest<16>> {
        Some(Glance::settled(&self.store)?.world)
    }

    fn sealed(&self) -> Option<Seal> {
        seal::read(&self.store)
    }

    fn seal(&self, seal: &Seal) {
        // A store that can't be written to has to be looked at again.
        let _ = seal::write(&self.store, seal);
    }

    fn worker(&self, tables: Arc<dyn TableStore>) -> Arc<dyn Worker> {
        let worker = FrameWorker::new(Arc::clone(&self.pipeline.graph), self.pipeline.code.clone(), tables);
        Arc::new(worker.within(self.memory))
    }

    fn packer(&self, tables: Arc<dyn TableStore>) -> Box<dyn Packer> {
        Box::new(FramePacker::new(tables))
    }

    fn ender(&self) -> Arc<dyn Fn() + Send + Sync> {
        Arc::new(assets_command::end_all)
    }

    fn logs(&self) -> &dyn Logs {
        self.logs.as_ref()
    }

    fn headline(&self) -> Option<(AssetName, Vec<String>)> {
        let columns = [
            RUN,
            "start_time",
            "runtime_s",
            "sessions",
            "distance_1_mm",
            "distance_2_mm",
            "distance_mm",
            "v1_mean_mm_s",
            "f1_peak_n",
            "rejected_share",
        ];
        Some((AssetName::new("stats").ok()?, columns.map(str::to_owned).to_vec()))
    }

    fn read(
        &self,
        tables: &dyn TableStore,
        output: &OutputRecord,
        columns: &[String],
        head: Option<usize>,
    ) -> Result<Table, Failure> {
        let decl = self.pipeline.graph.output(output.name.as_str());
        let names: Vec<&str> = decl.into_iter().flat_map(|o| &o.columns).map(|c| c.name.as_str()).collect();
        if let Some(unknown) = columns.iter().find(|column| !names.contains(&column.as_str())) {
            let hint = suggest::hint(unknown, names.iter().copied());
            let message = format!("{} has no column `{unknown}`{hint}", output.name);
            return Err(Failure::usage(Reason::new("unknown_column", message)));
        }
        let wanted: Vec<&str> = columns.iter().map(String::as_str).collect();
        let wanted = (!wanted.is_empty()).then_some(wanted.as_slice());
        let frame = read_output(tables, output, wanted, head).map_err(failed(3))?;
        small::to_table(&frame).map_err(failed(3))
    }

    fn tables_in(&self, query: &str) -> Vec<AssetName> {
        let made_by = |name: &String| Some(self.pipeline.graph.producer(name)?.name.clone());
        sql::names(query).iter().filter_map(made_by).collect()
    }

    fn sql(&self, tables: Arc<dyn TableStore>, ledger: &Ledger, query: &str) -> Result<Table, Failure> {
        sql::query(&self.pipeline.graph, ledger, &tables, query).map_err(|reason| match reason.code.as_str() {
            "sql_error" | "sql_refused" => Failure::usage(reason),
            // The query is right; a table that it needs can't be read, as `show` says it.
            "object_damaged" | "object_missing" | "io_error" | "store_unreadable" => failed(3)(reason).help(DAMAGED),
            _ => failed(1)(reason).help(DAMAGED),
        })
    }

    fn gc(&self, options: &GcOptions, on_wait: &mut dyn FnMut(&Holder)) -> Result<GcFound, Failure> {
        upkeep::gc(&self.store, &self.pipeline.graph, self.store_max, options, on_wait)
            .map_err(|error| store_failure(&error))
    }

    fn pins(&self) -> Result<BTreeMap<String, Pin>, Failure> {
        upkeep::pins(&self.store).map_err(|error| store_failure(&error))
    }

    fn doctor(&self) -> Vec<Diagnosis> {
        upkeep::doctor(&self.store, self.pipeline.intake.as_ref(), self.store_max)
    }

    fn write_parquet(&self, table: &Table, path: &Path) -> Result<(), Failure> {
        let frame = small::from_table(table).map_err(failed(3))?;
        parquet::write_file(&frame, path).map_err(failed(3))
    }
}

fn waiting(wait: bool) -> Wait {
    if wait { Wait::Forever } else { Wait::No }
}

struct Reading {
    reader: Reader,
    tables: Arc<dyn TableStore>,
    layout: String,
}

impl ReadStore for Reading {
    fn records(&self) -> &dyn Records {
        &self.reader
    }

    fn tables(&self) -> &Arc<dyn TableStore> {
        &self.tables
    }

    fn all_published(&self) -> bool {
        let now = self.reader.position().map(|position| format!("{position} {}", self.layout));
        now.is_ok_and(|now| self.reader.published() == Some(now))
    }
}

struct Writing {
    writer: Writer,
    tables: Arc<FolderTables>,
    layout: String,
}

/// What cuts each table and which are packed: where that changes, other rows belong into the published files. Another
/// version where views are written otherwise.
fn layout(graph: &Graph) -> String {
    let mut hasher = Hasher::new("assets.layout.4");
    for asset in graph.assets() {
        for output in &asset.outputs {
            hasher.text(output.name.as_str()).number(u64::from(output.packed)).number(asset.dimensions.len() as u64);
            asset.dimensions.iter().for_each(|dimension| {
                hasher.text(dimension);
            });
        }
    }
    let digest: Digest<8> = hasher.finish();
    digest.to_string()
}

impl Writing {
    /// What is recorded, and how it is published.
    fn position(&self) -> String {
        format!("{} {}", self.writer.position(), self.layout)
    }
}

impl WriteStore for Writing {
    fn catalog(&self) -> &dyn Catalog {
        &self.writer
    }

    fn tables(&self) -> Arc<dyn TableStore> {
        Arc::clone(&self.tables) as Arc<dyn TableStore>
    }

    fn all_published(&self) -> bool {
        self.writer.published().is_some_and(|mark| mark == self.position())
    }

    fn pin(&self, name: &str, records: &[(&Step, RecordId, &StepRecord)]) -> Result<(), Failure> {
        upkeep::pin(&self.writer, name, records).map_err(|error| store_failure(&error))
    }

    fn unpin(&self, name: &str) -> Result<bool, Failure> {
        self.writer.unpin(name).map_err(|error| store_failure(&error))
    }

    fn mark_published(&self) -> Result<(), TableStoreError> {
        let position = self.position();
        if self.writer.published().as_ref() == Some(&position) {
            return Ok(());
        }
        Ok(self.writer.set_published(&position)?)
    }
}

/// A settings file in which every setting is there with its default, commented out.
pub fn settings_file(sources: &[String]) -> String {
    let sources: Vec<String> = sources.iter().map(|source| format!("{source:?}")).collect();
    include_str!("assets.toml.txt").replace("@SOURCES@", &sources.join(", "))
}
