//! Functions of a series over time: statistics of the window that ends at each time, a low-pass filter, an integral, a
//! look back. For whoever defines features; each takes one session's times and values, NaN where unknown.
//!
//! Windows are (t − w, t], as `pandas.Series.rolling("250ms")` has them. Unknown values are left out of a window; it is
//! unknown where nothing is left. Merging partial results instead of adding and subtracting keeps the digits: a value
//! that has left the window leaves nothing behind.
//!
//! Not here: what a session is, and how an expression calls these.

use super::interpolate;
use std::collections::VecDeque;

/// Raised whenever a result of this file changes.
pub const VERSION: u32 = 1;

/// A statistic of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistic {
    /// Arithmetic mean.
    Mean,
    /// Smallest.
    Min,
    /// Largest.
    Max,
    /// Standard deviation with n − 1; unknown of one value.
    Std,
    /// The middle one, or the mean of the two in the middle.
    Median,
}

/// Count, mean, sum of squared deviations, smallest and largest of some values.
#[derive(Debug, Clone, Copy)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
    min: f64,
    max: f64,
}

impl Moments {
    const NONE: Self = Self { count: 0.0, mean: 0.0, squares: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY };

    fn of(value: f64) -> Self {
        if value.is_nan() { Self::NONE } else { Self { count: 1.0, mean: value, squares: 0.0, min: value, max: value } }
    }

    /// Those of both together. Chan, Golub, LeVeque: Updating formulae and a pairwise algorithm (1979).
    fn with(self, other: Self) -> Self {
        if self.count == 0.0 {
            return other;
        }
        if other.count == 0.0 {
            return self;
        }
        let count = self.count + other.count;
        let apart = other.mean - self.mean;
        Self {
            count,
            mean: self.mean + apart * (other.count / count),
            squares: self.squares + other.squares + apart * apart * (self.count * other.count / count),
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }

    fn statistic(self, statistic: Statistic) -> f64 {
        match statistic {
            _ if self.count == 0.0 => f64::NAN,
            Statistic::Mean | Statistic::Median => self.mean,
            Statistic::Min => self.min,
            Statistic::Max => self.max,
            Statistic::Std if self.count < 2.0 => f64::NAN,
            Statistic::Std => (self.squares / (self.count - 1.0)).sqrt(),
        }
    }
}

/// A statistic of the values in (t − `window_us`, t] at each time. `ts` strictly increases and is as long as `vs`.
pub fn rolling(ts: &[i64], vs: &[f64], window_us: i64, statistic: Statistic) -> Vec<f64> {
    if statistic == Statistic::Median {
        return rolling_median(ts, vs, window_us);
    }
    // A queue of two stacks: the older one holds what is merged from each place to its end.
    let mut older: Vec<Moments> = Vec::new();
    let (mut newer, mut newer_from) = (Moments::NONE, 0);
    let mut first = 0;
    let mut out = Vec::with_capacity(ts.len());
    for (at, &time) in ts.iter().enumerate() {
        newer = newer.with(Moments::of(vs[at]));
        while ts[first] <= time.saturating_sub(window_us) {
            if older.is_empty() {
                let mut merged = Moments::NONE;
                for place in (newer_from..=at).rev() {
                    merged = Moments::of(vs[place]).with(merged);
                    older.push(merged);
                }
                (newer, newer_from) = (Moments::NONE, at + 1);
            }
            older.pop();
            first += 1;
        }
        out.push(older.last().copied().unwrap_or(Moments::NONE).with(newer).statistic(statistic));
    }
    out
}

fn rolling_median(ts: &[i64], vs: &[f64], window_us: i64) -> Vec<f64> {
    let mut sorted: Vec<f64> = Vec::new();
    let mut queue: VecDeque<(i64, f64)> = VecDeque::new();
    let mut out = Vec::with_capacity(ts.len());
    for (&time, &value) in ts.iter().zip(vs) {
        if !value.is_nan() {
            queue.push_back((time, value));
            sorted.insert(sorted.partition_point(|v| v.total_cmp(&value).is_lt()), value);
        }
        while let Some((_, gone)) = queue.pop_front_if(|(then, _)| *then <= time.saturating_sub(window_us)) {
            sorted.remove(sorted.partition_point(|v| v.total_cmp(&gone).is_lt()));
        }
        let middle = sorted.len() / 2;
        out.push(match sorted.len() {
            0 => f64::NAN,
            odd if odd % 2 == 1 => sorted[middle],
            _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
        });
    }
    out
}

/// A first-order low-pass filter with its −3 dB point at `cutoff_hz`, for uneven times: an RC circuit whose input is
/// constant between samples. Causal; begins at the first known value; unknown values are skipped.
pub fn low_pass(ts: &[i64], vs: &[f64], cutoff_hz: f64) -> Vec<f64> {
    let rate = std::f64::consts::TAU * cutoff_hz;
    let mut state: Option<(i64, f64)> = None;
    let step = |(&time, &value): (&i64, &f64)| {
        if value.is_nan() {
            return f64::NAN;
        }
        let next = match state {
            Some((then, before)) => {
                let share = -(-rate * (time - then) as f64 / 1e6).exp_m1();
                before + share * (value - before)
            }
            None => value,
        };
        state = Some((time, next));
        next
    };
    ts.iter().zip(vs).map(step).collect()
}

/// The integral from the first known value on, by trapezoids, in the values' unit times seconds. Unknown values are
/// bridged by the line between their neighbours, and stay unknown themselves.
pub fn integral(ts: &[i64], vs: &[f64]) -> Vec<f64> {
    let (mut total, mut last): (f64, Option<(i64, f64)>) = (0.0, None);
    let step = |(&time, &value): (&i64, &f64)| {
        if value.is_nan() {
            return f64::NAN;
        }
        if let Some((then, before)) = last {
            total += f64::midpoint(before, value) * ((time - then) as f64 / 1e6);
        }
        last = Some((time, value));
        total
    };
    ts.iter().zip(vs).map(step).collect()
}

/// The value `lag_us` earlier (later, where negative), linear between known values; unknown where that is before the
/// first or after the last of them.
pub fn lag(ts: &[i64], vs: &[f64], lag_us: i64) -> Vec<f64> {
    let (known_ts, known_vs) = known(ts, vs);
    let at: Vec<i64> = ts.iter().map(|t| t.saturating_sub(lag_us)).collect();
    let mut out = interpolate::linear(&known_ts, &known_vs, &at);
    interpolate::null_when_held(&known_ts, &at, &mut out);
    out
}

/// The known values with their times.
pub fn known(ts: &[i64], vs: &[f64]) -> (Vec<i64>, Vec<f64>) {
    ts.iter().zip(vs).filter(|(_, v)| !v.is_nan()).map(|(t, v)| (*t, *v)).unzip()
}
