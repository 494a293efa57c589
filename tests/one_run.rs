//! A question about one run reads that run alone, and its answer is the one that looking at everything gives.

use crate::harness::{HEADER, Project, run_rows};
use assets_store::{Store, Wait};
use std::fs;

/// The same questions about one run: by its id, which is answered from that run alone, and by a pattern that fits it alone,
/// for which all are looked at.
fn compare(project: &Project, run: &str, what: &str) {
    let pattern = format!("{run}*");
    for verb in [
        "plan stats",
        "status raw clean stats",
        "why stats",
        "why raw",
        "lineage wide.fx_1",
        "errors features",
        "show stats",
    ] {
        for json in [true, false] {
            let ask = |asked: &str| {
                let mut args: Vec<&str> = verb.split(' ').collect();
                args.extend(["--run", asked]);
                args.extend(json.then_some("--json"));
                let output = project.run(&args);
                // What was asked for may be told again.
                let told = |text: String| text.replace(&pattern, run);
                (output.code, told(output.stdout), told(output.stderr))
            };
            assert_eq!(ask(run), ask(&pattern), "{what}: {verb} of {run}");
        }
    }
}

fn leave_tips(project: &Project) {
    let writer = Store::open_writer(&project.path("warehouse"), Wait::No, &mut |_| ()).unwrap();
    assert!(writer.leave_tips().unwrap());
}

#[test]
fn a_question_about_one_run_has_the_same_answer_as_one_about_all() {
    let project = Project::new();
    for run in ["a1", "b2", "c3"] {
        project.source(&format!("{run}.csv"), &(HEADER.to_owned() + &run_rows(run, 0.5)));
    }
    assert_eq!(project.build(&["stats"]).code, 0);
    let all = |what: &str| ["a1", "b2", "c3"].iter().for_each(|run| compare(&project, run, what));
    all("from the journal");
    leave_tips(&project);
    all("from the snapshot");
    project.source("late.csv", &(HEADER.to_owned() + &run_rows("b2", 0.7)));
    project.source("d4.csv", &(HEADER.to_owned() + &run_rows("d4", 0.5)));
    all("a late file");
    compare(&project, "d4", "a new run");
    assert_eq!(project.build(&["clean", "--run", "b2"]).code, 0);
    all("some behind the snapshot");
    project.settings("[derivative]\nwindow_ms = 300\n");
    all("another setting");
    project.source("a1.csv", "time,value\n1,2\n");
    all("a source that can't be read any more");
    assert_ne!(project.build(&["stats", "--run", "a1"]).code, 0);
    leave_tips(&project);
    all("a failure");
    fs::remove_file(project.path("data/c3.csv")).unwrap();
    all("a source that is gone");
    fs::write(project.path("warehouse/tips"), "nothing").unwrap();
    all("no snapshot");
}
