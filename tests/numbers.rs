//! The tables' numbers, end to end, against numpy and scipy (`fixtures/make_numbers.py`) and against the analytic truth
//! of simulated runs.

use crate::harness::{HEADER, Project};
use assets::simulate::{self, Options};
use serde_json::Value;
use std::fmt::Write;

fn floats(value: &Value) -> Vec<Option<f64>> {
    value.as_array().unwrap().iter().map(Value::as_f64).collect()
}

/// The largest deviation of a column from its reference, and where either is null and the other is not: none may be.
fn deviation(found: &[Option<f64>], expected: &[Option<f64>], name: &str) -> f64 {
    assert_eq!(found.len(), expected.len(), "{name}");
    let mut largest: f64 = 0.0;
    for (at, pair) in found.iter().zip(expected).enumerate() {
        match pair {
            (Some(found), Some(expected)) => largest = largest.max((found - expected).abs()),
            (None, None) => {}
            (found, expected) => panic!("{name} row {at}: {found:?} instead of {expected:?}"),
        }
    }
    largest
}

#[test]
fn tables_equal_numpy_and_scipy() {
    let expected: Value = serde_json::from_str(include_str!("fixtures/numbers.json")).unwrap();
    let project = Project::new();
    project.source("a.csv", include_str!("fixtures/numbers.csv"));
    for method in ["central", "savgol"] {
        project.settings(&format!("[derivative]\nmethod = \"{method}\"\n"));
        assert_eq!(project.build(&[]).code, 0);
        for run in ["even", "uneven"] {
            let expected = &expected[run];
            let rows = project.sql(&format!("select * from features where run_uuid = '{run}' order by time"));
            let column = |name: &str| rows.iter().map(|row| row[name].as_f64()).collect::<Vec<_>>();
            let dt: f64 = 0.012;
            for (key, reference) in expected.as_object().unwrap() {
                let (of, name) = key.split_once(':').unwrap_or(("", key));
                let per = if name.starts_with('v') {
                    dt
                } else if name.starts_with('a') {
                    dt * dt
                } else {
                    1.0
                };
                // The channel's largest magnitude, per the power of its period: positions up to 1500 mm, forces 300 N.
                let magnitude = if name.starts_with('f') { 300.0 } else { 1500.0 };
                match of {
                    "stats" => {
                        if method == "central" {
                            let query = format!("select {name} v from stats where run_uuid = '{run}'");
                            let found = project.sql(&query)[0]["v"].as_f64().unwrap();
                            let reference = reference.as_f64().unwrap();
                            assert!((found - reference).abs() <= 1e-9 * reference.abs(), "{run} {name} {found}");
                        }
                    }
                    "" if name == "time_us" => assert_eq!(rows.len(), reference.as_array().unwrap().len()),
                    "" => assert!(deviation(&column(name), &floats(reference), name) <= 1e-9 * magnitude, "{name}"),
                    _ if of != method => {}
                    "savgol" if run == "uneven" => {
                        // The reference knows the samples whose whole window lies inside; elsewhere ours has values.
                        let found = column(name);
                        let pairs = found.iter().zip(floats(reference)).filter(|(_, reference)| reference.is_some());
                        let pairs: Vec<_> = pairs.map(|(found, reference)| (*found, reference)).collect();
                        assert!(pairs.len() > 50, "{name}");
                        let (found, reference): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
                        assert!(deviation(&found, &reference, name) <= 1e-9 * magnitude / per, "{name}");
                    }
                    _ => {
                        let largest = deviation(&column(name), &floats(reference), name);
                        assert!(largest <= 1e-9 * magnitude / per, "{run} {method} {name}: {largest}");
                    }
                }
            }
        }
    }
}

/// rms errors of vx_1 and ax_1 at the encoder's own samples, the ends (a window each) left out.
fn errors(project: &Project, plan: &simulate::RunPlan) -> (f64, f64) {
    let rows = project.sql("select time, vx_1, ax_1 from features order by time");
    let rows = &rows[60..rows.len() - 60];
    let (mut v, mut a, mut count) = (0.0, 0.0, 0.0);
    for row in rows {
        let text = row["time"].as_str().unwrap();
        let time = chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros();
        if (time - plan.start_us - plan.phases_ms[0] * 1000) % 12_000 != 0 {
            continue;
        }
        let truth = simulate::truth(plan, 1, time);
        v += (row["vx_1"].as_f64().unwrap() - truth.velocity[0]).powi(2);
        a += (row["ax_1"].as_f64().unwrap() - truth.acceleration[0]).powi(2);
        count += 1.0;
    }
    assert!(count > 500.0, "{count} samples of the encoder");
    (f64::sqrt(v / count), f64::sqrt(a / count))
}

#[test]
fn errors_against_the_truth_of_simulated_runs() {
    println!("rms errors against the truth      v [mm/s]   a [mm/s²]");
    for (what, noise_mm) in [("rounded to 1 µm", 0.0), ("and 2 µm of noise", 0.002)] {
        let options = Options { runs: 1, seconds: 10.0, noise_mm, ..Options::default() };
        let plan = &simulate::plan(&options)[0];
        let data = simulate::generate(&options, plan);
        let mut csv = HEADER.to_owned();
        for at in 0..data.rows.len() {
            let row = simulate::text_row(&data, at);
            let cells =
                [&row.time, &row.value, &row.field, &row.cell_id, &row.robot_id, &row.run_uuid, &row.sensor_type];
            writeln!(csv, "{}", cells.map(String::as_str).join(",")).unwrap();
        }
        let project = Project::new();
        project.source("a.csv", &csv);
        let measured = ["savgol", "central", "backward"].map(|method| {
            project.settings(&format!("[derivative]\nmethod = \"{method}\"\n"));
            assert_eq!(project.build(&[]).code, 0);
            let (v, a) = errors(&project, plan);
            println!("{what:<20} {method:<10} {v:>10.4} {a:>11.4}");
            (v, a)
        });
        let [savgol, central, _] = measured;
        assert!(savgol.1 <= central.1 / 10.0, "{what}: savgol {} against central {}", savgol.1, central.1);
    }
}
