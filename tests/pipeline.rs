//! The main job, through the program itself: exact logs of what is made when, and what becomes of every row.

use crate::harness::{HEADER, PER_RUN, Project, log, row, run_rows};
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

/// Runs `007` and one above i64, one second each, in one file.
fn two_runs() -> Project {
    let project = Project::new();
    let text = format!("{HEADER}{}{}", run_rows("007", 1.0), run_rows("12405186538561671661", 1.0));
    project.source("a.csv", &text);
    project
}

const BOTH: &str = "007 12405186538561671661";

#[test]
fn a_run_alone_then_the_rest_then_nothing() {
    let project = two_runs();
    let first = project.build(&["features", "--run", "00"]);
    assert_eq!((first.code, first.log()), (0, log(&[("made", "raw clean wide features", "007")])));
    let rest = project.build(&[]);
    // Both runs hold the same rows: each table says whose they are.
    for table in ["raw", "clean", "wide", "features"] {
        let counts = project.sql(&format!("select run_uuid, count(*) n from {table} group by run_uuid"));
        assert!(counts.len() == 2 && counts[0]["n"] == counts[1]["n"], "{table} {counts:?}");
    }
    let expected = log(&[
        ("made", "stats", "007"),
        ("made", PER_RUN, "12405186538561671661"),
        ("made", "intake_rejects fleet", "-"),
    ]);
    assert_eq!(rest.log(), expected);
    let nothing = project.build(&[]);
    assert_eq!((nothing.code, nothing.log(), &nothing.finished()["fresh"]), (0, log(&[]), &Value::from(12)));
    let told = project.run(&["materialize"]);
    assert_eq!((told.code, told.stdout.lines().count()), (0, 1), "{told:?}");
    // A touched source is hashed again, not made again.
    let file = std::fs::File::options().append(true).open(project.path("data/a.csv")).unwrap();
    file.set_modified(std::time::SystemTime::now() - Duration::from_secs(1000)).unwrap();
    assert_eq!(project.build(&[]).log(), log(&[]));
    // A renamed one moves.
    std::fs::rename(project.path("data/a.csv"), project.path("data/b.csv")).unwrap();
    let moved = project.build(&[]);
    assert_eq!(moved.log(), log(&[]));
    assert!(!moved.stdout.contains("source_vanished"), "{moved:?}");
    // A vanished one deletes nothing, and its rows come from the last table.
    std::fs::remove_file(project.path("data/b.csv")).unwrap();
    let before = project.hashes();
    let vanished = project.build(&["--force"]);
    assert!(vanished.stdout.contains("source_vanished"));
    assert_eq!((vanished.code, project.hashes()), (0, before));
}

#[test]
fn force_workers_and_the_order_of_rows_change_no_content() {
    let project = two_runs();
    project.build(&[]);
    let hashes = project.hashes();
    for args in [["--force", "--jobs", "1"], ["--force", "--jobs", "2"]] {
        let forced = project.build(&args);
        assert_eq!(forced.log(), log(&[("made", PER_RUN, BOTH), ("made", "intake_rejects fleet", "-")]));
        assert_eq!(project.hashes(), hashes);
    }
    let text = std::fs::read_to_string(project.path("data/a.csv")).unwrap();
    let mut lines: Vec<&str> = text.lines().skip(1).collect();
    // Another order, the same for every run of this test.
    lines.sort_by_key(|line| line.bytes().fold(7u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)));
    project.source("a.csv", &format!("{HEADER}{}\n", lines.join("\n")));
    let shuffled = project.build(&[]);
    assert_eq!(shuffled.log(), log(&[("made", "raw clean", BOTH)]), "clean comes out equal, so the rest stays fresh");
    project.build(&["--force"]);
    let but_raw = |hashes: BTreeMap<(String, String), String>| -> BTreeMap<_, _> {
        hashes.into_iter().filter(|((asset, _), _)| asset != "raw").collect()
    };
    assert_eq!(but_raw(project.hashes()), but_raw(hashes));
}

#[test]
fn late_rows_remake_their_run_and_parameters_what_reads_them() {
    let project = two_runs();
    project.build(&[]);
    let late: String = (0..10).map(|i| row(1001 + i * 12, "1.5", "x", "1", "007")).collect();
    project.source("late.csv", &format!("{HEADER}{late}"));
    let plan = project.run(&["plan", "--json"]).json();
    let touched: Vec<&Value> =
        plan["steps"].as_array().unwrap().iter().filter(|step| step["state"] != "fresh").collect();
    assert_eq!(touched.len(), 6);
    assert!(touched.iter().all(|step| step["run"] == "007" || step["asset"] == "fleet"));
    assert_eq!(touched[0]["reasons"][0]["code"], "source_added");
    assert_eq!(plan["counts"]["fresh"], 6);
    assert_eq!(project.build(&[]).log(), log(&[("made", PER_RUN, "007"), ("made", "fleet", "-")]));

    project.settings("[wide]\nmethod = \"previous\"\n");
    let why = project.run(&["why", "wide", "--run", "007"]);
    assert!(why.stdout.contains("the parameter wide.method changed: linear → previous"), "{why:?}");
    assert_eq!(project.build(&[]).log(), log(&[("made", "wide features", BOTH)]));
    project.settings("");
    let back = project.build(&[]);
    assert_eq!((back.log(), &back.finished()["made"]), (log(&[("reused", "wide features", BOTH)]), &Value::from(0)));

    // One row twice: clean is made and comes out equal; what counts rejected rows is made.
    let text = std::fs::read_to_string(project.path("data/late.csv")).unwrap();
    let again = text.lines().last().unwrap();
    project.source("late.csv", &format!("{text}{again}\n"));
    assert_eq!(project.build(&[]).log(), log(&[("made", "raw clean stats", "007")]));
}

#[test]
fn every_row_is_in_clean_or_rejected_with_its_code() {
    let project = Project::new();
    project.settings("[run_alias]\nother = \"r\"\n[limits]\nz_2 = [-1000.0, 1000.0]\n");
    let good = run_rows("r", 0.5);
    let bad = [
        ("bad_time", "not a time,1,x,7,1,r,encoder\n,1,x,7,1,r,encoder\n".to_owned()),
        ("unknown_robot", row(2, "1", "x", "3", "r") + &row(3, "1", "x", "", "r")),
        ("unknown_field", row(4, "1", "q", "1", "r")),
        ("field_sensor_mismatch", row(5, "1", "x", "1", "r").replace("encoder", "load_cell")),
        ("bad_value", row(6, "abc", "x", "1", "r")),
        ("null_value", row(7, "", "x", "1", "r")),
        ("not_finite", row(8, "NaN", "x", "1", "r") + &row(9, "-inf", "x", "1", "r")),
        ("duplicate", good.lines().next().unwrap().to_owned() + "\n"),
        ("conflict", row(15, "5", "x", "2", "other") + &row(15, "6", "x", "2", "r")),
        ("out_of_range", row(16, "5000", "z", "2", "r")),
    ];
    let unusable = [row(1, "1", "x", "1", ""), row(1, "1", "x", "1", ".."), row(1, "1", "x", "1", "a\u{7}b")].concat();
    let text: String = bad.iter().map(|(_, rows)| rows.as_str()).collect();
    project.source("a.csv", &format!("{HEADER}{good}{text}{unusable}"));
    assert_eq!(project.build(&[]).code, 0);
    let count = |query: &str| project.sql(query)[0]["n"].as_i64().unwrap();
    for (code, rows) in &bad {
        let found = count(&format!("select count(*) n from rejects where code = '{code}'"));
        assert_eq!(found, rows.lines().count() as i64, "{code}");
    }
    assert_eq!(count("select count(*) n from intake_rejects where code = 'bad_run_id'"), 3);
    let kept = count("select count(*) n from clean");
    let rejected = count("select count(*) n from rejects");
    let read = (good.lines().count() + text.lines().count() + unusable.lines().count()) as i64;
    assert_eq!(kept + rejected + 3, read);
    let delivered = project.sql("select time, value, robot_id from rejects where code = 'bad_value'");
    assert_eq!(delivered[0]["value"], "abc", "as delivered");
}

#[test]
fn run_ids_of_every_spelling_are_text_and_stay_in_their_folder() {
    let project = Project::new();
    let ids = ["007", "7.58229308099147e+18", "../../x", "a/b", "-rf"];
    let rows: String = ids.iter().map(|id| row(1, "1", "x", "1", id)).collect();
    project.source("a.csv", &format!("{HEADER}{rows}"));
    let build = project.build(&[]);
    assert!(build.stdout.contains("imprecise_run_id"));
    let found = project.sql("select run_uuid from stats order by run_uuid");
    let found: Vec<&str> = found.iter().map(|row| row["run_uuid"].as_str().unwrap()).collect();
    assert_eq!(found, ["-rf", "../../x", "007", "7582293080991470000", "a/b"]);
    let mut files: Vec<String> = std::fs::read_dir(project.path("warehouse/tables/raw"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(
        files,
        ["%2E.%2F..%2Fx.parquet", "-rf.parquet", "007.parquet", "7582293080991470000.parquet", "a%2Fb.parquet"]
    );
}

#[test]
fn a_missing_sensor_is_null_with_its_reason_down_to_stats() {
    let project = Project::new();
    let rows: String =
        run_rows("r", 1.0).lines().filter(|l| !l.contains("load_cell")).map(|l| format!("{l}\n")).collect();
    project.source("a.csv", &format!("{HEADER}{rows}"));
    assert_eq!(project.build(&[]).code, 0);
    let nulls = project.sql("select count(f1) f1, count(fx_1) fx_1, count(v1) v1, count(*) n from features")[0].clone();
    assert_eq!((&nulls["f1"], &nulls["fx_1"]), (&Value::from(0), &Value::from(0)));
    assert!(nulls["v1"].as_i64() > Some(0));
    let stats = project.sql("select f1_peak_n, distance_mm from stats")[0].clone();
    assert!(stats["f1_peak_n"].is_null() && stats["distance_mm"].as_f64().is_some());
    let why = project.run(&["why", "stats", "--run", "r"]);
    assert!(why.stdout.contains("no row of load cell 1 was delivered"), "{why:?}");
    let errors = project.run(&["errors", "--json"]).json();
    let errors = errors["errors"].as_array().unwrap();
    assert!(errors.iter().any(|e| e["kind"] == "unavailable" && e["code"] == "sensor_not_delivered"));
}

#[test]
fn steps_that_follow_each_other_make_what_each_makes_alone() {
    let rows = run_rows("a", 1.0);
    // Late, twice, out of order, far off, and another session after a pause.
    let again: String = rows.lines().step_by(7).map(|line| format!("{line}\n")).collect();
    let far = row(300, "99999", "x", "1", "a") + &row(20_000, "5", "x", "1", "a") + &row(20_010, "6", "x", "1", "a");
    let one: String =
        run_rows("b", 0.7).lines().filter(|line| !line.contains("load_cell")).map(|l| format!("{l}\n")).collect();
    let text = format!("{HEADER}{rows}{far}{again}{one}");
    let settings = "[tare]\nfirst_s = 0.1\n[limits]\nx_1 = [-500, 500]\n[sessions]\nsession_gap_s = 2.0\n";
    let [at_once, one_by_one] = [(); 2].map(|()| {
        let project = Project::new();
        project.settings(settings);
        project.source("a.csv", &text);
        project
    });
    assert_eq!(at_once.build(&[]).code, 0);
    for asset in ["raw", "clean", "wide", "features", "stats", "fleet", "*"] {
        // Each in a process of its own, which reads what the ones before have stored.
        let output = one_by_one.build(&[asset]);
        assert_eq!(output.code, 0, "{output:?}");
    }
    assert_eq!(one_by_one.sql("select count(*) n from sessions")[0]["n"], 3);
    assert_eq!(at_once.hashes(), one_by_one.hashes());
}

#[test]
fn a_pause_makes_two_sessions_and_its_jump_is_no_distance() {
    let project = Project::new();
    let mut rows = String::new();
    for (start, offset) in [(0, 0), (70_000, 500)] {
        for i in 0..200 {
            for (field, value) in [("x", offset + i), ("y", 0), ("z", 0)] {
                rows += &row(start + i * 12, &value.to_string(), field, "1", "r");
            }
        }
    }
    project.source("a.csv", &format!("{HEADER}{rows}"));
    project.build(&[]);
    let stats = project.sql("select sessions, distance_1_mm, runtime_s, active_s from stats")[0].clone();
    assert_eq!((&stats["sessions"], &stats["distance_1_mm"]), (&Value::from(2), &Value::from(398.0)));
    assert_eq!(stats["runtime_s"], 72.388);
    assert_eq!(stats["active_s"], 4.776);
    let rows = project.sql("select count(*) n, max(abs(vx_1)) v from features")[0].clone();
    assert_eq!(rows["n"], 400);
    assert!(rows["v"].as_f64() < Some(84.0), "1 mm in 12 ms, and no jump: {rows}");
    let pauses = project.sql("select duration_s from gaps where kind = 'pause'");
    assert_eq!(pauses.len(), 1);
    assert_eq!(pauses[0]["duration_s"], 67.612);
}

#[test]
fn a_damaged_source_blocks_its_runs_and_heals() {
    let project = two_runs();
    let other = format!("{HEADER}{}", run_rows("other", 0.5));
    project.source("b.csv", &other);
    project.build(&[]);
    let before = project.hashes();
    project.source("b.csv", "rubbish\n1\n");
    let damaged = project.build(&[]);
    assert_eq!(damaged.code, 1);
    let blocked = ("blocked", "clean wide features stats", "other");
    assert_eq!(damaged.log(), log(&[("failed", "raw", "other"), blocked, ("made", "fleet", "-")]));
    assert_eq!(project.sql("select count(*) n from stats")[0]["n"], 3, "the earlier tables are still there");
    assert!(project.path("warehouse/tables/features/other.parquet").exists());
    let errors = project.run(&["errors", "--json"]).json();
    let failure = errors["errors"].as_array().unwrap().iter().find(|e| e["kind"] == "failure").unwrap().clone();
    assert_eq!((&failure["code"], failure["blocks"].as_array().map(Vec::len)), (&"source_unreadable".into(), Some(4)));
    project.source("b.csv", &other);
    let mended = project.build(&[]);
    assert_eq!((mended.code, mended.log(), project.hashes()), (0, log(&[("reused", "fleet", "-")]), before));
}

#[test]
fn killed_at_any_moment_the_next_build_finishes_the_job() {
    let reference = two_runs();
    reference.build(&[]);
    let expected = reference.hashes();
    let project = two_runs();
    for delay in [1, 3, 5, 8, 12, 18, 25, 35, 50, 80] {
        let mut child = project.command(&["materialize"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(delay));
        let _ = child.kill();
        child.wait().unwrap();
        assert_eq!(project.run(&["status"]).code, 0);
    }
    assert_eq!(project.build(&[]).code, 0);
    assert_eq!(project.hashes(), expected);
    // So small a store has none before it is asked for what was.
    let _ = std::fs::remove_dir_all(project.path("warehouse/catalog"));
    assert_eq!(project.build(&[]).log(), log(&[]));
    let previous = "[wide]\nmethod = \"previous\"\n";
    project.settings(previous);
    project.build(&[]);
    project.settings("");
    assert_eq!(project.build(&[]).log(), log(&[("reused", "wide features", BOTH)]));
    std::fs::remove_dir_all(project.path("warehouse/catalog")).unwrap();
    project.settings(previous);
    assert_eq!(project.build(&[]).log(), log(&[("reused", "wide features", BOTH)]));
    std::fs::remove_dir_all(project.path("warehouse/tables")).unwrap();
    project.build(&[]);
    assert!(project.path("warehouse/tables/wide/007.parquet").exists(), "published again");
    assert_eq!(project.sql("select count(*) n from stats")[0]["n"], 2);
}

#[test]
fn two_builds_share_a_store() {
    let project = two_runs();
    let children: Vec<_> = (0..3)
        .map(|_| {
            project.command(&["materialize", "--json"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let mut made = 0;
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        made += last["made"].as_u64().unwrap();
    }
    assert_eq!(made, 12, "each step once");
}

#[test]
fn what_vanished_sources_brought_stays() {
    let project = Project::new();
    let rows = format!("{HEADER}{}{}", run_rows("r", 0.2), row(1, "1", "x", "1", ""));
    project.source("a.csv", &rows);
    project.source("copy.csv", &rows);
    project.build(&[]);
    let raw = project.sql("select count(*) n from raw")[0]["n"].clone();
    for name in ["a.csv", "copy.csv"] {
        std::fs::remove_file(project.path("data").join(name)).unwrap();
    }
    let late = format!("{HEADER}{}{}", row(500, "1", "x", "1", "r"), row(2, "2", "x", "1", ".."));
    project.source("late.csv", &late);
    let build = project.build(&[]);
    assert_eq!((build.code, &build.finished()["failed"]), (0, &Value::from(0)), "{build:?}");
    assert_eq!(project.sql("select count(*) n from raw")[0]["n"], raw.as_i64().unwrap() + 1);
    assert_eq!(project.sql("select count(*) n from intake_rejects")[0]["n"], 3);
}

#[test]
fn spellings_of_duplicates_and_the_order_of_rows_change_nothing() {
    let rows = [row(12, "5", "x", "1", "r"), row(12, "5.0", "x", "1", "r"), row(24, "6", "x", "1", "r")];
    let hashes = [[0, 1, 2], [2, 1, 0], [1, 0, 2]].map(|order| {
        let project = Project::new();
        project.source("a.csv", &format!("{HEADER}{}", order.map(|i| rows[i].clone()).concat()));
        project.build(&[]);
        let mut hashes = project.hashes();
        hashes.remove(&("raw".to_owned(), "r".to_owned()));
        hashes
    });
    assert!(hashes[0] == hashes[1] && hashes[1] == hashes[2]);
}

#[test]
fn sql_limits_count_over_all_runs() {
    let project = two_runs();
    project.build(&[]);
    assert_eq!(project.sql("select * from wide limit 1").len(), 1);
    assert_eq!(project.sql("select count(*) n from (select time from wide limit 3) a")[0]["n"], 3);
    assert_eq!(project.sql("select run_uuid from stats limit 5").len(), 2);
}

#[test]
fn what_a_run_never_had_is_not_new() {
    let project = Project::new();
    let rows: String =
        run_rows("a", 0.5).lines().filter(|line| line.ends_with("encoder")).map(|l| l.to_owned() + "\n").collect();
    project.source("a.csv", &format!("{HEADER}{rows}"));
    project.build(&[]);
    let unsettled =
        |parts: &Value| parts.as_array().unwrap().iter().map(|part| part["part"].to_string()).collect::<Vec<_>>();
    let plan = project.run(&["plan", "clean", "--json"]).json();
    assert_eq!(unsettled(&plan["steps"][1]["parts"]), Vec::<String>::new(), "{plan}");
    project.source("a.csv", &format!("{HEADER}{rows}{}", row(600, "1", "x", "1", "a")));
    let plan = project.run(&["plan", "clean", "--json"]).json();
    assert_eq!((&plan["steps"][1]["asset"], &plan["steps"][1]["state"]), (&"clean".into(), &"maybe".into()));
    assert!(unsettled(&plan["steps"][1]["parts"]).contains(&"\"1/load_cell/fx:time\"".to_owned()), "{plan}");
    assert!(!plan.to_string().contains("column_new"), "{plan}");
}

/// The real recording, where it is at hand; skipped where it is not.
#[test]
fn the_real_recording_gives_its_known_statistics() {
    let sample = std::env::var("ASSETS_REAL_SAMPLE").map_or_else(
        |_| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/sample.csv"),
        std::path::PathBuf::from,
    );
    if !sample.exists() {
        eprintln!("skipped: set ASSETS_REAL_SAMPLE to the recording's path");
        return;
    }
    let project = Project::new();
    std::fs::copy(&sample, project.path("data/sample.csv")).unwrap();
    let first = project.build(&["features", "--run", "7582"]);
    assert_eq!(first.log(), log(&[("made", "raw clean wide features", "7582293080991470061")]));
    assert_eq!(project.build(&[]).code, 0);
    let known = [
        ("7582293080991470061", 39010.731743, 0.166042),
        ("6176976534744076781", 0.095414, 0.136000),
        ("12405186538561671661", 49271.936055, 50165.225732),
        ("8910095844186657261", 26310.723424, 29632.425809),
    ];
    for (run, one, two) in known {
        let query = format!("select * from stats where run_uuid = '{run}'");
        let stats = project.sql(&query)[0].clone();
        for (column, expected) in [("distance_1_mm", one), ("distance_2_mm", two), ("runtime_s", 599.556)] {
            let found = stats[column].as_f64().unwrap();
            assert!((found - expected).abs() <= (1e-6 * expected).max(1e-6), "{run} {column}: {found} {expected}");
        }
        assert!(stats["start_time"].as_str().unwrap().starts_with("2022-11-23T20:40:00.444"), "{stats}");
        assert!(stats["stop_time"].as_str().unwrap().starts_with("2022-11-23T20:50:00"), "{stats}");
    }
    assert_eq!(project.sql("select count(*) n from wide")[0]["n"], 4 * 361);
}
