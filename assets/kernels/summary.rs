//! One number for a whole stretch of samples.
//!
//! Not here: quantities that need several channels (norms), and sums over sessions.

/// Raised whenever a result of this file changes.
pub const VERSION: u32 = 1;

/// Mean over time in the values' unit: the integral by the trapezoid rule, divided by the time it covers.
///
/// Unlike the mean of samples it does not prefer stretches that were sampled more densely. `ts` and `vs` are equally
/// long. An interval with a NaN at either end is left out of both. Where no interval is left, valid samples stand
/// alone and their plain mean is taken; `None` when there are none.
pub fn time_weighted_mean(ts: &[i64], vs: &[f64]) -> Option<f64> {
    let (mut integral, mut covered_us) = (0.0, 0);
    for (t, v) in ts.windows(2).zip(vs.windows(2)) {
        let middle = (v[0] + v[1]) / 2.0;
        if !middle.is_nan() {
            integral += middle * (t[1] - t[0]) as f64;
            covered_us += t[1] - t[0];
        }
    }
    if covered_us > 0 {
        return Some(integral / covered_us as f64);
    }
    let (sum, count) = vs.iter().filter(|v| !v.is_nan()).fold((0.0, 0_u32), |(sum, count), v| (sum + v, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

/// The largest value, NaN ignored; `None` when there is none.
pub fn peak(vs: &[f64]) -> Option<f64> {
    vs.iter().copied().filter(|v| !v.is_nan()).reduce(f64::max)
}
