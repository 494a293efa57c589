//! A plan for scripts.

use super::Answer;
use super::estimate::computes;
use assets_core::Reason;
use assets_core::freshness::State;
use assets_core::graph::Graph;
use assets_engine::plan::PlannedStep;
use serde_json::{Map, Value, json};

pub(crate) fn of(answer: &Answer<'_>) -> Value {
    let counts = answer.plan.counts();
    let counts: Map<String, Value> =
        State::ALL.iter().map(|state| (state.name().into(), counts.get(state).copied().unwrap_or(0).into())).collect();
    let steps: Vec<Value> = answer.plan.steps.iter().map(|planned| step(answer.graph, planned)).collect();
    let cost = answer.estimate.of(&answer.plan.steps);
    json!({
        "steps": steps,
        "counts": counts,
        "estimated_seconds": cost.rounded_seconds(),
        "estimated_elapsed_seconds": cost.rounded_seconds().map(|_| (answer.estimate.elapsed(&cost) * 1e3).round() / 1e3),
        "estimated_bytes": cost.whole_bytes(),
        "assets": assets(answer),
        "gone": answer.plan.to_take_down().map(|gone| json!({
            "asset": gone.step.asset.as_str(),
            "run": gone.step.partition.run(),
            "reasons": [gone.reason.to_json()],
        })).collect::<Vec<_>>(),
    })
}

/// What each asset that has something to make costs, in the order of the plan.
fn assets(answer: &Answer<'_>) -> Vec<Value> {
    let mut found = Vec::new();
    for name in answer.graph.order() {
        let own = || answer.plan.steps.iter().filter(|planned| planned.step.asset == *name);
        let cost = answer.estimate.of(own());
        if cost.steps > 0 {
            let runs = own().filter(|planned| computes(planned.verdict.state) && !planned.step.partition.is_none());
            found.push(json!({
                "asset": name.as_str(),
                "steps": cost.steps,
                "runs": runs.count(),
                "estimated_seconds": cost.rounded_seconds(),
                "estimated_bytes": cost.whole_bytes(),
            }));
        }
    }
    found
}

fn step(graph: &Graph, planned: &PlannedStep) -> Value {
    let reasons: Vec<Value> = planned.verdict.reasons.iter().map(Reason::to_json).collect();
    let name = &planned.step.asset;
    let mut step = json!({
        "asset": name.as_str(),
        "run": planned.step.partition.run(),
        "state": planned.verdict.state.name(),
        "reasons": reasons,
        "warnings": planned.warnings().iter().map(Reason::to_json).collect::<Vec<_>>(),
    });
    if graph.asset(name.as_str()).is_some_and(|asset| asset.by_column) && !planned.parts.is_empty() {
        let named = |state: State| -> Vec<&str> {
            let own = planned.parts.iter().filter(|part| part.output == *name && part.state == state);
            own.map(|part| part.id.column.as_str()).collect()
        };
        step["columns"] = named(State::Stale).into();
        step["columns_maybe"] = named(State::Maybe).into();
        step["columns_reused"] = [named(State::Fresh), named(State::Reusable)].concat().into();
    } else {
        let output = graph.output(name.as_str()).filter(|_| computes(planned.verdict.state));
        let columns = output.into_iter().flat_map(|o| &o.columns).map(|column| column.name.as_str());
        step["columns"] = columns.collect();
    }
    let parts = planned.parts.iter().filter(|part| part.state != State::Fresh);
    let parts = parts.map(|part| {
        let reasons: Vec<Value> = part.reasons.iter().map(Reason::to_json).collect();
        json!({"output": part.output.as_str(), "part": part.id.to_string(), "state": part.state.name(), "reasons": reasons})
    });
    step["parts"] = parts.collect();
    step
}
