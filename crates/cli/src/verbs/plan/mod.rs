//! `assets plan`: what materialize would do, each step with its reasons, and what it may cost.

mod estimate;
mod groups;
mod json;
mod markdown;
pub(crate) mod saved;
mod text;

use self::estimate::Estimate;
use crate::app::{App, Failure};
use crate::args::{Global, MaterializeArgs, PlanArgs};
use crate::out::Out;
use crate::render::words;
use crate::session::Session;
use assets_core::Reason;
use assets_core::graph::Graph;
use assets_engine::plan::{Plan, PlannedStep};

/// A plan with all that is told of it.
pub(crate) struct Answer<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) plan: &'a Plan,
    pub(crate) estimate: Estimate<'a>,
}

pub(crate) fn run(app: &dyn App, out: &Out, global: &Global, args: &PlanArgs) -> Result<u8, Failure> {
    if args.markdown && out.json {
        return Err(Failure::usage(Reason::new(
            "wrong_usage",
            "`--markdown` and `--json` are two answers: ask for one",
        )));
    }
    let (only, force) = (args.only, args.force);
    let asked = MaterializeArgs { scope: args.scope.clone(), only, force, ..MaterializeArgs::default() };
    tell(app, out, global, &asked, args)
}

/// The plan of a materialize with these flags.
pub(crate) fn dry_run(app: &dyn App, out: &Out, global: &Global, asked: &MaterializeArgs) -> Result<u8, Failure> {
    tell(app, out, global, asked, &PlanArgs::default())
}

fn tell(app: &dyn App, out: &Out, global: &Global, asked: &MaterializeArgs, how: &PlanArgs) -> Result<u8, Failure> {
    let session = Session::open_for(app, global, &asked.scope.select, &asked.scope.runs)?;
    let mut scope = session.scope(&asked.scope)?;
    if asked.only {
        scope.assets.clone_from(&scope.selected);
    }
    (scope.only, scope.force) = (asked.only, asked.force);
    let plan = session.plan(&scope);
    let answer = Answer { graph: session.project.graph(), plan: &plan, estimate: Estimate::new(&session, &plan) };
    let mut document = None;
    if let Some(path) = &how.output {
        let saved = saved::document(json::of(&answer), &session.world(), &plan, asked);
        saved::write(path, &saved)?;
        document = Some(saved);
    }
    if out.json {
        out.json(&document.unwrap_or_else(|| json::of(&answer)));
        return Ok(0);
    }
    session.warn(out);
    for warning in plan.steps.iter().flat_map(PlannedStep::warnings) {
        out.warn(&words::safe(&warning.message));
    }
    if how.markdown {
        markdown::tell(out, &answer);
    } else {
        text::tell(out, &answer);
    }
    if let Some(path) = &how.output {
        out.hint(&format!("saved: `assets materialize --plan {}` makes exactly this", path.display()));
    }
    Ok(0)
}
