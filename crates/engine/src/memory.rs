//! What a process really takes of memory, beside what is known before: a query can make far more than it reads, and
//! nothing in a data frame library can be stopped halfway. So the process looks at itself while it works. Where it takes
//! more than it may, no further step begins; where it takes a quarter more, it has to end, which a store survives.
//!
//! Not here: how it ends, and whether it begins again.

use assets_core::{Reason, Step};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Between two looks: what two cores fill meanwhile is some tens of MiB.
const TICK: Duration = Duration::from_millis(10);

/// What may be taken beyond a small allowance before it is an excess: allocators keep what was freed for a while.
const SLACK_LEAST: u64 = 64 << 20;

/// More was taken than may be.
#[derive(Debug, Clone, PartialEq)]
pub struct Excess {
    /// The steps that were being made.
    pub steps: Vec<Step>,
    /// What the process took for its work.
    pub taken_bytes: u64,
    /// What it may take.
    pub allowed_bytes: u64,
}

impl Excess {
    /// As what the program ends with.
    pub fn reason(&self) -> Reason {
        let mib = |bytes: u64| bytes >> 20;
        let message = format!(
            "this took {} MiB of memory, and {} MiB are allowed: raise `memory` in the settings, or ask for less at once",
            mib(self.taken_bytes),
            mib(self.allowed_bytes)
        );
        let reason = Reason::new("memory_needed", message);
        reason.with("needed_bytes", self.taken_bytes).with("allowed_bytes", self.allowed_bytes)
    }
}

/// Memory that the process takes, if the system says.
pub type TakenBytes = fn() -> Option<u64>;

/// What ends the process.
pub type End = dyn Fn(&Excess) + Send + Sync;

/// A look at what the process takes, for as long as it lives.
pub struct Watch {
    shared: Arc<Shared>,
}

struct Shared {
    allowed: u64,
    taken: TakenBytes,
    /// What the process took when nothing was being made: records and what is published of them are no step's.
    base: AtomicU64,
    /// When that was.
    base_at: Mutex<Option<Instant>>,
    steps: Mutex<BTreeSet<Step>>,
    is_full: AtomicBool,
    has_ended: AtomicBool,
}

impl Shared {
    fn steps(&self) -> MutexGuard<'_, BTreeSet<Step>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, end: &End) {
        let taken = (self.taken)().unwrap_or_default().saturating_sub(self.base.load(Ordering::SeqCst));
        self.is_full.store(taken > self.allowed, Ordering::SeqCst);
        if taken > self.allowed.saturating_add(SLACK_LEAST.max(self.allowed / 4)) {
            let steps = self.steps().iter().cloned().collect();
            end(&Excess { steps, taken_bytes: taken, allowed_bytes: self.allowed });
        }
    }
}

impl Watch {
    /// Begins to look. Where the system doesn't say what a process takes, nothing is ever too much.
    pub fn begin(allowed: u64, taken: TakenBytes, end: Arc<End>) -> Self {
        let (base_at, steps, is_full, has_ended) = Default::default();
        let base = AtomicU64::new(taken().unwrap_or_default());
        let shared = Arc::new(Shared { allowed, taken, base, base_at, steps, is_full, has_ended });
        let watched = Arc::clone(&shared);
        let look = move || {
            while !watched.has_ended.load(Ordering::SeqCst) {
                watched.look(end.as_ref());
                std::thread::park_timeout(TICK);
            }
        };
        // Without it the estimates alone hold.
        let _ = std::thread::Builder::new().name("memory".to_owned()).spawn(look);
        Self { shared }
    }

    /// Whether more is taken than may be.
    pub(crate) fn is_full(&self) -> bool {
        self.shared.is_full.load(Ordering::SeqCst)
    }

    /// What is taken now is nobody's: no step is being made. Asking the system takes as long as making a small step, so it
    /// isn't asked between two ticks.
    pub(crate) fn begin_anew(&self) {
        let mut base_at = self.shared.base_at.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_full() && base_at.is_some_and(|at| at.elapsed() < TICK) {
            return;
        }
        *base_at = Some(Instant::now());
        self.shared.base.store((self.shared.taken)().unwrap_or_default(), Ordering::SeqCst);
        self.shared.is_full.store(false, Ordering::SeqCst);
    }

    /// Says that a step is being made, until what comes back is dropped.
    pub(crate) fn making(&self, step: &Step) -> Making<'_> {
        self.shared.steps().insert(step.clone());
        Making { shared: &self.shared, step: step.clone() }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.has_ended.store(true, Ordering::SeqCst);
    }
}

/// A step is being made.
pub(crate) struct Making<'a> {
    shared: &'a Shared,
    step: Step,
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        self.shared.steps().remove(&self.step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assets_core::{AssetName, Partition};
    use std::sync::mpsc::channel;

    #[test]
    fn what_is_taken_beyond_what_may_be_is_told_with_what_is_being_made() {
        static TAKEN: AtomicU64 = AtomicU64::new(500 << 20);
        let (told, excesses) = channel();
        let end = Arc::new(move |excess: &Excess| drop(told.send(excess.clone())));
        let watch = Watch::begin(256 << 20, || Some(TAKEN.load(Ordering::SeqCst)), end);
        let step = Step::new(&AssetName::new("large").expect("a name"), &Partition::many([("run", "a")]));
        // What earlier ones left behind is none of it.
        TAKEN.store(700 << 20, Ordering::SeqCst);
        watch.begin_anew();
        let making = watch.making(&step);
        TAKEN.store((700 + 256 + 64) << 20, Ordering::SeqCst);
        assert!(excesses.recv_timeout(TICK * 10).is_err());
        TAKEN.fetch_add(1, Ordering::SeqCst);
        let excess = excesses.recv_timeout(Duration::from_secs(60)).expect("told");
        let expected = Excess { steps: vec![step], taken_bytes: ((256 + 64) << 20) + 1, allowed_bytes: 256 << 20 };
        assert_eq!((excess, watch.is_full()), (expected, true));
        TAKEN.store(500 << 20, Ordering::SeqCst);
        drop(making);
        drop(watch);
        // Nobody looks any more.
        while excesses.recv().is_ok() {}
    }
}
