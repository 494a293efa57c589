//! `assets verify` and `assets repair` as a person calls them.

use crate::harness::{HEADER, Project, log, run_rows};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

fn two_runs() -> Project {
    let project = Project::new();
    project.source("a.csv", &format!("{HEADER}{}{}", run_rows("r1", 0.3), run_rows("r2", 0.2)));
    assert_eq!(project.build(&[]).code, 0);
    project
}

fn codes(answer: &Value, list: &str) -> Vec<String> {
    answer[list].as_array().unwrap().iter().map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
}

/// Changes one byte in the middle of a file.
fn flip(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn segment(project: &Project) -> PathBuf {
    let entries = fs::read_dir(project.path("warehouse/journal")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|e| e == "log")).min().unwrap()
}

#[test]
fn a_store_as_it_was_written_is_clean_and_steps_come_out_the_same_again() {
    let project = two_runs();
    let clean = project.run(&["verify", "--recompute", "100", "--json"]);
    assert_eq!((clean.code, codes(&clean.json(), "findings")), (0, vec![]), "{clean:?}");
    let looked = clean.json()["looked_at"].clone();
    assert_eq!(looked["recomputed"], 12, "five assets of two runs, and two that are not cut: {looked}");
    assert!(looked["objects"].as_u64() > Some(5) && looked["published"].as_u64() > Some(8), "{looked}");
    let before = project.hashes();
    let text = project.run(&["verify"]);
    assert!(text.stdout.starts_with("all is as it was written: looked at"), "{text:?}");
    let dry = project.run(&["repair", "--dry-run"]);
    assert_eq!(dry.code, 0, "{dry:?}");
    let repaired = project.run(&["repair", "--json"]);
    assert_eq!((repaired.code, codes(&repaired.json(), "left")), (0, vec![]), "{repaired:?}");
    assert_eq!((project.build(&[]).log(), project.hashes()), (log(&[]), before));
    let none = Project::new().run(&["verify", "--json"]);
    assert_eq!((none.code, none.json()["problems"].clone()), (0, 0.into()), "a store that is not there yet");
}

#[test]
fn damage_is_named_with_what_mends_it() {
    let project = two_runs();
    let before = project.hashes();
    flip(&project.path("warehouse/tables/wide/r1.parquet"));
    fs::remove_file(project.path("warehouse/tables/features/r2.parquet")).unwrap();
    flip(&project.path("warehouse/tables/stats/part-00000.parquet"));
    let found = project.run(&["verify", "--json"]);
    let mut told = codes(&found.json(), "findings");
    told.sort();
    assert_eq!(found.code, 1);
    assert_eq!(told, ["object_damaged", "table_damaged", "table_damaged", "table_missing"], "{found:?}");
    let object =
        found.json()["findings"].as_array().unwrap().iter().find(|f| f["code"] == "object_damaged").unwrap().clone();
    assert_eq!(object["mend"], "assets repair, then assets materialize");
    let text = project.run(&["verify"]);
    assert!(text.stdout.contains("mended by: assets repair, then assets materialize"), "{text:?}");
    assert!(text.stdout.contains("4 problems: looked at"), "{text:?}");
    // Nothing reads such an object as if it were right.
    let show = project.run(&["show", "wide", "--run", "r1", "--json"]);
    assert_eq!((show.code, show.json()["code"].clone()), (3, "object_damaged".into()), "{show:?}");
    let sql = project.run(&["sql", "select * from wide", "--json"]);
    assert_eq!((sql.code, sql.json()["code"].clone()), (3, "object_damaged".into()), "as show: {sql:?}");
    let dry = project.run(&["repair", "--dry-run", "--json"]).json();
    assert_eq!(codes(&dry, "would").len(), 4, "{dry}");
    let repaired = project.run(&["repair", "--json"]);
    assert_eq!(
        (repaired.code, codes(&repaired.json(), "left")),
        (1, vec!["object_missing".to_owned()]),
        "{repaired:?}"
    );
    assert!(!project.path("warehouse/tables/wide/r1.parquet").exists(), "a damaged table is not published");
    assert!(project.path("warehouse/tables/features/r2.parquet").exists());
    assert_eq!(project.build(&[]).log(), log(&[("made", "wide", "r1")]));
    assert_eq!((project.hashes(), project.run(&["verify"]).code), (before, 0));
}

#[test]
fn who_finds_damage_has_the_next_build_mend_it() {
    let project = two_runs();
    let before = project.hashes();
    let finders: [&[&str]; 4] = [
        &["verify"],
        &["show", "wide", "--run", "r1"],
        &["sql", "select sum(x_1) from wide"],
        &["materialize", "features", "--run", "r1", "--force", "--only"],
    ];
    for finder in finders {
        flip(&project.path("warehouse/tables/wide/r1.parquet"));
        assert_ne!(project.run(finder).code, 0, "{finder:?}");
        if finder[0] != "materialize" {
            let plan = project.run(&["plan", "wide", "--run", "r1", "--json"]).json();
            assert!(plan["steps"].to_string().contains("lost_object"), "{finder:?}: {plan}");
        }
        let build = project.build(&[]);
        assert!(build.code == 0 && build.log()["made"].contains("wide of r1"), "{finder:?}: {build:?}");
        assert_eq!((project.hashes(), project.run(&["verify"]).code), (before.clone(), 0), "{finder:?}");
        assert!(!project.path("warehouse/suspects").exists());
    }
    // Whoever may not write says so all the same, and leaves nothing.
    flip(&project.path("warehouse/tables/wide/r1.parquet"));
    fs::write(project.path("warehouse/suspects"), "in the way").unwrap();
    let show = project.run(&["show", "wide", "--run", "r1", "--json"]);
    assert_eq!((show.code, show.json()["code"].clone()), (3, "object_damaged".into()), "{show:?}");
}

#[test]
fn a_damaged_record_costs_its_steps_and_repair_keeps_the_file() {
    let project = two_runs();
    let before = project.hashes();
    let path = segment(&project);
    let bytes = fs::read(&path).unwrap();
    flip(&path);
    let found = project.run(&["verify", "--json"]);
    assert_eq!(found.code, 1);
    assert!(codes(&found.json(), "findings").contains(&"journal_damaged".to_owned()), "{found:?}");
    let status = project.run(&["status", "--json"]).json();
    let states: Vec<String> = status["runs"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|run| run["assets"].as_object().unwrap().values())
        .map(|cell| cell["state"].to_string())
        .collect();
    assert!(states.contains(&"\"fresh\"".to_owned()), "what other records say stands: {states:?}");
    let repaired = project.run(&["repair", "--json"]).json();
    assert!(codes(&repaired, "done").contains(&"journal_cut".to_owned()), "{repaired}");
    let kept = fs::read(project.path("warehouse/damaged").join(path.file_name().unwrap())).unwrap();
    assert_eq!(kept.len(), bytes.len());
    assert_eq!(project.build(&[]).code, 0);
    assert_eq!((project.hashes(), project.run(&["verify"]).code), (before, 0));
    // Its header, the format, the index: nothing is lost with them.
    let mut bytes = fs::read(&path).unwrap();
    bytes[7] = b'3';
    fs::write(&path, bytes).unwrap();
    fs::write(project.path("warehouse/format"), "assets st\0re 1\n").unwrap();
    fs::write(project.path("warehouse/catalog/db"), "garbage").unwrap();
    assert_eq!(project.run(&["status"]).code, 3);
    assert_eq!(project.run(&["verify", "--json"]).code, 1);
    let repaired = project.run(&["repair", "--json"]);
    assert_eq!((repaired.code, codes(&repaired.json(), "left")), (0, vec![]), "{repaired:?}");
    assert_eq!(project.build(&[]).log(), log(&[]));
}
