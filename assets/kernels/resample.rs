//! Rows coarser than the union of all timestamps: medians on a grid, and neighbouring records merged into one row.
//!
//! Not here: rows at every timestamp (`interpolate`).

use super::interpolate::linear;
use super::median::median;

/// Raised whenever a result of this file changes.
pub const VERSION: u32 = 1;

/// Starts of all bins of `grid_us` that cover `first..=last`, in µs: multiples of `grid_us` since the epoch.
///
/// Empty when `first > last` or `grid_us` is not positive.
pub fn grid_bins(first: i64, last: i64, grid_us: i64) -> Vec<i64> {
    if grid_us <= 0 || first > last {
        return Vec::new();
    }
    // Euclidean, so that bins before 1970 are labelled by their start as well.
    let start = first - first.rem_euclid(grid_us);
    std::iter::successors(Some(start), |bin| bin.checked_add(grid_us)).take_while(|&bin| bin <= last).collect()
}

/// Median of the samples in each `[bin, bin + grid_us)` (as `numpy.median`), one value per bin.
///
/// `bins` are ascending starts that do not overlap, such as [`grid_bins`] gives. NaN samples are ignored. A bin
/// without samples is interpolated linearly between the labels of those that have some; at the ends the nearest is
/// held. All NaN without any sample.
pub fn grid_median(ts: &[i64], vs: &[f64], bins: &[i64], grid_us: i64) -> Vec<f64> {
    let (mut labels, mut medians) = (Vec::new(), Vec::new());
    let mut samples = ts.iter().zip(vs).peekable();
    let mut values = Vec::new();
    for &bin in bins {
        while samples.next_if(|&(&t, _)| t < bin).is_some() {}
        values.clear();
        while let Some((_, &v)) = samples.next_if(|&(&t, _)| t - bin < grid_us) {
            if !v.is_nan() {
                values.push(v);
            }
        }
        if !values.is_empty() {
            labels.push(bin);
            medians.push(median(&mut values));
        }
    }
    linear(&labels, &medians, bins)
}

/// Collapses neighbouring samples of several channels into rows.
///
/// `samples` are (time, channel number), sorted by time, then channel; channels are few. Greedy from the left: a row
/// starts at a sample's time and takes the following timestamps, all samples of one timestamp together, while they
/// are at most `merge_us` after its start and no channel would occur twice in it.
///
/// Returns the label of each row, the time it starts at (strictly increasing), and the row of each sample.
pub fn merge_rows(samples: &[(i64, u32)], merge_us: i64) -> (Vec<i64>, Vec<usize>) {
    let mut labels: Vec<i64> = Vec::new();
    let mut rows = Vec::with_capacity(samples.len());
    let mut present: Vec<u32> = Vec::new();
    for together in samples.chunk_by(|a, b| a.0 == b.0) {
        let time = together[0].0;
        let joins = labels.last().is_some_and(|start| time - start <= merge_us)
            && together.iter().all(|(_, channel)| !present.contains(channel));
        if !joins {
            labels.push(time);
            present.clear();
        }
        present.extend(together.iter().map(|(_, channel)| channel));
        rows.extend(std::iter::repeat_n(labels.len() - 1, together.len()));
    }
    (labels, rows)
}

/// One channel over `rows` merged rows: its values in their rows, the last known one in others, the head held.
///
/// `sample_rows` (ascending, from [`merge_rows`]) and `vs` are equally long. All NaN without samples.
pub fn merge_fill(rows: usize, sample_rows: &[usize], vs: &[f64]) -> Vec<f64> {
    let mut samples = sample_rows.iter().zip(vs).peekable();
    let mut known = vs.first().copied().unwrap_or(f64::NAN);
    let mut out = Vec::with_capacity(rows);
    for row in 0..rows {
        while let Some((_, &v)) = samples.next_if(|&(&at, _)| at <= row) {
            known = v;
        }
        out.push(known);
    }
    out
}
