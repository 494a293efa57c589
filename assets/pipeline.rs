//! The wiring: which asset reads what, with which parameters and code. Nothing is computed here.

use crate::channels::{self, CHANNELS};
use crate::clean::{self, Clean};
use crate::columns::{self as names, RUN};
use crate::definitions;
use crate::features::{self, Features};
use crate::files;
use crate::fleet::{self, Fleet};
use crate::functions::Around;
use crate::intake::{Reading, RunFiles, run_id};
use crate::raw::{self, IntakeRejects, Raw};
use crate::settings::{DerivativeMethod, Method, Settings, Shipped};
use crate::stats::{self, Stats};
use crate::versions;
use crate::wide::{self, Wide};
use assets_command::Places;
use assets_core::graph::Graph;
use assets_core::{AssetDecl, AssetName, InputDecl, OutputDecl, Reads, Reason};
use assets_frames::FrameAsset;
use assets_frames::aligned::{AlignedAsset, AlignedTable, Defined};
use assets_frames::defined::declare;
use assets_frames::intake::{Intake, Patterns};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

/// The pipeline, ready to be planned and run.
pub struct Pipeline {
    /// The declared assets.
    pub graph: Arc<Graph>,
    /// Their code.
    pub code: HashMap<AssetName, Arc<dyn FrameAsset>>,
    /// Where rows come from.
    pub intake: Arc<Intake>,
}

/// Source files of the telemetry pipeline: patterns, and what they are relative to.
pub struct Sources {
    /// The patterns.
    pub patterns: Vec<String>,
    /// Where they begin.
    pub base: PathBuf,
}

fn name(text: &str) -> AssetName {
    AssetName::new(text).expect("the names of this file are identifiers")
}

/// Wires the pipeline for a project's settings, with `further` columns of `features`. What the
/// settings define comes beside the telemetry pipeline, or alone where they say so.
///
/// # Errors
/// Definitions that contradict each other.
pub fn pipeline(
    settings: &Settings,
    sources: Sources,
    places: &Places,
    further: Vec<Defined>,
) -> Result<Pipeline, Reason> {
    let (mut readers, mut decls) = (Vec::new(), Vec::new());
    let mut assets = None;
    if settings.pipeline == Shipped::Telemetry {
        let telemetry = Telemetry::new(settings, further)?;
        let Sources { patterns, base } = sources;
        readers.push(Patterns { patterns, base, reader: Arc::new(run_files(settings)) });
        decls = telemetry.declared(settings);
        assets = Some(telemetry);
    }
    let of_files = files::tables(settings)?;
    for (patterns, table) in &of_files {
        for decl in table.declare() {
            if decls.iter().flat_map(|asset: &AssetDecl| &asset.outputs).any(|output| output.name == decl.name) {
                let message =
                    format!("assets.{}: there is a table `{}` already: choose another name", table.name, decl.name);
                return Err(Reason::new("name_taken", message).with("definition", table.name.as_str()));
            }
            decls.push(decl);
        }
        let (patterns, base) = (patterns.clone(), places.base.clone());
        readers.push(Patterns { patterns, base, reader: Arc::new(table.clone()) });
    }
    let intake = Arc::new(Intake::new(readers, settings.memory_bytes()));
    let defined = declare(&definitions::tables(&settings.assets, places)?, decls.clone())?;
    decls.extend(defined.iter().map(|(decl, _)| decl.clone()));
    let graph = Graph::new(decls).map_err(|error| Reason::new("bad_pipeline", error.to_string()))?;
    let mut code: HashMap<AssetName, Arc<dyn FrameAsset>> = HashMap::new();
    code.extend(assets.into_iter().flat_map(|telemetry| telemetry.code(settings, &intake)));
    code.extend(of_files.iter().flat_map(|(_, table)| assets_frames::files::code(table, &intake)));
    code.extend(defined.into_iter().map(|(decl, asset)| (decl.name, asset)));
    Ok(Pipeline { graph: Arc::new(graph), code, intake })
}

/// Who reads the sources of runs.
fn run_files(settings: &Settings) -> RunFiles {
    let reading = Reading {
        timezone: settings.timezone.as_deref().and_then(|zone| zone.parse().ok()),
        attributes: settings.run_attributes.clone(),
        // Either spelling of a float's text names the same run.
        aliases: settings
            .run_alias
            .iter()
            .map(|(from, to)| (run_id::of_text(from).id.into_owned(), to.clone()))
            .collect(),
    };
    RunFiles { reading, raw: name("raw"), rejects: name("intake_rejects") }
}

/// The assets that come with the program.
struct Telemetry {
    clean: Clean,
    tables: Tables,
}

impl Telemetry {
    fn new(settings: &Settings, further: Vec<Defined>) -> Result<Self, Reason> {
        let clean = Clean {
            settings: settings.clean.clone(),
            limits: settings.limits.clone(),
            tare: settings.tare.clone(),
            sessions: settings.sessions.clone(),
        };
        Ok(Self { clean, tables: Tables::new(settings, further)? })
    }

    fn declared(&self, settings: &Settings) -> Vec<AssetDecl> {
        vec![
            raw_decl(settings),
            rejects_decl(),
            clean_decl(settings, &self.clean),
            wide_decl(settings, &self.tables),
            features_decl(settings, &self.tables),
            stats_decl(settings, &self.tables),
            fleet_decl(settings),
        ]
    }

    fn code(self, settings: &Settings, intake: &Arc<Intake>) -> Vec<(AssetName, Arc<dyn FrameAsset>)> {
        let columns = names::raw(&settings.run_attributes);
        let Tables { wide, gaps, features, stats } = self.tables;
        vec![
            (name("raw"), Arc::new(Raw { intake: Arc::clone(intake), columns })),
            (name("intake_rejects"), Arc::new(IntakeRejects { intake: Arc::clone(intake) })),
            (name("clean"), Arc::new(self.clean)),
            (name("wide"), Arc::new(Wide::new(vec![wide, gaps]))),
            (name("features"), Arc::new(Features::new(features))),
            (name("stats"), Arc::new(AlignedAsset::new(vec![stats]))),
            (name("fleet"), Arc::new(Fleet { attributes: settings.run_attributes.clone() })),
        ]
    }
}

/// What functions in expressions are laid over.
pub fn around(settings: &Settings) -> Around {
    Around {
        clean: name("clean"),
        sessions: name("sessions"),
        wide: settings.wide.clone(),
        derivative: settings.derivative.clone(),
    }
}

/// The tables that are made column by column.
struct Tables {
    wide: Arc<AlignedTable>,
    gaps: Arc<AlignedTable>,
    features: Arc<AlignedTable>,
    stats: Arc<AlignedTable>,
}

impl Tables {
    fn new(settings: &Settings, further: Vec<Defined>) -> Result<Self, Reason> {
        let [raw, clean, rejects, sessions, wide] = ["raw", "clean", "rejects", "sessions", "wide"].map(name);
        let stats = Stats {
            wide: settings.wide.clone(),
            derivative: settings.derivative.clone(),
            settings: settings.stats.clone(),
            attributes: settings.run_attributes.clone(),
        };
        let sources = stats::Sources { raw: &raw, clean: &clean, rejects: &rejects, sessions: &sessions };
        let defined = definitions::features(&settings.features);
        Ok(Self {
            wide: Arc::new(wide::table(name("wide"), &clean, &sessions, &settings.wide)?),
            gaps: Arc::new(wide::gaps_table(name("gaps"), &clean, &sessions, &settings.wide)?),
            features: Arc::new(features::table(name("features"), &wide, &around(settings), further, &defined)?),
            stats: Arc::new(stats::table(name("stats"), &sources, &stats)?),
        })
    }
}

fn raw_decl(settings: &Settings) -> AssetDecl {
    AssetDecl::new(OutputDecl::new(name("raw"), names::raw(&settings.run_attributes)), raw::VERSION)
        .partitioned_by(&[RUN])
        .reads_sources()
        .tagged(&["table", "stage=delivered"])
        .described("the run's rows as delivered, typed")
}

fn rejects_decl() -> AssetDecl {
    let output = OutputDecl::new(name("intake_rejects"), names::rejects()).packed();
    AssetDecl::new(output, raw::VERSION)
        .reads_sources()
        .tagged(&["summary", "stage=delivered"])
        .described("rows of all sources without a usable run id")
}

fn clean_decl(settings: &Settings, clean: &Clean) -> AssetDecl {
    let output = OutputDecl::new(name("clean"), names::clean()).sliced_by(&["robot_id", "sensor_type", "field"]);
    let code = versions::all(&["clean"]);
    let mut decl = AssetDecl::new(output, &code)
        .partitioned_by(&[RUN])
        .reads(InputDecl::columns(name("raw"), &clean::READS))
        .also(OutputDecl::new(name("rejects"), names::rejects()).packed())
        .also(OutputDecl::new(name("sessions"), names::sessions()).packed())
        .tagged(&["table", "stage=prepared"])
        .described("valid rows, sorted by time; rejects: the others, with codes; sessions: stretches without a silence")
        .param("sessions.session_gap_s", settings.sessions.session_gap_s);
    for (channel, own) in &settings.clean.channels {
        let own = [
            ("outliers", own.outliers.map(|outliers| outliers.name().to_owned())),
            ("hampel_window_ms", own.hampel_window_ms.map(|ms| ms.to_string())),
            ("hampel_k", own.hampel_k.map(|k| k.to_string())),
        ];
        for (what, value) in own {
            if let Some(value) = value {
                decl = decl.param(&format!("clean.channels.{channel}.{what}"), value);
            }
        }
    }
    // Parameters of what is off don't count.
    if CHANNELS.iter().any(|channel| settings.clean.hampel(&channel.column()).is_some()) {
        decl = decl
            .param("clean.outliers", settings.clean.outliers.name())
            .param("clean.hampel_window_ms", settings.clean.hampel_window_ms)
            .param("clean.hampel_k", settings.clean.hampel_k)
            .param("clean.resolution_mm", settings.clean.resolution_mm)
            .param("clean.resolution_n", settings.clean.resolution_n);
    }
    for (field, [low, high]) in &settings.limits {
        decl = decl.param(&format!("limits.{field}"), format!("[{low}, {high}]"));
    }
    if let Some(seconds) = settings.tare.first_s {
        decl = decl.param("tare.first_s", seconds);
    }
    for (field, offset) in &settings.tare.offsets_n {
        decl = decl.param(&format!("tare.offsets_n.{field}"), offset);
    }
    for output in &mut decl.outputs {
        output.parts = clean::parts(&output.name, &name("raw"), clean, &decl.params);
    }
    decl
}

fn with_max_gap(decl: AssetDecl, settings: &Settings) -> AssetDecl {
    let max_gap = settings.wide.max_gap_ms.map_or_else(|| "5 median periods".to_owned(), |ms| ms.to_string());
    decl.param("wide.max_gap_ms", max_gap)
}

fn with_alignment(decl: AssetDecl, settings: &Settings) -> AssetDecl {
    let wide = &settings.wide;
    let on_gap = if wide.on_gap == crate::settings::OnGap::Null { "null" } else { "fill" };
    let decl = with_max_gap(decl, settings).param("wide.on_gap", on_gap);
    match wide.method {
        Method::Linear => decl.param("wide.method", "linear"),
        Method::Previous => decl.param("wide.method", "previous"),
        Method::Grid => decl.param("wide.method", "grid").param("wide.grid_ms", wide.grid_ms),
        Method::Merge => decl.param("wide.method", "merge").param("wide.merge_ms", wide.merge_ms),
    }
}

fn with_derivative(decl: AssetDecl, settings: &Settings) -> AssetDecl {
    let derivative = &settings.derivative;
    match derivative.method {
        DerivativeMethod::Savgol => decl
            .param("derivative.method", "savgol")
            .param("derivative.window_ms", derivative.window_ms)
            .param("derivative.order", derivative.order),
        DerivativeMethod::Central => decl.param("derivative.method", "central"),
        DerivativeMethod::Backward => decl.param("derivative.method", "backward"),
    }
}

/// What tables read, and of sliced inputs the columns that say whose row it is.
fn reading(mut decl: AssetDecl, tables: &[&AlignedTable]) -> AssetDecl {
    for input in tables.iter().flat_map(|table| table.inputs()) {
        let Reads::Columns(columns) = input.reads else { continue };
        let known = decl.inputs.iter().position(|known| known.output == input.output);
        let at = known.unwrap_or_else(|| {
            let keys: &[&str] = if input.output == name("clean") { &channels::SAMPLE_COLUMNS } else { &[] };
            decl.inputs.push(InputDecl::columns(input.output.clone(), keys));
            decl.inputs.len() - 1
        });
        if let Reads::Columns(known) = &mut decl.inputs[at].reads {
            known.extend(columns);
            known.sort();
            known.dedup();
        }
    }
    decl
}

fn aligned(table: &AlignedTable) -> OutputDecl {
    table.output(vec![names::run()])
}

fn wide_decl(settings: &Settings, tables: &Tables) -> AssetDecl {
    let decl = AssetDecl::new(aligned(&tables.wide), "")
        .partitioned_by(&[RUN])
        .also(aligned(&tables.gaps).packed())
        .by_column()
        .tagged(&["table", "stage=prepared"])
        .described("one row per timestamp of any sensor; gaps: where it is not carried by nearby samples");
    with_alignment(reading(decl, &[&tables.wide, &tables.gaps]), settings)
}

fn features_decl(settings: &Settings, tables: &Tables) -> AssetDecl {
    let decl = AssetDecl::new(aligned(&tables.features), "")
        .partitioned_by(&[RUN])
        .by_column()
        .tagged(&["table", "stage=result"])
        .described("wide, with velocities, accelerations and forces per robot");
    with_derivative(with_alignment(reading(decl, &[&tables.features]), settings), settings)
}

fn stats_decl(settings: &Settings, tables: &Tables) -> AssetDecl {
    let decl = AssetDecl::new(aligned(&tables.stats).packed(), "")
        .partitioned_by(&[RUN])
        .by_column()
        .tagged(&["summary", "stage=result"])
        .described("one row per run");
    let decl = with_derivative(with_max_gap(reading(decl, &[&tables.stats]), settings), settings);
    decl.param("stats.dead_band_mm", settings.stats.dead_band_mm)
}

fn fleet_decl(settings: &Settings) -> AssetDecl {
    let attributes = &settings.run_attributes;
    AssetDecl::new(OutputDecl::new(name("fleet"), names::fleet()).packed(), &versions::all(&["fleet"]))
        .also(OutputDecl::new(name("unusual"), names::unusual(attributes)).packed())
        .reads(InputDecl::columns(name("stats"), &fleet::reads(attributes)).over_all())
        .param("run_attributes", format!("{attributes:?}"))
        .tagged(&["summary", "stage=result"])
        .described("all runs by attribute: quantiles of what stats holds; unusual: runs far from the others")
}
