//! Column grain on the telemetry pipeline: what a change touches is exactly what is computed.

use crate::harness::{Output, Project, row, run_rows};
use assets::project::Telemetry;
use assets_core::{ColumnDecl, Kind};
use assets_frames::aligned::Defined;
use assets_frames::polars::prelude::{Expr, all, col, lit, nth};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// A further column of `features`, as a programmer would add it.
fn variant(name: &str) -> Vec<Defined> {
    let define = |name: &str, expr: Expr| vec![Defined::expr(ColumnDecl::new(name, Kind::Float, "mW", "power"), expr)];
    let product = |axis: &str| col(format!("f{axis}_1")) * col(format!("v{axis}_1"));
    match name {
        "power" => define("power_1", product("x") + product("y") + product("z")),
        "renamed" => define("tool_power", product("x") + product("y") + product("z")),
        "in two steps" => {
            let along_the_table = (col("fx_1") * col("vx_1")) + (col("fy_1") * col("vy_1"));
            define("power_1", along_the_table + (product("z")))
        }
        "in watts" => define("power_1", (product("x") + product("y") + product("z")) / lit(1000.0)),
        "twice" => define("v1", col("f1")),
        "itself" => define("power_1", col("power_1") + lit(1.0)),
        "unknown" => define("power_1", col("vx_3")),
        "by pattern" => define("power_1", col("^f[xyz]_1$") * lit(2.0)),
        "by place" => define("power_1", nth(3).as_expr() + col("fx_1")),
        "all but" => define("power_1", all().exclude_cols(["time"]).as_expr().max()),
        _ => Vec::new(),
    }
}

/// The program with a further column: this test binary runs itself.
#[test]
fn as_program() {
    let (Ok(name), Ok(args)) = (std::env::var("ASSETS_TEST_VARIANT"), std::env::var("ASSETS_TEST_ARGS")) else {
        return;
    };
    println!("\n>>>");
    let args = std::iter::once("assets").chain(args.split('\n')).map(Into::into);
    let code = assets_cli::run(&Telemetry { features: variant(&name) }, args.collect::<Vec<std::ffi::OsString>>());
    std::process::exit(i32::from(code != ExitCode::SUCCESS));
}

fn run_as(project: &Project, variant: &str, args: &[&str]) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["columns::as_program", "--exact", "--nocapture", "--test-threads=1"]);
    command.env("ASSETS_TEST_VARIANT", variant).env("ASSETS_TEST_ARGS", args.join("\n")).env("NO_COLOR", "1");
    let output = command.current_dir(project.dir.path()).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let stdout = text.split_once(">>>\n").map(|(_, answer)| answer.to_owned()).unwrap_or_default();
    Output { code: output.status.code().unwrap_or(-1), stdout, stderr: String::from_utf8(output.stderr).unwrap() }
}

fn build_as(project: &Project, variant: &str, args: &[&str]) -> Output {
    run_as(project, variant, &[&["materialize", "--json"], args].concat())
}

type Computed = BTreeMap<String, BTreeSet<String>>;

/// asset → columns computed, of every step that was made column by column; alike in all runs.
fn computed(output: &Output) -> Computed {
    assert_eq!(output.code, 0, "{output:?}");
    let mut found = Computed::new();
    for line in output.lines().into_iter().filter(|line| line["event"] == "step" && line["outcome"] == "made") {
        if line["asset"] == "fleet" {
            continue;
        }
        let columns = line["columns_computed"].as_array().unwrap().iter().map(|c| c.as_str().unwrap().to_owned());
        let columns: BTreeSet<String> = columns.collect();
        let known = found.insert(line["asset"].as_str().unwrap().to_owned(), columns.clone());
        assert!(known.is_none_or(|known| known == columns), "runs differ: {line}");
    }
    found
}

fn columns(text: &str) -> BTreeSet<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Content hash of each column of `features` of a run.
fn hashes(project: &Project, variant: &str, run: &str) -> BTreeMap<String, Value> {
    let graph = run_as(project, variant, &["graph", "--json"]).json();
    let assets = graph["assets"].as_array().unwrap().clone();
    let features = assets.iter().find(|asset| asset["asset"] == "features").unwrap();
    let names = features["outputs"][0]["columns"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap());
    let hash = |name: &str| {
        let column = format!("features.{name}");
        run_as(project, variant, &["lineage", &column, "--run", run, "--json"]).json()["content_hashes"].clone()
    };
    names.filter(|name| *name != "run_uuid").map(|name| (name.to_owned(), hash(name))).collect()
}

fn two_runs() -> Project {
    let project = Project::new();
    project.source("a.csv", &format!("{}{}{}", crate::harness::HEADER, run_rows("a", 1.0), run_rows("b", 1.2)));
    project
}

#[test]
fn one_feature_more_is_one_column_a_run() {
    let project = two_runs();
    assert_eq!(project.build(&[]).code, 0);
    let before = hashes(&project, "", "a");
    let plan = run_as(&project, "power", &["plan", "--json"]).json();
    let steps = plan["steps"].as_array().unwrap();
    let planned: Vec<&Value> = steps.iter().filter(|step| step["state"] != "fresh").collect();
    assert_eq!(planned.len(), 2, "{plan}");
    for step in planned {
        assert_eq!((&step["asset"], &step["columns"]), (&"features".into(), &vec!["power_1"].into()));
        assert_eq!(step["columns_reused"].as_array().unwrap().len(), 31);
    }
    let added = build_as(&project, "power", &[]);
    assert_eq!(computed(&added), Computed::from([("features".into(), columns("power_1"))]));
    let mut after = hashes(&project, "power", "a");
    let power = after.remove("power_1").unwrap();
    assert_eq!(before, after);

    // Made from scratch it is the same.
    let forced = build_as(&project, "power", &["features", "--force"]);
    assert_eq!(computed(&forced)["features"].len(), 32);
    let mut after = hashes(&project, "power", "a");
    assert_eq!((after.remove("power_1").unwrap(), after), (power, before));
}

/// The bytes of a table without its footer, whose length stands before the last four bytes.
fn without_footer(bytes: &[u8]) -> &[u8] {
    let (rest, end) = bytes.split_at(bytes.len() - 8);
    let footer = u32::from_le_bytes(end[..4].try_into().unwrap()) as usize;
    &rest[..rest.len() - footer]
}

#[test]
fn a_column_more_is_put_behind_the_bytes_of_the_table_and_one_less_leaves_nothing_of_it() {
    let project = two_runs();
    assert_eq!(project.build(&[]).code, 0);
    let table = project.path("warehouse/tables/features/a.parquet");
    let before = fs::read(&table).unwrap();
    build_as(&project, "power", &[]);
    let with_more = fs::read(&table).unwrap();
    assert!(with_more.starts_with(without_footer(&before)));
    build_as(&project, "renamed", &[]);
    assert!(fs::read(&table).unwrap().starts_with(without_footer(&with_more)));
    let watts = build_as(&project, "in watts", &[]);
    assert_eq!(computed(&watts)["features"], columns("power_1"));
    let other = fs::read(&table).unwrap();
    assert!(
        other.starts_with(without_footer(&before)),
        "from the table without the column that is not wanted any more"
    );
    assert!(!other.starts_with(without_footer(&with_more)));
    build_as(&project, "", &[]);
    assert_eq!(fs::read(&table).unwrap(), before, "the older object is taken again");
    // Where that table is gone there is only one with a column too many: what is left out leaves no bytes.
    build_as(&project, "power", &[]);
    run_as(&project, "power", &["gc", "--yes", "--keep", "1", "--older-than", "0s"]);
    let watts = build_as(&project, "in watts", &[]);
    assert_eq!(computed(&watts)["features"], columns("power_1"));
    let without = fs::read(&table).unwrap();
    assert!(without.len() < with_more.len() + 1000, "{} and {}", without.len(), with_more.len());
}

/// The file of the object that is published as the features of a run.
fn object_of_features(project: &Project, run: &str) -> PathBuf {
    let table = project.path(&format!("warehouse/tables/features/{run}.parquet"));
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    let folders = fs::read_dir(project.path("warehouse/objects")).unwrap().map(|entry| entry.unwrap().path());
    let mut objects = folders.flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    objects.find(|object| inode(object) == inode(&table)).unwrap()
}

#[test]
fn where_the_newest_table_is_gone_columns_are_taken_from_the_one_before() {
    let project = two_runs();
    assert_eq!(project.build(&[]).code, 0);
    assert_eq!(build_as(&project, "power", &[]).code, 0);
    fs::remove_file(object_of_features(&project, "a")).unwrap();
    let watts = build_as(&project, "in watts", &[]);
    assert_eq!((watts.code, computed(&watts)), (0, Computed::from([("features".into(), columns("power_1"))])));
}

#[test]
fn a_damaged_table_is_not_grown_but_made_again_in_the_same_build() {
    let project = two_runs();
    assert_eq!(project.build(&[]).code, 0);
    let object = object_of_features(&project, "a");
    let mut bytes = fs::read(&object).unwrap();
    let at = without_footer(&bytes).len() / 2;
    bytes[at] ^= 1;
    fs::remove_file(&object).unwrap();
    fs::write(&object, &bytes).unwrap();

    let built = build_as(&project, "power", &[]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    assert!(built.stdout.contains("object_damaged"), "{}", built.stdout);
    assert_eq!(fs::read_dir(project.path("warehouse/damaged")).unwrap().count(), 1);
    let hashes_of = |project: &Project| hashes(project, "power", "a");
    let fresh = two_runs();
    build_as(&fresh, "power", &[]);
    assert_eq!(hashes_of(&project), hashes_of(&fresh));
    assert_eq!(run_as(&project, "power", &["verify"]).code, 0);
}

#[test]
fn what_leaves_a_plan_equal_computes_nothing() {
    let project = two_runs();
    assert_eq!(build_as(&project, "power", &[]).code, 0);
    let nothing = Computed::from([("features".into(), columns(""))]);
    // Taken out: the tables are written without it, nothing is computed. And back again.
    assert_eq!(computed(&project.build(&[])), nothing);
    assert_eq!(project.sql("select * from features limit 1")[0].as_object().unwrap().len(), 32);
    let back = build_as(&project, "power", &[]);
    assert_eq!((back.code, &back.finished()["made"], &back.finished()["reused"]), (0, &0.into(), &2.into()));
    // Another name, another spelling.
    assert_eq!(computed(&build_as(&project, "renamed", &[])), nothing);
    let known = "select count(tool_power) n from features";
    let count = run_as(&project, "renamed", &["sql", known, "--format", "json"]).json();
    assert!(count[0]["n"].as_i64().unwrap() > 0);
    assert_eq!(build_as(&project, "power", &[]).finished()["made"], 0);
    assert_eq!(build_as(&project, "in two steps", &[]).finished()["fresh"], 12);
    // Another constant.
    let watts = computed(&build_as(&project, "in watts", &[]));
    assert_eq!(watts, Computed::from([("features".into(), columns("power_1"))]));
}

#[test]
fn wrong_definitions_are_refused_before_anything_is_made() {
    let project = two_runs();
    let by_pattern = ["by pattern", "by place", "all but"].map(|variant| (variant, "columns_by_pattern"));
    let others = [("twice", "duplicate_column"), ("itself", "column_cycle"), ("unknown", "unknown_column")];
    for (variant, code) in others.into_iter().chain(by_pattern) {
        let refused = run_as(&project, variant, &["plan", "--json"]);
        assert_eq!((refused.code, &refused.json()["code"]), (1, &code.into()), "{variant}");
    }
}

#[test]
fn a_parameter_touches_what_it_decides() {
    let project = two_runs();
    assert_eq!(project.build(&[]).code, 0);
    project.settings("[derivative]\nwindow_ms = 200.0\n");
    let derived = "vx_1 vy_1 vz_1 vx_2 vy_2 vz_2 ax_1 ay_1 az_1 ax_2 ay_2 az_2 v1 v2 a1 a2";
    let stats = "v1_peak_mm_s v1_mean_mm_s v2_peak_mm_s v2_mean_mm_s a1_peak_mm_s2 a1_mean_mm_s2 a2_peak_mm_s2 \
                 a2_mean_mm_s2 central_fallback_1 central_fallback_2";
    let expected = Computed::from([("features".into(), columns(derived)), ("stats".into(), columns(stats))]);
    assert_eq!(computed(&project.build(&[])), expected);
    project.settings("[derivative]\nwindow_ms = 200.0\n[stats]\ndead_band_mm = 0.02\n");
    let band = columns("distance_1_dead_band_mm distance_2_dead_band_mm");
    assert_eq!(computed(&project.build(&[])), Computed::from([("stats".into(), band)]));
}

/// `a.csv` with one row of a channel left out or changed.
fn with_row(seconds: f64, field: &str, robot: &str, at: usize, change: Option<&str>) -> String {
    let sensor = if field.starts_with('f') { "load_cell" } else { "encoder" };
    let mut seen = 0;
    let text = run_rows("a", seconds);
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split(',').collect();
        if cells[2] == field && cells[4] == robot && cells[6] == sensor {
            seen += 1;
            if seen == at + 1 {
                return change.map(|value| line.replacen(&format!(",{},", cells[1]), &format!(",{value},"), 1));
            }
        }
        Some(line.to_owned())
    });
    let rows: Vec<String> = rows.collect();
    format!("{}{}\n", crate::harness::HEADER, rows.join("\n"))
}

#[test]
fn one_channel_touches_what_rests_on_it() {
    let project = Project::new();
    project.source("a.csv", &with_row(1.0, "fx", "1", 20, Some("4000")));
    assert_eq!(project.build(&[]).code, 0);
    // The filter of one load cell: its rows at other fields' timestamps, so that the time axis stays.
    project.settings("[clean.channels.fx_1]\noutliers = \"hampel\"\nhampel_window_ms = 100.0\n");
    let plan = project.run(&["plan", "--json"]).json();
    let clean = plan["steps"].as_array().unwrap().iter().find(|step| step["asset"] == "clean").unwrap();
    let slices = clean["parts"].as_array().unwrap().iter().filter(|part| part["output"] == "clean");
    let slices: BTreeSet<&str> = slices.map(|part| part["part"].as_str().unwrap()).collect();
    assert_eq!(slices, BTreeSet::from(["1/load_cell/fx:time", "1/load_cell/fx:value"]));
    let stats = "load_cell_1_samples load_cell_1_rate_hz gaps longest_gap_s rejected_share f1_peak_n f1_mean_n";
    let touched = Computed::from([
        ("clean".into(), columns("time value")),
        ("wide".into(), columns("fx_1")),
        ("features".into(), columns("fx_1 f1")),
        ("stats".into(), columns(stats)),
    ]);
    assert_eq!(computed(&project.build(&[])), touched);

    // A late row of one channel, at a time at which others were measured; then one that is later than all.
    let project = Project::new();
    project.source("a.csv", &with_row(1.0, "fx", "1", 20, None));
    assert_eq!(project.build(&[]).code, 0);
    project.source("late.csv", &format!("{}{}", crate::harness::HEADER, row(206, "7.5", "fx", "1", "a")));
    let late = computed(&project.build(&[]));
    assert_eq!((&late["wide"], &late["features"]), (&columns("fx_1"), &columns("fx_1 f1")));
    assert!(!late["stats"].iter().any(|column| column.starts_with("distance")));
    project.source("later.csv", &format!("{}{}", crate::harness::HEADER, row(2000, "7.5", "fx", "1", "a")));
    let later = project.build(&[]);
    assert_eq!((computed(&later)["wide"].len(), computed(&later)["features"].len()), (13, 31));
    let reason = later.lines().into_iter().find(|line| line["asset"] == "wide").unwrap()["reason"].clone();
    assert_eq!((&reason["input"], &reason["code"]), (&"sessions".into(), &"input_changed".into()));
    assert!(reason["message"].as_str().unwrap().contains("time_axis"), "{reason}");
}

/// Kernels declare what they read: were anything missing, a table made column by column would differ from one made
/// from scratch.
#[test]
fn column_by_column_comes_to_the_same_as_from_scratch() {
    let settings = [
        "",
        "[wide]\nmethod = \"previous\"\non_gap = \"null\"\nmax_gap_ms = 15.0\n",
        "[wide]\nmethod = \"grid\"\n[derivative]\nmethod = \"central\"\n",
        "[wide]\nmethod = \"merge\"\nmerge_ms = 3.0\n[sessions]\nsession_gap_s = 0.02\n",
        "[tare]\nfirst_s = 0.2\n[clean]\noutliers = \"hampel\"\n",
    ];
    let mut reused = 0;
    for (number, text) in settings.iter().enumerate() {
        let project = Project::new();
        project.settings(text);
        project.source("a.csv", &with_row(0.5, "x", "1", 999, None));
        assert_eq!(project.build(&[]).code, 0);
        for (at, field) in ["x", "y", "z", "fx", "fy", "fz"].into_iter().enumerate() {
            let robot = ["1", "2"][(at + number) % 2];
            // Its first row (another time axis), one in the middle left out, one with another value.
            let (place, change) = [(0, None), (7, None), (9, Some("5.125"))][(at + number) % 3];
            project.source("a.csv", &with_row(0.5, field, robot, place, change));
            let by_column = project.build(&[]);
            assert_eq!(by_column.code, 0, "{by_column:?}");
            let taken = by_column.lines().into_iter().filter(|line| line["event"] == "step");
            reused += taken.map(|line| line["columns_reused"].as_array().map_or(0, Vec::len)).sum::<usize>();
            let kept = project.hashes();
            assert_eq!(project.build(&["--force"]).code, 0);
            assert_eq!(kept, project.hashes(), "{field}_{robot} at {place} with {text:?}");
        }
    }
    assert!(reused > 300, "{reused} columns were reused in all");
}

#[test]
fn plans_have_one_fingerprint_in_every_process() {
    let project = two_runs();
    let codes = |threads: &str| {
        let mut command = project.command(&["graph", "--json"]);
        let output = command.env("POLARS_MAX_THREADS", threads).output().unwrap();
        let graph: Value = serde_json::from_slice(&output.stdout).unwrap();
        let assets = graph["assets"].as_array().unwrap().clone();
        assets.iter().map(|asset| asset["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let first = codes("1");
    assert!(first.iter().any(|code| code.starts_with("columns ")), "{first:?}");
    assert_eq!((codes("2"), codes("7")), (first.clone(), first));
}

#[test]
fn a_reason_that_changes_is_handed_on_though_no_value_does() {
    let project = Project::new();
    let encoder: String =
        run_rows("a", 0.5).lines().filter(|line| line.contains("encoder")).map(|line| format!("{line}\n")).collect();
    project.source("a.csv", &(crate::harness::HEADER.to_owned() + &encoder));
    assert_eq!(project.build(&[]).code, 0);
    // One field of the load cell comes, at a time that is there already: now it is the others that are missing.
    project.source("late.csv", &format!("{}{}", crate::harness::HEADER, row(37, "7.5", "fy", "1", "a")));
    assert_eq!(project.build(&[]).code, 0);
    let reasons = |project: &Project| -> BTreeSet<(String, String)> {
        let errors = project.run(&["errors", "--json"]).json();
        let mut found = BTreeSet::new();
        for error in errors["errors"].as_array().unwrap() {
            for column in error["columns"].as_array().unwrap() {
                let name = format!("{}.{}", column["output"].as_str().unwrap(), column["column"].as_str().unwrap());
                found.insert((name, error["message"].as_str().unwrap().to_owned()));
            }
        }
        found
    };
    let told = reasons(&project);
    let of = |column: &str| told.iter().find(|(name, _)| name == column).map(|(_, message)| message.as_str());
    assert_eq!(of("wide.fx_1"), Some("no row of fx of load cell 1 was delivered"));
    std::fs::remove_dir_all(project.path("warehouse")).unwrap();
    assert_eq!(project.build(&[]).code, 0);
    assert_eq!(told, reasons(&project), "from scratch");
}

#[test]
fn a_parameter_counts_only_where_it_can_matter_and_a_plan_says_certain_only_of_what_is() {
    let project = two_runs();
    assert_eq!(project.build(&[]).code, 0);
    project.settings("[wide]\nmax_gap_ms = 55.0\n");
    let touched = computed(&project.build(&[]));
    assert_eq!(touched.keys().map(String::as_str).collect::<Vec<_>>(), ["stats", "wide"]);
    assert!(touched["wide"].is_empty(), "gaps are filled alike, however long: {touched:?}");
    // Back, and something upstream changed: what an earlier version may give is not certain to be computed.
    project.settings("[limits]\nx_1 = [-99.0, 200.0]\n");
    let plan = project.run(&["plan", "--json"]).json();
    let gaps = plan["steps"].as_array().unwrap().iter().flat_map(|step| step["parts"].as_array().unwrap());
    let certain = gaps.filter(|part| part["output"] == "gaps" && part["state"] == "stale").count();
    assert_eq!(certain, 0, "{plan}");
}
