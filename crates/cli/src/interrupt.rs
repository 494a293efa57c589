//! Ctrl-C: during a build the first one is a request, the second one an end; at any other time it ends at once.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// Exit code of an interrupted program.
pub(crate) const EXIT: u8 = 130;

static CANCEL: AtomicBool = AtomicBool::new(false);
static BUILDING: AtomicBool = AtomicBool::new(false);
static INSTALLED: OnceLock<()> = OnceLock::new();

/// Makes Ctrl-C a request for as long as the guard lives.
pub(crate) struct Requests(());

impl Requests {
    /// Begins listening.
    pub(crate) fn listen() -> Self {
        CANCEL.store(false, Ordering::SeqCst);
        BUILDING.store(true, Ordering::SeqCst);
        INSTALLED.get_or_init(|| {
            // Without a handler Ctrl-C just ends the process, which the store survives.
            let _ = ctrlc::set_handler(pressed);
        });
        Self(())
    }

    /// The flag that a first Ctrl-C sets.
    pub(crate) fn cancel(&self) -> &'static AtomicBool {
        &CANCEL
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        BUILDING.store(false, Ordering::SeqCst);
    }
}

fn pressed() {
    if !BUILDING.load(Ordering::SeqCst) || CANCEL.swap(true, Ordering::SeqCst) {
        std::process::exit(i32::from(EXIT));
    }
    eprintln!("finishing the steps that run; press Ctrl-C again to stop at once");
}
