//! An executor for tests: performs what it is given in an order drawn from a seed, so that a test can show that no order
//! of execution changes a result.

use assets_core::compute::Worker;
use assets_core::executor::{Executor, StepOutcome, StepRequest};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

type Work = (StepRequest, Sender<StepOutcome>);

/// Gathers up to `width` requests and performs them in a drawn order.
pub struct Shuffled {
    width: usize,
    queue: Mutex<Sender<Work>>,
}

impl Shuffled {
    /// An executor whose order follows from the seed and from what is there to choose from.
    pub fn new(worker: Arc<dyn Worker>, width: usize, seed: u64) -> Self {
        let (queue, requests) = channel();
        std::thread::spawn(move || serve(&requests, worker.as_ref(), seed));
        Self { width, queue: Mutex::new(queue) }
    }
}

fn serve(requests: &Receiver<Work>, worker: &dyn Worker, mut seed: u64) {
    while let Ok(first) = requests.recv() {
        let mut held = vec![first];
        while let Ok(next) = requests.recv_timeout(Duration::from_millis(1)) {
            held.push(next);
        }
        while !held.is_empty() {
            seed = draw(seed);
            let at = usize::try_from(seed % held.len() as u64).unwrap_or(0);
            let (request, done) = held.swap_remove(at);
            let _ = done.send(assets_engine::pool::perform(worker, request));
        }
    }
}

/// A step of xorshift64: enough to stir an order.
fn draw(seed: u64) -> u64 {
    let mut x = seed | 1;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    x
}

impl Executor for Shuffled {
    fn width(&self) -> usize {
        self.width
    }

    fn submit(&self, request: StepRequest, done: Sender<StepOutcome>) {
        // The thread ends only with this executor.
        let _ = self.queue.lock().unwrap_or_else(PoisonError::into_inner).send((request, done));
    }
}
