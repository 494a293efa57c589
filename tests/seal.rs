//! What was fresh in a world that has not changed is not looked at again: and whatever changes, it is.

use crate::harness::{HEADER, Project, run_rows};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

fn project() -> Project {
    let project = Project::new();
    for run in ["a", "b"] {
        project.source(&format!("{run}.csv"), &(HEADER.to_owned() + &run_rows(run, 1.0)));
    }
    project
}

pub(crate) fn seal(project: &Project) -> Value {
    let text = fs::read_to_string(project.path("warehouse/seal")).unwrap();
    serde_json::from_str(text.strip_prefix("assets seal 3").unwrap()).unwrap()
}

/// Makes the seal say something else: only who believes it tells so.
pub(crate) fn forge(project: &Project, change: impl FnOnce(&mut Value)) {
    let mut forged = seal(project);
    change(&mut forged);
    fs::write(project.path("warehouse/seal"), format!("assets seal 3\n{forged}\n")).unwrap();
}

/// So that there are that many steps in all.
fn with_steps(steps: u64) -> impl FnOnce(&mut Value) {
    move |seal| seal["steps"] = json!({"raw": steps - seal["uncut"].as_u64().unwrap()})
}

/// The number of steps that a build finds fresh, which makes nothing.
fn fresh(project: &Project) -> u64 {
    let build = project.build(&[]);
    assert_eq!((build.code, build.log()), (0, Default::default()), "{build:?}");
    build.lines().last().unwrap()["fresh"].as_u64().unwrap()
}

/// Finds everything fresh, and remembers it: sources were not touched just now.
fn sealed(project: &Project) -> u64 {
    let steps = fresh(project);
    let seal = seal(project);
    let cut: u64 = seal["steps"].as_object().unwrap().values().map(|steps| steps.as_u64().unwrap()).sum();
    assert_eq!(cut + seal["uncut"].as_u64().unwrap(), steps, "{seal}");
    assert!(seal["sources"].is_string(), "{seal}");
    steps
}

/// One file somewhere below a folder.
fn some_file(folder: PathBuf) -> PathBuf {
    let first = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).min().unwrap();
    if first.is_dir() { some_file(first) } else { first }
}

#[test]
fn a_seal_holds_no_more_once_a_reader_has_found_damage() {
    let project = project();
    assert_eq!(project.build(&[]).code, 0);
    std::thread::sleep(Duration::from_secs(2));
    let steps = sealed(&project);
    assert!(steps < 777);
    forge(&project, with_steps(777));
    // In place: no folder of the store says so, and a build believes the seal.
    let table = project.path("warehouse/tables/wide/a.parquet");
    let mut bytes = fs::read(&table).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::set_permissions(&table, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&table, bytes).unwrap();
    assert_eq!(fresh(&project), 777);
    assert_eq!(project.run(&["show", "wide", "--run", "a"]).code, 3);
    assert!(project.build(&[]).log()["made"].contains("wide of a"));
    assert_eq!(project.run(&["verify"]).code, 0);
}

#[test]
fn what_was_fresh_is_not_looked_at_again_until_something_changes() {
    let project = project();
    assert_eq!(project.build(&[]).code, 0);
    assert!(seal(&project)["sources"].is_null(), "files just written may change unseen");
    forge(&project, |seal| seal["uncut"] = json!(1001));
    assert!(fresh(&project) > 1000, "all else is believed");
    fs::remove_file(project.path("warehouse/seal")).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    let steps = sealed(&project);
    // It is believed: a number that only the seal says is told.
    assert!(steps < 777);
    forge(&project, with_steps(777));
    assert_eq!(fresh(&project), 777);
    assert_eq!(project.build(&["--rehash"]).lines().last().unwrap()["fresh"], steps, "not where it is not asked for");
    assert!(project.build(&["stats", "--force"]).log().contains_key("made"));

    let changes: [(&str, &dyn Fn()); 4] = [
        ("an object is gone", &|| fs::remove_file(some_file(project.path("warehouse/objects"))).unwrap()),
        ("a published table is gone", &|| {
            fs::remove_file(some_file(project.path("warehouse/tables/wide"))).unwrap();
        }),
        ("a setting", &|| project.settings("[derivative]\nwindow_ms = 300\n")),
        ("a source is gone", &|| fs::remove_file(project.path("data/b.csv")).unwrap()),
    ];
    for (what, change) in changes {
        sealed(&project);
        change();
        let build = project.build(&[]);
        let fresh = build.lines().last().unwrap()["fresh"].as_u64().unwrap();
        assert!(build.code == 0 && fresh <= steps, "{what}: {build:?}");
        assert!(project.path("warehouse/tables/wide/a.parquet").exists(), "{what}");
        // The full way finds nothing that was left out.
        let _ = fs::remove_file(project.path("warehouse/seal"));
        let full = project.build(&[]);
        assert_eq!((full.code, full.log()), (0, Default::default()), "{what}");
    }
}

/// What a person is told of states, which has to be what the full way tells.
fn status(project: &Project) -> String {
    let told = project.run(&["status"]);
    let path = project.path("warehouse/seal");
    let seal = fs::read(&path);
    let _ = fs::remove_file(&path);
    let full = project.run(&["status"]);
    assert_eq!((told.code, &told.stdout, &told.stderr), (0, &full.stdout, &full.stderr));
    if let Ok(seal) = seal {
        fs::write(&path, seal).unwrap();
    }
    told.stdout
}

#[test]
fn states_of_many_runs_are_told_from_a_seal_as_the_full_way_tells_them() {
    let project = Project::new();
    let keys = |all: std::ops::Range<i64>| all.map(|n| format!("k{n},{n}\n")).collect::<String>();
    let table = "[assets.readings]\nfiles = [\"data/*.csv\"]\npartition_by = [\"key\"]\npacked = true\n";
    let settings = |add: i64| {
        let twice = format!("[assets.twice]\nsql = \"select n + {add} as n from readings\"\npacked = true\n");
        let text = format!("pipeline = \"none\"\n{table}columns.n = {{ type = \"integer\" }}\n{twice}");
        fs::write(project.path("assets.toml"), text).unwrap();
    };
    settings(1);
    project.source("a.csv", &("key,n\n".to_owned() + &keys(0..30)));
    project.source("b.csv", &("key,n\n".to_owned() + &keys(30..50)));
    assert_eq!(project.build(&[]).code, 0);
    std::thread::sleep(Duration::from_secs(2));
    sealed(&project);
    assert_eq!(status(&project), "50 runs where everything is fresh\n");
    // It is believed, and only where everything is asked for, in words.
    let good = fs::read(project.path("warehouse/seal")).unwrap();
    forge(&project, |seal| seal["runs"] = json!(777));
    assert_eq!(project.run(&["status"]).stdout, "777 runs where everything is fresh\n");
    for other in [&["status", "--rehash"][..], &["status", "twice"], &["status", "--run", "k*"]] {
        assert_eq!(project.run(other).stdout, "50 runs where everything is fresh\n", "{other:?}");
    }
    let rows = project.run(&["status", "--json"]).json()["runs"].as_array().unwrap().clone();
    assert_eq!(rows.iter().filter(|row| !row["run"].is_null()).count(), 50);
    fs::write(project.path("warehouse/seal"), good).unwrap();

    let changes: [(&str, &dyn Fn()); 3] = [
        ("a published table is gone", &|| fs::remove_file(some_file(project.path("warehouse/tables/twice"))).unwrap()),
        ("a definition", &|| settings(2)),
        ("runs are gone", &|| project.source("a.csv", &("key,n\n".to_owned() + &keys(5..30)))),
    ];
    for (what, change) in changes {
        sealed(&project);
        status(&project);
        change();
        let now = status(&project);
        assert_eq!(now.starts_with("50 runs where"), what == "a published table is gone", "{what}: {now}");
        assert_eq!(project.build(&[]).code, 0, "{what}");
        status(&project);
    }
    std::thread::sleep(Duration::from_secs(2));
    sealed(&project);
    assert!(status(&project).contains("are gone"), "what is to be told besides states is told");
}

#[test]
fn a_build_leaves_a_seal_of_all_that_stands() {
    let project = Project::new();
    let keys = |all: std::ops::Range<i64>| all.map(|n| format!("k{n},{n}\n")).collect::<String>();
    let settings = |add: i64| {
        let table = "[assets.readings]\nfiles = [\"data/*.csv\"]\npartition_by = [\"key\"]\npacked = true\n";
        let twice = format!("[assets.twice]\nsql = \"select n + {add} as n from readings\"\npacked = true\n");
        let text = format!("pipeline = \"none\"\n{table}columns.n = {{ type = \"integer\" }}\n{twice}");
        fs::write(project.path("assets.toml"), text).unwrap();
    };
    settings(1);
    project.source("a.csv", &("key,n\n".to_owned() + &keys(0..600)));
    std::thread::sleep(Duration::from_millis(2100));
    assert_eq!(project.build(&[]).finished()["made"], 1201, "with the rejects");
    assert_eq!(status(&project), "600 runs where everything is fresh\n");
    let first = seal(&project);
    settings(2);
    assert_eq!(project.build(&[]).finished()["made"], 600);
    let second = seal(&project);
    assert!(first["given"] != second["given"] && first["steps"] == second["steps"], "{second}");
    assert_eq!(status(&project), "600 runs where everything is fresh\n");
    // What was asked for in part says nothing of all.
    assert_eq!(project.build(&["--force", "--run", "k*"]).finished()["made"], 1201);
    assert_eq!(seal(&project), second);
    assert_eq!(project.build(&["--force"]).finished()["made"], 1201);
    assert_ne!(seal(&project), second);
    status(&project);
    // Nothing that a build alone would have done is left undone.
    assert_eq!(project.build(&["--rehash"]).log(), Default::default());
}
