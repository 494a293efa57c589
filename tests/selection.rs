//! What a selection selects: steps by their states in exact logs, and what a person types and reads.

use crate::engine::{assets, bench, lines, name};
use crate::harness::{HEADER, Project, log, run_rows};
use assets_testkit::workbench::Workbench;

/// `numbers → sorted → (sum, largest) → report`, `doubled`: r1 fails at `sorted`, r2 waits for another factor.
fn half_broken() -> Workbench {
    let mut bench = bench();
    let all = bench.scope(&[], &[]);
    bench.build(&all, 1);
    bench.deliver(&name("numbers"), "r1", &[13, 1]);
    bench.build(&all, 1);
    bench.redeclare(assets(10)).unwrap();
    bench
}

fn steps(bench: &Workbench, select: &[&str], only: bool) -> Vec<String> {
    let mut scope = bench.scope(select, &[]);
    scope.only = only;
    if only {
        scope.assets.clone_from(&scope.selected);
    }
    let mut steps: Vec<String> = bench.plan(&scope).steps.iter().map(|planned| planned.step.to_string()).collect();
    steps.sort();
    steps
}

fn of(run: &str, assets: &[&str]) -> Vec<String> {
    assets.iter().map(|asset| format!("{asset} of {run}")).collect()
}

#[test]
fn states_select_steps_and_not_assets() {
    let bench = half_broken();
    let broken = of("r1", &["largest", "report", "sorted", "sum"]);
    let stale = of("r2", &["report", "sum"]);
    assert_eq!(steps(&bench, &["failed:"], true), broken);
    assert_eq!(steps(&bench, &["failed:failed"], true), of("r1", &["sorted"]));
    assert_eq!(steps(&bench, &["stale:"], true), stale);
    assert_eq!(steps(&bench, &["stale:maybe"], true), of("r2", &["report"]));
    let mut either = [broken, stale].concat();
    either.sort();
    assert_eq!(steps(&bench, &["failed:", "stale:"], true), either);
    assert_eq!(steps(&bench, &["report and failed:"], true), of("r1", &["report"]));
    assert_eq!(steps(&bench, &["sinks(stale:)"], true), of("r2", &["report"]));
    assert_eq!(steps(&bench, &["1+stale:maybe"], true), of("r2", &["largest", "report", "sum"]));
    assert_eq!(steps(&bench, &["not stale: and not failed:", "sum"], true).len(), 12 - 6 + 2);
    assert_eq!(
        steps(&bench, &["failed:failed"], false),
        of("r1", &["numbers", "sorted"]),
        "with what it is made from, of that run alone"
    );
    assert_eq!(steps(&bench, &["stale:reusable"], false), Vec::<String>::new());
}

#[test]
fn what_is_selected_by_state_is_what_is_made() {
    let mut bench = half_broken();
    let scope = bench.scope(&["failed:"], &[]);
    let mut expected = lines("failed", &["sorted"], &["r1"]);
    expected.extend(lines("blocked", &["largest", "report", "sum"], &["r1"]));
    expected.sort();
    assert_eq!(bench.build(&scope, 1).steps, expected, "r2 is stale, and not asked for");
    let scope = bench.scope(&["stale: and sum"], &[]);
    assert_eq!(bench.build(&scope, 1).steps, lines("made", &["sum"], &["r2"]));
    let mut forced = bench.scope(&["not failed: and not stale: and sorted"], &[]);
    forced.force = true;
    assert_eq!(bench.build(&forced, 1).steps, lines("made", &["sorted"], &["r2"]), "r1 is neither selected nor forced");
}

#[test]
fn two_runs_of_which_one_is_broken() {
    let project = Project::new();
    project.source("a.csv", &format!("{HEADER}{}", run_rows("7582", 0.3)));
    project.source("b.csv", &format!("{HEADER}{}", run_rows("7683", 0.3)));
    project.build(&[]);
    project.source("b.csv", "rubbish");
    project.settings("[wide]\nmethod = \"previous\"\n");

    let status = project.run(&["status", "failed:", "--json"]).json();
    assert_eq!(status["runs"].as_array().unwrap().len(), 1);
    assert_eq!(status["runs"][0]["run"], "7683");
    assert_eq!(status["runs"][0]["assets"]["raw"]["state"], "failed");
    let plan = project.run(&["plan", "stale:", "--json"]).json();
    let planned = |state: &str| plan["counts"][state].as_u64().unwrap();
    assert_eq!((planned("stale"), planned("failed")), (3, 1), "the fleet is stale, and looks at every run: {plan}");
    let files = project.run(&["files", "tag:stage=result and not failed: and not fleet", "--json"]).json();
    let files: Vec<&str> =
        files["files"].as_array().unwrap().iter().map(|file| file["run"].as_str().unwrap()).collect();
    assert_eq!(files, ["7582", "7582"]);
    let checks = project.run(&["check", "failed: and clean", "--json"]).json();
    assert!(checks["checks"].as_array().unwrap().iter().all(|check| check["run"] == "7683"), "{checks}");

    let failed = project.build(&["failed:"]);
    assert_eq!(failed.code, 1);
    assert_eq!(failed.log(), log(&[("failed", "raw", "7683"), ("blocked", "clean wide features stats", "7683")]));
    let made = project.build(&["column:features.v* and stale:"]);
    assert_eq!(made.log(), log(&[("made", "wide features", "7582")]));
    let rest = [("made", "fleet", "-"), ("failed", "raw", "7683"), ("blocked", "clean stats", "7683")];
    assert_eq!(project.build(&["stale:"]).log(), log(&rest));
    assert_eq!(project.run(&["status", "stale:"]).stdout, "no step fits the selection\n");
    assert_eq!(project.build(&["stale:", "--run", "7582"]).finished()["made"], 0);
}

#[test]
fn mistakes_are_pointed_at() {
    let project = Project::new();
    let cases = [
        ("wide and (raw", "bad_selection", 10, "never closed"),
        ("+wide adn raw", "bad_selection", 7, "`and` or `or`"),
        ("wide or featurs", "unknown_asset", 9, "did you mean `features`?"),
        ("column:vx_3", "bad_selection", 8, "did you mean `vx_"),
        ("stale:stael", "bad_selection", 7, "did you mean `stale`?"),
        ("tag:sumary", "bad_selection", 5, "did you mean `summary`?"),
    ];
    for (text, code, column, message) in cases {
        for verb in ["plan", "status", "errors", "files", "check", "materialize"] {
            let told = project.run(&[verb, text]);
            assert_eq!((told.code, told.stdout.as_str()), (2, ""), "{verb} {told:?}");
            let lines: Vec<&str> = told.stderr.lines().collect();
            assert!(lines[0].contains(code) && lines[0].contains(message), "{told:?}");
            assert_eq!(lines[1], format!("  {text}"));
            assert_eq!(lines[2], format!("{}^", " ".repeat(column + 1)), "{told:?}");
            let json = project.run(&[verb, text, "--json"]).json();
            assert_eq!((json["code"].as_str(), json["column"].as_u64()), (Some(code), Some(column as u64)));
        }
    }
    assert_eq!(project.run(&["plan", ""]).code, 2);
    assert_eq!(project.run(&["plan", &"(".repeat(100_000)]).code, 2);
}
