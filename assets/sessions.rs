//! Sessions: a silence of all channels longer than a threshold splits a run. Nothing is interpolated, held,
//! differentiated or summed across it.

use crate::channels::Samples;
use crate::clean::periods;
use crate::settings::Sessions as Settings;
use std::ops::Range;

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
    pub times: Vec<i64>,
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
    let mut times: Vec<i64> = samples.iter().flat_map(|samples| samples.ts.iter().copied()).collect();
    times.sort_unstable();
    times.dedup();
    let mut sessions = Vec::new();
    let mut first = 0;
    for at in 1..=times.len() {
        if at < times.len() && times[at] - times[at - 1] <= threshold {
            continue;
        }
        let (start, stop) = (times[first], times[at - 1]);
        let within = |samples: &Samples| {
            let from = samples.ts.partition_point(|t| *t < start);
            from..samples.ts.partition_point(|t| *t <= stop)
        };
        let ranges = samples.iter().map(within).collect();
        sessions.push(Session { start, stop, samples: ranges, times: times[first..at].to_vec() });
        first = at;
    }
    sessions
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
