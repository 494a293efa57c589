//! Of runs that come late only these are looked at, by the seal that a build leaves: and all is as if everything had been.

use crate::harness::{HEADER, Output, Project, log, run_rows};
use crate::inside::{Numbers, all_files, open, published};
use crate::seal;
use assets_core::catalog::{Claim, Work};
use serde_json::json;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

const SEAL: &str = "warehouse/seal";
const TWICE: &str = "[assets.twice]\nsql = \"select 2 * n as n from readings\"\npacked = true\n";

fn rows(run: &str, seconds: f64) -> String {
    HEADER.to_owned() + &run_rows(run, seconds)
}

/// Makes the seal say that there are a thousand steps more than there are: only who believes it tells so.
fn forge(project: &Project) {
    seal::forge(project, |seal| seal["steps"]["clean"] = (seal["steps"]["clean"].as_u64().unwrap() + 1000).into());
}

/// A project with a packed table of files, `readings` of keys, and further settings.
fn readings(further: &str) -> Project {
    let project = Project::new();
    let table = "[assets.readings]\nfiles = [\"data/*.csv\"]\npartition_by = [\"key\"]\npacked = true\n\
                 columns.n = { type = \"integer\" }\n";
    fs::write(project.path("assets.toml"), format!("pipeline = \"none\"\n{table}{further}")).unwrap();
    project
}

fn well(project: &Project, args: &[&str]) -> Output {
    let build = project.build(args);
    assert_eq!(build.code, 0, "{args:?}: {build:?}");
    build
}

/// Whatever a seal says: every step is fresh, every published table is as recorded, and there are as many steps as were
/// told.
fn check(project: &Project, told: Option<&Output>, what: &str) {
    let steps = project.hashes().len() as u64;
    if let Some(told) = told {
        let counts = told.finished();
        let all: u64 = ["made", "reused", "fresh"].iter().map(|kind| counts[kind].as_u64().unwrap()).sum();
        assert_eq!(all, steps, "{what}: {counts}");
    }
    let verify = project.run(&["verify"]);
    assert_eq!(verify.code, 0, "{what}: {verify:?}");
}

#[test]
fn late_runs_alone_are_looked_at() {
    let project = Project::new();
    for run in ["a", "b"] {
        project.source(&format!("{run}.csv"), &rows(run, 0.3));
    }
    well(&project, &[]);
    let steps = "raw clean wide features stats";
    // A run more, with other files as young as it.
    forge(&project);
    project.source("c.csv", &rows("c", 0.3));
    let build = well(&project, &[]);
    assert_eq!(build.log(), log(&[("made", steps, "c"), ("made", "fleet", "-")]));
    assert_eq!(build.finished()["fresh"], 1000 + 10 + 1, "all but the sessions are of runs");
    fs::remove_file(project.path(SEAL)).unwrap();
    check(&project, None, "a run more");

    // Without a seal all of it is looked at, and another one is left.
    well(&project, &[]);
    // More of a run that is there: its other file was never looked at by this build.
    forge(&project);
    project.source("b2.csv", &rows("b", 0.6));
    let build = well(&project, &["stats"]);
    assert_eq!(build.log(), log(&[("made", "raw clean stats", "b")]));
    assert_eq!(build.finished()["fresh"], 1000 + 2 + 2 + 2);
    let slices = project.run(&["lineage", "stats", "--run", "b", "--format", "json"]).stdout;
    assert!(slices.contains("b.csv") && slices.contains("b2.csv"), "{slices}");
    // What was not asked for is looked at when it is.
    let build = well(&project, &[]);
    assert_eq!(build.log(), log(&[("made", "wide features", "b"), ("made", "fleet", "-")]));
    fs::remove_file(project.path(SEAL)).unwrap();
    check(&project, None, "more of a run");
    let full = well(&project, &[]);
    assert_eq!(full.log(), Default::default());
    check(&project, Some(&full), "everything");
}

#[test]
fn a_run_that_fails_is_looked_at_every_time_and_the_others_are_not() {
    let project = Project::new();
    let helper = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/commands/assets_step.py");
    fs::copy(helper, project.path("assets_step.py")).unwrap();
    let script = "from assets_step import step\nassert step.run != 'bad'\nstep.report(model=[{'score': 1.0}])\n";
    fs::write(project.path("work.py"), script).unwrap();
    let model = "[assets.model]\ncommand = ['python3', 'work.py']\ninputs = ['stats.runtime_s']\npacked = true\n\
                 columns.score = 'float'\n";
    project.settings(model);
    for run in ["a", "bad"] {
        project.source(&format!("{run}.csv"), &rows(run, 0.3));
    }
    let failed = ("failed", "model", "bad");
    assert_eq!(project.build(&[]).code, 1);
    for (run, runs) in [("b", 2), ("c", 3)] {
        forge(&project);
        project.source(&format!("{run}.csv"), &rows(run, 0.3));
        let build = project.build(&[]);
        let made = ("made", "raw clean wide features stats model", run);
        assert_eq!((build.code, build.log()), (1, log(&[made, ("made", "fleet", "-"), failed])));
        let fresh = build.finished()["fresh"].as_u64().unwrap();
        assert!(fresh > 1000, "{build:?}");
        let left = seal::seal(&project);
        assert_eq!(
            (&left["except"], &left["runs"]),
            (&json!(["bad"]), &json!(runs)),
            "the others are not looked at again"
        );
        fs::remove_file(project.path(SEAL)).unwrap();
        let full = project.build(&[]);
        assert_eq!((full.code, full.log()), (1, log(&[failed])));
        assert_eq!(seal::seal(&project)["except"], json!(["bad"]));
    }
    fs::write(project.path("work.py"), script.replace("bad", "none")).unwrap();
    well(&project, &[]);
    check(&project, None, "mended");
}

#[test]
fn late_runs_go_into_the_files_that_many_share() {
    let keys = |all: std::ops::Range<i64>| all.map(|n| format!("k{n},{n}\n")).collect::<String>();
    let project = readings(TWICE);
    project.source("a.csv", &("key,n\n".to_owned() + &keys(0..498)));
    well(&project, &[]);
    let files = |project: &Project| {
        let all = fs::read_dir(project.path("warehouse/tables/twice")).unwrap();
        all.map(|entry| entry.unwrap().path()).collect::<Vec<PathBuf>>().len()
    };
    for (at, n) in (498..503).enumerate() {
        project.source(&format!("late{n}.csv"), &("key,n\n".to_owned() + &keys(n..n + 1)));
        let build = well(&project, &[]);
        assert_eq!(build.finished()["made"], 2, "{n}");
        assert_eq!(files(&project), 1 + usize::from(at >= 2), "{n}");
        let rows = project.sql("select count(*) as rows, sum(n) as n from twice");
        assert_eq!((rows[0]["rows"].as_i64(), rows[0]["n"].as_i64()), (Some(n + 1), Some(n * (n + 1))));
    }
    // One that is there already, in a file that is full.
    project.source("again.csv", "key,n\nk5,7\n");
    assert_eq!(well(&project, &[]).finished()["made"], 2);
    let rows = project.sql("select count(*) as rows, sum(n) as n from twice");
    assert_eq!((rows[0]["rows"].as_i64(), rows[0]["n"].as_i64()), (Some(504), Some(502 * 503 + 14)));
    let verify = project.run(&["verify"]);
    assert_eq!(verify.code, 0, "{verify:?}");
    fs::remove_file(project.path(SEAL)).unwrap();
    assert_eq!(well(&project, &[]).log(), Default::default());
}

#[test]
fn what_stands_near_in_one_table_need_not_in_another() {
    let keys = |all: std::ops::Range<i64>| all.map(|n| format!("k{n:04},{n}\n")).collect::<String>();
    let project = readings(TWICE);
    project.source("a.csv", &("key,n\n".to_owned() + &keys(0..1100)));
    // Other steps are first in one table than in the other.
    well(&project, &["readings"]);
    well(&project, &["twice", "--run", "k10*"]);
    well(&project, &[]);
    for (at, key) in ["k0001", "k1001", "late"].into_iter().enumerate() {
        project.source(&format!("again{at}.csv"), &format!("key,n\n{key},{at}\n"));
        assert_eq!(well(&project, &[]).finished()["made"], 2, "{key}");
        let verify = project.run(&["verify"]);
        assert_eq!(verify.code, 0, "{key}: {verify:?}");
    }
}

#[test]
fn another_run_concerns_every_one_where_tables_of_runs_read_one_over_all() {
    let project = readings(
        "[assets.total]\nsql = \"select sum(n) as total from readings\"\npartition = \"all\"\n\
        [assets.share]\nsql = \"select r.n as n, t.total as total from readings r cross join total t\"\n\
        packed = true\n",
    );
    project.source("a.csv", "key,n\na,1\nb,2\n");
    well(&project, &[]);
    for (key, n) in [("c", 10), ("d", 20)] {
        project.source(&format!("{key}.csv"), &format!("key,n\n{key},{n}\n"));
        well(&project, &[]);
        let rows = project.sql("select min(total) as least, max(total) as most from share");
        let total = if key == "c" { 13 } else { 33 };
        assert_eq!((&rows[0]["least"], &rows[0]["most"]), (&json!(total), &json!(total)));
    }
}

#[test]
fn a_build_that_could_not_publish_says_nothing_of_what_stands() {
    let project = readings("");
    project.source("a.csv", "key,n\na,1\n");
    well(&project, &[]);
    project.source("b.csv", "key,n\nb,2\n");
    let other = open(project.dir.path());
    let store = other.writer(true, &mut |_| ()).unwrap();
    let Claim::Ours(claimed) = store.catalog().claim(&Work::Views).unwrap() else { panic!("somebody else publishes") };
    let mut build = project.command(&["materialize"]).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut said = BufReader::new(build.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("which publishes") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "it waits for whoever publishes");
    }
    crate::signals::signal(build.id(), "-INT");
    assert!(build.wait().unwrap().code().is_some());
    drop((claimed, store, other));
    well(&project, &[]);
    assert_eq!(project.run(&["verify"]).code, 0);
    assert_eq!(project.sql("select count(*) as rows from readings")[0]["rows"], 2);
}

#[test]
fn an_empty_file_that_is_gone_is_no_reason_to_look_at_everything() {
    let project = readings("");
    project.source("a.csv", "key,n\na,1\n");
    project.source("empty.csv", "key,n\n");
    assert_eq!(project.build(&[]).code, 1);
    fs::remove_file(project.path("data/empty.csv")).unwrap();
    well(&project, &[]);
    seal::forge(&project, |seal| seal["steps"]["readings"] = json!(1001));
    project.source("b.csv", "key,n\nb,2\n");
    assert!(well(&project, &[]).finished()["fresh"].as_u64().unwrap() > 1000);
}

#[test]
fn what_is_to_be_told_of_sources_is_told_by_every_build() {
    let project = readings("");
    project.source("a.csv", "key,n\na,1\na,many\n");
    let warnings = |build: &Output| {
        let lines = build.lines();
        let warnings = lines.iter().filter(|line| line["event"] == "warning");
        warnings.map(ToString::to_string).collect::<Vec<_>>()
    };
    let told = warnings(&well(&project, &[]));
    assert!(told.len() == 1 && told[0].contains("rows_rejected"), "{told:?}");
    for key in ["b", "c"] {
        project.source(&format!("{key}.csv"), &format!("key,n\n{key},2\n"));
        seal::forge(&project, |seal| seal["steps"]["readings"] = json!(1001));
        let build = well(&project, &[]);
        assert!(build.finished()["fresh"].as_u64().unwrap() > 1000, "{build:?}");
        assert_eq!(warnings(&build), told);
        fs::remove_file(project.path(SEAL)).unwrap();
        assert_eq!(warnings(&well(&project, &[])), told);
    }
    let nothing = well(&project, &[]);
    assert_eq!((nothing.log(), warnings(&nothing)), (Default::default(), told));
}

/// One of the files below a folder.
fn any_file(folder: PathBuf, numbers: &mut Numbers) -> Option<PathBuf> {
    let mut all = all_files(&folder);
    (!all.is_empty()).then(|| all.swap_remove(numbers.below(all.len())))
}

fn change(project: &Project, numbers: &mut Numbers, at: usize) -> String {
    let known = |numbers: &mut Numbers| format!("r{}", numbers.below(at.max(1)));
    match numbers.below(14) {
        0..6 => {
            project.source(&format!("{at}.csv"), &rows(&format!("r{at}"), 0.1));
            "a run".to_owned()
        }
        6 => {
            let both = rows(&format!("r{at}"), 0.1) + &run_rows(&known(numbers), 0.2);
            project.source(&format!("{at}.csv"), &both);
            "a run, and more of another".to_owned()
        }
        7 => {
            let run = known(numbers);
            project.source(&format!("{at}.csv"), &rows(&run, 0.1 + at as f64 / 100.0));
            format!("more of {run}")
        }
        8 => {
            let which = numbers.below(at.max(1));
            project.source(&format!("{which}.csv"), &rows(&format!("r{which}"), 0.15));
            format!("another {which}.csv")
        }
        9 => {
            let window = [100, 150, 200][numbers.below(3)];
            project.settings(&format!("[derivative]\nwindow_ms = {window}\n"));
            "a setting".to_owned()
        }
        10 => {
            let gone = any_file(project.path("warehouse/objects"), numbers);
            gone.iter().for_each(|path| fs::remove_file(path).unwrap());
            "an object is gone".to_owned()
        }
        11 => {
            let gone = any_file(project.path("warehouse/tables"), numbers);
            gone.iter().for_each(|path| fs::remove_file(path).unwrap());
            "a published table is gone".to_owned()
        }
        12 => {
            assert_eq!(project.run(&["gc", "--yes", "--keep", "1", "--older-than", "0s"]).code, 0);
            "gc".to_owned()
        }
        _ => "nothing".to_owned(),
    }
}

#[test]
fn whatever_comes_nothing_is_left_undone() {
    for seed in 1..=3 {
        let project = Project::new();
        let mut numbers = Numbers::new(seed);
        project.source("0.csv", &rows("r0", 0.1));
        well(&project, &[]);
        let mut told = vec![format!("seed {seed}")];
        for at in 1..=25 {
            told.push(change(&project, &mut numbers, at));
            let select: &[&str] =
                [&[][..], &[], &[], &["stats"], &["clean"], &["fleet"], &["--run", "r0"]][numbers.below(7)];
            let build = well(&project, select);
            told.push(format!("{select:?}: {:?}", build.log()));
            if select.is_empty() {
                check(&project, Some(&build), &told.join("\n"));
            }
        }
        well(&project, &[]);
        let hashes = project.hashes();
        let twin = Project::new();
        fs::copy(project.path("assets.toml"), twin.path("assets.toml")).unwrap();
        for file in all_files(&project.path("data")) {
            fs::copy(&file, twin.path("data").join(file.file_name().unwrap())).unwrap();
        }
        well(&twin, &[]);
        assert_eq!(hashes, twin.hashes(), "{}", told.join("\n"));
        assert_eq!(published(project.dir.path()), published(twin.dir.path()), "{}", told.join("\n"));
    }
}
