//! Pipelines of other fields, by `assets.toml` alone: tables of files, cut by two columns or by none.

use crate::harness::{HEADER, Output, Project, log, run_rows};
use assets_frames::{columns, parquet};
use std::collections::BTreeMap;
use std::path::Path;

const READINGS: &str = "
[assets.readings]
files = ['data/*.csv', 'data/*.parquet']
partition_by = ['day', 'station']
columns.hour = { type = 'integer' }
columns.temperature = { type = 'float', unit = '°C', description = 'air' }
columns.taken = { type = 'time' }
";

const DAILY: &str = "
[assets.daily]
packed = true
sql = 'select avg(temperature) as mean, count(*) as n from readings'
";

const TOP: &str = "day,station,hour,temperature,taken\n";

fn field(text: &str) -> Project {
    let project = Project::new();
    settings(&project, text);
    project
}

fn settings(project: &Project, text: &str) {
    std::fs::write(project.path("assets.toml"), format!("pipeline = 'none'\n{text}")).unwrap();
}

/// A row of a station at an hour.
fn reading(day: &str, station: &str, hour: u32, temperature: &str) -> String {
    format!("{day},{station},{hour},{temperature},2026-11-01T{hour:02}:00:00Z\n")
}

fn two_days() -> Project {
    let project = field(&(READINGS.to_owned() + DAILY));
    let of = |day: &str| {
        let rows =
            [reading(day, "aachen", 0, "4.5"), reading(day, "aachen", 1, "5.5"), reading(day, "berlin", 0, "1.5")];
        TOP.to_owned() + &rows.concat()
    };
    project.source("1.csv", &of("1"));
    project.source("2.csv", &of("2"));
    project
}

/// (day, station) of all rows of a table, with a column.
fn of_stations(rows: &[serde_json::Value], column: &str) -> BTreeMap<String, Option<f64>> {
    let key =
        |row: &serde_json::Value| format!("{},{}", row["day"].as_str().unwrap(), row["station"].as_str().unwrap());
    rows.iter().map(|row| (key(row), row[column].as_f64())).collect()
}

#[test]
fn the_weather_of_the_examples() {
    let project = Project::new();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/weather");
    let mut rows: BTreeMap<String, Vec<Option<f64>>> = BTreeMap::new();
    let (mut read, mut left_out) = (0, 0);
    for entry in std::fs::read_dir(from.join("data")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, project.path("data").join(path.file_name().unwrap())).unwrap();
        for row in csv::Reader::from_path(&path).unwrap().into_records().map(Result::unwrap) {
            read += 1;
            let temperature = (!row[3].is_empty()).then(|| row[3].parse::<f64>());
            match (row[1].is_empty(), temperature.transpose()) {
                (false, Ok(temperature)) => {
                    rows.entry(format!("{},{}", &row[0], &row[1])).or_default().push(temperature);
                }
                _ => left_out += 1,
            }
        }
    }
    for file in ["assets.toml", "stations.csv"] {
        std::fs::copy(from.join(file), project.path(file)).unwrap();
    }
    let build = project.build(&[]);
    assert_eq!(build.code, 0, "{build:?}");
    assert_eq!((rows.len(), left_out), (9, 2));
    assert!(project.run(&["runs"]).stderr.contains("2 rows of 2 files are left out of readings"), "told once");
    let of_rows = |of: &dyn Fn(&[f64]) -> f64| -> BTreeMap<String, f64> {
        let one = |values: &Vec<Option<f64>>| of(&values.iter().flatten().copied().collect::<Vec<_>>());
        rows.iter().map(|(key, values)| (key.clone(), one(values))).collect()
    };
    let close = |found: &BTreeMap<String, Option<f64>>, expected: &BTreeMap<String, f64>| {
        assert!(found.keys().eq(expected.keys()), "{found:?}");
        let apart = found.values().zip(expected.values()).map(|(found, expected)| (found.unwrap() - expected).abs());
        assert!(apart.fold(0.0, f64::max) < 1e-9, "{found:?} {expected:?}");
    };
    let daily = project.sql("select * from daily");
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    close(&of_stations(&daily, "mean"), &of_rows(&mean));
    close(&of_stations(&daily, "highest"), &of_rows(&|values| values.iter().copied().fold(f64::MIN, f64::max)));
    let altitudes = BTreeMap::from([("aachen", 173.0), ("brocken", 1134.0), ("sylt", 25.0)]);
    let mut at_sea = of_rows(&mean);
    at_sea.iter_mut().for_each(|(key, mean)| *mean += 0.0065 * altitudes[key.split_once(',').unwrap().1]);
    close(&of_stations(&project.sql("select * from at_sea_level"), "mean"), &at_sea);
    let count = |table: &str| project.sql(&format!("select count(*) as n from {table}"))[0]["n"].clone();
    assert_eq!((count("readings"), count("readings_rejects")), ((read - left_out).into(), left_out.into()));
    let taken = project.sql("select taken from readings where day = '2026-11-01' and station = 'sylt' and hour = 3");
    assert_eq!(taken[0]["taken"], "2026-11-01T02:00:00.000000Z", "CET is one hour ahead");
    assert_eq!(project.build(&[]).log(), log(&[]));
}

#[test]
fn every_verb_knows_tables_of_files() {
    let project = two_days();
    let says = |args: &[&str], parts: &[&str]| -> Output {
        let output = project.run(args);
        assert_eq!(output.code, 0, "{args:?}: {output:?}");
        parts.iter().for_each(|part| assert!(output.stdout.contains(part), "{args:?}: {part}: {output:?}"));
        output
    };
    says(&["plan"], &["readings", "4 runs", "never made"]);
    let build = project.build(&[]);
    let runs = "1,aachen 1,berlin 2,aachen 2,berlin";
    let rejects = ("made", "readings_rejects", "-");
    assert_eq!(build.log(), log(&[("made", "readings daily", runs), rejects]), "{build:?}");
    says(&["status"], &["2,berlin"]);
    says(&["runs"], &["1,aachen", "data/1.csv", "all fresh"]);
    says(&["why", "daily", "--run", "1,aachen"], &["readings of 1,aachen is fresh", "data/1.csv  2 rows"]);
    says(&["lineage", "daily", "--run", "1,b"], &["readings of 1,berlin", "data/1.csv  1 row"]);
    says(&["lineage", "daily.mean", "--run", "1,berlin"], &["readings.temperature", "data/1.csv"]);
    says(&["lineage", "readings", "--run", "1,berlin"], &["what depends on readings", "daily of 1,berlin"]);
    let shown = says(&["show", "readings", "--run", "1,aachen"], &["temperature [°C]", "2026-11-01T01:00:00Z"]);
    let header: Vec<&str> = shown.stdout.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(header, ["day", "station", "hour", "temperature", "[°C]", "taken"]);
    assert_eq!(says(&["show", "readings", "--run", "1,*"], &["aachen", "berlin"]).stdout.lines().count(), 4);
    says(&["graph"], &["readings", "sources", "daily"]);
    says(&["history", "readings", "--run", "1,aachen"], &["never made", "2 rows"]);
    says(&["errors"], &["no errors"]);
    says(&["files"], &["readings", "data/2.csv"]);
    let ambiguous = project.run(&["materialize", "--run", "1"]);
    assert!(ambiguous.code == 2 && ambiguous.stderr.contains("1,aachen, 1,berlin"), "{ambiguous:?}");
    assert!(project.run(&["status", "--run", "berlin"]).stderr.contains("`*,berlin`"));
    assert!(project.run(&["show", "readings", "--run", "1,aachn"]).stderr.contains("did you mean `1,aachen`?"));
}

#[test]
fn only_what_changed_is_made_again() {
    let project = two_days();
    assert_eq!(project.build(&[]).code, 0);
    let text = std::fs::read_to_string(project.path("data/1.csv")).unwrap();
    project.source("1.csv", &text);
    assert_eq!(project.build(&[]).log(), log(&[]), "touched");
    let respelled = text.replace("4.5", "4.50").replace("taken", "taken,more").replace("00Z\n", "00Z,x\n");
    project.source("1.csv", &respelled);
    assert_eq!(project.build(&[]).log(), log(&[]), "other text, and a column that is not declared");
    project.source("1.csv", &text.replace("5.5", "6.5"));
    assert_eq!(project.build(&[]).log(), log(&[("made", "readings daily", "1,aachen")]));
    project.source("1.csv", &text.replace("5.5", "6.5").replace("01:00:00Z", "01:30:00Z"));
    assert_eq!(
        project.build(&[]).log(),
        log(&[("made", "readings", "1,aachen")]),
        "a column that `daily` does not read"
    );
    std::fs::rename(project.path("data/1.csv"), project.path("data/moved.csv")).unwrap();
    let moved = project.build(&[]);
    assert_eq!(moved.log(), log(&[]));
    assert!(!moved.stdout.contains("source_vanished"), "{moved:?}");
    assert!(project.run(&["lineage", "daily", "--run", "1,aachen"]).stdout.contains("data/moved.csv"));
    let labels = READINGS.replace("°C", "K").replace("'air'", "'of the air'") + DAILY;
    settings(&project, &labels);
    assert_eq!(project.build(&[]).log(), log(&[]), "labels");
    std::fs::remove_file(project.path("data/2.csv")).unwrap();
    let vanished = project.build(&[]);
    assert_eq!((vanished.code, vanished.log()), (0, log(&[])));
    assert!(vanished.stdout.contains("source_vanished"), "{vanished:?}");
    assert_eq!(project.sql("select * from readings").len(), 6);
    settings(&project, &labels.replace("hour = { type = 'integer' }", "hour = { type = 'text' }"));
    let retyped = project.build(&["--run", "1,aachen"]);
    assert_eq!(retyped.log(), log(&[("made", "readings", "1,aachen")]));
    assert_eq!(
        project.sql("select hour from readings where day = '1' and station = 'aachen'").last().unwrap()["hour"],
        "1"
    );
}

#[test]
fn what_a_vanished_file_brought_stays_beside_what_changes() {
    let project = field(READINGS);
    project.source("a.csv", &(TOP.to_owned() + &reading("1", "x", 0, "1") + &reading("1", "x", 1, "bad")));
    project.source("b.csv", &(TOP.to_owned() + &reading("1", "x", 2, "3") + &reading("1", "x", 3, "worse")));
    assert_eq!(project.build(&[]).code, 0);
    std::fs::remove_file(project.path("data/a.csv")).unwrap();
    project.source("b.csv", &(TOP.to_owned() + &reading("1", "x", 2, "4") + &reading("1", "x", 3, "worst")));
    let further = READINGS.replace("columns.taken", "columns.rain = { type = 'float' }\ncolumns.taken");
    let build = project.build(&[]);
    assert_eq!(build.log(), log(&[("made", "readings", "1,x"), ("made", "readings_rejects", "-")]), "{build:?}");
    let temperatures = |query: &str| project.sql(query).iter().map(|row| row["v"].clone()).collect::<Vec<_>>();
    assert_eq!(temperatures("select temperature as v from readings order by hour"), [1.0, 4.0]);
    assert_eq!(temperatures("select value as v from readings_rejects order by value"), ["bad", "worst"]);
    project.source("b.csv", &(TOP.replace("taken", "taken,rain") + "1,x,2,4,2026-11-01T00:00:00Z,7\n"));
    settings(&project, &further);
    assert_eq!(project.build(&[]).code, 0);
    let rain = project.sql("select hour, rain from readings order by hour");
    assert!(rain[0]["rain"].is_null() && rain[1]["rain"] == 7.0, "{rain:?}");
}

#[test]
fn every_row_is_in_the_table_or_in_its_rejects() {
    let project = field(READINGS);
    let odd = [
        "1,x,0,4.5,2026-11-01T00:00:00Z",         // fine
        "1,x,,,",                                 // fine: nulls are values
        "1,x,1",                                  // fine: short
        "1,x,7.0,nan,2026-11-01T00:00:00+01:00,", // fine
        "1,x,1.5,4.5,2026-11-01T00:00:00Z",
        "1,x,1,warm,2026-11-01T00:00:00Z",
        "1,x,1,\"4,5\",2026-11-01T00:00:00Z",
        "1,x,1,4.5,2026-11-31T00:00:00Z",
        "1,x,1,4,5,2026-11-01T00:00:00Z",
        ",x,1,4.5,2026-11-01T00:00:00Z",
        "1,,1,4.5,2026-11-01T00:00:00Z",
        "1,..,1,4.5,2026-11-01T00:00:00Z",
        "1,\u{202e}x,1,4.5,2026-11-01T00:00:00Z",
    ];
    let text = TOP.to_owned() + &odd.join("\n") + "\n";
    let mut bytes = text.into_bytes();
    bytes.extend(b"1,K\xf6ln,1,4.5,2026-11-01T00:00:00Z\n1,x,1,\xb0,2026-11-01T00:00:00Z\n");
    std::fs::write(project.path("data/odd.csv"), bytes).unwrap();
    let build = project.build(&[]);
    assert_eq!(build.code, 0, "{build:?}");
    assert_eq!(project.sql("select * from readings").len(), 4);
    let rejects = project.sql("select * from readings_rejects order by line");
    let found: Vec<String> = rejects
        .iter()
        .map(|row| {
            format!("{} {} {}", row["line"], row["code"].as_str().unwrap(), row["column"].as_str().unwrap_or("-"))
        })
        .collect();
    let expected = [
        "6 bad_value hour",
        "7 bad_value temperature",
        "8 bad_value temperature",
        "9 bad_value taken",
        "10 too_many_cells -",
        "11 null_key day",
        "12 null_key station",
        "13 bad_key station",
        "14 bad_key station",
        "15 bad_key station",
        "16 bad_value temperature",
    ];
    assert_eq!(found, expected);
    assert_eq!(rejects[1]["value"], "warm");
    let row = r#"{"day":"1","station":"x","hour":"1","temperature":"warm","taken":"2026-11-01T00:00:00Z"}"#;
    assert_eq!(rejects[1]["row"], row);
    let status = project.run(&["status"]);
    assert!(
        status.stderr.contains("11 rows of data/odd.csv are left out of readings") && status.stderr.contains("line 6"),
        "{status:?}"
    );
}

#[test]
fn odd_keys_and_parquet() {
    let project = field(&(READINGS.to_owned() + DAILY));
    let odd =
        "day,station,hour,temperature,taken\n\"1,2\",x,0,1,\n1,\"2,x\",0,2,\n007,a/b,0,3,\n2026-11-01,Köln ☂,0,4,\n";
    project.source("odd.csv", odd);
    let frame = columns::frame(vec![
        columns::texts("station", [Some("a/b"), Some("a/b"), Some("z")].into_iter()),
        columns::ints("day", [Some(7), Some(7), None].into_iter()),
        columns::floats("temperature", vec![5.0, f64::NAN, 6.0]),
        columns::maybe_floats("hour", [Some(1.0), None, Some(2.5)].into_iter()),
        columns::maybe_times("taken", [Some(0), None, None].into_iter()),
        columns::texts("more", [None, None, None].into_iter()),
    ])
    .unwrap();
    parquet::write_file(&frame, &project.path("data/odd.parquet")).unwrap();
    let build = project.build(&[]);
    assert_eq!(build.code, 0, "{build:?}");
    let runs: Vec<String> =
        project.hashes().into_keys().filter(|(asset, _)| asset == "daily").map(|(_, run)| run).collect();
    assert_eq!(runs, ["007,a/b", "1,2,x", "2026-11-01,Köln ☂", "7,a/b"], "two are written alike");
    let rows =
        project.sql("select day, station, hour, temperature from readings where day = '7' order by hour nulls last");
    assert_eq!((rows.len(), &rows[0]["hour"], &rows[0]["temperature"]), (2, &1.into(), &5.0.into()));
    assert!(rows[1]["hour"].is_null() && rows[1]["temperature"].is_null(), "{rows:?}");
    let rejects = project.sql("select code, line from readings_rejects");
    assert_eq!((rejects.len(), &rejects[0]["code"], &rejects[0]["line"]), (1, &"null_key".into(), &3.into()));
    let alike = project.run(&["show", "readings", "--run", "1,2,x"]);
    assert!(alike.code == 2 && alike.stderr.contains("1%2C2,x"), "{alike:?}");
    let one = project.run(&["show", "readings", "--run", "1%2C2,x", "--json"]);
    assert!(one.code == 0 && one.stdout.contains("1,2"), "{one:?}");
    assert!(project.path("warehouse/tables/readings/007,a%2Fb.parquet").is_file());
}

#[test]
fn files_that_cannot_be_read_say_why_and_stop_no_other() {
    let project = field(READINGS);
    project.source("good.csv", &(TOP.to_owned() + &reading("1", "x", 0, "1")));
    let cases: [(&str, &[u8], &str, &str); 9] = [
        ("a.csv", b"", "empty_file", "is empty"),
        ("b.csv", TOP.as_bytes(), "no_rows", "no rows"),
        ("c.csv", b"\x1f\x8b\x08\x00abc", "compressed_file", "gzip"),
        ("d.csv", b"\xff\xfed\0a\0", "wrong_encoding", "UTF-16"),
        ("e.parquet", b"PAR1abcdefgh", "source_unreadable", "cut off"),
        ("f.csv", b"day,station,hour,temperatur,taken\n", "missing_column", "did you mean `temperatur`?"),
        ("g.csv", b"day;station;hour;temperature;taken\n1;x;1;1;1\n", "missing_column", "`delimiter`"),
        ("h.csv", b"day,station,hour,temperature,taken,hour\n", "duplicate_column", "two columns hour"),
        ("i.csv", b"day,station,hour,temperature,taken\n1,x,1,1,2026-11-01T00:00:00\n", "timezone_needed", "taken"),
    ];
    for (name, bytes, ..) in cases {
        std::fs::write(project.path("data").join(name), bytes).unwrap();
    }
    let build = project.build(&[]);
    assert_eq!(build.code, 1, "{build:?}");
    assert_eq!(build.log(), log(&[("made", "readings", "1,x"), ("made", "readings_rejects", "-")]));
    let errors = project.run(&["errors", "--json"]).json();
    let errors = errors["errors"].as_array().unwrap();
    assert_eq!(errors.len(), cases.len(), "{errors:?}");
    for (error, (name, _, code, says)) in errors.iter().zip(cases) {
        assert_eq!((&error["kind"], &error["code"]), (&"source".into(), &code.into()), "{name}: {error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(says) && message.contains(&format!("data/{name}")), "{error}");
    }
    for (name, ..) in cases {
        std::fs::remove_file(project.path("data").join(name)).unwrap();
    }
    std::fs::write(project.path("data/i.csv"), "day;station;hour;temperature;taken\n2;x;1;1;2026-11-01T00:00:00\n")
        .unwrap();
    let german = READINGS.replace("files", "delimiter = ';'\nfiles").replace("data/*.csv", "data/i.csv");
    settings(&project, &format!("timezone = 'Europe/Berlin'\n{german}"));
    let build = project.build(&[]);
    assert_eq!(build.code, 0, "{build:?}");
    assert_eq!(project.sql("select taken from readings where day = '2'")[0]["taken"], "2026-10-31T23:00:00.000000Z");
}

#[test]
fn two_tables_read_one_file_each_for_itself() {
    let names = "
[assets.names]
files = ['data/1.csv']
columns.station = { type = 'text' }
";
    let project = two_days();
    settings(&project, &(READINGS.to_owned() + DAILY + names));
    assert_eq!(project.build(&[]).code, 0);
    assert_eq!(project.sql("select * from names").len(), 3);
    let text = std::fs::read_to_string(project.path("data/1.csv")).unwrap();
    project.source("1.csv", &text.replace("4.5", "4.25"));
    let log_of = project.build(&[]).log();
    assert_eq!(log_of, log(&[("made", "readings daily", "1,aachen")]), "the other reads no temperatures");
    // What one can't read is none of the other's business, and its table stays.
    settings(&project, &(READINGS.to_owned() + DAILY + &names.replace("station =", "statoin =")));
    let wrong = project.build(&[]);
    assert_eq!(wrong.code, 1, "{wrong:?}");
    let failed = wrong.log();
    assert!(failed["failed"].contains("names of -") && failed.len() == 1, "{failed:?}");
    project.source("1.csv", &text.replace("4.5", "4.75"));
    let beside = project.build(&[]).log();
    assert_eq!(beside["made"], log(&[("made", "readings daily", "1,aachen")])["made"], "{beside:?}");
    settings(&project, &(READINGS.to_owned() + DAILY + names));
    assert_eq!(project.build(&[]).code, 0);
    // A file that a table's patterns no longer name has vanished for it alone.
    settings(&project, &(READINGS.to_owned() + DAILY + &names.replace("1.csv", "no*.csv")));
    let unnamed = project.build(&[]);
    assert!(unnamed.code == 0 && unnamed.log() == log(&[]), "{unnamed:?}");
    assert!(unnamed.stdout.contains("source_vanished"), "{unnamed:?}");
    assert_eq!(project.sql("select * from names").len(), 3);
    // A table that is no more says nothing.
    settings(&project, &(READINGS.to_owned() + DAILY));
    assert!(!project.build(&[]).stdout.contains("source_vanished"));
}

const STATIONS: &str = "
[assets.a_stations]
files = ['stations.csv']
partition_by = ['station']
columns.altitude = { type = 'float' }

[assets.sea]
packed = true
sql = 'select d.mean + 0.01 * s.altitude as mean from daily d join a_stations s on d.station = s.station'
";

#[test]
fn tables_that_are_cut_less_finely_serve_many_partitions() {
    let project = two_days();
    settings(&project, &(READINGS.to_owned() + DAILY + STATIONS));
    std::fs::write(project.path("stations.csv"), "station,altitude\naachen,100\n").unwrap();
    let build = project.build(&["--run", "1,aachen", "sea"]);
    assert_eq!(build.code, 0, "{build:?}");
    let expected = log(&[("made", "readings daily sea", "1,aachen"), ("made", "a_stations", "aachen")]);
    assert_eq!(build.log(), expected, "what it is made from comes along");
    let lacking = project.build(&[]);
    assert_eq!(lacking.code, 1, "{lacking:?}");
    assert_eq!(lacking.log()["blocked"], log(&[("blocked", "sea", "1,berlin 2,berlin")])["blocked"]);
    let errors = project.run(&["errors"]).stdout;
    assert!(errors.contains("a_stations was never made for berlin"), "{errors}");
    std::fs::write(project.path("stations.csv"), "station,altitude\naachen,100\nberlin,34\n").unwrap();
    let healed = project.build(&[]);
    assert_eq!(healed.log(), log(&[("made", "a_stations", "berlin"), ("made", "sea", "1,berlin 2,berlin")]));
    let means = of_stations(&project.sql("select * from sea"), "mean");
    assert_eq!(means["2,aachen"], Some(6.0));
    let crossed = "
[assets.hours]
files = ['data/*.csv']
partition_by = ['hour']
columns.temperature = { type = 'float' }
[assets.both]
sql = 'select count(*) as n from a_stations, hours'
";
    settings(&project, &(READINGS.to_owned() + DAILY + STATIONS + crossed));
    let refused = project.run(&["plan", "--json"]);
    assert_eq!((refused.code, &refused.json()["code"]), (2, &"mixed_dimensions".into()), "{refused:?}");
    assert!(refused.stdout.contains("`a_stations` by station; `hours` by hour"), "{refused:?}");
}

#[test]
fn a_table_can_be_cut_otherwise() {
    let project = two_days();
    assert_eq!(project.build(&[]).code, 0);
    let published = || {
        let files = std::fs::read_dir(project.path("warehouse/tables/readings")).unwrap();
        let mut names: Vec<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(published(), ["1,aachen.parquet", "1,berlin.parquet", "2,aachen.parquet", "2,berlin.parquet"]);
    // The same columns in the same order: only the cut tells the tables apart.
    let by_day = READINGS.replace("['day', 'station']", "['day']\ncolumns.station = { type = 'text' }");
    for (text, runs, files) in [
        (by_day.as_str(), "1 2", vec!["1.parquet", "2.parquet"]),
        (
            &READINGS.replace("['day', 'station']", "['station', 'day']"),
            "aachen,1 aachen,2 berlin,1 berlin,2",
            vec!["aachen,1.parquet", "aachen,2.parquet", "berlin,1.parquet", "berlin,2.parquet"],
        ),
        (&READINGS.replace("partition_by", "# partition_by"), "-", vec!["all.parquet"]),
    ] {
        settings(&project, &(text.to_owned() + DAILY));
        let build = project.build(&[]);
        assert_eq!(
            build.log()["made"].iter().filter(|step| step.starts_with("readings of")).count(),
            runs.split(' ').count(),
            "{build:?}"
        );
        assert_eq!(published(), files);
        assert_eq!(project.sql("select * from readings").len(), 6, "{text}");
        assert!(
            project
                .hashes()
                .keys()
                .filter(|(asset, _)| asset == "readings")
                .map(|(_, run)| run.as_str())
                .eq(runs.split(' '))
        );
        assert_eq!(project.build(&[]).log(), log(&[]));
    }
}

#[test]
fn tables_of_files_stand_beside_the_shipped_pipeline() {
    let project = Project::new();
    project.source("a.csv", &(HEADER.to_owned() + &run_rows("a", 1.0)));
    project.source("b.csv", &(HEADER.to_owned() + &run_rows("b", 1.0)));
    assert_eq!(project.build(&[]).code, 0);
    std::fs::write(project.path("batches.csv"), "run_uuid,sheet_mm\na,1.5\nb,2.5\n").unwrap();
    let batches = "
[assets.batches]
files = ['batches.csv']
partition_by = ['run_uuid']
columns.sheet_mm = { type = 'float', unit = 'mm' }
[assets.peaks]
packed = true
sql = 'select max(f.f1) / max(b.sheet_mm) as n_per_mm from features f join batches b on f.run_uuid = b.run_uuid'
";
    project.settings(batches);
    let build = project.build(&[]);
    assert_eq!(build.log(), log(&[("made", "batches peaks", "a b"), ("made", "batches_rejects", "-")]), "{build:?}");
    let direct = "select f.run_uuid, max(f.f1) / max(b.sheet_mm) as n_per_mm from features f join batches b on f.run_uuid \
                  = b.run_uuid group by f.run_uuid order by f.run_uuid";
    assert_eq!(project.sql("select * from peaks order by run_uuid"), project.sql(direct));
    project.settings("[assets.clean]\nfiles = ['batches.csv']\ncolumns.sheet_mm = { type = 'float' }\n");
    let taken = project.run(&["plan", "--json"]);
    assert_eq!((taken.code, &taken.json()["code"]), (2, &"name_taken".into()), "{taken:?}");
}

#[test]
fn what_the_settings_cannot_mean_is_refused() {
    let project = two_days();
    let refused = |text: &str, code: &str, says: &str| {
        settings(&project, text);
        let refused = project.run(&["materialize", "--json"]);
        assert_eq!((refused.code, &refused.json()["code"]), (2, &code.into()), "{text}: {refused:?}");
        assert!(refused.stdout.contains(says), "{text}: {refused:?}");
    };
    refused("", "no_assets", "defines none");
    refused(&format!("sources = ['data/*']\n{READINGS}"), "setting_not_read", "`sources`");
    refused(&format!("{READINGS}[features.x]\nexpr = 'f1'\n"), "setting_not_read", "`features`");
    refused(&READINGS.replace("float", "flaot"), "bad_setting", "did you mean `float`?");
    refused(&READINGS.replace("{ type = 'integer' }", "7"), "bad_setting", "a table such as { type");
    refused(&READINGS.replace("['day', 'station']", "'day'"), "bad_setting", "a list, in brackets");
    refused(&READINGS.replace("files", "file"), "unknown_setting", "did you mean `files`?");
    refused(&(READINGS.to_owned() + "[assets.t]\nsql = 'select hour from raedings'"), "sql_error", "`readings`?");
    settings(&project, &READINGS.replace("data/", "date/"));
    let nothing = project.run(&["plan"]);
    assert!(nothing.code == 0 && nothing.stderr.contains("no file matches date/*.csv, date/*.parquet"), "{nothing:?}");
    settings(&project, READINGS);
    let source = project.run(&["plan", "--source", "x.csv"]);
    assert!(source.code == 2 && source.stderr.contains("--source"), "{source:?}");
}
