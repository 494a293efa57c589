//! Whatever reads foreign bytes or text is fed what is almost right: it may refuse it, never panic, never hang.
//!
//! `ASSETS_FUZZ_SECONDS=600 cargo test --release --workspace --locked --test main fuzz::long -- --ignored --nocapture`
//! is the long form: so long for each target, with another seed each time (`ASSETS_FUZZ_SEED` gives one again). The suite
//! runs a fixed number of inputs of a fixed seed. In the long form the input that is being tried stands in a file, so
//! that it is known even where it ends the process.

mod bytes;
mod mutate;
mod texts;

use crate::inside::Numbers;
use mutate::{mutated, shrunk};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What the program's own main thread has.
const STACK_BYTES: usize = 64 << 20;
/// Different faults after which a target is given up.
const FAULTS_MAX: usize = 10;
/// Inputs tried to make one that fails shorter.
const SHRINKING: usize = 100;

/// What is fed.
struct Subject {
    /// Good inputs.
    seeds: Vec<Vec<u8>>,
    /// Words that mean something in them.
    words: Vec<String>,
    /// Tries one: whether it was accepted, or what went wrong that is no panic.
    attempt: Box<Attempt>,
}

type Attempt = dyn FnMut(&[u8]) -> Result<bool, String>;

impl Subject {
    fn try_one(&mut self, input: &[u8]) -> Result<bool, String> {
        catch_unwind(AssertUnwindSafe(|| (self.attempt)(input))).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<&str>().map(ToString::to_string);
            Err(text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned()))
        })
    }
}

/// When it is enough.
#[derive(Clone, Copy)]
enum Until {
    Count(usize),
    Seconds(u64),
}

impl Until {
    /// After so long an input counts as one that hangs; in the suite the machine may be busy with other things.
    fn patience(self) -> Duration {
        Duration::from_secs(if matches!(self, Self::Count(_)) { 60 } else { 5 })
    }

    fn is_over(self, tried: usize, since: Instant) -> bool {
        match self {
            Self::Count(count) => tried >= count,
            Self::Seconds(seconds) => since.elapsed().as_secs() >= seconds,
        }
    }
}

#[derive(Default)]
struct Progress {
    at: Option<(Instant, Vec<u8>)>,
    tried: usize,
    accepted: usize,
    /// By what is the same in all of a kind: what was told, and the input.
    faults: BTreeMap<String, (String, Vec<u8>)>,
}

fn run(name: &'static str, set_up: fn() -> Subject, until: Until, seed: u64) {
    let progress = Arc::new(Mutex::new(Progress::default()));
    let shared = Arc::clone(&progress);
    let work = move || feed(name, set_up(), until, seed, &shared);
    let worker = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(work).unwrap();
    while !worker.is_finished() {
        std::thread::sleep(Duration::from_millis(20));
        let progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, input)) = &progress.at
            && since.elapsed() > until.patience()
        {
            panic!("{name} hangs, seed {seed}, input {} of {} bytes: {}", progress.tried, input.len(), shown(input));
        }
    }
    worker.join().unwrap_or_else(|_| panic!("{name} can't be set up"));
    let progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
    println!("{name}: {} inputs, {} of them accepted, seed {seed}", progress.tried, progress.accepted);
    let faults = progress.faults.values().map(|(told, input)| format!("{told}\n  input: {}", shown(input)));
    let faults: Vec<String> = faults.collect();
    assert!(faults.is_empty(), "{name}, seed {seed}: {} kinds of faults\n{}", faults.len(), faults.join("\n"));
}

fn feed(name: &str, mut subject: Subject, until: Until, seed: u64, shared: &Mutex<Progress>) {
    let lock = || shared.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut numbers, since) = (Numbers::new(seed), Instant::now());
    let last = matches!(until, Until::Seconds(_)).then(|| last_input(name));
    let seeds = subject.seeds.clone();
    for seed in &seeds {
        let answer = subject.try_one(seed);
        assert!(answer.is_ok(), "a seed of {name}: {answer:?}: {}", shown(seed));
    }
    for tried in 0.. {
        if until.is_over(tried, since) || lock().faults.len() >= FAULTS_MAX {
            break;
        }
        let input = mutated(&seeds, &subject.words, &mut numbers);
        if let Some(path) = &last {
            std::fs::write(path, &input).unwrap();
        }
        lock().at = Some((Instant::now(), input.clone()));
        let answer = subject.try_one(&input);
        let mut progress = lock();
        progress.at = None;
        progress.tried = tried + 1;
        progress.accepted += usize::from(answer == Ok(true));
        let Err(told) = answer else { continue };
        let kind = kind(&told);
        if progress.faults.contains_key(&kind) {
            continue;
        }
        drop(progress);
        let same = |other: &[u8]| subject.try_one(other).is_err_and(|told| self::kind(&told) == kind);
        let input = shrunk(input, SHRINKING, same);
        lock().faults.insert(kind, (told, input));
    }
}

/// What panics of one place have in common: their words without numbers and quotes.
fn kind(told: &str) -> String {
    told.split(['"', '`', '\''])
        .step_by(2)
        .flat_map(|text| text.chars().filter(|c| c.is_alphabetic()))
        .take(80)
        .collect()
}

fn shown(input: &[u8]) -> String {
    let (first, more) = (&input[..input.len().min(600)], input.len().saturating_sub(600));
    let more = if more == 0 { String::new() } else { format!(" and {more} bytes more") };
    format!("{}{more}", first.escape_ascii())
}

fn last_input(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join("assets-fuzz");
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn run_long(name: &'static str, set_up: fn() -> Subject) {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let seed = from_environment("ASSETS_FUZZ_SEED").unwrap_or_else(now);
    run(name, set_up, Until::Seconds(from_environment("ASSETS_FUZZ_SECONDS").unwrap_or(600)), seed);
}

/// Each target with the number of inputs that the suite tries.
macro_rules! targets {
    ($($name:ident = $set_up:path, $count:literal;)*) => {
        $(#[test]
        fn $name() {
            run(stringify!($name), $set_up, Until::Count($count), 1);
        })*

        mod long {
            use super::{bytes, run_long, texts};
            $(#[test]
            #[ignore = "minutes: as long as ASSETS_FUZZ_SECONDS says"]
            fn $name() {
                run_long(stringify!($name), $set_up);
            })*
        }
    };
}

targets! {
    journal = bytes::journal, 100;
    entries = bytes::entries, 100;
    delimited = bytes::delimited, 60;
    parquet = bytes::parquet, 60;
    settings = texts::settings, 60;
    expressions = texts::expressions, 60;
    queries = texts::queries, 150;
    selections = texts::selections, 3000;
    runs = texts::runs, 5000;
    reports = texts::reports, 60;
    plans = texts::plans, 1000;
}
