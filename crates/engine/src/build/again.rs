//! What is tried again within a build: a failure that may pass, a little later; a step whose source changed while it was
//! read, with what the source holds now.

use super::Build;
use crate::EngineError;
use crate::event::Event;
use crate::schedule::Index;
use assets_core::excerpt::Excerpt;
use assets_core::record::{AttemptRecord, Entry};
use assets_core::{Reason, Step};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How often a step is tried again in one build.
const AGAIN_MOST: usize = 3;
/// How long a failure has to pass, the first time; then four times as long.
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// How long anything waits before it looks around.
const LONGEST_SLEEP: Duration = Duration::from_millis(50);
const CHANGED: &str = "source_changed_while_reading";

/// Steps that failed and are tried again.
#[derive(Default)]
pub(super) struct Again {
    /// Why each failed, every time.
    failed: BTreeMap<Step, Vec<Reason>>,
    /// When each is due.
    waiting: Vec<(Instant, Index)>,
    /// Failures that are not recorded yet.
    unrecorded: Vec<Entry>,
    /// Whether a source has changed since it was identified.
    sources_changed: bool,
    /// Whether sources were looked at again.
    pub(super) has_looked: bool,
}

/// Failures of the surroundings that can end by themselves, or, as that of an object that has made way, are gone.
fn may_pass(reason: &Reason) -> bool {
    matches!(
        &*reason.code,
        "disk_full" | "io_error" | "no_threads" | "object_damaged" | "store_unreadable" | "store_unwritable" | CHANGED
    )
}

impl Again {
    /// Whether a step has failed in this build, and is judged with what is true now.
    pub(super) fn has_failed(&self, step: &Step) -> bool {
        self.failed.contains_key(step)
    }

    /// What the record of a step says that failed before.
    pub(super) fn because(&self, step: &Step) -> Option<Reason> {
        let failed = self.failed.get(step)?;
        let last = failed.last()?;
        let message = format!("it was tried again {} times, the last time after: {}", failed.len(), last.message);
        Some(Reason::new("tried_again", message).with("times", failed.len()).with("cause", last.code.as_ref()))
    }

    /// Steps that are due now.
    pub(super) fn due(&mut self) -> Vec<Index> {
        let now = Instant::now();
        let (due, waiting) = std::mem::take(&mut self.waiting).into_iter().partition(|(when, _)| *when <= now);
        self.waiting = waiting;
        Vec::into_iter(due).map(|(_, at)| at).collect()
    }

    /// Takes all that wait, to give them up.
    pub(super) fn give_up(&mut self) -> Vec<Index> {
        self.waiting.drain(..).map(|(_, at)| at).collect()
    }

    /// Sleeps where there is nothing to do before the next step is due.
    pub(super) fn sleep(&self) {
        if let Some(when) = self.waiting.iter().map(|(when, _)| *when).min() {
            std::thread::sleep(when.saturating_duration_since(Instant::now()).min(LONGEST_SLEEP));
        }
    }
}

impl Build<'_> {
    /// Puts a step that failed off until later, where that may help. Its failure is recorded all the same.
    pub(super) fn put_off(&mut self, at: Index, attempt: &AttemptRecord) -> bool {
        let (step, reason) = (&attempt.step, &attempt.reason);
        let before = self.again.failed.get(step).map_or(0, Vec::len);
        if before >= AGAIN_MOST || !may_pass(reason) {
            return false;
        }
        let has_changed = reason.code == CHANGED;
        if has_changed && self.backends.source.is_none() {
            return false;
        }
        let wait = FIRST_WAIT * 4_u32.pow(u32::try_from(before).unwrap_or(0));
        let message = format!(
            "{step} failed for something that may pass ({}): it is tried again in {} ms, {} of {AGAIN_MOST}",
            reason.message,
            wait.as_millis(),
            before + 1
        );
        let told = Reason::new("trying_again", message).with("cause", reason.code.as_ref());
        (self.events)(Event::Warning(told));
        self.again.sources_changed |= has_changed;
        self.again.failed.entry(step.clone()).or_default().push(reason.clone());
        self.again.unrecorded.push(Entry::Attempt(attempt.clone()));
        self.again.waiting.push((Instant::now() + wait, at));
        true
    }

    /// Records failures of steps that were put off.
    pub(super) fn record_put_off(&mut self) -> Result<(), EngineError> {
        let mut failed = std::mem::take(&mut self.again.unrecorded);
        while let Some(step) = self.commit(failed.clone())? {
            // Another process has made it meanwhile: then nobody needs to know.
            self.take_news()?;
            failed.retain(|entry| !matches!(entry, Entry::Attempt(attempt) if attempt.step == step));
        }
        Ok(())
    }

    /// Looks at the sources again, where one has changed while it was read. A partition that is new in them is left to the
    /// next build.
    pub(super) fn look_at_sources_again(&mut self) -> Result<(), EngineError> {
        if !std::mem::take(&mut self.again.sources_changed) {
            return Ok(());
        }
        let Some(source) = self.backends.source else { return Ok(()) };
        self.again.has_looked = true;
        let whole = match self.options.beside {
            None => None,
            // Of a source that changes, what it delivered to others counts, too.
            Some(_) => Some(self.backends.catalog.ledger_of(&Excerpt::default())?),
        };
        let identified = source.identify(whole.as_ref().unwrap_or(&self.ledger), false).map_err(EngineError::Other)?;
        self.commit(identified.changed.iter().cloned().map(Entry::Source).collect())?;
        self.sources = Cow::Owned(identified);
        Ok(())
    }
}
