//! The executor of one machine: rayon, which lives here alone.

use assets_core::Reason;
use assets_core::compute::Worker;
use assets_core::executor::{Executor, StepOutcome, StepRequest};
use assets_core::record::Span;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since the epoch.
pub fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Runs steps on a pool of threads of its own.
pub struct Pool {
    threads: rayon::ThreadPool,
    worker: Arc<dyn Worker>,
}

impl Pool {
    /// A pool of `width` threads (at least one).
    pub fn new(width: usize, worker: Arc<dyn Worker>) -> Result<Self, Reason> {
        let threads = rayon::ThreadPoolBuilder::new()
            .num_threads(width.max(1))
            .thread_name(|i| format!("step-{i}"))
            .build()
            .map_err(|error| Reason::new("no_threads", format!("worker threads can't be started: {error}")))?;
        Ok(Self { threads, worker })
    }
}

impl Executor for Pool {
    fn width(&self) -> usize {
        self.threads.current_num_threads()
    }

    fn submit(&self, request: StepRequest, done: Sender<StepOutcome>) {
        let worker = Arc::clone(&self.worker);
        self.threads.spawn(move || {
            // The receiver is gone only when the build was given up: then nobody misses the outcome.
            let _ = done.send(perform(worker.as_ref(), request));
        });
    }
}

/// Makes one step on this thread. A panic in an asset is a failed step, not the end of the build.
pub fn perform(worker: &dyn Worker, request: StepRequest) -> StepOutcome {
    let start_us = now_us();
    let result = catch_unwind(AssertUnwindSafe(|| worker.make(&request))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        let message = format!("the code of {} panicked: {text}", request.step.asset);
        Err(Reason::new("panic", message).with("panic", text))
    });
    let worker = std::thread::current().name().unwrap_or("main").to_owned();
    StepOutcome { step: request.step, result, span: Span { start_us, end_us: now_us(), worker } }
}
