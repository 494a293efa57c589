//! Tables that `assets.toml` defines by commands. They need `python3`, and nothing besides its standard library.

use crate::harness::{HEADER, Project, log, run_rows};
use serde_json::Value;
use std::fs;

/// Two runs, the helper of the examples, and a script `work.py`.
fn project(settings: &str, script: &str) -> Project {
    let project = Project::new();
    for run in ["a", "b"] {
        project.source(&format!("{run}.csv"), &(HEADER.to_owned() + &run_rows(run, 1.0)));
    }
    let helper = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/commands/assets_step.py");
    fs::copy(helper, project.path("assets_step.py")).unwrap();
    fs::write(project.path("work.py"), script).unwrap();
    project.settings(settings);
    project
}

const MODEL: &str = "
[assets.model]
description = 'how fast it went'
command = ['python3', 'work.py']
inputs = ['stats.distance_1_mm', 'stats.runtime_s', 'features.time', 'features.v1']
parameters = { factor = 2.0 }
packed = true
columns.score = { type = 'float', unit = 'mm/s' }
columns.note = 'text'

[assets.model.outputs.moving]
columns.time = 'time'
columns.v1 = 'float'

[assets.twice]
sql = 'select score * 2 as twice from model'
packed = true
";

/// Scores from the packed row; the second table is the input's file, as it is.
const SCRIPT: &str = "
import shutil
from assets_step import step
[stats] = step.rows('stats')
print('at run', step.run)
shutil.copy(step.paths('features')[0], step.output('moving'))
score = stats['distance_1_mm'] / stats['runtime_s'] * step.parameters['factor']
step.report(model=[{'score': score, 'note': None}], unavailable={'note': 'nothing to say'})
";

#[test]
fn tables_by_commands_are_assets_like_any_other() {
    let project = project(MODEL, SCRIPT);
    let build = project.build(&[]);
    assert_eq!(build.code, 0, "{build:?}");
    let direct = "select run_uuid, distance_1_mm / runtime_s * 2.0 as score from stats order by run_uuid";
    let rows = project.sql("select run_uuid, score from model order by run_uuid");
    assert_eq!(rows, project.sql(direct));
    assert_eq!(rows.len(), 2);
    assert_eq!(project.sql("select time, v1 from moving"), project.sql("select time, v1 from features"));
    let doubled = project.sql("select twice from twice order by run_uuid");
    assert_eq!(doubled[0]["twice"].as_f64().unwrap(), rows[0]["score"].as_f64().unwrap() * 2.0);
    let graph = project.run(&["graph"]).stdout;
    assert!(graph.contains("model  how fast it went") && graph.contains("writes  moving too"), "{graph}");
    let lineage = project.run(&["lineage", "twice", "--run", "a"]).stdout;
    assert!(lineage.contains("model") && lineage.contains("data/a.csv"), "{lineage}");
    assert!(project.run(&["why", "model", "--run", "a"]).stdout.contains("nothing to say"));
    assert!(project.run(&["show", "model", "--run", "a"]).stdout.contains("score [mm/s]"));
    let errors = project.run(&["errors", "model", "--json"]).json();
    assert_eq!(errors["errors"][0]["code"], "null_by_command");
    let logs = project.run(&["logs", "model", "--run", "a"]);
    assert_eq!((logs.code, logs.stdout.as_str()), (0, "at run a\n"));
    let hashes = project.hashes();
    assert_eq!(project.build(&["model", "--force"]).code, 0);
    assert_eq!(project.hashes(), hashes);
    assert!(fs::read_dir(project.path("warehouse/tmp")).unwrap().next().is_none(), "nothing is left in between");
}

#[test]
fn its_code_is_its_command_line_its_files_and_its_parameters() {
    let project = project(MODEL, SCRIPT);
    assert_eq!(project.build(&[]).code, 0);
    let remade = |settings: &str| {
        project.settings(settings);
        project.build(&[]).log()
    };
    // The result is the same, so what reads it stays.
    let made = log(&[("made", "model", "a b")]);
    fs::write(project.path("work.py"), format!("# a comment\n{SCRIPT}")).unwrap();
    let plan = project.run(&["why", "model", "--run", "a"]).stdout;
    assert!(plan.contains("its code changed"), "{plan}");
    assert_eq!(remade(MODEL), made);
    let changed = MODEL.replace("2.0", "3.0");
    let plan = log(&[("made", "model twice", "a b")]);
    assert_eq!(remade(&changed), plan);
    assert!(remade(&changed.replace("mm/s", "m/h").replace("how fast", "how slow")).is_empty(), "that is for people");
    assert!(remade(&changed.replace("packed = true\ncol", "packed = true\ntimeout_s = 9\ncol")).is_empty());
    let argument = changed.replace("'work.py']", "'work.py', '-v']");
    assert_eq!(remade(&argument), made);
    let further = argument.replace("[assets.model]\n", "[assets.model]\ncode = ['assets_*.py']\n");
    assert_eq!(remade(&further), made);
    fs::write(project.path("other.py"), "").unwrap();
    assert!(remade(&further).is_empty());
}

/// `[assets.model]` of one float column `score`, with further settings.
fn model(further: &str) -> String {
    format!(
        "[assets.model]\ncommand = ['python3', 'work.py']\ninputs = ['stats.runtime_s']\npacked = true\n\
         columns.score = 'float'\n{further}\n"
    )
}

/// The reason of the failed step of run `a`.
fn failure(project: &Project) -> Value {
    let build = project.build(&["model", "--run", "a"]);
    assert_eq!(build.code, 1, "{build:?}");
    let steps = build.lines();
    let failed = steps.iter().find(|line| line["outcome"] == "failed").unwrap_or_else(|| panic!("{build:?}"));
    assert_eq!(failed["asset"], "model");
    failed["reason"].clone()
}

#[test]
fn each_way_to_fail_has_its_reason_and_its_log() {
    let project = project(&model("timeout_s = 2"), "");
    let cases = [
        ("import sys\nprint('three')\nsys.exit(3)", "command_failed", "exit code 3"),
        ("import os\nprint('dying', flush=True)\nos.kill(os.getpid(), 9)", "command_killed", "SIGKILL"),
        ("import subprocess\nprint('slow', flush=True)\nsubprocess.run(['sleep', '600'])", "command_timed_out", "2 s"),
        ("print('done')", "nothing_written", "neither wrote"),
        ("from assets_step import step\nstep.report(model=[{'scor': 1.0}])", "wrong_schema", "did you mean `score`?"),
        (
            "from assets_step import step\nstep.report(model=[{'score': 'x'}])",
            "wrong_schema",
            "\"x\", which is no float",
        ),
        ("from assets_step import step\nstep.report(model=[{}])", "wrong_schema", "missing in row 0"),
        ("from assets_step import step\nstep.report(modell=[])", "bad_report", "did you mean `model`?"),
        ("from assets_step import step\nstep.fail('the data is bad')", "reported_failure", "the data is bad"),
        (
            "from assets_step import step\nopen(step.output('model'), 'w').write('PAR1')",
            "wrong_schema",
            "no Parquet file",
        ),
        ("raise ValueError('what happened')", "command_failed", "its last words: ValueError: what happened"),
    ];
    for (script, code, words) in cases {
        fs::write(project.path("work.py"), script).unwrap();
        let reason = failure(&project);
        assert_eq!(reason["code"], code, "{script}: {reason}");
        assert!(reason["message"].as_str().unwrap().contains(words), "{script}: {reason}");
    }
    let why = project.run(&["why", "model", "--run", "a"]).stdout;
    assert!(why.contains("what happened"), "{why}");
    let logs = project.run(&["logs", "model", "--run", "a"]).stdout;
    assert!(logs.starts_with("Traceback") && logs.ends_with("ValueError: what happened\n"), "{logs}");
    project.settings(&model("").replace("python3", "no_such_program"));
    assert_eq!(failure(&project)["code"], "command_not_found");
    // A column of another type, in a file.
    let copied =
        "import shutil\nfrom assets_step import step\nshutil.copy(step.paths('features')[0], step.output('model'))";
    fs::write(project.path("work.py"), copied).unwrap();
    for (read, code, words) in [
        ("features.time", "wrong_schema", "`time` of model is not declared"),
        ("features.v1", "wrong_schema", "`v1` of model is not declared"),
    ] {
        project.settings(&model("").replace("stats.runtime_s", read));
        let reason = failure(&project);
        assert_eq!(reason["code"], code, "{reason}");
        assert!(reason["message"].as_str().unwrap().contains(words), "{reason}");
    }
    project.settings(&model("columns.v1 = 'text'").replace("'stats.runtime_s'", "'features.v1'"));
    assert!(failure(&project)["message"].as_str().unwrap().contains("`score` of model is missing"));
    project.settings(
        &model("")
            .replace("'stats.runtime_s'", "'features.v1'")
            .replace("columns.score = 'float'", "columns.v1 = 'text'"),
    );
    assert!(failure(&project)["message"].as_str().unwrap().contains("is f64, and declared as text"));
}

#[test]
fn one_process_serves_many_steps_and_what_it_reported_stays() {
    let script = "
import os, sys
from assets_step import steps
print('started', os.getpid())
for number, step in enumerate(steps()):
    print('at', step.run)
    [stats] = step.rows('stats')
    if step.run == 'b' and os.path.exists('poison'):
        os.kill(os.getpid(), 9)
    with open('served', 'a') as served:
        served.write(f'{os.getpid()} {step.run}\\n')
    step.report(model=[{'score': stats['runtime_s']}])
";
    let project = project(&model("batch = true"), script);
    project.source("c.csv", &(HEADER.to_owned() + &run_rows("c", 1.0)));
    project.source("d.csv", &(HEADER.to_owned() + &run_rows("d", 1.0)));
    fs::write(project.path("poison"), "").unwrap();
    let build = project.build(&[]);
    assert_eq!(build.code, 1, "{build:?}");
    let built = build.log();
    assert!(built["failed"].iter().eq(["model of b"]), "{built:?}");
    assert!(["a", "c", "d"].iter().all(|run| built["made"].contains(&format!("model of {run}"))), "{built:?}");
    let errors = project.run(&["errors", "model", "--json"]).json();
    assert_eq!(errors["errors"][0]["code"], "command_killed");
    assert!(project.run(&["logs", "model", "--run", "b"]).stdout.contains("at b"));
    fs::remove_file(project.path("poison")).unwrap();
    fs::remove_file(project.path("served")).unwrap();
    assert_eq!(project.build(&[]).log(), log(&[("made", "model", "b")]));
    assert_eq!(project.build(&["model", "--force"]).code, 0);
    let served = fs::read_to_string(project.path("served")).unwrap();
    let processes: std::collections::BTreeSet<&str> =
        served.lines().skip(1).map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!((served.lines().count(), processes.len()), (5, 1), "{served}");
    assert_eq!(project.sql("select score from model"), project.sql("select runtime_s as score from stats"));
    for run in ["a", "b", "c", "d"] {
        let log = project.run(&["logs", "model", "--run", run]).stdout;
        let own: Vec<&str> = log.lines().filter(|line| line.starts_with("at")).collect();
        assert_eq!(own, [format!("at {run}")], "each log is that of its step");
    }
    assert!(fs::read_dir(project.path("warehouse/tmp")).unwrap().next().is_none(), "nothing is left in between");
}

#[test]
fn a_batch_that_breaks_its_word_costs_the_step_that_it_is_at() {
    let project = project(&model("batch = true\ntimeout_s = 2"), "");
    let read = "import json, sys, time\nsteps = map(json.loads, sys.stdin)\n\
                rows = {'model': [{'score': 1.0}]}\nstep = next(steps)\n";
    let good = "print(json.dumps({'step': step['step'], 'rows': rows}), flush=True)\n";
    let cases = [
        ("print('hello', flush=True)".to_owned(), "bad_report", "`hello`"),
        ("print(json.dumps({'step': 'z', 'rows': rows}), flush=True)".to_owned(), "bad_report", "nobody asked"),
        ("print(json.dumps({'step': step['step'], 'row': 1}), flush=True)".to_owned(), "bad_report", "unknown field"),
        ("sys.exit(0)".to_owned(), "command_ended", "before it reported"),
        ("sys.exit(5)".to_owned(), "command_failed", "exit code 5"),
        ("time.sleep(600)".to_owned(), "command_timed_out", "2 s"),
        ("sys.stdout.close(); time.sleep(1); sys.exit(7)".to_owned(), "command_failed", "exit code 7"),
    ];
    for (rest, code, words) in cases {
        fs::write(project.path("work.py"), format!("{read}{rest}\n")).unwrap();
        let reason = failure(&project);
        assert_eq!(reason["code"], code, "{rest}: {reason}");
        assert!(reason["message"].as_str().unwrap().contains(words), "{rest}: {reason}");
    }
    // A second report comes too late for the step that it is of: the next one pays.
    fs::write(project.path("work.py"), format!("{read}{good}step2 = next(steps)\n{good}time.sleep(600)\n")).unwrap();
    let build = project.build(&["model", "--jobs", "2"]);
    let steps = build.lines();
    let failed = steps.iter().find(|line| line["outcome"] == "failed").unwrap_or_else(|| panic!("{build:?}"));
    assert_eq!(failed["reason"]["code"], "bad_report");
    assert!(failed["reason"]["message"].as_str().unwrap().contains("a second time"), "{failed}");
    // One that never reports is not started for every step of thousands.
    for run in 0..6 {
        project.source(&format!("{run}.csv"), &(HEADER.to_owned() + &run_rows(&format!("r{run}"), 1.0)));
    }
    fs::write(project.path("work.py"), "open('starts', 'a').write('x')").unwrap();
    assert_eq!(project.build(&[]).code, 1);
    assert_eq!(fs::read_to_string(project.path("starts")).unwrap(), "xx");
    let errors = project.run(&["errors", "model", "--json"]).json().to_string();
    assert!(errors.contains("command_gave_up") && errors.contains("command_ended"), "{errors}");
}

#[test]
fn wrong_definitions_are_refused_before_anything_is_made() {
    let project = project("", "");
    let columns = "columns.x = 'float'";
    let cases = [
        ("sql = 'select 1'\ncommand = ['true']".to_owned(), "bad_setting", "not both"),
        ("sql = 'select time from wide'\ninputs = ['wide']".to_owned(), "bad_setting", "assets.t.inputs"),
        (format!("command = []\n{columns}"), "bad_definition", "`command` is empty"),
        ("command = ['true']\ninputs = ['wide']".to_owned(), "bad_definition", "declares no columns"),
        ("command = ['true']\ncolumns.x = 'flaot'".to_owned(), "bad_setting", "did you mean `float`?"),
        ("command = ['true']\ncolumns.x = { unit = 'mm' }".to_owned(), "bad_setting", "what the column holds"),
        (format!("command = ['true']\ninputs = ['wied']\n{columns}"), "unknown_table", "did you mean `wide`?"),
        (format!("command = ['true']\ninputs = ['wide.x_3']\n{columns}"), "unknown_column", "did you mean `x_"),
        (format!("command = ['python3', 'nope.py']\n{columns}"), "bad_definition", "`nope.py` can't be read"),
        (format!("command = ['true']\ncode = ['lib/*.py']\n{columns}"), "bad_definition", "names no file"),
        (format!("command = ['true']\ninputs = ['t']\n{columns}"), "asset_cycle", "t → t"),
        (format!("command = ['true']\ntimeout_s = 0\n{columns}"), "bad_setting", "timeout_s"),
        (
            format!("command = ['true']\ninputs = ['wide']\ncolumns.run_uuid = 'text'\n{columns}"),
            "bad_definition",
            "run_uuid",
        ),
        (format!("command = ['true']\n{columns}\noutputs.wide.columns.x = 'float'"), "name_taken", "`wide`"),
        (format!("command = ['true']\n{columns}\ncolumns.y = 3"), "bad_setting", "a type such as"),
    ];
    for (definition, code, words) in cases {
        project.settings(&format!("[assets.t]\n{definition}\n"));
        let output = project.run(&["plan", "--json"]);
        let error = output.json();
        assert_eq!((output.code, &error["code"]), (2, &Value::from(code)), "{definition}: {error}");
        assert!(error["message"].as_str().unwrap().contains(words), "{definition}: {error}");
    }
}
