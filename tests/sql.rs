//! Questions in SQL: times as people write them, and mistakes with their places.

use crate::harness::{HEADER, Project, row, run_rows};

fn project() -> Project {
    let project = Project::new();
    let bad = row(0, "1", "x", "1", "").replace("2022-11-23T20:40:00Z", "no time");
    project.source("a.csv", &format!("{HEADER}{}{bad}", run_rows("7582", 0.5)));
    project.build(&[]);
    project
}

#[test]
fn times_are_compared_in_every_usual_form() {
    let project = project();
    let count = |filter: &str| {
        let output = project.run(&["sql", &format!("select count(*) as n from wide where {filter}"), "--json"]);
        assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{filter}: {output:?}");
        output.json()[0]["n"].as_i64().unwrap()
    };
    let all = count("true");
    let later = count("cast(time as timestamp) > timestamp '2022-11-23 20:40:00.2'");
    assert!(0 < later && later < all);
    for filter in [
        "time > '2022-11-23T20:40:00.2Z'",
        "'2022-11-23T20:40:00.2Z' < time",
        "time > '2022-11-23T21:40:00.2+01:00'",
        "time > '2022-11-23 20:40:00.200'",
        "time > timestamp '2022-11-23 20:40:00.2'",
        "time > timestamp '2022-11-23T20:40:00.2Z'",
        "time > '2022-11-23 20:40:00.2'::timestamp",
        "time > cast('2022-11-23T20:40:00.2Z' as timestamp)",
        "wide.time > '2022-11-23T20:40:00.2Z' and time > '2022-11-23'",
        "not (time <= '2022-11-23T20:40:00.2Z')",
        "time between '2022-11-23T20:40:00.200001Z' and '2022-11-24'",
        "time > timestamp '2022-11-23 20:40:00' + interval '200 milliseconds'",
    ] {
        assert_eq!(count(filter), later, "{filter}");
    }
    assert_eq!(count("time in ((select min(time) from wide))"), 1);
    let first = project.sql("select time from wide order by time limit 1")[0]["time"].as_str().unwrap().to_owned();
    assert_eq!(count(&format!("time = '{first}'")), 1);
    assert_eq!(count(&format!("time in ('{first}', '2020-01-01')")), 1);
    assert_eq!(count(&format!("time not in ('{first}', '2020-01-01')")), all - 1);
    let renamed = "with a as (select time as t from wide) select count(*) n from a where t > '2022-11-23T20:40:00.2Z'";
    assert_eq!(project.sql(renamed)[0]["n"], later);
    let grouped = "select run_uuid from wide w group by run_uuid having max(w.time) > '2022-11-23'";
    assert_eq!(project.sql(grouped).len(), 1);
    // What was delivered is text, and compared as such.
    assert_eq!(project.sql("select count(*) n from intake_rejects where time = 'no time'")[0]["n"], 1);
}

#[test]
fn mistakes_are_told_with_their_place() {
    let project = project();
    for (query, message, mark) in [
        (
            "select x_1\nfrom wide where time > 'noon'",
            "`noon` is no time",
            "  from wide where time > 'noon'\n                         ^",
        ),
        ("select 1 from wide order time", "found: order", "  select 1 from wide order time\n                     ^"),
        ("select time + interval '1 moon' from wide", "unit: 'moon' not supported", "^"),
        ("select nope from stats", "there is no column `nope`", "  select nope from stats\n         ^"),
        ("select * from read_csv('x')", "`read_csv`", "  select * from read_csv('x')\n                ^"),
        (
            "select w.x_1, round(w.x_1, 1, 2) from wide w",
            "ROUND expects",
            "  select w.x_1, round(w.x_1, 1, 2) from wide w\n                ^",
        ),
        (
            "select x_1 from wide where (x_1 + 2) + time > 3",
            "can't be answered",
            "  select x_1 from wide where (x_1 + 2) + time > 3\n                                       ^",
        ),
        (
            "select round(a, 1, 2) from (select x_1 as a from wide) as q",
            "ROUND expects",
            "  select round(a, 1, 2) from (select x_1 as a from wide) as q\n         ^",
        ),
    ] {
        let told = project.run(&["sql", query]);
        assert_eq!(told.code, 2, "{told:?}");
        assert!(told.stderr.contains(message) && told.stderr.contains(mark), "{query}\n{}", told.stderr);
        assert_eq!(project.run(&["sql", query, "--json"]).json()["code"], "sql_error");
    }
    // `x_1` is a column of other tables than the one asked.
    let told = project.run(&["sql", "select x_0 from stats"]);
    assert!(!told.stderr.contains("did you mean"), "{told:?}");
    let told = project.run(&["sql", "select x_0 from wide"]);
    assert!(told.stderr.contains("did you mean `x_"), "{told:?}");
}

#[test]
fn a_file_is_written_in_the_format_of_its_name() {
    let project = project();
    let query = "select run_uuid, sessions from stats";
    let write = |args: &[&str]| project.run(&[&["sql", query], args].concat());
    assert_eq!(write(&["--output", "a.csv"]).code, 0);
    assert_eq!(std::fs::read_to_string(project.path("a.csv")).unwrap(), "run_uuid,sessions\n7582,1\n");
    assert_eq!(write(&["--output", "a.JSON"]).code, 0);
    assert!(std::fs::read_to_string(project.path("a.JSON")).unwrap().starts_with('['));
    assert_eq!(write(&["--output", "a.parquet"]).code, 0);
    assert!(std::fs::read(project.path("a.parquet")).unwrap().starts_with(b"PAR1"));
    assert_eq!(write(&["--output", "a.dat", "--format", "csv"]).code, 0);
    for (args, code) in [
        (&["--output", "b.dat"][..], "unknown_format"),
        (&["--output", "b"], "unknown_format"),
        (&["--json", "--format", "csv"], "wrong_usage"),
        (&["--json", "--output", "b.csv"], "wrong_usage"),
    ] {
        let told = write(args);
        assert_eq!(told.code, 2, "{args:?} {told:?}");
        assert!(format!("{}{}", told.stdout, told.stderr).contains(code), "{args:?} {told:?}");
    }
    assert!(!project.path("b.dat").exists() && !project.path("b.csv").exists());
}

#[test]
fn tables_are_read_by_whatever_name_means_them_and_no_other() {
    let project = project();
    let rows = |query: &str| project.run(&["sql", query, "--json"]);
    let all = rows("select count(*) as n from wide").json()[0]["n"].clone();
    assert!(all.as_i64() > Some(0));
    for query in [
        "select count(*) as n from \"wide\"",
        "select count(*) as n from `wide` as wide",
        "with w as (select * from wide) select count(*) as n from w",
        "select count(*) as n from (select * from wide) as w",
        "select count(*) as n from wide where exists (select 1 from stats)",
    ] {
        let output = rows(query);
        if output.code == 0 {
            assert_eq!(output.json()[0]["n"], all, "{query}");
        } else {
            // Never an empty table in the place of one that was not read.
            assert_eq!(output.code, 2, "{query}: {output:?}");
        }
    }
    for query in ["select * from wide.x", "select * from \"wide\".\"x\"", "select * from store.wide"] {
        let refused = rows(query);
        assert_eq!(refused.code, 2, "{query}: {refused:?}");
        assert!(refused.stdout.contains("tables have no schema"), "{refused:?}");
    }
    let upper = rows("select count(*) as n from WIDE");
    assert!(upper.code == 2 || upper.json()[0]["n"] == all, "{upper:?}");
}
