//! Bytes of a store are overwritten, cut, deleted: never a wrong table, never a panic; `verify` names the file, and
//! `repair` and the next build mend it.

use crate::inside::{
    Numbers, all_files, build, build_well, copy, folder, hashes, long, open, problems, published, repair_store, verify,
    write_project,
};
use assets_core::Fact;
use assets_core::finding::Finding;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Two builds, so that there are older objects and several segments, and an index, which a repair makes.
fn filled() -> tempfile::TempDir {
    let project = folder();
    for factor in [2, 3] {
        write_project(project.path(), factor, 1..factor + 2);
        build_well(project.path());
    }
    repair_store(project.path()).expect("repaired");
    project
}

/// Hurts a file; says how. `None` where it is what it was.
fn hurt(path: &Path, numbers: &mut Numbers) -> Option<String> {
    let before = fs::read(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    let at = numbers.below(before.len());
    let mut file = OpenOptions::new().write(true).open(path).unwrap();
    let how = match numbers.below(6) {
        0 => {
            fs::remove_file(path).unwrap();
            return Some("deleted".to_owned());
        }
        1 => {
            file.set_len(at as u64).unwrap();
            format!("cut to {at} of {} bytes", before.len())
        }
        2 => {
            file.seek(SeekFrom::End(0)).unwrap();
            file.write_all(&vec![numbers.below(256) as u8; 1 + numbers.below(64)]).unwrap();
            "lengthened".to_owned()
        }
        kind => {
            let bytes: Vec<u8> = match kind {
                3 => vec![0; 1 + numbers.below(512)],
                _ => (0..1 + numbers.below(8)).map(|_| numbers.below(256) as u8).collect(),
            };
            let bytes = &bytes[..bytes.len().min(before.len() - at.min(before.len()))];
            file.seek(SeekFrom::Start(at as u64)).unwrap();
            file.write_all(bytes).unwrap();
            format!("{} bytes overwritten at {at}", bytes.len())
        }
    };
    (fs::read(path).unwrap() != before).then_some(how)
}

/// What can be hurt, by kind: a name, and the files.
fn kinds(root: &Path) -> Vec<(&'static str, Vec<PathBuf>)> {
    let store = root.join("warehouse");
    let ending = |folder: &str, ending: &str| -> Vec<PathBuf> {
        let files = all_files(&store.join(folder)).into_iter();
        files.filter(|path| path.extension().is_some_and(|found| found == ending)).collect()
    };
    vec![
        ("journal", ending("journal", "log")),
        ("object", ending("objects", "parquet")),
        ("published table", ending("tables", "parquet")),
        ("catalog", all_files(&store.join("catalog"))),
        ("format", vec![store.join("format")]),
        ("mark", vec![store.join("tables/.published")]),
    ]
}

fn names(findings: &[Finding], path: &Path) -> bool {
    let path = path.display().to_string();
    findings.iter().any(|finding| {
        matches!(finding.reason.facts.get("path"), Some(Fact::Text(found)) if path.starts_with(found))
            || finding.reason.message.contains(&path)
            // A lost object is told with the step that it belongs to.
            || matches!(finding.reason.facts.get("object"), Some(Fact::Text(object)) if path.ends_with(&format!("{}.parquet", &object[2..])))
    })
}

/// Whatever can be read is right: no record is answered with other rows than it says.
fn never_wrong(root: &Path) {
    let project = open(root);
    let Ok(reader) = project.reader() else { return };
    let Ok(ledger) = reader.records().ledger() else { return };
    let examiner = project.examiner(std::sync::Arc::clone(reader.tables()));
    for (step, tip) in ledger.steps() {
        let Some(asset) = project.graph().asset(step.asset.as_str()) else { continue };
        for output in tip.record().into_iter().flat_map(|record| &record.outputs) {
            if let Err(reason) = examiner.examine(asset, output) {
                assert!(reason.code.starts_with("object_"), "{step}: {reason:?}");
            }
        }
    }
}

fn run(count: usize) {
    let base = filled();
    let (expected, tables) = (hashes(base.path()), published(base.path()));
    let (mut numbers, mut told, mut tried) = (Numbers::new(5), BTreeMap::new(), 0);
    while tried < count {
        let project = folder();
        let root = project.path();
        copy(base.path(), root);
        build_well(root);
        let kinds = kinds(root);
        let (kind, files) = &kinds[if numbers.below(8) == 0 { 3 + numbers.below(3) } else { tried % 3 }];
        let path = &files[numbers.below(files.len())];
        let aside = numbers.below(2) == 0;
        if *kind == "published table" && aside {
            // As on a file system without links: a copy of its own.
            let bytes = fs::read(path).unwrap();
            fs::remove_file(path).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let Some(how) = hurt(path, &mut numbers) else { continue };
        tried += 1;
        let what = format!("{kind} {}: {how}", path.strip_prefix(root).unwrap().display());
        let found = verify(root);
        let derived = matches!(*kind, "catalog" | "mark");
        let old_object_gone = *kind == "object" && how == "deleted";
        assert!(derived || old_object_gone || names(&found, path), "{what}: {found:#?}");
        never_wrong(root);
        // The build first, or the repair first.
        if numbers.below(2) == 0 {
            match build(root, &mut |_, _| ()) {
                Ok(summary) => assert!(summary.counts.failed == 0 || summary.only_transient, "{what}: {summary:?}"),
                Err(failure) => assert!(matches!(failure.exit, 3 | 4), "{what}: {failure:?}"),
            }
            never_wrong(root);
        }
        repair_store(root).unwrap_or_else(|failure| panic!("{what}: {failure:?}"));
        build_well(root);
        assert_eq!(hashes(root), expected, "{what}");
        assert_eq!(published(root), tables, "{what}");
        let found = verify(root);
        assert!(problems(&found).is_empty(), "{what}: {found:#?}");
        *told.entry(*kind).or_insert(0) += 1;
    }
    println!("{tried} damages, all named where they matter, and mended:");
    told.iter().for_each(|(kind, n)| println!("  {n:4} {kind}"));
}

#[test]
fn damage_is_found_and_mended_and_never_believed() {
    run(60);
}

/// `ASSETS_LONG=5000 cargo test --release --workspace --locked --test main a_thousand_damages -- --ignored --nocapture`
#[test]
#[ignore = "minutes: a thousand stores"]
fn a_thousand_damages_are_found_and_mended() {
    run(long(1000));
}

#[test]
fn a_damaged_input_is_made_again_in_the_build_that_would_read_it() {
    let base = filled();
    let root = base.path();
    let object = |text: &str| {
        let project = open(root);
        let ledger = project.reader().unwrap().records().ledger().unwrap();
        let (_, tip) = ledger.steps().find(|(step, _)| step.to_string() == text).unwrap();
        *tip.record().unwrap().objects().next().unwrap()
    };
    let name = object("readings of 1").to_string();
    let path = root.join(format!("warehouse/objects/{}/{}.parquet", &name[..2], &name[2..]));
    let good = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let mut bad = good.clone();
    bad[20] ^= 1;
    fs::write(&path, &bad).unwrap();
    // Another factor for `scaled`, which reads it; the sources are as they were.
    let settings = fs::read_to_string(root.join("assets.toml")).unwrap();
    fs::write(root.join("assets.toml"), settings.replace("value * 3", "value * 5")).unwrap();
    let mut warnings = Vec::new();
    let summary = build(root, &mut |_, event| {
        if let assets_engine::Event::Warning(reason) = event {
            warnings.push(reason.code.clone());
        }
    });
    let summary = summary.unwrap();
    assert_eq!((summary.counts.failed, summary.counts.made), (0, 5), "{summary:?}");
    assert!(warnings.contains(&"object_damaged".to_owned()), "{warnings:?}");
    assert_eq!(fs::read(&path).unwrap(), good);
    assert_eq!(fs::read(root.join(format!("warehouse/damaged/{name}.parquet"))).unwrap(), bad);
    assert!(problems(&verify(root)).is_empty());
}
