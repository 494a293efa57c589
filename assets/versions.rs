//! The versions of all files that compute, and which of them use each other. A version is part of every fingerprint that
//! rests on the file: raise it whenever a result can differ. Tests pin the sources, and hold the uses against the code.

use crate::kernels::{derivative, hampel, interpolate, median, path, quantile, resample, savgol, summary, windows};
use crate::{align, channels, clean, features, fleet, functions, sessions, stats, wide};
use std::collections::BTreeSet;

/// Every such file with its version and the others that it uses.
pub const CODE: [(&str, u32, &[&str]); 19] = [
    ("align", align::VERSION, &["channels", "interpolate", "resample", "sessions"]),
    ("channels", channels::VERSION, &["interpolate"]),
    ("clean", clean::VERSION, &["channels", "hampel", "sessions"]),
    ("derivative", derivative::VERSION, &["savgol"]),
    ("features", features::VERSION, &["align", "channels", "derivative", "functions", "sessions", "wide"]),
    ("fleet", fleet::VERSION, &["quantile"]),
    ("functions", functions::VERSION, &["align", "channels", "derivative", "features", "wide", "windows"]),
    ("hampel", hampel::VERSION, &["median"]),
    ("interpolate", interpolate::VERSION, &[]),
    ("median", median::VERSION, &[]),
    ("path", path::VERSION, &[]),
    ("quantile", quantile::VERSION, &["median"]),
    ("resample", resample::VERSION, &["interpolate", "median"]),
    ("savgol", savgol::VERSION, &["derivative", "interpolate"]),
    ("sessions", sessions::VERSION, &["channels"]),
    ("stats", stats::VERSION, &["align", "channels", "features", "interpolate", "path", "sessions", "summary", "wide"]),
    ("summary", summary::VERSION, &[]),
    ("wide", wide::VERSION, &["align", "channels", "interpolate"]),
    ("windows", windows::VERSION, &["interpolate"]),
];

/// The version of one file alone, `stats-1`: for what says itself which others it uses.
pub fn own(name: &str) -> String {
    let version = CODE.iter().find(|(known, ..)| *known == name).map_or(0, |(_, version, _)| *version);
    format!("{name}-{version}")
}

/// The versions of some files and of all that those use: `interpolate-1 median-1`.
pub fn all(names: &[&str]) -> String {
    let mut wanted: BTreeSet<&str> = names.iter().copied().collect();
    let mut open: Vec<&str> = names.to_vec();
    while let Some((.., uses)) = open.pop().and_then(|name| CODE.iter().find(|(known, ..)| *known == name)) {
        open.extend(uses.iter().filter(|name| wanted.insert(name)));
    }
    wanted.into_iter().map(own).collect::<Vec<_>>().join(" ")
}
