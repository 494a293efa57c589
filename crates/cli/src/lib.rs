//! The command line: arguments → a request → one file a verb → answers on stdout, everything else on stderr.
//!
//! Not here: what an asset is, when it is fresh, where anything is stored. clap, indicatif, console, comfy-table and
//! ctrlc are imported in this crate alone.

pub mod app;
mod args;
mod edge;
mod interrupt;
mod memory;
mod out;
mod progress;
mod render;
mod session;
pub mod size;
mod standing;
mod verbs;

use crate::app::{App, Failure};
use crate::args::{Cli, Verb};
use crate::out::Out;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

const STACK_BYTES: usize = 64 << 20;

/// Runs the program once: `args` as the shell gave them, the program's name first.
pub fn run(app: &(dyn App + Sync), args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let cli = match args::parse(&args) {
        Ok(cli) => cli,
        Err(error) => return ExitCode::from(edge::refused(&error, &args)),
    };
    let out = Out::new(&cli.global);
    let answer = || {
        dispatch(app, &out, &cli, &args).unwrap_or_else(|failure| {
            edge::report(&out, &failure);
            failure.exit
        })
    };
    // Long queries and expressions are walked by recursion: the system's stack of 8 MB is not enough for them.
    let code = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("main".to_owned()).stack_size(STACK_BYTES);
        thread.spawn_scoped(scope, answer).map(|thread| thread.join())
    });
    match code {
        Ok(Ok(code)) => ExitCode::from(code),
        // Whatever broke has told so itself.
        Ok(Err(_)) => ExitCode::from(101),
        Err(error) => {
            eprintln!("error[no_threads]: a thread can't be started: {error}");
            ExitCode::from(edge::TRANSIENT)
        }
    }
}

/// The selections and the runs that a saved plan asks for; for tests that write anything into one.
#[doc(hidden)]
pub fn asked_by_saved_plan(path: &Path) -> Result<[Vec<String>; 2], Failure> {
    let (_, asked) = verbs::plan::saved::read(path, &args::MaterializeArgs::default())?;
    Ok([asked.scope.select, asked.scope.runs])
}

/// The whole program.
fn dispatch(app: &dyn App, out: &Out, cli: &Cli, args: &[OsString]) -> Result<u8, Failure> {
    let global = &cli.global;
    match &cli.verb {
        Verb::Demo(args) => verbs::demo::run(app, out, global, args),
        Verb::Simulate(args) => verbs::simulate::run(app, out, args),
        Verb::Init(args) => verbs::init::run(app, out, global, args),
        Verb::Materialize(asked) => verbs::materialize::run(app, out, global, asked, args),
        Verb::Plan(args) => verbs::plan::run(app, out, global, args),
        Verb::Status(args) => verbs::status::run(app, out, global, args),
        Verb::Why(args) => verbs::why::run(app, out, global, args),
        Verb::History(args) => verbs::history::run(app, out, global, args),
        Verb::Diff(args) => verbs::diff::run(app, out, global, args),
        Verb::Lineage(args) => verbs::lineage::run(app, out, global, args),
        Verb::Graph(args) => verbs::graph::run(app, out, global, args),
        Verb::Runs(args) => verbs::runs::run(app, out, global, args),
        Verb::Errors(args) => verbs::errors::run(app, out, global, args),
        Verb::Logs(args) => verbs::logs::run(app, out, global, args),
        Verb::Show(args) => verbs::show::run(app, out, global, args),
        Verb::Sql(args) => verbs::sql::run(app, out, global, args),
        Verb::Files(args) => verbs::files::run(app, out, global, args),
        Verb::Forget(asked) => verbs::forget::run(app, out, global, asked, args),
        Verb::Functions(args) => verbs::functions::run(app, out, args),
        Verb::Check(args) => verbs::check::run(app, out, global, args),
        Verb::Verify(args) => verbs::verify::run(app, out, global, args),
        Verb::Repair(args) => verbs::repair::run(app, out, global, args),
        Verb::Gc(args) => verbs::gc::run(app, out, global, args),
        Verb::Pin(args) => verbs::pin::run(app, out, global, args),
        Verb::Doctor => verbs::doctor::run(app, out, global),
    }
}
