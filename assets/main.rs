//! The `assets` program: the command line around the telemetry pipeline.

use assets::project::Telemetry;
use std::process::ExitCode;

fn main() -> ExitCode {
    assets_cli::run(&Telemetry::default(), std::env::args_os())
}
