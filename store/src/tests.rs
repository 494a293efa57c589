//! The store as a whole, on disk: the suites, reopening, damage, a second process' view, modes.

use super::*;
use assets_core::catalog::{Catalog, Commit, Records};
use assets_core::key::Partition;
use assets_core::record::{Entry, Part, PartId};
use assets_core::table_store::{Staged, TableFile, TableStore};
use assets_testkit::conformance::{self, fill, name, object, put, record, step};
use assets_testkit::memory_catalog::MemoryCatalog;
use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

fn writer(path: &Path) -> Writer {
    Store::open_writer(path, Wait::No, &mut |_| ()).unwrap()
}

fn reader(path: &Path) -> Reader {
    Store::open_reader(path).unwrap()
}

/// A store with the suite's history, and the same in memory.
fn filled() -> (TempDir, MemoryCatalog) {
    let folder = tempfile::tempdir().unwrap();
    let twin = MemoryCatalog::new();
    fill(&twin);
    let writer = writer(folder.path());
    fill(&writer);
    make_index(&writer);
    (folder, twin)
}

/// So few records make none by themselves: a question does.
fn make_index(writer: &Writer) {
    writer.of_build("").unwrap();
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

fn segment(root: &Path) -> PathBuf {
    files(&root.join("journal")).into_iter().rfind(|path| path.extension().is_some_and(|e| e == "log")).unwrap()
}

#[test]
fn passes_the_suites() {
    let folders = RefCell::new(Vec::new());
    let fresh = || {
        let folder = tempfile::tempdir().unwrap();
        let writer = writer(folder.path());
        folders.borrow_mut().push(folder);
        writer
    };
    conformance::catalog(&|| Box::new(fresh()));
    conformance::shared_catalog(&|| {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (writer(folder.path()), writer(folder.path()));
        folders.borrow_mut().push(folder);
        (Box::new(one), Box::new(two))
    });
    conformance::table_store(&|| Box::new(fresh().tables()));
    assert!(folders.borrow().iter().all(|folder| files(&folder.path().join("tmp")).is_empty()));
}

#[test]
fn readers_beside_the_writer_and_after_it_give_the_same_answers() {
    let folder = tempfile::tempdir().unwrap();
    let twin = MemoryCatalog::new();
    fill(&twin);
    let first = writer(folder.path());
    fill(&first);
    conformance::records(&twin, &first);
    conformance::records(&twin, &reader(folder.path()));
    drop(first);
    assert!(reader(folder.path()).torn().unwrap().is_empty());
    conformance::records(&twin, &reader(folder.path()));
    // The second one finds the index closed and trusts it, and goes on in a segment of its own.
    let (state, second) = (fs::read_to_string(folder.path().join("catalog/state")).unwrap(), writer(folder.path()));
    assert!(state.contains("\nclosed "), "{state}");
    conformance::records(&twin, &second);
    let more = Entry::Step(Arc::new(record(&step("wide", "new"), None, "n", "b9")));
    for catalog in [&second as &dyn Catalog, &twin] {
        assert_eq!(catalog.commit(vec![more.clone()]).unwrap(), Commit::Committed);
    }
    conformance::records(&twin, &second);
    conformance::records(&twin, &reader(folder.path()));
    assert_eq!(files(&folder.path().join("journal")).len(), 4, "two segments, the lock and the claims");
}

#[test]
fn a_store_that_does_not_exist_is_empty_and_reading_does_not_make_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/store");
    let reader = reader(&path);
    assert!(reader.ledger().unwrap().is_empty());
    assert!(reader.history(&step("wide", "a")).unwrap().is_empty());
    let tables = reader.tables();
    assert!(tables.open(&object("x")).err().unwrap().missing);
    assert_eq!(tables.stage().err().unwrap().reason.code, "store_read_only");
    let table = TableFile { output: name("wide"), stem: "part-00000".into() };
    assert_eq!(tables.publish(&table, &object("x")).unwrap_err().reason.code, "store_read_only");
    assert!(files(folder.path()).is_empty());
    // Nor does having nothing to do make a segment or an index.
    drop(writer(&path));
    assert_eq!(files(&path.join("journal")), [path.join("journal/claims"), path.join("journal/lock")]);
    assert!(!path.join("catalog").exists());
}

#[test]
fn a_torn_tail_loses_only_itself_and_the_next_writer_goes_on() {
    let (folder, _) = filled();
    let path = segment(folder.path());
    let good = fs::read(&path).unwrap();
    let before = reader(folder.path()).ledger().unwrap();
    let late = Entry::Step(Arc::new(record(&step("wide", "late"), None, "n", "b9")));
    writer(folder.path()).commit(vec![late.clone()]).unwrap();
    let last = segment(folder.path());
    let whole = fs::read(&last).unwrap();
    for cut in 8..whole.len() {
        fs::write(&last, &whole[..cut]).unwrap();
        assert_eq!(reader(folder.path()).ledger().unwrap(), before, "cut at {cut}");
    }
    // The index has folded more than the journal holds now: it starts again.
    let twin = MemoryCatalog::new();
    fill(&twin);
    let next = writer(folder.path());
    assert_eq!(next.torn().len(), 1);
    conformance::records(&twin, &next);
    for catalog in [&next as &dyn Catalog, &twin] {
        assert_eq!(catalog.commit(vec![late.clone()]).unwrap(), Commit::Committed);
    }
    conformance::records(&twin, &next);
    conformance::records(&twin, &reader(folder.path()));
    assert_eq!(fs::read(&path).unwrap(), good, "older segments are never touched");
}

#[test]
fn whatever_happens_to_the_index_the_answers_are_the_same() {
    type Harm = fn(&Path);
    let harms: [Harm; 7] = [
        |catalog| fs::remove_dir_all(catalog).unwrap(),
        |catalog| {
            fs::remove_dir_all(catalog).unwrap();
            fs::write(catalog, "not a folder").unwrap();
        },
        |catalog| fs::write(catalog.join("db"), vec![0x5a; 600_000]).unwrap(),
        |catalog| fs::write(catalog.join("conf"), "garbage").unwrap(),
        |catalog| fs::write(catalog.join("state"), "assets catalog 3\nclosed\n").unwrap(),
        // Garbage in an index that says it was left open: sled itself has to notice, or panic.
        |catalog| {
            let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
            fs::write(catalog.join("state"), format!("{}\nopen {boot}", trust::VERSION)).unwrap();
            fs::write(catalog.join("db"), vec![0x5a; 600_000]).unwrap();
        },
        |catalog| {
            let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
            fs::write(catalog.join("state"), format!("{}\nopen {boot}", trust::VERSION)).unwrap();
            fs::OpenOptions::new().write(true).open(catalog.join("db")).unwrap().set_len(0).unwrap();
        },
    ];
    let (folder, twin) = filled();
    for harm in harms {
        harm(&folder.path().join("catalog"));
        conformance::records(&twin, &writer(folder.path()));
        assert!(folder.path().join("catalog/state").is_file());
    }
}

/// Whatever happens to sled's files while they are open, nothing fails, and the answers are the same.
#[test]
fn an_index_hurt_in_the_middle_of_a_build_fails_nothing() {
    type Harm = fn(&Path);
    let harms: [Harm; 4] = [
        |catalog| fs::remove_dir_all(catalog).unwrap(),
        |catalog| fs::OpenOptions::new().write(true).open(catalog.join("db")).unwrap().set_len(0).unwrap(),
        |catalog| fs::write(catalog.join("db"), vec![0x5a; 600_000]).unwrap(),
        |catalog| fs::set_permissions(catalog, fs::Permissions::from_mode(0o000)).unwrap(),
    ];
    for harm in harms {
        let (folder, twin) = filled();
        let open = writer(folder.path());
        conformance::records(&twin, &open);
        harm(&folder.path().join("catalog"));
        for run in 0..40 {
            let more = Entry::Step(Arc::new(record(&step("wide", &format!("more {run}")), None, "n", "b9")));
            for catalog in [&open as &dyn Catalog, &twin] {
                assert_eq!(catalog.commit(vec![more.clone()]).unwrap(), Commit::Committed);
            }
        }
        conformance::records(&twin, &open);
        drop(open);
        conformance::records(&twin, &writer(folder.path()));
        conformance::records(&twin, &reader(folder.path()));
        let _ = fs::set_permissions(folder.path().join("catalog"), fs::Permissions::from_mode(0o755));
    }
}

/// Records of tables with very many columns: sled's own way with large values is not to be trusted.
#[test]
fn an_index_holds_no_value_that_is_large() {
    let (folder, twin) = filled();
    let open = writer(folder.path());
    for run in 0..60 {
        let mut large = record(&step("wide", &format!("large {run}")), None, "n", "b9");
        let part = large.outputs[0].parts[0].clone();
        let part = |column: usize| Part { id: PartId::column(&format!("column_{column}")), ..part.clone() };
        large.outputs[0].parts = (0..2000).map(part).collect();
        let large = Entry::Step(Arc::new(large));
        for catalog in [&open as &dyn Catalog, &twin] {
            assert_eq!(catalog.commit(vec![large.clone()]).unwrap(), Commit::Committed);
        }
    }
    conformance::records(&twin, &open);
    drop(open);
    let open = writer(folder.path());
    conformance::records(&twin, &open);
    let large = step("wide", "large 7");
    assert_eq!(open.history(&large).unwrap(), twin.history(&large).unwrap());
    assert_eq!(files(&folder.path().join("catalog/blobs")), [] as [PathBuf; 0]);
}

#[test]
fn an_index_of_another_journal_is_not_believed() {
    let (folder, twin) = filled();
    let other = tempfile::tempdir().unwrap();
    let more = Entry::Step(Arc::new(record(&step("wide", "other"), None, "n", "b9")));
    let writer_of_other = writer(other.path());
    writer_of_other.commit(vec![more]).unwrap();
    make_index(&writer_of_other);
    drop(writer_of_other);
    fs::remove_dir_all(folder.path().join("catalog")).unwrap();
    fs::rename(other.path().join("catalog"), folder.path().join("catalog")).unwrap();
    conformance::records(&twin, &writer(folder.path()));
}

#[test]
fn an_index_that_cannot_be_made_fails_nothing() {
    let (folder, twin) = filled();
    let writer = writer(folder.path());
    // A link to nowhere: it can be neither used nor opened as a folder.
    fs::remove_dir_all(folder.path().join("catalog")).unwrap();
    std::os::unix::fs::symlink("/dev/null/x", folder.path().join("catalog")).unwrap();
    conformance::records(&twin, &writer);
    let more = Entry::Step(Arc::new(record(&step("wide", "new"), None, "n", "b9")));
    assert_eq!(writer.commit(vec![more]).unwrap(), Commit::Committed);
    assert_eq!(writer.of_build("b9").unwrap(), [step("wide", "new")]);
}

#[test]
fn who_needs_the_store_alone_fails_or_waits_and_is_told_for_whom() {
    let folder = tempfile::tempdir().unwrap();
    let (first, beside) = (writer(folder.path()), writer(folder.path()));
    let error = WriterLock::alone(folder.path(), Wait::No, &mut |_| panic!("it does not wait")).unwrap_err();
    assert_eq!((error.code(), error.transient()), ("store_busy", true));
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    let (told, waits) = std::sync::mpsc::channel();
    let path = folder.path().to_owned();
    let alone = std::thread::spawn(move || {
        let mut on_wait = |holder: &Holder| told.send(holder.process).unwrap();
        drop(WriterLock::alone(&path, Wait::Forever, &mut on_wait).unwrap());
        reader(&path).ledger().unwrap()
    });
    assert_eq!(waits.recv(), Ok(std::process::id()));
    fill(&first);
    // Tables alone keep the right to write.
    let tables = first.tables();
    drop((first, beside));
    assert!(WriterLock::alone(folder.path(), Wait::No, &mut |_| ()).is_err());
    drop(tables);
    assert_eq!(alone.join().unwrap(), reader(folder.path()).ledger().unwrap());
    assert!(waits.recv().is_err(), "told once");
    // Who reads is in its way, and does not wait for it.
    let reading = reader(folder.path());
    assert!(WriterLock::alone(folder.path(), Wait::No, &mut |_| ()).is_err());
    drop(reading);
    let alone = WriterLock::alone(folder.path(), Wait::No, &mut |_| ()).unwrap();
    assert!(!reader(folder.path()).ledger().unwrap().is_empty());
    let opened = Store::open_writer(folder.path(), Wait::No, &mut |_| ());
    assert_eq!(opened.err().unwrap().code(), "store_busy");
    drop(alone);
    writer(folder.path());
}

#[test]
fn writers_side_by_side_know_what_the_other_has_done_whoever_has_the_index() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (writer(folder.path()), writer(folder.path()));
    fill(&one);
    fs::write(folder.path().join("tmp/1-0.tmp"), "the first one writes this").unwrap();
    drop(writer(folder.path()));
    assert!(folder.path().join("tmp/1-0.tmp").exists(), "it is not a leftover");
    // The first one has the index open; the second one answers from the journal.
    two.news().unwrap();
    let more = |run: &str, build: &str| Entry::Step(Arc::new(record(&step("wide", run), None, "n", build)));
    for run in 0..20 {
        let (writer, build) = if run % 3 == 0 { (&two, "b8") } else { (&one, "b9") };
        assert_eq!(writer.commit(vec![more(&run.to_string(), build)]).unwrap(), Commit::Committed);
        one.news().unwrap();
        two.news().unwrap();
        assert_eq!(one.of_build("b8").unwrap(), two.of_build("b8").unwrap());
    }
    conformance::records(&one, &two);
    conformance::records(&one, &reader(folder.path()));
    assert_eq!((one.position(), two.news().unwrap().len()), (two.position(), 0));
    drop(one);
    // Free now.
    conformance::records(&two, &reader(folder.path()));
    assert_eq!(two.commit(vec![more("last", "b8")]).unwrap(), Commit::Committed);
    drop(two);
    let state = fs::read_to_string(folder.path().join("catalog/state")).unwrap();
    assert!(state.contains("\nclosed "), "{state}");
    conformance::records(&writer(folder.path()), &reader(folder.path()));
}

#[test]
fn links_in_place_of_the_stores_own_are_refused() {
    for name in ["journal", "objects", "tables", "tmp", "catalog", "format"] {
        let (folder, _) = filled();
        let path = folder.path().join(name);
        let elsewhere = tempfile::tempdir().unwrap();
        fs::rename(&path, elsewhere.path().join("x")).unwrap();
        std::os::unix::fs::symlink(elsewhere.path().join("x"), &path).unwrap();
        let opened = Store::open_writer(folder.path(), Wait::No, &mut |_| ());
        for error in [opened.err().unwrap(), Store::open_reader(folder.path()).unwrap_err()] {
            assert_eq!((error.code(), error.transient()), ("store_link", false));
            assert!(error.to_string().contains(name), "{error}");
        }
    }
    // The store itself may be one.
    let (folder, _) = filled();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(folder.path(), &link).unwrap();
    writer(&link);
    // Further inside, what would lead elsewhere is refused when it is met.
    let tables = writer(folder.path()).tables();
    let elsewhere = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), folder.path().join("tables/wide")).unwrap();
    let table = TableFile { output: name("wide"), stem: "r1".into() };
    let error = tables.publish(&table, &put(&tables, b"rows")).unwrap_err();
    assert_eq!(error.reason.code, "store_link");
    assert!(files(elsewhere.path()).is_empty());
}

#[test]
fn another_format_is_refused_and_said() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("format"), "assets store 2\nmore\n").unwrap();
    let opened = Store::open_writer(folder.path(), Wait::No, &mut |_| ());
    for error in [opened.err().unwrap(), Store::open_reader(folder.path()).unwrap_err()] {
        assert_eq!(error.code(), "store_format");
        assert!(error.to_string().contains("`assets store 2`"), "{error}");
    }
    assert_eq!(files(folder.path()).len(), 1, "nothing was written");
    let (lost, _) = filled();
    fs::remove_file(lost.path().join("format")).unwrap();
    assert_eq!(Store::open_reader(lost.path()).unwrap_err().code(), "store_format");
    let file = folder.path().join("format/store");
    assert_eq!(Store::open_writer(&file, Wait::No, &mut |_| ()).err().unwrap().code(), "io_error");
}

#[test]
fn objects_are_read_only_kept_once_and_linked() {
    let folder = tempfile::tempdir().unwrap();
    let writer = writer(folder.path());
    let tables = writer.tables();
    let id = put(&tables, b"rows");
    let path = tables.object_path(&id);
    let text = id.to_string();
    assert_eq!(path, folder.path().join("objects").join(&text[..2]).join(format!("{}.parquet", &text[2..])));
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    assert_eq!(put(&tables, b"rows"), id);
    let table = TableFile::of(&name("wide"), &Partition::one("run", "a b"));
    tables.publish(&table, &id).unwrap();
    let published = folder.path().join("tables/wide/a%20b.parquet");
    assert_eq!(inode(&published), inode(&path));
    // A copy, as on a file system without links, is replaced as well.
    fs::remove_file(&published).unwrap();
    fs::write(&published, "old").unwrap();
    tables.publish(&table, &id).unwrap();
    assert_eq!(fs::read(&published).unwrap(), b"rows");
    let mut view = tables.stage().unwrap();
    view.write_all(b"view").unwrap();
    Staged::publish(view, &TableFile { output: name("stats"), stem: "part-00003".into() }).unwrap();
    for file in [&path, &published, &folder.path().join("tables/stats/part-00003.parquet")] {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o7777, 0o444);
    }
    // A damaged one is put right, whatever its length.
    for damaged in ["ro", "rowz"] {
        fs::remove_file(&path).unwrap();
        fs::write(&path, damaged).unwrap();
        put(&tables, b"rows");
        assert_eq!(fs::read(&path).unwrap(), b"rows");
    }
    assert!(files(&folder.path().join("tmp")).is_empty());
    assert!(reader(folder.path()).tables().contains(&id));
}

#[test]
fn leftovers_go_when_the_store_is_opened_and_folders_come_back() {
    let (folder, _) = filled();
    fs::write(folder.path().join("tmp/999-0.tmp"), "half a table").unwrap();
    let writer = writer(folder.path());
    assert!(files(&folder.path().join("tmp")).is_empty());
    for gone in ["tmp", "tables", "objects"] {
        fs::remove_dir_all(folder.path().join(gone)).unwrap();
    }
    let tables = writer.tables();
    tables.publish(&TableFile { output: name("wide"), stem: "part-00000".into() }, &put(&tables, b"rows")).unwrap();
}

#[test]
fn the_mark_says_what_is_published_until_the_tables_or_the_journal_change() {
    let (folder, _) = filled();
    let first = writer(folder.path());
    assert_eq!(first.published(), None);
    let position = first.position();
    first.set_published(&position).unwrap();
    assert_eq!(first.published().as_ref(), Some(&position));
    drop(first);
    let second = writer(folder.path());
    assert_eq!((second.published(), second.position()), (Some(position.clone()), position.clone()));
    second.commit(vec![conformance::begin("b9")]).unwrap();
    assert_ne!(second.position(), position);
    fs::remove_dir_all(folder.path().join("tables")).unwrap();
    assert_eq!(second.published(), None);
    second.set_published(&second.position()).unwrap();
    assert_eq!(second.published(), Some(second.position()));
}

/// What a killed process leaves: everything it wrote, nothing closed.
#[test]
fn a_store_whose_writer_was_killed_goes_on() {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for path in files(from) {
            let target = to.join(path.file_name().unwrap());
            if path.is_dir() { copy(&path, &target) } else { fs::copy(&path, &target).map(|_| ()).unwrap() }
        }
    }
    let (folder, twin) = filled();
    let alive = writer(folder.path());
    let more = |run: &str| vec![Entry::Step(Arc::new(record(&step("wide", run), None, "n", "b9")))];
    for run in 0..50 {
        alive.commit(more(&run.to_string())).unwrap();
        twin.commit(more(&run.to_string())).unwrap();
        if run % 10 == 9 {
            alive.of_build("b9").unwrap();
            let killed = tempfile::tempdir().unwrap();
            copy(folder.path(), killed.path());
            assert!(fs::read_to_string(killed.path().join("catalog/state")).unwrap().contains("\nopen "));
            conformance::records(&twin, &writer(killed.path()));
        }
    }
}

#[test]
fn commits_of_many_threads_are_all_there() {
    let folder = tempfile::tempdir().unwrap();
    let writer = writer(folder.path());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let writer = &writer;
            scope.spawn(move || {
                for run in 0..10 {
                    let step = step("wide", &format!("{thread}-{run}"));
                    let entry = Entry::Step(Arc::new(record(&step, None, "n", "b1")));
                    assert_eq!(writer.commit(vec![entry]).unwrap(), Commit::Committed);
                    assert_eq!(writer.history(&step).unwrap().len(), 1);
                }
            });
        }
    });
    assert_eq!(writer.of_build("b1").unwrap().len(), 40);
    conformance::records(&writer, &reader(folder.path()));
}

#[test]
fn a_folder_of_something_else_does_not_become_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let tmp = folder.path().join("tmp");
    fs::create_dir_all(tmp.join("mine")).unwrap();
    fs::write(tmp.join("mine/thesis.txt"), "years").unwrap();
    let open = || Store::open_writer(folder.path(), Wait::No, &mut |_| ()).map(drop);
    assert_eq!(open().unwrap_err().code(), "store_not_free");
    assert!(tmp.join("mine/thesis.txt").exists());
    fs::remove_dir_all(&tmp).unwrap();
    fs::write(folder.path().join("assets.toml"), "").unwrap();
    assert_eq!(open().unwrap_err().code(), "store_not_free");
    fs::remove_file(folder.path().join("assets.toml")).unwrap();
    // What a killed process had begun.
    fs::create_dir(&tmp).unwrap();
    fs::write(tmp.join("format.tmp"), "as").unwrap();
    open().unwrap();
}
