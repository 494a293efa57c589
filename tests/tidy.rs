//! Rules of this project that no compiler checks.

use assets_core::hash::ByteHasher;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folders: &[&str]) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut queue: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(path) = queue.pop() {
        if path.is_dir() {
            queue.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path.strip_prefix(root()).unwrap().to_owned(), text));
        }
    }
    assert!(!found.is_empty(), "{folders:?} hold no Rust file");
    found
}

const ALL: [&str; 5] = ["crates", "store", "assets", "tests", "examples"];

#[test]
fn every_file_says_what_it_is_for_and_can_be_held_in_the_head() {
    for (path, text) in rust_files(&ALL) {
        assert!(text.starts_with("//!"), "{} does not begin with what it is for", path.display());
        let lines = text.lines().count();
        assert!(lines <= 520, "{} has {lines} lines: split it along a noun", path.display());
    }
}

#[test]
fn the_framework_knows_nothing_of_its_first_pipeline() {
    for (path, text) in rust_files(&["crates", "store"]) {
        let text = text.to_lowercase();
        for word in ["robot", "load_cell", "load cell", "encoder_", "telemetry"] {
            assert!(!text.contains(word), "{} speaks of `{word}`", path.display());
        }
    }
}

/// One heavy dependency, one owner.
#[test]
fn each_heavy_dependency_is_imported_in_one_place() {
    let owners = [
        ("petgraph::", "crates/core/src/graph.rs"),
        ("rayon::", "crates/engine/src/plan.rs"),
        ("sled::", "store/src/index"),
        ("indicatif::", "crates/cli"),
        ("clap::", "crates/cli"),
        ("polars_io::", "crates/frames"),
        ("blake3::", "crates/core/src/hash.rs"),
    ];
    for (path, text) in rust_files(&["crates", "store", "assets", "examples"]) {
        for (import, owner) in owners {
            let uses = text.lines().any(|line| !line.trim_start().starts_with("//") && line.contains(import));
            assert!(
                !uses || path.to_string_lossy().starts_with(owner),
                "{} imports {import}, which {owner} owns",
                path.display()
            );
        }
        // Which thread panics, and how many cores there are, is all that one file each asks.
        if path.starts_with("crates/core") && !path.ends_with("panics.rs") && !path.ends_with("cores.rs") {
            for absent in ["std::time", "std::thread", "println!", "fs::read", "File::open"] {
                assert!(!text.contains(absent), "{}: core touches no disk, no clock, no thread", path.display());
            }
        }
        if path.starts_with("crates/engine") {
            assert!(
                !text.contains("polars") && !text.contains("std::fs"),
                "{}: the engine knows no rows",
                path.display()
            );
        }
    }
}

/// The file of a name in `versions::CODE`.
fn code_file(name: &str) -> String {
    let paths = ["assets/kernels", "assets"].map(|folder| root().join(format!("{folder}/{name}.rs")));
    let path = paths.iter().find(|path| path.is_file()).unwrap_or_else(|| panic!("no file {name}.rs"));
    fs::read_to_string(path).unwrap()
}

/// A version is part of every fingerprint that rests on the file: a change of its source without a new version would
/// leave old numbers in place and call them fresh. Changed one? Raise its `VERSION` if any result can differ, and pin
/// the new source here.
#[test]
fn what_computes_does_not_change_without_its_version() {
    let pinned = include_str!("fixtures/code_sources.txt");
    let mut found = String::new();
    for (name, version, _) in assets::versions::CODE {
        let mut hasher = ByteHasher::default();
        hasher.update(code_file(name).as_bytes());
        found.push_str(&format!("{name} {version} {}\n", hasher.finish().short()));
    }
    assert_eq!(pinned, found, "the source of something that computes changed");
}

/// Whoever uses another file that computes must say so: its fingerprints have to change with it.
#[test]
fn uses_of_what_computes_are_declared() {
    let known: Vec<&str> = assets::versions::CODE.iter().map(|(name, ..)| *name).collect();
    for (name, _, declared) in assets::versions::CODE {
        let text = code_file(name);
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let imports = code.lines().filter(|line| line.starts_with("use crate::") || line.starts_with("use super::"));
        let words = imports.flat_map(|line| line.split(|c: char| !(c.is_alphanumeric() || c == '_')));
        let used: BTreeSet<&str> = words.filter(|word| known.contains(word) && *word != name).collect();
        assert_eq!(used, declared.iter().copied().collect(), "what {name} uses");
    }
}
