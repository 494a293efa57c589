//! polars panics on some queries and expressions that it should refuse (`interval '1 moon'`), and on some damaged files:
//! here that is an error like any other.

use assets_core::panics::caught;
use polars::prelude::{PolarsError, PolarsResult};

/// Runs something in polars that a person's text or a file's bytes decide.
pub(crate) fn guarded<T>(run: impl FnOnce() -> PolarsResult<T>) -> PolarsResult<T> {
    caught(run).unwrap_or_else(|text| {
        Err(PolarsError::ComputeError(format!("it can't be computed: {}", without_wrapping(&text)).into()))
    })
}

/// What polars says in a panic about an error that it did not expect.
fn without_wrapping(text: &str) -> &str {
    let inner = text.split_once("ErrString(\"").and_then(|(_, rest)| rest.rsplit_once("\")"));
    inner.map_or(text, |(inner, _)| inner)
}
