//! Runs that no source delivers any more, files that are forgotten, and settings that change after a file has vanished.

use crate::harness::{HEADER, Output, PER_RUN, Project, log, row, run_rows};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;

const READINGS: &str = "
[assets.readings]
files = ['data/*.csv']
partition_by = ['day', 'station']
columns.hour = { type = 'integer' }
columns.temperature = { type = 'float' }
";

const DERIVED: &str = "
[assets.daily]
sql = 'select avg(temperature) as mean from readings'
packed = true

[assets.all_days]
sql = 'select count(*) as n, sum(mean) as total from daily'
partition = 'all'
packed = true
";

const TOP: &str = "day,station,hour,temperature\n";

fn settings(project: &Project, text: &str) {
    fs::write(project.path("assets.toml"), format!("pipeline = 'none'\n{text}")).unwrap();
}

fn field() -> Project {
    let project = Project::new();
    settings(&project, &(READINGS.to_owned() + DERIVED));
    project.source("1.csv", &format!("{TOP}1,aachen,0,4\n1,aachn,1,6\n"));
    project.source("2.csv", &format!("{TOP}1,bonn,0,8\n"));
    assert_eq!(project.build(&[]).code, 0);
    project
}

fn correct(project: &Project) {
    project.source("1.csv", &format!("{TOP}1,aachen,0,4\n1,aachen,1,6\n"));
}

/// Every published table, by its path below `tables`.
fn tables(project: &Project) -> BTreeSet<String> {
    let root = project.path("warehouse/tables");
    let folders = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    files.map(|path| path.strip_prefix(&root).unwrap().display().to_string()).collect()
}

fn gone(build: &Output) -> Vec<String> {
    let lines = build.lines();
    let gone = lines.iter().filter(|line| line["event"] == "gone");
    gone.map(|line| format!("{} of {}", line["asset"].as_str().unwrap(), line["run"].as_str().unwrap())).collect()
}

fn codes(values: &Value) -> Vec<&str> {
    values.as_array().unwrap().iter().map(|value| value["code"].as_str().unwrap()).collect()
}

#[test]
fn a_corrected_key_takes_down_the_tables_of_the_old_one() {
    let project = field();
    assert_eq!(project.sql("select n, total from all_days")[0], serde_json::json!({"n": 3, "total": 18.0}));
    correct(&project);
    let plan = project.run(&["plan", "--json"]).json();
    let planned: Vec<&str> =
        plan["gone"].as_array().unwrap().iter().map(|gone| gone["asset"].as_str().unwrap()).collect();
    assert_eq!(planned, ["readings", "daily"], "{plan}");
    assert_eq!(codes(&plan["gone"][0]["reasons"]), ["run_gone"]);
    assert!(plan["steps"].as_array().unwrap().iter().all(|step| step["run"] != "1,aachn"), "{plan}");
    let text = project.run(&["plan"]).stdout;
    assert!(text.contains("1 run is gone: no source delivers it any more (1,aachn)"), "{text}");
    assert!(text.contains("daily has 1 run less: 1,aachn"), "{text}");
    assert!(tables(&project).contains("readings/1,aachn.parquet"), "nothing is done yet");
    let build = project.build(&[]);
    assert_eq!(gone(&build), ["readings of 1,aachn", "daily of 1,aachn"]);
    assert_eq!((build.code, &build.finished()["gone"]), (0, &Value::from(2)));
    let made = log(&[("made", "readings daily", "1,aachen"), ("made", "all_days", "-")]);
    assert_eq!(build.log(), made, "all that read it, and only that");
    assert_eq!(project.sql("select n, total from all_days")[0], serde_json::json!({"n": 2, "total": 13.0}));
    assert_eq!(project.sql("select distinct station from readings order by station").len(), 2);
    assert_eq!(project.sql("select * from daily").len(), 2);
    assert!(!tables(&project).contains("readings/1,aachn.parquet"));
    assert_eq!(project.run(&["verify"]).code, 0);
    // It shows in one line, and what it was can be asked.
    let status = project.run(&["status", "--json"]).json();
    assert_eq!((status["runs"].as_array().unwrap().len(), codes(&status["gone"])), (3, vec!["run_gone"]));
    for verb in ["status", "runs"] {
        assert!(project.run(&[verb]).stdout.contains("1 run is gone"), "{verb}");
    }
    let why = project.run(&["why", "daily", "--run", "1,aachn", "--json"]).json();
    assert_eq!((&why["state"], &why["taken_down"]), (&"gone".into(), &true.into()));
    assert_eq!(why["reasons"][0]["paths"], serde_json::json!(["data/1.csv"]));
    assert!(why["last_made"].as_str().unwrap().starts_with("20"), "{why}");
    let history = project.run(&["history", "daily", "--run", "1,aachn", "--json"]).json();
    assert_eq!((&history["history"][0]["event"], &history["history"][1]["event"]), (&"gone".into(), &"made".into()));
    for verb in ["show readings", "materialize", "plan"] {
        let args: Vec<&str> = verb.split(' ').chain(["--run", "1,aachn", "--json"]).collect();
        let refused = project.run(&args);
        assert_eq!((refused.code, &refused.json()["code"]), (2, &"run_gone".into()), "{verb}: {refused:?}");
    }
    assert_eq!((project.build(&[]).log(), project.build(&[]).finished()["gone"].clone()), (log(&[]), 0.into()));
    // It comes back at no cost.
    project.source("1.csv", &format!("{TOP}1,aachen,0,4\n1,aachn,1,6\n"));
    let back = project.build(&[]);
    let reused = log(&[("reused", "readings daily", "1,aachen 1,aachn"), ("reused", "all_days", "-")]);
    assert_eq!(back.log(), reused);
    assert!(tables(&project).contains("readings/1,aachn.parquet"));
    assert_eq!(project.sql("select n, total from all_days")[0], serde_json::json!({"n": 3, "total": 18.0}));
}

#[test]
fn a_run_that_leaves_its_file_leaves_every_table() {
    let project = Project::new();
    project.source("a.csv", &format!("{HEADER}{}{}", run_rows("a", 0.3), run_rows("b", 0.3)));
    assert_eq!(project.build(&[]).code, 0);
    let before = project.hashes();
    project.source("a.csv", &format!("{HEADER}{}", run_rows("a", 0.3)));
    // A part of the assets, or of the runs: the others stay as they are.
    let part = project.build(&["clean"]);
    assert_eq!((part.log(), gone(&part)), (log(&[]), vec!["raw of b".to_owned(), "clean of b".to_owned()]));
    let one = project.build(&["--run", "a"]);
    assert_eq!((one.log(), gone(&one)), (log(&[("made", "fleet", "-")]), vec![]), "of what is gone nothing is read");
    let left = project.build(&[]);
    assert_eq!(gone(&left), ["wide of b", "features of b", "stats of b"]);
    assert_eq!(left.log(), log(&[]));
    let runs = |table: &str| project.sql(&format!("select distinct run_uuid from {table}")).len();
    for table in ["raw", "clean", "wide", "features", "stats", "sessions"] {
        assert_eq!(runs(table), 1, "{table}");
    }
    assert!(tables(&project).iter().all(|table| !table.ends_with("/b.parquet")));
    assert_eq!(project.build(&[]).log(), log(&[]));
    project.source("b.csv", &format!("{HEADER}{}", run_rows("b", 0.3)));
    assert_eq!(project.build(&[]).log(), log(&[("reused", PER_RUN, "b"), ("reused", "fleet", "-")]));
    assert_eq!(project.hashes(), before);
    // A column more while it is away: what is stored is taken, and the column computed.
    project.source("b.csv", &format!("{HEADER}{}", row(0, "1", "x", "1", "c")));
    assert_eq!(project.build(&[]).code, 0);
    project.settings("[features.twice]\nexpr = 'f1 * 2'\n");
    project.source("b.csv", &format!("{HEADER}{}", run_rows("b", 0.3)));
    let more = project.build(&["features", "--run", "b"]);
    let features = more.lines().into_iter().find(|line| line["asset"] == "features").unwrap();
    assert_eq!(features["columns_computed"], serde_json::json!(["twice"]), "{features}");
}

#[test]
fn what_a_killed_build_left_the_next_one_takes_down() {
    let project = field();
    let before: Vec<(String, Vec<u8>)> = tables(&project)
        .into_iter()
        .map(|name| (name.clone(), fs::read(project.path("warehouse/tables").join(&name)).unwrap()))
        .collect();
    project.source("1.csv", "day,station,hour,temperature\n1,koeln,0,4\n");
    project.source("2.csv", "day,station,hour,temperature\n1,koeln,1,4\n");
    assert_eq!(gone(&project.build(&[])).len(), 6);
    let after = tables(&project);
    // As if the build had been killed behind its records, and before it took anything down.
    for (name, bytes) in before {
        let path = project.path("warehouse/tables").join(name);
        let _ = fs::remove_file(&path);
        fs::write(&path, bytes).unwrap();
    }
    fs::remove_file(project.path("warehouse/tables/.published")).unwrap();
    assert_eq!(project.sql("select * from daily").len(), 1, "those who ask are told what is true");
    let next = project.build(&[]);
    assert_eq!((next.code, next.log(), gone(&next)), (0, log(&[]), vec![]));
    assert_eq!(tables(&project), after);
    assert_eq!(project.run(&["verify"]).code, 0);
}

#[test]
fn two_builds_at_once_take_down_once() {
    let project = field();
    correct(&project);
    let start = || project.command(&["materialize", "--json"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let children = [start(), start(), start()];
    let mut taken = 0;
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        taken += last["gone"].as_u64().unwrap();
    }
    assert_eq!(taken, 2, "each step once");
    assert_eq!(project.build(&[]).log(), log(&[]));
    assert_eq!(project.sql("select n from all_days")[0]["n"], 2);
    assert!(!tables(&project).contains("readings/1,aachn.parquet"));
}

#[test]
fn a_saved_plan_speaks_of_what_is_gone() {
    let project = field();
    assert_eq!(project.run(&["plan", "--output", "p.json"]).code, 0);
    project.source("2.csv", &format!("{TOP}1,aachen,5,8\n"));
    let moved = project.run(&["materialize", "--plan", "p.json", "--json"]);
    assert_eq!((moved.code, &moved.json()["code"]), (2, &"plan_moved".into()));
    assert!(moved.stdout.contains("it is gone now"), "{moved:?}");
    assert_eq!(project.run(&["plan", "--output", "p.json"]).code, 0);
    let done = project.run(&["materialize", "--plan", "p.json", "--json"]);
    assert_eq!((done.code, gone(&done).len()), (0, 2), "{done:?}");
}

#[test]
fn a_vanished_file_stays_until_it_is_forgotten() {
    let project = field();
    project.source("3.csv", &format!("{TOP}1,bonn,1,9\n2,bonn,0,9\n"));
    assert_eq!(project.build(&[]).code, 0);
    let refused = |args: &[&str], code: &str| {
        let output = project.run(&[&["forget", "--json"], args].concat());
        assert_eq!((output.code, &output.json()["code"]), (2, &code.into()), "{output:?}");
    };
    refused(&["data/3.csv", "--yes"], "source_still_there");
    refused(&["data/4.csv"], "unknown_source");
    fs::remove_file(project.path("data/3.csv")).unwrap();
    let vanished = project.build(&[]);
    assert_eq!((vanished.code, vanished.log()), (0, log(&[])));
    assert!(vanished.stdout.contains("source_vanished") && vanished.stdout.contains("assets forget"), "{vanished:?}");
    let told = project.run(&["forget", "data/3.csv", "--json"]).json();
    let expected = serde_json::json!({
        "forgotten": false,
        "files": [{"path": "data/3.csv", "rows": 2, "runs": ["1,bonn", "2,bonn"]}],
        "gone": ["2,bonn"],
        "remade": ["1,bonn"],
    });
    assert_eq!(told, expected);
    assert_eq!(project.build(&[]).log(), log(&[]), "that was only a question");
    // From another folder, by the path that a shell completes.
    let mut command = project.command(&["forget", "3.csv", "--yes"]);
    let done = command.current_dir(project.path("data")).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    let build = project.build(&[]);
    assert_eq!(gone(&build), ["readings of 2,bonn", "daily of 2,bonn"]);
    assert_eq!(
        build.log()["reused"],
        log(&[("reused", "readings daily", "1,bonn"), ("reused", "all_days", "-")])["reused"]
    );
    assert!(!build.stdout.contains("source_vanished"), "{build:?}");
    assert!(!project.run(&["files"]).stdout.contains("3.csv"));
    refused(&["data/3.csv"], "unknown_source");
    let history = project.run(&["history", "daily", "--run", "2,bonn"]).stdout;
    assert!(history.contains("gone"), "{history}");
    // What comes back is read anew.
    project.source("3.csv", &format!("{TOP}1,bonn,1,9\n2,bonn,0,9\n"));
    assert_eq!(
        project.build(&[]).log(),
        log(&[("reused", "readings daily", "1,bonn 2,bonn"), ("reused", "all_days", "-")])
    );
    assert_eq!(project.run(&["verify"]).code, 0);
}

/// The steps that fail, and the reason of the first.
fn failed(project: &Project) -> (Vec<String>, Value) {
    let build = project.build(&[]);
    assert_eq!(build.code, 1, "{build:?}");
    let reason = build.lines().into_iter().find(|line| line["outcome"] == "failed").unwrap()["reason"].clone();
    (build.log()["failed"].iter().cloned().collect(), reason)
}

#[test]
fn what_can_not_be_read_again_is_not_read_otherwise() {
    let project = Project::new();
    let zone = "timezone = 'UTC'\n";
    let readings = READINGS.replace("columns.temperature", "columns.at = { type = 'time' }\ncolumns.temperature");
    let good = zone.to_owned() + &readings + DERIVED;
    settings(&project, &good);
    let top = "day,station,hour,at,temperature\n";
    project.source("1.csv", &format!("{top}1,aachen,0,2026-11-01T00:00:00,4\n"));
    project.source("2.csv", &format!("{top}1,bonn,0,2026-11-01T00:00:00,8\n"));
    assert_eq!(project.build(&[]).code, 0);
    fs::remove_file(project.path("data/2.csv")).unwrap();
    let hashes = project.hashes();
    let cases = [
        (good.replace("UTC", "Europe/Berlin"), "timezone", "UTC", "Europe/Berlin"),
        (
            good.replace("hour = { type = 'integer' }", "hour = { type = 'text' }"),
            "assets.readings.columns.hour.type",
            "integer",
            "text",
        ),
    ];
    for (text, setting, old, new) in cases {
        settings(&project, &text);
        let (steps, reason) = failed(&project);
        assert_eq!(
            (steps, &reason["code"]),
            (vec!["readings of 1,bonn".to_owned()], &"vanished_source_outdated".into())
        );
        assert_eq!((&reason["path"], &reason["setting"]), (&"data/2.csv".into(), &setting.into()), "{reason}");
        assert_eq!((&reason["old"], &reason["new"]), (&old.into(), &new.into()));
        assert!(reason["message"].as_str().unwrap().contains("assets forget data/2.csv"), "{reason}");
        assert!(tables(&project).contains("readings/1,bonn.parquet"), "its earlier table stays");
    }
    // By another key nobody knows which table its rows would be in.
    settings(&project, &good.replace("['day', 'station']", "['station']"));
    let (steps, reason) = failed(&project);
    assert_eq!(steps, ["readings of aachen", "readings_rejects of -"]);
    assert_eq!((&reason["setting"], &reason["new"]), (&"assets.readings.partition_by".into(), &"station".into()));
    assert!(tables(&project).contains("readings/1,bonn.parquet"), "nothing is taken down");
    let errors = project.run(&["errors", "--json"]).json();
    assert!(codes(&errors["errors"]).contains(&"vanished_source_outdated"), "{errors}");
    // Back, everything is as it was; let go, it goes on.
    settings(&project, &good);
    assert_eq!(project.build(&[]).code, 0);
    assert_eq!(project.hashes(), hashes);
    settings(&project, &good.replace("['day', 'station']", "['station']"));
    assert_eq!(project.run(&["forget", "data/*.csv", "--yes"]).code, 0);
    assert_eq!(project.build(&[]).code, 0);
    assert_eq!(project.sql("select station from readings").len(), 1);
    assert!(!tables(&project).contains("readings/1,bonn.parquet"));
}

#[test]
fn a_column_that_a_vanished_file_was_not_asked_for_is_null_and_says_so() {
    let project = field();
    fs::remove_file(project.path("data/2.csv")).unwrap();
    let rain = READINGS.replace("columns.temperature", "columns.rain = { type = 'float' }\ncolumns.temperature");
    settings(&project, &(rain + DERIVED));
    project.source("1.csv", "day,station,hour,temperature,rain\n1,aachen,0,4,1\n1,aachn,1,6,2\n");
    let build = project.build(&[]);
    assert_eq!(build.code, 0, "{build:?}");
    let why = project.run(&["why", "readings", "--run", "1,bonn", "--json"]).json();
    assert_eq!(
        (&why["unavailable"][0]["column"], codes(&why["unavailable"])),
        (&"rain".into(), vec!["column_not_read"])
    );
    let before = project.hashes();
    assert_eq!(project.build(&["--force"]).code, 0);
    assert_eq!(project.hashes(), before);
    let again = project.run(&["why", "readings", "--run", "1,bonn", "--json"]).json();
    assert_eq!(codes(&again["unavailable"]), ["column_not_read"]);
}

#[test]
fn an_alias_that_came_after_a_file_went_fails_the_runs_that_it_joins() {
    let project = Project::new();
    project.source("a.csv", &format!("{HEADER}{}", run_rows("a", 0.3)));
    project.source("b.csv", &format!("{HEADER}{}", run_rows("b", 0.3)));
    project.settings("timezone = 'UTC'\n");
    assert_eq!(project.build(&["raw"]).code, 0);
    fs::remove_file(project.path("data/b.csv")).unwrap();
    project.settings("timezone = 'UTC'\nrun_attributes = ['cell_id', 'shift']\n[run_alias]\nz = 'a'\n");
    let calm = project.build(&["raw"]);
    assert_eq!(calm.code, 0, "an alias of what it never brought, and an attribute: {calm:?}");
    assert!(calm.stdout.contains("column_not_read"), "{calm:?}");
    project.settings("timezone = 'UTC'\n[run_alias]\nb = 'a'\n");
    let (steps, reason) = failed(&project);
    assert_eq!(steps, ["raw of a", "raw of b"]);
    assert_eq!((&reason["setting"], &reason["new"]), (&"run_alias.b".into(), &"a".into()));
    project.settings("timezone = 'Europe/Paris'\n");
    assert_eq!(failed(&project).0, ["raw of b"]);
}

#[test]
fn status_tells_of_a_run_that_is_gone() {
    let project = field();
    correct(&project);
    let asked = |run: &str| project.run(&["status", "--run", run, "--json"]);
    let told = asked("1,aachn");
    assert_eq!((told.code, codes(&told.json()["gone"])), (0, vec!["run_gone"]), "{told:?}");
    assert_eq!((&told.json()["gone"][0]["since"], &told.json()["runs"]), (&Value::Null, &serde_json::json!([])));
    let text = project.run(&["status", "--run", "1,aachn"]).stdout;
    assert!(text.starts_with("1,aachn is gone, and the next build takes its tables down: no source"), "{text}");
    assert_eq!(project.build(&[]).code, 0);
    assert!(asked("1,aachn").json()["gone"][0]["since"].as_str().unwrap().starts_with("20"));
    let text = project.run(&["status", "--run", "1,aachn"]).stdout;
    assert!(text.starts_with("1,aachn is gone since 20") && text.contains("data/1.csv did last"), "{text}");
    let both = project.run(&["status", "--run", "1,aachn", "--run", "1,bonn", "--json"]);
    let both = (both.code, both.json());
    assert_eq!((both.0, codes(&both.1["gone"])), (0, vec!["run_gone"]));
    assert!(both.1["runs"].as_array().unwrap().iter().any(|row| row["run"] == "1,bonn"), "{}", both.1);
    assert_eq!((asked("1,nowhere").code, asked("1,nowhere").json()["code"].clone()), (2, "unknown_run".into()));
}

#[test]
fn several_runs_that_are_forgotten_are_several() {
    let project = field();
    project.source("3.csv", &format!("{TOP}2,bonn,1,9\n3,bonn,0,9\n"));
    assert_eq!(project.build(&[]).code, 0);
    fs::remove_file(project.path("data/3.csv")).unwrap();
    fs::remove_file(project.path("data/2.csv")).unwrap();
    let told = |args: &[&str]| project.run(&[&["forget"], args].concat()).stdout;
    assert!(told(&["data/2.csv"]).contains("1 run would be gone, as no other file delivers it: 1,bonn"));
    let done = told(&["data/3.csv", "--yes"]);
    assert!(done.contains("2 runs are gone, as no other file delivers them: 2,bonn, 3,bonn"), "{done}");
}

#[test]
fn a_plan_knows_that_rows_of_a_vanished_file_were_never_stored() {
    let project = field();
    project.source("3.csv", &format!("{TOP}3,bonn,0,9\n"));
    assert_eq!(project.build(&["--run", "1,aachen", "--force"]).code, 0);
    fs::remove_file(project.path("data/3.csv")).unwrap();
    let plan = project.run(&["plan", "readings", "--run", "3,bonn", "--json"]).json();
    let step = &plan["steps"][0];
    assert_eq!((&step["state"], codes(&step["reasons"])), (&"failed".into(), vec!["source_vanished"]), "{plan}");
    let (steps, reason) = failed(&project);
    assert_eq!((steps, &reason), (vec!["readings of 3,bonn".to_owned()], &step["reasons"][0]));
    project.source("3.csv", &format!("{TOP}3,bonn,0,9\n"));
    assert_eq!(project.build(&[]).code, 0);
}

#[test]
fn what_is_gone_is_blamed_on_files_that_deliver_it_no_more() {
    let project = Project::new();
    let days = "
[assets.days]
files = ['data/a-days.csv']
partition_by = ['day']
columns.rain = { type = 'float' }

[assets.joined]
sql = 'select temperature, rain from readings cross join days'
";
    settings(&project, &(READINGS.replace("*.csv", "r*.csv") + days));
    project.source("a-days.csv", "day,rain\n1,3\n");
    project.source("r.csv", &format!("{TOP}1,aachen,0,4\n1,aachn,1,6\n"));
    let built = project.build(&[]);
    assert_eq!(built.code, 0, "{built:?}");
    project.source("r.csv", &format!("{TOP}1,aachen,0,4\n1,aachen,1,6\n"));
    for state in ["before it is taken down", "after"] {
        let why = project.run(&["why", "joined", "--run", "1,aachn", "--json"]).json();
        assert_eq!(why["reasons"][0]["paths"], serde_json::json!(["data/r.csv"]), "{state}: {why}");
        assert_eq!(project.build(&[]).code, 0);
    }
}
