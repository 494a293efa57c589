//! Numeric kernels of the telemetry pipeline: pure functions over the samples of one channel in one session.
//!
//! Times are microseconds, strictly increasing; values are finite unless a function says otherwise; unknown is NaN.
//! Sums run left to right, so that equal inputs give equal bits on every machine and with any number of threads.
//!
//! Not here: data frames, sessions and how they are found, settings, errors. A kernel is total: where there is no
//! answer it says NaN or `None`.

pub mod derivative;
pub mod hampel;
pub mod interpolate;
pub mod median;
pub mod path;
pub mod quantile;
pub mod resample;
pub mod savgol;
pub mod summary;
pub mod windows;
