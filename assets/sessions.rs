//! Sessions: a silence of all channels longer than a threshold splits a run. Nothing is interpolated, held,
//! differentiated or summed across it. They are an output of `clean`, so that what rests on them is made again when they
//! change, and not whenever a sample does.

use crate::channels::{self, Samples, periods};
use crate::columns::RUN;
use crate::settings::Sessions as Settings;
use assets_core::Reason;
use assets_core::hash::{Digest, Hasher};
use assets_frames::{DataFrame, Inputs, Outputs, columns};
use std::ops::Range;
use std::sync::Arc;

/// Raised whenever a result of this file can differ.
pub const VERSION: u32 = 1;

/// A stretch of a run in which no silence of all channels is longer than the threshold.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// First sample of any channel, µs.
    pub start: i64,
    /// Last sample of any channel, µs.
    pub stop: i64,
    /// Each channel's samples, as places in its vectors.
    pub samples: Vec<Range<usize>>,
    /// All timestamps of any channel, sorted.
    pub times: Arc<Vec<i64>>,
}

impl Session {
    /// The times of a channel's samples.
    pub fn ts<'a>(&self, samples: &'a [Samples], channel: usize) -> &'a [i64] {
        &samples[channel].ts[self.samples[channel].clone()]
    }

    /// The values of a channel's samples.
    pub fn vs<'a>(&self, samples: &'a [Samples], channel: usize) -> &'a [f64] {
        &samples[channel].vs[self.samples[channel].clone()]
    }
}

/// Splits a run. The threshold is at least 5 median periods of the slowest channel, so that a thinned recording is not
/// cut into single samples.
pub fn split(samples: &[Samples], settings: &Settings) -> Vec<Session> {
    // Two samples have one distance, which is no period.
    let timed = periods(samples).into_iter().zip(samples).filter(|(_, samples)| samples.ts.len() >= 3);
    let slowest = timed.filter_map(|(period, _)| period).max().unwrap_or(0);
    let threshold = ((settings.session_gap_s * 1e6) as i64).max(slowest.saturating_mul(5));
    let times = all_times(samples);
    let mut sessions = Vec::new();
    let mut first = 0;
    for at in 1..=times.len() {
        if at < times.len() && times[at] - times[at - 1] <= threshold {
            continue;
        }
        sessions.push(session(samples, times[first..at].to_vec()));
        first = at;
    }
    sessions
}

fn all_times(samples: &[Samples]) -> Vec<i64> {
    let all: Vec<&[i64]> = samples.iter().map(|samples| samples.ts.as_slice()).collect();
    union(&all)
}

/// All times of some channels, sorted.
pub fn union(channels: &[&[i64]]) -> Vec<i64> {
    let mut times = Vec::new();
    for (at, ts) in channels.iter().enumerate() {
        // A sensor's fields mostly share their times.
        if at == 0 || channels[at - 1] != *ts {
            times.extend_from_slice(ts);
        }
    }
    // Finds that each channel is sorted already, which an unstable sort doesn't.
    times.sort();
    times.dedup();
    times
}

fn session(samples: &[Samples], times: Vec<i64>) -> Session {
    let (start, stop) = (times.first().copied().unwrap_or(0), times.last().copied().unwrap_or(0));
    let within = |samples: &Samples| {
        let from = samples.ts.partition_point(|t| *t < start);
        from..samples.ts.partition_point(|t| *t <= stop)
    };
    Session { start, stop, samples: samples.iter().map(within).collect(), times: Arc::new(times) }
}

/// The table `sessions`. A session's timestamps are told by their hash: whoever is aligned on them goes by that, and
/// does not care which channel brought which.
pub fn table(run: &str, sessions: &[Session]) -> Result<DataFrame, Reason> {
    let axis = |session: &Session| {
        let mut hasher = Hasher::new("assets.time_axis.1");
        for time in session.times.iter() {
            hasher.number(time.cast_unsigned());
        }
        let digest: Digest<16> = hasher.finish();
        digest.to_string()
    };
    let axes: Vec<String> = sessions.iter().map(axis).collect();
    let seconds = |session: &Session| (session.stop - session.start) as f64 / 1e6;
    columns::frame(vec![
        columns::constant_text(RUN, run, sessions.len()),
        columns::ints("session", (1..).take(sessions.len()).map(Some)),
        columns::times("start_time", sessions.iter().map(|session| session.start).collect()),
        columns::times("stop_time", sessions.iter().map(|session| session.stop).collect()),
        columns::floats("duration_s", sessions.iter().map(seconds).collect()),
        columns::ints("timestamps", sessions.iter().map(|session| Some(session.times.len() as i64))),
        columns::texts("time_axis", axes.iter().map(|axis| Some(axis.as_str()))),
    ])
}

const RECORDED: &str = "recorded";

/// A run's samples and its sessions.
#[derive(Debug, PartialEq)]
pub struct Recorded {
    /// By channel.
    pub samples: Vec<Samples>,
    /// In order.
    pub sessions: Vec<Session>,
}

impl Recorded {
    /// How much memory it takes: times and values, and each time once more in its session.
    fn bytes(&self) -> u64 {
        let words = |samples: &Samples| samples.ts.capacity() + samples.vs.capacity();
        let session = |session: &Session| {
            size_of::<Session>() + session.samples.capacity() * size_of::<Range<usize>>() + session.times.capacity() * 8
        };
        let samples = self.samples.iter().map(words).sum::<usize>() * 8;
        (samples + self.sessions.iter().map(session).sum::<usize>()) as u64
    }
}

/// Saves the next steps reading what is written of it.
pub fn keep(outputs: &mut Outputs<'_>, samples: Vec<Samples>, sessions: Vec<Session>) {
    let recorded = Recorded { samples, sessions };
    let bytes = recorded.bytes();
    outputs.keep(RECORDED, &["clean", "sessions"], recorded, bytes);
}

/// Reads a run's samples and its sessions, once for all steps that do.
pub fn read(inputs: &Inputs<'_>) -> Result<Arc<Recorded>, Reason> {
    let of: [(&str, &[&str]); 2] = [("clean", &channels::SAMPLE_COLUMNS), ("sessions", &["start_time", "stop_time"])];
    inputs.kept(RECORDED, &of, Recorded::bytes, || {
        let samples = channels::read(inputs)?;
        let bounds = inputs.read("sessions", &["start_time", "stop_time"])?;
        let starts = columns::to_times(&bounds, "start_time")?;
        let stops = columns::to_times(&bounds, "stop_time")?;
        let times = all_times(&samples);
        let within = |start: i64, stop: i64| {
            let from = times.partition_point(|t| *t < start);
            times[from..times.partition_point(|t| *t <= stop)].to_vec()
        };
        let bounds = starts.into_iter().flatten().zip(stops.into_iter().flatten());
        let sessions = bounds.map(|(start, stop)| session(&samples, within(start, stop))).collect();
        Ok(Recorded { samples, sessions })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_of_all_channels_splits_and_a_slow_recording_does_not() {
        let at = |ts: &[i64]| Samples { ts: ts.to_vec(), vs: vec![0.0; ts.len()] };
        let settings = Settings { session_gap_s: 10.0 };
        let second = 1_000_000;
        let samples = [at(&[0, second, 2 * second, 60 * second]), at(&[5 * second, 12 * second])];
        let found = split(&samples, &settings);
        let spans: Vec<_> = found.iter().map(|s| (s.start / second, s.stop / second)).collect();
        assert_eq!(spans, [(0, 12), (60, 60)]);
        assert_eq!(found[1].samples, [3..4, 2..2]);
        let slow = [at(&[0, 30 * second, 60 * second])];
        assert_eq!(split(&slow, &settings).len(), 1);
        assert!(split(&[at(&[])], &settings).is_empty());
    }
}
