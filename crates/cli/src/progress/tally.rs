//! What a build's answer needs to say at its end, gathered from the events.

use crate::render::{number, words};
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
    /// Columns that are null throughout a table: how many, by the sentence that says why.
    pub(crate) unavailable: BTreeMap<String, usize>,
    /// Files looked at.
    pub(crate) files: usize,
    /// How much was told that a person should know, whatever became of steps.
    pub(crate) warnings: usize,
}

impl Tally {
    /// Counts one event.
    pub(crate) fn event(&mut self, event: &Event) {
        match event {
            Event::Identified { files, .. } => self.files = *files,
            Event::Warning(_) => self.warnings += 1,
            Event::Source { path, reason } => self.sources.push((path.clone(), reason.clone())),
            Event::Step(step) => {
                let reason = || step.reason.clone().unwrap_or_else(|| Reason::new("failed", "it failed"));
                match step.outcome {
                    Outcome::Failed => self.failed.push((step.step.clone(), reason())),
                    Outcome::Blocked => self.blocked.push((step.step.clone(), reason())),
                    _ => {}
                }
                for (_, column) in &step.unavailable {
                    *self.unavailable.entry(column.reason.message.clone()).or_default() += 1;
                }
            }
            _ => {}
        }
    }

    /// How many columns are null throughout, and why: of several causes the one that most columns have, with how many
    /// others there are.
    pub(crate) fn unavailable_line(&self) -> Option<String> {
        let (cause, most) = self.unavailable.iter().max_by(|(a, n), (b, m)| n.cmp(m).then(b.cmp(a)))?;
        let all = number::plural(self.unavailable.values().sum::<usize>(), "column");
        let cause = words::safe(cause);
        Some(match self.unavailable.len() - 1 {
            0 => format!("{all} null throughout: {cause}"),
            others => {
                let others = number::plural(others, "further cause");
                format!("{all} null throughout: {cause} ({most} of them); and {others}")
            }
        })
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

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn one_cause_is_not_told_for_another() {
        let mut tally = Tally::default();
        assert_eq!(tally.unavailable_line(), None);
        tally.unavailable.insert("no row of encoder 1 was delivered".to_owned(), 2);
        let one = "2 columns null throughout: no row of encoder 1 was delivered";
        assert_eq!(tally.unavailable_line().as_deref(), Some(one));
        tally.unavailable.insert("every sample lies in a gap".to_owned(), 3);
        let two = "5 columns null throughout: every sample lies in a gap (3 of them); and 1 further cause";
        assert_eq!(tally.unavailable_line().as_deref(), Some(two));
    }
}
