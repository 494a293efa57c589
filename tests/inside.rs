//! The program inside of this process, on a small project of its own field: builds, looks and repairs that take
//! milliseconds, so that a store can be hurt and mended thousands of times.

use assets::project::Telemetry;
use assets_cli::app::{App, Failure, OpenOptions, Project};
use assets_core::Step;
use assets_core::finding::{Finding, Harm};
use assets_core::hash::ByteHasher;
use assets_engine::EngineError;
use assets_engine::build::Backends;
use assets_engine::pool::Pool;
use assets_engine::verify::Verification;
use assets_engine::{BuildOptions, BuildSummary, Event, Scope, World, materialize, repair};
use assets_frames::foreign::Foreign;
use assets_frames::parquet;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// A folder in memory where there is one: what is tested is the order of operations, not the disk.
pub(crate) fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()) } else { tempfile::tempdir() }
        .unwrap()
}

/// Writes the project: a table of files per day with its rejects, one made from it, a packed one, one over all days.
pub(crate) fn write_project(root: &Path, factor: usize, days: std::ops::Range<usize>) {
    let settings = format!(
        "pipeline = 'none'\n[assets.readings]\nfiles = ['data/*.csv']\npartition_by = ['day']\n\
         columns.hour = {{ type = 'integer' }}\ncolumns.value = {{ type = 'float' }}\n\
         [assets.scaled]\nsql = 'select hour, value * {factor} as scaled from readings'\n\
         [assets.daily]\npacked = true\nsql = 'select max(value) as largest, count(*) as n from readings'\n\
         [assets.total]\npartition = 'all'\nsql = 'select sum(n) as n, max(largest) as largest from daily'\n"
    );
    fs::create_dir_all(root.join("data")).unwrap();
    fs::write(root.join("assets.toml"), settings).unwrap();
    for day in days {
        let mut text = "day,hour,value\n".to_owned();
        (0..24).for_each(|hour| text += &format!("{day},{hour},{}\n", (day * 7 + hour * factor) as f64 / 4.0));
        text += &format!("{day},noon,1\n");
        fs::write(root.join(format!("data/{day}.csv")), text).unwrap();
    }
}

pub(crate) fn open(root: &Path) -> Box<dyn Project> {
    let options = OpenOptions { config: Some(root.join("assets.toml")), ..OpenOptions::default() };
    Telemetry::default().open(&options).unwrap()
}

/// One build, as `materialize` does it.
pub(crate) fn build(root: &Path, tell: &mut dyn FnMut(&dyn Project, &Event)) -> Result<BuildSummary, Failure> {
    let project = open(root);
    let project = project.as_ref();
    // A test beside this one that starts a program lends it every open file for a moment, the lock among them.
    let store = project.writer(true, &mut |_| ())?;
    let (catalog, tables) = (store.catalog(), store.tables());
    let ledger = catalog.ledger()?;
    let sources = project.source().identify(&ledger, false).unwrap();
    let mut scope = Scope::new(project.graph(), &[], false).unwrap();
    let (graph, options) = (project.graph(), options(store.all_published()));
    scope.settle(&World { graph, ledger: &ledger, sources: &sources, records: catalog, tables: &*tables });
    let pool = Pool::new(1, project.worker(store.tables())).unwrap();
    let packer = project.packer(store.tables());
    let backends = Backends {
        graph,
        catalog,
        tables: tables.as_ref(),
        executor: &pool,
        packer: packer.as_ref(),
        source: Some(project.source()),
        mark_published: &|| store.mark_published(),
    };
    let cancel = AtomicBool::new(false);
    Ok(materialize(backends, &sources, &scope, &options, &cancel, &mut |event| tell(project, &event))?)
}

fn options(all_published: bool) -> BuildOptions {
    static BUILDS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let number = BUILDS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let (trigger, version) = ("test".to_owned(), "test".to_owned());
    let (id, since) = (format!("b{number}"), Instant::now());
    BuildOptions { id, trigger, version, all_published, wait: true, since, beside: None }
}

/// A build that has to succeed.
pub(crate) fn build_well(root: &Path) -> BuildSummary {
    let mut told = Vec::new();
    let summary = build(root, &mut |_, event| told.push(format!("{event:?}")));
    let summary = summary.unwrap_or_else(|failure| panic!("{failure:?}"));
    let bad = summary.counts.failed + summary.counts.blocked + summary.unpublished as u64;
    assert_eq!(bad, 0, "{summary:?}\n{}", told.join("\n"));
    summary
}

/// The content hash of every step's newest record.
pub(crate) fn hashes(root: &Path) -> BTreeMap<Step, String> {
    let project = open(root);
    let ledger = project.reader().unwrap().records().ledger().unwrap();
    let steps = ledger.steps().filter(|(step, _)| project.graph().has_step(step));
    steps.filter_map(|(step, tip)| Some((step.clone(), tip.record()?.content_hash().to_string()))).collect()
}

/// What `verify` finds.
pub(crate) fn verify(root: &Path) -> Vec<Finding> {
    let project = open(root);
    let mut findings = project.examine().unwrap_or_else(|failure| panic!("{failure:?}")).findings;
    if findings.iter().any(|finding| finding.reason.code == "store_format") {
        return findings;
    }
    let reader = project.reader().unwrap();
    let ledger = reader.records().ledger().unwrap();
    let examiner = project.examiner(Arc::clone(reader.tables()));
    let packer = project.packer(Arc::clone(reader.tables()));
    let verification = Verification {
        graph: project.graph(),
        ledger: &ledger,
        records: reader.records(),
        tables: reader.tables().as_ref(),
        examiner: examiner.as_ref(),
        packer: packer.as_ref(),
        all_published: reader.all_published(),
    };
    findings.extend(verification.run().findings);
    findings
}

pub(crate) fn problems(findings: &[Finding]) -> Vec<&Finding> {
    findings.iter().filter(|finding| finding.harm == Harm::Problem).collect()
}

/// As the verb does it.
pub(crate) fn repair_store(root: &Path) -> Result<(), Failure> {
    let project = open(root);
    project.repair(true, &mut |_| ())?;
    let store = project.writer(true, &mut |_| ())?;
    let (catalog, tables, packer) = (store.catalog(), store.tables(), project.packer(store.tables()));
    let ledger = catalog.ledger()?;
    let done = repair::publish(project.graph(), &ledger, catalog, tables.as_ref(), packer.as_ref())?;
    if !done.left.iter().any(|reason| reason.code == "not_published") {
        store.mark_published().map_err(EngineError::Tables)?;
    }
    catalog.of_build("")?;
    Ok(())
}

/// Every published file with its rows, sorted: which of several steps was first in a view is nobody's business.
pub(crate) fn published(root: &Path) -> BTreeMap<PathBuf, Vec<String>> {
    let tables = root.join("warehouse/tables");
    let files = all_files(&tables).into_iter().filter(|path| path.extension().is_some_and(|e| e == "parquet"));
    let rows = |path: PathBuf| {
        let frame = Foreign::open(&path)
            .and_then(|file| file.read())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let columns: Vec<_> = frame.columns().iter().map(|column| parquet::as_text(column).unwrap()).collect();
        let mut rows: Vec<String> = (0..frame.height())
            .map(|row| format!("{:?}", columns.iter().map(|c| &c[row]).collect::<Vec<_>>()))
            .collect();
        rows.sort();
        (path.strip_prefix(&tables).unwrap().to_owned(), rows)
    };
    files.map(rows).collect()
}

/// Files below a folder, sorted.
pub(crate) fn all_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(all_files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Copies a project; files that are one stay one.
pub(crate) fn copy(from: &Path, to: &Path) {
    let mut known: BTreeMap<u64, PathBuf> = BTreeMap::new();
    for path in all_files(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        let inode = fs::metadata(&path).unwrap().ino();
        match known.get(&inode) {
            Some(first) => fs::hard_link(first, &target).unwrap(),
            None => {
                fs::copy(&path, &target).unwrap();
                known.insert(inode, target);
            }
        }
    }
    for name in ["objects", "tables", "tmp", "journal"] {
        fs::create_dir_all(to.join("warehouse").join(name)).unwrap();
    }
}

/// The hash of a file's bytes.
pub(crate) fn hash(bytes: &[u8]) -> String {
    let mut hasher = ByteHasher::default();
    hasher.update(bytes);
    hasher.finish().to_string()
}

/// How many of something the long form does: `ASSETS_LONG=1000`, for instance.
pub(crate) fn long(or: usize) -> usize {
    std::env::var("ASSETS_LONG").ok().and_then(|text| text.parse().ok()).unwrap_or(or)
}

/// A stream of numbers that a seed fixes.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x1234_5678_9abc_def1))
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound.max(1)
    }
}
