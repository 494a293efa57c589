//! Quantiles of a set of values, and how far a value lies from the others where some of them may be wrong.
//!
//! Not here: quantiles over time, and which values belong together.

use crate::kernels::median::median;

/// Raised whenever a result of this file changes.
pub const VERSION: u32 = 1;

/// Fewer values than this say nothing about what is usual.
pub const FEWEST: usize = 5;
/// What a median absolute deviation of 1 is in standard deviations of a normal distribution, inverted: its 0.75 quantile.
const MAD_TO_SIGMA: f64 = 0.6745;
/// The same for a mean absolute deviation: √(π/2).
const MEAN_AD_TO_SIGMA: f64 = 1.253_314;

/// The quantile `q` (0 to 1) of finite values in ascending order, linear between neighbours: numpy's default, type 7 of
/// Hyndman and Fan (1996). NaN for none.
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = q * last as f64;
    // Not negative and at most `last`, which fits.
    let below = (place.floor() as usize).min(last);
    let (low, high) = (sorted[below], sorted[(below + 1).min(last)]);
    let share = place - below as f64;
    // As numpy does it: from whichever end is nearer, so that both ends are met exactly.
    if share < 0.5 { low + (high - low) * share } else { high - (high - low) * (1.0 - share) }
}

/// What is usual among some values, in a way that outliers do not move.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usual {
    /// The median.
    pub median: f64,
    /// A robust standard deviation.
    pub sigma: f64,
}

impl Usual {
    /// The median of finite values, and from the median absolute deviation (MAD) the scale of the modified z-score of
    /// Iglewicz and Hoaglin (1993): z = 0.6745 (x − median) / MAD. Where more than half of the values are equal, the MAD is
    /// 0 and says nothing: then the mean absolute deviation from the median stands in, times √(π/2). `None` for fewer than
    /// five values, and where all are equal.
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.len() < FEWEST {
            return None;
        }
        let middle = median(&mut values.to_vec());
        let mut deviations: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
        // In one order whatever that of the values, so that the sum is the same.
        deviations.sort_by(f64::total_cmp);
        let mean = deviations.iter().sum::<f64>() / deviations.len() as f64;
        let mad = median(&mut deviations);
        let sigma = if mad > 0.0 { mad / MAD_TO_SIGMA } else { mean * MEAN_AD_TO_SIGMA };
        (sigma > 0.0).then_some(Self { median: middle, sigma })
    }

    /// How many robust standard deviations a value lies above the median.
    pub fn z(&self, value: f64) -> f64 {
        (value - self.median) / self.sigma
    }
}
