//! Several processes on one store: builds that share the work, one that is stopped or killed, and those who read beside.

use crate::harness::{HEADER, Project, run_rows};
use crate::inside::long;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn spawn(project: &Project, args: &[&str]) -> Child {
    project.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

fn until(what: &str, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what} does not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The steps that a build told of, as (outcome, asset, run), and its exit code.
fn told(child: Child) -> (i32, Vec<(String, String, String)>) {
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let word = |line: &Value, name: &str| line[name].as_str().unwrap_or("-").to_owned();
    let steps = lines.filter(|line| line["event"] == "step");
    let steps = steps.map(|line| (word(&line, "outcome"), word(&line, "asset"), word(&line, "run")));
    (output.status.code().unwrap_or(-1), steps.collect())
}

fn runs(project: &Project, runs: &[&str]) {
    let rows: String = runs.iter().map(|run| run_rows(run, 0.4)).collect();
    project.source("a.csv", &format!("{HEADER}{rows}"));
}

#[test]
fn builds_at_once_share_the_work_and_end_as_one_would() {
    let reference = Project::new();
    runs(&reference, &["r1", "r2", "r3", "r4"]);
    let alone = reference.build(&[]);
    let expected = reference.hashes();
    for _ in 0..3 {
        let project = Project::new();
        runs(&project, &["r1", "r2", "r3", "r4"]);
        let mut builds: Vec<Child> = (0..2).map(|_| spawn(&project, &["materialize", "--json"])).collect();
        while builds.iter_mut().any(|build| build.try_wait().unwrap().is_none()) {
            let status = project.run(&["status", "--json"]);
            let shown = project.run(&["show", "stats", "--json"]);
            let asked = project.run(&["sql", "select count(*) n from wide", "--format", "json"]);
            assert_eq!((status.code, asked.code), (0, 0), "{status:?} {asked:?}");
            assert!(shown.code == 0 || shown.stdout.contains("never_made"), "{shown:?}");
        }
        let told: Vec<_> = builds.into_iter().map(told).collect();
        assert!(told.iter().all(|(code, _)| *code == 0), "{told:?}");
        let made: Vec<_> = told.iter().flat_map(|(_, steps)| steps).collect();
        assert!(made.iter().all(|(outcome, ..)| outcome == "made"));
        assert_eq!(made.iter().collect::<BTreeSet<_>>().len(), made.len(), "no step is made twice: {made:?}");
        assert_eq!(made.len(), alone.log()["made"].len());
        assert_eq!(project.hashes(), expected);
        let next = project.build(&[]).finished();
        assert_eq!((next["made"].as_u64(), next["fresh"].as_u64()), (Some(0), Some(made.len() as u64)));
        assert_eq!(project.sql("select count(*) n from stats")[0]["n"], 4);
        let views = fs::read_dir(project.path("warehouse/tables/stats")).unwrap().count();
        assert_eq!(views, 1, "and the views hold all of it");
        // Both had a hand in the one mark: nobody has to publish anything again.
        let mark = fs::read(project.path("warehouse/tables/.published")).unwrap();
        project.build(&[]);
        assert_eq!(fs::read(project.path("warehouse/tables/.published")).unwrap(), mark);
    }
}

/// `slow` of r1 says that it has begun, and waits for a word.
const SLOW: &str = r#"
[assets.slow]
command = ["sh", "slow.sh"]
inputs = ["stats.runtime_s"]
columns.n = "integer"
"#;

const SCRIPT: &str = r#"
if grep -q '"r1"' "$ASSETS_MANIFEST"; then echo begun >> begun; while [ ! -e go ]; do sleep 0.02; done; fi
report=$(sed -n 's/.*"report": *"\([^"]*\)".*/\1/p' "$ASSETS_MANIFEST")
echo '{"rows": {"slow": [{"n": 1}]}}' > "$report"
"#;

fn slow_project() -> Project {
    let project = Project::new();
    project.settings(SLOW);
    fs::write(project.path("slow.sh"), SCRIPT).unwrap();
    runs(&project, &["r1", "r2", "r3"]);
    project
}

fn begun(project: &Project) -> usize {
    fs::read_to_string(project.path("begun")).unwrap_or_default().lines().count()
}

/// Two builds, of which the first, of `what`, makes the slow step and the second has come to wait for it.
fn one_waits(
    project: &Project,
    what: &[&str],
    first: impl FnOnce(&Child),
) -> (Child, Child, BufReader<std::process::ChildStderr>) {
    let args = [&["materialize", "--json", "--jobs", "1"], what].concat();
    let one = spawn(project, &args);
    until("the slow step", || begun(project) == 1);
    first(&one);
    let mut two = spawn(project, &["materialize", "--json"]);
    let mut errors = BufReader::new(two.stderr.take().unwrap());
    let mut line = String::new();
    errors.read_line(&mut line).unwrap();
    // It may have claimed one step more, which waits for its only worker.
    let expected = format!("waiting for process {} (assets {}), which makes ", one.id(), args.join(" "));
    assert!(line.starts_with(&expected), "{line}");
    (one, two, errors)
}

fn rest(mut errors: BufReader<std::process::ChildStderr>) -> String {
    let mut text = String::new();
    std::io::Read::read_to_string(&mut errors, &mut text).unwrap();
    text
}

#[test]
fn of_a_stopped_build_only_the_step_it_makes_is_waited_for() {
    let project = slow_project();
    // Nothing but that step and what it is made from: else it would have further ones in its hands, of any run.
    let (one, two, errors) = one_waits(&project, &["slow", "--run", "r1"], |one| signal(one, "-STOP"));
    // What the other build can make is there, and can be asked for.
    let is_fresh = |run: &&Value| run["assets"].as_object().unwrap().values().all(|cell| cell["state"] == "fresh");
    let fresh = || {
        let status = project.run(&["status", "--json"]).json();
        status["runs"].as_array().unwrap().iter().filter(|run| !run["run"].is_null()).filter(is_fresh).count()
    };
    until("the two other runs", || fresh() == 2);
    assert!(project.sql("select count(*) n from stats")[0]["n"].as_u64() >= Some(1));
    let busy = project.run(&["materialize", "--no-wait", "--json"]);
    assert_eq!((busy.code, busy.stdout.contains("\"store_busy\"")), (4, true), "{busy:?}");
    let busy = project.run(&["gc", "--yes", "--no-wait", "--json"]);
    assert_eq!((busy.code, &busy.json()["code"]), (4, &"store_busy".into()));
    // Ctrl-C ends the waiting.
    let mut three = spawn(&project, &["materialize", "--json"]);
    let mut line = String::new();
    BufReader::new(three.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("waiting for process"), "{line}");
    signal(&three, "-INT");
    assert_eq!(told(three).0, 130);
    signal(&one, "-CONT");
    fs::write(project.path("go"), "").unwrap();
    let (first, second) = (told(one), told(two));
    assert_eq!((first.0, second.0, begun(&project)), (0, 0, 1));
    let slow = |steps: &[(String, String, String)]| {
        steps.iter().filter(|(_, asset, run)| asset == "slow" && run == "r1").count()
    };
    assert_eq!((slow(&first.1), slow(&second.1)), (1, 0));
    let said = rest(errors);
    assert!(!said.contains("waiting"), "said once: {said}");
    assert_eq!(project.build(&[]).log(), Default::default());
}

#[test]
fn a_killed_build_leaves_its_step_to_the_one_that_waits() {
    let project = slow_project();
    let (mut one, two, _errors) = one_waits(&project, &[], |_| ());
    one.kill().unwrap();
    one.wait().unwrap();
    until("the second making", || begun(&project) == 2);
    fs::write(project.path("go"), "").unwrap();
    let (code, steps) = told(two);
    assert_eq!(code, 0);
    assert!(steps.contains(&("made".into(), "slow".into(), "r1".into())), "{steps:?}");
    assert_eq!(project.sql("select sum(n) n from slow")[0]["n"], 3);
    assert_eq!(project.build(&[]).log(), Default::default());
}

#[test]
fn a_failure_is_met_once_and_told_by_both() {
    let project = slow_project();
    let failing = SCRIPT.replace("report=", "if [ -e go ]; then exit 3; fi\nreport=");
    fs::write(project.path("slow.sh"), failing).unwrap();
    let (one, two, _errors) = one_waits(&project, &[], |_| ());
    fs::write(project.path("go"), "").unwrap();
    let (first, second) = (told(one), told(two));
    assert_eq!((first.0, second.0), (1, 1));
    let failed = |steps: &[(String, String, String)]| steps.contains(&("failed".into(), "slow".into(), "r1".into()));
    assert!(failed(&first.1) && failed(&second.1));
    assert_eq!(begun(&project), 1, "it was tried once");
    // The next build tries again.
    assert_eq!((project.build(&[]).code, begun(&project)), (1, 2));
}

/// Two hundred runs, four builds at once, one of them stopped for a while and one killed in the middle, and readers beside.
///
/// `ASSETS_LONG=60 cargo test --release --workspace --locked --test main one_stopped_one_killed -- --ignored --nocapture`
#[test]
#[ignore = "minutes: two hundred runs, and a stop of a minute"]
fn of_four_builds_one_stopped_one_killed_the_others_go_on() {
    let names: Vec<String> = (0..200).map(|run| format!("r{run}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (reference, project) = (Project::new(), Project::new());
    [&reference, &project].into_iter().for_each(|project| runs(project, &names));
    assert_eq!(reference.build(&[]).code, 0);
    let expected = reference.hashes();
    let log = |at: usize| project.path(&format!("build{at}.log"));
    let mut builds: Vec<Child> = (0..4)
        .map(|at| {
            let mut command = project.command(&["materialize", "--json"]);
            command.stdout(fs::File::create(log(at)).unwrap()).stderr(Stdio::null()).spawn().unwrap()
        })
        .collect();
    let lines = |at: usize| fs::read_to_string(log(at)).unwrap();
    let made = |at: usize| lines(at).matches("\"outcome\":\"made\"").count();
    until("the builds' first steps", || (0..4).all(|at| made(at) >= 5));
    builds[0].kill().unwrap();
    signal(&builds[1], "-STOP");
    let (stopped, told) = (Instant::now(), made(1));
    let (mut questions, mut longest, mut others_ended) = (0, Duration::ZERO, None);
    while stopped.elapsed() < Duration::from_secs(long(60) as u64) {
        for question in [&["status", "--json"][..], &["sql", "select count(*) n from stats"], &["show", "stats"]] {
            let asked = Instant::now();
            let answer = project.run(question);
            assert_eq!(answer.code, 0, "{answer:?}");
            (questions, longest) = (questions + 1, longest.max(asked.elapsed()));
        }
        // All but what the stopped one has in hand: steps of a few rows in flight, and those that wait for their commit.
        if others_ended.is_none() && (0..4).map(made).sum::<usize>() > 900 {
            others_ended = Some(stopped.elapsed());
        }
    }
    assert_eq!(made(1), told, "it was stopped");
    signal(&builds[1], "-CONT");
    let ends: Vec<Option<i32>> = builds.iter_mut().map(|build| build.wait().unwrap().code()).collect();
    assert_eq!(ends, [None, Some(0), Some(0), Some(0)]);
    let all: String = (0..4).map(lines).collect();
    let steps = all.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let steps = steps.filter(|line| line["event"] == "step" && line["outcome"] == "made");
    let steps: Vec<String> = steps.map(|line| format!("{} of {}", line["asset"], line["run"])).collect();
    let distinct: BTreeSet<&String> = steps.iter().collect();
    assert_eq!(distinct.len(), steps.len(), "no step is told as made twice");
    assert_eq!(project.hashes(), expected);
    println!(
        "made {:?}; {questions} questions, {longest:?} at most; 900 steps made {others_ended:?} after the stop",
        (0..4).map(made).collect::<Vec<_>>()
    );
    assert!(others_ended.is_some(), "the others went on");
}
