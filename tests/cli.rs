//! What a person sees: typical mistakes, their messages and exit codes, and what scripts rely on.

use crate::harness::{HEADER, Project, run_rows};
use expect_test::expect;

fn project() -> Project {
    let project = Project::new();
    project.source("a.csv", &format!("{HEADER}{}{}", run_rows("7582", 0.5), run_rows("7683", 0.5)));
    project.build(&[]);
    project
}

#[test]
fn typical_mistakes_are_told_with_what_was_meant() {
    let project = project();
    let cases: [(&[&str], &str, &str); 9] = [
        (&["materialize", "featurs"], "unknown_asset", "did you mean `features`?"),
        (&["plan", "--run", "7583"], "unknown_run", "did you mean `7582`?"),
        (&["plan", "--run", "7"], "ambiguous_run", "7582, 7683"),
        (&["plan", "--run", ""], "empty_run", "--run"),
        (&["sql", "select nope from wide"], "sql_error", "nope"),
        (&["sql", "drop table wide"], "sql_refused", "drop"),
        (&["sql", "select * from wdie"], "sql_error", "did you mean `wide`?"),
        (&["sql", "select * from read_parquet('/etc/passwd')"], "sql_error", ""),
        (&["show", "wide", "--run", "7582", "--columns", "x_9"], "unknown_column", "did you mean"),
    ];
    for (args, code, text) in cases {
        let told = project.run(args);
        assert_eq!(told.code, 2, "{args:?} {told:?}");
        assert!(told.stderr.contains(code) && told.stderr.contains(text), "{args:?} {told:?}");
        assert_eq!(told.stdout, "", "{args:?}");
        let json = project.run(&[args, &["--json"]].concat());
        let error = json.json();
        assert_eq!((json.code, error["code"].as_str()), (2, Some(code)), "{args:?}");
        assert!(error["message"].is_string());
    }
}

#[test]
fn wrong_settings_stop_before_anything_is_made() {
    let project = project();
    project.settings("[wide]\nmetod = \"linear\"\n");
    let told = project.run(&["materialize"]);
    assert_eq!(told.code, 2);
    assert!(told.stderr.contains("did you mean `method`?") && told.stderr.contains("assets.toml:3"), "{told:?}");
}

#[test]
fn bad_files_are_reasons_and_not_the_end_of_the_build() {
    let project = project();
    project.source("empty.csv", "");
    project.source("header.csv", HEADER);
    project.source("missing.csv", "time,value\n1,2\n");
    project.source("torn.parquet", "PAR1rubbish");
    project.source("good.csv", &format!("{HEADER}{}", run_rows("new", 0.2)));
    let build = project.build(&[]);
    assert_eq!(build.code, 1);
    assert_eq!(build.finished()["made"], 5, "the good file's run");
    let errors = project.run(&["errors", "--json"]).json();
    let mut codes: Vec<&str> = errors["errors"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|error| error["kind"] == "source")
        .map(|error| error["code"].as_str().unwrap())
        .collect();
    codes.sort_unstable();
    assert_eq!(codes, ["empty_file", "missing_column", "no_rows", "source_unreadable"]);
}

#[test]
fn a_store_that_is_none_says_so() {
    let project = project();
    std::fs::write(project.path("warehouse/format"), "assets store 99\n").unwrap();
    let told = project.run(&["status"]);
    assert_eq!(told.code, 3, "{told:?}");
    assert!(told.stderr.contains("store_format") && told.stderr.contains("99"), "{told:?}");
    std::fs::write(project.path("file"), "").unwrap();
    assert_eq!(project.run(&["materialize", "--store", "file"]).code, 3);
}

#[test]
fn answers_for_scripts_have_their_shapes() {
    let project = project();
    let status = project.run(&["status", "--json"]).json();
    assert_eq!(status["runs"].as_array().unwrap().len(), 3, "two runs, and what has none");
    let lineage = project.run(&["lineage", "stats", "--run", "7582", "--format", "json"]);
    assert!(lineage.stdout.contains("data/a.csv"), "{lineage:?}");
    for format in ["tree", "dot", "mermaid"] {
        let told = project.run(&["lineage", "features", "--run", "7582", "--format", format]);
        assert!(told.code == 0 && told.stdout.contains("features"), "{format} {told:?}");
    }
    for verb in
        [&["graph"][..], &["runs"], &["errors"], &["files"], &["check"], &["plan"], &["show", "stats", "--run", "75"]]
    {
        let told = project.run(verb);
        assert!(told.code == 0 && !told.stdout.is_empty(), "{verb:?} {told:?}");
        let json = project.run(&[verb, &["--json"]].concat());
        assert_eq!(json.code, 0, "{verb:?} {json:?}");
        json.json();
    }
    let csv = project.run(&["sql", "select run_uuid, sessions from stats order by run_uuid", "--format", "csv"]);
    assert_eq!(csv.stdout, "run_uuid,sessions\n7582,1\n7683,1\n");
    let empty = Project::new();
    assert_eq!(empty.run(&["sql", "select count(*) n from wide", "--format", "csv"]).stdout, "n\n0\n");
    let help = project.run(&["materialize", "--help"]);
    assert!(help.stdout.contains("assets materialize stats --run 7582"), "{help:?}");
}

/// Times and ids of builds differ from call to call.
fn stable(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.contains("last made")).map(|line| match line.find("; about ") {
        Some(at) => line[..at].to_owned(),
        None => line.trim_end().to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn what_a_person_reads() {
    let project = project();
    project.settings("[wide]\nmethod = \"previous\"\n");
    expect![[r#"
        raw                2 runs  fresh
        intake_rejects             fresh
        clean              2 runs  fresh
        wide               2 runs  stale     the parameter wide.method changed: linear → previous
        features           2 runs  stale     the parameter wide.method changed: linear → previous; wide is to be made and may come out equal
        stats              2 runs  fresh
        11 steps: 7 fresh, 4 stale

        by column:
        wide         2 runs  stale     time fx_1 fx_2 fy_1 fy_2 fz_1 fz_2 x_1 x_2 y_1 y_2 z_1 z_2
                                       the parameter wide.method changed: linear → previous
        gaps         2 runs  kept      robot_id sensor_type field kind start_time stop_time duration_s
        features     2 runs  maybe     time fx_1 fx_2 fy_1 fy_2 fz_1 fz_2 x_1 x_2 y_1 y_2 z_1 z_2 f1 f2
                                       wide is to be made and may come out equal
        features     2 runs  stale     vx_1 vy_1 vz_1 vx_2 vy_2 vz_2 v1 v2 ax_1 ay_1 az_1 ax_2 ay_2 az_2 a1 a2
                                       the parameter wide.method changed: linear → previous; wide is to be made and may come out equal
        58 columns to compute for certain"#]]
    .assert_eq(&stable(&project.run(&["plan"]).stdout));
    expect![[r#"
        run       raw    intake_rejects  clean  wide   features  stats
        (no run)         fresh
        7582      fresh                  fresh  stale  stale     fresh
        7683      fresh                  fresh  stale  stale     fresh"#]]
    .assert_eq(&stable(&project.run(&["status"]).stdout));
    expect![[r#"
        features of 7582 is stale
        │  the parameter wide.method changed: linear → previous (parameter_changed)
        │  wide is to be made and may come out equal (input_to_be_made)
        ├─ clean of 7582 is fresh
        │  └─ raw of 7582 is fresh
        └─ wide of 7582 is stale
              the parameter wide.method changed: linear → previous (parameter_changed)"#]]
    .assert_eq(&stable(&project.run(&["why", "features", "--run", "7582"]).stdout));
    expect![[r#"
        stats of 7582  fresh  1 row, 0d9c8de7baa6
        ├─ raw of 7582  fresh  552 rows, b3a9dcbd8136
        │  └─ data/a.csv  552 rows
        └─ clean of 7582  fresh  552 rows, d856c8af8ba9
           └─ raw (see above)
        nothing depends on stats"#]]
    .assert_eq(&stable(&project.run(&["lineage", "stats", "--run", "7582"]).stdout));
}
