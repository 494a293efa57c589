//! Power cuts: what a build did to files is replayed up to each sync, with any part of what was not yet synced; from
//! whatever is left, nothing acknowledged is lost, nothing published is half, and the next build finishes the job.
//!
//! A file system may keep any subset of what was not synced: bytes of a file in part or with holes, names without
//! their folder, later operations without earlier ones. A rename is kept or not, as one. Not covered: what sled writes by
//! itself (its folder is empty here after every cut, as if it had been deleted), and bytes that decay later (`damage`).

use crate::inside::{
    Numbers, all_files, build, build_well, folder, hash, hashes, long, open, problems, published, verify, write_project,
};
use assets_core::Step;
use assets_core::catalog::Past;
use assets_engine::Event;
use assets_store::faults::{Op, Probe};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, PartialEq)]
enum Name {
    Folder,
    File(u64),
}

/// What a file system holds.
#[derive(Debug, Clone, Default)]
struct Disk {
    files: BTreeMap<u64, Vec<u8>>,
    names: BTreeMap<PathBuf, Name>,
}

/// An operation with the file that it is about, and where its bytes go.
#[derive(Debug, Clone)]
enum Change {
    /// (file, offset, bytes)
    Bytes(u64, usize, Vec<u8>),
    Length(u64, usize),
    /// A name appears for a file, and another one goes with it.
    Named(PathBuf, Name, Option<PathBuf>),
    Gone(PathBuf),
    TreeGone(PathBuf),
}

impl Disk {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Bytes(file, offset, bytes) => {
                let content = self.files.entry(*file).or_default();
                if content.len() < offset + bytes.len() {
                    content.resize(offset + bytes.len(), 0);
                }
                content[*offset..offset + bytes.len()].copy_from_slice(bytes);
            }
            Change::Length(file, length) => self.files.entry(*file).or_default().resize(*length, 0),
            Change::Named(path, name, from) => {
                self.names.insert(path.clone(), name.clone());
                if let Some(from) = from
                    && self.names.get(from) == Some(name)
                {
                    self.names.remove(from);
                }
            }
            Change::Gone(path) => drop(self.names.remove(path)),
            Change::TreeGone(folder) => self.names.retain(|path, _| !path.starts_with(folder)),
        }
    }

    /// Writes it to a folder. What is in a folder that is not there can't be reached.
    fn write(&self, from: &Path, to: &Path) {
        let mut written: BTreeMap<u64, PathBuf> = BTreeMap::new();
        for (path, name) in &self.names {
            let target = to.join(path.strip_prefix(from).unwrap());
            if !target.parent().unwrap().is_dir() {
                continue;
            }
            match name {
                Name::Folder => fs::create_dir(&target).unwrap(),
                Name::File(file) => match written.get(file) {
                    Some(first) => fs::hard_link(first, &target).unwrap(),
                    None => {
                        fs::write(&target, self.files.get(file).map_or(&[][..], Vec::as_slice)).unwrap();
                        if target.extension().is_some_and(|ending| ending == "parquet") {
                            fs::set_permissions(&target, fs::Permissions::from_mode(0o444)).unwrap();
                        }
                        written.insert(*file, target);
                    }
                },
            }
        }
    }
}

/// A recording, being replayed: what is on disk for certain, what may be, and what was promised.
#[derive(Default)]
struct Replay {
    durable: Disk,
    live: Disk,
    pending: Vec<Change>,
    lengths: BTreeMap<u64, usize>,
    promised: BTreeMap<Step, String>,
    /// Hashes of all files that were ever whole.
    whole: BTreeSet<String>,
}

impl Replay {
    fn change(&mut self, change: Change) {
        self.live.apply(&change);
        self.pending.push(change);
    }

    fn settle(&mut self, is_settled: impl Fn(&Change) -> bool) {
        let (settled, pending) = std::mem::take(&mut self.pending).into_iter().partition(|c| is_settled(c));
        self.pending = pending;
        let settled: Vec<Change> = settled;
        settled.iter().for_each(|change| self.durable.apply(change));
    }

    fn step(&mut self, op: &Op, marks: &BTreeMap<String, (Step, String)>) {
        match op {
            Op::Create(file, path) => self.change(Change::Named(path.clone(), Name::File(*file), None)),
            Op::Write(file, bytes) => {
                let offset = *self.lengths.get(file).unwrap_or(&0);
                self.lengths.insert(*file, offset + bytes.len());
                self.change(Change::Bytes(*file, offset, bytes.clone()));
            }
            Op::Length(file, length) => {
                self.lengths.insert(*file, *length as usize);
                self.change(Change::Length(*file, *length as usize));
            }
            Op::Seal(file) => drop(self.whole.insert(hash(self.live.files.get(file).map_or(&[], Vec::as_slice)))),
            Op::Rename(from, to) => {
                if let Some(name) = self.live.names.get(from).filter(|name| self.live.names.get(to) != Some(name)) {
                    self.change(Change::Named(to.clone(), name.clone(), Some(from.clone())));
                }
            }
            Op::Link(from, to) => {
                let name = self.live.names.get(from).expect("what is linked is there").clone();
                self.change(Change::Named(to.clone(), name, None));
            }
            Op::Remove(path) => self.change(Change::Gone(path.clone())),
            Op::RemoveTree(path) => self.change(Change::TreeGone(path.clone())),
            Op::Folder(path) => self.change(Change::Named(path.clone(), Name::Folder, None)),
            Op::Sync(file) => {
                self.settle(|change| matches!(change, Change::Bytes(f, ..) | Change::Length(f, _) if f == file));
            }
            Op::SyncFolder(folder) => self.settle(|change| match change {
                Change::Named(path, ..) | Change::Gone(path) | Change::TreeGone(path) => {
                    path.parent() == Some(folder.as_path())
                }
                Change::Bytes(..) | Change::Length(..) => false,
            }),
            Op::Mark(text) => {
                let (step, content) = marks[text].clone();
                self.promised.insert(step, content);
            }
        }
    }

    /// A disk as the power cut may leave it.
    fn cut(&self, kept: &dyn Fn(usize) -> bool, numbers: &mut Numbers) -> Disk {
        let mut disk = self.durable.clone();
        for (at, change) in self.pending.iter().enumerate().filter(|(at, _)| kept(*at)) {
            let mut change = change.clone();
            if let Change::Bytes(_, _, bytes) = &mut change
                && numbers.below(3) == 0
            {
                let torn = numbers.below(bytes.len() + 1);
                if numbers.below(2) == 0 { bytes.truncate(torn) } else { bytes[torn..].fill(0) }
            }
            let _ = at;
            disk.apply(&change);
        }
        disk
    }
}

/// A recorded history of two builds, and what it should come to.
struct History {
    root: PathBuf,
    ops: Vec<Op>,
    marks: BTreeMap<String, (Step, String)>,
    hashes: BTreeMap<Step, String>,
    published: BTreeMap<PathBuf, Vec<String>>,
}

fn record() -> History {
    let project = folder();
    let root = project.path().to_owned();
    write_project(&root, 2, 1..3);
    let probe = Probe::record(&root);
    let mut marks = BTreeMap::new();
    for change in [2, 3] {
        write_project(&root, change, 1..change + 1);
        let mut tell = |project: &dyn assets_cli::app::Project, event: &Event| {
            let Event::Step(told) = event else { return };
            let ledger = project.reader().unwrap().records().ledger().unwrap();
            let content = ledger.newest(&told.step).unwrap().content_hash().to_string();
            let name = format!("{}", marks.len());
            probe.mark(&name);
            marks.insert(name, (told.step.clone(), content));
        };
        build(&root, &mut tell).unwrap();
    }
    let ops = probe.recorded();
    drop(probe);
    History { ops, marks, hashes: hashes(&root), published: published(&root), root }
}

fn check(history: &History, replay: &Replay, disk: &Disk) {
    let project = folder();
    let root = project.path();
    write_project(root, 3, 1..4);
    disk.write(&history.root, root);
    let opened = open(root);
    let reader = opened.reader().unwrap_or_else(|failure| panic!("{failure:?}"));
    let ledger = reader.records().ledger().unwrap();
    for (step, content) in &replay.promised {
        let past = reader.records().history(step).unwrap();
        let kept =
            past.iter().any(|past| matches!(past, Past::Record(_, r) if r.content_hash().to_string() == *content));
        assert!(kept, "{step} was acknowledged and is lost");
        let newest = ledger.newest(step).unwrap();
        for object in newest.objects() {
            reader.tables().check(object).unwrap_or_else(|error| panic!("{step}: {error}"));
        }
    }
    for path in all_files(&root.join("warehouse/tables")) {
        if path.extension().is_some_and(|ending| ending == "parquet") {
            assert!(replay.whole.contains(&hash(&fs::read(&path).unwrap())), "{} is half", path.display());
        }
    }
    build_well(root);
    assert_eq!(hashes(root), history.hashes);
    assert_eq!(published(root), history.published);
    let found = verify(root);
    // The bytes of a record that never was whole may look damaged.
    let others = problems(&found).into_iter().filter(|finding| finding.reason.code != "journal_damaged").count();
    assert_eq!(others, 0, "{found:?}");
}

/// Up to `most` states in all.
fn run(most: usize) {
    let history = record();
    let (mut numbers, mut tried, mut points) = (Numbers::new(3), 0, 0);
    let syncs = history.ops.iter().filter(|op| matches!(op, Op::Sync(_) | Op::SyncFolder(_))).count() + 1;
    let mut replay = Replay::default();
    replay.durable.names.insert(history.root.clone(), Name::Folder);
    replay.durable.names.remove(&history.root);
    for (at, op) in history.ops.iter().enumerate() {
        let is_last = at + 1 == history.ops.len();
        if matches!(op, Op::Sync(_) | Op::SyncFolder(_)) || is_last {
            points += 1;
            // Spread what there is to try evenly over the points.
            let due = most * points / syncs - most * (points - 1) / syncs;
            let all = 1_usize << replay.pending.len().min(20);
            for turn in 0..due.min(all) {
                let chosen = if due >= all { turn } else { numbers.below(all) };
                let also = numbers.below(2) == 0;
                let kept = |at: usize| if at < 20 { chosen >> at & 1 == 1 } else { also };
                let disk = match turn {
                    0 if due < all => replay.cut(&|_| false, &mut numbers),
                    1 if due < all => replay.live.clone(),
                    _ => replay.cut(&kept, &mut numbers),
                };
                check(&history, &replay, &disk);
                tried += 1;
            }
        }
        replay.step(op, &history.marks);
    }
    println!("{} operations, {points} points, {tried} states after a power cut", history.ops.len());
}

#[test]
fn after_a_power_cut_nothing_acknowledged_is_lost() {
    run(80);
}

/// `ASSETS_LONG=10000 cargo test --release --workspace --locked --test main many_power_cuts -- --ignored --nocapture`
#[test]
#[ignore = "minutes: thousands of states"]
fn after_many_power_cuts_nothing_acknowledged_is_lost() {
    run(long(3000));
}
