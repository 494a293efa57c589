//! Medians of a handful of values, as the grid and the outlier filter need them.
//!
//! Not here: rolling medians with a clever structure; windows are short, and selection in place beats it.

/// Raised whenever a result of this file changes.
pub const VERSION: u32 = 1;

/// Median of finite values, the mean of the two middle ones for an even count (as `numpy.median`).
///
/// Reorders `values`. NaN for none.
pub fn median(values: &mut [f64]) -> f64 {
    let count = values.len();
    if count == 0 {
        return f64::NAN;
    }
    let (below, &mut upper, _) = values.select_nth_unstable_by(count / 2, f64::total_cmp);
    if count % 2 == 1 {
        return upper;
    }
    let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (lower + upper) / 2.0
}
