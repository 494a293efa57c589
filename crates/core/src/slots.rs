//! Slots for work: as many steps compute at once as there are slots, and further ones while those wait for a disk.

use std::cell::RefCell;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

thread_local! {
    /// Where the work of this thread has its slot.
    static OWN: RefCell<Option<Arc<Slots>>> = const { RefCell::new(None) };
}

/// Slots that threads share.
#[derive(Debug)]
pub struct Slots {
    most: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    taken: usize,
    /// Threads that wait for something else.
    away: usize,
    /// Those that have done so, and want to go on: before others begin.
    returning: usize,
}

impl Slots {
    /// So many (at least one).
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most: most.max(1), state: Mutex::default(), changed: Condvar::new() })
    }

    /// How many there are.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Works in a slot, as soon as one is free.
    pub fn work<T>(self: &Arc<Self>, work: impl FnOnce() -> T) -> T {
        let state = self.state();
        let is_full = |state: &mut State| state.taken >= self.most || state.returning > 0;
        self.changed.wait_while(state, is_full).unwrap_or_else(PoisonError::into_inner).taken += 1;
        OWN.set(Some(Arc::clone(self)));
        let _leaves = Leaves(self);
        work()
    }

    /// How many that have begun to work wait for something else.
    pub fn away(&self) -> usize {
        self.state().away
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave(&self, away: usize) {
        let mut state = self.state();
        state.taken -= 1;
        state.away += away;
        drop(state);
        self.changed.notify_all();
    }

    fn return_to(&self) {
        let mut state = self.state();
        state.away -= 1;
        state.returning += 1;
        let is_full = |state: &mut State| state.taken >= self.most;
        let mut state = self.changed.wait_while(state, is_full).unwrap_or_else(PoisonError::into_inner);
        state.taken += 1;
        state.returning -= 1;
        drop(state);
        self.changed.notify_all();
    }
}

struct Leaves<'a>(&'a Slots);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        OWN.set(None);
        self.0.leave(0);
    }
}

struct Returns(Arc<Slots>);

impl Drop for Returns {
    fn drop(&mut self) {
        self.0.return_to();
    }
}

/// Does what is mostly waiting, for a disk or another program: the thread's slot, if it has one, is another's meanwhile.
/// The thread must hold no lock then that others want while they have slots.
pub fn waiting<T>(wait: impl FnOnce() -> T) -> T {
    let own = OWN.with_borrow(Option::clone);
    let _returns = own.map(|own| {
        own.leave(1);
        Returns(own)
    });
    wait()
}
