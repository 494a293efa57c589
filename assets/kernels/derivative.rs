//! Velocity and acceleration of a channel on its own samples.
//!
//! Differentiating values already interpolated onto other channels' timestamps gives velocity steps and acceleration
//! spikes; so this comes first, and its results are aligned like any channel.
//!
//! Not here: the local fit itself (`savgol`), alignment, norms of vectors.

use super::savgol;

/// Raised whenever a result of this file changes.
pub const VERSION: u32 = 1;

/// How to differentiate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Local least squares on real times: [`savgol`]. Looks ahead by half a window.
    Savgol {
        /// Width of the window in µs: a sample's window holds those at most half of it away.
        window_us: i64,
        /// Degree of the polynomial, 2 to 4.
        order: usize,
    },
    /// Second-order central differences, twice for the acceleration: `numpy.gradient`. Looks ahead by two samples.
    Central,
    /// Differences to the sample before. Causal.
    Backward,
}

/// Derivatives at each sample, in the values' unit per second.
#[derive(Debug, Clone, PartialEq)]
pub struct Derivatives {
    /// First derivative, unit/s; NaN where unknown.
    pub velocity: Vec<f64>,
    /// Second derivative, unit/s²; NaN where unknown.
    pub acceleration: Vec<f64>,
    /// Samples where [`Method::Central`] stood in, because the window held fewer than
    /// [`savgol::LEAST_SAMPLES`].
    pub fallback: usize,
}

/// Velocity and acceleration of one channel's samples in one session; `ts` and `vs` are equally long.
///
/// A single sample has no derivative: NaN. See [`Method`] for what each does at the ends.
pub fn differentiate(ts: &[i64], vs: &[f64], method: &Method) -> Derivatives {
    differentiate_many(ts, &[vs], method).pop().expect("one result per column, and there is one column")
}

/// [`differentiate`] for several columns on one time axis, such as the three fields of an encoder.
///
/// One result per column, in order, equal to differentiating each alone; the weights of a fit are found only once.
pub fn differentiate_many(ts: &[i64], columns: &[&[f64]], method: &Method) -> Vec<Derivatives> {
    match *method {
        Method::Savgol { window_us, order } => local_fit(ts, columns, window_us, order),
        Method::Central => columns.iter().map(|vs| central(ts, vs)).collect(),
        Method::Backward => columns.iter().map(|vs| backward(ts, vs)).collect(),
    }
}

fn local_fit(ts: &[i64], columns: &[&[f64]], window_us: i64, order: usize) -> Vec<Derivatives> {
    let windows = savgol::windows(ts, window_us);
    let fallback = windows.iter().filter(|window| window.len() < savgol::LEAST_SAMPLES).count();
    let start = |vs: &&[f64]| {
        if fallback > 0 {
            return Derivatives { fallback, ..central(ts, vs) };
        }
        let unknown = vec![f64::NAN; ts.len()];
        Derivatives { velocity: unknown.clone(), acceleration: unknown, fallback }
    };
    let mut out: Vec<Derivatives> = columns.iter().map(start).collect();
    savgol::fit(ts, columns, &windows, order, &mut out);
    out
}

fn central(ts: &[i64], vs: &[f64]) -> Derivatives {
    let velocity = gradient(ts, vs);
    let acceleration = gradient(ts, &velocity);
    Derivatives { velocity, acceleration, fallback: 0 }
}

/// `numpy.gradient(vs, ts)` per second with `edge_order=1` (Quarteroni, Sacco, Saleri: Numerical Mathematics,
/// 2007): between two slopes each weighs by the length of the other's interval. One-sided at the ends.
fn gradient(ts: &[i64], vs: &[f64]) -> Vec<f64> {
    let slopes = slopes(ts, vs);
    let (Some(&first), Some(&last)) = (slopes.first(), slopes.last()) else {
        return vec![f64::NAN; ts.len()];
    };
    let mut out = Vec::with_capacity(ts.len());
    out.push(first);
    for (pair, times) in slopes.windows(2).zip(ts.windows(3)) {
        let (before, after) = (times[1] - times[0], times[2] - times[1]);
        out.push((pair[0] * after as f64 + pair[1] * before as f64) / (before + after) as f64);
    }
    out.push(last);
    out
}

/// Differences to the sample before. The first velocity and the first two accelerations are unknown, which is not 0.
fn backward(ts: &[i64], vs: &[f64]) -> Derivatives {
    let step_back = |vs: &[f64]| {
        let unknown = ts.first().map(|_| f64::NAN);
        unknown.into_iter().chain(slopes(ts, vs)).collect::<Vec<f64>>()
    };
    let velocity = step_back(vs);
    let acceleration = step_back(&velocity);
    Derivatives { velocity, acceleration, fallback: 0 }
}

/// Slope per second of each interval between neighbours: one fewer than samples.
fn slopes(ts: &[i64], vs: &[f64]) -> Vec<f64> {
    let intervals = ts.windows(2).zip(vs.windows(2));
    intervals.map(|(t, v)| (v[1] - v[0]) / seconds(t[1] - t[0])).collect()
}

fn seconds(us: i64) -> f64 {
    us as f64 / 1e6
}
