//! Ctrl-C: during a build the first one is a request, the second one an end; at any other time it ends at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Exit code of an interrupted program.
pub(crate) const EXIT: u8 = 130;

static CANCEL: AtomicBool = AtomicBool::new(false);
static BUILDING: AtomicBool = AtomicBool::new(false);
static INSTALLED: OnceLock<()> = OnceLock::new();

/// Whoever draws on the terminal while a build runs: a line printed beside bars is lost behind them.
static TELL: Mutex<Option<Box<Tell>>> = Mutex::new(None);

type Tell = dyn Fn(&str) + Send;

/// Says a line through something that draws, until the next call.
pub(crate) fn tell_through(tell: Option<Box<Tell>>) {
    *TELL.lock().unwrap_or_else(PoisonError::into_inner) = tell;
}

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
    tell("finishing the steps that run; press Ctrl-C again to stop at once");
}

/// Says a line on stderr, beside whatever draws there.
pub(crate) fn tell(line: &str) {
    match TELL.lock().unwrap_or_else(PoisonError::into_inner).as_deref() {
        Some(tell) => tell(line),
        None => eprintln!("{line}"),
    }
}
