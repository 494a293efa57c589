//! A child process that makes tables of 50 days is killed at any moment, again and again on one store, and the store is
//! looked at after each kill. What was going on when it was killed is told as a histogram.

use crate::inside::{Numbers, build_well, folder, hashes, long, problems, published, verify, write_project};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const DAYS: usize = 50;
/// Steps that a build makes where all days have changed: four a day, and what is over all days.
const STEPS: usize = DAYS * 3 + 2;

const BUILD: &[&str] = &["materialize", "--json", "--jobs", "3"];
const GC: &[&str] = &["gc", "--yes", "--keep", "2", "--older-than", "0s"];
const REPAIR: &[&str] = &["repair"];

/// When a child is killed.
enum When {
    /// So long after its start.
    After(Duration),
    /// So long after it told of so many steps.
    Told(usize, Duration),
}

/// Starts the program and kills it. What was going on; `None` where it had ended before.
fn killed(root: &Path, args: &[&str], when: &When) -> Option<String> {
    let log = root.join("log");
    let mut child = Command::new(env!("CARGO_BIN_EXE_assets"))
        .args(args)
        .current_dir(root)
        .stdin(Stdio::null())
        .stdout(File::create(&log).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let told = || fs::read(&log).unwrap_or_default().iter().filter(|byte| **byte == b'\n').count();
    let mut until = match when {
        When::After(time) => Some(Instant::now() + *time),
        When::Told(..) => None,
    };
    loop {
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        if let (When::Told(lines, then), None) = (when, until)
            && told() >= *lines
        {
            until = Some(Instant::now() + *then);
        }
        if until.is_some_and(|until| Instant::now() >= until) {
            break;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    let _ = child.kill();
    child.wait().unwrap();
    if args[0] != "materialize" {
        return Some(args[0].to_owned());
    }
    let text = fs::read_to_string(&log).unwrap_or_default();
    let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let steps = lines.iter().filter(|line| line["event"] == "step").count();
    Some(match lines.last() {
        None => "build, before the first step was told".to_owned(),
        Some(line) if line["event"] == "finished" => "build, all told: folding and closing".to_owned(),
        Some(_) if steps >= STEPS => "build, after the last step: publishing and folding".to_owned(),
        Some(_) => format!("build, quarter {} of the steps", steps * 4 / STEPS + 1),
    })
}

/// Nothing is wrong but for what a kill may leave.
fn check(root: &Path) {
    let found = verify(root);
    assert!(problems(&found).is_empty(), "{found:#?}");
    // The last: of a `gc` that had put the journal together, and had not yet left a snapshot of it.
    let allowed =
        ["journal_unfinished", "orphan_objects", "table_missing", "table_outdated", "catalog_untrusted", "tips_unused"];
    for finding in &found {
        assert!(allowed.contains(&finding.reason.code.as_str()), "{finding:?}");
    }
    // Each published file can be read as a whole.
    published(root);
}

fn run(kills: usize) {
    let project = folder();
    let root = project.path();
    write_project(root, 2, 0..DAYS);
    let begun = Instant::now();
    build_well(root);
    let built = begun.elapsed();
    // How long a build, clearing away and putting right may take: less, wherever one had ended before it was killed.
    let mut longest = BTreeMap::from([(BUILD, built.mul_f64(1.5)), (GC, built / 4), (REPAIR, built / 4)]);
    let (mut numbers, mut told, mut done) = (Numbers::new(11), BTreeMap::new(), 0);
    let mut known = hashes(root);
    for turn in 0.. {
        if done == kills {
            break;
        }
        // Other values for all days, or for some of them.
        let days = if turn % 3 == 2 { numbers.below(DAYS)..DAYS } else { 0..DAYS };
        write_project(root, 3 + turn, days);
        let share = numbers.below(1000) as f64 / 1000.0;
        let (args, by_time) = match turn % 10 {
            // What the builds before left behind.
            4 => (GC, true),
            9 => (REPAIR, true),
            other => (BUILD, other % 5 == 0),
        };
        let when = if by_time {
            When::After(longest[args].mul_f64(share))
        } else {
            When::Told(numbers.below(STEPS + 1), Duration::from_millis(20).mul_f64(share))
        };
        match killed(root, args, &when) {
            Some(what) => {
                *told.entry(what).or_insert(0) += 1;
                done += 1;
            }
            None if by_time => {
                let longest = longest.get_mut(args).unwrap();
                *longest = longest.mul_f64(0.8).max(Duration::from_millis(10));
            }
            None => {}
        }
        check(root);
        let now = hashes(root);
        assert!(known.keys().all(|step| now.contains_key(step)), "a step that was recorded is not any more");
        known = now;
    }
    write_project(root, 2, 0..DAYS);
    build_well(root);
    let undisturbed = folder();
    write_project(undisturbed.path(), 2, 0..DAYS);
    build_well(undisturbed.path());
    assert_eq!(hashes(root), hashes(undisturbed.path()));
    assert_eq!(published(root), published(undisturbed.path()));
    println!("{done} kills:");
    told.iter().for_each(|(what, n)| println!("  {n:4} {what}"));
}

#[test]
fn killed_again_and_again_a_store_stays_true() {
    run(20);
}

/// `ASSETS_LONG=2000 cargo test --release --workspace --locked --test main five_hundred -- --ignored --nocapture`
#[test]
#[ignore = "minutes: hundreds of processes"]
fn killed_five_hundred_times_a_store_stays_true() {
    run(long(500));
}
