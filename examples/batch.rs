//! A benchmark: a table by a Python script over many runs, one process for all of them, against as many processes of an
//! empty script.
//!
//! `cargo run --release --example batch` takes 500 runs; `-- 100` takes 100. Needs `python3` on the PATH.

use assets::project::Telemetry;
use std::error::Error;
use std::path::Path;
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

fn program(dir: &Path, args: &[&str]) -> Result<f64, Box<dyn Error>> {
    timed(Command::new(std::env::current_exe()?).args(args).env(AS_PROGRAM, "1").current_dir(dir))
}

fn measure(runs: u32) -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let dir = dir.path();
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/commands");
    for name in ["assets.toml", "assets_step.py", "score.py", "peaks.py"] {
        std::fs::copy(scripts.join(name), dir.join(name))?;
    }
    std::fs::write(dir.join("empty.py"), "")?;
    program(dir, &["simulate", "data", "--runs", &runs.to_string(), "--seconds", "3", "-q"])?;
    program(dir, &["materialize", "stats", "-q"])?;
    println!("{runs} runs");
    let mut ratios = Vec::new();
    for round in 0..3 {
        let force: &[&str] = if round == 0 { &[] } else { &["--force"] };
        let batch = program(dir, &[&["materialize", "score", "-q"], force].concat())?;
        let start = Instant::now();
        for _ in 0..runs {
            timed(Command::new("python3").arg("empty.py").current_dir(dir))?;
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
