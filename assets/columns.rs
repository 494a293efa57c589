//! Names, kinds and units of every column, once.

use crate::channels::CHANNELS;
use assets_core::{ColumnDecl, Kind};

fn column(name: &str, kind: Kind, unit: &str, description: &str) -> ColumnDecl {
    ColumnDecl::new(name, kind, unit, description)
}

/// The dimension that cuts everything.
pub const RUN: &str = "run_uuid";

/// The column that says whose row it is.
pub fn run() -> ColumnDecl {
    column(RUN, Kind::Text, "", "the run")
}

/// Columns of `raw`: what was delivered, typed; with the delivered text wherever typing would not give it back.
pub fn raw(attributes: &[String]) -> Vec<ColumnDecl> {
    let mut columns = vec![
        run(),
        column("time", Kind::Time, "", "when it was measured; null where the text is no time"),
        column("value", Kind::Float, "mm or N", "what was measured; null where the text is no number"),
        column("field", Kind::Text, "", "which field, as delivered"),
        column("robot_id", Kind::Int, "", "which robot; null where the text is no integer"),
        column("sensor_type", Kind::Text, "", "which sensor, as delivered"),
    ];
    columns.extend(attributes.iter().map(|name| column(name, Kind::Text, "", "an attribute of the run, as delivered")));
    columns.extend([
        column("source", Kind::Text, "", "content hash of the slice of the source that delivered it"),
        column("time_text", Kind::Text, "", "the delivered time where its usual text differs from it"),
        column("value_text", Kind::Text, "", "the delivered value where its usual text differs from it"),
        column("robot_id_text", Kind::Text, "", "the delivered robot where its usual text differs from it"),
    ]);
    columns
}

/// Columns of `clean`.
pub fn clean() -> Vec<ColumnDecl> {
    vec![
        run(),
        column("time", Kind::Time, "", "when it was measured"),
        column("robot_id", Kind::Int, "", "1 or 2"),
        column("sensor_type", Kind::Text, "", "encoder or load_cell"),
        column("field", Kind::Text, "", "x, y, z or fx, fy, fz"),
        column("value", Kind::Float, "mm or N", "position or force"),
    ]
}

/// Columns of `sessions`.
pub fn sessions() -> Vec<ColumnDecl> {
    vec![
        run(),
        column("session", Kind::Int, "", "its number, from 1"),
        column("start_time", Kind::Time, "", "first valid sample of any channel"),
        column("stop_time", Kind::Time, "", "last valid sample of any channel"),
        column("duration_s", Kind::Float, "s", "stop − start"),
        column("timestamps", Kind::Int, "", "timestamps with a valid sample of any channel"),
        column("time_axis", Kind::Text, "", "hash of those timestamps: equal axes, equal text"),
    ]
}

/// Columns of `rejects` and `intake_rejects`: rows as delivered, with the reason's code.
pub fn rejects() -> Vec<ColumnDecl> {
    let text = |name: &str| column(name, Kind::Text, "", "as delivered");
    let mut columns = vec![run()];
    columns.extend(["time", "value", "field", "robot_id", "sensor_type"].map(text));
    columns.push(column("code", Kind::Text, "", "why the row was left out"));
    columns
}

fn unit_of(field: &str) -> &'static str {
    if field.starts_with('f') { "N" } else { "mm" }
}

/// The measured columns of `wide`, in order.
pub fn wide_fields() -> Vec<String> {
    let fields = ["fx", "fy", "fz", "x", "y", "z"];
    fields.iter().flat_map(|field| [1, 2].map(|robot| format!("{field}_{robot}"))).collect()
}

/// Columns of `wide`.
pub fn wide() -> Vec<ColumnDecl> {
    let mut columns = vec![run(), column("time", Kind::Time, "", "a timestamp of any sensor")];
    for name in wide_fields() {
        let about = CHANNELS.iter().find(|c| c.column() == name).map(|c| format!("{} of {}", c.field, c.sensor_name()));
        columns.push(column(&name, Kind::Float, unit_of(&name), &about.unwrap_or_default()));
    }
    columns
}

/// Columns of `gaps`.
pub fn gaps() -> Vec<ColumnDecl> {
    vec![
        run(),
        column("robot_id", Kind::Int, "", "whose channel; null for a pause, which is everyone's"),
        column("sensor_type", Kind::Text, "", "encoder or load_cell"),
        column("field", Kind::Text, "", "x, y, z or fx, fy, fz"),
        column("kind", Kind::Text, "", "bridged, held, pause or absent"),
        column("start_time", Kind::Time, "", "where the interval begins"),
        column("stop_time", Kind::Time, "", "where it ends"),
        column("duration_s", Kind::Float, "s", "how long it is"),
    ]
}

/// Columns of `stats`.
pub fn stats(attributes: &[String]) -> Vec<ColumnDecl> {
    let mut columns = vec![
        run(),
        column("start_time", Kind::Time, "", "first valid sample (not the start of forming)"),
        column("stop_time", Kind::Time, "", "last valid sample (not the end of forming)"),
        column("runtime_s", Kind::Float, "s", "stop − start"),
        column("distance_1_mm", Kind::Float, "mm", "path length of robot 1 over its own samples, per session"),
        column("distance_2_mm", Kind::Float, "mm", "path length of robot 2 over its own samples, per session"),
        column("distance_mm", Kind::Float, "mm", "sum of both; null if either is unknown"),
        column("sessions", Kind::Int, "", "stretches without a silence of all channels"),
        column("active_s", Kind::Float, "s", "runtime without pauses"),
    ];
    for robot in [1, 2] {
        for sensor in ["encoder", "load_cell"] {
            columns.push(column(&format!("{sensor}_{robot}_samples"), Kind::Int, "", "timestamps with a valid sample"));
            columns.push(column(&format!("{sensor}_{robot}_rate_hz"), Kind::Float, "Hz", "1 / median period"));
        }
    }
    columns.push(column("gaps", Kind::Int, "", "bridged gaps of all channels"));
    columns.push(column("longest_gap_s", Kind::Float, "s", "the longest of them"));
    columns.push(column("rejected_share", Kind::Float, "", "rows left out / rows delivered"));
    for (letter, unit, what) in [("v", "mm_s", "speed"), ("a", "mm_s2", "acceleration"), ("f", "n", "force")] {
        for robot in [1, 2] {
            let shown = match unit {
                "mm_s" => "mm/s",
                "mm_s2" => "mm/s²",
                _ => "N",
            };
            let peak = format!("largest {what} of robot {robot}, over native samples");
            columns.push(column(&format!("{letter}{robot}_peak_{unit}"), Kind::Float, shown, &peak));
            let mean = format!("time-weighted mean {what} of robot {robot}, over native samples");
            columns.push(column(&format!("{letter}{robot}_mean_{unit}"), Kind::Float, shown, &mean));
        }
    }
    for robot in [1, 2] {
        let banded = "path length with a dead band: without what noise adds";
        columns.push(column(&format!("distance_{robot}_dead_band_mm"), Kind::Float, "mm", banded));
        let half = "path length over every second sample: what discreteness hides";
        columns.push(column(&format!("distance_{robot}_half_rate_mm"), Kind::Float, "mm", half));
        let fallback = "encoder samples differentiated by `central` because the window held fewer than 5";
        columns.push(column(&format!("central_fallback_{robot}"), Kind::Int, "", fallback));
    }
    columns.extend(attributes.iter().map(|name| column(name, Kind::Text, "", "an attribute of the run")));
    columns
}

/// The metrics of `stats` that are compared across runs.
pub const FLEET_METRICS: [&str; 16] = [
    "runtime_s",
    "distance_mm",
    "distance_1_mm",
    "distance_2_mm",
    "v1_peak_mm_s",
    "v1_mean_mm_s",
    "v2_peak_mm_s",
    "v2_mean_mm_s",
    "a1_peak_mm_s2",
    "a1_mean_mm_s2",
    "a2_peak_mm_s2",
    "a2_mean_mm_s2",
    "f1_peak_n",
    "f1_mean_n",
    "f2_peak_n",
    "f2_mean_n",
];

/// The columns of `fleet` that hold quantiles.
pub const FLEET_QUANTILES: [&str; 5] = ["p05", "p25", "p50", "p75", "p95"];

/// Columns of `fleet`.
pub fn fleet() -> Vec<ColumnDecl> {
    let mut columns = vec![
        column("attribute", Kind::Text, "", "which attribute the runs share; `all` for all runs"),
        column("value", Kind::Text, "", "its value; null for runs without one"),
        column("metric", Kind::Text, "", "a column of `stats`"),
        column("unit", Kind::Text, "", "the metric's unit"),
        column("runs", Kind::Int, "", "runs in which the metric is known"),
    ];
    for name in FLEET_QUANTILES {
        let about =
            format!("{} % of these runs lie below it, linear between neighbours", name[1..].trim_start_matches('0'));
        columns.push(column(name, Kind::Float, "", &about));
    }
    columns.push(column("mean", Kind::Float, "", "mean of these runs"));
    columns
}

/// Columns of `unusual`.
pub fn unusual(attributes: &[String]) -> Vec<ColumnDecl> {
    let mut columns = vec![
        run(),
        column("metric", Kind::Text, "", "a column of `stats`"),
        column("unit", Kind::Text, "", "the metric's unit"),
        column("value", Kind::Float, "", "the run's value"),
        column("median", Kind::Float, "", "median of all runs"),
        column("robust_sigma", Kind::Float, "", "MAD / 0.6745; where that is 0, √(π/2) mean absolute deviations"),
        column("robust_z", Kind::Float, "", "(value − median) / robust_sigma: beyond ±3.5"),
    ];
    columns.extend(attributes.iter().map(|name| column(name, Kind::Text, "", "an attribute of the run")));
    columns
}
