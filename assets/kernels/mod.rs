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
pub mod resample;
pub mod savgol;
pub mod summary;
pub mod windows;

/// Every kernel with its version and the kernels that it uses.
pub const KERNELS: [(&str, u32, &[&str]); 9] = [
    ("derivative", derivative::VERSION, &["savgol"]),
    ("hampel", hampel::VERSION, &["median"]),
    ("interpolate", interpolate::VERSION, &[]),
    ("median", median::VERSION, &[]),
    ("path", path::VERSION, &[]),
    ("resample", resample::VERSION, &["interpolate", "median"]),
    ("savgol", savgol::VERSION, &["interpolate"]),
    ("summary", summary::VERSION, &[]),
    ("windows", windows::VERSION, &["interpolate"]),
];

/// The versions of some kernels and of all that those use, for fingerprints: `interpolate-1 median-1`.
pub fn versions(names: &[&str]) -> String {
    let mut wanted: std::collections::BTreeSet<&str> = names.iter().copied().collect();
    let mut open: Vec<&str> = names.to_vec();
    while let Some((.., uses)) = open.pop().and_then(|name| KERNELS.iter().find(|(known, ..)| *known == name)) {
        open.extend(uses.iter().filter(|name| wanted.insert(name)));
    }
    let used = KERNELS.iter().filter(|(name, ..)| wanted.contains(name));
    used.map(|(name, version, _)| format!("{name}-{version}")).collect::<Vec<_>>().join(" ")
}
