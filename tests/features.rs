//! Features that `assets.toml` defines by expressions.

use crate::harness::{Output, Project, run_rows};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const POWER: &str = "fx_1 * vx_1 + fy_1 * vy_1 + fz_1 * vz_1";

fn feature(name: &str, expr: &str) -> String {
    format!("[features.{name}]\nexpr = '{expr}'\n")
}

fn two_runs() -> Project {
    let project = Project::new();
    project.source("a.csv", &(crate::harness::HEADER.to_owned() + &run_rows("a", 1.0)));
    project.source("b.csv", &(crate::harness::HEADER.to_owned() + &run_rows("b", 1.5)));
    assert_eq!(project.build(&[]).code, 0);
    project
}

/// The columns that a build computed per asset, alike in both runs, and how many in all.
fn computed(output: &Output) -> (BTreeMap<String, BTreeSet<String>>, usize) {
    assert_eq!(output.code, 0, "{output:?}");
    let (mut found, mut count) = (BTreeMap::new(), 0);
    for line in output.lines().into_iter().filter(|line| line["event"] == "step" && line["outcome"] == "made") {
        let columns = line["columns_computed"].as_array().unwrap();
        let columns: BTreeSet<String> = columns.iter().map(|c| c.as_str().unwrap().to_owned()).collect();
        count += columns.len();
        let known = found.insert(line["asset"].as_str().unwrap().to_owned(), columns.clone());
        assert!(known.is_none_or(|known| known == columns), "runs differ: {line}");
    }
    (found, count)
}

fn only(columns: &str, runs: usize) -> (BTreeMap<String, BTreeSet<String>>, usize) {
    let columns: BTreeSet<String> = columns.split_whitespace().map(str::to_owned).collect();
    let count = columns.len() * runs;
    ([("features".to_owned(), columns)].into(), count)
}

#[test]
fn every_documented_example_is_what_numpy_and_pandas_say() {
    let expected: BTreeMap<String, Vec<Option<f64>>> =
        serde_json::from_str(include_str!("fixtures/functions.json")).unwrap();
    let project = Project::new();
    project.source("functions.csv", include_str!("fixtures/functions.csv"));
    let listed = project.run(&["functions", "--json"]).json();
    let examples = listed["functions"].as_array().unwrap().iter().map(|f| f["example"].as_str().unwrap().to_owned());
    let examples: BTreeSet<String> = examples.collect();
    assert_eq!(examples, expected.keys().cloned().collect(), "every example has its reference");
    let names: BTreeMap<String, &String> =
        examples.iter().enumerate().map(|(at, example)| (format!("e{at}"), example)).collect();
    let settings: String = names.iter().map(|(name, example)| feature(name, example)).collect();
    project.settings(&settings);
    let build = project.build(&[]);
    assert_eq!(build.code, 0, "{build:?}");
    let rows = project.sql("select * from features order by time");
    for (name, example) in names {
        let reference = &expected[example];
        assert_eq!(rows.len(), reference.len(), "{example}");
        let largest = reference.iter().flatten().fold(1e-12, |most: f64, v| most.max(v.abs()));
        for (at, (row, expected)) in rows.iter().zip(reference).enumerate() {
            match (row[&name].as_f64(), expected) {
                (None, None) => {}
                (Some(found), Some(expected)) if (found - expected).abs() <= 1e-8 * largest => {}
                (found, expected) => panic!("{example}, row {at}: {found:?} instead of {expected:?}"),
            }
        }
    }
}

#[test]
fn a_feature_in_the_settings_costs_one_column_a_run_and_its_labels_nothing() {
    let project = two_runs();
    let before = project.hashes();
    project.settings(&feature("power_1", POWER));
    let plan = project.run(&["plan", "--json"]).json();
    let planned = plan["steps"].as_array().unwrap().iter().filter(|step| step["state"] == "stale");
    let planned: Vec<&Value> = planned.map(|step| &step["columns"]).collect();
    assert_eq!(planned, [&Value::from(vec!["power_1"]), &Value::from(vec!["power_1"])]);
    assert_eq!(computed(&project.build(&[])), only("power_1", 2));
    let truth = "select max(abs(power_1 - (fx_1 * vx_1 + fy_1 * vy_1 + fz_1 * vz_1))) as off, count(power_1) as n from features";
    let truth = &project.sql(truth)[0];
    assert!(truth["off"].as_f64().unwrap() < 1e-9 && truth["n"].as_i64().unwrap() > 100, "{truth}");

    let nothing = |text: &str| {
        project.settings(text);
        let build = project.build(&[]);
        assert_eq!((build.code, build.finished()["made"].as_u64()), (0, Some(0)), "{text}: {build:?}");
    };
    nothing(&(feature("power_1", POWER) + "unit = \"mW\"\ndescription = \"of tool 1\"\n"));
    nothing(&feature("power_1", "(fx_1*vx_1) + (fy_1*vy_1) + /* z */ (fz_1*vz_1)"));
    let in_two = feature("along", "fx_1 * vx_1 + fy_1 * vy_1") + &feature("power_1", "along + fz_1 * vz_1");
    project.settings(&in_two);
    assert_eq!(computed(&project.build(&[])), only("along power_1", 2), "a feature that uses another is one more step");

    project.settings(&feature("power_1", &format!("({POWER}) / 1000")));
    assert_eq!(computed(&project.build(&[])), only("power_1", 2));
    project.settings(&feature("tool_power", &format!("({POWER}) / 1000")));
    assert_eq!(computed(&project.build(&[])), (only("", 2).0, 0), "a new name computes nothing");
    project.settings("");
    assert_eq!(project.build(&[]).code, 0);
    assert_eq!(project.hashes(), before, "without the feature everything is as it was");
}

#[test]
fn constants_of_functions_count_and_so_do_the_parameters_behind_them() {
    let project = two_runs();
    let smooth =
        |ms: &str| feature("smooth", &format!("rolling_mean(fx_1 * 2, {ms})")) + &feature("slope", "derivative(x_1)");
    project.settings(&smooth("100"));
    assert_eq!(computed(&project.build(&[])), only("smooth slope", 2));
    project.settings(&smooth("100.0"));
    assert_eq!(project.build(&[]).finished()["made"], 0);
    project.settings(&smooth("50"));
    assert_eq!(computed(&project.build(&[])), only("smooth", 2));
    let shown = project.run(&["lineage", "features.smooth", "--run", "a"]);
    assert!(shown.stdout.contains("fx_1") && !shown.stdout.contains("rolling_mean("), "{shown:?}");
    project.settings(&(smooth("50") + "[derivative]\nmethod = \"central\"\n"));
    let (columns, _) = computed(&project.build(&[]));
    assert!(columns["features"].contains("slope") && !columns["features"].contains("smooth"), "{columns:?}");
    let off = &project.sql("select max(abs(slope - vx_1)) as off from features")[0];
    assert_eq!(off["off"].as_f64(), Some(0.0), "the derivative of a channel is that of the table");
}

#[test]
fn a_feature_that_cannot_be_known_says_why() {
    let project = Project::new();
    let all = run_rows("a", 1.0);
    let rows: String = all.lines().filter(|line| !line.contains(",fx,7,1,")).map(|line| format!("{line}\n")).collect();
    project.source("a.csv", &(crate::harness::HEADER.to_owned() + &rows));
    project.settings(&(feature("power_1", POWER) + &feature("smooth", "rolling_max(power_1, 100)")));
    assert_eq!(project.build(&[]).code, 0);
    let errors = project.run(&["errors", "--json"]).json();
    let of = |column: &str| {
        let named = |error: &&Value| {
            error["columns"].as_array().unwrap().iter().any(|c| c["output"] == "features" && c["column"] == column)
        };
        let found = errors["errors"].as_array().unwrap().iter().find(named);
        found.unwrap_or_else(|| panic!("{column}: {errors}"))["message"].as_str().unwrap().to_owned()
    };
    assert!(of("power_1").contains("fx") && of("smooth").contains("fx"), "{errors}");
}

#[test]
fn wrong_definitions_are_refused_before_anything_is_made() {
    let project = two_runs();
    let long = vec!["fx_1"; 1000].join(" + ");
    let cases: [(&str, &str, &str, &str); 20] = [
        ("p", "fx_1 * ", "syntax_error", "expression"),
        ("p", "fx_1 fy_1", "syntax_error", "left over"),
        ("p", "fx_1 * fx_9", "unknown_column", "did you mean `fx_1`?"),
        ("p", "sqr(fx_1)", "unknown_function", "did you mean `sqrt`?"),
        ("p", "rolling_maen(fx_1, 10)", "unknown_function", "did you mean `rolling_mean`?"),
        ("p", "rolling_mean(fx_1)", "bad_argument", "rolling_mean(x, ms)"),
        ("p", "rolling_mean(fx_1, fy_1)", "bad_argument", "numbers"),
        ("p", "rolling_mean(fx_1, 0)", "bad_argument", "makes no sense"),
        ("p", "derivative(f1)", "bad_argument", "window_ms"),
        ("p", "lag(p, 10)", "column_cycle", "p → p"),
        ("p", "features.fx_1", "not_an_expression", "write `fx_1`"),
        ("p", "(select 1)", "not_an_expression", "`sql`"),
        ("p", "null", "wrong_type", "null in every row"),
        ("p", "rolling_mean(fx_1 > 2, 10)", "wrong_type", "boolean where a number"),
        ("p", "rolling_mean(time, 10)", "wrong_type", "time where a number"),
        ("p", "rolling_max(fx_1, 50) filter (where fx_1 < 0)", "bad_argument", "nothing else"),
        ("p", &long, "too_long", "cut it into several"),
        ("vx_1", "fx_1", "name_taken", "already"),
        ("run_uuid", "fx_1", "name_taken", "already"),
        ("a-b", "fx_1", "bad_name", "letters"),
    ];
    for (name, expr, code, says) in cases {
        project.settings(&format!("[features.\"{name}\"]\nexpr = '{expr}'\n"));
        let refused = project.run(&["materialize", "--json"]);
        assert_eq!(refused.code, 2, "{name} = {expr}: {refused:?}");
        let error = refused.json();
        assert_eq!(error["code"], code, "{expr}: {error}");
        assert!(error["message"].as_str().unwrap().contains(says), "{expr}: {error}");
    }
    project.settings(&feature("p", "fx_1 * fx_9"));
    let shown = project.run(&["plan"]);
    assert!(shown.stderr.contains("  fx_1 * fx_9\n         ^"), "{}", shown.stderr);
    project.settings(&(feature("a", "b + 1") + &feature("b", "a * 2")));
    assert!(project.run(&["plan"]).stderr.contains("a → b → a"));
    project.settings("");
    assert_eq!(project.build(&[]).finished()["made"], 0, "nothing of it was made");
}

#[test]
fn a_function_of_time_takes_whole_numbers_and_nested_shorthands_stay_short() {
    let project = two_runs();
    let nested = (0..12).fold("fx_1".to_owned(), |inner, at| format!("clip({inner} + 1, -5, {at})"));
    let long = vec!["fx_1"; 400].join(" + ");
    let settings = feature("n", "cast(x_1 as int)") + &feature("m", "rolling_mean(n, 100)") + &feature("c", &nested);
    project.settings(&(settings + &feature("l", &long)));
    assert_eq!(computed(&project.build(&[])), only("n m c l", 2));
    let off = &project.sql("select max(abs(l - 400 * fx_1)) as l, count(m) - count(n) as m from features")[0];
    assert!(off["l"].as_f64().unwrap() < 1e-9 && off["m"] == 0, "{off}");
}

#[test]
fn numbers_signs_and_times_are_written_as_in_queries() {
    let project = two_runs();
    let late = "2022-11-23T20:40:00.5Z";
    let written = [
        ("thousand", "fx_1 * 1e3", "fx_1 * 1000.0"),
        ("small", "clip(fx_1, -1E-2, 1.5e0)", "greatest(least(fx_1, 1.5), -0.01)"),
        ("twice", "- -fx_1", "fx_1"),
        ("smooth", "rolling_mean(- - -fx_1, 1e2)", "fx_1"),
        ("late", "if(time >= \"2022-11-23T21:40:00.5+01:00\", 1, 0)", "case when time >= 'LATE' then 1 else 0 end"),
        ("between", "if(time between \"LATE\" and \"2022-11-24\", 1, 0)", "case when time >= 'LATE' then 1 else 0 end"),
        ("held", "rolling_max(if(time > timestamp \"LATE\", 0.0, fx_1), 10)", "fx_1"),
    ];
    let settings: String = written
        .iter()
        .map(|(name, expr, _)| {
            let expr = expr.replace("LATE", late).replace('"', "'");
            format!("[features.{name}]\nexpr = \"{expr}\"\n")
        })
        .collect();
    project.settings(&settings);
    assert_eq!(computed(&project.build(&[])), only("thousand small twice smooth late between held", 2));
    for (name, _, same) in written.iter().filter(|(name, ..)| !["smooth", "held"].contains(name)) {
        let same = same.replace("LATE", late);
        let off = &project
            .sql(&format!("select max(abs({name} - ({same}))) as off, sum(abs({name})) as total from features"))[0];
        assert!(off["off"].as_f64().unwrap() < 1e-12 && off["total"].as_f64().unwrap() > 0.1, "{name}: {off}");
    }
    let query = "select 1e3 as k, - -max(fx_1) - max(fx_1) as nothing from features where time > '2022-11-23'";
    let row = &project.sql(query)[0];
    assert_eq!((row["k"].as_f64(), row["nothing"].as_f64()), (Some(1000.0), Some(0.0)), "{row}");
    project.settings("[features.late]\nexpr = \"if(time > 'noon', 1, 0)\"\n");
    let refused = project.run(&["plan"]);
    assert!(refused.stderr.contains("`noon` is no time"), "{refused:?}");
    assert!(refused.stderr.contains("  if(time > 'noon', 1, 0)\n            ^"), "{}", refused.stderr);
}

#[test]
fn what_polars_refuses_is_told_with_its_place() {
    let project = two_runs();
    for (expr, code, mark) in [
        ("fx_1 + round(fy_1, 1, 2)", "not_an_expression", 7),
        ("fx_1 * (2 + atan2(fy_1))", "not_an_expression", 12),
        ("fx_1 + (fy_1 + time) * 2", "wrong_type", 13),
        ("abs(fx_1) and fy_1 > 0", "wrong_type", 10),
        ("clip(fx_1, 0, 1) * time", "wrong_type", 17),
        ("rolling_mean(fx_1 + time, 10)", "wrong_type", 18),
        ("rolling_mean(fx_1 > 2, 10) + 1", "wrong_type", 13),
        ("1 + magnitude(time, fx_1)", "wrong_type", 4),
    ] {
        project.settings(&feature("p", expr));
        let refused = project.run(&["plan"]);
        let place = format!("  {expr}\n  {}^", " ".repeat(mark));
        assert!(refused.code == 2 && refused.stderr.contains(code), "{expr}: {refused:?}");
        assert!(refused.stderr.contains(&place), "{expr}:\n{}", refused.stderr);
    }
}
