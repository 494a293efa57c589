//! The numeric kernels against independent references (numpy, scipy: `fixtures/make_kernels.py`), against analytic
//! truth, and at the edges where a reference has no say.

use assets::kernels::derivative::{Derivatives, Method, differentiate, differentiate_many};
use assets::kernels::{hampel, interpolate, median, path, resample, savgol, summary};
use serde_json::Value;
use std::sync::LazyLock;

const NAN: f64 = f64::NAN;
const SAVGOL: Method = Method::Savgol { window_us: 250_000, order: 3 };

static REFERENCE: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("fixtures/kernels.json")).unwrap());

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap_or(NAN)).collect()
}

fn ints(value: &Value) -> Vec<i64> {
    value.as_array().unwrap().iter().map(|v| v.as_i64().unwrap()).collect()
}

/// Equal to within `tolerance`, NaN only where NaN is expected.
fn assert_close(actual: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len());
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!((a - e).abs() <= tolerance || (a.is_nan() && e.is_nan()), "at {i}: {a} instead of {e}");
    }
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |most, v| v.abs().max(most))
}

/// Both derivatives to 1e-9 of max|y| per period and per period squared.
fn check_derivatives(case: &Value, method: Method) {
    let (ts, vs) = (ints(&case["ts"]), floats(&case["vs"]));
    let period = interpolate::median_period(&ts).unwrap() as f64 / 1e6;
    let unit = 1e-9 * largest(&vs);
    let actual = differentiate(&ts, &vs, &method);
    assert_close(&actual.velocity, &floats(&case["velocity"]), unit / period);
    assert_close(&actual.acceleration, &floats(&case["acceleration"]), unit / period / period);
    assert_eq!(actual.fallback, 0);
}

fn every(period: i64, count: i64) -> Vec<i64> {
    (0..count).map(|i| 1_700_000_000_000_000 + i * period).collect()
}

#[test]
fn linear_and_previous_equal_numpy() {
    let case = &REFERENCE["linear"];
    let (ts, vs, at) = (ints(&case["ts"]), floats(&case["vs"]), ints(&case["at"]));
    assert_close(&interpolate::linear(&ts, &vs, &at), &floats(&case["linear"]), 1e-9 * largest(&vs));
    assert_eq!(interpolate::previous(&ts, &vs, &at), floats(&case["previous"]));
    assert_eq!(interpolate::linear(&ts, &vs, &ts), vs);
}

#[test]
fn linear_keeps_unknown_unknown() {
    let vs = [1.0, NAN, 3.0, 5.0];
    let actual = interpolate::linear(&[0, 10, 20, 30], &vs, &[-5, 0, 5, 10, 15, 20, 25, 30, 35]);
    assert_close(&actual, &[1.0, 1.0, NAN, NAN, NAN, 3.0, 4.0, 5.0, 5.0], 0.0);
    assert_close(&interpolate::linear(&[], &[], &[1, 2]), &[NAN, NAN], 0.0);
    assert_close(&interpolate::previous(&[], &[], &[1]), &[NAN], 0.0);
    assert_close(&interpolate::linear(&[5], &[2.0], &[1, 5, 9]), &[2.0; 3], 0.0);
    assert!(interpolate::linear(&[5], &[2.0], &[]).is_empty());
}

#[test]
fn gaps_are_nulled_strictly_between_their_samples() {
    let at = [-5, 0, 5, 10, 11, 39, 40, 45, 50, 60];
    let mut out = [1.0; 10];
    interpolate::null_in_gaps(&[0, 10, 40, 50], &at, 29, &mut out);
    assert_close(&out, &[1.0, 1.0, 1.0, 1.0, NAN, NAN, 1.0, 1.0, 1.0, 1.0], 0.0);
    let mut exactly = [1.0; 10];
    interpolate::null_in_gaps(&[0, 10, 40, 50], &at, 30, &mut exactly);
    assert_eq!(exactly, [1.0; 10]);
    assert_eq!(interpolate::long_gaps(&[0, 10, 40, 50, 90], 29), [(10, 40), (50, 90)]);
    assert_eq!(interpolate::long_gaps(&[0, 10, 40], 30), []);
}

#[test]
fn held_stretches_are_nulled() {
    let mut out = [1.0; 5];
    interpolate::null_when_held(&[10, 20], &[9, 10, 15, 20, 21], &mut out);
    assert_close(&out, &[NAN, 1.0, 1.0, 1.0, NAN], 0.0);
    let mut unknown = [1.0; 2];
    interpolate::null_when_held(&[], &[1, 2], &mut unknown);
    assert_close(&unknown, &[NAN, NAN], 0.0);
}

#[test]
fn medians() {
    assert_eq!(interpolate::median_period(&[0, 12, 25, 35, 1000]), Some(12));
    assert_eq!(interpolate::median_period(&[0, 10, 22]), Some(10));
    assert_eq!(interpolate::median_period(&[7]), None);
    assert_eq!(interpolate::median_period(&[]), None);
    assert_eq!(median::median(&mut [3.0, 1.0, 2.0]), 2.0);
    assert_eq!(median::median(&mut [4.0, 1.0, 3.0, 2.0]), 2.5);
    assert_eq!(median::median(&mut [-1.0]), -1.0);
    assert!(median::median(&mut []).is_nan());
}

#[test]
fn grid_equals_numpy() {
    let case = &REFERENCE["grid"];
    let (ts, vs) = (ints(&case["ts"]), floats(&case["vs"]));
    let grid_us = case["grid_us"].as_i64().unwrap();
    let bins = resample::grid_bins(ts[0], ts[ts.len() - 1], grid_us);
    assert_eq!(bins, ints(&case["bins"]));
    assert!(case["empty"].as_i64().unwrap() > 5);
    assert_close(&resample::grid_median(&ts, &vs, &bins, grid_us), &floats(&case["medians"]), 1e-12 * 40.0);
}

#[test]
fn grid_edges() {
    assert_eq!(resample::grid_bins(-15, 9, 10), [-20, -10, 0]);
    assert_eq!(resample::grid_bins(-10, 10, 10), [-10, 0, 10]);
    assert_eq!(resample::grid_bins(5, 4, 10), [0; 0]);
    assert_eq!(resample::grid_bins(0, 10, 0), [0; 0]);
    let actual = resample::grid_median(&[21, 29, 30, 55], &[1.0, 2.0, 7.0, 9.0], &[0, 10, 20, 30, 40, 50, 60], 10);
    assert_close(&actual, &[1.5, 1.5, 1.5, 7.0, 8.0, 9.0, 9.0], 0.0);
    assert_close(&resample::grid_median(&[1], &[NAN], &[0, 10], 10), &[NAN, NAN], 0.0);
}

fn check_merge(samples: &[(i64, u32)], merge_us: i64, labels: &[i64], rows: &[usize]) {
    assert_eq!(resample::merge_rows(samples, merge_us), (labels.to_vec(), rows.to_vec()));
}

#[test]
fn merge_takes_what_is_near_and_never_a_channel_twice() {
    check_merge(&[], 5, &[], &[]);
    check_merge(&[(0, 0), (0, 1), (3, 2), (5, 3), (6, 4)], 5, &[0, 6], &[0, 0, 0, 0, 1]);
    check_merge(&[(0, 0), (1, 1), (2, 0), (3, 2)], 100, &[0, 2], &[0, 0, 1, 1]);
    // A timestamp is never torn apart: channel 2 waits for channel 0.
    check_merge(&[(0, 0), (1, 0), (1, 2), (2, 1)], 100, &[0, 1], &[0, 1, 1, 1]);
    check_merge(&[(0, 0), (1, 1)], 0, &[0, 1], &[0, 1]);
    // Measured from the row's start, not from its last sample.
    check_merge(&[(0, 0), (4, 1), (8, 2)], 5, &[0, 8], &[0, 0, 1]);
}

#[test]
fn merge_fill_holds_the_head_and_carries_the_last() {
    assert_eq!(resample::merge_fill(5, &[1, 3], &[7.0, 8.0]), [7.0, 7.0, 7.0, 8.0, 8.0]);
    assert_close(&resample::merge_fill(2, &[], &[]), &[NAN, NAN], 0.0);
}

#[test]
fn central_equals_numpy_gradient() {
    for case in REFERENCE["central"].as_array().unwrap() {
        check_derivatives(case, Method::Central);
    }
}

#[test]
fn savgol_equals_scipy_on_even_samples() {
    for case in REFERENCE["savgol_even"].as_array().unwrap() {
        let order = case["order"].as_u64().unwrap() as usize;
        check_derivatives(case, Method::Savgol { window_us: 250_000, order });
    }
}

#[test]
fn savgol_equals_polyfit_on_uneven_samples() {
    for case in REFERENCE["savgol_uneven"].as_array().unwrap() {
        let order = case["order"].as_u64().unwrap() as usize;
        check_derivatives(case, Method::Savgol { window_us: 250_000, order });
    }
}

/// A cubic far from zero, with its derivatives.
fn cubic(ts: &[i64]) -> [Vec<f64>; 3] {
    let of = |f: fn(f64) -> f64| ts.iter().map(|t| f((t - ts[0]) as f64 / 1e6)).collect::<Vec<f64>>();
    [
        of(|s| 1440.0 + 20.0 * s - 7.0 * s * s + 3.0 * s * s * s),
        of(|s| 20.0 - 14.0 * s + 9.0 * s * s),
        of(|s| -14.0 + 18.0 * s),
    ]
}

fn check_cubic(ts: &[i64]) {
    let [vs, velocity, acceleration] = cubic(ts);
    let actual = differentiate(ts, &vs, &SAVGOL);
    assert_close(&actual.velocity, &velocity, 1e-8);
    assert_close(&actual.acceleration, &acceleration, 1e-5);
    assert_eq!(actual.fallback, 0);
}

#[test]
fn savgol_finds_a_cubic_everywhere() {
    let jittered: Vec<i64> = every(12_000, 80).iter().enumerate().map(|(i, t)| t + (i as i64 * 7919) % 5000).collect();
    check_cubic(&every(12_000, 80));
    check_cubic(&jittered);
    check_cubic(&every(12_000, 21));
    // Shorter than the window.
    check_cubic(&every(12_000, 20));
    check_cubic(&every(30_000, 5));
    // A pause, shorter and longer than half a window, and a burst before one.
    for (pause, after) in [(100_000, 40), (2_000_000, 40), (2_000_000, 8), (150_000, 33)] {
        let ts: Vec<i64> = (0..60).map(|i| i * 12_000 + if i >= after { pause } else { 0 }).collect();
        check_cubic(&ts);
    }
}

#[test]
fn savgol_windows_shift_inward_but_not_past_a_pause() {
    let windows = savgol::windows(&every(10_000, 30), 250_000);
    assert_eq!((&windows[0], &windows[12], &windows[13]), (&(0..25), &(0..25), &(1..26)));
    assert_eq!((&windows[16], &windows[17], &windows[29]), (&(4..29), &(5..30), &(5..30)));
    assert_eq!(savgol::windows(&every(10_000, 24), 250_000), vec![0..24; 24]);
    // Six samples, a pause of a second, and the rest: the six are fitted alone, at both sides of it.
    let ts: Vec<i64> = (0..60).map(|i| i * 10_000 + if i >= 6 { 1_000_000 } else { 0 }).collect();
    let windows = savgol::windows(&ts, 250_000);
    assert_eq!(windows[..6], vec![0..6; 6]);
    assert_eq!((&windows[6], &windows[59]), (&(6..19), &(35..60)));
    let mirrored: Vec<i64> = ts.iter().rev().map(|t| -t).collect();
    assert_eq!(savgol::windows(&mirrored, 250_000)[54..], vec![54..60; 6]);
    // Two bursts, none of whose samples has a whole window.
    let ts: Vec<i64> = (0..12).map(|i| i * 10_000 + if i >= 6 { 1_000_000 } else { 0 }).collect();
    assert_eq!(savgol::windows(&ts, 250_000), [vec![0..6; 6], vec![6..12; 6]].concat());
    assert!(savgol::windows(&[], 250_000).is_empty());
    assert_eq!(savgol::windows(&[3], 250_000), vec![0..1; 1]);
}

#[test]
fn savgol_gives_way_to_central_where_samples_are_few() {
    for count in [1, 2, 5, 40] {
        let ts = every(1_667_000, count);
        let [vs, ..] = cubic(&ts);
        let (local, central) = (differentiate(&ts, &vs, &SAVGOL), differentiate(&ts, &vs, &Method::Central));
        assert_close(&local.velocity, &central.velocity, 0.0);
        assert_close(&local.acceleration, &central.acceleration, 0.0);
        assert_eq!(local.fallback as i64, count);
    }
    // Only where: dense, then thin.
    let ts: Vec<i64> = (0..40).map(|i| i * 10_000).chain((1..=10).map(|i| 390_000 + i * 1_000_000)).collect();
    let [vs, velocity, _] = cubic(&ts);
    let actual = differentiate(&ts, &vs, &SAVGOL);
    assert_eq!(actual.fallback, 10);
    assert_close(&actual.velocity[..40], &velocity[..40], 1e-8);
    assert_eq!(actual.velocity[40..], differentiate(&ts, &vs, &Method::Central).velocity[40..]);
}

#[test]
fn backward_is_causal_and_starts_unknown() {
    let ts = [0, 500_000, 1_000_000, 2_000_000];
    let actual = differentiate(&ts, &[1.0, 2.0, 4.0, 5.0], &Method::Backward);
    assert_close(&actual.velocity, &[NAN, 2.0, 4.0, 1.0], 0.0);
    assert_close(&actual.acceleration, &[NAN, NAN, 4.0, -3.0], 0.0);
}

#[test]
fn one_sample_or_none_has_no_derivative() {
    for method in [SAVGOL, Method::Central, Method::Backward] {
        let single = differentiate(&[5], &[1.0], &method);
        assert!(single.velocity[0].is_nan() && single.acceleration[0].is_nan());
        let none = Derivatives { velocity: vec![], acceleration: vec![], fallback: 0 };
        assert_eq!(differentiate(&[], &[], &method), none);
    }
}

#[test]
fn columns_together_equal_columns_alone() {
    let ts: Vec<i64> = (0..100).map(|i| i * 12_000 + (i * i) % 700).collect();
    let [a, b, c] = cubic(&ts);
    for method in [SAVGOL, Method::Central] {
        let alone: Vec<Derivatives> = [&a, &b, &c].iter().map(|vs| differentiate(&ts, vs, &method)).collect();
        assert_eq!(differentiate_many(&ts, &[&a, &b, &c], &method), alone);
    }
}

#[test]
fn hampel_equals_numpy() {
    for case in REFERENCE["hampel"].as_array().unwrap() {
        let (k, resolution) = (case["k"].as_f64().unwrap(), case["resolution"].as_f64().unwrap());
        let actual = hampel::outliers(&ints(&case["ts"]), &floats(&case["vs"]), 200_000, k, resolution);
        let expected: Vec<bool> = case["outliers"].as_array().unwrap().iter().map(|v| v.as_bool().unwrap()).collect();
        assert_eq!(actual, expected);
        assert!(expected.contains(&true));
    }
}

#[test]
fn hampel_forgives_a_step_of_the_resolution_and_judges_nobody_alone() {
    let ts = every(10_000, 7);
    let resting = [1.0, 1.0, 1.0, 1.1, 1.0, 1.0, 1.0];
    let strict = hampel::outliers(&ts, &resting, 100_000, 3.0, 0.0);
    assert_eq!(strict, [false, false, false, true, false, false, false]);
    assert_eq!(hampel::outliers(&ts, &resting, 100_000, 3.0, 0.1), [false; 7]);
    assert_eq!(hampel::outliers(&ts[..2], &[0.0, 1e9], 100_000, 3.0, 0.1), [false; 2]);
}

#[test]
fn path_lengths_equal_numpy() {
    let case = &REFERENCE["path"];
    let triple = |p: &Value| <[f64; 3]>::try_from(floats(p)).unwrap();
    let points: Vec<[f64; 3]> = case["points"].as_array().unwrap().iter().map(triple).collect();
    let check = |actual: f64, expected: &Value| {
        let expected = expected.as_f64().unwrap();
        assert!((actual - expected).abs() <= 1e-9 * expected, "{actual} instead of {expected}");
    };
    check(path::length(&points), &case["length"]);
    check(path::length_dead_banded(&points, case["band"].as_f64().unwrap()), &case["dead_banded"]);
    check(path::length_half_rate(&points), &case["half_rate"]);
}

#[test]
fn path_edges() {
    let along = |xs: &[f64]| xs.iter().map(|&x| [x, 0.0, 0.0]).collect::<Vec<_>>();
    for points in [along(&[]), along(&[3.0])] {
        assert_eq!(path::length(&points), 0.0);
        assert_eq!(path::length_dead_banded(&points, 0.1), 0.0);
        assert_eq!(path::length_half_rate(&points), 0.0);
    }
    // A slow motion adds up; a quiver does not; a step of exactly the band does not count.
    assert_eq!(path::length_dead_banded(&along(&[0.0, 0.75, 1.5, 2.25, 3.0]), 1.0), 3.0);
    assert_eq!(path::length_dead_banded(&along(&[0.0, 1.0, 0.0, -1.0, 0.0]), 1.0), 0.0);
    assert_eq!(path::length_half_rate(&along(&[0.0, 5.0, 1.0, 9.0, 2.0])), 2.0);
    assert_eq!(path::length_half_rate(&along(&[0.0, 5.0, 1.0, 4.0])), 4.0);
}

#[test]
fn mean_over_time() {
    let case = &REFERENCE["mean"];
    let actual = summary::time_weighted_mean(&ints(&case["ts"]), &floats(&case["vs"])).unwrap();
    assert!((actual - case["mean"].as_f64().unwrap()).abs() < 1e-12 * 40.0);
    assert_eq!(summary::time_weighted_mean(&[0, 1, 4, 5], &[1.0, 3.0, NAN, 9.0]), Some(2.0));
    assert_eq!(summary::time_weighted_mean(&[0, 1, 4], &[1.0, NAN, 3.0]), Some(2.0));
    assert_eq!(summary::time_weighted_mean(&[0, 1], &[NAN, 3.0]), Some(3.0));
    assert_eq!(summary::time_weighted_mean(&[0], &[NAN]), None);
    assert_eq!(summary::time_weighted_mean(&[], &[]), None);
}

#[test]
fn peak_ignores_unknown() {
    assert_eq!(summary::peak(&[NAN, -3.0, -1.0, NAN]), Some(-1.0));
    assert_eq!(summary::peak(&[NAN]), None);
    assert_eq!(summary::peak(&[]), None);
}

fn rms(errors: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = errors.fold((0.0, 0.0), |(sum, count), error| (sum + error * error, count + 1.0));
    f64::sqrt(sum / count)
}

/// Rms errors of velocity and acceleration, per axis, for a circle at 88 mm/s and 39 mm/s².
fn circle_errors(positions: &Value, method: &Method) -> (f64, f64) {
    let (speed, acceleration) = (88.0, 39.0);
    let rate: f64 = acceleration / speed;
    let axes: Vec<Vec<f64>> = positions.as_array().unwrap().iter().map(floats).collect();
    let ts = every(12_000, axes[0].len() as i64);
    let found = differentiate_many(&ts, &[&axes[0], &axes[1]], method);
    let (mut of_velocity, mut of_acceleration) = (Vec::new(), Vec::new());
    for (axis, quarter) in found.iter().zip([0.0, std::f64::consts::FRAC_PI_2]) {
        for (i, t) in ts.iter().enumerate() {
            let angle = (t - ts[0]) as f64 / 1e6 * rate - quarter;
            of_velocity.push(axis.velocity[i] + speed * angle.sin());
            of_acceleration.push(axis.acceleration[i] + acceleration * angle.cos());
        }
    }
    (rms(of_velocity.into_iter()), rms(of_acceleration.into_iter()))
}

#[test]
fn savgol_is_nearer_the_truth_of_a_circle() {
    for positions in ["rounded", "jitter"] {
        let of = |method| circle_errors(&REFERENCE["circle"][positions], method);
        let (central, local) = (of(&Method::Central), of(&SAVGOL));
        println!("{positions}: rms errors of v and a: central {central:.4?}, savgol {local:.4?}");
        assert!(local.0 <= central.0 / 5.0, "velocity: {local:?} against {central:?}");
        assert!(local.1 <= central.1 / 10.0, "acceleration: {local:?} against {central:?}");
    }
}
