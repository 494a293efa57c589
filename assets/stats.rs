//! `stats`: one row per run: when, how long, how far, how fast, how hard; how much was left out; and the reason of
//! whatever is null.

use crate::align;
use crate::channels::{self, CHANNELS, Samples};
use crate::columns::{self as names, RUN};
use crate::features::{DERIVING, Native, deriving, native_of, norm};
use crate::kernels::{interpolate, path, summary};
use crate::sessions::{self, Session};
use crate::settings::{Derivative, Stats as Settings, Wide};
use crate::versions;
use crate::wide::samples_of;
use assets_core::{AssetName, ColumnDecl, Kind, PartRead, Reason};
use assets_frames::aligned::{AlignedTable, Defined, Kernel};
use assets_frames::polars::prelude::col;
use assets_frames::{Column, Inputs, columns};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Version of what this file computes, raised whenever a result changes.
pub const VERSION: u32 = 1;

/// What `stats` reads.
pub struct Sources<'a> {
    /// For run attributes.
    pub raw: &'a AssetName,
    /// Samples.
    pub clean: &'a AssetName,
    /// Counted.
    pub rejects: &'a AssetName,
    /// Where runs are split.
    pub sessions: &'a AssetName,
}

/// Summarizes a run.
#[derive(Clone)]
pub struct Stats {
    /// What counts as a gap.
    pub wide: Wide,
    /// How derivatives are made.
    pub derivative: Derivative,
    /// The dead band.
    pub settings: Settings,
    /// Kept attributes of the run.
    pub attributes: Vec<String>,
}

/// A value of the row.
#[derive(Debug, Clone)]
enum Cell {
    Float(Option<f64>),
    Int(Option<i64>),
    Time(Option<i64>),
    Text(Option<String>),
}

/// Columns that are computed together, once a step.
type Group = BTreeMap<String, Cell>;
type Compute = fn(&Stats, &Inputs<'_>) -> Result<Group, Reason>;

/// The table `stats`.
pub fn table(name: AssetName, sources: &Sources<'_>, stats: &Stats) -> Result<AlignedTable, Reason> {
    let stats = Arc::new(stats.clone());
    let decls = names::stats(&stats.attributes).into_iter().filter(|decl| decl.name != RUN);
    let defined = decls.map(|decl| {
        let reason = match decl.kind {
            Kind::Text => Reason::new("attribute_not_delivered", format!("no row brought a {}", decl.name)),
            _ => Reason::new("too_few_samples", "there are too few valid samples to know it"),
        };
        let defined = if decl.name == "distance_mm" {
            Defined::expr(decl, col("distance_1_mm") + col("distance_2_mm"))
        } else {
            let kernel = kernel(&decl, sources, &stats);
            Defined::kernel(decl, kernel)
        };
        defined.when_null(reason)
    });
    AlignedTable::new(name, defined.collect(), None)
}

/// The kernel of a column: which group computes it, from which parts.
fn kernel(decl: &ColumnDecl, sources: &Sources<'_>, stats: &Arc<Stats>) -> Kernel {
    let clean_times = PartRead::column(sources.clean, "time");
    let bounds = ["start_time", "stop_time"].map(|column| PartRead::column(sources.sessions, column));
    // The first digit: a unit may have another.
    let robot = if decl.name.find(['1', '2']).is_some_and(|at| decl.name[at..].starts_with('2')) { 2 } else { 1 };
    let read_by = |channels: [usize; 3]| channels.into_iter().flat_map(|c| samples_of(sources.clean, &CHANNELS[c]));
    let encoder = || read_by(channels::encoder(robot));
    let load_cell = || read_by(channels::load_cell(robot));
    let times = |reads: Vec<PartRead>| reads.into_iter().filter(|read| read.column.as_deref() == Some("time"));
    let of = |group: &str, versions: String, compute: Compute| {
        let (column, kind, stats) = (decl.name.clone(), decl.kind, Arc::clone(stats));
        let group = group.to_owned();
        let name = format!("{}.{}", group, column.replace(['1', '2'], ""));
        Kernel::new(&name, &format!("{} {versions}", versions::own("stats")), move |row| {
            let group = row.inputs.shared(&group, || compute(&stats, row.inputs))?;
            Ok(cell(&column, kind, group.get(&column)))
        })
    };
    match decl.name.as_str() {
        name if stats.attributes.iter().any(|attribute| attribute == name) => {
            of("attributes", String::new(), attributes).reads([PartRead::column(sources.raw, name)])
        }
        "start_time" | "stop_time" | "runtime_s" | "sessions" | "active_s" => {
            of("span", versions::all(&["sessions"]), span).reads(bounds)
        }
        "gaps" | "longest_gap_s" => {
            of("gaps", versions::all(&["align"]), gaps).params(["wide.max_gap_ms"]).reads(bounds).reads([clean_times])
        }
        "rejected_share" => of("rejected", String::new(), rejected)
            .reads([PartRead::rows(sources.clean), PartRead::rows(sources.rejects)]),
        name if name.starts_with("encoder") => {
            of("rates", versions::all(&["channels", "sessions"]), rates).reads(times(encoder().collect()))
        }
        name if name.starts_with("load_cell") => {
            of("rates", versions::all(&["channels", "sessions"]), rates).reads(times(load_cell().collect()))
        }
        name if name.starts_with("distance") => {
            let kernel =
                of("distances", versions::all(&["path", "sessions"]), distances).reads(encoder()).aligned_by(bounds);
            if name.contains("dead_band") { kernel.params(["stats.dead_band_mm"]) } else { kernel }
        }
        name if name.starts_with('f') => {
            of("forces", versions::all(&["summary", "sessions"]), forces).reads(load_cell()).aligned_by(bounds)
        }
        _ => {
            let versions = format!("{} {}", deriving(), versions::all(&["summary", "sessions"]));
            of("motions", versions, motions).params(DERIVING).reads(encoder()).aligned_by(bounds)
        }
    }
}

/// A column of one row.
fn cell(name: &str, kind: Kind, cell: Option<&Cell>) -> Column {
    match (cell, kind) {
        (Some(Cell::Float(value)), _) => columns::maybe_floats(name, [value.filter(|v| !v.is_nan())].into_iter()),
        (Some(Cell::Int(value)), _) => columns::ints(name, [*value].into_iter()),
        (Some(Cell::Time(value)), _) => columns::maybe_times(name, [*value].into_iter()),
        (Some(Cell::Text(value)), _) => columns::texts(name, [value.as_deref()].into_iter()),
        (None, Kind::Float) => columns::maybe_floats(name, [None].into_iter()),
        (None, Kind::Int) => columns::ints(name, [None].into_iter()),
        (None, Kind::Time) => columns::maybe_times(name, [None].into_iter()),
        (None, Kind::Text | Kind::Bool) => columns::texts(name, [None].into_iter()),
    }
}

fn span(_: &Stats, inputs: &Inputs<'_>) -> Result<Group, Reason> {
    let bounds = inputs.read("sessions", &["start_time", "stop_time"])?;
    let starts: Vec<i64> = columns::to_times(&bounds, "start_time")?.into_iter().flatten().collect();
    let stops: Vec<i64> = columns::to_times(&bounds, "stop_time")?.into_iter().flatten().collect();
    let (start, stop) = (starts.first().copied(), stops.last().copied());
    let seconds = |us: i64| us as f64 / 1e6;
    let active: i64 = starts.iter().zip(&stops).map(|(start, stop)| stop - start).sum();
    Ok(Group::from([
        ("start_time".into(), Cell::Time(start)),
        ("stop_time".into(), Cell::Time(stop)),
        ("runtime_s".into(), Cell::Float(start.zip(stop).map(|(start, stop)| seconds(stop - start)))),
        ("sessions".into(), Cell::Int(Some(starts.len() as i64))),
        ("active_s".into(), Cell::Float(start.map(|_| seconds(active)))),
    ]))
}

fn rejected(_: &Stats, inputs: &Inputs<'_>) -> Result<Group, Reason> {
    let (kept, rejected) = (inputs.rows("clean")?, inputs.rows("rejects")?);
    let share = (kept + rejected > 0).then(|| rejected as f64 / (kept + rejected) as f64);
    Ok(Group::from([("rejected_share".into(), Cell::Float(share))]))
}

/// The sum of path lengths per session where all three fields of an encoder are valid.
fn distance(tracks: &[Track], length: impl Fn(&[[f64; 3]]) -> f64) -> Option<f64> {
    (!tracks.is_empty()).then(|| tracks.iter().map(|track| length(&track.points)).sum())
}

/// A sensor's samples within one session, at the times at which all three fields are valid.
struct Track {
    ts: Vec<i64>,
    points: Vec<[f64; 3]>,
    /// Where each point's samples are, per field.
    at: Vec<[usize; 3]>,
}

fn tracks(samples: &[Samples], sessions: &[Session], channels: [usize; 3]) -> Vec<Track> {
    let tracks = sessions.iter().map(|session| {
        let mut track = Track { ts: Vec::new(), points: Vec::new(), at: Vec::new() };
        let mut next = channels.map(|channel| session.samples[channel].start);
        for at in session.samples[channels[0]].clone() {
            let time = samples[channels[0]].ts[at];
            next[0] = at;
            for axis in 1..3 {
                let (ts, end) = (&samples[channels[axis]].ts, session.samples[channels[axis]].end);
                while next[axis] < end && ts[next[axis]] < time {
                    next[axis] += 1;
                }
            }
            let there = |axis: usize| {
                next[axis] < session.samples[channels[axis]].end && samples[channels[axis]].ts[next[axis]] == time
            };
            if there(1) && there(2) {
                track.ts.push(time);
                track.points.push([0, 1, 2].map(|axis| samples[channels[axis]].vs[next[axis]]));
                track.at.push(next);
            }
        }
        track
    });
    tracks.filter(|track| !track.ts.is_empty()).collect()
}

/// Mean over sessions, weighted by how long each is; the plain mean where none has a length.
fn mean(tracks: &[Track], values: &[Vec<f64>]) -> Option<f64> {
    let mut sum = 0.0;
    let mut weight = 0.0;
    let mut singles = Vec::new();
    for (track, values) in tracks.iter().zip(values) {
        let (Some(first), Some(last)) = (track.ts.first(), track.ts.last()) else { continue };
        let Some(mean) = summary::time_weighted_mean(&track.ts, values) else { continue };
        let seconds = (last - first) as f64 / 1e6;
        sum += mean * seconds;
        weight += seconds;
        singles.push(mean);
    }
    if weight > 0.0 {
        Some(sum / weight)
    } else {
        (!singles.is_empty()).then(|| singles.iter().sum::<f64>() / singles.len() as f64)
    }
}

fn peak_and_mean(name: &str, unit: &str, tracks: &[Track], values: &[Vec<f64>], row: &mut Group) {
    let peak = values.iter().filter_map(|values| summary::peak(values)).reduce(f64::max);
    row.insert(format!("{name}_peak_{unit}"), Cell::Float(peak));
    row.insert(format!("{name}_mean_{unit}"), Cell::Float(mean(tracks, values)));
}

fn forces(_: &Stats, inputs: &Inputs<'_>) -> Result<Group, Reason> {
    let recorded = sessions::read(inputs)?;
    let mut row = Group::new();
    for robot in [1, 2] {
        let tracks = tracks(&recorded.samples, &recorded.sessions, channels::load_cell(robot));
        let norms: Vec<Vec<f64>> = tracks
            .iter()
            .map(|track| track.points.iter().map(|[x, y, z]| (x * x + y * y + z * z).sqrt()).collect())
            .collect();
        peak_and_mean(&format!("f{robot}"), "n", &tracks, &norms, &mut row);
    }
    Ok(row)
}

fn rates(_: &Stats, inputs: &Inputs<'_>) -> Result<Group, Reason> {
    let samples = &sessions::read(inputs)?.samples;
    let mut row = Group::new();
    for robot in [1, 2] {
        for (sensor, channels) in [("encoder", channels::encoder(robot)), ("load_cell", channels::load_cell(robot))] {
            let times = sessions::union(&channels.map(|channel| samples[channel].ts.as_slice()));
            let rate = interpolate::median_period(&times).map(|period| 1e6 / period as f64);
            row.insert(format!("{sensor}_{robot}_samples"), Cell::Int(Some(times.len() as i64)));
            row.insert(format!("{sensor}_{robot}_rate_hz"), Cell::Float(rate));
        }
    }
    Ok(row)
}

fn gaps(stats: &Stats, inputs: &Inputs<'_>) -> Result<Group, Reason> {
    let recorded = sessions::read(inputs)?;
    let max_gaps = align::max_gaps(&recorded.samples, &stats.wide);
    let mut gaps = Vec::new();
    for (session, channel) in recorded.sessions.iter().flat_map(|s| (0..CHANNELS.len()).map(move |c| (s, c))) {
        gaps.extend(interpolate::long_gaps(session.ts(&recorded.samples, channel), max_gaps[channel]));
    }
    let longest = gaps.iter().map(|(start, stop)| stop - start).max().unwrap_or(0);
    Ok(Group::from([
        ("gaps".into(), Cell::Int(Some(gaps.len() as i64))),
        ("longest_gap_s".into(), Cell::Float(Some(longest as f64 / 1e6))),
    ]))
}

fn distances(stats: &Stats, inputs: &Inputs<'_>) -> Result<Group, Reason> {
    let recorded = sessions::read(inputs)?;
    let band = stats.settings.dead_band_mm;
    let mut row = Group::new();
    for robot in [1, 2] {
        let tracks = tracks(&recorded.samples, &recorded.sessions, channels::encoder(robot));
        let name = |what: &str| format!("distance_{robot}{what}_mm");
        row.insert(name(""), Cell::Float(distance(&tracks, path::length)));
        row.insert(name("_dead_band"), Cell::Float(distance(&tracks, |p| path::length_dead_banded(p, band))));
        row.insert(name("_half_rate"), Cell::Float(distance(&tracks, path::length_half_rate)));
    }
    Ok(row)
}

fn motions(stats: &Stats, inputs: &Inputs<'_>) -> Result<Group, Reason> {
    let recorded = sessions::read(inputs)?;
    let samples = &recorded.samples;
    let mut row = Group::new();
    for robot in [1, 2] {
        let channels = channels::encoder(robot);
        let tracks = tracks(samples, &recorded.sessions, channels);
        let native = native_of(inputs, channels::encoder(robot)[0] / 3, &stats.derivative.kernel())?;
        let fallback = channels.iter().any(|c| !samples[*c].ts.is_empty());
        let fallback = fallback.then(|| native.iter().map(|n| n.fallback).max().unwrap_or(0) as i64);
        row.insert(format!("central_fallback_{robot}"), Cell::Int(fallback));
        let norms = |get: fn(&Native) -> &Vec<f64>| -> Vec<Vec<f64>> {
            let of = |track: &Track, axis: usize| -> Vec<f64> {
                track.at.iter().map(|at| get(&native[axis])[at[axis]]).collect()
            };
            tracks.iter().map(|track| norm([&of(track, 0), &of(track, 1), &of(track, 2)])).collect()
        };
        peak_and_mean(&format!("v{robot}"), "mm_s", &tracks, &norms(|n| &n.velocity), &mut row);
        peak_and_mean(&format!("a{robot}"), "mm_s2", &tracks, &norms(|n| &n.acceleration), &mut row);
    }
    Ok(row)
}

/// The distinct values of each attribute, sorted and joined.
fn attributes(stats: &Stats, inputs: &Inputs<'_>) -> Result<Group, Reason> {
    let wanted: Vec<&str> = stats.attributes.iter().map(String::as_str).collect();
    let mut distinct = vec![BTreeSet::new(); wanted.len()];
    inputs.batches("raw", &[], &wanted, &mut |_, codes| {
        let texts = codes.into_iter().map(|codes| codes.texts.into_iter().flatten());
        distinct.iter_mut().zip(texts).for_each(|(known, texts)| known.extend(texts));
        Ok(())
    })?;
    let joined = distinct.into_iter().map(|distinct| distinct.into_iter().collect::<Vec<_>>().join(","));
    let cell = |joined: String| Cell::Text(Some(joined).filter(|text| !text.is_empty()));
    Ok(stats.attributes.iter().cloned().zip(joined.map(cell)).collect())
}
