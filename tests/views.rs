//! Views over many steps that are larger than a row group: written and compared piece by piece.

use assets_core::compute::{Examiner, Packer};
use assets_core::record::{OutputRecord, Stored};
use assets_core::table_store::{Object, TableFile, TableStore};
use assets_core::{AssetName, ColumnDecl, Kind, OutputDecl, Partition};
use assets_frames::examine::FrameExaminer;
use assets_frames::parquet::{self, ROW_GROUP_ROWS, write_frame};
use assets_frames::view::FramePacker;
use assets_frames::{DataFrame, columns};
use assets_testkit::memory_tables::MemoryTables;
use std::sync::Arc;

fn rows(from: i64, count: usize) -> DataFrame {
    let numbers = from..from + count as i64;
    let texts: Vec<String> = numbers.clone().map(|n| format!("t{}", n % 1000)).collect();
    let texts = columns::texts("t", texts.iter().map(|text| Some(text.as_str()).filter(|text| !text.ends_with('7'))));
    columns::frame(vec![columns::ints("n", numbers.map(Some)), texts]).unwrap()
}

fn stored(tables: &dyn TableStore, frame: &DataFrame) -> OutputRecord {
    let mut staged = tables.stage().unwrap();
    write_frame(frame, staged.as_mut()).unwrap();
    let (object, bytes) = staged.put().unwrap();
    let (name, rows) = (AssetName::new("many").unwrap(), frame.height() as u64);
    OutputRecord { name, stored: Stored::Object(object), rows, bytes, parts: Vec::new(), unavailable: Vec::new() }
}

#[test]
fn a_view_of_several_row_groups_holds_its_steps_rows_and_no_others() {
    let tables: Arc<dyn TableStore> = Arc::new(MemoryTables::new());
    let name = AssetName::new("many").unwrap();
    let declared = vec![ColumnDecl::new("n", Kind::Int, "", ""), ColumnDecl::new("t", Kind::Text, "", "")];
    let decl = OutputDecl::new(name.clone(), declared).packed();
    let long = ROW_GROUP_ROWS + 5;
    // The third was made before there was a column `t`.
    let earlier = rows(-9, 4).select(["n"]).unwrap();
    let frames = [rows(0, long), rows(long as i64, 3), earlier, rows(7, 2 * ROW_GROUP_ROWS), rows(1, 0), rows(5, 1)];
    let outputs: Vec<OutputRecord> = frames.iter().map(|frame| stored(tables.as_ref(), frame)).collect();
    let steps: Vec<&OutputRecord> = outputs.iter().collect();

    let file = TableFile::of(&name, &Partition::none());
    let mut staged = tables.stage().unwrap();
    FramePacker::new(Arc::clone(&tables)).pack(&decl, &steps, staged.as_mut()).unwrap();
    staged.publish(&file).unwrap();
    let Object::Bytes(bytes) = tables.open_published(&file).unwrap() else { panic!("it is in memory") };
    let view = || Object::Bytes(Arc::clone(&bytes));

    let mut expected = columns::empty(&decl.columns);
    for frame in &frames {
        let mut frame = frame.clone();
        if frame.width() == 1 {
            frame.with_column(columns::null_texts("t", frame.height())).unwrap();
        }
        expected.vstack_mut(&frame).unwrap();
    }
    assert!(parquet::read(view(), None, None).unwrap().equals_missing(&expected));

    let examiner = FrameExaminer::new(Arc::clone(&tables));
    let holds = |steps: &[&OutputRecord]| examiner.holds(view(), &decl, steps).unwrap();
    assert!(holds(&steps));
    assert!(!holds(&steps[..5]), "a row too many");
    assert!(!holds(&[&steps[..], &steps[5..]].concat()), "a row too few");
    let other = stored(tables.as_ref(), &rows(6, 1));
    assert!(!holds(&[&steps[..5], &[&other]].concat()), "another last row");
    let swapped: Vec<&OutputRecord> = [1, 0, 2, 3, 4, 5].map(|at| steps[at]).to_vec();
    assert!(!holds(&swapped), "another order");
    assert!(!holds(&[]), "rows where there are none");

    // As it is where all of it is written at once.
    let mut whole = tables.stage().unwrap();
    expected.rechunk_mut();
    write_frame(&expected, whole.as_mut()).unwrap();
    let file = TableFile::of(&name, &Partition::one("day", "whole"));
    whole.publish(&file).unwrap();
    let Object::Bytes(whole) = tables.open_published(&file).unwrap() else { panic!("it is in memory") };
    assert!(whole == bytes, "the same bytes");

    // Columns are compared where there are no rows.
    let none = stored(tables.as_ref(), &rows(1, 0));
    let other = || {
        let mut staged = tables.stage().unwrap();
        write_frame(&rows(1, 0).select(["n"]).unwrap(), staged.as_mut()).unwrap();
        staged.publish(&file).unwrap();
        tables.open_published(&file).unwrap()
    };
    assert!(!examiner.holds(other(), &decl, &[&none]).unwrap());
}
