//! Every operation on files fails once, in turn: no panic, no half of anything, and the next build finishes the job.

use crate::inside::{
    Numbers, build, build_well, copy, folder, hashes, long, problems, published, verify, write_project,
};
use assets_store::faults::{Fault, Op, Probe};
use std::collections::BTreeMap;
use std::path::Path;

const ENOSPC: i32 = 28;
const EIO: i32 = 5;
const EACCES: i32 = 13;

/// A store before a build that has much to do, and what it should look like after.
struct Case {
    base: tempfile::TempDir,
    change: fn(&Path),
    operations: Vec<Op>,
    hashes: BTreeMap<assets_core::Step, String>,
    published: BTreeMap<std::path::PathBuf, Vec<String>>,
}

impl Case {
    /// `prepare` makes the store as it was before; `change` what the build has to follow.
    fn new(prepare: fn(&Path), change: fn(&Path)) -> Self {
        let base = folder();
        prepare(base.path());
        let good = folder();
        copy(base.path(), good.path());
        change(good.path());
        let probe = Probe::record(good.path());
        build_well(good.path());
        let operations = probe.recorded();
        let (hashes, published) = (hashes(good.path()), published(good.path()));
        Self { base, change, operations, hashes, published }
    }

    /// One fault: what the build said, and that all is well after the next one.
    fn run(&self, fault: Fault) -> String {
        let project = folder();
        let root = project.path();
        copy(self.base.path(), root);
        let before = published(root);
        (self.change)(root);
        let probe = Probe::fail(root, fault);
        let ended = build(root, &mut |_, _| ());
        let told = match &ended {
            Err(failure) => {
                assert!(matches!(failure.exit, 3 | 4), "{fault:?} {:?}: {failure:?}", probe.hit());
                assert!(failure.reason.message.len() > 10, "{failure:?}");
                format!("exit {} {}", failure.exit, failure.reason.code)
            }
            Ok(summary) if summary.counts.failed + summary.counts.blocked > 0 || summary.unpublished > 0 => {
                assert!(summary.only_transient, "{fault:?} {:?}: {summary:?}", probe.hit());
                "steps failed".to_owned()
            }
            Ok(_) => "nothing lost".to_owned(),
        };
        let hit = probe.hit();
        drop(probe);
        // What was published before is there as it was, or as it is to be.
        let now = published(root);
        for (path, rows) in &before {
            let found = now.get(path).unwrap_or_else(|| panic!("{fault:?} {hit:?}: {} is gone", path.display()));
            let is_new = self.published.get(path) == Some(found);
            // A view has some steps' rows; `total` is made of the days that did not fail.
            let of_many = path.to_string_lossy().contains("part-") || path.starts_with("total");
            assert!(found == rows || is_new || of_many, "{fault:?} {hit:?}: {}", path.display());
        }
        let found = verify(root);
        assert!(problems(&found).is_empty(), "{fault:?} {hit:?}: {found:?}");
        build_well(root);
        assert_eq!(hashes(root), self.hashes, "{fault:?} {hit:?}");
        assert_eq!(published(root), self.published, "{fault:?} {hit:?}");
        let found = verify(root);
        assert!(problems(&found).is_empty(), "{fault:?} {hit:?}: {found:?}");
        told
    }

    /// Faults of every kind at every operation.
    fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (at, op) in self.operations.iter().enumerate() {
            for errno in [ENOSPC, EIO, EACCES] {
                faults.push(Fault { at, errno, bytes: 0, lasting: false });
            }
            faults.push(Fault { at, errno: ENOSPC, bytes: 0, lasting: true });
            if let Op::Write(_, bytes) = op {
                let mut cuts = vec![1, 3, 4, 7, 8, 9, bytes.len() / 2, bytes.len().saturating_sub(1), bytes.len()];
                cuts.retain(|cut| *cut <= bytes.len());
                cuts.sort_unstable();
                cuts.dedup();
                faults.extend(cuts.into_iter().map(|bytes| Fault { at, errno: ENOSPC, bytes, lasting: false }));
            }
        }
        faults
    }
}

fn first() -> Case {
    Case::new(|root| write_project(root, 2, 1..3), |_| ())
}

fn second() -> Case {
    Case::new(
        |root| {
            write_project(root, 2, 1..4);
            build_well(root);
        },
        |root| write_project(root, 3, 2..5),
    )
}

fn run(count: usize) {
    for (name, case) in [("first build", first()), ("build after changes", second())] {
        let mut faults = case.faults();
        let all = faults.len();
        let mut numbers = Numbers::new(7);
        while faults.len() > count {
            faults.swap_remove(numbers.below(faults.len()));
        }
        let mut told: BTreeMap<String, usize> = BTreeMap::new();
        for fault in &faults {
            *told.entry(case.run(*fault)).or_default() += 1;
        }
        println!("{name}: {} operations, {} of {all} faults tried", case.operations.len(), faults.len());
        told.iter().for_each(|(what, n)| println!("  {n:5} {what}"));
    }
}

#[test]
fn any_operation_may_fail_and_the_next_build_finishes_the_job() {
    run(40);
}

/// `cargo test --release --workspace --locked --test main every_operation_fails -- --ignored --nocapture`
#[test]
#[ignore = "minutes: every operation, every error"]
fn every_operation_fails_once_with_every_error() {
    run(long(usize::MAX));
}
