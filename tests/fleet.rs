//! `fleet` and tables of one's own over all runs: against numpy and pandas, and what is made of them when.

use crate::harness::{HEADER, Output, PER_RUN, Project, log, row, run_rows};
use serde_json::Value;

/// Runs `a`, `b` and `c`, each in a file of its own.
fn three_runs() -> Project {
    let project = Project::new();
    for (run, seconds) in [("a", 0.5), ("b", 0.6), ("c", 0.7)] {
        project.source(&format!("{run}.csv"), &format!("{HEADER}{}", run_rows(run, seconds)));
    }
    project
}

fn step(answer: &Value, asset: &str) -> Value {
    let steps = answer["steps"].as_array().unwrap();
    steps.iter().find(|step| step["asset"] == asset && step["run"].is_null()).unwrap().clone()
}

fn warnings(output: &Output) -> Vec<String> {
    let lines = output.lines().into_iter().filter(|line| line["event"] == "warning");
    lines.map(|line| line["message"].as_str().unwrap().to_owned()).collect()
}

fn runs_in_fleet(project: &Project) -> Value {
    project.sql("select runs from fleet where attribute = 'all' and metric = 'runtime_s'")[0]["runs"].clone()
}

fn near(found: &Value, expected: &Value) -> bool {
    match (found.as_f64(), expected.as_f64()) {
        (Some(found), Some(expected)) => (found - expected).abs() <= 1e-9 * expected.abs().max(1e-3),
        _ => found == expected,
    }
}

#[test]
fn numbers_are_those_of_numpy_and_pandas() {
    let project = Project::new();
    project.source("fleet.csv", include_str!("fixtures/fleet.csv"));
    assert_eq!(project.build(&[]).code, 0);
    let expected: Value = serde_json::from_str(include_str!("fixtures/fleet.json")).unwrap();
    let columns = ["attribute", "value", "metric", "runs", "p05", "p25", "p50", "p75", "p95", "mean"];
    let found = project.sql("select * from fleet");
    let rows = expected["fleet"].as_array().unwrap();
    assert_eq!(found.len(), rows.len());
    for (found, expected) in found.iter().zip(rows) {
        for (at, column) in columns.iter().enumerate() {
            assert!(near(&found[column], &expected[at]), "{column}: {found} {expected}");
        }
    }
    assert!(found.iter().any(|row| row["value"].is_null()), "a run without the attribute is counted apart");
    let mut found = project.sql("select * from unusual");
    let mut farthest = f64::INFINITY;
    for row in &found {
        let z = row["robust_z"].as_f64().unwrap().abs();
        assert!(z <= farthest, "the farthest comes first");
        farthest = z;
    }
    let key = |metric: &Value, run: &Value| (metric.to_string(), run.to_string());
    found.sort_by_key(|row| key(&row["metric"], &row["run_uuid"]));
    let mut rows = expected["unusual"].as_array().unwrap().clone();
    rows.sort_by_key(|row| key(&row[1], &row[0]));
    assert!(rows.len() > 2 && found.len() == rows.len(), "{found:?} {rows:?}");
    for (found, expected) in found.iter().zip(&rows) {
        for (at, column) in ["run_uuid", "metric", "value", "median", "robust_z"].iter().enumerate() {
            assert!(near(&found[column], &expected[at]), "{column}: {found} {expected}");
        }
    }
    let units = project.sql("select distinct unit from fleet where metric = 'v1_peak_mm_s'");
    assert_eq!(units[0]["unit"], "mm/s");
}

#[test]
fn a_late_run_makes_that_run_and_the_fleet() {
    let project = three_runs();
    project.build(&[]);
    assert_eq!(runs_in_fleet(&project), 3);
    project.source("d.csv", &format!("{HEADER}{}", run_rows("d", 0.5)));
    let plan = step(&project.run(&["plan", "--json"]).json(), "fleet");
    let reason = &plan["reasons"][0];
    assert_eq!(
        (&plan["state"], &reason["code"], &reason["runs"][0]),
        (&"stale".into(), &"run_added".into(), &"d".into())
    );
    assert_eq!(project.build(&["stats", "--run", "d"]).log(), log(&[("made", "raw clean stats", "d")]));
    assert_eq!(project.build(&[]).log(), log(&[("made", "wide features", "d"), ("made", "fleet", "-")]));
    assert_eq!(runs_in_fleet(&project), 4);
    // Rows of an earlier run that come late.
    project.source("late.csv", &format!("{HEADER}{}", row(900, "1.5", "x", "1", "a")));
    assert_eq!(project.build(&[]).log(), log(&[("made", PER_RUN, "a"), ("made", "fleet", "-")]));
    // A row twice changes `rejected_share`, and another dead band columns that `fleet` does not read either.
    let late = std::fs::read_to_string(project.path("data/late.csv")).unwrap();
    project.source("late.csv", &format!("{late}{}", late.lines().last().unwrap()));
    assert_eq!(project.build(&[]).log(), log(&[("made", "raw clean stats", "a")]));
    project.settings("[stats]\ndead_band_mm = 0.5\n");
    assert_eq!(step(&project.run(&["plan", "--json"]).json(), "fleet")["state"], "fresh");
    assert_eq!(project.build(&[]).log(), log(&[("made", "stats", "a b c d")]));
    project.settings("[derivative]\nmethod = \"central\"\n[stats]\ndead_band_mm = 0.5\n");
    let why = project.run(&["why", "fleet"]);
    assert!(why.stdout.contains("stats of 4 runs is to be made and may come out equal: a, b, c and 1 more"), "{why:?}");
    assert!(why.stdout.contains("stats of 1 further run: 1 stale"), "{why:?}");
    assert_eq!(project.build(&["--run", "a"]).log(), log(&[("made", "features stats", "a"), ("made", "fleet", "-")]));
}

#[test]
fn what_a_build_does_not_make_is_taken_as_published() {
    let project = three_runs();
    let first = project.build(&["--run", "a"]);
    let expected = log(&[("made", PER_RUN, "a"), ("made", "fleet intake_rejects", "-")]);
    assert_eq!((first.code, first.log(), runs_in_fleet(&project)), (0, expected, 1.into()));
    assert_eq!(warnings(&first), ["fleet leaves out 2 runs of stats: b (not made); c (not made)"]);
    let shown = project.run(&["show", "fleet"]);
    assert!(shown.stderr.contains("leaves out 2 runs of stats"), "{shown:?}");
    let whole = project.build(&["fleet"]);
    assert_eq!(whole.log(), log(&[("made", "raw clean stats", "b c"), ("made", "fleet", "-")]));
    project.source("late.csv", &format!("{HEADER}{}", row(900, "1.5", "x", "1", "a")));
    assert_eq!(project.build(&["fleet", "--only"]).log(), log(&[]));
    let forced = project.build(&["fleet", "--only", "--force"]);
    assert_eq!(forced.log(), log(&[("made", "fleet", "-")]));
}

#[test]
fn a_table_without_a_column_that_is_read_is_left_out_until_it_is_made_again() {
    let project = three_runs();
    project.build(&[]);
    project.settings("run_attributes = [\"cell_id\", \"batch\"]\n");
    let only = project.run(&["materialize", "fleet", "--only", "--quiet"]);
    assert!(only.code == 1 && only.stdout.contains("(input_other_columns)"), "{only:?}");
    let one = project.build(&["stats", "fleet", "--run", "b"]);
    assert_eq!(one.log(), log(&[("made", "raw stats", "b"), ("made", "fleet", "-")]));
    let left = "fleet leaves out 2 runs of stats: a (made with other columns); c (made with other columns)";
    assert_eq!((one.code, &warnings(&one)[..]), (0, &[left.to_owned()][..]));
    assert_eq!(project.build(&[]).log(), log(&[("made", "raw stats", "a c"), ("made", "fleet", "-")]));
}

#[test]
fn a_failed_run_is_left_out_and_named() {
    let project = three_runs();
    project.build(&[]);
    let before = project.hashes();
    let rows = std::fs::read_to_string(project.path("data/b.csv")).unwrap();
    project.source("b.csv", "rubbish\n1\n");
    let damaged = project.build(&[]);
    let blocked = ("blocked", "clean wide features stats", "b");
    assert_eq!((damaged.code, damaged.log()), (1, log(&[("failed", "raw", "b"), blocked, ("made", "fleet", "-")])));
    let [warning] = &warnings(&damaged)[..] else { panic!("{damaged:?}") };
    assert!(warning.starts_with("fleet leaves out 1 run of stats: b (raw failed: "), "{warning}");
    assert_eq!(runs_in_fleet(&project), 2);
    assert_eq!(project.sql("select count(*) n from stats")[0]["n"], 3, "its earlier table stays published");
    let plan = step(&project.run(&["plan", "--json"]).json(), "fleet");
    let (state, warning) = (&plan["state"], &plan["warnings"][0]);
    assert_eq!((state, &warning["code"], &warning["count"]), (&"fresh".into(), &"runs_left_out".into(), &1.into()));
    let why = project.run(&["why", "fleet", "--json"]).json();
    assert_eq!((&why["warnings"][0]["runs"][0], &why["inputs"][0]["run"]), (&"b".into(), &"b".into()));
    assert_eq!(
        (&why["further_inputs"][0]["runs"]["fresh"], &why["inputs"][0]["state"]),
        (&2.into(), &"blocked".into())
    );
    let because = &why["made"]["because"].as_array().unwrap().clone();
    let codes: Vec<&Value> = because.iter().map(|reason| &reason["code"]).collect();
    assert_eq!(codes, ["run_removed", "runs_left_out"]);
    let errors = project.run(&["errors", "--json"]).json();
    let failure = errors["errors"].as_array().unwrap().iter().find(|e| e["kind"] == "failure").unwrap().clone();
    assert_eq!(failure["left_out_of"][0]["asset"], "fleet");
    let status = project.run(&["status", "--json"]).json();
    let row = status["runs"].as_array().unwrap().iter().find(|row| row["run"].is_null()).unwrap().clone();
    assert_eq!(row["assets"]["fleet"]["warnings"][0]["code"], "runs_left_out");
    // It says the same of another run alone, and of what is published.
    for args in [&["--run", "a"][..], &["fleet", "--only"]] {
        assert_eq!(project.build(args).log(), log(&[]), "{args:?}");
    }
    project.source("b.csv", &rows);
    let mended = project.build(&[]);
    assert_eq!((mended.code, mended.log(), project.hashes()), (0, log(&[("reused", "fleet", "-")]), before));
}

#[test]
fn it_is_told_of_like_any_other_asset() {
    let project = three_runs();
    project.build(&[]);
    let lineage = project.run(&["lineage", "fleet", "--json"]).json();
    let stats = lineage["upstream"].as_array().unwrap().iter().find(|node| node["asset"] == "stats").unwrap().clone();
    assert_eq!((&lineage["state"], &stats["run"], &stats["runs"]["fresh"]), (&"fresh".into(), &Value::Null, &3.into()));
    let sources = lineage["sources"].as_array().unwrap();
    assert_eq!(sources.iter().filter(|source| source["asset"] == "raw").count(), 3);
    let tree = project.run(&["lineage", "fleet"]).stdout;
    assert!(tree.contains("stats  3 runs: 3 fresh") && tree.contains("a.csv"), "{tree}");
    let below = project.run(&["lineage", "stats", "--run", "a", "--json"]).json();
    assert_eq!(
        (&below["downstream"][0]["asset"], &below["downstream"][0]["state"]),
        (&"fleet".into(), &"fresh".into())
    );
    let column = project.run(&["lineage", "fleet.p50", "--json"]).json();
    assert!(column["upstream"].to_string().contains("runtime_s"), "{column}");
    let graph = project.run(&["graph", "--json"]).json();
    let fleet = graph["assets"].as_array().unwrap().iter().find(|asset| asset["asset"] == "fleet").unwrap().clone();
    assert_eq!((&fleet["inputs"][0]["mapping"], &fleet["outputs"][1]["name"]), (&"all".into(), &"unusual".into()));
    let history = project.run(&["history", "fleet", "--json"]).json();
    assert_eq!(history["history"].as_array().map(Vec::len), Some(1));
    assert!(project.path("warehouse/tables/fleet").is_dir() && project.path("warehouse/tables/unusual").is_dir());
}

const CELLS: &str = "[assets.cells]\nsql = \"\"\"select cell_id, count(*) as n, max(runtime_s) as longest \
                     from stats group by cell_id\"\"\"\npartition = \"all\"\npacked = true\n";

#[test]
fn a_query_can_be_over_all_runs() {
    let project = three_runs();
    let stacked = "[assets.stacked]\nsql = \"select run_uuid, v1 from features limit 1\"\npartition = \"all\"\n";
    let per_run =
        "[assets.beside]\nsql = \"select s.runtime_s / c.longest as share from stats s cross join cells c\"\n";
    project.settings(&format!("{per_run}{CELLS}"));
    let first = project.build(&[]);
    assert_eq!(first.code, 0, "{first:?}");
    let rows = project.sql("select cell_id, n, longest from cells");
    assert_eq!((rows.len(), &rows[0]["cell_id"], &rows[0]["n"]), (1, &"7".into(), &3.into()));
    let shares = project.sql("select run_uuid, share from beside order by share desc");
    assert_eq!((shares.len(), &shares[0]["run_uuid"], &shares[0]["share"]), (3, &"c".into(), &1.0.into()));
    // A shorter run changes the count of runs, which `beside` does not read; a longer one what it does.
    project.source("d.csv", &format!("{HEADER}{}", run_rows("d", 0.5)));
    let made = log(&[("made", PER_RUN, "d"), ("made", "beside", "d"), ("made", "fleet cells", "-")]);
    assert_eq!(project.build(&[]).log(), made);
    project.source("d.csv", &format!("{HEADER}{}", run_rows("d", 0.9)));
    let late = project.build(&[]);
    let expected = log(&[("made", PER_RUN, "d"), ("made", "beside", "a b c d"), ("made", "fleet cells", "-")]);
    assert_eq!(late.log(), expected);
    // What it does not read of other runs does not touch it.
    project.settings(&format!("{per_run}{CELLS}[derivative]\nmethod = \"central\"\n"));
    assert_eq!(project.build(&["cells"]).log(), log(&[("made", "stats", "a b c d")]));
    // A table that is cut by run reads one run; one over all is not cut, so nothing reads "its run" of it.
    project.settings(stacked);
    assert_eq!(project.build(&["stacked"]).code, 0);
    assert_eq!(project.sql("select run_uuid from stacked")[0]["run_uuid"], "a", "runs follow each other in order");
    project.settings("[assets.cells]\nsql = \"select 1 as n from stats\"\npartition = \"every\"\n");
    let wrong = project.run(&["plan"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("`run` or `all`"), "{wrong:?}");
}
