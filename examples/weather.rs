//! Another field: weather stations by day (two dimensions), computed on frames. Nothing of the framework is about
//! robots: declare outputs, say what reads what, write functions of frames.
//!
//! Run it with `cargo run --release --example weather`.

use assets_core::catalog::Records;
use assets_core::content::hash_values;
use assets_core::graph::Graph;
use assets_core::record::SliceRef;
use assets_core::source::{Delivery, Identified};
use assets_core::table::Values;
use assets_core::{AssetDecl, AssetName, ColumnDecl, InputDecl, Kind, OutputDecl, Partition, Reason, Step};
use assets_engine::build::Backends;
use assets_engine::pool::Pool;
use assets_engine::{BuildOptions, Event, Scope, materialize};
use assets_frames::view::FramePacker;
use assets_frames::{FrameAsset, FrameWorker, Inputs, Outputs, columns};
use assets_testkit::memory_catalog::MemoryCatalog;
use assets_testkit::memory_tables::MemoryTables;
use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Temperatures by hour, as a station would deliver them: here from a formula.
fn delivered(day: &str, station: &str) -> Vec<f64> {
    let shift = (day.len() + station.len()) as f64 + f64::from(station.as_bytes()[0]) / 10.0;
    (0..24).map(|hour| shift + 5.0 * (f64::from(hour) / 24.0 * std::f64::consts::TAU).sin()).collect()
}

fn key(name: &str) -> ColumnDecl {
    ColumnDecl::new(name, Kind::Text, "", "what cuts the table")
}

fn declarations() -> Result<Vec<AssetDecl>, Box<dyn Error>> {
    let (hourly, daily) = (AssetName::new("hourly")?, AssetName::new("daily")?);
    let temperature = ColumnDecl::new("temperature", Kind::Float, "°C", "air, 2 m above ground");
    let hour = ColumnDecl::new("hour", Kind::Int, "h", "hour of the day");
    let hourly_table = OutputDecl::new(hourly.clone(), vec![key("day"), key("station"), hour, temperature]);
    let mean = ColumnDecl::new("mean", Kind::Float, "°C", "mean of the day");
    let highest = ColumnDecl::new("highest", Kind::Float, "°C", "highest of the day");
    let daily_table = OutputDecl::new(daily, vec![key("day"), key("station"), mean, highest]).packed();
    Ok(vec![
        AssetDecl::new(hourly_table, "1").partitioned_by(&["day", "station"]).reads_sources(),
        AssetDecl::new(daily_table, "1")
            .partitioned_by(&["day", "station"])
            .reads(InputDecl::columns(hourly, &["temperature"])),
    ])
}

fn keys(inputs: &Inputs<'_>, rows: usize) -> Vec<assets_frames::Column> {
    ["day", "station"].map(|name| columns::constant_text(name, inputs.key(name), rows)).to_vec()
}

fn hourly(inputs: &Inputs<'_>, outputs: &mut Outputs<'_>) -> Result<(), Reason> {
    let values = delivered(inputs.key("day"), inputs.key("station"));
    let mut all = keys(inputs, values.len());
    all.push(columns::ints("hour", (0..24).map(Some)));
    all.push(columns::floats("temperature", values));
    outputs.write("hourly", columns::frame(all)?)
}

fn daily(inputs: &Inputs<'_>, outputs: &mut Outputs<'_>) -> Result<(), Reason> {
    let values = columns::to_floats(&inputs.read("hourly", &["temperature"])?, "temperature")?;
    let mut all = keys(inputs, 1);
    all.push(columns::floats("mean", vec![values.iter().sum::<f64>() / values.len() as f64]));
    all.push(columns::floats("highest", vec![values.iter().copied().fold(f64::MIN, f64::max)]));
    outputs.write("daily", columns::frame(all)?)
}

/// What the stations have delivered: two days of two stations.
fn sources(asset: &AssetName) -> Identified {
    let mut identified = Identified::default();
    for (day, station) in [("1", "aachen"), ("1", "berlin"), ("2", "aachen"), ("2", "berlin")] {
        let values = delivered(day, station);
        let hash = hash_values(&Values::Float(values.iter().copied().map(Some).collect()));
        let slice = SliceRef { hash, rows: values.len() as u64, path: format!("{day}/{station}.txt") };
        let step = Step::new(asset, &Partition::many([("day", day), ("station", station)]));
        identified.deliveries.insert(step, Delivery { slices: vec![slice], ..Delivery::default() });
    }
    identified
}

fn main() -> Result<(), Box<dyn Error>> {
    let graph = Arc::new(Graph::new(declarations()?)?);
    let mut code: HashMap<AssetName, Arc<dyn FrameAsset>> = HashMap::new();
    code.insert(AssetName::new("hourly")?, Arc::new(hourly));
    code.insert(AssetName::new("daily")?, Arc::new(daily));
    let (catalog, tables) = (MemoryCatalog::new(), Arc::new(MemoryTables::new()));
    let worker = FrameWorker::new(Arc::clone(&graph), code, Arc::clone(&tables) as Arc<_>);
    let executor = Pool::new(2, Arc::new(worker)).map_err(|reason| reason.message)?;
    let packer = FramePacker::new(Arc::clone(&tables) as Arc<_>);
    let sources = sources(&AssetName::new("hourly")?);
    let scope = Scope::new(&graph, &[], false)?;
    for id in ["first", "second"] {
        let options = BuildOptions {
            id: id.into(),
            trigger: "example".into(),
            version: "1".into(),
            all_published: true,
            wait: true,
            since: std::time::Instant::now(),
            beside: None,
        };
        let backends = Backends {
            graph: &graph,
            catalog: &catalog,
            tables: tables.as_ref(),
            executor: &executor,
            packer: &packer,
            source: None,
            mark_published: &|| Ok(()),
        };
        let mut tell = |event: Event| {
            if let Event::Finished { counts, .. } = event {
                println!("{id} build: made {}, fresh {}", counts.made, counts.fresh);
            }
        };
        materialize(backends, &sources, &scope, &options, &AtomicBool::new(false), &mut tell)?;
    }
    let ledger = catalog.ledger()?;
    let query = "select day, station, mean, highest from daily order by day, station";
    let tables = Arc::clone(&tables) as Arc<dyn assets_core::table_store::TableStore>;
    let answer = assets_frames::sql::query(&graph, &ledger, &tables, query).map_err(|reason| reason.message)?;
    answer.columns.iter().for_each(|(name, values)| println!("{name}: {values:?}"));
    Ok(())
}
