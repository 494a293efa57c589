//! A project in a folder of its own, and the program run on it as a person would.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A folder with settings, sources and a store.
pub(crate) struct Project {
    pub(crate) dir: tempfile::TempDir,
}

/// What a call printed and how it ended.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// What a failed test leaves is looked at.
impl Drop for Project {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.dir.disable_cleanup(true);
            eprintln!("the project is kept in {}", self.dir.path().display());
        }
    }
}

impl Output {
    /// The one JSON value on stdout.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// `outcome → "asset of run"` of every step that was not fresh; the log of a build.
    pub(crate) fn log(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut log: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for line in self.lines().into_iter().filter(|line| line["event"] == "step") {
            let step = format!("{} of {}", line["asset"].as_str().unwrap(), line["run"].as_str().unwrap_or("-"));
            assert!(log.entry(line["outcome"].as_str().unwrap().into()).or_default().insert(step), "told twice");
        }
        log
    }

    pub(crate) fn lines(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }

    pub(crate) fn finished(&self) -> Value {
        self.lines().into_iter().rfind(|line| line["event"] == "finished").unwrap_or_else(|| panic!("{self:?}"))
    }
}

/// A log: (outcome, assets, runs), … as `Output::log` gives it.
pub(crate) fn log(parts: &[(&str, &str, &str)]) -> BTreeMap<String, BTreeSet<String>> {
    let mut log: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (outcome, assets, runs) in parts {
        for asset in assets.split(' ') {
            let runs = runs.split(' ').map(|run| format!("{asset} of {run}"));
            log.entry((*outcome).to_owned()).or_default().extend(runs);
        }
    }
    log
}

pub(crate) const PER_RUN: &str = "raw clean wide features stats";
pub(crate) const HEADER: &str = "time,value,field,cell_id,robot_id,run_uuid,sensor_type\n";
/// 2022-11-23T20:40:00Z.
pub(crate) const BASE_US: i64 = 1_669_236_000_000_000;

impl Project {
    pub(crate) fn new() -> Self {
        let project = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir(project.path("data")).unwrap();
        project.settings("");
        project
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn settings(&self, text: &str) {
        let text = format!("sources = [\"data/*\"]\n{text}");
        std::fs::write(self.path("assets.toml"), text).unwrap();
    }

    /// Writes a source, by rename as careful writers do.
    pub(crate) fn source(&self, name: &str, text: &str) {
        std::fs::write(self.path("incoming"), text).unwrap();
        std::fs::rename(self.path("incoming"), self.path("data").join(name)).unwrap();
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_assets"));
        command.args(args).current_dir(self.dir.path()).env("NO_COLOR", "1").stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        let output = self.command(args).output().unwrap();
        Output {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// `materialize --json` with further arguments.
    pub(crate) fn build(&self, args: &[&str]) -> Output {
        self.run(&[&["materialize", "--json"], args].concat())
    }

    /// A query's rows.
    pub(crate) fn sql(&self, query: &str) -> Vec<Value> {
        let output = self.run(&["sql", query, "--format", "json"]);
        assert_eq!(output.code, 0, "{output:?}");
        output.json().as_array().unwrap().clone()
    }

    /// (asset, run) → content hash.
    pub(crate) fn hashes(&self) -> BTreeMap<(String, String), String> {
        let status = self.run(&["status", "--json"]).json();
        let mut hashes = BTreeMap::new();
        for row in status["runs"].as_array().unwrap() {
            let run = row["run"].as_str().unwrap_or("-").to_owned();
            for (asset, cell) in row["assets"].as_object().unwrap() {
                assert_eq!(cell["state"], "fresh", "{asset} of {run}");
                hashes.insert((asset.clone(), run.clone()), cell["content_hash"].as_str().unwrap().to_owned());
            }
        }
        hashes
    }
}

/// A row.
pub(crate) fn row(ms: i64, value: &str, field: &str, robot: &str, run: &str) -> String {
    let sensor = if field.starts_with('f') { "load_cell" } else { "encoder" };
    let time = assets::simulate::time_text(BASE_US + ms * 1000);
    format!("{time},{value},{field},7,{robot},{run},{sensor}\n")
}

/// A small complete run: encoders every 12 ms, load cells every 10 ms, phases of their own.
pub(crate) fn run_rows(run: &str, seconds: f64) -> String {
    let mut text = String::new();
    let end = (seconds * 1000.0) as i64;
    for robot in [1, 2] {
        let robot_text = robot.to_string();
        for ms in (robot..end).step_by(12) {
            let t = ms as f64 / 1000.0;
            for (field, value) in [("x", 100.0 * t.cos()), ("y", 100.0 * t.sin()), ("z", -t)] {
                text.write_str(&row(ms, &format!("{value:.3}"), field, &robot_text, run)).unwrap();
            }
        }
        for ms in (robot + 5..end).step_by(10) {
            let t = ms as f64 / 1000.0;
            for (field, value) in [("fx", 3.0 * t), ("fy", 4.0 * t), ("fz", -250.0)] {
                text.write_str(&row(ms, &format!("{value:.4}"), field, &robot_text, run)).unwrap();
            }
        }
    }
    text
}
