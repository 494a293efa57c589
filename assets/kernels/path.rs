//! Length of a path through sampled positions, and two more lengths that tell how much of it is noise.
//!
//! Noise makes a path too long, never too short (Ranacher et al.: Why GPS makes distances bigger than they are,
//! Int. J. Geogr. Inf. Sci. 30, 2016); so the plain length is reported beside corrected ones.
//!
//! Not here: which points are valid, and sums over sessions.

/// Raised whenever a result of this file changes.
pub const VERSION: u32 = 1;

/// Sum of the Euclidean steps between points in order, in their unit; 0 for fewer than two points.
pub fn length(points: &[[f64; 3]]) -> f64 {
    points.windows(2).map(|pair| distance(&pair[0], &pair[1])).fold(0.0, |sum, step| sum + step)
}

/// Path length with a dead band, in the points' unit.
///
/// A point counts only when it is further than `band` from the last one that did. From the last *accepted* point, not
/// from the last point: a slow motion in steps below the band must add up.
pub fn length_dead_banded(points: &[[f64; 3]], band: f64) -> f64 {
    let Some((mut accepted, rest)) = points.split_first() else {
        return 0.0;
    };
    let mut sum = 0.0;
    for point in rest {
        let step = distance(accepted, point);
        if step > band {
            sum += step;
            accepted = point;
        }
    }
    sum
}

/// Path length over every second point, in their unit; the last point is always kept.
///
/// Noise then adds half as many steps: where this is much shorter than [`length`], the difference is mostly noise.
pub fn length_half_rate(points: &[[f64; 3]]) -> f64 {
    let mut kept: Vec<[f64; 3]> = points.iter().step_by(2).copied().collect();
    if points.len().is_multiple_of(2) {
        kept.extend(points.last());
    }
    length(&kept)
}

fn distance(from: &[f64; 3], to: &[f64; 3]) -> f64 {
    let [x, y, z] = [to[0] - from[0], to[1] - from[1], to[2] - from[2]];
    (x * x + y * y + z * z).sqrt()
}
