//! Little memory changes what is held, never what comes out.

use crate::harness::Project;
use std::fs;

/// Two runs and defects of every kind: more rows than a quarter of the least memory holds.
fn recording() -> Project {
    let project = Project::new();
    let simulated = project.run(&["simulate", "data/all.parquet", "--runs", "2", "--seconds", "100", "--defects"]);
    assert_eq!(simulated.code, 0, "{simulated:?}");
    project
}

#[test]
fn a_file_with_more_rows_than_fit_is_read_run_by_run() {
    let project = recording();
    let built = project.build(&[]);
    assert_eq!(built.code, 0, "{built:?}");
    let (hashes, steps) = (project.hashes(), built.log());
    fs::remove_dir_all(project.path("warehouse")).unwrap();
    project.settings("memory = \"256MiB\"\n");
    let built = project.build(&[]);
    assert_eq!(built.code, 0, "{built:?}");
    assert_eq!(built.log(), steps);
    assert_eq!(project.hashes(), hashes);
    let again = project.build(&["--rehash"]);
    assert_eq!((again.code, again.log().len()), (0, 0), "the file's slices have the same hashes: {again:?}");
    let rows = project.sql("select count(*) as n from intake_rejects");
    assert!(rows[0]["n"].as_i64().unwrap() > 0, "rows without a run are among them");
}

#[test]
fn memory_is_a_size_that_makes_sense() {
    let project = recording();
    for (text, says) in [("lots", "is not a size"), ("1MiB", "256MiB")] {
        project.settings(&format!("memory = \"{text}\"\n"));
        let refused = project.build(&[]);
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(format!("{refused:?}").contains(says), "{refused:?}");
    }
}
