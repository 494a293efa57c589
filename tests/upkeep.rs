//! `gc`, `doctor`, and stores that can't be used as they are.

use crate::harness::{HEADER, Output, Project, run_rows};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

fn project() -> Project {
    let project = Project::new();
    project.source("a.csv", &format!("{HEADER}{}{}", run_rows("r1", 0.4), run_rows("r2", 0.4)));
    assert_eq!(project.build(&[]).code, 0);
    project
}

const NOW: [&str; 3] = ["--older-than", "0s", "--json"];

/// How many files of each kind.
fn kinds(output: &Output) -> BTreeMap<String, u64> {
    assert_eq!(output.code, 0, "{output:?}");
    let answer = output.json();
    let kinds = answer["kinds"].as_object().unwrap();
    kinds.iter().map(|(kind, of)| (kind.clone(), of["files"].as_u64().unwrap())).collect()
}

fn expected(kinds: &[(&str, u64)]) -> BTreeMap<String, u64> {
    kinds.iter().map(|(kind, files)| ((*kind).to_owned(), *files)).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn method(project: &Project, method: &str) {
    project.settings(&format!("[wide]\nmethod = \"{method}\"\n"));
    assert_eq!(project.build(&[]).code, 0);
}

#[test]
fn gc_shows_what_goes_and_removes_it_only_when_told_to() {
    let project = project();
    for other in ["previous", "grid", "merge"] {
        method(&project, other);
    }
    let before = project.hashes();
    let objects = files(&project.path("warehouse/objects"));
    assert_eq!(kinds(&project.run(&["gc", "--json"])), expected(&[]), "all of it is young");
    let young = project.run(&["gc"]);
    assert!(young.stdout.contains("nothing to remove") && young.stderr.contains("--older-than 0s"), "{young:?}");
    // Four versions of wide and features of two runs; three of each stay.
    let shown = project.run(&[&["gc"][..], &NOW].concat());
    assert_eq!(kinds(&shown), expected(&[("old_version", 4)]));
    assert_eq!(shown.json()["garbage"][0]["run"].as_str().map(|run| run.starts_with('r')), Some(true));
    let journal = files(&project.path("warehouse/journal"));
    let told = project.run(&[&["gc", "--keep", "1"][..], &NOW].concat()).json()["compaction"].clone();
    assert!(told["bytes"].as_u64() > Some(0) && told["index_bytes"].as_u64() > Some(0), "{told}");
    let text = project.run(&["gc", "--keep", "1", "--older-than", "0s"]).stdout;
    assert!(text.contains("would write the journal anew without"), "{text}");
    assert_eq!(files(&project.path("warehouse/journal")), journal);
    assert_eq!(files(&project.path("warehouse/objects")), objects, "nothing was removed");
    let gone = project.run(&[&["gc", "--yes", "--keep", "1"][..], &NOW].concat());
    assert_eq!(kinds(&gone), expected(&[("old_version", 12)]));
    assert_eq!(gone.json()["compaction"]["entries"], told["entries"], "as it was told before");
    assert_eq!(files(&project.path("warehouse/objects")).len(), objects.len() - 12);
    assert_eq!(project.hashes(), before);
    assert_eq!(project.build(&[]).log(), Default::default());
    assert_eq!(project.sql("select count(distinct run_uuid) n from features")[0]["n"], 2);
    // What went is a miss: it is made again.
    project.settings("[wide]\nmethod = \"previous\"\n");
    let again = project.build(&[]);
    assert_eq!((again.code, again.log().keys().any(|outcome| outcome == "made")), (0, true), "{again:?}");
    assert_eq!(project.run(&["history", "wide", "--run", "r1"]).code, 0);
}

#[test]
fn what_is_pinned_stays_until_it_is_let_go() {
    let project = project();
    let pin = |args: &[&str]| project.run(&[&["pin"][..], args].concat());
    assert_eq!(pin(&["first", "wide", "--run", "r1"]).code, 0);
    for other in ["previous", "grid"] {
        method(&project, other);
    }
    let listed = pin(&["--json"]).json();
    assert_eq!((listed["pins"][0]["name"].as_str(), listed["pins"][0]["lost"].as_u64()), (Some("first"), Some(0)));
    let gone = project.run(&[&["gc", "--yes", "--keep", "1"][..], &NOW].concat());
    // Two versions of wide and features of two runs, but for the one that is pinned.
    assert_eq!(kinds(&gone), expected(&[("old_version", 7)]));
    project.settings("");
    let back = project.build(&["wide", "--run", "r1"]);
    assert_eq!(back.log(), crate::harness::log(&[("reused", "wide", "r1")]), "going back costs nothing");
    assert_eq!(pin(&["frist", "--remove"]).code, 2);
    assert_eq!(pin(&["first", "--remove"]).code, 0);
    assert_eq!(pin(&["--json"]).json()["pins"].as_array().map(Vec::len), Some(0));
    for bad in ["../x", ".x", "a b", ""] {
        let refused = pin(&["--json", "--", bad]);
        assert_eq!(refused.code, 2, "{bad}: {refused:?}");
    }
    fs::create_dir_all(project.path("warehouse/pins")).unwrap();
    fs::write(project.path("warehouse/pins/torn"), "what").unwrap();
    let refused = project.run(&["gc", "--yes", "--older-than", "0s"]);
    assert_eq!(refused.code, 3, "nobody knows what it keeps: {refused:?}");
    let verified = project.run(&["verify"]);
    assert!(verified.code == 1 && verified.stdout.contains("pin_damaged"), "{verified:?}");
    let doctor = project.run(&["doctor"]);
    assert!(doctor.code == 1 && doctor.stdout.contains("warehouse/pins/torn"), "{doctor:?}");
}

#[test]
fn gc_clears_what_the_dead_left_and_nothing_else() {
    let project = project();
    let store = project.path("warehouse");
    let orphan = store.join("objects/ab");
    fs::create_dir_all(&orphan).unwrap();
    fs::write(orphan.join(format!("{}.parquet", "c".repeat(62))), "an object").unwrap();
    fs::write(orphan.join("notes.txt"), "not ours").unwrap();
    fs::write(store.join("tmp/99999999-0.tmp"), "half a table").unwrap();
    fs::create_dir_all(store.join("tmp/command-x/inner")).unwrap();
    fs::create_dir_all(store.join("logs/gone")).unwrap();
    fs::write(store.join("logs/gone/r1.log"), "it said").unwrap();
    fs::create_dir_all(store.join("tables/mine")).unwrap();
    fs::write(store.join("tables/mine/r1.parquet"), "a person's own").unwrap();
    assert_eq!(kinds(&project.run(&["gc", "--json"])), expected(&[("temp", 2)]), "a young orphan may be anyone's");
    let gone = project.run(&[&["gc", "--yes"][..], &NOW].concat());
    assert_eq!(kinds(&gone), expected(&[("orphan", 1), ("temp", 2), ("log", 1)]));
    assert!(orphan.join("notes.txt").exists() && store.join("tables/mine/r1.parquet").exists());
    assert!(files(&store.join("tmp")).is_empty() && !store.join("logs/gone").exists());
    assert_eq!(kinds(&project.run(&[&["gc"][..], &NOW].concat())), expected(&[]));
    assert_eq!(project.build(&[]).log(), Default::default());
}

#[test]
fn tables_that_nothing_declares_go_only_when_asked() {
    let project = Project::new();
    project.source("a.csv", &format!("{HEADER}{}", run_rows("r1", 0.4)));
    project.settings("[assets.quick]\nsql = \"select time, v1 from features\"\n");
    project.build(&[]);
    project.settings("");
    let left = project.run(&[&["gc"][..], &NOW].concat());
    assert_eq!((kinds(&left), &left.json()["undeclared"]), (expected(&[]), &serde_json::json!(["quick"])));
    let gone = project.run(&[&["gc", "--undeclared", "--yes"][..], &NOW].concat());
    assert_eq!(kinds(&gone), expected(&[("old_version", 1), ("undeclared", 1)]));
    assert!(!project.path("warehouse/tables/quick").exists());
    project.settings("[assets.quick]\nsql = \"select time, v1 from features\"\n");
    let again = project.build(&[]);
    assert_eq!((again.code, again.log()["made"].len()), (0, 1));
}

#[test]
fn a_store_is_kept_below_its_largest_size_but_for_what_is_published() {
    let project = project();
    method(&project, "previous");
    method(&project, "grid");
    project.settings("store_max = \"1kB\"\n[wide]\nmethod = \"grid\"\n");
    let before = project.hashes();
    let gone = project.run(&["gc", "--yes", "--json"]);
    assert_eq!(kinds(&gone), expected(&[("over_size", 8)]), "young or not");
    assert_eq!(gone.json()["too_large"], true);
    assert_eq!(project.hashes(), before);
    let doctor = project.run(&["doctor", "--json"]).json();
    let size = doctor["checks"].as_array().unwrap().iter().find(|check| check["check"] == "size").unwrap().clone();
    assert_eq!(size["level"], "warn");
    project.settings("store_max = \"much\"\n");
    let wrong = project.run(&["gc", "--json"]);
    assert_eq!((wrong.code, wrong.json()["message"].as_str().unwrap().contains("is not a size")), (2, true));
}

fn levels(output: &Output) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let checks = output.json()["checks"].as_array().unwrap().clone();
    checks.iter().map(|check| (text(&check["check"]), text(&check["level"]))).collect()
}

#[test]
fn doctor_looks_at_the_surroundings_and_writes_nothing() {
    let empty = Project::new();
    let first = empty.run(&["doctor", "--json"]);
    assert!(!empty.path("warehouse").exists());
    assert_eq!(levels(&first)["sources"], "warn", "no file is there");
    let project = project();
    let before = files(project.dir.path());
    let well = project.run(&["doctor", "--json"]);
    let told = levels(&well);
    for check in ["program", "store", "locks", "rights", "clock", "index", "builds", "sources"] {
        assert_eq!(told.get(check).map(String::as_str), Some("ok"), "{check}: {well:?}");
    }
    assert_eq!((well.code, well.json()["ok"].as_bool()), (0, Some(true)));
    assert_eq!(files(project.dir.path()), before);
    project.source("b.csv", "rubbish\n1\n");
    fs::write(project.path("warehouse/format"), "assets store 9\n").unwrap();
    let ill = project.run(&["doctor", "--json"]);
    let told = levels(&ill);
    assert_eq!((ill.code, told["store"].as_str(), told["sources"].as_str()), (1, "bad", "ok"));
    let text = project.run(&["doctor"]).stdout;
    assert!(text.contains("bad") && text.contains("assets store 9"), "{text}");
}

#[test]
fn a_store_of_another_version_and_one_with_links_are_refused_and_left_alone() {
    let project = project();
    let format = project.path("warehouse/format");
    fs::write(&format, "assets store 9\n").unwrap();
    let before = files(&project.path("warehouse"));
    for verb in [&["materialize", "--json"][..], &["status", "--json"], &["gc", "--json"], &["gc", "--yes", "--json"]] {
        let refused = project.run(verb);
        assert_eq!((refused.code, &refused.json()["code"]), (3, &"store_format".into()), "{verb:?}");
        let message = refused.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains("assets store 9") && message.contains("use the version that wrote"), "{message}");
    }
    assert_eq!(files(&project.path("warehouse")), before);
    fs::write(&format, "assets store 1\n").unwrap();
    fs::rename(project.path("warehouse/objects"), project.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink(project.path("elsewhere"), project.path("warehouse/objects")).unwrap();
    for verb in [&["materialize", "--json"][..], &["status", "--json"], &["gc", "--yes", "--json"]] {
        let refused = project.run(verb);
        assert_eq!((refused.code, &refused.json()["code"]), (3, &"store_link".into()), "{verb:?}");
    }
}

#[test]
fn where_no_store_is_gc_says_so() {
    let project = project();
    for place in ["nothing", "/proc/x"] {
        for dry in [&["gc"][..], &["gc", "--yes"]] {
            let told = project.run(&[dry, &["--store", place]].concat());
            let says = told.stdout.contains("there is no store at") && told.stdout.contains(place);
            assert!(told.code == 0 && says, "{told:?}");
        }
    }
    assert!(!project.path("nothing").exists());
}

/// Builds so often, while others read and `gc` puts the journal together all the time.
fn compact_beside(builds: usize) {
    let project = project();
    let source = |round: usize| {
        let rows = run_rows("r1", 0.3 + (round % 50) as f64 / 100.0);
        project.source("a.csv", &format!("{HEADER}{rows}{}", run_rows("r2", 0.4)));
    };
    let (is_over, compacted) = (AtomicBool::new(false), AtomicUsize::new(0));
    let well = |args: &[&str]| {
        let output = project.run(args);
        assert_eq!(output.code, 0, "{args:?}: {output:?}");
        output
    };
    let compact = || {
        let done = well(&[&["gc", "--yes", "--keep", "1"][..], &NOW].concat()).json();
        compacted.fetch_add(usize::from(!done["compaction"].is_null()), Ordering::Relaxed);
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                compact();
            }
        });
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                well(&["status", "--json"]);
                well(&["show", "stats", "--json"]);
                well(&["sql", "select count(*) from wide", "--json"]);
                well(&["history", "wide", "--run", "r1", "--json"]);
            }
        });
        for round in 1..=builds {
            source(round);
            let built = project.build(&[]);
            let made =
                if built.code == 0 { built.log().remove("made").unwrap_or_default() } else { Default::default() };
            if !made.contains("raw of r1") || !made.contains("wide of r1") {
                is_over.store(true, Ordering::Relaxed);
                panic!("{built:?}");
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    compact();
    assert!(compacted.load(Ordering::Relaxed) > 0, "the journal was put together");
    let now = project.hashes();
    assert_eq!(project.build(&[]).log(), Default::default());
    well(&["verify"]);
    let fresh = self::project();
    fs::copy(project.path("data/a.csv"), fresh.path("data/a.csv")).unwrap();
    assert_eq!(fresh.build(&[]).code, 0);
    assert_eq!(fresh.hashes(), now, "no step was lost");
}

#[test]
fn reading_and_building_go_on_beside_compaction() {
    compact_beside(4);
}

/// `ASSETS_LONG=200 cargo test --release --workspace --locked --test main hundred_builds_beside -- --ignored --nocapture`
#[test]
#[ignore = "minutes"]
fn a_hundred_builds_beside_compaction() {
    compact_beside(crate::inside::long(100));
}
