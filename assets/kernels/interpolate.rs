//! Values of a channel at times of other channels, and where such values rest on no nearby sample.
//!
//! Not here: coarser grids and merged rows (`resample`), and the decision which of these to use.

/// Raised whenever a result of this file changes.
pub const VERSION: u32 = 1;

/// Linear interpolation in time; before the first and after the last sample its value is held (as `numpy.interp`).
///
/// `ts` and `vs` are equally long, `at` ascends. The result is as long as `at`. At a sample's own time the result is
/// the sample, bit by bit. A NaN in `vs` is unknown, and so is everything between it and its neighbours. Without
/// samples everything is NaN.
pub fn linear(ts: &[i64], vs: &[f64], at: &[i64]) -> Vec<f64> {
    let mut right = 0;
    let mut out = Vec::with_capacity(at.len());
    for &time in at {
        right += leading(&ts[right..], |t| t < time);
        out.push(match (right.checked_sub(1), ts.get(right)) {
            (_, Some(&t)) if t == time => vs[right],
            (Some(left), Some(&t)) => {
                // Integers first: an epoch in microseconds leaves a float no digits for the difference.
                let share = (time - ts[left]) as f64 / (t - ts[left]) as f64;
                vs[left] + (vs[right] - vs[left]) * share
            }
            (None, Some(_)) => vs[right],
            (Some(left), None) => vs[left],
            (None, None) => f64::NAN,
        });
    }
    out
}

/// The last known value at each time; before the first sample its value is held.
///
/// Shapes as for [`linear`]. Without samples everything is NaN.
pub fn previous(ts: &[i64], vs: &[f64], at: &[i64]) -> Vec<f64> {
    let mut known = 0;
    let mut out = Vec::with_capacity(at.len());
    for &time in at {
        known += leading(&ts[known..], |t| t <= time);
        out.push(vs.get(known.saturating_sub(1)).copied().unwrap_or(f64::NAN));
    }
    out
}

/// Sets `out` to NaN where `at` lies strictly between two neighbouring samples more than `max_gap_us` apart.
///
/// `at` ascends and is as long as `out`. Samples themselves, and times before the first or after the last, stay.
pub fn null_in_gaps(ts: &[i64], at: &[i64], max_gap_us: i64, out: &mut [f64]) {
    let mut right = 0;
    for (&time, value) in at.iter().zip(out) {
        right += leading(&ts[right..], |t| t < time);
        if let (Some(left), Some(&t)) = (right.checked_sub(1), ts.get(right))
            && t != time
            && t - ts[left] > max_gap_us
        {
            *value = f64::NAN;
        }
    }
}

/// Sets `out` to NaN where `at` lies before the first or after the last sample; everywhere if there is none.
///
/// For derivatives: a held position would claim a velocity of 0, a held velocity a motion nobody measured.
pub fn null_when_held(ts: &[i64], at: &[i64], out: &mut [f64]) {
    let covered = ts.first().zip(ts.last());
    for (time, value) in at.iter().zip(out) {
        if !covered.is_some_and(|(first, last)| first <= time && time <= last) {
            *value = f64::NAN;
        }
    }
}

/// Median time between consecutive samples in µs, the lower one of two middle values; `None` for fewer than 2 samples.
pub fn median_period(ts: &[i64]) -> Option<i64> {
    let mut periods: Vec<i64> = ts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let middle = periods.len().checked_sub(1)? / 2;
    Some(*periods.select_nth_unstable(middle).1)
}

/// The neighbouring samples more than `max_gap_us` apart, as (left, right) times in order.
pub fn long_gaps(ts: &[i64], max_gap_us: i64) -> Vec<(i64, i64)> {
    let pairs = ts.windows(2).map(|pair| (pair[0], pair[1]));
    pairs.filter(|(left, right)| right - left > max_gap_us).collect()
}

/// How many times at the head satisfy `holds`: one step of a forward pass over both axes.
fn leading(ts: &[i64], holds: impl Fn(i64) -> bool) -> usize {
    ts.iter().take_while(|&&t| holds(t)).count()
}
