//! Events as JSON lines on stdout: scripts rely on these shapes.

use super::Progress;
use crate::out::Out;
use assets_core::Reason;
use assets_core::record::Outcome;
use assets_engine::Event;
use assets_engine::event::StepEvent;
use serde_json::{Map, Value, json};

/// Prints each event that scripts know.
pub(crate) struct JsonLines<'a> {
    out: &'a Out,
}

impl<'a> JsonLines<'a> {
    pub(crate) fn new(out: &'a Out) -> Self {
        Self { out }
    }
}

impl Progress for JsonLines<'_> {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Warning(reason) => self.out.json_line(&warning(reason)),
            Event::Source { path, reason } => {
                self.out.json_line(&json!({"event": "source", "path": path, "reason": reason.to_json()}));
            }
            Event::Step(step) if step.outcome != Outcome::Fresh => self.out.json_line(&step_json(step)),
            Event::Gone { step, reason } => self.out.json_line(&json!({
                "event": "gone",
                "asset": step.asset.as_str(),
                "run": step.partition.run(),
                "reason": reason.to_json(),
            })),
            Event::Finished { counts, gone, seconds, interrupted } => self.out.json_line(&json!({
                "event": "finished",
                "made": counts.made,
                "reused": counts.reused,
                "fresh": counts.fresh,
                "failed": counts.failed,
                "blocked": counts.blocked,
                "cancelled": counts.cancelled,
                "gone": gone,
                "seconds": seconds,
                "interrupted": interrupted,
            })),
            _ => {}
        }
    }
}

fn warning(reason: &Reason) -> Value {
    let mut object = Map::new();
    object.insert("event".into(), "warning".into());
    if let Value::Object(facts) = reason.to_json() {
        facts.into_iter().for_each(|(name, fact)| {
            object.entry(name).or_insert(fact);
        });
    }
    object.into()
}

fn step_json(step: &StepEvent) -> Value {
    let mut object = Map::new();
    object.insert("event".into(), "step".into());
    object.insert("asset".into(), step.step.asset.as_str().into());
    object.insert("run".into(), step.step.partition.run().into());
    object.insert("outcome".into(), step.outcome.name().into());
    if let Some(reason) = &step.reason {
        object.insert("reason".into(), reason.to_json());
    }
    if let Some(rows) = step.rows {
        object.insert("rows".into(), rows.into());
    }
    if matches!(step.outcome, Outcome::Made | Outcome::Reused) {
        object.insert("columns_computed".into(), step.computed.clone().into());
        object.insert("columns_reused".into(), step.reused.clone().into());
    }
    if let Some(seconds) = step.seconds {
        object.insert("seconds".into(), seconds.into());
    }
    object.into()
}
