//! Libraries that panic where they should say what is wrong: there a panic is an error like any other, and nobody needs
//! to read of it.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How the names of those threads begin that libraries compute on: a panic there comes back to who waits for them.
const THREADS_OF_LIBRARIES: [&str; 2] = ["polars-", "sled-"];

/// Calls that are inside of a library now, on any thread.
static INSIDE: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Whether this thread is inside of a library.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs something in a library that may panic.
///
/// # Errors
/// The text of the panic.
pub fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !is_guarded() {
                told(panic);
            }
        }));
    });
    let before = GUARDED.replace(true);
    INSIDE.fetch_add(1, Ordering::Relaxed);
    let done = catch_unwind(AssertUnwindSafe(run));
    INSIDE.fetch_sub(1, Ordering::Relaxed);
    GUARDED.set(before);
    done.map_err(|panic| text(panic.as_ref()))
}

fn is_guarded() -> bool {
    let thread = std::thread::current();
    let of_library = || thread.name().is_some_and(|name| THREADS_OF_LIBRARIES.iter().any(|own| name.starts_with(own)));
    GUARDED.get() || (INSIDE.load(Ordering::Relaxed) > 0 && of_library())
}

/// What a panic says.
#[must_use]
pub fn text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_text() {
        assert_eq!(caught(|| 1), Ok(1));
        let said = |n: usize| caught(|| if n > 1 { panic!("{n} moons") } else { panic!("a moon") });
        assert_eq!(said(2), Err("2 moons".to_owned()));
        assert_eq!(said(1), Err("a moon".to_owned()));
        assert!(!is_guarded(), "only what runs inside");
    }
}
