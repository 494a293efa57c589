//! The wiring: which asset reads what, with which parameters and code. Nothing is computed here.

use crate::clean::{self, Clean};
use crate::columns::{self as names, RUN};
use crate::features::{self, Features};
use crate::intake::{Intake, Reading, run_id};
use crate::raw::{self, IntakeRejects, Raw};
use crate::settings::{DerivativeMethod, Method, Outliers, Settings};
use crate::stats::{self, Stats};
use crate::wide::{self, Wide};
use crate::{channels, kernels};
use assets_core::graph::{Graph, GraphError};
use assets_core::{AssetDecl, AssetName, InputDecl, OutputDecl};
use assets_frames::FrameAsset;
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

fn name(text: &str) -> AssetName {
    AssetName::new(text).expect("the names of this file are identifiers")
}

/// An asset's own version and those of the kernels: a new version of any kernel makes again what uses kernels.
fn version(own: &str, with_kernels: bool) -> String {
    let mut text = own.to_owned();
    if with_kernels {
        for (kernel, version) in kernels::versions() {
            text.push_str(&format!(" {kernel}-{version}"));
        }
    }
    text
}

/// Wires the pipeline for a project's settings.
pub fn pipeline(settings: &Settings, sources: Vec<String>, base: PathBuf) -> Result<Pipeline, GraphError> {
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
    let intake = Arc::new(Intake::new(sources, base, reading, name("raw"), name("intake_rejects")));
    let graph = Arc::new(Graph::new(vec![
        raw_decl(settings),
        rejects_decl(),
        clean_decl(settings),
        wide_decl(settings),
        features_decl(settings),
        stats_decl(settings),
    ])?);
    let (sessions, wide) = (settings.sessions.clone(), settings.wide.clone());
    let derivative = settings.derivative.clone();
    let mut code: HashMap<AssetName, Arc<dyn FrameAsset>> = HashMap::new();
    let columns = names::raw(&settings.run_attributes);
    code.insert(name("raw"), Arc::new(Raw { intake: Arc::clone(&intake), columns }));
    code.insert(name("intake_rejects"), Arc::new(IntakeRejects { intake: Arc::clone(&intake) }));
    let (limits, tare) = (settings.limits.clone(), settings.tare.clone());
    code.insert(name("clean"), Arc::new(Clean { settings: settings.clean.clone(), limits, tare }));
    code.insert(name("wide"), Arc::new(Wide { sessions: sessions.clone(), settings: wide.clone() }));
    let features = Features { sessions: sessions.clone(), wide: wide.clone(), derivative: derivative.clone() };
    code.insert(name("features"), Arc::new(features));
    let attributes = settings.run_attributes.clone();
    let stats = Stats { sessions, wide, derivative, settings: settings.stats.clone(), attributes };
    code.insert(name("stats"), Arc::new(stats));
    Ok(Pipeline { graph, code, intake })
}

fn raw_decl(settings: &Settings) -> AssetDecl {
    AssetDecl::new(OutputDecl::new(name("raw"), names::raw(&settings.run_attributes)), &version(raw::VERSION, false))
        .partitioned_by(&[RUN])
        .reads_sources()
        .described("the run's rows as delivered, typed")
}

fn rejects_decl() -> AssetDecl {
    let output = OutputDecl::new(name("intake_rejects"), names::rejects()).packed();
    AssetDecl::new(output, &version(raw::VERSION, false))
        .reads_sources()
        .described("rows of all sources without a usable run id")
}

fn clean_decl(settings: &Settings) -> AssetDecl {
    let output = OutputDecl::new(name("clean"), names::clean()).sliced_by(&["robot_id", "sensor_type", "field"]);
    let mut decl = AssetDecl::new(output, &version(clean::VERSION, true))
        .partitioned_by(&[RUN])
        .reads(InputDecl::columns(name("raw"), &clean::READS))
        .also(OutputDecl::new(name("rejects"), names::rejects()).packed())
        .described("valid rows, sorted by time; rejects: the others, with codes");
    if settings.clean.outliers == Outliers::Hampel {
        // Parameters of what is off don't count.
        decl = decl
            .param("clean.outliers", "hampel")
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
    decl
}

fn with_sessions(decl: AssetDecl, settings: &Settings) -> AssetDecl {
    decl.param("sessions.session_gap_s", settings.sessions.session_gap_s)
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

fn samples() -> InputDecl {
    InputDecl::columns(name("clean"), &channels::SAMPLE_COLUMNS)
}

fn wide_decl(settings: &Settings) -> AssetDecl {
    let decl = AssetDecl::new(OutputDecl::new(name("wide"), names::wide()), &version(wide::VERSION, true))
        .partitioned_by(&[RUN])
        .reads(samples())
        .also(OutputDecl::new(name("gaps"), names::gaps()).packed())
        .described("one row per timestamp of any sensor; gaps: where it is not carried by nearby samples");
    with_alignment(with_sessions(decl, settings), settings)
}

fn features_decl(settings: &Settings) -> AssetDecl {
    let fields = names::wide_fields();
    let read: Vec<&str> = std::iter::once("time").chain(fields.iter().map(String::as_str)).collect();
    let output = OutputDecl::new(name("features"), names::features());
    let decl = AssetDecl::new(output, &version(features::VERSION, true))
        .partitioned_by(&[RUN])
        .reads(InputDecl::columns(name("wide"), &read))
        .reads(samples())
        .described("wide, with velocities, accelerations and forces per robot");
    with_derivative(with_alignment(with_sessions(decl, settings), settings), settings)
}

fn stats_decl(settings: &Settings) -> AssetDecl {
    let output = OutputDecl::new(name("stats"), names::stats(&settings.run_attributes)).packed();
    let mut decl = AssetDecl::new(output, &version(stats::VERSION, true))
        .partitioned_by(&[RUN])
        .reads(samples())
        // Its number of rows is all that counts of it.
        .reads(InputDecl::columns(name("rejects"), &[]))
        .described("one row per run");
    if !settings.run_attributes.is_empty() {
        let attributes: Vec<&str> = settings.run_attributes.iter().map(String::as_str).collect();
        decl = decl.reads(InputDecl::columns(name("raw"), &attributes));
    }
    let decl = with_derivative(with_max_gap(with_sessions(decl, settings), settings), settings);
    decl.param("stats.dead_band_mm", settings.stats.dead_band_mm)
}
