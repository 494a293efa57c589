//! What reads text: settings, expressions, queries, selections, ids of runs, reports, saved plans.

use super::Subject;
use super::bytes::{build_anyhow, one_in, words};
use crate::harness::{HEADER, Project as Harness, run_rows};
use crate::inside::{build_well, folder, open};
use assets::intake::run_id;
use assets::project::Telemetry;
use assets_cli::app::{App, OpenOptions, Project};
use assets_core::Partition;
use assets_core::key::usable_key;
use assets_core::ledger::Ledger;
use assets_engine::scope::resolve_run;
use assets_engine::{Scope, World};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

fn seeds(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn text(input: &[u8]) -> String {
    String::from_utf8_lossy(input).into_owned()
}

/// A project with one short run.
fn with_a_run(settings: &str) -> tempfile::TempDir {
    let project = folder();
    let root = project.path();
    fs::create_dir_all(root.join("data")).unwrap();
    fs::write(root.join("data/a.csv"), HEADER.to_owned() + &run_rows("a", 0.03)).unwrap();
    fs::write(root.join("assets.toml"), format!("sources = ['data/*.csv']\n{settings}")).unwrap();
    project
}

/// Opens a project and plans everything in it, where its settings are good.
fn planned(root: &Path) -> Option<Box<dyn Project>> {
    let options = OpenOptions { config: Some(root.join("assets.toml")), ..OpenOptions::default() };
    let project = Telemetry::default().open(&options).ok()?;
    let ledger = Ledger::default();
    let sources = project.source().identify(&ledger, false).ok()?;
    let reader = project.reader().ok()?;
    let tables = reader.tables().as_ref();
    let world = World { graph: project.graph(), ledger: &ledger, sources: &sources, records: reader.records(), tables };
    assets_engine::plan::plan(&world, &Scope::new(project.graph(), &[], false).unwrap());
    Some(project)
}

const TABLES: &str = "[features.power]
expr = 'fx_1 * vx_1 + lag(f1, 1)'
unit = 'mW'
[assets.quick]
sql = 'select time, v1, f1 from features where v1 > 80'
[assets.cells]
sql = 'select cell_id, count(*) as n, sum(distance_mm) as way from stats group by cell_id'
partition = 'all'
packed = true
columns.way = { unit = 'mm', description = 'way' }
[assets.peaks]
command = ['python3', '-c', 'pass']
inputs = ['features.time', 'features.v1']
parameters = { least = 80.0, names = ['a', { b = 1979-05-27T07:32:00Z }] }
timeout_s = 60
batch = true
columns.speed = { type = 'float', unit = 'mm/s' }
outputs.more = { packed = true, columns = { note = 'text' } }
";

/// `assets.toml`, as far as a plan.
pub(super) fn settings() -> Subject {
    let project = with_a_run("");
    let all = include_str!("../../assets/assets.toml.txt").replace("[@SOURCES@]", "['data/*.csv']");
    // What is commented out are settings too.
    let lines = all.lines().map(|line| match line.strip_prefix("# ") {
        Some(setting) if setting.contains(" = ") || setting.starts_with('[') => setting,
        _ => line,
    });
    let lines: Vec<&str> = lines.take_while(|line| !line.starts_with("[features")).collect();
    let lines: Vec<&str> = lines.into_iter().filter(|line| line.contains(['=', '['])).collect();
    let shipped = lines.join("\n").replace("pipeline = \"none\"", "");
    let own = "pipeline = 'none'\n[assets.readings]\nfiles = ['data/*.csv']\npartition_by = ['run_uuid']\n\
               delimiter = ','\ncolumns.value = { type = 'float', description = 'read' }\n\
               [assets.daily]\npacked = true\nsql = 'select max(value) as largest from readings'\n\
               [assets.total]\npartition = 'all'\nsql = 'select max(largest) as largest from daily'\n";
    let tables = format!("sources = ['data/*.csv']\n{TABLES}");
    let words = words(
        "pipeline none sources store clean hampel channels wide grid previous merge tare offsets_n \
         limits run_alias features assets sql command files partition_by columns outputs type float time \
         packed true [ ] { } [[ = ''' inf null day",
    );
    let root = project.path().to_owned();
    let attempt = move |input: &[u8]| {
        fs::write(project.path().join("assets.toml"), input).unwrap();
        let Some(opened) = planned(&root) else { return Ok(false) };
        let text = text(input);
        // Commands are not run, and a store elsewhere is not written.
        if one_in(4, input) && opened.store_path() == root.join("warehouse") && !text.contains("command") {
            let _ = fs::remove_dir_all(root.join("warehouse"));
            build_anyhow(&root)?;
        }
        Ok(true)
    };
    Subject { seeds: seeds(&[&shipped, own, &tables]), words, attempt: Box::new(attempt) }
}

/// Expressions of features, and what they compute.
pub(super) fn expressions() -> Subject {
    let project = with_a_run("");
    let mut functions = Telemetry::default().functions();
    let root = project.path().to_owned();
    let mut good: Vec<String> = functions.iter().map(|function| function.example.clone()).collect();
    good.extend(
        ["case when f1 > 2 then 'a' else null end", "cast(x_1 as integer) % 3", "(v1 + 1) / nullif(f1, 0)"]
            .map(str::to_owned),
    );
    let mut words = words(
        "time x_1 fx_1 v1 f1 session run_uuid y x case when then else end null is not between and or in \
         like cast as integer double varchar timestamp over ( ) , sum count distinct select interval \
         extract :: || * / % -- /* $$ x'00'",
    );
    words.extend(functions.drain(..).map(|function| function.name));
    let attempt = move |input: &[u8]| {
        // JSON's way to quote a text is one of TOML's.
        let expr = serde_json::Value::from(text(input)).to_string();
        let settings = format!("sources = ['data/*.csv']\n[features.a]\nexpr = {expr}\n[features.y]\nexpr = 'a'\n");
        fs::write(root.join("assets.toml"), settings).unwrap();
        if planned(project.path()).is_none() {
            return Ok(false);
        }
        let _ = fs::remove_dir_all(root.join("warehouse"));
        build_anyhow(&root)?;
        Ok(true)
    };
    Subject { seeds: good.into_iter().map(String::into_bytes).collect(), words, attempt: Box::new(attempt) }
}

/// Queries over declared tables.
pub(super) fn queries() -> Subject {
    let project = with_a_run("");
    build_well(project.path());
    let opened = open(project.path());
    let reader = opened.reader().unwrap();
    let ledger = reader.records().ledger().unwrap();
    let seeds = seeds(&[
        "select run_uuid, count(*) as n, max(v1) as v from features group by run_uuid having max(v1) > 0 order by n desc limit 3",
        "with a as (select time as t, x_1 from wide) select count(*) n, min(a.t) from a where t > '2022-11-23T20:40:00.2Z'",
        "select time from wide where time in (select min(time) from wide) union all select time from features",
        "select s.sessions, f.v1 from stats s left join features f on s.run_uuid = f.run_uuid where f.v1 between 1 and 2e3",
        "select *, row_number() over (partition by field order by time) as n from clean where field like 'f%' offset 1",
        "select case when value > 1 then 'a' else lower(field) end as c, cast(value as integer), round(value, 2) from clean w",
        "select distinct field, sum(value) filter (where value > 0), avg(value) from clean group by all",
        "select extract(year from time), time + interval '1 day', time - time from clean order by 1 nulls last",
        "select * exclude (x_1), coalesce(y_1, 0) from wide natural join features",
    ]);
    let words = words(
        "select from where group by order having limit offset union except intersect all distinct on \
         join left cross full using with recursive as over partition rows between 1 preceding and \
         current row case in exists any not null like ilike regexp cast timestamp interval raw clean \
         wide features stats fleet gaps rejects time x_1 value field run_uuid * ( ) , ; ' :: || [1] { \
         values (1) lateral unnest substr right strpos replace concat array date_part first \
         quantile_cont stddev corr lag read_csv explain show tables create table a drop truncate",
    );
    let attempt = move |input: &[u8]| {
        let _held = &project;
        Ok(opened.sql(Arc::clone(reader.tables()), &ledger, &text(input)).is_ok())
    };
    Subject { seeds, words, attempt: Box::new(attempt) }
}

/// The grammar of selections.
pub(super) fn selections() -> Subject {
    let project = with_a_run(TABLES);
    let opened = open(project.path());
    let seeds = seeds(&[
        "1+wide+2 and not key:\"f*\" or tag:command",
        "sinks(+stats) or roots(column:features.v*)+",
        "(stale: or failed:blocked) and (quick or *)",
        "tag:\"com\"* or +(clean or rejects)",
    ]);
    let words = words(
        "and or not ( ) + * key: tag: stale: failed: column: sinks( roots( wide \" ' = ? [ features \
         99999999999999999999999 stale:* , **",
    );
    let attempt = move |input: &[u8]| {
        let _held = &project;
        let scope = Scope::new(opened.graph(), &[text(input)], input.len().is_multiple_of(2));
        let Ok(mut scope) = scope.map_err(|error| (error.to_string(), error.code())) else { return Ok(false) };
        let (ledger, reader) = (Ledger::default(), opened.reader().unwrap());
        let sources = Default::default();
        let (graph, tables) = (opened.graph(), reader.tables().as_ref());
        scope.settle(&World { graph, ledger: &ledger, sources: &sources, records: reader.records(), tables });
        Ok(true)
    };
    Subject { seeds, words, attempt: Box::new(attempt) }
}

/// Ids of runs as they are delivered, the names of their files, and what `--run` finds.
pub(super) fn runs() -> Subject {
    let names =
        ["a", "7582293080991470061", "7.58229308099147e+18", "a,b", "a%2Cb", "[x]", "*", "ünï", ".hidden", "a/b"];
    let others: BTreeSet<Partition> = names.map(|name| Partition::one("run", name)).into();
    let seeds = seeds(&[&names[..], &["75*", "a?c*[!d-f]**", "[[]x]", "2024-01-01,north"]].concat());
    let words = words("* ** *** ? [ ] [! - , % %2C %2c e e+ E- . .. all");
    let attempt = move |input: &[u8]| {
        let text = text(input);
        let id = run_id::of_text(&text).id;
        let found = resolve_run(&others, &text).map_err(|error| error.to_string());
        if usable_key(&id).is_err() {
            return Ok(found.is_ok());
        }
        let own = Partition::one("run", &id);
        let stem = own.file_stem();
        if !stem.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-%".contains(&b)) || stem.starts_with('.') {
            return Err(format!("{id:?} has the file {stem}"));
        }
        if others.iter().any(|other| *other != own && other.file_stem() == stem) {
            return Err(format!("{id:?} shares the file {stem}"));
        }
        let mut known = others.clone();
        known.insert(own.clone());
        let named = [id.as_ref(), stem.as_str()].map(|asked| resolve_run(&known, asked));
        if named[0].as_ref().is_ok_and(|found| *found == [own.clone()]) {
            Ok(true)
        } else {
            Err(format!("{id:?} is not found by its name: {named:?}"))
        }
    };
    Subject { seeds, words, attempt: Box::new(attempt) }
}

/// What commands say of the steps they were handed, and print.
pub(super) fn reports() -> Subject {
    let project = folder();
    let root = project.path().to_owned();
    fs::create_dir_all(root.join("data")).unwrap();
    fs::write(root.join("data/a.csv"), "day,value\n1,2.5\n2,3\n").unwrap();
    fs::write(
        root.join("assets.toml"),
        "pipeline = 'none'\n[assets.readings]\nfiles = ['data/*.csv']\npartition_by = ['day']\n\
         columns.value = { type = 'float' }\n[assets.model]\nbatch = true\ninputs = ['readings']\n\
         command = ['sh', '-c', 'read m; cat said >&2; cat said']\ncolumns.score = 'float'\n\
         columns.note = 'text'\ncolumns.n = 'integer'\ncolumns.ok = 'boolean'\ncolumns.at = 'time'\n\
         outputs.more = { packed = true, columns = { a = 'text' } }\n",
    )
    .unwrap();
    let one = |step: &str| {
        format!(
            "{{\"step\":\"{step}\",\"rows\":{{\"model\":[{{\"score\":1.5,\"note\":null,\"n\":3,\"ok\":true,\
             \"at\":\"2024-01-01T00:00:00+01:00\"}}],\"more\":[{{\"a\":\"x\"}},{{\"a\":\"y\"}}]}},\
             \"unavailable\":{{\"model.note\":\"why\"}},\"warnings\":[\"w\"]}}\n"
        )
    };
    let seeds = seeds(&[&one("1"), &(one("1") + &one("2")), "\u{1e}1\nlog\n{\"step\":\"1\",\"error\":\"no\"}\n"]);
    let words = words(
        "step rows model more unavailable warnings error null true [ ] { } , \" : score model.score day \
         1 2 \n \u{1e} \\u0000 \\ud800 2024-02-30T00:00:00Z +262142-12-31T23:59:60Z",
    );
    let attempt = move |input: &[u8]| {
        let _held = &project;
        fs::write(root.join("said"), input).unwrap();
        let _ = fs::remove_dir_all(root.join("warehouse"));
        build_anyhow(&root)?;
        Ok(true)
    };
    Subject { seeds, words, attempt: Box::new(attempt) }
}

/// Plans that were saved, as far as what they ask for.
pub(super) fn plans() -> Subject {
    let project = Harness::new();
    project.source("a.csv", &(HEADER.to_owned() + &run_rows("a", 0.03)));
    let seed = |asked: &[&str]| {
        let path = project.path("plan.json");
        let answer = project.run(&[&["plan", "--output", path.to_str().unwrap()], asked].concat());
        assert_eq!(answer.code, 0, "{answer:?}");
        fs::read(path).unwrap()
    };
    let seeds = vec![seed(&["stats", "--run", "a"]), seed(&["+clean or failed:"])];
    let words = words("plan format select runs only force digest steps mark made null 1 [] {} \" \\ud83d");
    let attempt = move |input: &[u8]| {
        let path = project.path("plan.json");
        fs::write(&path, input).unwrap();
        Ok(assets_cli::asked_by_saved_plan(&path).is_ok())
    };
    Subject { seeds, words, attempt: Box::new(attempt) }
}
