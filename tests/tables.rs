//! Tables that `assets.toml` defines by queries.

use crate::harness::{HEADER, Project, log, run_rows};
use serde_json::Value;

const TABLES: &str = "
[assets.quick]
sql = 'select time, v1, f1 from features where v1 > 10'
description = 'where tool 1 moves'

[assets.tally]
sql = 'select count(*) as n, max(v1) as v_max, avg(f1) as f_mean from quick'
packed = true
columns.v_max = { unit = 'mm/s' }

[assets.by_field]
sql_file = 'by_field.sql'
packed = true
";

fn project() -> Project {
    let project = Project::new();
    project.source("a.csv", &(HEADER.to_owned() + &run_rows("a", 1.0)));
    project.source("b.csv", &(HEADER.to_owned() + &run_rows("b", 1.5)));
    let query = "select field, count(*) as n, min(value) as low from clean where time > '2022-11-23T20:40:00.5Z' group by field";
    std::fs::write(project.path("by_field.sql"), query).unwrap();
    project.settings(TABLES);
    project
}

#[test]
fn tables_by_queries_are_assets_like_any_other() {
    let project = project();
    let build = project.build(&[]);
    assert_eq!(build.code, 0, "{build:?}");
    // The same asked of the tables that they are made from. Sums may differ in their last digit: their order does.
    let direct = "select run_uuid, count(*) as n, max(v1) as v_max, avg(f1) as f_mean from features where v1 > 10 \
                  group by run_uuid order by run_uuid";
    for (found, expected) in project.sql("select * from tally order by run_uuid").iter().zip(project.sql(direct)) {
        assert_eq!((&found["n"], &found["v_max"]), (&expected["n"], &expected["v_max"]));
        let means = [found, &expected].map(|row| row["f_mean"].as_f64().unwrap());
        assert!((means[0] - means[1]).abs() < 1e-9, "{means:?}");
    }
    let direct = "select run_uuid, field, count(*) as n, min(value) as low from clean where time > \
                  '2022-11-23T20:40:00.5Z' group by run_uuid, field order by run_uuid, field";
    assert_eq!(project.sql("select * from by_field"), project.sql(direct), "unordered groups come in their order");
    let graph = project.run(&["graph", "--json"]).json();
    let quick = graph["assets"].as_array().unwrap().iter().find(|asset| asset["asset"] == "quick").unwrap();
    assert!(quick.to_string().contains("where tool 1 moves"), "{quick}");
    let lineage = project.run(&["lineage", "tally.v_max", "--run", "a"]).stdout;
    for part in ["quick.v1", "features.v1", "1/encoder/x", "data/a.csv"] {
        assert!(lineage.contains(part), "{part}: {lineage}");
    }
    assert!(project.run(&["why", "tally", "--run", "a"]).stdout.contains("quick of a is fresh"));
    assert!(project.run(&["show", "tally", "--run", "a"]).stdout.contains("v_max [mm/s]"));
    let hashes = project.hashes();
    assert_eq!(project.build(&["--force"]).code, 0);
    assert_eq!(project.hashes(), hashes);
}

#[test]
fn of_a_query_only_what_it_computes_and_reads_counts() {
    let project = project();
    assert_eq!(project.build(&[]).code, 0);
    let made = |settings: &str| {
        project.settings(settings);
        let build = project.build(&[]);
        assert_eq!(build.code, 0, "{build:?}");
        build.log()
    };
    let respelled = TABLES.replace(
        "select time, v1, f1 from features where v1 > 10",
        "SELECT f.time, (f.v1) AS v1, f1 FROM features f WHERE /* quick */ (v1 > 10)",
    );
    assert_ne!(respelled, TABLES);
    assert_eq!(made(&respelled), log(&[]), "spelling");
    assert_eq!(made(&TABLES.replace("mm/s", "m/s").replace("moves", "goes")), log(&[]), "labels");
    let more = format!("{TABLES}[features.p]\nexpr = 'fx_1 * 2'\n");
    assert_eq!(made(&more), log(&[("made", "features", "a b")]), "a column that nobody reads");
    let other = more.replace("v1 > 10", "v1 > 11");
    let mut log_of = made(&other);
    // Whether the tally comes out otherwise is for the data to say; it is asked again at any rate.
    log_of.values_mut().for_each(|steps| steps.retain(|step| !step.starts_with("tally")));
    log_of.retain(|_, steps| !steps.is_empty());
    assert_eq!(log_of, log(&[("made", "quick", "a b")]));
}

#[test]
fn what_a_query_cannot_know_says_why() {
    let project = project();
    let rows: String =
        run_rows("a", 1.0).lines().filter(|l| !l.contains("load_cell")).map(|l| format!("{l}\n")).collect();
    project.source("a.csv", &(HEADER.to_owned() + &rows));
    assert_eq!(project.build(&[]).code, 0);
    let errors = project.run(&["errors", "--run", "a", "--json"]).json().to_string();
    assert!(errors.contains(r#"{"output":"tally","column":"f_mean"}"#), "{errors}");
}

#[test]
fn wrong_queries_are_refused_before_anything_is_made() {
    let project = project();
    let cases: [(&str, &str, &str, &str); 16] = [
        ("t", "select fx_1 from featurs", "sql_error", "did you mean `features`?"),
        ("t", "select fx_9 from features", "sql_error", "did you mean `fx_1`?"),
        ("t", "select fx_1 whre fx_1 > 1 from wide", "sql_error", "t: "),
        ("t", "drop table features", "sql_refused", "`drop`"),
        ("t", "select * from read_parquet('x')", "sql_error", "read_parquet"),
        ("t", "select 1 as one", "bad_definition", "reads no table"),
        ("t", "select run_uuid from features", "bad_definition", "besides the keys"),
        ("t", "select n from t", "asset_cycle", "t → t"),
        ("t", "with wide as (select 1 as x_1) select x_1 from wide", "sql_error", "`wide` is a table already"),
        ("t", "select x_1 from wide natural join features", "sql_error", "using"),
        ("t", "select time, row_number() over () as n from wide", "sql_error", "order by"),
        ("t", "select time, lag(x_1) over (partition by y_1) as n from wide", "sql_error", "goes by the order of rows"),
        ("features", "select fx_1 from wide", "name_taken", "already"),
        ("gaps", "select fx_1 from wide", "name_taken", "already"),
        ("t", "select fx_1 > 1, array_agg(fx_1) as l from features group by fx_1 > 1", "wrong_type", "cast it"),
        ("t", "select fx_1 + 'a' as x from features", "sql_error", ""),
    ];
    for (name, query, code, says) in cases {
        project.settings(&format!("[assets.{name}]\nsql = \"{query}\"\n"));
        let refused = project.run(&["materialize", "--json"]);
        assert_eq!(refused.code, 2, "{query}: {refused:?}");
        let error: Value = refused.json();
        assert_eq!(error["code"], code, "{query}: {error}");
        assert!(error["message"].as_str().unwrap().contains(says), "{query}: {error}");
    }
    project.settings("[assets.t]\nsql = 'select 1 from wide'\nsql_file = 'x.sql'\n");
    assert!(project.run(&["plan"]).stderr.contains("one of `sql`"));
    project.settings("[assets.t]\nsql_file = 'nowhere.sql'\n");
    assert!(project.run(&["plan"]).stderr.contains("nowhere.sql can't be read"));
    let counted = "select field, n from (select field, count(*) as n from clean group by field) limit 1";
    project.settings(&format!("[assets.t]\nsql = '{counted}'\n"));
    assert!(project.run(&["plan"]).stderr.contains("add `order by`"));
    project.settings(&format!("[assets.t]\nsql = '{}'\n", counted.replace(" limit", " order by field limit")));
    assert_eq!(project.build(&[]).code, 0);
}

#[test]
fn how_a_table_is_laid_out_can_change() {
    let project = project();
    let table = |packed: bool, rows: usize| {
        project.settings(&format!("[assets.t]\nsql = 'select time, x_1 from wide limit {rows}'\npacked = {packed}\n"));
        assert_eq!(project.build(&[]).code, 0);
        let mut files: Vec<String> = std::fs::read_dir(project.path("warehouse/tables/t"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        files
    };
    assert_eq!(table(false, 5), ["a.parquet", "b.parquet"]);
    assert_eq!(table(true, 5), ["part-00000.parquet"]);
    assert_eq!(table(true, 9), ["part-00000.parquet"]);
    assert_eq!(table(false, 9), ["a.parquet", "b.parquet"]);
    // A table that no record speaks of is none of the other layout: it stays.
    std::fs::copy(project.path("warehouse/tables/t/a.parquet"), project.path("warehouse/tables/t/lost.parquet"))
        .unwrap();
    assert_eq!(table(false, 7), ["a.parquet", "b.parquet", "lost.parquet"]);
}

#[test]
fn columns_by_a_pattern_are_those_that_it_matches_or_are_refused() {
    let project = project();
    let columns = |query: &str| {
        project.settings(&format!("[assets.t]\nsql = \"{query}\"\n"));
        assert_eq!(project.build(&[]).code, 0, "{query}");
        let row = project.sql("select * from t limit 1").remove(0);
        let names: Vec<String> = row.as_object().unwrap().keys().cloned().collect();
        names.join(" ")
    };
    let forces = "run_uuid fx_1 fx_2 fy_1 fy_2 fz_1 fz_2";
    assert_eq!(columns("select columns('^f') from wide"), forces);
    assert_eq!(columns("select columns('f.*') from wide"), forces);
    assert_eq!(columns("select * exclude (time, x_1, x_2, y_1, y_2, z_1, z_2) from wide"), forces);
    assert_eq!(columns("select * except (time), 1 as one from (select time, x_1 from wide) as q"), "run_uuid x_1 one");
    assert_eq!(columns("select * rename (x_1 as a) from (select time, x_1 from wide) as q"), "run_uuid time a");
    let off =
        "select max(abs(t.x_1 - 2 * w.x_1)) as off from t join wide w on t.time = w.time and t.run_uuid = w.run_uuid";
    columns("select * replace (x_1 * 2 as x_1) from wide");
    assert_eq!(project.sql(off)[0]["off"].as_f64(), Some(0.0));
    for (query, says, mark) in [
        ("select avg(columns('f.*')) from wide", "by itself", 11),
        ("select columns('f.*') + 1 from wide", "by itself", 7),
        ("select time from wide where columns('f.*') > 3", "by itself", 28),
        ("select columns('f.*') as f from wide", "by itself", 7),
        ("select columns('(') from wide", "no regular expression", 7),
        ("select columns('^q') from wide", "matches no column", 7),
        ("select columns(1) from wide", "as text", 7),
        ("select * exclude (fx_3) from wide", "did you mean `fx_1`", 18),
        ("select w.* except (fx_3) from wide w", "did you mean `fx_1`", 19),
        ("select * replace (1 as fx_3) from wide", "did you mean `fx_1`", 23),
        ("select * rename (fx_3 as a) from wide", "did you mean `fx_1`", 17),
    ] {
        project.settings(&format!("[assets.t]\nsql = \"{query}\"\n"));
        for refused in [project.run(&["plan"]), project.run(&["sql", query])] {
            let place = format!("  {query}\n  {}^", " ".repeat(mark));
            assert!(refused.code == 2 && refused.stderr.contains("sql_error"), "{query}: {refused:?}");
            assert!(refused.stderr.contains(says) && refused.stderr.contains(&place), "{query}:\n{}", refused.stderr);
        }
    }
}

#[test]
fn a_table_that_is_not_declared_any_more_is_told_of_and_stays() {
    let project = project();
    assert_eq!(project.build(&[]).code, 0);
    let table = project.path("warehouse/tables/quick/a.parquet");
    std::fs::create_dir(project.path("warehouse/tables/notes")).unwrap();
    std::fs::write(project.path("warehouse/tables/notes/mine.txt"), "a person's own").unwrap();
    let told = |build: &crate::harness::Output| -> Vec<Value> {
        let lines = build.lines();
        lines.into_iter().filter(|line| line["event"] == "warning" && line["code"] == "undeclared_table").collect()
    };
    let other = TABLES.replace("[assets.quick]", "[assets.fast]").replace("from quick", "from fast");
    project.settings(&other);
    let build = project.build(&[]);
    let warnings = told(&build);
    assert_eq!((build.code, warnings.len()), (0, 1), "{build:?}");
    assert_eq!(warnings[0]["output"], "quick");
    let message = warnings[0]["message"].as_str().unwrap();
    assert!(
        message.contains("warehouse/tables/quick holds tables") && message.contains("delete the folder"),
        "{message}"
    );
    assert!(table.exists());
    let idle = project.build(&[]);
    assert_eq!((idle.finished()["made"].as_u64(), told(&idle).len()), (Some(0), 0), "nothing was written: {idle:?}");
    // A person who follows the advice hears no more of it; nor does one who declares it again.
    std::fs::remove_dir_all(project.path("warehouse/tables/quick")).unwrap();
    project.settings(&other.replace("> 10", "> 11"));
    let build = project.build(&[]);
    assert!(build.code == 0 && told(&build).is_empty(), "{build:?}");
    project.settings(TABLES);
    let build = project.build(&[]);
    assert_eq!((build.code, table.exists(), told(&build)[0]["output"].as_str()), (0, true, Some("fast")), "{build:?}");
}

#[test]
fn a_limit_through_rows_that_tie_takes_the_first_of_the_table_or_of_all_columns() {
    let project = project();
    let table = |query: &str| format!("sql = \"{query}\"\n");
    let near = "select time, round(x_1, 0) as near from wide order by near desc limit 9";
    let groups = "select field, count(*) as n from clean group by field order by n limit 2";
    let beside = "select w.time, round(f.v1, 0) as v from wide w join features f on w.time = f.time order by v limit 5";
    let best = "select time, v1 from features order by v1 desc, time limit 10";
    let settings = format!(
        "[assets.best]\n{}[assets.near]\n{}[assets.groups]\npacked = true\n{}[assets.beside]\n{}",
        table(best),
        table(near),
        table(groups),
        table(beside)
    );
    project.settings(&settings);
    assert_eq!(project.build(&[]).code, 0);
    let of = |query: &str| project.sql(&query.replace("from wide", "from wide where run_uuid = 'a'"));
    let truth = "select time, round(x_1, 0) as near from wide order by near desc, time limit 9";
    let told = |name: &str, columns: &str| project.sql(&format!("select {columns} from {name} where run_uuid = 'a'"));
    assert_eq!(told("near", "time, near"), of(truth));
    let fields: Vec<String> =
        told("groups", "field").iter().map(|row| row["field"].as_str().unwrap().to_owned()).collect();
    assert_eq!(fields, ["x", "y"], "of three fields with as many rows");
    let lowest = "select time, round(v1, 0) as v from features where run_uuid = 'a' order by v, time limit 5";
    assert_eq!(told("beside", "v"), project.sql(&format!("select v from ({lowest}) as q")));
    let highest = "select time, v1 from features where run_uuid = 'a' order by v1 desc, time limit 10";
    assert_eq!(told("best", "time, v1"), project.sql(highest));

    let hashes = project.hashes();
    assert_eq!(project.build(&["--force"]).code, 0);
    assert_eq!(project.hashes(), hashes);
    // What comes in an order of its own is told apart by that, and reads no column for it; a join reads them all.
    project.settings(&format!("{settings}[features.p]\nexpr = 'fx_1 * 2'\n"));
    let build = project.build(&[]);
    assert_eq!(build.log(), log(&[("made", "features beside", "a b")]), "{build:?}");
}

#[test]
fn rows_from_before_a_column_changed_stay_until_they_are_made_again() {
    let project = Project::new();
    let settings = |kind: &str, extra: &str| {
        let text = format!(
            "pipeline = 'none'\n[assets.readings]\nfiles = ['data/*.csv']\npartition_by = ['day']\ncolumns.t = {{ type = '{kind}' }}\n\
             [assets.daily]\nsql = 'select count(*) as n, max(t) as high{extra} from readings'\npacked = true\n\
             [assets.total]\nsql = 'select sum(n) as n from daily'\npartition = 'all'\n\
             [assets.top]\nsql = 'select max(high) as high from daily'\npartition = 'all'\n"
        );
        std::fs::write(project.path("assets.toml"), text).unwrap();
    };
    project.source("a.csv", "day,t\n1,2\n2,3\n");
    settings("float", "");
    assert_eq!(project.build(&[]).code, 0);
    settings("integer", ", min(t) as low");
    let query = "select day, n, high, low from daily order by day";
    let asked = project.run(&["sql", query, "--format", "json"]);
    assert_eq!(asked.json().as_array().map(Vec::len), Some(2), "{asked:?}");
    assert!(asked.stderr.contains("2 tables of daily"), "{asked:?}");
    assert_eq!(project.build(&["daily", "--run", "1"]).code, 0);
    let rows = project.sql(query);
    assert_eq!((rows[0]["high"].as_i64(), rows[0]["low"].as_i64()), (Some(2), Some(2)));
    assert_eq!((rows[1]["n"].as_i64(), &rows[1]["high"], &rows[1]["low"]), (Some(1), &Value::Null, &Value::Null));
    let damaged = project.run(&["verify", "--json"]).json();
    let told = damaged["findings"].as_array().unwrap();
    assert!(!told.iter().any(|finding| finding["code"] == "schema_differs"), "{told:?}");
    // Over tables of two shapes: what reads a column that they share can be made, what reads one of two types can't.
    let only = project.build(&["total", "--only", "--force"]);
    assert_eq!((only.code, only.log()), (0, log(&[("made", "total", "-")])), "{only:?}");
    let only = project.build(&["top", "--only"]);
    let reason = only.lines().into_iter().find(|line| line["asset"] == "top").unwrap()["reason"].clone();
    assert_eq!((only.code, only.log()), (1, log(&[("failed", "top", "-")])), "{only:?}");
    assert_eq!((&reason["code"], &reason["output"]), (&"input_outdated".into(), &"daily".into()));
    assert_eq!(project.build(&[]).code, 0);
    assert_eq!(project.sql(query)[1]["high"], 3);
}
