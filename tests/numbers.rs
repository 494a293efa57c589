//! The tables' numbers, end to end, against numpy and scipy (`fixtures/make_numbers.py`) and against the analytic truth
//! of simulated runs.

use crate::harness::{BASE_US, HEADER, Project};
use assets::simulate::{self, Options, RunPlan};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;

/// A project of one source whose tables were made with a method of differentiating.
fn materialized(project: &Project, method: &str) {
    project.settings(&format!("[derivative]\nmethod = \"{method}\"\n"));
    let build = project.build(&[]);
    assert_eq!(build.code, 0, "{build:?}");
}

fn time_us(row: &Value) -> i64 {
    chrono::DateTime::parse_from_rfc3339(row["time"].as_str().unwrap()).unwrap().timestamp_micros()
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

/// A column of the reference at every row: outside of its channel's samples `held`, or else null.
fn whole(column: &Value, rows: usize, held: bool) -> Vec<Option<f64>> {
    let (from, values) = (column["from"].as_u64().unwrap() as usize, floats(&column["values"]));
    let at = |row: usize| match row.checked_sub(from) {
        Some(at) if at < values.len() => Some(values[at]),
        Some(_) => values.last().copied().filter(|_| held),
        None => values.first().copied().filter(|_| held),
    };
    (0..rows).map(at).collect()
}

/// The largest deviation of a column from its reference; null exactly where that is.
fn deviation(found: &[Option<f64>], expected: &[Option<f64>], name: &str) -> f64 {
    assert_eq!(found.len(), expected.len(), "{name}");
    let mut largest: f64 = 0.0;
    for (at, pair) in found.iter().zip(expected).enumerate() {
        match pair {
            (Some(found), Some(expected)) => {
                assert!(found.is_finite(), "{name} row {at}: {found}");
                largest = largest.max((found - expected).abs());
            }
            (None, None) => {}
            (found, expected) => panic!("{name} row {at}: {found:?} instead of {expected:?}"),
        }
    }
    largest
}

/// Every column of `features`; per kind of column, the largest deviation and the largest share of its tolerance.
fn check_features(project: &Project, run: &str, method: &str, expected: &Value) -> BTreeMap<&'static str, (f64, f64)> {
    let rows = project.sql(&format!("select * from features where run_uuid = '{run}' order by time"));
    let times: Vec<i64> = rows.iter().map(|row| time_us(row) - BASE_US).collect();
    let union: Vec<i64> =
        expected["time_ms"].as_array().unwrap().iter().map(|ms| ms.as_i64().unwrap() * 1000).collect();
    assert_eq!(times, union, "{run}: the sorted union of the channels' times");
    let mut worst = BTreeMap::new();
    let mut checked = vec!["run_uuid".to_owned(), "time".to_owned()];
    for (key, column) in expected["columns"].as_object().unwrap() {
        let (of, name) = key.split_once(':').unwrap_or(("", key));
        if !["", method].contains(&of) {
            continue;
        }
        let reference = whole(column, rows.len(), of.is_empty());
        let found: Vec<Option<f64>> = rows.iter().map(|row| row[name].as_f64()).collect();
        let largest = deviation(&found, &reference, &format!("{run} {method} {name}"));
        let tolerance = column["tolerance"].as_f64().unwrap();
        assert!(largest <= tolerance, "{run} {method} {name}: off by {largest}, tolerated are {tolerance}");
        let kind = match name.as_bytes()[0] {
            b'v' => "v [mm/s]",
            b'a' => "a [mm/s²]",
            b'f' => "f [N]",
            _ => "position [mm]",
        };
        let (most, share): &mut (f64, f64) = worst.entry(kind).or_default();
        (*most, *share) = (most.max(largest), share.max(largest / tolerance));
        checked.push(name.to_owned());
    }
    checked.sort();
    let columns: Vec<&String> = rows[0].as_object().unwrap().keys().collect();
    assert_eq!(checked.len(), columns.len(), "{checked:?}, {columns:?}");
    assert!(columns.iter().all(|name| checked.contains(name)), "{checked:?}, {columns:?}");
    worst
}

/// What the reference knows of `stats`: the largest relative deviation.
fn check_stats(project: &Project, run: &str, method: &str, expected: &Value) -> f64 {
    let stats = project.sql(&format!("select * from stats where run_uuid = '{run}'"))[0].clone();
    let mut largest: f64 = 0.0;
    for (name, reference) in expected["stats"][method].as_object().unwrap() {
        let found = stats[name].as_f64().unwrap_or_else(|| panic!("{run} {method} {name}: {stats}"));
        let reference = reference.as_f64().unwrap();
        let off = ((found - reference) / reference).abs();
        assert!(off <= 1e-9, "{run} {method} {name}: {found} instead of {reference}");
        largest = largest.max(off);
    }
    largest
}

#[test]
fn tables_equal_numpy_and_scipy() {
    let expected: Value = serde_json::from_str(include_str!("fixtures/numbers.json")).unwrap();
    let project = Project::new();
    project.source("a.csv", include_str!("fixtures/numbers.csv"));
    println!("largest deviations (the references are rounded to less than a tenth of the tolerance)");
    for method in ["central", "savgol"] {
        materialized(&project, method);
        for run in ["even", "uneven"] {
            for (kind, (most, share)) in check_features(&project, run, method, &expected[run]) {
                println!("{method:<8} {run:<7} {kind:<14} {most:>8.1e}, {share:.3} of the tolerance");
            }
            let off = check_stats(&project, run, method, &expected[run]);
            println!("{method:<8} {run:<7} {:<14} {off:>8.1e}, relative", "stats");
        }
    }
}

/// Root mean squares over both robots' three axes.
#[derive(Debug, Clone, Copy, Default)]
struct Errors {
    velocity: f64,
    acceleration: f64,
    count: f64,
}

impl Errors {
    fn add(&mut self, velocity: f64, acceleration: f64) {
        self.velocity += velocity * velocity;
        self.acceleration += acceleration * acceleration;
        self.count += 1.0;
    }

    fn rms(self) -> (f64, f64) {
        ((self.velocity / self.count).sqrt(), (self.acceleration / self.count).sqrt())
    }
}

/// Errors at each encoder's own timestamps: at all samples, and at those further than a window from both ends.
fn errors(project: &Project, plan: &RunPlan) -> [Errors; 2] {
    let rows = project.sql("select * from features order by time");
    let (mut all, mut inner) = (Errors::default(), Errors::default());
    for robot in [1, 2] {
        let start = plan.start_us + plan.phases_ms[2 * (robot - 1)] * 1000;
        let own = rows.iter().filter(|row| {
            let since = time_us(row) - start;
            since >= 0 && since % simulate::ENCODER_PERIOD_US == 0
        });
        let own: Vec<&Value> = own.collect();
        assert!(own.len() > 800, "{} samples of the encoder", own.len());
        for (at, row) in own.iter().enumerate() {
            let truth = simulate::truth(plan, robot as i64, time_us(row));
            for (axis, name) in ["x", "y", "z"].into_iter().enumerate() {
                let found = |letter: &str| row[format!("{letter}{name}_{robot}")].as_f64();
                let (Some(velocity), Some(acceleration)) = (found("v"), found("a")) else {
                    assert!(at < 2, "only backward knows nothing, and of the first two samples only");
                    continue;
                };
                let (velocity, acceleration) =
                    (velocity - truth.velocity[axis], acceleration - truth.acceleration[axis]);
                all.add(velocity, acceleration);
                if (21..own.len() - 21).contains(&at) {
                    inner.add(velocity, acceleration);
                }
            }
        }
    }
    [all, inner]
}

fn csv(data: &simulate::RunData) -> String {
    let mut csv = HEADER.to_owned();
    for at in 0..data.rows.len() {
        let row = simulate::text_row(data, at);
        let cells = [&row.time, &row.value, &row.field, &row.cell_id, &row.robot_id, &row.run_uuid, &row.sensor_type];
        writeln!(csv, "{}", cells.map(String::as_str).join(",")).unwrap();
    }
    csv
}

#[test]
fn errors_against_the_truth_of_simulated_runs() {
    let mut table = format!("{:<31}{:^20}{:^24}\n", "rms errors", "all samples", "a window from the ends");
    writeln!(table, "{:<31}{:>8} {:>10} {:>11} {:>11}", "", "v [mm/s]", "a [mm/s²]", "v [mm/s]", "a [mm/s²]").unwrap();
    let mut ratios = Vec::new();
    for (what, noise_mm) in [("rounded to 1 µm", 0.0), ("and 2 µm of noise", 0.002)] {
        let options = Options { runs: 1, seconds: 10.0, noise_mm, ..Options::default() };
        let plan = &simulate::plan(&options)[0];
        let project = Project::new();
        project.source("a.csv", &csv(&simulate::generate(&options, plan)));
        let [savgol, central, _] = ["savgol", "central", "backward"].map(|method| {
            materialized(&project, method);
            let measured = errors(&project, plan).map(Errors::rms);
            let [(v, a), (inner_v, inner_a)] = measured;
            writeln!(table, "{what:<20} {method:<10}{v:>8.4} {a:>10.3} {inner_v:>11.4} {inner_a:>11.3}").unwrap();
            measured
        });
        for (place, (savgol, central)) in ["all", "inner"].into_iter().zip(savgol.into_iter().zip(central)) {
            ratios.push((what, place, central.1 / savgol.1));
        }
    }
    println!("{table}{ratios:?}");
    for (what, place, ratio) in ratios {
        assert!(
            ratio >= 10.0,
            "{what}, {place}: the acceleration of savgol is only {ratio} times better than central's"
        );
    }
}
