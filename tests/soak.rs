//! Everything at once on one store, for as long as one likes: builds, late data, other parameters, kills, `gc`, readers.
//! At the end the store is as if none of that had been.

use crate::harness::{HEADER, Output, Project, run_rows};
use crate::inside::{Numbers, all_files, long};
use assets_core::table_store::Object;
use assets_frames::parquet;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

const RUNS: usize = 8;
const GC: &[&str] = &["gc", "--yes", "--keep", "2", "--older-than", "0s"];

#[derive(Default)]
struct Done {
    changes: AtomicUsize,
    builds: AtomicUsize,
    gcs: AtomicUsize,
    killed: AtomicUsize,
    killed_gcs: AtomicUsize,
    questions: AtomicUsize,
    tables: AtomicUsize,
    is_over: AtomicBool,
}

/// Stops everything where one part has failed, so that its store is left as it was then.
struct Stop<'a>(&'a Done);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Relaxed);
    }
}

/// Runs the program to its end, or kills it after some time. `None`: it was killed.
fn ended(project: &Project, args: &[&str], log: &str, kill: Option<Duration>) -> Option<Output> {
    let [out, err] = ["out", "err"].map(|kind| project.path(&format!("{log}.{kind}")));
    let mut command = project.command(args);
    let mut child: Child =
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap()).spawn().unwrap();
    let begun = Instant::now();
    let code = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.code().unwrap_or(-1);
        }
        if kill.is_some_and(|after| begun.elapsed() >= after) {
            child.kill().unwrap();
            child.wait().unwrap();
            return None;
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    let [stdout, stderr] = [out, err].map(|path| fs::read_to_string(path).unwrap());
    Some(Output { code, stdout, stderr })
}

/// Other parameters, a feature that was or was not there, more rows of a run, or a run more.
fn change(project: &Project, numbers: &mut Numbers, seconds: &mut [f64; RUNS]) {
    match numbers.below(4) {
        0 => {
            let run = numbers.below(RUNS);
            seconds[run] = if seconds[run] > 1.5 { 0.3 } else { seconds[run] + 0.3 };
            source(project, run, seconds[run]);
        }
        1 => {
            // One of a few files that come late, of a run of its own or of one that is there.
            let (file, run) = (numbers.below(3 * RUNS), numbers.below(2 * RUNS));
            let name = format!("late{file}.csv");
            if !project.path("data").join(&name).exists() {
                project.source(&name, &format!("{HEADER}{}", run_rows(&format!("r{run}"), 0.4)));
            }
        }
        _ => {
            let window = [100, 150, 250][numbers.below(3)];
            let mut text = format!("[derivative]\nwindow_ms = {window}\n");
            if numbers.below(2) == 0 {
                text += &format!("[clean]\nhampel_window_ms = {}\n", [200, 300][numbers.below(2)]);
            }
            for name in ["one", "two"] {
                if numbers.below(2) == 0 {
                    text += &format!("[features.{name}]\nexpr = \"v1 * {}\"\n", 1 + numbers.below(3));
                }
            }
            let text = format!("sources = [\"data/*\"]\n{text}");
            fs::write(project.path("incoming.toml"), text).unwrap();
            fs::rename(project.path("incoming.toml"), project.path("assets.toml")).unwrap();
        }
    }
}

fn source(project: &Project, run: usize, seconds: f64) {
    project.source(&format!("{run}.csv"), &format!("{HEADER}{}", run_rows(&format!("r{run}"), seconds)));
}

/// How long to let it live, of something that takes so long: `None` for two of three.
fn fate(numbers: &mut Numbers, longest: Duration) -> Option<Duration> {
    (numbers.below(3) == 0).then(|| longest.mul_f64(numbers.below(1000) as f64 / 800.0))
}

fn objects(project: &Project) -> u64 {
    let files = all_files(&project.path("warehouse/objects"));
    files.iter().map(|path| fs::metadata(path).unwrap().len()).sum()
}

fn tables(project: &Project) -> Vec<PathBuf> {
    let files = all_files(&project.path("warehouse/tables")).into_iter();
    files.filter(|path| path.extension().is_some_and(|ending| ending == "parquet")).collect()
}

fn clear(project: &Project) {
    let output = project.run(&["gc", "--yes", "--keep", "1", "--older-than", "0s", "--undeclared"]);
    assert_eq!(output.code, 0, "{output:?}");
}

fn run(time: Duration) {
    let (project, done) = (Project::new(), Done::default());
    (0..RUNS).for_each(|run| source(&project, run, 0.3));
    assert_eq!(project.build(&[]).code, 0);
    let until = Instant::now() + time;
    let is_on = || Instant::now() < until && !done.is_over.load(Relaxed);
    std::thread::scope(|scope| {
        let (project, done, is_on) = (&project, &done, &is_on);
        for seed in 1..=2 {
            scope.spawn(move || {
                let _stop = Stop(done);
                let (mut numbers, mut longest) = (Numbers::new(seed), Duration::from_millis(100));
                while is_on() {
                    let (log, kill, begun) = (format!("build{seed}"), fate(&mut numbers, longest), Instant::now());
                    match ended(project, &["materialize", "--json", "--jobs", "2"], &log, kill) {
                        Some(output) => {
                            assert_eq!(output.code, 0, "{output:?}");
                            (_, longest) = (done.builds.fetch_add(1, Relaxed), begun.elapsed());
                        }
                        None => drop(done.killed.fetch_add(1, Relaxed)),
                    }
                }
            });
        }
        scope.spawn(move || {
            let _stop = Stop(done);
            let (mut numbers, mut longest) = (Numbers::new(3), Duration::from_millis(50));
            while is_on() {
                std::thread::sleep(Duration::from_millis(numbers.below(2000) as u64));
                let (kill, begun) = (fate(&mut numbers, longest), Instant::now());
                match ended(project, GC, "gc", kill) {
                    Some(output) => {
                        assert_eq!(output.code, 0, "{output:?}");
                        (_, longest) = (done.gcs.fetch_add(1, Relaxed), begun.elapsed());
                    }
                    None => drop(done.killed_gcs.fetch_add(1, Relaxed)),
                }
            }
        });
        scope.spawn(move || {
            let _stop = Stop(done);
            let questions: [&[&str]; 4] = [
                &["status", "--json"],
                &["sql", "select count(*) n, max(v1) v from features", "--format", "json"],
                &["show", "stats", "--json"],
                &["lineage", "features.v1", "--run", "r1", "--format", "json"],
            ];
            while is_on() {
                for question in questions {
                    let output = project.run(question);
                    assert_eq!(output.code, 0, "{question:?} {output:?}");
                    done.questions.fetch_add(1, Relaxed);
                }
                for path in tables(project) {
                    // Opened once: what is published in its place meanwhile is another file.
                    let file = File::open(&path).unwrap();
                    let read = parquet::read(Object::File(file), None, None);
                    assert!(read.is_ok(), "{}: {:?}", path.display(), read.err());
                    done.tables.fetch_add(1, Relaxed);
                }
            }
        });
        let _stop = Stop(done);
        let (mut numbers, mut seconds) = (Numbers::new(4), [0.3; RUNS]);
        while is_on() {
            change(project, &mut numbers, &mut seconds);
            done.changes.fetch_add(1, Relaxed);
            std::thread::sleep(Duration::from_millis(numbers.below(1500) as u64));
        }
    });
    assert_eq!(project.build(&[]).code, 0);
    let verified = project.run(&["verify", "--recompute", "20"]);
    assert_eq!(verified.code, 0, "{verified:?}");
    let undisturbed = Project::new();
    for path in all_files(&project.path("data")) {
        fs::copy(&path, undisturbed.path("data").join(path.file_name().unwrap())).unwrap();
    }
    fs::copy(project.path("assets.toml"), undisturbed.path("assets.toml")).unwrap();
    assert_eq!(undisturbed.build(&[]).code, 0);
    assert_eq!(project.hashes(), undisturbed.hashes());
    [&project, &undisturbed].into_iter().for_each(clear);
    assert_eq!(project.build(&[]).log(), Default::default());
    let verified = project.run(&["verify", "--recompute", "20"]);
    assert_eq!(verified.code, 0, "{verified:?}");
    let (left, needed) = (objects(&project), objects(&undisturbed));
    let of = |count: &AtomicUsize| count.load(Relaxed);
    println!(
        "{} changes, {} builds and {} killed, {} gc and {} killed, {} questions, {} tables read; {left} bytes of objects, {needed} in a fresh store",
        of(&done.changes),
        of(&done.builds),
        of(&done.killed),
        of(&done.gcs),
        of(&done.killed_gcs),
        of(&done.questions),
        of(&done.tables),
    );
    // Columns that were put behind others lie in another order: some bytes of a footer.
    assert!(left.abs_diff(needed) <= needed / 50, "{left} bytes of objects, {needed} in a fresh store");
}

#[test]
fn everything_at_once_for_some_seconds_leaves_nothing_behind() {
    run(Duration::from_secs(4));
}

/// `ASSETS_LONG=600 cargo test --release --workspace --locked --test main half_an_hour -- --ignored --nocapture`
#[test]
#[ignore = "half an hour, or as many seconds as are said"]
fn everything_at_once_for_half_an_hour_leaves_nothing_behind() {
    run(Duration::from_secs(long(1800) as u64));
}
