//! A benchmark: a table by a Python script over many runs, one process for all of them, against as many processes of an
//! empty script.
//!
//! `cargo run --release --example batch` takes 500 runs; `-- 100` takes 100. Needs `python3` on the PATH.

use assets::project::Telemetry;
use std::error::Error;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

/// Whoever is called with this set, is the program.
const AS_PROGRAM: &str = "BATCH_AS_PROGRAM";

fn main() -> ExitCode {
    if std::env::var_os(AS_PROGRAM).is_some() {
        return assets_cli::run(&Telemetry::default(), std::env::args_os());
    }
    let runs = std::env::args().nth(1).and_then(|runs| runs.parse().ok()).unwrap_or(500);
    match measure(runs) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Seconds that a command takes.
fn timed(command: &mut Command) -> Result<f64, Box<dyn Error>> {
    let start = Instant::now();
    let status = command.stdout(Stdio::null()).status()?;
    if status.success() { Ok(start.elapsed().as_secs_f64()) } else { Err(format!("{command:?}: {status}").into()) }
}

fn program(dir: &Path, path: &OsStr, args: &[&str]) -> Result<f64, Box<dyn Error>> {
    let mut command = Command::new(std::env::current_exe()?);
    timed(command.args(args).env(AS_PROGRAM, "1").env("PATH", path).current_dir(dir))
}

/// The interpreter itself: what is on the PATH may be a script that looks for it, which would cost more than it does.
fn interpreter() -> Result<PathBuf, Box<dyn Error>> {
    let output = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output()?;
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}

fn measure(runs: u32) -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let dir = dir.path();
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/commands");
    for name in ["assets.toml", "assets_step.py", "score.py", "peaks.py"] {
        std::fs::copy(scripts.join(name), dir.join(name))?;
    }
    std::fs::write(dir.join("empty.py"), "")?;
    let python = interpreter()?;
    let old = std::env::var_os("PATH").unwrap_or_default();
    let folder = python.parent().map(Path::to_owned).unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(folder).chain(std::env::split_paths(&old)))?;
    let program = |args: &[&str]| program(dir, &path, args);
    program(&["simulate", "data", "--runs", &runs.to_string(), "--seconds", "3", "-q"])?;
    program(&["materialize", "stats", "-q"])?;
    println!("{runs} runs");
    let mut ratios = Vec::new();
    for round in 0..3 {
        let force: &[&str] = if round == 0 { &[] } else { &["--force"] };
        let batch = program(&[&["materialize", "score", "-q"], force].concat())?;
        let start = Instant::now();
        for _ in 0..runs {
            timed(Command::new(&python).arg("empty.py").current_dir(dir))?;
        }
        let empty = start.elapsed().as_secs_f64();
        println!("  one process, `assets materialize score`, all included {batch:8.2} s");
        println!(
            "  {runs} processes of an empty script                     {empty:8.2} s   {:.1} times",
            empty / batch
        );
        ratios.push(empty / batch);
    }
    ratios.sort_by(f64::total_cmp);
    println!("  median                                                {:8.1} times", ratios[1]);
    Ok(())
}
