//! Ctrl-C and SIGTERM: during a build the first one is a request, the second one an end; at any other time it ends at
//! once. SIGHUP ends at once, as a closed terminal does, unless `nohup` has it ignored.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Exit code of an interrupted program.
pub(crate) const EXIT: u8 = 130;

static CANCEL: AtomicBool = AtomicBool::new(false);
static BUILDING: AtomicBool = AtomicBool::new(false);
/// How the program ends where it is asked to.
static CODE: AtomicU8 = AtomicU8::new(EXIT);
static INSTALLED: OnceLock<()> = OnceLock::new();

/// Whoever draws on the terminal while a build runs: a line printed beside bars is lost behind them.
static TELL: Mutex<Option<Box<Tell>>> = Mutex::new(None);

type Tell = dyn Fn(&str) + Send;

/// Ends what the steps have started: it would outlive this program.
static END: Mutex<Option<Arc<End>>> = Mutex::new(None);

/// What is called when a build is ended at once.
pub(crate) type End = dyn Fn() + Send + Sync;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says a line through something that draws, until the next call.
pub(crate) fn tell_through(tell: Option<Box<Tell>>) {
    *lock(&TELL) = tell;
}

/// Makes Ctrl-C a request for as long as the guard lives.
pub(crate) struct Requests(());

impl Requests {
    /// Begins listening. `end` is called where the build is ended at once.
    pub(crate) fn listen(end: Arc<End>) -> Self {
        *lock(&END) = Some(end);
        CANCEL.store(false, Ordering::SeqCst);
        BUILDING.store(true, Ordering::SeqCst);
        INSTALLED.get_or_init(|| {
            // Without a handler Ctrl-C just ends the process, which the store survives.
            let Ok(mut signals) = Signals::new([SIGINT, SIGTERM]) else { return };
            let listener = std::thread::Builder::new().name("signals".to_owned());
            let _ = listener.spawn(move || signals.forever().for_each(asked));
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
        lock(&END).take();
    }
}

fn asked(_signal: i32) {
    if !BUILDING.load(Ordering::SeqCst) || CANCEL.swap(true, Ordering::SeqCst) {
        if let Some(end) = lock(&END).take() {
            end();
        }
        std::process::exit(i32::from(CODE.load(Ordering::SeqCst)));
    }
    tell("finishing the steps that run; press Ctrl-C again to stop at once");
}

/// What was asked for is done and told: from now on an end that is asked for is one like any other.
pub(crate) fn all_is_done(code: u8) {
    CODE.store(code, Ordering::SeqCst);
}

/// Ends at once where an end was asked for already.
pub(crate) fn end_if_asked() {
    if CANCEL.load(Ordering::SeqCst) {
        std::process::exit(i32::from(EXIT));
    }
}

/// Says a line on stderr, beside whatever draws there.
pub(crate) fn tell(line: &str) {
    match lock(&TELL).as_deref() {
        Some(tell) => tell(line),
        None => eprintln!("{line}"),
    }
}
