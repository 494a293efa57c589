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

/// Starts a build and kills it after a while. What was told last; `None` where it had ended before.
fn killed(root: &Path, after: Duration) -> Option<String> {
    let log = root.join("log");
    let mut child = Command::new(env!("CARGO_BIN_EXE_assets"))
        .args(["materialize", "--json", "--jobs", "3"])
        .current_dir(root)
        .stdin(Stdio::null())
        .stdout(File::create(&log).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let until = Instant::now() + after;
    while Instant::now() < until {
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    let _ = child.kill();
    child.wait().unwrap();
    let text = fs::read_to_string(&log).unwrap_or_default();
    let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    Some(match lines.last() {
        None => "before the first step was told".to_owned(),
        Some(line) if line["event"] == "step" => {
            let third = lines.len() * 3 / (DAYS * 3 + 2);
            format!(
                "after {} ({} third of the steps)",
                line["asset"].as_str().unwrap(),
                ["first", "second", "last", "last"][third.min(3)]
            )
        }
        Some(line) => format!("after {}", line["event"].as_str().unwrap_or("?")),
    })
}

/// Nothing is wrong but for what a kill may leave.
fn check(root: &Path) {
    let found = verify(root);
    assert!(problems(&found).is_empty(), "{found:#?}");
    let allowed = ["journal_unfinished", "orphan_objects", "table_missing", "table_outdated", "catalog_untrusted"];
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
    let mut longest = begun.elapsed().mul_f64(1.5);
    let (mut numbers, mut told, mut done) = (Numbers::new(11), BTreeMap::new(), 0);
    let mut known = hashes(root);
    while done < kills {
        // Other values for all days, or for some of them.
        let days = if done % 3 == 2 { numbers.below(DAYS)..DAYS } else { 0..DAYS };
        write_project(root, 3 + done, days);
        let after = longest.mul_f64(numbers.below(1000) as f64 / 1000.0);
        match killed(root, after) {
            Some(what) => {
                *told.entry(what).or_insert(0) += 1;
                done += 1;
            }
            // It was quicker than was thought.
            None => longest = longest.mul_f64(0.8).max(Duration::from_millis(20)),
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
