//! How many threads compute at once, whoever starts them.
//!
//! Not here: how many steps are made at once, which may be more, as steps wait for disks (`slots`).

use std::sync::OnceLock;

static MOST: OnceLock<usize> = OnceLock::new();

/// No more than so many (at least one) from now on, in the whole process. The first who says so is heard.
pub fn hold_to(most: usize) {
    let _ = MOST.set(most.max(1));
}

/// As many as there are cores, or fewer where somebody asked for that.
pub fn at_once() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    // The system looks into several files for it.
    let cores = *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from));
    MOST.get().map_or(cores, |most| cores.min(*most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_always_a_thread() {
        assert!(at_once() >= 1);
    }
}
