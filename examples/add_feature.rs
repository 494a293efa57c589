//! A benchmark, and how a feature is added in Rust: one more column over stored runs, against making `features` again.
//!
//! `cargo run --release --example add_feature` takes 200 runs of a minute, then 5 of an hour; `-- 20 10` takes 20 runs
//! of 10 s. Needs about 4 GB of disk for the usual sizes.

use assets::project::Telemetry;
use assets_core::{ColumnDecl, Kind};
use assets_frames::aligned::Defined;
use assets_frames::polars::prelude::col;
use std::error::Error;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

/// The feature: what a programmer writes.
fn features() -> Vec<Defined> {
    let power = col("fx_1") * col("vx_1") + col("fy_1") * col("vy_1") + col("fz_1") * col("vz_1");
    vec![Defined::expr(ColumnDecl::new("power_1", Kind::Float, "mW", "mechanical power of tool 1"), power)]
}

/// Whoever is called with arguments of the program, is the program; the feature is there when it is asked for.
const AS_PROGRAM: &str = "ADD_FEATURE_AS_PROGRAM";

fn main() -> ExitCode {
    if let Ok(what) = std::env::var(AS_PROGRAM) {
        let features = if what == "with" { features() } else { Vec::new() };
        return assets_cli::run(&Telemetry { features }, std::env::args_os());
    }
    let asked: Vec<u32> = std::env::args().skip(1).filter_map(|arg| arg.parse().ok()).collect();
    let sizes = if let [runs, seconds] = asked[..] { vec![(runs, seconds)] } else { vec![(200, 60), (5, 3600)] };
    match sizes.into_iter().try_for_each(|(runs, seconds)| measure(runs, seconds)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Seconds that the program takes.
fn program(dir: &Path, feature: &str, args: &[&str]) -> Result<f64, Box<dyn Error>> {
    let start = Instant::now();
    let mut command = Command::new(std::env::current_exe()?);
    let status = command.args(args).env(AS_PROGRAM, feature).current_dir(dir).stdout(Stdio::null()).status()?;
    if status.success() { Ok(start.elapsed().as_secs_f64()) } else { Err(format!("{args:?}: {status}").into()) }
}

/// Bytes of all objects in the store.
fn stored(dir: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for shelf in std::fs::read_dir(dir.join("warehouse/objects"))? {
        for object in std::fs::read_dir(shelf?.path())? {
            bytes += object?.metadata()?.len();
        }
    }
    Ok(bytes)
}

fn measure(runs: u32, seconds: u32) -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let dir = dir.path();
    println!("{runs} runs of {seconds} s");
    program(
        dir,
        "without",
        &["simulate", "data", "--runs", &runs.to_string(), "--seconds", &seconds.to_string(), "-q"],
    )?;
    program(dir, "without", &["init"])?;
    let all = program(dir, "without", &["materialize", "-q"])?;
    println!("  everything                {all:8.2} s");
    let before = stored(dir)?;
    let add = program(dir, "with", &["materialize", "-q"])?;
    let written = (stored(dir)? - before) as f64 / 1e6;
    println!("  one feature added         {add:8.2} s  {written:8.1} MB written");
    // Made from scratch, the tables come out with the same bytes, which are written all the same.
    let force = program(dir, "with", &["materialize", "features", "--force", "-q"])?;
    println!("  features made again       {force:8.2} s  {written:8.1} MB written");
    println!("  ratio                     {:8.2}", add / force);
    let nothing = program(dir, "with", &["materialize", "-q"])?;
    println!("  nothing to do             {nothing:8.2} s");
    let again = stored(dir)? - before;
    if again as f64 / 1e6 != written {
        println!("  made from scratch, {:.1} MB of objects differ in their bytes", again as f64 / 1e6 - written);
    }
    Ok(())
}
