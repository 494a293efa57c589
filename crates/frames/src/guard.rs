//! polars panics on some queries and expressions that it should refuse (`interval '1 moon'`): here that is an error like
//! any other, and nobody needs to read of a panic.

use polars::prelude::{PolarsError, PolarsResult};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// Whether this thread is inside of polars.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs something in polars that a person's text decides.
pub(crate) fn guarded<T>(run: impl FnOnce() -> PolarsResult<T>) -> PolarsResult<T> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !GUARDED.get() {
                told(panic);
            }
        }));
    });
    let before = GUARDED.replace(true);
    let done = catch_unwind(AssertUnwindSafe(run));
    GUARDED.set(before);
    done.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        Err(PolarsError::ComputeError(format!("it can't be computed: {}", without_wrapping(&text)).into()))
    })
}

/// What polars says in a panic about an error that it did not expect.
fn without_wrapping(text: &str) -> &str {
    let inner = text.split_once("ErrString(\"").and_then(|(_, rest)| rest.rsplit_once("\")"));
    inner.map_or(text, |(inner, _)| inner)
}
