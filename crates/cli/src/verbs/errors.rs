//! `assets errors`: what is wrong, why, and what it costs.

use crate::app::{App, Failure};
use crate::args::{Global, ScopeArgs};
use crate::out::Out;
use crate::render::{number, words};
use crate::session::Session;
use crate::verbs::why::listed;
use assets_core::Step;
use assets_engine::inspect::{self, Problem, ProblemKind};
use serde_json::{Map, Value, json};

pub(crate) fn run(app: &dyn App, out: &Out, global: &Global, args: &ScopeArgs) -> Result<u8, Failure> {
    let session = Session::open_for(app, global, &args.select, &args.runs)?;
    let scope = session.scope(args)?;
    let plan = session.plan(&scope);
    let problems = inspect::problems(&session.world(), &plan);
    if out.json {
        out.json(&json!({"errors": problems.iter().map(problem_json).collect::<Vec<_>>()}));
        return Ok(0);
    }
    session.sources.warnings.iter().for_each(|warning| out.warn(&warning.message));
    if problems.is_empty() {
        out.line("no errors");
    }
    for kind in [ProblemKind::Source, ProblemKind::Failure, ProblemKind::Unavailable] {
        let of_kind: Vec<&Problem> = problems.iter().filter(|problem| problem.kind == kind).collect();
        if !of_kind.is_empty() {
            out.line(&words::bold(heading(kind, of_kind.len())));
            of_kind.iter().for_each(|problem| text(out, problem));
        }
    }
    Ok(0)
}

fn heading(kind: ProblemKind, n: usize) -> String {
    match kind {
        ProblemKind::Source => format!("{} can't be read", number::plural(n, "source")),
        ProblemKind::Failure => format!("{} failed: the earlier tables stay published", number::plural(n, "step")),
        ProblemKind::Unavailable => format!("{} of columns that are null for a whole run", number::plural(n, "group")),
    }
}

fn text(out: &Out, problem: &Problem) {
    let whose = problem.step.as_ref().map(|step| match problem.kind {
        ProblemKind::Unavailable => step.partition.run().unwrap_or_else(|| step.asset.to_string()),
        _ => step.to_string(),
    });
    let whose = whose.map(|whose| format!("{whose}: ")).unwrap_or_default();
    let code = words::dim(format!("({})", problem.reason.code));
    out.line(&format!("  {whose}{} {code}", words::safe(&problem.reason.message)));
    if let Some(assets_core::Fact::Text(path)) = problem.reason.facts.get("path")
        && !problem.reason.message.contains(path.as_str())
    {
        out.line(&format!("    file: {path}"));
    }
    if !problem.blocks.is_empty() {
        let blocks: Vec<String> = problem.blocks.iter().map(ToString::to_string).collect();
        out.line(&format!("    blocks {}", listed(&blocks)));
    }
    if !problem.left_out_of.is_empty() {
        let readers: Vec<String> = problem.left_out_of.iter().map(ToString::to_string).collect();
        out.line(&format!("    left out of {}", listed(&readers)));
    }
    if !problem.columns.is_empty() {
        let columns: Vec<String> =
            problem.columns.iter().map(|(output, column)| format!("{output}.{column}")).collect();
        out.line(&format!("    null: {}", listed(&columns)));
    }
}

fn problem_json(problem: &Problem) -> Value {
    let step = problem.step.as_ref();
    let mut object = Map::new();
    object.insert("kind".into(), problem.kind.name().into());
    object.insert("asset".into(), step.map(|step| step.asset.to_string()).into());
    object.insert("run".into(), step.and_then(|step| step.partition.run()).into());
    object.insert("code".into(), problem.reason.code.clone().into());
    object.insert("message".into(), problem.reason.message.clone().into());
    if !problem.columns.is_empty() {
        let columns =
            problem.columns.iter().map(|(output, column)| json!({"output": output.as_str(), "column": column}));
        object.insert("columns".into(), columns.collect());
    }
    let step = |s: &Step| json!({"asset": s.asset.as_str(), "run": s.partition.run()});
    object.insert("blocks".into(), problem.blocks.iter().map(step).collect());
    object.insert("left_out_of".into(), problem.left_out_of.iter().map(step).collect());
    if let Value::Object(facts) = problem.reason.to_json() {
        facts.into_iter().for_each(|(name, fact)| {
            object.entry(name).or_insert(fact);
        });
    }
    object.into()
}
