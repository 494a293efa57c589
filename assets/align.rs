//! Alignment: one time axis for all channels of a run, session by session, and values brought to it. `wide` aligns
//! samples, `features` aligns derivatives of samples, both by the same rules.

use crate::channels::{Samples, periods};
use crate::kernels::{interpolate, resample};
use crate::sessions::{self, Recorded, Session};
use crate::settings::{Method, OnGap, Wide};
use assets_core::Reason;
use assets_frames::Inputs;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// Raised whenever a result of this file can differ.
pub const VERSION: u32 = 1;
/// Median periods of a channel that make a long gap where nothing is set.
const GAP_PERIODS: i64 = 5;
/// Bins of a session: a month at 1 ms has 2.6 billion and is a mistake; a week at 10 ms has 60 million.
const GRID_BINS_MAX: i64 = 100_000_000;

/// One session's rows.
#[derive(Debug, Clone)]
struct Axis {
    times: Arc<Vec<i64>>,
    /// For `merge`: the row of each sample, per channel.
    sample_rows: Vec<Vec<usize>>,
}

/// The time axis of a run.
pub struct Alignment {
    recorded: Arc<Recorded>,
    settings: Wide,
    axes: Vec<Axis>,
    max_gap_us: Vec<i64>,
}

impl Alignment {
    /// The axis that the settings ask for, made once a step.
    ///
    /// # Errors
    /// `grid_too_fine` where a session would have more bins than any table should have rows.
    pub fn of(inputs: &Inputs<'_>, settings: &Wide) -> Result<Arc<Self>, Reason> {
        inputs.shared("alignment", || {
            let recorded = sessions::read(inputs)?;
            let axes = recorded.sessions.iter().map(|session| axis(&recorded.samples, session, settings));
            let axes = axes.collect::<Result<_, _>>()?;
            let max_gap_us = max_gaps(&recorded.samples, settings);
            Ok(Self { recorded, settings: settings.clone(), axes, max_gap_us })
        })
    }

    /// The samples that are aligned.
    pub fn recorded(&self) -> &Recorded {
        &self.recorded
    }

    /// The time of every row, µs, strictly increasing.
    pub fn times(&self) -> Vec<i64> {
        self.axes.iter().flat_map(|axis| axis.times.iter().copied()).collect()
    }

    /// The rows of each session.
    pub fn session_rows(&self) -> Vec<Range<usize>> {
        let mut start = 0;
        let rows = self.axes.iter().map(|axis| {
            let range = start..start + axis.times.len();
            start = range.end;
            range
        });
        rows.collect()
    }

    /// The longest gap of a channel that counts as carried by its samples, µs.
    pub fn max_gap_us(&self, channel: usize) -> i64 {
        self.max_gap_us[channel]
    }

    /// A value per row from a value per sample of a channel; NaN where unknown. `derived` values are unknown where the
    /// channel is held: before its first and after its last sample. In gaps they are what the channel's own values are.
    pub fn align(&self, channel: usize, values: &[f64], derived: bool) -> Vec<f64> {
        let mut out = Vec::new();
        for (session, axis) in self.recorded.sessions.iter().zip(&self.axes) {
            let ts = session.ts(&self.recorded.samples, channel);
            if ts.is_empty() {
                out.resize(out.len() + axis.times.len(), f64::NAN);
                continue;
            }
            let vs = &values[session.samples[channel].clone()];
            let session = self.align_session(channel, axis, ts, vs, derived);
            // Most runs are one session.
            if out.is_empty() { out = session } else { out.extend(session) }
        }
        out
    }

    fn align_session(&self, channel: usize, axis: &Axis, ts: &[i64], vs: &[f64], derived: bool) -> Vec<f64> {
        let at = &axis.times;
        let grid_us = micros(self.settings.grid_ms);
        let mut out = match self.settings.method {
            Method::Linear => interpolate::linear(ts, vs, at),
            Method::Previous => interpolate::previous(ts, vs, at),
            Method::Grid => resample::grid_median(ts, vs, at, grid_us),
            Method::Merge => resample::merge_fill(at.len(), &axis.sample_rows[channel], vs),
        };
        // A bin or a merged row stands for samples up to its width later than its label.
        let labels = self.labels(channel, axis, ts);
        if derived {
            interpolate::null_when_held(&labels, at, &mut out);
        }
        if self.settings.on_gap == OnGap::Null && !derived {
            interpolate::null_in_gaps(&labels, at, self.max_gap_us[channel], &mut out);
        }
        out
    }

    /// The rows' times that hold a channel's samples.
    fn labels<'t>(&self, channel: usize, axis: &Axis, ts: &'t [i64]) -> Cow<'t, [i64]> {
        let mut labels: Vec<i64> = match self.settings.method {
            Method::Linear | Method::Previous => return Cow::Borrowed(ts),
            Method::Grid => {
                let grid_us = micros(self.settings.grid_ms);
                ts.iter().map(|t| t - t.rem_euclid(grid_us)).collect()
            }
            Method::Merge => axis.sample_rows[channel].iter().map(|row| axis.times[*row]).collect(),
        };
        labels.dedup();
        Cow::Owned(labels)
    }
}

fn micros(ms: f64) -> i64 {
    (ms * 1000.0).round().max(1.0) as i64
}

/// The longest gap of each channel that counts as carried.
pub fn max_gaps(samples: &[Samples], settings: &Wide) -> Vec<i64> {
    let own = |period: Option<i64>| period.map_or(i64::MAX, |period| period.saturating_mul(GAP_PERIODS));
    match settings.max_gap_ms {
        Some(ms) => vec![micros(ms); samples.len()],
        None => periods(samples).into_iter().map(own).collect(),
    }
}

fn axis(samples: &[Samples], session: &Session, settings: &Wide) -> Result<Axis, Reason> {
    Ok(match settings.method {
        Method::Linear | Method::Previous => Axis { times: Arc::clone(&session.times), sample_rows: Vec::new() },
        Method::Grid => {
            let bins = (session.stop - session.start) / micros(settings.grid_ms);
            if bins > GRID_BINS_MAX {
                let message = format!("a grid of {} ms cuts a session into {bins} bins", settings.grid_ms);
                return Err(Reason::new("grid_too_fine", message).with("bins", bins).with("most", GRID_BINS_MAX));
            }
            let times = resample::grid_bins(session.start, session.stop, micros(settings.grid_ms));
            Axis { times: Arc::new(times), sample_rows: Vec::new() }
        }
        Method::Merge => {
            let mut all: Vec<(i64, u32)> = Vec::new();
            for (number, channel) in (0..).zip(0..samples.len()) {
                all.extend(session.ts(samples, channel).iter().map(|t| (*t, number)));
            }
            all.sort_unstable();
            let (times, rows) = resample::merge_rows(&all, micros(settings.merge_ms));
            let mut sample_rows = vec![Vec::new(); samples.len()];
            all.iter().zip(rows).for_each(|((_, channel), row)| sample_rows[*channel as usize].push(row));
            Axis { times: Arc::new(times), sample_rows }
        }
    })
}
