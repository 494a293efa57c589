//! One test binary: linking is what tests cost.
#![allow(clippy::unwrap_used, missing_docs)]

mod kernels;
mod simulate;
