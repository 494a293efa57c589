//! What reading files may take of the memory.
//!
//! As many files are read at once as there are cores, at first and again for steps, each within a share. One that needs
//! more goes on alone among its like: what is refused doesn't depend on the cores or on what else is read.

use assets_core::record::SourceRecord;
use assets_core::{Reason, cores};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Memory of a row that is held: its cells, and the texts that repeat in them.
pub const ROW_BYTES: u64 = 160;

/// The code of what doesn't fit into the memory that is allowed.
pub(super) const MEMORY_NEEDED: &str = "memory_needed";
/// The fact of it that says what is allowed.
const ALLOWED: &str = "allowed_bytes";

/// Files that are read at once.
pub(super) fn width() -> usize {
    cores::at_once()
}

/// Limits of one reading.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Of more rows than that none are held.
    pub rows_most: usize,
    /// Bytes beyond which one file is read at a time, and beyond which none is.
    share: u64,
    most: u64,
    turns: Arc<Turns>,
}

impl Limits {
    /// Those of `memory` bytes: a quarter of them for rows that are held, half of them for those of one file.
    pub(super) fn of(memory: u64) -> Self {
        let rows_most = usize::try_from(memory / 4 / ROW_BYTES).unwrap_or(usize::MAX);
        Self { rows_most, share: memory / 4, most: memory / 2, turns: Turns::of(1) }
    }

    /// Those of a file that is read beside `width - 1` others.
    pub(super) fn shared_by(&self, width: usize) -> Self {
        let width = width.max(1);
        Self { rows_most: self.rows_most / width, share: self.share / width as u64, ..self.clone() }
    }

    /// Bytes of the rows that are held between the reading of their files and the steps that take them.
    pub(super) fn held_most(&self) -> u64 {
        self.rows_most as u64 * ROW_BYTES
    }

    /// Whether a file that was refused as too large may be read now: the limit is another.
    pub(super) fn let_in(&self, record: &SourceRecord) -> bool {
        let problem = record.problem.as_ref().filter(|problem| problem.code == MEMORY_NEEDED);
        problem.is_some_and(|problem| problem.facts.get(ALLOWED) != Some(&self.most.into()))
    }

    /// Refuses a file whose rows take so many bytes.
    ///
    /// # Errors
    /// `memory_needed`.
    pub fn check(&self, bytes: u64, name: &str) -> Result<(), Reason> {
        if bytes <= self.most {
            return Ok(());
        }
        let message = format!(
            "the rows of {name} take more than {} MiB, half of the memory that is allowed: raise `memory` in the settings, \
             or split the file",
            self.most >> 20
        );
        Err(Reason::new(MEMORY_NEEDED, message).with("path", name).with(ALLOWED, self.most))
    }

    /// Nothing taken yet of a file of so many bytes, whose rows take about as much or more. Waits where it is one more
    /// that needs much.
    #[must_use]
    pub fn nothing_taken(&self, file_bytes: u64) -> Taken {
        let turn = (file_bytes > self.share).then(|| Turns::wait(&self.turns));
        Taken { limits: self.clone(), bytes: 0, turn }
    }
}

/// What the rows of one reading take, and its turn where that is much: let go with its rows.
#[derive(Debug)]
pub struct Taken {
    limits: Limits,
    bytes: u64,
    turn: Option<Turn>,
}

impl Taken {
    /// Takes so many bytes more for the file of that name. Waits where it is one more that needs much.
    ///
    /// # Errors
    /// `memory_needed`: a few kilobytes of Parquet can hold gigabytes of one text.
    pub fn add(&mut self, bytes: u64, name: &str) -> Result<(), Reason> {
        self.bytes = self.bytes.saturating_add(bytes);
        self.limits.check(self.bytes, name)?;
        if self.bytes > self.limits.share && self.turn.is_none() {
            self.turn = Some(Turns::wait(&self.limits.turns));
        }
        Ok(())
    }
}

/// Who may do something that not all may do at once.
#[derive(Debug)]
pub(super) struct Turns {
    left: Mutex<usize>,
    changed: Condvar,
}

impl Turns {
    /// So many may.
    pub(super) fn of(most: usize) -> Arc<Self> {
        Arc::new(Self { left: Mutex::new(most), changed: Condvar::new() })
    }

    /// Waits for a turn, which ends when it is dropped.
    pub(super) fn wait(turns: &Arc<Self>) -> Turn {
        let left = turns.left.lock().unwrap_or_else(PoisonError::into_inner);
        *turns.changed.wait_while(left, |left| *left == 0).unwrap_or_else(PoisonError::into_inner) -= 1;
        Turn(Arc::clone(turns))
    }
}

#[derive(Debug)]
pub(super) struct Turn(Arc<Turns>);

impl Drop for Turn {
    fn drop(&mut self) {
        *self.0.left.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn files_that_need_much_are_read_one_at_a_time_and_none_that_needs_too_much() {
        let limits = Limits::of(800).shared_by(2);
        let (at_once, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (limits, at_once, most) = (&limits, &at_once, &most);
                scope.spawn(move || {
                    let mut taken = limits.nothing_taken(if thread % 2 == 0 { 50 } else { 200 });
                    taken.add(100, "a").expect("its share");
                    taken.add(300, "a").expect("half of it");
                    most.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::yield_now();
                    at_once.fetch_sub(1, Ordering::SeqCst);
                    let refused = taken.add(1, "a").expect_err("more than half");
                    assert_eq!(refused.code, MEMORY_NEEDED);
                });
            }
        });
        assert_eq!(most.into_inner(), 1);
    }
}
