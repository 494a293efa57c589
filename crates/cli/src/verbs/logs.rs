//! `assets logs`: what a step printed when it was made last.

use crate::app::{App, Failure};
use crate::args::{Global, LogsArgs};
use crate::edge;
use crate::out::Out;
use crate::render::words;
use crate::session::Session;
use assets_core::Reason;
use serde_json::json;

pub(crate) fn run(app: &dyn App, out: &Out, global: &Global, args: &LogsArgs) -> Result<u8, Failure> {
    let session = Session::recorded(app, global)?;
    let step = match session.recorded_step(&args.asset, args.run.as_deref()) {
        Ok(step) => step,
        // One that is made right now for the first time is in no record yet.
        Err(_) => Session::open(app, global)?.step(&args.asset, args.run.as_deref())?.0,
    };
    let failed = |reason| Failure { reason, help: None, exit: edge::STORE };
    let Some(log) = session.project.logs().read(&step, u64::MAX).map_err(failed)? else {
        let message = format!("there is no log of {step}: it printed nothing, or was not made by a command yet");
        let help = "an asset with a `command` in assets.toml keeps what it prints".to_owned();
        return Err(Failure { reason: Reason::new("no_log", message), help: Some(help), exit: edge::DATA });
    };
    let log = String::from_utf8_lossy(&log);
    if out.json {
        out.json(&json!({"asset": step.asset.as_str(), "run": step.partition.run(), "log": log}));
        return Ok(0);
    }
    for line in log.lines() {
        out.line(&words::safe(line));
    }
    Ok(0)
}
