//! One suite for each seam that keeps something: whatever stands behind it, in memory or on disk, gives these answers.
//! Plain asserts; call them from a `#[test]`.

use assets_core::catalog::{Catalog, Claim, Commit, Held, Past, Records, WantedParts, Work};
use assets_core::excerpt::Excerpt;
use assets_core::hash::{ContentHash, Fingerprint, Hasher, ObjectId, RecordId};
use assets_core::key::{AssetName, Partition, Step};
use assets_core::ledger::Ledger;
use assets_core::reason::Reason;
use assets_core::record::{
    AttemptRecord, BuildEnd, BuildRecord, CheckRecord, Counts, Entry, FileStat, InputRecord, OutputRecord, Part,
    PartId, Recipe, SliceRecord, SliceRef, SourceRecord, Span, StepRecord, Stored, Unavailable,
};
use assets_core::table_store::{Object, TableFile, TableStore};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::sync::Arc;

/// A name that is one.
pub fn name(text: &str) -> AssetName {
    AssetName::new(text).expect("tests use proper names")
}

/// A step of an asset that is cut by `run`.
pub fn step(asset: &str, run: &str) -> Step {
    Step::new(&name(asset), &Partition::one("run", run))
}

/// A fingerprint that differs with the text.
pub fn fingerprint(text: &str) -> Fingerprint {
    Fingerprint(Hasher::new("test").text(text).finish())
}

/// A content hash that differs with the text.
pub fn content(text: &str) -> ContentHash {
    ContentHash(Hasher::new("test").text(text).finish())
}

/// An object that differs with the text.
pub fn object(text: &str) -> ObjectId {
    ObjectId(Hasher::new("test").text(text).finish())
}

/// A record of a step on top of `before`: an output in an object named by `made_of`, whose fingerprint it also is.
pub fn record(step: &Step, before: Option<&StepRecord>, made_of: &str, build: &str) -> StepRecord {
    let output = OutputRecord {
        name: step.asset.clone(),
        stored: Stored::Object(object(made_of)),
        rows: 3,
        bytes: 400,
        parts: vec![Part { id: PartId::column("x"), fingerprint: None, hash: content(made_of) }],
        unavailable: Vec::new(),
    };
    StepRecord {
        step: step.clone(),
        generation: before.map_or(0, |before| before.generation) + 1,
        replaces: before.map(StepRecord::id),
        reuses: None,
        fingerprint: fingerprint(made_of),
        recipe: Recipe::default(),
        outputs: vec![output],
        checks: Vec::new(),
        because: vec![Reason::new("never_made", "it was never made")],
        span: Span { start_us: 1_000, end_us: 2_000, worker: "1".into() },
        build: build.to_owned(),
    }
}

/// A failed attempt at a step after the record of that generation.
pub fn attempt(step: &Step, after_generation: u64, code: &str, build: &str) -> AttemptRecord {
    AttemptRecord {
        step: step.clone(),
        fingerprint: fingerprint(code),
        after_generation,
        reason: Reason::new(code, format!("it failed: {code}")).with("rows", 3_usize),
        span: Span::default(),
        build: build.to_owned(),
    }
}

/// A source as it was read.
pub fn source(path: &str) -> SourceRecord {
    let slice =
        |run| SliceRecord { asset: name("raw"), partition: Partition::one("run", run), hash: content(run), rows: 7 };
    SourceRecord {
        path: path.to_owned(),
        stat: Some(FileStat { device: 1, inode: 2, bytes: 300, mtime_ns: -4, ctime_ns: 5 }),
        content: Some(object(path)),
        reading: fingerprint("reading"),
        slices: vec![slice("r1"), slice("r2")],
        problem: Some(Reason::new("source_unreadable", "permission denied")),
        warnings: vec![Reason::new("imprecise_run_id", "too large").with("share", 0.5)],
        moved_to: None,
    }
}

/// The beginning of a build.
pub fn begin(build: &str) -> Entry {
    Entry::Begin(BuildRecord {
        id: build.to_owned(),
        trigger: "materialize".into(),
        process: 42,
        version: "0.1.0".into(),
        start_us: 1_000,
        planned: (5, 3),
    })
}

/// The end of a build.
pub fn end(build: &str) -> Entry {
    let counts = Counts { made: 3, failed: 1, ..Counts::default() };
    Entry::End(BuildEnd { id: build.to_owned(), end_us: 9_000, counts, interrupted: false })
}

fn made(record: &StepRecord) -> Entry {
    Entry::Step(Arc::new(record.clone()))
}

/// One entry of each kind, with every field in use. Formats on disk are pinned by these: leave them as they are.
pub fn examples() -> Vec<Entry> {
    let mut full = record(&step("wide", "r1"), None, "a", "b1");
    full.replaces = Some(RecordId(Hasher::new("test").finish()));
    full.reuses = full.replaces;
    let slice = PartId { slice: Some("1/force".into()), column: "value".into() };
    full.recipe = Recipe {
        code: "3".into(),
        shape: "x:f64".into(),
        params: vec![("wide.method".into(), "linear".into())],
        inputs: vec![InputRecord { output: name("clean"), rows: 9, parts: vec![(slice, content("in"))] }],
        slices: vec![SliceRef { hash: content("s"), rows: 2, path: "in/a.csv".into() }],
    };
    let mut inline = full.outputs[0].clone();
    inline.name = name("gaps");
    inline.stored = Stored::Inline(vec![1, 2, 3]);
    inline.parts[0].fingerprint = Some(fingerprint("part"));
    let absent = Reason::new("absent", "no row").with("names", vec!["x".to_owned()]).with("path", "in/a.csv");
    inline.unavailable = vec![Unavailable { column: "x".into(), reason: absent.clone() }];
    full.outputs.push(inline);
    let check = |failed| CheckRecord { output: name("wide"), check: "rows > 3".into(), blocking: true, failed };
    full.checks = vec![check(None), check(Some(absent))];
    let mut moved = source("in/a.csv");
    moved.moved_to = Some("in/b.csv".into());
    vec![
        begin("b1"),
        made(&full),
        Entry::Attempt(attempt(&full.step, 1, "boom", "b1")),
        Entry::Source(moved),
        end("b1"),
    ]
}

fn commit(catalog: &dyn Catalog, batch: Vec<Entry>) {
    assert_eq!(catalog.commit(batch).expect("commits"), Commit::Committed);
}

fn ledger(records: &dyn Records) -> Ledger {
    records.ledger().expect("answers")
}

/// Commits a history with everything in it: records on records, attempts, reuse, sources, builds.
pub fn fill(catalog: &dyn Catalog) {
    for run in ["r1", "r2", "r10"] {
        let step = step("wide", run);
        let one = record(&step, None, &format!("a {run}"), "b1");
        let mut two = record(&step, Some(&one), &format!("b {run}"), "b2");
        let reason = Reason::new("absent", "no row of it was delivered");
        two.outputs[0].unavailable = vec![Unavailable { column: "x".into(), reason }];
        let three = record(&step, Some(&two), &format!("a {run}"), "b2");
        let first = vec![begin("b1"), made(&one), Entry::Attempt(attempt(&step, 1, "boom", "b1")), end("b1")];
        commit(catalog, first);
        let failed = |code| Entry::Attempt(attempt(&step, 1, code, "b2"));
        commit(catalog, vec![begin("b2"), failed("bang"), failed("boom"), made(&two), made(&three)]);
        commit(catalog, vec![Entry::Attempt(attempt(&step, 3, "late", "b2"))]);
    }
    let never = step("stats", "r1");
    commit(catalog, vec![Entry::Attempt(attempt(&never, 0, "boom", "b3")), Entry::Source(source("in/a.csv"))]);
}

/// `reader` answers every question as `filled` does.
pub fn records(filled: &dyn Catalog, reader: &dyn Records) {
    let now = ledger(filled);
    assert!(!now.is_empty(), "call `fill` before");
    assert_eq!(now, ledger(reader));
    let (mut builds, mut codes) = (BTreeSet::from(["none".to_owned()]), BTreeSet::from(["none".to_owned()]));
    for (step, _) in now.steps() {
        for excerpt in [Excerpt::of_runs(step.partition.run()), Excerpt::of_assets([step.asset.clone()])] {
            let of = reader.ledger_of(&excerpt).expect("answers");
            assert_eq!(of, excerpt.of_ledger(&now), "what is now of {step} alone: {excerpt:?}");
        }
        let history = filled.history(step).expect("answers");
        assert_eq!(history, reader.history(step).expect("answers"), "history of {step}");
        for past in history {
            let Past::Record(_, record) = past else {
                let Past::Attempt(attempt) = past else { continue };
                codes.insert(attempt.reason.code);
                builds.insert(attempt.build);
                continue;
            };
            let ask = |records: &dyn Records| records.by_fingerprint(step, &record.fingerprint).expect("answers");
            assert_eq!(ask(filled), ask(reader), "records of {step} by fingerprint");
            for object in record.objects() {
                let needed = filled.of_object(object).expect("answers");
                assert!(needed.contains(&record.id()));
                assert_eq!(needed, reader.of_object(object).expect("answers"), "records that need {object:?}");
            }
            let unavailable = record.outputs.iter().flat_map(|output| &output.unavailable);
            codes.extend(unavailable.map(|column| column.reason.code.clone()));
            builds.insert(record.build.clone());
        }
    }
    for build in builds {
        assert_eq!(filled.of_build(&build).expect("answers"), reader.of_build(&build).expect("answers"), "{build}");
    }
    for code in codes {
        assert_eq!(filled.with_reason(&code).expect("answers"), reader.with_reason(&code).expect("answers"), "{code}");
    }
}

/// What every catalog does. `make` gives an empty one each time.
pub fn catalog(make: &dyn Fn() -> Box<dyn Catalog>) {
    assert!(ledger(&*make()).is_empty());
    commit(&*make(), Vec::new());
    records_replace_one_another(&*make());
    attempts_count_until_a_newer_record(&*make());
    history_can_be_asked(&*make());
    records_are_told_by_their_parts(&*make());
    sources_and_builds_are_kept(&*make());
}

fn records_replace_one_another(catalog: &dyn Catalog) {
    let (a, b) = (step("wide", "a"), step("wide", "b"));
    let one = record(&a, None, "1", "b1");
    let two = record(&a, Some(&one), "2", "b1");
    commit(catalog, vec![made(&one), made(&two)]);
    assert_eq!(ledger(catalog).newest(&a).map(|r| r.id()), Some(two.id()));
    // Replaces what is no longer the newest; replaces nothing; replaces what never was; skips a generation.
    let mut skips = record(&a, Some(&two), "3", "b2");
    skips.generation += 1;
    let unknown = record(&b, Some(&record(&b, None, "0", "b2")), "3", "b2");
    let wrong = [record(&a, Some(&one), "3", "b2"), record(&a, None, "3", "b2"), unknown, skips];
    for late in wrong {
        let before = ledger(catalog);
        let batch = vec![begin("b2"), made(&record(&step("wide", "c"), None, "1", "b2")), made(&late)];
        assert_eq!(catalog.commit(batch).expect("answers"), Commit::Conflict(late.step.clone()));
        assert_eq!(ledger(catalog), before, "nothing of a refused batch is true");
        assert!(catalog.of_build("b2").expect("answers").is_empty());
    }
    // Twice the same in one batch.
    let twice = record(&b, None, "1", "b2");
    let refused = catalog.commit(vec![made(&twice), made(&twice)]).expect("answers");
    assert_eq!(refused, Commit::Conflict(b.clone()));
    commit(catalog, vec![made(&record(&a, Some(&two), "3", "b3")), made(&twice)]);
    let now = ledger(catalog);
    assert_eq!(now.newest(&a).map(|r| r.generation), Some(3));
    let ordinals = now.ordinals(|asset| asset.as_str() == "wide");
    assert_eq!((ordinals.get(&a), ordinals.get(&b)), (Some(&0), Some(&1)));
}

fn attempts_count_until_a_newer_record(catalog: &dyn Catalog) {
    let step = step("wide", "a");
    commit(catalog, vec![Entry::Attempt(attempt(&step, 0, "boom", "b1"))]);
    let failed = |catalog| {
        let now = ledger(catalog);
        now.tip(&step).and_then(|tip| tip.attempt()).map(|attempt| attempt.reason.code.clone())
    };
    assert_eq!(failed(catalog).as_deref(), Some("boom"));
    let one = record(&step, None, "1", "b2");
    commit(catalog, vec![made(&one)]);
    assert_eq!(failed(catalog), None);
    commit(catalog, vec![Entry::Attempt(attempt(&step, 1, "bang", "b3"))]);
    assert_eq!(failed(catalog).as_deref(), Some("bang"));
    assert_eq!(ledger(catalog).newest(&step).map(|r| r.id()), Some(one.id()), "the earlier table stays");
}

fn history_can_be_asked(catalog: &dyn Catalog) {
    fill(catalog);
    let r1 = step("wide", "r1");
    let history = catalog.history(&r1).expect("answers");
    let told = history.iter().map(|past| match past {
        Past::Record(id, record) => {
            assert_eq!(*id, record.id());
            record.generation.to_string()
        }
        Past::Attempt(attempt) => attempt.reason.code.clone(),
    });
    assert_eq!(told.collect::<Vec<_>>(), ["late", "3", "2", "boom", "bang", "boom", "1"]);
    assert!(catalog.history(&step("wide", "r")).expect("answers").is_empty());

    let by = |text: &str| catalog.by_fingerprint(&r1, &fingerprint(text)).expect("answers");
    assert_eq!(by("a r1").iter().map(|r| r.generation).collect::<Vec<_>>(), [3, 1]);
    assert_eq!(by("b r1").len(), 1);
    assert!(by("a r2").is_empty(), "another step's record is not this step's");

    let ids: BTreeSet<_> = by("a r1").iter().map(|r| r.id()).collect();
    let needed = catalog.of_object(&object("a r1")).expect("answers");
    assert_eq!(needed, ids.into_iter().collect::<Vec<_>>());
    assert!(catalog.of_object(&object("none")).expect("answers").is_empty());

    let (r2, r10, stats) = (step("wide", "r2"), step("wide", "r10"), step("stats", "r1"));
    assert_eq!(catalog.of_build("b1").expect("answers"), [r1.clone(), r2.clone(), r10.clone()]);
    assert_eq!(catalog.of_build("b3").expect("answers"), std::slice::from_ref(&stats));
    assert!(catalog.of_build("b").expect("answers").is_empty());
    let with = |code: &str| catalog.with_reason(code).expect("answers");
    assert_eq!(with("boom"), [stats, r1.clone(), r10.clone(), r2.clone()], "sorted");
    assert_eq!(with("absent"), [r1, r10, r2]);
    assert!(with("boo").is_empty());
}

fn records_are_told_by_their_parts(catalog: &dyn Catalog) {
    let step = step("wide", "p");
    let made_of = |before: Option<&StepRecord>, part: Option<&str>, build: &str| {
        let mut made = record(&step, before, build, build);
        made.outputs[0].parts[0].fingerprint = part.map(fingerprint);
        commit(catalog, vec![begin(build), Entry::Step(Arc::new(made.clone()))]);
        made
    };
    let one = made_of(None, Some("x"), "b1");
    commit(catalog, vec![Entry::Attempt(attempt(&step, 1, "boom", "b1"))]);
    let two = made_of(Some(&one), Some("y"), "b2");
    let three = made_of(Some(&two), None, "b3");
    let told = |is_wanted: &WantedParts<'_>| catalog.with_parts(&step, is_wanted).expect("answers");
    assert_eq!(
        told(&|outputs| outputs.iter().flatten().any(|part| *part == fingerprint("x"))),
        [Arc::new(one.clone())]
    );
    assert_eq!(told(&|outputs| outputs.iter().all(Vec::is_empty)), [Arc::new(three.clone())]);
    assert_eq!(told(&|_| true), [three, two, one].map(Arc::new), "newest first");
}

fn sources_and_builds_are_kept(catalog: &dyn Catalog) {
    let (old, mut gone) = (source("in/a.csv"), source("in/a.csv"));
    gone.moved_to = Some("in/b.csv".into());
    commit(catalog, vec![begin("b1"), Entry::Source(old.clone()), begin("b2"), end("b1")]);
    let now = ledger(catalog);
    assert_eq!(now.sources().get("in/a.csv"), Some(&old));
    let builds: Vec<_> = now.builds().iter().map(|(build, end)| (build.id.as_str(), end.is_some())).collect();
    assert_eq!(builds, [("b1", true), ("b2", false)], "a build that was killed has no end");
    commit(catalog, vec![Entry::Source(gone), Entry::Source(source("in/b.csv"))]);
    assert_eq!(ledger(catalog).sources().keys().collect::<Vec<_>>(), ["in/b.csv"]);
}

fn claim(catalog: &dyn Catalog, work: &Work) -> Option<Held> {
    match catalog.claim(work).expect("answers") {
        Claim::Ours(held) => Some(held),
        Claim::Theirs(_) => None,
    }
}

/// What every catalog does that several processes write. `make` gives two handles on an empty one each time.
pub fn shared_catalog(make: &dyn Fn() -> (Box<dyn Catalog>, Box<dyn Catalog>)) {
    let (one, two) = make();
    let (a, b) = (step("wide", "a"), step("wide", "b"));
    let work = |step: &Step| Work::Step(step.clone());
    for (first, other) in [(work(&a), work(&b)), (Work::Views, work(&a))] {
        let held = claim(&*one, &first).expect("it is free");
        let Claim::Theirs(holder) = two.claim(&first).expect("answers") else { panic!("it is claimed already") };
        assert!(holder.process > 0, "it is known by whom");
        let second = claim(&*two, &other).expect("other work is free");
        assert!(claim(&*one, &other).is_none());
        drop(held);
        assert!(claim(&*two, &first).is_some(), "it was given back");
        drop(second);
    }

    assert!(one.news().expect("answers").is_empty());
    let record_a = record(&a, None, "1", "b1");
    commit(&*one, vec![begin("b1"), made(&record_a)]);
    assert!(one.news().expect("answers").is_empty(), "one's own is no news");
    // What is new is known to be the newest before it was asked for.
    let late = record(&a, None, "2", "b2");
    assert_eq!(two.commit(vec![begin("b2"), made(&late)]).expect("answers"), Commit::Conflict(a.clone()));
    assert_eq!(two.news().expect("answers"), [begin("b1"), made(&record_a)]);
    assert!(two.news().expect("answers").is_empty());
    let (second, failed) = (record(&a, Some(&record_a), "2", "b2"), attempt(&b, 0, "boom", "b2"));
    commit(&*two, vec![begin("b2"), made(&second), Entry::Attempt(failed)]);
    commit(&*one, vec![end("b1")]);
    assert_eq!(one.news().expect("answers").len(), 3);
    let third = record(&a, Some(&second), "3", "b1");
    commit(&*one, vec![made(&third), made(&record(&b, None, "1", "b1"))]);
    two.news().expect("answers");
    records(&*one, &*two);
    records(&*two, &*one);
}

/// Puts bytes; gives the object.
pub fn put(tables: &dyn TableStore, bytes: &[u8]) -> ObjectId {
    let mut staged = tables.stage().expect("stages");
    // In pieces: how bytes are cut into calls must not matter.
    bytes.chunks(3).for_each(|piece| staged.write_all(piece).expect("writes"));
    let (object, length) = staged.put().expect("puts");
    assert_eq!(length, bytes.len() as u64);
    object
}

fn bytes_of(tables: &dyn TableStore, object: &ObjectId) -> Vec<u8> {
    match tables.open(object).expect("opens") {
        Object::Bytes(bytes) => bytes.to_vec(),
        Object::File(mut file) => {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).expect("reads");
            bytes
        }
    }
}

/// What every table store does. `make` gives an empty one each time.
pub fn table_store(make: &dyn Fn() -> Box<dyn TableStore>) {
    let tables = &*make();
    assert!(tables.outputs().expect("lists").is_empty());
    let one = put(tables, b"one table");
    assert_eq!(one, put(tables, b"one table"), "the same bytes are the same object");
    let two = put(tables, b"another table");
    assert_eq!((bytes_of(tables, &one), bytes_of(tables, &two)), (b"one table".to_vec(), b"another table".to_vec()));
    assert!(tables.contains(&one));

    let mut dropped = tables.stage().expect("stages");
    dropped.write_all(b"never finished").expect("writes");
    drop(dropped);

    let missing = object("missing");
    assert!(!tables.contains(&missing));
    let error = tables.open(&missing).err().expect("there is nothing to open");
    assert!(error.missing && error.reason.code == "object_missing", "{error}");

    let wide = TableFile::of(&name("wide"), &Partition::one("run", "a/b"));
    assert!(tables.publish(&wide, &missing).expect_err("there is nothing to publish").missing);
    assert!(!tables.is_published(&wide));
    for object in [&one, &one, &two, &one] {
        tables.publish(&wide, object).expect("publishes");
        assert!(tables.is_published(&wide));
    }
    // The same object in two places.
    tables.publish(&TableFile::of(&name("wide"), &Partition::none()), &one).expect("publishes");

    let bucket = TableFile { output: name("stats"), stem: "part-00000".into() };
    for bytes in [&b"a view"[..], b"the view again"] {
        let mut view = tables.stage().expect("stages");
        view.write_all(bytes).expect("writes");
        assert_eq!(view.publish(&bucket).expect("publishes"), bytes.len() as u64);
        assert!(tables.is_published(&bucket));
    }
    assert_eq!(tables.outputs().expect("lists"), [name("stats"), name("wide")]);
    for stem in ["", ".", "..", "a/b", "a\0"] {
        let bad = TableFile { output: name("wide"), stem: stem.to_owned() };
        let error = tables.publish(&bad, &one).expect_err("it would leave its folder");
        assert!(error.reason.code == "bad_table_name" && !error.missing);
        assert!(tables.stage().expect("stages").publish(&bad).is_err());
        assert!(!tables.is_published(&bad));
    }
}
