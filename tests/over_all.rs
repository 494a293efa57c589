//! Assets over all runs, on integers in memory: what is made when, what is left out, and that no history of builds ends
//! elsewhere than a build from nothing.

use crate::engine::{lines, name};
use assets_core::{AssetDecl, InputDecl, Partition, Reason, Step};
use assets_testkit::integers::{IntCode, output};
use assets_testkit::workbench::Workbench;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

fn code(f: impl Fn(&[Vec<i64>]) -> Result<Vec<i64>, Reason> + Send + Sync + 'static) -> IntCode {
    Arc::new(f)
}

/// numbers → sorted per run, total over all runs, share per run of both.
fn assets() -> Vec<(AssetDecl, IntCode)> {
    let per_run = |n: &str| AssetDecl::new(output(n), "1").partitioned_by(&["run"]);
    let total = AssetDecl::new(output("total"), "1").reads(InputDecl::all(name("sorted")).over_all());
    vec![
        (per_run("numbers").reads_sources(), code(|i| Ok(i.concat()))),
        (
            per_run("sorted").reads(InputDecl::all(name("numbers"))),
            code(|i| {
                let mut values = i[0].clone();
                values.sort_unstable();
                if values.contains(&13) { Err(Reason::new("unlucky", "13 can't be sorted")) } else { Ok(values) }
            }),
        ),
        (total, code(|i| Ok(vec![i[0].iter().sum(), i[0].len() as i64]))),
        (
            per_run("share").reads(InputDecl::all(name("sorted"))).reads(InputDecl::all(name("total"))),
            code(|i| Ok(i.concat())),
        ),
    ]
}

fn bench(runs: &[(&str, &[i64])]) -> Workbench {
    let mut bench = Workbench::new(assets()).unwrap();
    runs.iter().for_each(|(run, values)| bench.deliver(&name("numbers"), run, values));
    bench
}

fn total(bench: &Workbench) -> Option<Vec<i64>> {
    bench.values_of(&Step::new(&name("total"), &Partition::none()))
}

/// The reasons and warnings of `total`, as codes with messages.
fn told(bench: &Workbench, select: &[&str], runs: &[&str]) -> Vec<(String, String)> {
    let plan = bench.plan(&bench.scope(select, runs));
    let planned = plan.get(&Step::new(&name("total"), &Partition::none())).unwrap();
    let reasons = planned.verdict.reasons.iter().cloned().chain(planned.warnings());
    reasons.map(|reason| (reason.code, reason.message)).collect()
}

fn sentence(code: &str, message: &str) -> (String, String) {
    (code.to_owned(), message.to_owned())
}

const THREE: [(&str, &[i64]); 3] = [("r1", &[3, 1, 2]), ("r2", &[5, 4]), ("r3", &[7])];

#[test]
fn one_run_more_makes_that_run_and_what_is_over_all() {
    for seed in 1..=20 {
        let mut bench = bench(&THREE);
        let all = bench.scope(&["total"], &[]);
        bench.build(&all, seed);
        assert_eq!(total(&bench), Some(vec![22, 6]));
        bench.deliver(&name("numbers"), "r4", &[10]);
        assert_eq!(told(&bench, &["total"], &[]), [sentence("run_added", "sorted has 1 run more: r4")]);
        let mut expected = lines("made", &["numbers", "sorted"], &["r4"]);
        expected.push("made total".to_owned());
        assert_eq!(bench.build(&all, seed).steps, expected);
        assert_eq!(total(&bench), Some(vec![32, 7]));
        // What comes out equal stops before it.
        bench.deliver(&name("numbers"), "r1", &[1, 2, 3]);
        let maybe = sentence("input_to_be_made", "sorted of r1 is to be made and may come out equal");
        assert_eq!(told(&bench, &["total"], &[]), [maybe]);
        assert_eq!(bench.build(&all, seed).steps, lines("made", &["numbers", "sorted"], &["r1"]));
        for run in ["r1", "r2", "r3", "r4"] {
            bench.deliver(&name("numbers"), run, &[1]);
        }
        bench.build(&bench.scope(&["sorted"], &[]), seed);
        let changed = sentence("input_changed", "sorted changed in 4 runs: r1, r2, r3 and 1 more");
        assert_eq!(told(&bench, &["total"], &[]), [changed]);
        assert_eq!(bench.build(&all, seed).steps, ["made total"]);
    }
}

#[test]
fn a_run_alone_touches_what_is_over_all_only_where_that_is_asked_for() {
    let mut bench = bench(&THREE);
    let everything_of = |bench: &Workbench, run: &str| bench.scope(&[], &[run]);
    let first = bench.build(&everything_of(&bench, "r1"), 1);
    let mut expected = lines("made", &["numbers", "share", "sorted"], &["r1"]);
    expected.push("made total".to_owned());
    assert_eq!(first.steps, expected);
    assert_eq!(total(&bench), Some(vec![6, 3]), "the others were never made");
    let left = sentence("runs_left_out", "total leaves out 2 runs of sorted: r2 (not made); r3 (not made)");
    assert_eq!(told(&bench, &[], &["r1"]), [left]);
    let sorted = bench.scope(&["sorted"], &["r2"]);
    assert_eq!(bench.build(&sorted, 1).steps, lines("made", &["numbers", "sorted"], &["r2"]));
    // The whole of it needs all runs.
    let whole = bench.scope(&["total"], &[]);
    let mut expected = lines("made", &["numbers", "sorted"], &["r3"]);
    expected.push("made total".to_owned());
    assert_eq!(bench.build(&whole, 1).steps, expected);
    // Of runs out of scope what is recorded counts, stale or not.
    bench.deliver(&name("numbers"), "r2", &[100]);
    bench.deliver(&name("numbers"), "r3", &[8]);
    let mut expected = lines("made", &["numbers", "share", "sorted"], &["r3"]);
    expected.push("made total".to_owned());
    assert_eq!(bench.build(&everything_of(&bench, "r3"), 1).steps, expected);
    assert_eq!(total(&bench), Some(vec![23, 6]));
}

#[test]
fn what_failed_is_left_out_by_name_until_it_is_good_again() {
    for seed in 1..=20 {
        let mut bench = bench(&THREE);
        let all = bench.scope(&[], &[]);
        bench.build(&all, seed);
        bench.deliver(&name("numbers"), "r2", &[13]);
        let failing = bench.build(&all, seed);
        for line in ["failed sorted of r2", "blocked share of r2", "made total", "made share of r1"] {
            assert!(failing.steps.contains(&line.to_owned()), "{line} {failing:?}");
        }
        assert_eq!(total(&bench), Some(vec![13, 4]), "the earlier table of r2 does not follow from what is true now");
        let left =
            sentence("runs_left_out", "total leaves out 1 run of sorted: r2 (sorted failed: 13 can't be sorted)");
        assert_eq!(told(&bench, &[], &[]), std::slice::from_ref(&left));
        assert_eq!(told(&bench, &["total"], &["r1"]), [left], "whatever the scope");
        let again = bench.build(&all, seed);
        assert_eq!(again.steps, ["blocked share of r2", "failed sorted of r2"]);
        bench.deliver(&name("numbers"), "r2", &[5, 4]);
        let mended = bench.build(&all, seed);
        assert!(mended.steps.contains(&"reused total".to_owned()), "{mended:?}");
        assert_eq!(total(&bench), Some(vec![22, 6]));
        assert_eq!(bench.build(&all, seed).steps, Vec::<String>::new());
    }
}

#[test]
fn with_nothing_good_it_is_blocked_and_without_runs_it_is_empty() {
    let mut bench = bench(&[("r1", &[13]), ("r2", &[13])]);
    let all = bench.scope(&["total"], &[]);
    let log = bench.build(&all, 1);
    assert!(log.steps.contains(&"blocked total".to_owned()), "{log:?}");
    assert_eq!(told(&bench, &["total"], &[])[0].0, "unlucky");
    let mut empty = Workbench::new(assets()).unwrap();
    let all = empty.scope(&[], &[]);
    assert_eq!(empty.build(&all, 1).steps, ["made total"]);
    assert_eq!(total(&empty), Some(vec![0, 0]));
}

/// What a step was made from and what came out, as a simple account of it.
#[derive(Debug, Clone, Default)]
struct Made<T>(Option<(T, Vec<i64>)>);

impl<T: PartialEq> Made<T> {
    /// Makes it where it was not made from this; says whether it was.
    fn make(&mut self, from: T, out: Vec<i64>) -> bool {
        let is_new = self.0.as_ref().is_none_or(|(before, _)| *before != from);
        if is_new {
            self.0 = Some((from, out));
        }
        is_new
    }

    fn out(&self) -> Option<&Vec<i64>> {
        self.0.as_ref().map(|(_, out)| out)
    }
}

/// An account of the store, kept without any of the engine's rules.
#[derive(Debug, Default)]
struct Account {
    delivered: BTreeMap<String, Vec<i64>>,
    damaged: BTreeSet<String>,
    numbers: BTreeMap<String, Made<Vec<i64>>>,
    sorted: BTreeMap<String, Made<Vec<i64>>>,
    /// What the latest attempt at `sorted` failed on.
    failed: BTreeMap<String, Vec<i64>>,
    total: Made<BTreeMap<String, Vec<i64>>>,
    share: BTreeMap<String, Made<[Vec<i64>; 2]>>,
}

impl Account {
    /// `numbers` and `sorted` of a run; whether that is good.
    fn run(&mut self, run: &str, steps: &mut BTreeSet<String>) -> bool {
        if self.damaged.contains(run) {
            steps.extend([format!("failed numbers of {run}"), format!("blocked sorted of {run}")]);
            return false;
        }
        let delivered = self.delivered[run].clone();
        if self.numbers.entry(run.to_owned()).or_default().make(delivered.clone(), delivered.clone()) {
            steps.insert(format!("made numbers of {run}"));
        }
        if delivered.contains(&13) {
            steps.insert(format!("failed sorted of {run}"));
            self.failed.insert(run.to_owned(), delivered);
            return false;
        }
        let mut sorted = delivered.clone();
        sorted.sort_unstable();
        if self.sorted.entry(run.to_owned()).or_default().make(delivered, sorted) {
            steps.insert(format!("made sorted of {run}"));
            self.failed.remove(run);
        }
        true
    }

    /// Whether a run that nobody looks at is good, as far as is recorded.
    fn stands(&self, run: &str) -> bool {
        let failed = self.failed.get(run).is_some_and(|on| self.numbers.get(run).and_then(Made::out) == Some(on));
        !self.damaged.contains(run) && !failed && self.sorted.contains_key(run)
    }

    /// The steps of a build of everything, or without `share`, for some runs.
    fn build(&mut self, runs: &BTreeSet<String>, with_share: bool) -> BTreeSet<String> {
        let mut steps = BTreeSet::new();
        let all: Vec<String> = self.delivered.keys().cloned().collect();
        let good = |account: &mut Self, run: &String, steps: &mut BTreeSet<String>| {
            if runs.contains(run) { account.run(run, steps) } else { account.stands(run) }
        };
        let good: BTreeSet<String> = all.iter().filter(|run| good(self, run, &mut steps)).cloned().collect();
        let read: BTreeMap<String, Vec<i64>> =
            good.iter().filter_map(|run| Some((run.clone(), self.sorted[run].out()?.clone()))).collect();
        let is_blocked = read.is_empty() && !all.is_empty();
        let values: Vec<i64> = read.values().flatten().copied().collect();
        if is_blocked {
            steps.insert("blocked total".to_owned());
        } else if self.total.make(read, vec![values.iter().sum(), values.len() as i64]) {
            steps.insert("made total".to_owned());
        }
        for run in runs.iter().filter(|_| with_share) {
            if is_blocked || !good.contains(run) {
                steps.insert(format!("blocked share of {run}"));
                continue;
            }
            let from = [self.sorted[run].out().cloned().unwrap(), self.total.out().cloned().unwrap()];
            let out = from.concat();
            if self.share.entry(run.clone()).or_default().make(from, out) {
                steps.insert(format!("made share of {run}"));
            }
        }
        steps
    }
}

/// xorshift64.
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

fn change(draw: &mut Draw, bench: &mut Workbench, account: &mut Account) {
    let run = format!("r{}", draw.below(5));
    let numbers = name("numbers");
    if draw.below(6) == 0 && account.delivered.contains_key(&run) {
        bench.damage(&numbers, &run);
        account.damaged.insert(run);
        return;
    }
    // Few different values: often the same again, or the same in another order; now and then the one that fails.
    let values: Vec<i64> = (0..1 + draw.below(2)).map(|_| [1, 2, 3, 13][draw.below(4) as usize]).collect();
    bench.deliver(&numbers, &run, &values);
    account.damaged.remove(&run);
    account.delivered.insert(run, values);
}

#[test]
fn any_history_makes_exactly_what_changed_and_ends_as_a_build_from_nothing() {
    for seed in 1..=60 {
        let mut draw = Draw(0x9E37_79B9_7F4A_7C15 ^ (seed << 20));
        let (mut bench, mut account) = (Workbench::new(assets()).unwrap(), Account::default());
        for turn in 0..12 {
            (0..1 + draw.below(3)).for_each(|_| change(&mut draw, &mut bench, &mut account));
            let all: BTreeSet<String> = account.delivered.keys().cloned().collect();
            let some: BTreeSet<String> = all.iter().filter(|_| draw.below(2) == 0).cloned().collect();
            let runs = if some.is_empty() || draw.below(2) == 0 { all } else { some };
            let with_share = draw.below(3) > 0;
            let select: &[&str] = if with_share { &[] } else { &["total"] };
            let scope = bench.scope(select, &runs.iter().map(String::as_str).collect::<Vec<_>>());
            let steps = bench.build(&scope, seed).steps;
            let steps: BTreeSet<String> = steps.iter().map(|step| step.replace("reused", "made")).collect();
            assert_eq!(steps, account.build(&runs, with_share), "seed {seed}, turn {turn}: {account:?}");
        }
        let all = bench.scope(&[], &[]);
        bench.build(&all, seed);
        let mut anew = Workbench::new(assets()).unwrap();
        for (run, values) in &account.delivered {
            anew.deliver(&name("numbers"), run, values);
            if account.damaged.contains(run) {
                anew.damage(&name("numbers"), run);
            }
        }
        let all = anew.scope(&[], &[]);
        anew.build(&all, seed + 1);
        let good = |run: &&String| !account.damaged.contains(*run) && !account.delivered[*run].contains(&13);
        let good: Vec<&String> = account.delivered.keys().filter(good).collect();
        if !good.is_empty() {
            assert_eq!(total(&bench), total(&anew), "seed {seed}: {account:?}");
        }
        for run in good {
            assert_eq!(bench.values(&name("share"), run), anew.values(&name("share"), run), "seed {seed} {run}");
        }
    }
}
