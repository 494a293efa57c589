//! `wide`: one row per timestamp of any sensor, one column per channel; `gaps`: where it is not carried by nearby
//! samples.

use crate::align::Alignment;
use crate::channels::{CHANNELS, COUNT, Channel};
use crate::columns::{self as names, RUN};
use crate::kernels::interpolate;
use crate::settings::{Method, OnGap, Wide as Settings};
use crate::versions;
use assets_core::executor::StepRequest;
use assets_core::{AssetDecl, AssetName, PartRead, Reason};
use assets_frames::aligned::{AlignedAsset, AlignedTable, Defined, Kernel};
use assets_frames::{Column, DataFrame, FrameAsset, Inputs, Outputs, columns};
use std::sync::Arc;

/// Version of what this file computes, raised whenever a result changes.
pub const VERSION: u32 = 1;
/// Parameters that decide how a channel comes to the time axis.
pub const ALIGNING: [&str; 3] = ["wide.method", "wide.grid_ms", "wide.merge_ms"];

/// Versions of what brings a channel there.
pub fn aligning() -> String {
    versions::all(&["wide"])
}

/// Aligns the channels of a run.
pub struct Wide {
    asset: AlignedAsset,
}

impl Wide {
    /// The code of `wide` over its tables.
    pub fn new(tables: Vec<Arc<AlignedTable>>) -> Self {
        Self { asset: AlignedAsset::new(tables) }
    }
}

impl FrameAsset for Wide {
    fn make(&self, inputs: &Inputs<'_>, outputs: &mut Outputs<'_>) -> Result<(), Reason> {
        self.asset.make(inputs, outputs)?;
        // Columns that fail these are not made at all.
        outputs.check("wide", "time_strictly_increasing", None)?;
        outputs.check("wide", "no_null_where_measured", None)
    }

    fn memory(&self, asset: &AssetDecl, request: &StepRequest, held_rows: u64) -> Option<u64> {
        self.asset.memory(asset, request, held_rows)
    }
}

/// Time and value of a channel's samples.
pub fn samples_of(clean: &AssetName, channel: &Channel) -> [PartRead; 2] {
    ["time", "value"].map(|column| PartRead::slice(clean, &channel.slice(), column))
}

/// The table `wide`.
pub fn table(
    name: AssetName,
    clean: &AssetName,
    sessions: &AssetName,
    settings: &Settings,
) -> Result<AlignedTable, Reason> {
    let mut columns = Vec::new();
    for decl in names::wide().into_iter().filter(|decl| decl.name != RUN) {
        let settings = settings.clone();
        let channel = CHANNELS.iter().position(|channel| channel.column() == decl.name);
        let kernel = match channel {
            None => axis(clean, sessions, settings),
            Some(channel) => {
                let column = decl.name.clone();
                let versions = aligning();
                let on_gap = settings.on_gap;
                Kernel::new("align", &versions, move |row| aligned(row.inputs, channel, &column, &settings))
                    .params(ALIGNING)
                    .params(gap_params(on_gap))
                    .reads(samples_of(clean, &CHANNELS[channel]))
                    .along(["time"])
            }
        };
        columns.push(Defined::kernel(decl, kernel));
    }
    AlignedTable::new(name, columns, Some("time"))
}

/// How long a gap may be matters only where gaps stay null.
fn gap_params(on_gap: OnGap) -> Vec<&'static str> {
    if on_gap == OnGap::Null { vec!["wide.on_gap", "wide.max_gap_ms"] } else { vec!["wide.on_gap"] }
}

/// The time axis: of the timestamps that `sessions` tells by their hash; merged rows also depend on who brought which.
fn axis(clean: &AssetName, sessions: &AssetName, settings: Settings) -> Kernel {
    let of_sessions = ["start_time", "stop_time", "time_axis"].map(|column| PartRead::column(sessions, column));
    let is_merged = settings.method == Method::Merge;
    let kernel = Kernel::new("axis", &aligning(), move |row| {
        let times = Alignment::of(row.inputs, &settings)?.times();
        match times.windows(2).position(|pair| pair[0] >= pair[1]) {
            Some(at) => {
                let message = format!("the time of row {} is not later than the one before", at + 1);
                let reason = Reason::new("time_not_increasing", message).with("row", at + 1);
                Err(reason.failed_check("wide", "time_strictly_increasing"))
            }
            None => Ok(columns::times("time", times)),
        }
    });
    let kernel = kernel.params(ALIGNING).reads(of_sessions);
    if is_merged { kernel.reads([PartRead::column(clean, "time")]) } else { kernel }
}

fn aligned(inputs: &Inputs<'_>, channel: usize, name: &str, settings: &Settings) -> Result<Column, Reason> {
    let alignment = Alignment::of(inputs, settings)?;
    let recorded = alignment.recorded();
    let values = alignment.align(channel, &recorded.samples[channel].vs, false);
    let rows = alignment.session_rows();
    let mut measured = recorded.sessions.iter().zip(rows).filter(|(session, _)| !session.samples[channel].is_empty());
    let hole = settings.on_gap == OnGap::Fill && measured.any(|(_, rows)| values[rows].iter().any(|v| v.is_nan()));
    if hole {
        let message = format!("{name} has nulls in a session in which it was measured");
        let reason = Reason::new("null_in_wide", message).with("column", name);
        return Err(reason.failed_check("wide", "no_null_where_measured"));
    }
    Ok(columns::floats_nan_null(name, values))
}

/// The table `gaps`.
pub fn gaps_table(
    name: AssetName,
    clean: &AssetName,
    sessions: &AssetName,
    settings: &Settings,
) -> Result<AlignedTable, Reason> {
    let decls = names::gaps().into_iter().filter(|decl| decl.name != RUN);
    let columns = decls.map(|decl| {
        let (column, settings) = (decl.name.clone(), settings.clone());
        let kernel = Kernel::new(&format!("gaps.{column}"), &aligning(), move |row| {
            let gaps = row.inputs.shared("gaps", || gaps(row.inputs, &settings))?;
            gaps.column(&column).cloned().map_err(|error| assets_frames::frame_error("gaps", &error))
        });
        let bounds = ["start_time", "stop_time"].map(|column| PartRead::column(sessions, column));
        let kernel = kernel.params(["wide.max_gap_ms"]).reads([PartRead::column(clean, "time")]).reads(bounds);
        Defined::kernel(decl, kernel).never_unavailable()
    });
    AlignedTable::new(name, columns.collect(), None)
}

/// One interval.
struct Gap {
    channel: Option<usize>,
    kind: &'static str,
    start: i64,
    stop: i64,
}

fn gaps(inputs: &Inputs<'_>, settings: &Settings) -> Result<DataFrame, Reason> {
    let alignment = Alignment::of(inputs, settings)?;
    let (samples, sessions) = (&alignment.recorded().samples, &alignment.recorded().sessions);
    let mut found = Vec::new();
    for pair in sessions.windows(2) {
        found.push(Gap { channel: None, kind: "pause", start: pair[0].stop, stop: pair[1].start });
    }
    for (session, channel) in sessions.iter().flat_map(|s| (0..COUNT).map(move |c| (s, c))) {
        let gap = |kind, start, stop| Gap { channel: Some(channel), kind, start, stop };
        let ts = session.ts(samples, channel);
        let (Some(first), Some(last)) = (ts.first(), ts.last()) else {
            found.push(gap("absent", session.start, session.stop));
            continue;
        };
        if *first > session.start {
            found.push(gap("held", session.start, *first));
        }
        let bridged = interpolate::long_gaps(ts, alignment.max_gap_us(channel));
        found.extend(bridged.into_iter().map(|(start, stop)| gap("bridged", start, stop)));
        if *last < session.stop {
            found.push(gap("held", *last, session.stop));
        }
    }
    found.sort_by_key(|gap| (gap.start, gap.channel, gap.stop));
    let about = |gap: &Gap| gap.channel.map(|channel| CHANNELS[channel]);
    columns::frame(vec![
        columns::ints("robot_id", found.iter().map(|gap| about(gap).map(|c| c.robot))),
        columns::texts("sensor_type", found.iter().map(|gap| about(gap).map(|c| c.sensor))),
        columns::texts("field", found.iter().map(|gap| about(gap).map(|c| c.field))),
        columns::texts("kind", found.iter().map(|gap| Some(gap.kind))),
        columns::times("start_time", found.iter().map(|gap| gap.start).collect()),
        columns::times("stop_time", found.iter().map(|gap| gap.stop).collect()),
        columns::floats("duration_s", found.iter().map(|gap| (gap.stop - gap.start) as f64 / 1e6).collect()),
    ])
}
