//! What reads bytes: the journal, and files that are delivered.

use super::Subject;
use crate::harness::{HEADER, run_rows};
use crate::inside::{all_files, build, build_well, copy, folder, open, repair_store, write_project};
use assets::project::Telemetry;
use assets_cli::app::{App, Project, SimulateOptions};
use assets_core::ledger::Ledger;
use assets_engine::verify::Verification;
use assets_engine::{Scope, World};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A sample of the inputs, whatever was tried before: one in so many.
pub(super) fn one_in(many: usize, input: &[u8]) -> bool {
    input.iter().fold(input.len(), |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte))) % many == 0
}

pub(super) fn words(words: &str) -> Vec<String> {
    words.split(' ').map(str::to_owned).collect()
}

/// A build whose steps may fail, and whose code may not panic.
pub(super) fn build_anyhow(root: &Path) -> Result<bool, String> {
    let mut broken = None;
    let summary = build(root, &mut |_, event| {
        let told = format!("{event:?}");
        if told.contains("code: \"panic\"") {
            broken.get_or_insert(told);
        }
    });
    match broken {
        Some(told) => Err(told),
        None => Ok(summary.is_ok_and(|summary| summary.counts.failed + summary.counts.blocked == 0)),
    }
}

/// A store with its one segment of records.
fn recorded() -> (tempfile::TempDir, PathBuf) {
    let project = folder();
    write_project(project.path(), 2, 1..3);
    build_well(project.path());
    let mut segments = all_files(&project.path().join("warehouse/journal"));
    segments.retain(|path| path.extension().is_some_and(|ending| ending == "log"));
    assert_eq!(segments.len(), 1);
    fs::set_permissions(&segments[0], fs::Permissions::from_mode(0o644)).unwrap();
    (project, segments.remove(0))
}

/// All that reads records, and for some a repair and a build.
fn look(root: &Path, mend: bool) -> Result<bool, String> {
    let project = open(root);
    let _ = project.examine();
    let read = project.reader().is_ok_and(|reader| {
        let records = reader.records();
        let Ok(ledger) = records.ledger() else { return false };
        for (step, tip) in ledger.steps() {
            let _ = records.history(step);
            let record = tip.record();
            record.iter().for_each(|record| drop(records.by_fingerprint(step, &record.fingerprint)));
            record.iter().flat_map(|record| &record.outputs).for_each(|output| {
                let _ = project.read(reader.tables().as_ref(), output, &[], Some(5));
            });
        }
        let sources = project.source().identify(&ledger, false).unwrap();
        let tables = reader.tables();
        let graph = project.graph();
        let world = World { graph, ledger: &ledger, sources: &sources, records, tables: tables.as_ref() };
        assets_engine::plan::plan(&world, &Scope::new(graph, &[], false).unwrap());
        let _ = project.sql(Arc::clone(tables), &ledger, "select * from daily, total");
        let examiner = project.examiner(Arc::clone(tables));
        let packer = project.packer(Arc::clone(tables));
        let verification = Verification {
            graph,
            ledger: &ledger,
            records,
            tables: tables.as_ref(),
            examiner: examiner.as_ref(),
            packer: packer.as_ref(),
            all_published: reader.all_published(),
        };
        verification.run();
        true
    });
    if mend {
        let other = folder();
        copy(root, other.path());
        let _ = repair_store(other.path());
        build_anyhow(other.path())?;
    }
    Ok(read)
}

/// A segment, whose checksums refuse almost everything.
pub(super) fn journal() -> Subject {
    let (project, path) = recorded();
    let seeds = vec![fs::read(&path).unwrap()];
    let attempt = move |input: &[u8]| {
        fs::write(&path, input).unwrap();
        look(project.path(), one_in(4, input))
    };
    Subject { seeds, words: words("ASSETSJ1 ASSETSJ2"), attempt: Box::new(attempt) }
}

/// The entries of a segment, each after its frame.
fn entries_of(segment: &[u8]) -> Vec<Vec<u8>> {
    let number = |bytes: &[u8]| u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize;
    let (mut entries, mut frames) = (Vec::new(), &segment[8..]);
    while !frames.is_empty() {
        let (mut frame, rest) = frames[8..].split_at(number(frames));
        while !frame.is_empty() {
            let (entry, after) = frame[4..].split_at(number(frame));
            entries.push(entry.to_vec());
            frame = after;
        }
        frames = rest;
    }
    entries
}

/// A segment of one frame, with a good checksum.
fn segment_of(entries: &[Vec<u8>]) -> Vec<u8> {
    let number = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
    let mut payload = Vec::new();
    for entry in entries {
        payload.extend_from_slice(&number(entry.len()));
        payload.extend_from_slice(entry);
    }
    [b"ASSETSJ1".as_slice(), &number(payload.len()), &crc32(&payload).to_le_bytes(), &payload].concat()
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

/// One entry among good ones, in a frame whose checksum is right: what a program with a bug might have written. The
/// first byte of an input says in place of which one.
pub(super) fn entries() -> Subject {
    let (project, path) = recorded();
    let good = entries_of(&fs::read(&path).unwrap());
    let seeds = good.iter().enumerate().map(|(at, entry)| [&[at as u8], entry.as_slice()].concat()).collect();
    let attempt = move |input: &[u8]| {
        let Some((at, entry)) = input.split_first() else { return Ok(false) };
        let (mut entries, at) = (good.clone(), usize::from(*at) % good.len());
        entries[at] = entry.to_vec();
        fs::write(&path, segment_of(&entries)).unwrap();
        look(project.path(), one_in(4, input))
    };
    Subject { seeds, words: words("readings daily day value float"), attempt: Box::new(attempt) }
}

const SETTINGS: &str = "sources = ['data/*']
run_attributes = ['cell_id']
[assets.batches]
files = ['data/*']
partition_by = ['run_uuid', 'sensor_type']
columns.time = { type = 'time' }
columns.value = { type = 'float' }
columns.robot_id = { type = 'integer' }
columns.field = { type = 'text' }
columns.cell_id = { type = 'boolean' }
";

/// A project of the pipeline and of a table of files, both of one file with that ending.
fn intake(ending: &'static str, seeds: Vec<Vec<u8>>, words: Vec<String>) -> Subject {
    let project = folder();
    let root = project.path().to_owned();
    fs::create_dir_all(root.join("data")).unwrap();
    fs::write(root.join("assets.toml"), SETTINGS).unwrap();
    let path = root.join(format!("data/a.{ending}"));
    let mut opened: Option<Box<dyn Project>> = None;
    let mut tried = 0;
    let attempt = move |input: &[u8]| {
        fs::write(project.path().join(&path), input).unwrap();
        if one_in(4, input) {
            let _ = fs::remove_dir_all(root.join("warehouse"));
            build_anyhow(&root)?;
        }
        tried += 1;
        // What it has read is kept for steps that will not come.
        if tried % 64 == 0 {
            opened = None;
        }
        let source = opened.get_or_insert_with(|| open(&root)).source();
        let sources = source.identify(&Ledger::default(), true).map_err(|reason| reason.message)?;
        // polars panics on some damaged Parquet, which the intake tells as a file that can't be read.
        let may_break = ending == "parquet";
        let broken = sources
            .problems
            .iter()
            .filter(|_| !may_break)
            .find(|(_, problem)| problem.message.contains("broke the reader"));
        broken.map_or(Ok(sources.problems.is_empty()), |(_, problem)| Err(problem.message.clone()))
    };
    Subject { seeds, words, attempt: Box::new(attempt) }
}

fn simulated(name: &str, seconds: f64, defects: bool) -> Vec<u8> {
    let project = folder();
    let out = project.path().join(name);
    let asked = SimulateOptions { out: out.clone(), runs: 2, seconds, defects, noise: None, seed: 1, demo: false };
    Telemetry::default().simulate(&asked).unwrap();
    fs::read(out).unwrap()
}

/// Delimited text.
pub(super) fn delimited() -> Subject {
    let one = HEADER.to_owned() + &run_rows("a", 0.03);
    let seeds = vec![one.into_bytes(), simulated("a.csv", 0.05, true)];
    let words = words(
        "time value field robot_id run_uuid sensor_type cell_id encoder load_cell x fz , \n \" \"\" true \
         1e5 inf 2022-11-23T20:40:00Z 0000-01-01T00:00:00Z 9999-12-31T23:59:60Z 2022-02-30 \
         2022-11-23T20:40:00.1234567890+14:00 -262143-01-01T00:00:00Z +00:60",
    );
    intake("csv", seeds, words)
}

/// Parquet.
pub(super) fn parquet() -> Subject {
    let seeds = vec![simulated("a.parquet", 0.05, true), simulated("a.parquet", 0.02, false)];
    intake("parquet", seeds, words("PAR1 time value run_uuid UTC \u{15}\u{4} \u{c}"))
}
