//! `assets plan`: what materialize would do, each step with its reasons, and what it may cost.

mod estimate;
mod groups;
mod json;
mod text;

use self::estimate::Estimate;
use crate::app::{App, Failure};
use crate::args::{Global, MaterializeArgs, ScopeArgs};
use crate::out::Out;
use crate::session::Session;
use assets_core::graph::Graph;
use assets_engine::plan::Plan;

/// A plan with all that is told of it.
pub(crate) struct Answer<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) plan: &'a Plan,
    pub(crate) estimate: Estimate<'a>,
}

pub(crate) fn run(app: &dyn App, out: &Out, global: &Global, args: &ScopeArgs) -> Result<u8, Failure> {
    dry_run(app, out, global, &MaterializeArgs { scope: args.clone(), ..MaterializeArgs::default() })
}

/// The plan of a materialize with these flags.
pub(crate) fn dry_run(app: &dyn App, out: &Out, global: &Global, args: &MaterializeArgs) -> Result<u8, Failure> {
    let session = Session::open(app, global)?;
    let mut scope = session.scope(&args.scope)?;
    if args.only {
        scope.assets.clone_from(&scope.selected);
    }
    (scope.only, scope.force) = (args.only, args.force);
    let plan = session.plan(&scope);
    let answer = Answer { graph: session.project.graph(), plan: &plan, estimate: Estimate::new(&session, &plan) };
    if out.json {
        out.json(&json::of(&answer));
    } else {
        session.warn(out);
        text::tell(out, &answer);
    }
    Ok(0)
}
