//! What a plan says beforehand: what it costs, for a terminal, for a script and for a pull request.

use crate::harness::{HEADER, Project, run_rows};
use serde_json::Value;

const POWER: &str = "[features.power_1]\nexpr = 'fx_1 * vx_1 + fy_1 * vy_1'\n";

fn two_runs() -> Project {
    let project = Project::new();
    project.source("a.csv", &format!("{HEADER}{}", run_rows("a", 1.0)));
    project.source("b.csv", &format!("{HEADER}{}", run_rows("b", 1.5)));
    assert_eq!(project.build(&[]).code, 0);
    project
}

fn plan(project: &Project, args: &[&str]) -> Value {
    let told = project.run(&[&["plan", "--json"], args].concat());
    assert_eq!(told.code, 0, "{told:?}");
    told.json()
}

/// The estimate of an asset: (steps, seconds, bytes).
fn of(plan: &Value, asset: &str) -> (u64, f64, u64) {
    let all = plan["assets"].as_array().unwrap();
    let one = all.iter().find(|one| one["asset"] == asset).unwrap_or_else(|| panic!("{asset}: {all:?}"));
    let number = |name: &str| one[name].as_f64().unwrap_or_else(|| panic!("{name}: {one}"));
    (number("steps") as u64, number("estimated_seconds"), number("estimated_bytes") as u64)
}

#[test]
fn an_estimate_needs_records_and_counts_what_is_to_be_made() {
    let project = Project::new();
    project.source("a.csv", &format!("{HEADER}{}", run_rows("a", 1.0)));
    let first = plan(&project, &[]);
    assert_eq!((&first["estimated_seconds"], &first["estimated_bytes"]), (&Value::Null, &Value::Null), "{first}");
    assert_eq!(first["assets"][0]["estimated_seconds"], Value::Null);
    assert_eq!(project.build(&[]).code, 0);
    let fresh = plan(&project, &[]);
    assert_eq!((fresh["estimated_seconds"].as_f64(), fresh["estimated_bytes"].as_u64()), (Some(0.0), Some(0)));
    assert_eq!(fresh["assets"], Value::Array(Vec::new()));

    // A new run is expected to cost what the other one did.
    project.source("b.csv", &format!("{HEADER}{}", run_rows("b", 1.0)));
    let more = plan(&project, &[]);
    let assets: Vec<&str> = more["assets"].as_array().unwrap().iter().map(|a| a["asset"].as_str().unwrap()).collect();
    assert_eq!(assets, ["raw", "clean", "wide", "features", "stats", "fleet"], "in the order in which they are made");
    let (steps, seconds, bytes) = of(&more, "wide");
    assert!(steps == 1 && seconds > 0.0 && bytes > 1000, "{more}");
    let sums = more["assets"].as_array().unwrap().iter().map(|a| a["estimated_bytes"].as_u64().unwrap());
    assert_eq!(more["estimated_bytes"].as_u64(), Some(sums.sum()));
    let told = project.run(&["plan"]).stdout;
    assert!(told.lines().any(|line| line.contains(" of work") && line.ends_with(" to write")), "{told}");
}

#[test]
fn one_column_more_is_estimated_as_one_column_and_a_new_table() {
    let project = two_runs();
    let all = plan(&project, &["features", "--force"]);
    project.settings(POWER);
    let one = plan(&project, &[]);
    let (whole, grown) = (of(&all, "features"), of(&one, "features"));
    assert_eq!((whole.0, grown.0), (2, 2));
    assert!(grown.1 <= whole.1, "{grown:?} and {whole:?}: copying costs no more than making it anew");
    // Its 31 columns become 32.
    let ratio = grown.2 as f64 / whole.2 as f64;
    assert!((ratio - 32.0 / 31.0).abs() < 1e-3, "{ratio}");
    assert_eq!(project.build(&[]).code, 0);
    let written = project.run(&["files", "features", "--json"]).json();
    let written: u64 = written["files"].as_array().unwrap().iter().map(|t| t["bytes"].as_u64().unwrap()).sum();
    assert!((grown.2 as f64 / written as f64 - 1.0).abs() < 0.15, "{grown:?}, written {written}");
    // From now on only copies are newest: what a whole step takes is found in the history.
    project.settings(&format!("{POWER}[features.twice]\nexpr = 'fx_1 * 2'\n"));
    assert!(of(&plan(&project, &[]), "features").1 > 0.0);
}

/// Cells of a row of a Markdown table: a bar that is no entity ends one.
fn cells(line: &str) -> usize {
    line.matches('|').count()
}

#[test]
fn a_pull_request_reads_it_as_markdown() {
    let project = two_runs();
    let id = "p|7`<b>@x_1";
    project.source("odd.csv", &format!("{HEADER}{}", run_rows(id, 0.5)));
    project.settings(POWER);
    let told = project.run(&["plan", "--markdown"]);
    assert_eq!(told.code, 0, "{told:?}");
    let text = told.stdout;
    assert!(text.starts_with("### Plan: 17 steps: ") && text.contains(" to write"), "{text}");
    assert!(text.lines().any(|line| line.starts_with("| <code>features</code> | 2 | stale |")), "{text}");
    assert!(text.contains("| 1 of 32 |"), "{text}");
    let column =
        text.lines().find(|line| line.starts_with("| <code>features</code> | <code>power_1</code> | 3 | stale |"));
    assert!(column.is_some(), "{text}");
    assert!(text.contains("<code>p&#124;7&#96;&#60;b&#62;&#64;x_1</code>") && !text.contains(id), "{text}");
    let (details, end) = (text.find("<details>").unwrap(), text.find("</details>").unwrap());
    assert!(details < end);
    for line in text.lines().filter(|line| line.starts_with('|')) {
        assert_eq!(cells(line), 7, "{line}");
        assert!(!line.contains('`'), "{line}");
    }
    let both = project.run(&["plan", "--markdown", "--json"]);
    assert_eq!((both.code, &both.json()["code"]), (2, &"wrong_usage".into()));
    // With nothing to do there is nothing but a heading.
    project.source("odd.csv", &format!("{HEADER}{}", run_rows("c", 0.5)));
    project.build(&[]);
    let fresh = project.run(&["plan", "features", "--run", "c", "--markdown"]);
    assert!(
        fresh.stdout.starts_with("### Plan: everything is fresh") && fresh.stdout.lines().count() == 1,
        "{fresh:?}"
    );
}

fn save(project: &Project, args: &[&str]) -> Value {
    let told = project.run(&[&["plan", "--output", "p.json"], args].concat());
    assert_eq!(told.code, 0, "{told:?}");
    serde_json::from_str(&std::fs::read_to_string(project.path("p.json")).unwrap()).unwrap()
}

/// The refusal of a saved plan; nothing is made.
fn refused(project: &Project, code: &str, says: &[&str]) {
    let builds = |project: &Project| project.run(&["status", "--json"]).stdout;
    let before = builds(project);
    let told = project.build(&["--plan", "p.json"]);
    assert_eq!((told.code, told.json()["code"].as_str()), (2, Some(code)), "{told:?}");
    let message = told.json()["message"].as_str().unwrap().to_owned();
    says.iter().for_each(|text| assert!(message.contains(text), "{text}: {message}"));
    assert_eq!(builds(project), before, "nothing was made");
}

#[test]
fn a_saved_plan_is_made_exactly_while_nothing_moves() {
    let project = two_runs();
    project.settings(POWER);
    let saved = save(&project, &["features", "--run", "a"]);
    assert_eq!((&saved["plan"]["select"][0], &saved["plan"]["runs"][0]), (&"features".into(), &"a".into()));
    assert_eq!(saved["plan"]["format"], 1);
    let made = project.build(&["--plan", "p.json"]);
    assert_eq!(made.code, 0, "{made:?}");
    assert_eq!(made.log(), crate::harness::log(&[("made", "features", "a")]));
    refused(&project, "plan_moved", &["1 step differs", "features of a: it was made or tried meanwhile"]);
    // Flags travel along, and an open input does not hinder.
    project.settings("[wide]\nmethod = \"previous\"\n");
    assert_eq!(save(&project, &["stats", "--force"])["plan"]["force"], true);
    let forced = project.build(&["--plan", "p.json"]);
    assert_eq!(forced.log(), crate::harness::log(&[("made", "stats", "a b")]), "{forced:?}");
    save(&project, &[]);
    assert_eq!(project.build(&["--plan", "p.json"]).code, 0);
    assert_eq!(project.build(&[]).finished()["fresh"], 12);
}

#[test]
fn a_saved_plan_is_refused_where_anything_moved() {
    let project = two_runs();
    project.settings(POWER);
    save(&project, &[]);
    // A label is no change; a constant is one, also where inputs are still open.
    project.settings(&format!("{POWER}unit = 'mW'\n"));
    save(&project, &[]);
    project.settings(&POWER.replace("+ fy_1", "+ 2 * fy_1"));
    refused(&project, "plan_moved", &["2 steps differ", "features of a: its settings or its code changed"]);
    project.settings(POWER);
    project.source("late.csv", &format!("{HEADER}{}", run_rows("c", 0.5)));
    refused(&project, "plan_moved", &["6 steps differ", "raw of c: it was not in the plan"]);
    std::fs::remove_file(project.path("data/late.csv")).unwrap();
    project.source("b.csv", &format!("{HEADER}{}", run_rows("b", 1.7)));
    refused(&project, "plan_moved", &["raw of b: its sources changed"]);
    let told = project.run(&["materialize", "--plan", "p.json"]);
    assert!(told.stderr.contains("plan_moved") && told.stderr.contains("nothing was made"), "{told:?}");
}

#[test]
fn a_first_build_is_refused_too_where_a_setting_changed_below_what_is_not_made_yet() {
    let project = Project::new();
    project.source("a.csv", &format!("{HEADER}{}", run_rows("a", 0.5)));
    save(&project, &[]);
    project.settings("[wide]\nmethod = \"previous\"\n");
    refused(&project, "plan_moved", &["wide of a: its settings or its code changed"]);
    project.settings("");
    assert_eq!(project.build(&["--plan", "p.json"]).code, 0);
}

#[test]
fn what_is_no_saved_plan_is_refused() {
    let project = two_runs();
    project.settings(POWER);
    refused(&project, "bad_plan", &["p.json"]);
    let saved = save(&project, &[]);
    let mut edited = saved.clone();
    edited["steps"].as_array_mut().unwrap().pop();
    let mut later = saved;
    later["plan"]["format"] = 2.into();
    let plain = project.run(&["plan", "--json"]).stdout;
    let files = [
        ("not json".to_owned(), "expected"),
        (plain, "no `plan`"),
        (edited.to_string(), "edited"),
        (later.to_string(), "format 2, and this program reads format 1"),
    ];
    for (text, says) in files {
        std::fs::write(project.path("p.json"), text).unwrap();
        refused(&project, "bad_plan", &[says]);
    }
    for besides in [&["features"][..], &["--run", "a"], &["--force"], &["--only"], &["--dry-run"]] {
        let told = project.build(&[&["--plan", "p.json"], besides].concat());
        assert_eq!((told.code, &told.json()["code"]), (2, &"wrong_usage".into()), "{besides:?}");
    }
}

#[test]
fn what_an_older_version_may_fit_is_maybe() {
    let project = Project::new();
    let settings = |function: &str| {
        let text = format!(
            "pipeline = 'none'\n[assets.readings]\nfiles = ['data/*.csv']\npartition_by = ['day']\n\
             columns.note = {{ type = 'text' }}\ncolumns.heat = {{ type = 'float' }}\n\
             [assets.daily]\nsql = 'select {function}(heat) as heat from readings'\n"
        );
        std::fs::write(project.path("assets.toml"), text).unwrap();
    };
    let source = |note: &str| project.source("1.csv", &format!("day,note,heat\nmon,{note},1\nmon,b,3\n"));
    source("a");
    for function in ["avg", "max"] {
        settings(function);
        assert_eq!(project.build(&[]).code, 0);
    }
    source("other");
    let state = || {
        let told = plan(&project, &["daily"]);
        let steps = told["steps"].as_array().unwrap().clone();
        let daily = steps.into_iter().find(|step| step["asset"] == "daily").unwrap();
        daily["state"].as_str().unwrap().to_owned()
    };
    settings("min");
    assert_eq!(state(), "stale", "no older version is like that");
    settings("avg");
    assert_eq!(state(), "maybe");
    let log = project.build(&[]).log();
    assert_eq!(log, crate::harness::log(&[("made", "readings", "mon"), ("reused", "daily", "mon")]));
}
