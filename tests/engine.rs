//! The exact log of what is made, reused and found fresh, on integers in memory, in many orders of execution.

use assets_core::catalog::Past;
use assets_core::{AssetDecl, AssetName, InputDecl, Reason};
use assets_testkit::integers::{IntCode, output};
use assets_testkit::workbench::Workbench;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

pub(crate) fn name(text: &str) -> AssetName {
    AssetName::new(text).unwrap()
}

fn code(f: impl Fn(&[Vec<i64>]) -> Result<Vec<i64>, Reason> + Send + Sync + 'static) -> IntCode {
    Arc::new(f)
}

/// numbers → sorted → (sum, largest) → report; and `doubled` beside them.
pub(crate) fn assets(factor: i64) -> Vec<(AssetDecl, IntCode)> {
    let decl = |n: &str, inputs: &[&str]| {
        let decl = AssetDecl::new(output(n), "1").partitioned_by(&["run"]);
        inputs.iter().fold(decl, |decl, input| decl.reads(InputDecl::all(name(input))))
    };
    vec![
        (decl("numbers", &[]).reads_sources(), code(|i| Ok(i.concat()))),
        (
            decl("sorted", &["numbers"]),
            code(|i| {
                let mut values = i[0].clone();
                if values.contains(&13) {
                    return Err(Reason::new("unlucky", "13 can't be sorted"));
                }
                assert!(!values.contains(&666), "a number of the beast");
                values.sort_unstable();
                Ok(values)
            }),
        ),
        (decl("sum", &["sorted"]).param("factor", factor), code(move |i| Ok(vec![factor * i[0].iter().sum::<i64>()]))),
        (decl("largest", &["sorted"]), code(|i| Ok(i[0].last().copied().into_iter().collect()))),
        (decl("report", &["sum", "largest"]), code(|i| Ok(i.concat()))),
        (decl("doubled", &["numbers"]), code(|i| Ok(i[0].iter().map(|n| n * 2).collect()))),
    ]
}

pub(crate) fn bench() -> Workbench {
    let mut bench = Workbench::new(assets(1)).unwrap();
    bench.deliver(&name("numbers"), "r1", &[3, 1, 2]);
    bench.deliver(&name("numbers"), "r2", &[5, 4]);
    bench
}

const ALL: [&str; 6] = ["doubled", "largest", "numbers", "report", "sorted", "sum"];

pub(crate) fn lines(outcome: &str, assets: &[&str], runs: &[&str]) -> Vec<String> {
    let mut lines: Vec<String> =
        runs.iter().flat_map(|run| assets.iter().map(move |asset| format!("{outcome} {asset} of {run}"))).collect();
    lines.sort();
    lines
}

fn for_many_orders(check: impl Fn(u64)) {
    (1..=20).for_each(check);
}

#[test]
fn first_build_makes_all_and_the_second_nothing() {
    for_many_orders(|seed| {
        let mut bench = bench();
        let all = bench.scope(&[], &[]);
        assert_eq!(bench.build(&all, seed).steps, lines("made", &ALL, &["r1", "r2"]));
        assert_eq!(bench.values(&name("report"), "r1"), Some(vec![6, 3]));
        let again = bench.build(&all, seed);
        assert_eq!((again.steps, again.fresh), (vec![], 12));
    });
}

#[test]
fn a_bare_asset_comes_with_its_stale_ancestors_for_its_run_alone() {
    let mut bench = bench();
    let scope = bench.scope(&["sum"], &["r1"]);
    assert_eq!(bench.build(&scope, 1).steps, lines("made", &["numbers", "sorted", "sum"], &["r1"]));
    let rest = bench.scope(&[], &[]);
    let mut expected = lines("made", &ALL, &["r2"]);
    expected.extend(lines("made", &["doubled", "largest", "report"], &["r1"]));
    expected.sort();
    assert_eq!(bench.build(&rest, 1).steps, expected);
}

#[test]
fn what_comes_out_equal_stops_there() {
    for_many_orders(|seed| {
        let mut bench = bench();
        let all = bench.scope(&[], &[]);
        bench.build(&all, seed);
        // Another order of the same numbers: `sorted` comes out equal, so what reads it stays fresh.
        bench.deliver(&name("numbers"), "r1", &[1, 2, 3]);
        let maybe = [
            "maybe doubled of r1",
            "maybe largest of r1",
            "maybe report of r1",
            "maybe sorted of r1",
            "maybe sum of r1",
        ];
        let mut planned: Vec<String> = maybe.map(str::to_owned).to_vec();
        planned.push("stale numbers of r1".into());
        assert_eq!(bench.planned(&all), planned);
        let log = bench.build(&all, seed);
        assert_eq!(log.steps, lines("made", &["doubled", "numbers", "sorted"], &["r1"]));
    });
}

#[test]
fn a_parameter_there_and_back_computes_nothing_twice() {
    for_many_orders(|seed| {
        let mut bench = bench();
        let all = bench.scope(&[], &[]);
        bench.build(&all, seed);
        bench.redeclare(assets(10)).unwrap();
        let plan = bench.plan(&all);
        let sum = plan.steps.iter().find(|s| s.step.to_string() == "sum of r1").unwrap();
        assert_eq!(sum.verdict.reasons[0].message, "the parameter factor changed: 1 → 10");
        assert_eq!(bench.build(&all, seed).steps, lines("made", &["report", "sum"], &["r1", "r2"]));
        bench.redeclare(assets(1)).unwrap();
        assert_eq!(bench.build(&all, seed).steps, lines("reused", &["report", "sum"], &["r1", "r2"]));
        assert_eq!(bench.values(&name("report"), "r2"), Some(vec![9, 5]));
        assert_eq!(bench.build(&all, seed).steps, Vec::<String>::new());
    });
}

#[test]
fn a_failure_blocks_what_depends_on_it_and_nothing_else() {
    for_many_orders(|seed| {
        let mut bench = bench();
        let all = bench.scope(&[], &[]);
        bench.build(&all, seed);
        bench.deliver(&name("numbers"), "r1", &[13, 1]);
        let log = bench.build(&all, seed);
        let mut expected = lines("made", &["doubled", "numbers"], &["r1"]);
        expected.extend(lines("failed", &["sorted"], &["r1"]));
        expected.extend(lines("blocked", &["largest", "report", "sum"], &["r1"]));
        expected.sort();
        assert_eq!(log.steps, expected);
        let blocked = log.events.iter().filter(|event| event.outcome.name() == "blocked");
        assert!(blocked.into_iter().all(|event| event.reason.as_ref().is_some_and(|r| r.code == "unlucky")));
        // The earlier tables are still there.
        assert_eq!(bench.values(&name("report"), "r1"), Some(vec![6, 3]));
        let states = bench.planned(&all);
        assert!(
            states.contains(&"failed sorted of r1".to_owned()) && states.contains(&"blocked report of r1".to_owned())
        );
        // Tried again at every build, and well after mending.
        assert!(bench.build(&all, seed).steps.contains(&"failed sorted of r1".to_owned()));
        bench.deliver(&name("numbers"), "r1", &[12, 1]);
        let mended = bench.build(&all, seed);
        assert_eq!(mended.steps, lines("made", &ALL, &["r1"]));
    });
}

#[test]
fn a_panic_is_a_failed_step() {
    let mut bench = bench();
    bench.deliver(&name("numbers"), "r1", &[666]);
    let all = bench.scope(&[], &[]);
    let log = bench.build(&all, 1);
    let failed = log.events.iter().find(|event| event.outcome.name() == "failed").unwrap();
    assert_eq!(failed.reason.as_ref().unwrap().code, "panic");
    assert!(log.steps.contains(&"made report of r2".to_owned()));
}

/// `numbers → doubled`, where `numbers` fails with a code for the first times.
fn failing(code: &'static str, times: usize) -> Workbench {
    let left = AtomicUsize::new(times);
    let decl = |n: &str| AssetDecl::new(output(n), "1").partitioned_by(&["run"]);
    let numbers: IntCode = Arc::new(move |i| match left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)) {
        Ok(_) => Err(Reason::new(code, "not this time")),
        Err(_) => Ok(i.concat()),
    });
    let doubled: IntCode = Arc::new(|i| Ok(i[0].iter().map(|n| n * 2).collect()));
    let reads = decl("doubled").reads(InputDecl::all(name("numbers")));
    let mut bench = Workbench::new(vec![(decl("numbers").reads_sources(), numbers), (reads, doubled)]).unwrap();
    bench.deliver(&name("numbers"), "r1", &[1, 2]);
    bench
}

#[test]
fn what_may_pass_is_tried_again_and_recorded() {
    let mut bench = failing("io_error", 2);
    let all = bench.scope(&[], &[]);
    let log = bench.build(&all, 1);
    assert_eq!(log.steps, ["made doubled of r1", "made numbers of r1"]);
    let made = log.events.iter().find(|event| event.step.asset == name("numbers")).unwrap();
    let again = made.because.iter().find(|reason| reason.code == "tried_again").unwrap();
    assert_eq!(again.facts["times"], assets_core::Fact::Count(2));
    let past = bench.catalog().history(&made.step).unwrap();
    let attempts = past.iter().filter(|past| matches!(past, Past::Attempt(a) if a.reason.code == "io_error")).count();
    assert_eq!(attempts, 2, "{past:?}");

    let mut bench = failing("io_error", 4);
    let all = bench.scope(&[], &[]);
    assert_eq!(
        bench.build(&all, 1).steps,
        ["blocked doubled of r1", "failed numbers of r1"],
        "three times and no more"
    );
    assert_eq!(bench.build(&all, 1).steps, ["made doubled of r1", "made numbers of r1"]);

    let mut bench = failing("unlucky", 1);
    let all = bench.scope(&[], &[]);
    let expected = ["blocked doubled of r1", "failed numbers of r1"];
    assert_eq!(bench.build(&all, 1).steps, expected, "data that is wrong stays wrong");
}

#[test]
fn a_source_that_changes_while_it_is_read_is_read_again() {
    let mut bench = failing("source_changed_while_reading", 1);
    bench.deliver_later(&name("numbers"), "r1", &[7]);
    let all = bench.scope(&[], &[]);
    assert_eq!(bench.build(&all, 1).steps, ["made doubled of r1", "made numbers of r1"]);
    assert_eq!(bench.values(&name("doubled"), "r1"), Some(vec![14]), "what it holds now");
}

#[test]
fn an_unreadable_source_fails_its_run_and_heals() {
    let mut bench = bench();
    let all = bench.scope(&[], &[]);
    bench.build(&all, 1);
    bench.damage(&name("numbers"), "r2");
    let mut expected = lines("failed", &["numbers"], &["r2"]);
    expected.extend(lines("blocked", &["doubled", "largest", "report", "sorted", "sum"], &["r2"]));
    expected.sort();
    assert_eq!(bench.build(&all, 1).steps, expected);
    bench.deliver(&name("numbers"), "r2", &[5, 4]);
    assert_eq!(bench.build(&all, 1).steps, Vec::<String>::new());
}

#[test]
fn force_remakes_the_selected_and_a_lost_object_is_a_miss() {
    let mut bench = bench();
    let all = bench.scope(&[], &[]);
    bench.build(&all, 1);
    let mut scope = bench.scope(&["sorted"], &["r1"]);
    scope.force = true;
    assert_eq!(bench.build(&scope, 1).steps, lines("made", &["sorted"], &["r1"]));
    assert_eq!(bench.build(&all, 1).steps, Vec::<String>::new(), "it came out equal");
    let ledger = bench.catalog().ledger().unwrap();
    let step = assets_core::Step::new(&name("doubled"), &assets_core::Partition::one("run", "r1"));
    let object = *ledger.newest(&step).unwrap().objects().next().unwrap();
    assert!(bench.tables.lose(&object));
    let plan = bench.plan(&all);
    assert!(plan.get(&step).unwrap().verdict.reasons.iter().any(|reason| reason.code == "lost_object"));
    assert_eq!(bench.build(&all, 1).steps, lines("made", &["doubled"], &["r1"]));
}
