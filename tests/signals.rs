//! Builds that are asked to end, are ended, or are killed while commands run.

use crate::harness::{HEADER, Project, run_rows};
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than any of this takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A project of one run whose command writes its process id and then does what the script says.
fn project(script: &str, further: &str) -> Project {
    let project = Project::new();
    project.source("a.csv", &(HEADER.to_owned() + &run_rows("a", 0.3)));
    project.settings(&format!(
        "[assets.model]\ncommand = ['python3', 'work.py']\ninputs = ['stats.runtime_s']\npacked = true\n\
         columns.score = 'float'\n{further}\n"
    ));
    let begin = "import os, sys, time\nopen('begun', 'w').write(str(os.getpid()))\nos.rename('begun', 'pid')\n";
    fs::write(project.path("work.py"), format!("{begin}{script}")).unwrap();
    assert_eq!(project.build(&["stats"]).code, 0);
    project
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A build in the background, its command at work, and the command's process id.
fn begun(project: &Project) -> (Child, BufReader<ChildStderr>, u32) {
    let mut command = project.command(&["materialize", "model"]);
    let mut build = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let stderr = BufReader::new(build.stderr.take().unwrap());
    until("the command begins", || project.path("pid").is_file());
    (build, stderr, fs::read_to_string(project.path("pid")).unwrap().parse().unwrap())
}

pub(crate) fn signal(process: u32, signal: &str) {
    assert!(Command::new("kill").args([signal, &process.to_string()]).status().unwrap().success());
}

/// Asks a build to end, and waits for it to say that it will.
fn ask(build: &Child, stderr: &mut BufReader<ChildStderr>, by: &str) {
    signal(build.id(), by);
    let mut said = String::new();
    until("the build says that it ends", || {
        said.clear();
        stderr.read_line(&mut said).unwrap();
        said.contains("finishing the steps that run")
    });
}

fn is_gone(process: u32) -> bool {
    let state = Command::new("ps").args(["-o", "stat=", "-p", &process.to_string()]).output().unwrap();
    let state = String::from_utf8(state.stdout).unwrap();
    // What nobody has waited for yet has ended all the same.
    state.trim().is_empty() || state.trim().starts_with('Z')
}

#[test]
fn the_second_signal_ends_the_commands_and_the_build() {
    for (first, second) in [("-INT", "-TERM"), ("-TERM", "-INT")] {
        let project = project("time.sleep(600)\n", "");
        let (mut build, mut stderr, command) = begun(&project);
        ask(&build, &mut stderr, first);
        assert!(!is_gone(command), "the first one is a request");
        signal(build.id(), second);
        assert_eq!(build.wait().unwrap().code(), Some(130));
        until("the command is gone", || is_gone(command));
    }
}

#[test]
fn a_killed_build_takes_its_commands_along() {
    for batch in ["", "batch = true"] {
        let project = project("time.sleep(600)\n", batch);
        let (mut build, _stderr, command) = begun(&project);
        build.kill().unwrap();
        build.wait().unwrap();
        until("the command is gone", || is_gone(command));
    }
}

#[test]
fn an_interrupted_build_whose_last_step_fails_is_interrupted() {
    let project = project("while not os.path.exists('stop'):\n    time.sleep(0.01)\nsys.exit(3)\n", "");
    let (mut build, mut stderr, _) = begun(&project);
    ask(&build, &mut stderr, "-INT");
    fs::write(project.path("stop"), "").unwrap();
    assert_eq!(build.wait().unwrap().code(), Some(130));
}

#[test]
fn a_process_that_reads_all_of_its_input_first_gets_the_end_of_it() {
    let script = "
import json
steps = [json.loads(line) for line in sys.stdin]
for step in steps:
    print(json.dumps({'step': step['step'], 'rows': {'model': [{'score': float(len(steps))}]}}), flush=True)
";
    let project = project(script, "batch = true\ntimeout_s = 5");
    let build = project.build(&[]);
    assert_eq!(build.code, 0, "{build:?}");
    assert_eq!(project.sql("select score from model")[0]["score"], 1.0);
}

#[test]
fn of_what_is_printed_without_end_the_beginning_and_the_end_are_kept() {
    let script = "
say = lambda *words: print(*words, file=sys.stderr)
say('the first line')
for number in range(400_000):
    say('line', number)
say('the last line')
sys.exit(1)
";
    for batch in ["", "batch = true"] {
        let project = project(script, batch);
        assert_eq!(project.build(&[]).code, 1);
        let log = project.run(&["logs", "model", "--run", "a"]).stdout;
        assert!(log.starts_with("the first line\nline 0\n") && log.ends_with("line 399999\nthe last line\n"));
        assert!(log.contains(" bytes are left out here") && log.len() < 2_200_000, "{} bytes", log.len());
        let why = project.run(&["why", "model", "--run", "a"]).stdout;
        assert!(why.contains("its last words: the last line"), "{why}");
    }
}

#[test]
fn ids_may_begin_with_a_hyphen_and_none_commands_the_terminal() {
    let project = project("", "");
    project.source("b.csv", &(HEADER.to_owned() + &run_rows("-rf", 0.3)));
    assert_eq!(project.build(&["stats"]).code, 0);
    for args in [vec!["status", "stats", "--run", "-rf"], vec!["why", "stats", "--run=-rf"]] {
        let told = project.run(&args);
        assert!(told.code == 0 && told.stdout.contains("-rf"), "{told:?}");
    }
    let odd = format!("\u{1b}[2J{}", "x".repeat(10_000));
    for args in [
        vec!["status", "--run", &odd],
        vec!["status", &odd],
        vec!["show", "stats", "--columns", &odd],
        vec![odd.as_str()],
    ] {
        let refused = project.run(&args);
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(!refused.stderr.contains('\u{1b}') && refused.stderr.len() < 3_000, "{refused:?}");
    }
}
