//! What is told of runs that are gone: no source delivers them any more.

use super::time::moment;
use super::{number, words};
use crate::out::Out;
use crate::session::GoneRun;
use assets_core::{Partition, Reason};
use assets_engine::gone::Gone;
use assets_engine::plan::Plan;
use serde_json::Value;
use std::collections::BTreeMap;

/// Runs that are named one by one.
const NAMED: usize = 3;

/// Runs that are gone, each with its first reason.
fn runs<'a>(gone: impl Iterator<Item = &'a Gone>) -> BTreeMap<&'a Partition, &'a Reason> {
    let mut runs = BTreeMap::new();
    for gone in gone {
        runs.entry(&gone.step.partition).or_insert(&gone.reason);
    }
    runs
}

/// `2 runs are gone: no source delivers them any more (a, b)`
fn line(runs: &BTreeMap<&Partition, &Reason>) -> Option<String> {
    let named: Vec<String> = runs.keys().take(NAMED).map(ToString::to_string).collect();
    let more = if runs.len() > NAMED { format!(" and {} more", runs.len() - NAMED) } else { String::new() };
    let named = format!("({}{more})", named.join(", "));
    match runs.len() {
        0 => None,
        1 => Some(format!("1 run is gone: no source delivers it any more {named}")),
        n => Some(format!("{} are gone: no source delivers them any more {named}", number::plural(n, "run"))),
    }
}

/// Tells a person how many runs of a plan's scope are gone.
pub(crate) fn tell(out: &Out, plan: &Plan) {
    if let Some(line) = line(&runs(plan.gone.iter())) {
        out.line(&words::dim(words::safe(&line)));
    }
}

/// What a build would take down: how many tables of which runs, and who delivered the first few last.
pub(crate) fn to_take_down(plan: &Plan) -> Vec<String> {
    let runs = runs(plan.to_take_down());
    let Some(line) = line(&runs) else { return Vec::new() };
    let steps = plan.to_take_down().count();
    let mut lines = vec![format!("{line}: tables of {} to take down", number::plural(steps, "step"))];
    lines.extend(runs.values().take(NAMED).map(|reason| format!("  {}", reason.message)));
    lines
}

/// Tells of a run that was asked for: that it is gone, since when, and why.
pub(crate) fn tell_one(out: &Out, gone: &GoneRun) {
    let since = match gone.down_us {
        Some(us) => format!("is gone since {}", moment(us)),
        None => "is gone, and the next build takes its tables down".to_owned(),
    };
    out.line(&words::safe(&format!("{} {since}: {}", gone.run, gone.reason.message)));
}

/// The same for scripts.
pub(crate) fn one_json(gone: &GoneRun) -> Value {
    let mut told = gone.reason.to_json();
    told["run"] = gone.run.as_str().into();
    told["since"] = gone.down_us.map(moment).into();
    told
}

/// Runs that are gone, for scripts.
pub(crate) fn runs_json(plan: &Plan) -> Vec<Value> {
    let told = |(partition, reason): (&Partition, &Reason)| {
        let mut told = reason.to_json();
        told["run"] = partition.run().into();
        told
    };
    runs(plan.gone.iter()).into_iter().map(told).collect()
}
