//! The executor of one machine: rayon, which lives here alone.

use assets_core::compute::Worker;
use assets_core::executor::{Executor, StepOutcome, StepRequest, WITHDRAWN};
use assets_core::panics;
use assets_core::record::Span;
use assets_core::slots::Slots;
use assets_core::{Reason, Step};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since the epoch.
pub fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Plans of long expressions are walked by recursion; what is not used of it costs nothing.
const STACK_BYTES: usize = 64 << 20;

/// Threads for each step that works at once: the others' steps wait for the disk.
const THREADS_PER_SLOT: usize = 4;

/// Runs steps on a pool of threads of its own.
pub struct Pool {
    threads: rayon::ThreadPool,
    slots: Arc<Slots>,
    worker: Arc<dyn Worker>,
    withdrawn: Arc<AtomicBool>,
    room: Arc<Room>,
}

impl Pool {
    /// A pool in which `width` steps work at once (at least one).
    pub fn new(width: usize, worker: Arc<dyn Worker>) -> Result<Self, Reason> {
        let threads = rayon::ThreadPoolBuilder::new()
            .num_threads(width.max(1).saturating_mul(THREADS_PER_SLOT))
            .thread_name(|i| format!("step-{i}"))
            .build()
            .map_err(|error| Reason::new("no_threads", format!("worker threads can't be started: {error}")))?;
        let room = Arc::new(Room::new(u64::MAX));
        Ok(Self { threads, slots: Slots::new(width), worker, withdrawn: Arc::default(), room })
    }

    /// The same, where steps in flight take no more than so many bytes of memory together, as far as that is known before.
    #[must_use]
    pub fn within(mut self, bytes: u64) -> Self {
        self.room = Arc::new(Room::new(bytes));
        self
    }
}

/// Memory that steps share.
struct Room {
    most: u64,
    taken: Mutex<u64>,
    left: Condvar,
}

impl Room {
    fn new(most: u64) -> Self {
        Self { most, taken: Mutex::default(), left: Condvar::new() }
    }

    /// Waits until there is room beside the others.
    fn enter(&self, bytes: u64) -> Inside<'_> {
        let bytes = bytes.min(self.most);
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |taken: &mut u64| *taken > self.most - bytes;
        *self.left.wait_while(taken, is_full).unwrap_or_else(PoisonError::into_inner) += bytes;
        Inside { room: self, bytes }
    }

    /// What a step that needs more than there ever is fails with.
    fn check(&self, step: &Step, bytes: u64) -> Result<(), Reason> {
        if bytes <= self.most {
            return Ok(());
        }
        let mib = |bytes: u64| bytes >> 20;
        let message = format!(
            "{step} needs about {} MiB of memory, and {} MiB are allowed: raise `memory` in the settings",
            mib(bytes),
            mib(self.most)
        );
        Err(Reason::new("memory_needed", message).with("needed_bytes", bytes).with("allowed_bytes", self.most))
    }
}

/// A share of the room, until it is dropped.
struct Inside<'a> {
    room: &'a Room,
    bytes: u64,
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        *self.room.taken.lock().unwrap_or_else(PoisonError::into_inner) -= self.bytes;
        self.room.left.notify_all();
    }
}

impl Executor for Pool {
    fn width(&self) -> usize {
        // Twice as many as work: while outcomes are committed, no thread waits for its next step.
        self.slots.most() * 2 + self.slots.away()
    }

    fn submit(&self, request: StepRequest, done: Sender<StepOutcome>) {
        let (worker, withdrawn, room) = (Arc::clone(&self.worker), Arc::clone(&self.withdrawn), Arc::clone(&self.room));
        let slots = Arc::clone(&self.slots);
        self.threads.spawn(move || {
            let not_begun = |step, reason| {
                let now = now_us();
                StepOutcome {
                    step,
                    result: Err(reason),
                    span: Span { start_us: now, end_us: now, worker: "none".into() },
                }
            };
            let bytes = worker.memory(&request);
            let outcome = match room.check(&request.step, bytes) {
                Err(reason) => not_begun(request.step, reason),
                Ok(()) => {
                    let _inside = room.enter(bytes);
                    let step = request.step.clone();
                    let work = move || {
                        slots.work(|| match withdrawn.load(Ordering::SeqCst) {
                            true => not_begun(request.step, Reason::new(WITHDRAWN, "it was not begun")),
                            false => perform(worker.as_ref(), request),
                        })
                    };
                    perform_apart(&step, Box::new(work)).unwrap_or_else(|reason| not_begun(step, reason))
                }
            };
            // The receiver is gone only when the build was given up: then nobody misses the outcome.
            let _ = done.send(outcome);
        });
    }

    fn withdraw(&self) {
        self.withdrawn.store(true, Ordering::SeqCst);
    }
}

/// A thread that belongs to no pool, and makes the steps of one that does. A thread of the pool that waits for another
/// pool (a data frame library has its own) takes up another step meanwhile, on top of the one that waits: then a step
/// could wait for a lock that is held further down on its own thread, for ever.
struct Companion {
    steps: Sender<Work>,
    outcomes: Receiver<StepOutcome>,
}

/// Makes a step.
type Work = Box<dyn FnOnce() -> StepOutcome + Send>;

thread_local! {
    static COMPANION: RefCell<Option<Companion>> = const { RefCell::new(None) };
}

impl Companion {
    fn start(name: &str) -> std::io::Result<Self> {
        let (steps, asked) = channel::<Work>();
        let (tell, outcomes) = channel();
        let thread = std::thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES);
        thread.spawn(move || {
            for work in asked {
                // It ends with its worker: whoever hears of the last outcome lets that go, and what it holds must end
                // then, not on this thread.
                if tell.send(work()).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { steps, outcomes })
    }

    fn perform(&self, work: Work) -> Option<StepOutcome> {
        self.steps.send(work).ok()?;
        self.outcomes.recv().ok()
    }
}

/// Makes one step on the companion of this thread.
fn perform_apart(step: &Step, work: Work) -> Result<StepOutcome, Reason> {
    let failed = |message: String| Reason::new("no_threads", message);
    let name = std::thread::current().name().unwrap_or("step").to_owned();
    COMPANION.with_borrow_mut(|companion| {
        let ready = match companion.take() {
            Some(ready) => ready,
            None => Companion::start(&name)
                .map_err(|error| failed(format!("a thread for {step} can't be started: {error}")))?,
        };
        let outcome = ready.perform(work);
        // One that ended without an outcome is none any more.
        *companion = outcome.is_some().then_some(ready);
        outcome.ok_or_else(|| failed(format!("the thread of {step} ended without an outcome")))
    })
}

/// Makes one step on this thread. A panic in an asset is a failed step, not the end of the build.
pub fn perform(worker: &dyn Worker, request: StepRequest) -> StepOutcome {
    let start_us = now_us();
    let result = catch_unwind(AssertUnwindSafe(|| worker.make(&request))).unwrap_or_else(|panic| {
        let text = panics::text(panic.as_ref());
        let message = format!("the code of {} panicked: {text}", request.step.asset);
        Err(Reason::new("panic", message).with("panic", text))
    });
    let worker = std::thread::current().name().unwrap_or("main").to_owned();
    StepOutcome { step: request.step, result, span: Span { start_us, end_us: now_us(), worker } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assets_core::executor::Product;
    use assets_core::slots::waiting;
    use assets_core::{AssetName, Fingerprint, Partition};
    use std::sync::atomic::AtomicU64;
    use std::time::Duration;

    /// Holds a lock while another pool works for it, as a reader of one file for several steps does.
    struct Holding {
        lock: Mutex<()>,
        other: rayon::ThreadPool,
    }

    impl Worker for Holding {
        fn make(&self, _: &StepRequest) -> Result<Product, Reason> {
            let _held = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
            self.other.install(|| std::thread::sleep(Duration::from_millis(5)));
            Err(Reason::new("done", "it got through"))
        }
    }

    fn request(run: usize) -> StepRequest {
        let asset = AssetName::new("held").expect("a name");
        StepRequest {
            step: Step::new(&asset, &Partition::many([("run", run.to_string().as_str())])),
            expected: Fingerprint(assets_core::hash::Digest::from_bytes([0; 16])),
            inputs: Vec::new(),
            slices: Vec::new(),
            previous: Vec::new(),
            previous_slices: Vec::new(),
            parts: Vec::new(),
            earlier: Vec::new(),
            build: "test".to_owned(),
        }
    }

    /// Counts what is in memory together.
    #[derive(Default)]
    struct Large {
        now: AtomicU64,
        most: AtomicU64,
    }

    impl Worker for Large {
        fn make(&self, request: &StepRequest) -> Result<Product, Reason> {
            let bytes = self.memory(request);
            let now = self.now.fetch_add(bytes, Ordering::SeqCst) + bytes;
            self.most.fetch_max(now, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(2));
            self.now.fetch_sub(bytes, Ordering::SeqCst);
            Err(Reason::new("done", "it got through"))
        }

        fn memory(&self, request: &StepRequest) -> u64 {
            let run = request.step.partition.keys().next().map_or("", |(_, run)| run);
            run.parse::<u64>().unwrap_or_default() * 10
        }
    }

    #[test]
    fn steps_share_the_memory_there_is() {
        let large = Arc::new(Large::default());
        let pool = Pool::new(4, Arc::clone(&large) as Arc<dyn Worker>).expect("a pool").within(100);
        let (sender, outcomes) = channel();
        let runs = [4, 4, 4, 10, 3, 3, 11, 0, 9, 1];
        runs.into_iter().for_each(|run| pool.submit(request(run), sender.clone()));
        let codes = runs.map(|_| {
            let outcome = outcomes.recv_timeout(Duration::from_secs(60)).expect("no step waits for ever");
            outcome.result.map_or_else(|reason| reason.code.to_string(), |_| String::new())
        });
        assert_eq!(codes.iter().filter(|code| *code == "memory_needed").count(), 1, "{codes:?}");
        assert_eq!(codes.iter().filter(|code| *code == "done").count(), 9, "{codes:?}");
        assert!(large.most.load(Ordering::SeqCst) <= 100);
    }

    #[test]
    fn a_step_that_waits_for_another_pool_is_not_given_a_second_one() {
        let other = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool");
        let pool = Pool::new(2, Arc::new(Holding { lock: Mutex::new(()), other })).expect("a pool");
        let (sender, outcomes) = channel();
        for run in 0..8 {
            pool.submit(request(run), sender.clone());
        }
        for _ in 0..8 {
            let outcome = outcomes.recv_timeout(Duration::from_secs(60)).expect("no step waits for ever");
            assert!(outcome.result.is_err_and(|reason| reason.code == "done"));
        }
    }

    #[test]
    fn no_more_work_at_once_than_there_are_slots_and_more_wait() {
        let (slots, all_wait) = (Slots::new(2), std::sync::Barrier::new(6));
        let (working, most) = (std::sync::atomic::AtomicUsize::new(0), std::sync::atomic::AtomicUsize::new(0));
        let work = || {
            most.fetch_max(working.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::yield_now();
            working.fetch_sub(1, Ordering::SeqCst);
        };
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    slots.work(|| {
                        work();
                        // Passed only if all six wait at once.
                        waiting(|| all_wait.wait());
                        work();
                    });
                });
            }
        });
        assert_eq!(slots.away(), 0);
        assert!(most.into_inner() <= 2);
        assert_eq!(waiting(|| 7), 7, "without a slot");
    }

    #[test]
    fn a_panic_leaves_its_slot() {
        let slots = Slots::new(1);
        let broken = std::panic::catch_unwind(|| slots.work(|| waiting(|| panic!("as any code may"))));
        assert!(broken.is_err());
        assert_eq!(slots.work(|| 7), 7);
    }
}
