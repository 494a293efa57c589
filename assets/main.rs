//! The `assets` program: the command line around the telemetry pipeline.

use assets::project::Telemetry;
use std::process::ExitCode;

/// Steps hold much and let it go again: what they held must not stay with the process.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    assets_cli::run(&Telemetry::default(), std::env::args_os())
}
