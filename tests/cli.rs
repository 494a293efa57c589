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
    let cases: [(&[&str], &str, &str); 11] = [
        (&["materialize", "featurs"], "unknown_asset", "did you mean `features`?"),
        (&["plan", "--run", "7583"], "unknown_run", "did you mean `7582`?"),
        (&["plan", "--run", "7"], "ambiguous_run", "7582, 7683"),
        (&["plan", "--run", ""], "empty_run", "--run"),
        (&["sql", "select nope from wide"], "sql_error", "nope"),
        (&["sql", "drop table wide"], "sql_refused", "drop"),
        (&["sql", "select * from wdie"], "sql_error", "did you mean `wide`?"),
        (&["sql", "select * from read_parquet('/etc/passwd')"], "sql_error", ""),
        (&["show", "wide", "--run", "7582", "--columns", "x_9"], "unknown_column", "did you mean"),
        (&["diff", "wide", "--run", "7582", "--from", "0"], "unknown_version", "versions begin at 1"),
        (&["diff", "wide", "--run", "7582", "--to", "#0"], "unknown_version", "versions begin at 1"),
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
    assert_eq!(build.finished()["made"], 6, "the good file's run, and the fleet");
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
fn a_pipe_among_the_sources_is_no_file() {
    let project = project();
    let made = std::process::Command::new("mkfifo").arg(project.path("data/pipe.csv")).status().unwrap();
    assert!(made.success());
    let errors = project.run(&["errors", "--json"]).json();
    let error = &errors["errors"][0];
    assert_eq!((&error["code"], &error["path"]), (&"source_unreadable".into(), &"data/pipe.csv".into()), "{errors}");
    assert_eq!(project.build(&[]).code, 1);
}

#[test]
fn sources_are_told_by_the_names_they_have_now() {
    let project = project();
    let files = project.run(&["files", "--json"]).json();
    assert!(files["sources"][0]["bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{files}");
    std::fs::rename(project.path("data/a.csv"), project.path("data/b.csv")).unwrap();
    assert_eq!(project.build(&[]).finished()["made"], 0);
    let told = project.run(&["runs"]);
    assert!(told.stdout.contains("data/b.csv") && !told.stdout.contains("data/a.csv"), "{told:?}");
    std::fs::write(project.path("assets.toml"), "sources = [\"data/b.csv\", \"data/typo.csv\"]\n").unwrap();
    let warnings = project.build(&[]).lines();
    let warning = warnings.iter().find(|line| line["event"] == "warning").unwrap();
    assert_eq!((&warning["code"], &warning["path"]), (&"source_missing".into(), &"data/typo.csv".into()));
}

#[test]
fn ids_that_are_not_text_are_no_runs() {
    let project = Project::new();
    let mut bytes = format!("{HEADER}{}", run_rows("good", 0.2)).into_bytes();
    for byte in [0xFF, 0xFE] {
        let bad = run_rows("lat@n", 0.05).into_bytes();
        bytes.extend(bad.into_iter().map(|b| if b == b'@' { byte } else { b }));
    }
    std::fs::write(project.path("data/a.csv"), bytes).unwrap();
    project.build(&[]);
    assert_eq!(project.sql("select distinct run_uuid from raw").len(), 1);
    let rejects = project.sql("select distinct run_uuid, code from intake_rejects");
    assert_eq!(rejects.len(), 1, "{rejects:?}");
    assert_eq!((&rejects[0]["run_uuid"], &rejects[0]["code"]), (&"lat\u{fffd}n".into(), &"bad_run_id".into()));
}

#[test]
fn runs_where_all_is_fresh_are_counted() {
    let project = Project::new();
    let rows: String = (0..41).map(|run| run_rows(&format!("r{run}"), 0.05)).collect();
    project.source("a.csv", &format!("{HEADER}{rows}"));
    project.build(&[]);
    assert_eq!(project.run(&["status"]).stdout, "41 runs where everything is fresh\n");
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
    let lines = text.lines().filter(|line| !line.contains("last made")).map(|line| {
        let ends = ["; about ", "; up to about ", " (about "];
        let line = ends.iter().find_map(|end| line.split_once(end)).map_or(line, |(before, _)| before);
        // The estimate of a step, as wide in every line.
        let cut =
            ["  stale     ", "  maybe     "].iter().find_map(|state| Some((line.find(state)? + state.len(), line)));
        match cut.map(|(at, line)| line.split_at(at)) {
            Some((before, after)) if after.get(..20).is_some_and(|cell| cell.ends_with('B')) => {
                format!("{before}~{}", &after[20..])
            }
            _ => line.trim_end().to_owned(),
        }
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
        wide               2 runs  stale     ~
                                   the parameter wide.method changed: linear → previous
        features           2 runs  stale     ~
                                   the parameter wide.method changed: linear → previous; wide is to be made and may come out equal
        stats              2 runs  fresh
        fleet                      fresh
        12 steps: 8 fresh, 4 stale

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
        run       raw    intake_rejects  clean  wide   features  stats  fleet
        (no run)         fresh                                          fresh
        7582      fresh                  fresh  stale  stale     fresh
        7683      fresh                  fresh  stale  stale     fresh"#]]
    .assert_eq(&stable(&project.run(&["status"]).stdout));
    expect![[r#"
        features of 7582 is stale
        │  the parameter wide.method changed: linear → previous (parameter_changed)
        │  wide is to be made and may come out equal (input_to_be_made)
        ├─ clean of 7582 is fresh
        │  └─ raw of 7582 is fresh
        │     └─ data/a.csv  552 rows
        └─ wide of 7582 is stale
              the parameter wide.method changed: linear → previous (parameter_changed)"#]]
    .assert_eq(&stable(&project.run(&["why", "features", "--run", "7582"]).stdout));
    expect![[r#"
        stats of 7582  fresh  1 row, 0d9c8de7baa6
        ├─ raw of 7582  fresh  552 rows, b3a9dcbd8136
        │  └─ data/a.csv  552 rows
        └─ clean of 7582  fresh  552 rows, d856c8af8ba9
           └─ raw (see above)
        what depends on stats
        └─ fleet  fresh  32 rows, cd227c8035b1"#]]
    .assert_eq(&stable(&project.run(&["lineage", "stats", "--run", "7582"]).stdout));
}

#[test]
fn two_stars_follow_no_link_out_of_the_sources() {
    let project = Project::new();
    let text = "sources = [\"data/**/*.csv\"]\n";
    std::fs::write(project.path("assets.toml"), text).unwrap();
    let other = tempfile::tempdir().unwrap();
    let outside =
        |name: &str| std::fs::write(other.path().join(name), HEADER.to_owned() + &run_rows(name, 0.1)).unwrap();
    outside("away.csv");
    outside("linked.csv");
    std::fs::create_dir_all(project.path("data/in/deep")).unwrap();
    project.source("top.csv", &format!("{HEADER}{}", run_rows("top", 0.1)));
    project.source("in/deep/inner.csv", &format!("{HEADER}{}", run_rows("inner", 0.1)));
    let link = |from: &std::path::Path, to: &str| std::os::unix::fs::symlink(from, project.path(to)).unwrap();
    link(other.path(), "data/in/out");
    link(&project.path("data"), "data/in/round");
    link(&other.path().join("linked.csv"), "data/in/linked.csv");
    let runs = || {
        let status = project.run(&["status", "raw", "--json"]).json();
        let runs = status["runs"].as_array().unwrap().iter().map(|row| row["run"].as_str().unwrap().to_owned());
        runs.collect::<Vec<_>>()
    };
    assert_eq!(runs(), ["inner", "linked.csv", "top"]);
    // A link that the pattern itself names is followed.
    std::fs::write(project.path("assets.toml"), "sources = ['data/in/out/**/a*.csv']\n").unwrap();
    assert_eq!(runs(), ["away.csv"]);
}
