//! Little memory changes what is held, never what comes out.

use crate::harness::{HEADER, Output, Project, row, run_rows};
use std::fs;
use std::time::Duration;

/// Runs with defects of every kind in one file: more rows than a quarter of the least memory holds.
fn recording(runs: &str, seconds: &str) -> Project {
    let project = Project::new();
    let simulated = project.run(&["simulate", "data/all.parquet", "--runs", runs, "--seconds", seconds, "--defects"]);
    assert_eq!(simulated.code, 0, "{simulated:?}");
    project
}

#[test]
fn a_file_with_more_rows_than_fit_is_read_run_by_run() {
    come_out_equal_in_little_memory(&recording("2", "100"));
}

#[test]
fn a_file_with_more_rows_than_fit_is_read_for_many_short_runs_at_once() {
    come_out_equal_in_little_memory(&recording("20", "16"));
}

#[test]
fn a_long_run_is_decoded_again_and_its_columns_are_put_aside() {
    come_out_equal_in_little_memory(&recording("1", "1000"));
}

fn come_out_equal_in_little_memory(project: &Project) {
    let built = project.build(&[]);
    assert_eq!(built.code, 0, "{built:?}");
    let (hashes, steps) = (project.hashes(), built.log());
    fs::remove_dir_all(project.path("warehouse")).unwrap();
    project.settings("memory = \"256MiB\"\n");
    let built = project.build(&[]);
    assert_eq!(built.code, 0, "{built:?}");
    assert_eq!(built.log(), steps);
    assert_eq!(project.hashes(), hashes);
    let again = project.build(&["--rehash"]);
    assert_eq!((again.code, again.log().len()), (0, 0), "the file's slices have the same hashes: {again:?}");
    let rows = project.sql("select count(*) as n from intake_rejects");
    assert!(rows[0]["n"].as_i64().unwrap() > 0, "rows without a run are among them");
}

#[test]
fn memory_is_a_size_that_makes_sense() {
    let project = recording("2", "100");
    for (text, says) in [("lots", "is not a size"), ("1MiB", "256MiB")] {
        project.settings(&format!("memory = \"{text}\"\n"));
        let refused = project.build(&[]);
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(format!("{refused:?}").contains(says), "{refused:?}");
    }
}

#[test]
fn a_file_of_long_texts_is_refused_and_the_others_go_on() {
    let project = Project::new();
    project.source("good.csv", &format!("{HEADER}{}", row(1, "1", "x", "1", "good")));
    let (long, longest) = ("x".repeat(1 << 20), "x".repeat(17 << 20));
    let many: String = (0..40).map(|at| row(at, &long, "x", "1", "many")).collect();
    project.source("many.csv", &format!("{HEADER}{many}"));
    project.source("one.csv", &format!("{HEADER}{}", row(1, "1", "x", "1", &longest)));
    // A text of ordinary length is kept as delivered, whatever it says.
    let odd = "y".repeat(10_000);
    project.source("odd.csv", &format!("{HEADER}{}{}", row(1, "1", "x", "1", "odd"), row(2, &odd, "x", "1", "odd")));
    let built = project.build(&[]);
    assert_eq!(built.code, 1, "{built:?}");
    let errors = project.run(&["errors", "--json"]).json();
    let mut told: Vec<(&str, &str)> = errors["errors"].as_array().unwrap().iter().filter_map(told).collect();
    told.sort_unstable();
    assert_eq!(told, [("row_too_long", "data/one.csv"), ("texts_too_long", "data/many.csv")]);
    assert_eq!(project.sql("select run_uuid from stats order by run_uuid").len(), 2);
    assert_eq!(project.sql("select value from rejects where run_uuid = 'odd'")[0]["value"], odd.as_str());
}

/// The code of an error of a source, and its file.
fn told(error: &serde_json::Value) -> Option<(&str, &str)> {
    (error["kind"] == "source").then(|| Some((error["code"].as_str()?, error["path"].as_str()?)))?
}

#[test]
fn a_file_of_a_declared_table_that_needs_more_than_half_is_refused_until_it_may() {
    let project = Project::new();
    let text = "x".repeat(1 << 20);
    let rows: String = (0..130).map(|at| format!("{at},{text}\n")).collect();
    fs::write(project.path("notes.csv"), format!("n,text\n{rows}")).unwrap();
    let table = "[assets.notes]\nfiles = [\"notes.csv\"]\ncolumns = { n = \"integer\", text = \"text\" }\n";
    project.settings(&format!("memory = \"256MiB\"\n{table}"));
    let is_refused = || {
        let refused = project.build(&["notes"]);
        assert_eq!(refused.code, 1, "{refused:?}");
        let errors = project.run(&["errors", "--json"]).json();
        let told: Vec<(&str, &str)> = errors["errors"].as_array().unwrap().iter().filter_map(told).collect();
        assert_eq!(told, [("memory_needed", "notes.csv")], "{errors}");
    };
    is_refused();
    // Old enough for its time of modification to be believed.
    std::thread::sleep(Duration::from_secs(2));
    is_refused();
    is_refused();
    project.settings(&format!("memory = \"1GiB\"\n{table}"));
    assert_eq!(project.build(&["notes"]).code, 0);
    assert_eq!(project.sql("select count(*) as n from notes")[0]["n"], 130);
}

/// Twenty times what it reads: 800 MB.
const LONG: &str = "text || text || text || text || text || text || text || text || text || text || text || text || text || text || \
                    text || text || text || text || text || text";

#[test]
fn a_step_that_takes_too_much_is_stopped_and_the_others_are_made() {
    let project = Project::new();
    let text = "x".repeat(1 << 20);
    let rows: String = (0..40).map(|at| format!("{at},{text}\n")).collect();
    fs::write(project.path("notes.csv"), format!("n,text\n{rows}")).unwrap();
    let notes = "[assets.notes]\nfiles = [\"notes.csv\"]\ncolumns = { n = \"integer\", text = \"text\" }\n";
    let others: String =
        (0..6).map(|at| format!("[assets.small_{at}]\nsql = \"select n + {at} as m from notes\"\n")).collect();
    let huge = format!("[assets.huge]\nsql = \"select n, {LONG} as long from notes\"\n");
    let after = "[assets.after]\nsql = \"select n from huge\"\n";
    project.settings(&format!("memory = \"256MiB\"\n{notes}{huge}{after}{others}"));
    let begins_again = |built: &Output| built.stderr.contains("beginning again");
    for is_first in [true, false] {
        let stopped = project.build(&["notes+"]);
        assert_eq!((stopped.code, begins_again(&stopped)), (1, is_first), "what was too large is known: {stopped:?}");
        let errors = project.run(&["errors", "--json"]).json();
        let failed = errors["errors"].as_array().unwrap().iter();
        let failed: Vec<_> = failed.map(|error| (error["asset"].as_str(), error["code"].as_str())).collect();
        assert_eq!(failed, [(Some("huge"), Some("memory_needed"))], "{errors}");
        assert!((0..6).all(|at| project.sql(&format!("select m from small_{at}")).len() == 40), "{stopped:?}");
    }
    // Who forces it wants to see it again, and what is made again is so once, however often the build begins.
    let forced = project.build(&["notes+", "--force", "--jobs", "1"]);
    assert_eq!((forced.code, begins_again(&forced)), (1, true), "{forced:?}");
    let made: Vec<String> =
        forced.lines().iter().filter(|line| line["outcome"] == "made").map(ToString::to_string).collect();
    let times = |asset: &str| made.iter().filter(|line| line.contains(&format!("\"{asset}\""))).count();
    assert!((0..6).all(|at| times(&format!("small_{at}")) == 1) && times("notes") == 1, "{forced:?}");
    let history = project.run(&["history", "huge"]);
    assert!(history.stdout.contains("memory_needed") && !history.stdout.contains("begun-before"), "{history:?}");
    let asked = project.run(&["sql", "--json", &format!("select max(length({LONG})) as most from notes")]);
    assert_eq!((asked.code, asked.json()["code"].as_str()), (1, Some("memory_needed")), "{asked:?}");
    project.settings(&format!("memory = \"4GiB\"\n{notes}{huge}{after}{others}"));
    let made = project.build(&["notes+"]);
    assert_eq!(made.code, 0, "{made:?}");
    assert_eq!(project.sql("select n from after").len(), 40);
}

#[test]
fn a_saved_plan_is_carried_out_where_a_step_takes_too_much() {
    let project = Project::new();
    let text = "x".repeat(1 << 20);
    fs::write(project.path("notes.csv"), format!("n,text\n{}", format!("1,{text}\n").repeat(40))).unwrap();
    let notes = "[assets.notes]\nfiles = [\"notes.csv\"]\ncolumns = { n = \"integer\", text = \"text\" }\n";
    let huge = format!("[assets.huge]\nsql = \"select n, {LONG} as long from notes\"\n");
    project.settings(&format!("memory = \"256MiB\"\n{notes}{huge}"));
    assert_eq!(project.run(&["plan", "notes+", "--output", "p.json"]).code, 0);
    let built = project.build(&["--plan", "p.json"]);
    assert_eq!((built.code, built.finished()["failed"].as_u64()), (1, Some(1)), "{built:?}");
}

#[test]
fn a_packed_table_larger_than_the_memory_is_published() {
    let project = Project::new();
    let keys = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
    let rows = keys.map(|key| (0..1500).map(|at| format!("{key},{at}\n")).collect::<String>()).concat();
    fs::write(project.path("notes.csv"), format!("key,n\n{rows}")).unwrap();
    let notes = "[assets.notes]\nfiles = [\"notes.csv\"]\npartition_by = [\"key\"]\ncolumns = { n = \"integer\" }\n";
    // Each of two million rows: they fit one by one, and not in the view of all.
    let pairs = "select a.n as n, a.n * b.n as p from notes a cross join notes b";
    let settings =
        format!("pipeline = \"none\"\nmemory = \"256MiB\"\n{notes}[assets.pairs]\nsql = \"{pairs}\"\npacked = true\n");
    fs::write(project.path("assets.toml"), settings).unwrap();
    let built = project.build(&["--jobs", "1"]);
    assert_eq!((built.code, built.finished()["failed"].as_u64()), (0, Some(0)), "{built:?}");
    assert!(project.path("warehouse/tables/pairs/part-00000.parquet").exists());
}

#[test]
fn rows_that_are_cut_into_too_many_runs_end_with_a_reason() {
    let project = Project::new();
    let rows: String = (0..40_000).map(|run| row(run, "1.5", "x", "1", &format!("r{run}"))).collect();
    project.source("a.csv", &(HEADER.to_owned() + &rows));
    project.settings("memory = \"256MiB\"\n");
    for verb in ["plan", "materialize"] {
        let output = project.run(&[verb, "--json"]);
        let said: serde_json::Value = serde_json::from_str(output.stdout.lines().last().unwrap()).unwrap();
        assert_eq!((output.code, &said["code"]), (1, &"memory_needed".into()), "{verb}: {output:?}");
    }
    // What was there is there still, and can be used.
    project.source("a.csv", &(HEADER.to_owned() + &run_rows("a", 0.3)));
    assert_eq!(project.build(&[]).code, 0);
    assert_eq!(project.run(&["verify"]).code, 0);
}
