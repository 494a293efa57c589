//! What a build's answer needs to say at its end, gathered from the events.

use assets_core::record::Outcome;
use assets_core::{AssetName, Reason, Step};
use assets_engine::Event;
use std::collections::BTreeMap;

/// What went wrong, and what is null.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Steps that failed, with why.
    pub(crate) failed: Vec<(Step, Reason)>,
    /// Steps that are blocked, with the root cause.
    pub(crate) blocked: Vec<(Step, Reason)>,
    /// Sources that can't be read.
    pub(crate) sources: Vec<(String, Reason)>,
    /// Columns that are null throughout a table: how many, by reason code with one of its sentences.
    pub(crate) unavailable: BTreeMap<String, (usize, String)>,
    /// Files looked at.
    pub(crate) files: usize,
}

impl Tally {
    /// Counts one event.
    pub(crate) fn event(&mut self, event: &Event) {
        match event {
            Event::Identified { files, .. } => self.files = *files,
            Event::Source { path, reason } => self.sources.push((path.clone(), reason.clone())),
            Event::Step(step) => {
                let reason = || step.reason.clone().unwrap_or_else(|| Reason::new("failed", "it failed"));
                match step.outcome {
                    Outcome::Failed => self.failed.push((step.step.clone(), reason())),
                    Outcome::Blocked => self.blocked.push((step.step.clone(), reason())),
                    _ => {}
                }
                for (_, column) in &step.unavailable {
                    let reason = &column.reason;
                    let entry = self.unavailable.entry(reason.code.clone());
                    entry.or_insert_with(|| (0, reason.message.clone())).0 += 1;
                }
            }
            _ => {}
        }
    }

    /// The assets that a failed step blocks, in order.
    pub(crate) fn blocked_by(&self, step: &Step) -> Vec<AssetName> {
        let root = |reason: &Reason, name: &str| match reason.facts.get(name) {
            Some(assets_core::Fact::Text(text)) => Some(text.clone()),
            _ => None,
        };
        let mut names: Vec<AssetName> = Vec::new();
        for (blocked, reason) in &self.blocked {
            let same_asset = root(reason, "root_asset").as_deref() == Some(step.asset.as_str());
            if same_asset && root(reason, "root_run") == step.partition.run() && !names.contains(&blocked.asset) {
                names.push(blocked.asset.clone());
            }
        }
        names
    }
}
