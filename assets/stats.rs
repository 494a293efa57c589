//! `stats`: one row per run: when, how long, how far, how fast, how hard; how much was left out; and the reason of
//! whatever is null.

use crate::align;
use crate::channels::{self, CHANNELS, Samples};
use crate::columns::{self as names, RUN};
use crate::features::{Native, native, norm};
use crate::kernels::{interpolate, path, summary};
use crate::sessions::{self, Session};
use crate::settings::{Derivative, Sessions, Stats as Settings, Wide};
use assets_core::record::Unavailable;
use assets_core::table::{Table, Values};
use assets_core::{ColumnDecl, Kind, Reason};
use assets_frames::{FrameAsset, Inputs, Outputs, columns, small};
use std::collections::{BTreeMap, BTreeSet};

/// Version of what follows; part of the fingerprint, with those of the kernels it uses.
pub const VERSION: &str = "stats-1";

/// Summarizes a run.
pub struct Stats {
    /// What splits a run.
    pub sessions: Sessions,
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

type Row = BTreeMap<String, Cell>;

impl FrameAsset for Stats {
    fn make(&self, inputs: &Inputs<'_>, outputs: &mut Outputs<'_>) -> Result<(), Reason> {
        let samples = channels::read(inputs)?;
        let sessions = sessions::split(&samples, &self.sessions);
        let mut row = Row::new();
        row.insert(RUN.into(), Cell::Text(Some(inputs.key(RUN).to_owned())));
        span(&sessions, &mut row);
        self.rates(&samples, &mut row);
        self.gaps(&samples, &sessions, &mut row);
        let (kept, rejected) = (inputs.rows("clean")?, inputs.rows("rejects")?);
        let share = (kept + rejected > 0).then(|| rejected as f64 / (kept + rejected) as f64);
        row.insert("rejected_share".into(), Cell::Float(share));
        for robot in [1, 2] {
            self.motion(&samples, &sessions, robot, &mut row);
            force(&samples, &sessions, robot, &mut row);
        }
        let distances = ["distance_1_mm", "distance_2_mm"].map(|name| match row.get(name) {
            Some(Cell::Float(distance)) => *distance,
            _ => None,
        });
        let [one, two] = distances;
        row.insert("distance_mm".into(), Cell::Float(one.zip(two).map(|(one, two)| one + two)));
        self.attributes(inputs, &mut row)?;
        let decls = names::stats(&self.attributes);
        for unavailable in unavailable(&decls, &row, inputs.unavailable("clean")?) {
            outputs.unavailable("stats", &unavailable.column, unavailable.reason)?;
        }
        outputs.write("stats", small::from_table(&table(&decls, &row))?)
    }
}

fn span(sessions: &[Session], row: &mut Row) {
    let start = sessions.first().map(|session| session.start);
    let stop = sessions.last().map(|session| session.stop);
    let seconds = |us: i64| us as f64 / 1e6;
    row.insert("start_time".into(), Cell::Time(start));
    row.insert("stop_time".into(), Cell::Time(stop));
    row.insert("runtime_s".into(), Cell::Float(start.zip(stop).map(|(start, stop)| seconds(stop - start))));
    row.insert("sessions".into(), Cell::Int(Some(sessions.len() as i64)));
    let active: i64 = sessions.iter().map(|session| session.stop - session.start).sum();
    row.insert("active_s".into(), Cell::Float(start.map(|_| seconds(active))));
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

fn peak_and_mean(name: &str, unit: &str, tracks: &[Track], values: &[Vec<f64>], row: &mut Row) {
    let peak = values.iter().filter_map(|values| summary::peak(values)).reduce(f64::max);
    row.insert(format!("{name}_peak_{unit}"), Cell::Float(peak));
    row.insert(format!("{name}_mean_{unit}"), Cell::Float(mean(tracks, values)));
}

fn force(samples: &[Samples], sessions: &[Session], robot: usize, row: &mut Row) {
    let tracks = tracks(samples, sessions, channels::load_cell(robot));
    let norms: Vec<Vec<f64>> = tracks
        .iter()
        .map(|track| track.points.iter().map(|[x, y, z]| (x * x + y * y + z * z).sqrt()).collect())
        .collect();
    peak_and_mean(&format!("f{robot}"), "n", &tracks, &norms, row);
}

impl Stats {
    fn rates(&self, samples: &[Samples], row: &mut Row) {
        for robot in [1, 2] {
            for (sensor, channels) in [("encoder", channels::encoder(robot)), ("load_cell", channels::load_cell(robot))]
            {
                let times: BTreeSet<i64> = channels.iter().flat_map(|c| samples[*c].ts.iter().copied()).collect();
                let times: Vec<i64> = times.into_iter().collect();
                let rate = interpolate::median_period(&times).map(|period| 1e6 / period as f64);
                row.insert(format!("{sensor}_{robot}_samples"), Cell::Int(Some(times.len() as i64)));
                row.insert(format!("{sensor}_{robot}_rate_hz"), Cell::Float(rate));
            }
        }
    }

    fn gaps(&self, samples: &[Samples], sessions: &[Session], row: &mut Row) {
        let max_gaps = align::max_gaps(samples, &self.wide);
        let mut gaps = Vec::new();
        for (session, channel) in sessions.iter().flat_map(|s| (0..CHANNELS.len()).map(move |c| (s, c))) {
            gaps.extend(interpolate::long_gaps(session.ts(samples, channel), max_gaps[channel]));
        }
        let longest = gaps.iter().map(|(start, stop)| stop - start).max().unwrap_or(0);
        row.insert("gaps".into(), Cell::Int(Some(gaps.len() as i64)));
        row.insert("longest_gap_s".into(), Cell::Float(Some(longest as f64 / 1e6)));
    }

    fn motion(&self, samples: &[Samples], sessions: &[Session], robot: usize, row: &mut Row) {
        let channels = channels::encoder(robot);
        let tracks = tracks(samples, sessions, channels);
        let band = self.settings.dead_band_mm;
        let name = |what: &str| format!("distance_{robot}{what}_mm");
        row.insert(name(""), Cell::Float(distance(&tracks, path::length)));
        row.insert(name("_dead_band"), Cell::Float(distance(&tracks, |p| path::length_dead_banded(p, band))));
        row.insert(name("_half_rate"), Cell::Float(distance(&tracks, path::length_half_rate)));
        let native = native(samples, sessions, robot, &self.derivative.kernel());
        let fallback = channels.iter().any(|c| !samples[*c].ts.is_empty());
        let fallback = fallback.then(|| native.iter().map(|n| n.fallback).max().unwrap_or(0) as i64);
        row.insert(format!("central_fallback_{robot}"), Cell::Int(fallback));
        let norms = |get: fn(&Native) -> &Vec<f64>| -> Vec<Vec<f64>> {
            let of = |track: &Track, axis: usize| -> Vec<f64> {
                track.at.iter().map(|at| get(&native[axis])[at[axis]]).collect()
            };
            tracks.iter().map(|track| norm([&of(track, 0), &of(track, 1), &of(track, 2)])).collect()
        };
        peak_and_mean(&format!("v{robot}"), "mm_s", &tracks, &norms(|n| &n.velocity), row);
        peak_and_mean(&format!("a{robot}"), "mm_s2", &tracks, &norms(|n| &n.acceleration), row);
    }

    /// The distinct values of each attribute, sorted and joined.
    fn attributes(&self, inputs: &Inputs<'_>, row: &mut Row) -> Result<(), Reason> {
        if self.attributes.is_empty() {
            return Ok(());
        }
        let wanted: Vec<&str> = self.attributes.iter().map(String::as_str).collect();
        let raw = inputs.read("raw", &wanted)?;
        for name in &self.attributes {
            let distinct: BTreeSet<&str> = columns::to_texts(&raw, name)?.into_iter().flatten().collect();
            let joined = distinct.into_iter().collect::<Vec<_>>().join(",");
            row.insert(name.clone(), Cell::Text(Some(joined).filter(|text| !text.is_empty())));
        }
        Ok(())
    }
}

fn table(decls: &[ColumnDecl], row: &Row) -> Table {
    let columns = decls.iter().map(|decl| {
        let values = match (row.get(&decl.name), decl.kind) {
            (Some(Cell::Float(value)), _) => Values::Float(vec![value.filter(|v| !v.is_nan())]),
            (Some(Cell::Int(value)), _) => Values::Int(vec![*value]),
            (Some(Cell::Time(value)), _) => Values::Time(vec![*value]),
            (Some(Cell::Text(value)), _) => Values::Text(vec![value.clone()]),
            (None, Kind::Float) => Values::Float(vec![None]),
            (None, Kind::Int) => Values::Int(vec![None]),
            (None, Kind::Time) => Values::Time(vec![None]),
            (None, Kind::Text | Kind::Bool) => Values::Text(vec![None]),
        };
        (decl.name.clone(), values)
    });
    Table { columns: columns.collect() }
}

/// The channels that a column of `stats` rests on.
fn rests_on(column: &str) -> Vec<usize> {
    let robots: &[usize] = match column {
        _ if column.contains('1') => &[1],
        _ if column.contains('2') => &[2],
        _ if column.starts_with("distance") => &[1, 2],
        _ => return Vec::new(),
    };
    let is_force = column.starts_with(['f', 'l']);
    robots
        .iter()
        .flat_map(|robot| if is_force { channels::load_cell(*robot) } else { channels::encoder(*robot) })
        .collect()
}

/// The reason of every null: that of a channel it rests on, else that there was nothing to summarize.
fn unavailable(decls: &[ColumnDecl], row: &Row, clean: &[Unavailable]) -> Vec<Unavailable> {
    let is_null = |name: &str| match row.get(name) {
        Some(Cell::Float(value)) => value.is_none_or(f64::is_nan),
        Some(Cell::Int(value) | Cell::Time(value)) => value.is_none(),
        Some(Cell::Text(value)) => value.is_none(),
        None => true,
    };
    let reasons = decls.iter().filter(|decl| is_null(&decl.name)).map(|decl| {
        let slices: Vec<String> = rests_on(&decl.name).into_iter().map(|c| CHANNELS[c].slice()).collect();
        let inherited = clean.iter().find(|unavailable| slices.contains(&unavailable.column));
        let reason = inherited.map(|unavailable| unavailable.reason.clone());
        let reason = reason.unwrap_or_else(|| match decl.kind {
            Kind::Text => Reason::new("attribute_not_delivered", format!("no row brought a {}", decl.name)),
            _ => Reason::new("too_few_samples", "there are too few valid samples to know it"),
        });
        Unavailable { column: decl.name.clone(), reason }
    });
    reasons.collect()
}
