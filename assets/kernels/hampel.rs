//! Outliers by the Hampel identifier: how far a sample is from the median around it, in robust deviations.
//!
//! Davies, Gather: The Identification of Multiple Outliers, J. Am. Stat. Assoc. 88 (1993); as a moving filter
//! Pearson: Outliers in process modeling and identification, IEEE Trans. Control Syst. Technol. 10 (2002).
//!
//! Not here: what is done about an outlier, and whether the filter is on; for forces spikes are real.

use super::median::median;

/// Raised whenever a result of this file changes.
pub const VERSION: u32 = 1;

/// Makes the median absolute deviation of normal noise its standard deviation.
const MAD_TO_SIGMA: f64 = 1.4826;

/// With fewer samples around it (itself included) nothing is called an outlier.
const LEAST_SAMPLES: usize = 3;

/// Whether each sample lies further than `k` deviations from the median of its window.
///
/// `ts` and `vs` are equally long, and so is the result. The window holds the samples at most `window_us / 2` away;
/// at the ends it shrinks. The deviation is 1.4826 times the median absolute deviation, but at least `resolution`,
/// the smallest step the sensor can tell (in the unit of the values): on a resting or quantized signal the MAD is 0,
/// and every step would be an outlier.
pub fn outliers(ts: &[i64], vs: &[f64], window_us: i64, k: f64, resolution: f64) -> Vec<bool> {
    let half = (window_us / 2).max(0);
    let (mut start, mut end) = (0, 0);
    let mut scratch = Vec::new();
    let mut out = Vec::with_capacity(ts.len());
    for (&time, &value) in ts.iter().zip(vs) {
        while time - ts[start] > half {
            start += 1;
        }
        while ts.get(end).is_some_and(|t| t - time <= half) {
            end += 1;
        }
        scratch.clear();
        scratch.extend_from_slice(&vs[start..end]);
        out.push(scratch.len() >= LEAST_SAMPLES && is_outlier(value, &mut scratch, k, resolution));
    }
    out
}

fn is_outlier(value: f64, window: &mut [f64], k: f64, resolution: f64) -> bool {
    let middle = median(window);
    for v in window.iter_mut() {
        *v = (*v - middle).abs();
    }
    (value - middle).abs() > k * (MAD_TO_SIGMA * median(window)).max(resolution)
}
