//! The executor of one machine: threads.

use crate::memory::{End, Making, TakenBytes, Watch};
use assets_core::compute::Worker;
use assets_core::executor::{Executor, StepOutcome, StepRequest, WITHDRAWN};
use assets_core::panics;
use assets_core::record::Span;
use assets_core::slots::Slots;
use assets_core::{Reason, Step};
use std::collections::{BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Microseconds since the epoch.
pub fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Plans of long expressions are walked by recursion; what is not used of it costs nothing.
const STACK_BYTES: usize = 64 << 20;

/// Threads for each step that works at once: the others' steps wait for the disk.
const THREADS_PER_SLOT: usize = 4;

/// Runs steps on threads of its own. They belong to no work-stealing pool: a thread of one that waits for another pool (a
/// data frame library has its own) takes up another step meanwhile, on top of the one that waits, and that could wait
/// for a lock that is held further down on its own thread, for ever.
pub struct Pool {
    queue: Arc<Queue>,
    slots: Arc<Slots>,
    worker: Arc<dyn Worker>,
    withdrawn: Arc<AtomicBool>,
    room: Arc<Room>,
}

impl Pool {
    /// A pool in which `width` steps work at once (at least one).
    ///
    /// # Errors
    /// `no_threads`.
    pub fn new(width: usize, worker: Arc<dyn Worker>) -> Result<Self, Reason> {
        let (slots, room) = (Slots::new(width), Arc::new(Room::new(u64::MAX)));
        let queue = Arc::new(Queue::new(slots.most().saturating_mul(THREADS_PER_SLOT)));
        queue.start_thread()?;
        Ok(Self { queue, slots, worker, withdrawn: Arc::default(), room })
    }

    /// The same, where steps in flight take no more than so many bytes of memory together, as far as that is known before.
    #[must_use]
    pub fn within(mut self, bytes: u64) -> Self {
        self.room = Arc::new(Room::new(bytes));
        self
    }

    /// The same, ending where they take more all the same.
    #[must_use]
    pub fn ended_by(mut self, taken: TakenBytes, end: Arc<End>, care: Care) -> Self {
        self.room = Arc::new(Room { end: Some((taken, end)), care, ..Room::new(self.room.most) });
        self
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.queue.state().is_closed = true;
        self.queue.changed.notify_all();
    }
}

/// Makes a step and tells its outcome.
type Task = Box<dyn FnOnce() + Send>;

/// Steps that wait for a thread, and how many threads there are.
struct Queue {
    threads_most: usize,
    state: Mutex<QueueState>,
    changed: Condvar,
}

#[derive(Default)]
struct QueueState {
    tasks: VecDeque<Task>,
    threads: usize,
    idle: usize,
    is_closed: bool,
}

impl Queue {
    fn new(threads_most: usize) -> Self {
        Self { threads_most, state: Mutex::default(), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts one more thread.
    fn start_thread(self: &Arc<Self>) -> Result<(), Reason> {
        let (number, queue) = (self.state().threads, Arc::clone(self));
        let thread = std::thread::Builder::new().name(format!("step-{number}")).stack_size(STACK_BYTES);
        let started = thread.spawn(move || {
            while let Some(task) = queue.next() {
                task();
            }
        });
        started.map_err(|error| Reason::new("no_threads", format!("worker threads can't be started: {error}")))?;
        self.state().threads += 1;
        Ok(())
    }

    /// The next task; `None` where there will be none any more.
    fn next(&self) -> Option<Task> {
        let mut state = self.state();
        state.idle += 1;
        let is_waiting = |state: &mut QueueState| state.tasks.is_empty() && !state.is_closed;
        let mut state = self.changed.wait_while(state, is_waiting).unwrap_or_else(PoisonError::into_inner);
        state.idle -= 1;
        state.tasks.pop_front()
    }

    /// Adds a task, and a thread where all have something to do.
    fn add(self: &Arc<Self>, task: Task) {
        let mut state = self.state();
        state.tasks.push_back(task);
        let is_short = state.tasks.len() > state.idle && state.threads < self.threads_most;
        drop(state);
        self.changed.notify_one();
        if is_short {
            // Without it the others make the step, later.
            let _ = self.start_thread();
        }
    }
}

/// What is known of builds that took too much memory.
#[derive(Debug, Clone, Default)]
pub struct Care {
    /// Whether steps are made one at a time.
    pub alone: bool,
    /// Steps that are not made: each took too much by itself.
    pub too_large: BTreeSet<Step>,
}

/// While more is taken than may be, whether it still is gets asked so often.
const FULL_TICK: Duration = Duration::from_millis(20);

/// How long what steps have let go of may take to come back: an allocator keeps it for a second.
const SETTLING: Duration = Duration::from_millis(1500);

/// Memory that steps share.
struct Room {
    most: u64,
    taken: Mutex<Taken>,
    left: Condvar,
    end: Option<(TakenBytes, Arc<End>)>,
    /// Since the first step.
    watch: OnceLock<Watch>,
    care: Care,
}

#[derive(Default)]
struct Taken {
    bytes: u64,
    steps: usize,
}

impl Room {
    fn new(most: u64) -> Self {
        let (taken, left, end, watch, care) = Default::default();
        Self { most, taken, left, end, watch, care }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is room beside the others.
    fn enter(&self, step: &Step, bytes: u64) -> Inside<'_> {
        let end = self.end.as_ref();
        let watch = end.map(|(taken, end)| self.watch.get_or_init(|| Watch::begin(self.most, *taken, Arc::clone(end))));
        let bytes = bytes.min(self.most);
        let is_watch_full = || watch.is_some_and(Watch::is_full);
        let mut empty_since = None;
        let mut must_wait = |taken: &Taken| {
            if taken.steps == 0 {
                return is_watch_full() && empty_since.get_or_insert_with(Instant::now).elapsed() < SETTLING;
            }
            empty_since = None;
            taken.bytes > self.most - bytes || self.care.alone || is_watch_full()
        };
        let mut taken = self.taken();
        while must_wait(&taken) {
            taken = self.left.wait_timeout(taken, FULL_TICK).unwrap_or_else(PoisonError::into_inner).0;
        }
        if taken.steps == 0 {
            watch.into_iter().for_each(Watch::begin_anew);
        }
        taken.bytes += bytes;
        taken.steps += 1;
        Inside { room: self, bytes, making: watch.map(|watch| watch.making(step)) }
    }

    /// What a step that needs more than there ever is fails with.
    fn check(&self, request: &StepRequest, bytes: u64) -> Result<(), Reason> {
        let (step, mib) = (&request.step, |bytes: u64| bytes >> 20);
        let was_too_little = request.too_little.is_some_and(|bytes| bytes >= self.most);
        if was_too_little || self.care.too_large.contains(step) {
            let message = format!(
                "{step} took more memory than the {} MiB that are allowed, and was stopped: raise `memory` in the settings, or \
                 let it make less",
                mib(self.most)
            );
            return Err(Reason::new("memory_needed", message)
                .with("stopped_at_bytes", request.too_little.unwrap_or_default().max(self.most)));
        }
        if bytes <= self.most {
            return Ok(());
        }
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
    making: Option<Making<'a>>,
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        // First: whoever comes in next may be alone.
        drop(self.making.take());
        let mut taken = self.room.taken();
        taken.bytes -= self.bytes;
        taken.steps -= 1;
        drop(taken);
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
        let not_begun = |step, reason| {
            let now = now_us();
            let span = Span { start_us: now, end_us: now, worker: "none".into() };
            StepOutcome { step, result: Err(reason), span }
        };
        let make = move || {
            let bytes = catch_unwind(AssertUnwindSafe(|| worker.memory(&request))).unwrap_or_default();
            if let Err(reason) = room.check(&request, bytes) {
                return not_begun(request.step, reason);
            }
            let _inside = room.enter(&request.step, bytes);
            slots.work(|| match withdrawn.load(Ordering::SeqCst) {
                true => not_begun(request.step, Reason::new(WITHDRAWN, "it was not begun")),
                false => perform(worker.as_ref(), request),
            })
        };
        self.queue.add(Box::new(move || {
            // The worker is let go before: whoever hears of the last outcome lets go of it too, and what it holds must
            // end then. The receiver is gone only when the build was given up: then nobody misses the outcome.
            let outcome = make();
            let _ = done.send(outcome);
        }));
    }

    fn withdraw(&self) {
        self.withdrawn.store(true, Ordering::SeqCst);
    }
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
    use std::sync::mpsc::channel;
    use std::time::Duration;

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
            too_little: None,
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
