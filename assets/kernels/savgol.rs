//! Savitzky–Golay differentiation on real times: a local least-squares polynomial, differentiated at the sample.
//!
//! Savitzky, Golay: Smoothing and Differentiation of Data by Simplified Least Squares Procedures, Anal. Chem. 36
//! (1964); the ends after Gorry, Anal. Chem. 62 (1990), as scipy's `mode="interp"`. On even samples it equals
//! `scipy.signal.savgol_filter(…, deriv=1 or 2)`; on uneven ones it is the same fit at the times as they are.
//!
//! Not here: what happens where a window holds too few samples (`derivative`).

use super::derivative::Derivatives;
use super::interpolate::median_period;
use std::ops::Range;

/// Raised whenever a result of this file changes.
pub const VERSION: u32 = 2;

/// A window with fewer samples is not fitted: it would pass through its noise.
pub const LEAST_SAMPLES: usize = 5;

/// The samples that each sample is fitted over, as ranges of indices.
///
/// A sample's centred window holds the samples at most `window_us / 2` away. It is *cut* at the left when one more
/// sample, a median period before the first, would have been in it; likewise at the right. Near the ends:
/// - a cut sample takes the window of the nearest sample not cut at that side, so the window shifts inward; jitter may
///   leave the very first or last sample outside of it, and the fit is then extrapolated to it;
/// - unless that window begins more than two median periods from it, past a pause: then it keeps its own;
/// - when every sample is cut and the session is no wider than the window, all samples are taken.
///
/// On even samples a window is uncut exactly when it holds as many samples as any, whatever the period.
pub fn windows(ts: &[i64], window_us: i64) -> Vec<Range<usize>> {
    let half = (window_us / 2).max(0);
    let mut windows = centred(ts, half);
    let (Some(period), Some(&first), Some(&last)) = (median_period(ts), ts.first(), ts.last()) else {
        return windows;
    };
    // Uncut at the left are the samples from `left` on, uncut at the right those before `right`.
    let left = ts.partition_point(|t| t - first + period <= half);
    let right = ts.partition_point(|t| last - t + period > half);
    if left >= right && last - first <= window_us {
        return vec![0..ts.len(); ts.len()];
    }
    // In a wider session no sample is cut at both ends. A centred window holds its own sample, so the ranges are valid.
    let from_left = windows.get(left).cloned();
    let from_right = windows[..right].last().cloned();
    let reach = period.saturating_mul(2);
    if let Some(nearest) = from_left {
        let first = ts.partition_point(|t| ts[nearest.start] - t > reach);
        windows[first..left].fill(nearest);
    }
    if let Some(nearest) = from_right {
        let end = ts.partition_point(|t| t - ts[nearest.end - 1] <= reach);
        windows[right..end].fill(nearest);
    }
    windows
}

/// For each sample those at most `half` µs away.
fn centred(ts: &[i64], half: i64) -> Vec<Range<usize>> {
    let (mut start, mut end) = (0, 0);
    let mut windows = Vec::with_capacity(ts.len());
    for &time in ts {
        while time - ts[start] > half {
            start += 1;
        }
        while ts.get(end).is_some_and(|t| t - time <= half) {
            end += 1;
        }
        windows.push(start..end);
    }
    windows
}

/// Writes velocity and acceleration (per second, per second²) of every sample whose window holds at least
/// [`LEAST_SAMPLES`]; others stay as they are in `out`.
///
/// `ts`, `windows` and each of `columns` are equally long; `out` holds one entry of that length per column. `order` is
/// the degree of the polynomial.
pub fn fit(ts: &[i64], columns: &[&[f64]], windows: &[Range<usize>], order: usize, out: &mut [Derivatives]) {
    let mut weights = Weights::default();
    for (i, window) in windows.iter().enumerate() {
        if window.len() < LEAST_SAMPLES {
            continue;
        }
        let times = &ts[window.clone()];
        // Real periods are constant for long stretches: the same offsets have the same weights.
        if !weights.hold_for(times, ts[i]) {
            weights.find(times, ts[i], order);
        }
        for (vs, result) in columns.iter().zip(out.iter_mut()) {
            (result.velocity[i], result.acceleration[i]) = weights.apply(&vs[window.clone()], vs[i]);
        }
    }
}

/// What each sample of a window contributes to the derivatives at one time.
#[derive(Default)]
struct Weights {
    offsets_us: Vec<i64>,
    velocity: Vec<f64>,
    acceleration: Vec<f64>,
    scratch: Vec<Node>,
}

/// One sample's place in the scaled window, and the current and the last orthogonal polynomial there.
struct Node {
    x: f64,
    p: f64,
    p_before: f64,
}

/// A polynomial's value and derivatives at the evaluated time, x = 0.
#[derive(Clone, Copy)]
struct AtZero {
    value: f64,
    slope: f64,
    curve: f64,
}

impl Weights {
    /// Whether these weights belong to this window around `at`.
    fn hold_for(&self, times: &[i64], at: i64) -> bool {
        self.offsets_us.len() == times.len() && self.offsets_us.iter().zip(times).all(|(offset, t)| *offset == t - at)
    }

    /// Finds the weights by expanding the fit in polynomials orthogonal over the samples (Forsythe 1957): their
    /// three-term recurrence keeps the digits that normal equations in powers of time lose.
    fn find(&mut self, times: &[i64], at: i64, order: usize) {
        self.offsets_us.clear();
        self.offsets_us.extend(times.iter().map(|t| t - at));
        // Scaled to [-1, 1], so that the degrees are of like size.
        let reach = self.offsets_us.iter().map(|offset| offset.unsigned_abs()).max().unwrap_or(1) as f64;
        self.scratch.clear();
        self.scratch.extend(self.offsets_us.iter().map(|&us| Node { x: us as f64 / reach, p: 1.0, p_before: 0.0 }));
        self.velocity.clear();
        self.velocity.resize(times.len(), 0.0);
        self.acceleration.clear();
        self.acceleration.resize(times.len(), 0.0);

        let per_second = 1e6 / reach;
        let mut here = AtZero { value: 1.0, slope: 0.0, curve: 0.0 };
        let mut before = AtZero { value: 0.0, slope: 0.0, curve: 0.0 };
        let mut norm_before = f64::INFINITY;
        for degree in 0..=order.min(times.len() - 1) {
            let norm: f64 = self.scratch.iter().map(|node| node.p * node.p).sum();
            // The constant has no derivative, so it adds nothing.
            if degree > 0 {
                self.add(here.slope * per_second / norm, here.curve * per_second * per_second / norm);
            }
            let shift = self.scratch.iter().map(|node| node.x * node.p * node.p).sum::<f64>() / norm;
            let back = norm / norm_before;
            for node in &mut self.scratch {
                let next = (node.x - shift) * node.p - back * node.p_before;
                (node.p_before, node.p) = (node.p, next);
            }
            let next = AtZero {
                value: -shift * here.value - back * before.value,
                slope: here.value - shift * here.slope - back * before.slope,
                curve: 2.0 * here.slope - shift * here.curve - back * before.curve,
            };
            (before, here, norm_before) = (here, next, norm);
        }
    }

    fn add(&mut self, slope: f64, curve: f64) {
        let both = self.velocity.iter_mut().zip(&mut self.acceleration);
        for ((velocity, acceleration), node) in both.zip(&self.scratch) {
            *velocity += slope * node.p;
            *acceleration += curve * node.p;
        }
    }

    /// Velocity and acceleration for the window's values, taken relative to the `origin`: positions far from zero
    /// would otherwise cancel to fewer digits.
    fn apply(&self, vs: &[f64], origin: f64) -> (f64, f64) {
        let (mut velocity, mut acceleration) = (0.0, 0.0);
        for ((v, by_velocity), by_acceleration) in vs.iter().zip(&self.velocity).zip(&self.acceleration) {
            let relative = v - origin;
            velocity += by_velocity * relative;
            acceleration += by_acceleration * relative;
        }
        (velocity, acceleration)
    }
}
