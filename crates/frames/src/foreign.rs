//! Parquet files of someone else: as a whole, or some row groups at a time.

use crate::guard::guarded;
use crate::pages;
use assets_core::{Reason, cores};
use polars::prelude::*;
use polars_io::parquet::read::ParquetReader;
use polars_io::prelude::SerReader;
use polars_parquet::parquet::metadata::ColumnChunkMetadata;
use polars_parquet::read::FileMetadata;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

/// Rows that are read together: row groups are whole, and small ones go together.
const BATCH_ROWS: usize = 1 << 18;
/// Bytes of row groups that are read together.
const BATCH_BYTES: u64 = 16 << 20;

/// Bytes of a text: it is copied wherever its row goes, and a file can hold one such text for many rows.
pub const CELL_BYTES_MOST: usize = 16 << 20;

/// A column, and whether anything in it is wanted.
pub type Only<'a> = (&'a str, &'a (dyn Fn(&Column) -> bool + Sync));

/// A foreign file, by its Parquet types alone: the Arrow schema that some writers add may ask for types (dictionaries)
/// that are text for us.
pub struct Foreign {
    path: PathBuf,
    metadata: Arc<FileMetadata>,
    /// Of each row group.
    sizes: Vec<pages::Sizes>,
}

impl Foreign {
    /// Reads its footer.
    ///
    /// # Errors
    /// No Parquet, or one whose footer can't be believed.
    pub fn open(path: &Path) -> PolarsResult<Self> {
        guarded(|| {
            let mut metadata = ParquetReader::new(File::open(path)?).get_metadata()?.as_ref().clone();
            believable(&metadata)?;
            let sizes = pages::sizes(&File::open(path)?, &metadata)?;
            metadata.key_value_metadata = None;
            Ok(Self { path: path.to_owned(), metadata: Arc::new(metadata), sizes })
        })
    }

    fn reader(&self) -> PolarsResult<ParquetReader<File>> {
        let mut reader = ParquetReader::new(File::open(&self.path)?);
        reader.set_metadata(Arc::clone(&self.metadata));
        Ok(reader)
    }

    /// The names of its columns.
    ///
    /// # Errors
    /// A schema that makes no sense.
    pub fn columns(&self) -> PolarsResult<Vec<String>> {
        let schema = guarded(|| self.reader()?.schema())?;
        Ok(schema.iter().map(|(name, _)| name.to_string()).collect())
    }

    /// Its rows.
    pub fn height(&self) -> usize {
        self.metadata.row_groups.iter().map(|group| group.num_rows()).sum()
    }

    /// The bytes of some columns in each row group: their values without repetition may take more.
    fn group_bytes(&self, columns: &[String]) -> impl Iterator<Item = u64> {
        let own = |sizes: &pages::Sizes| {
            let wanted = sizes.iter().filter(|(name, _)| columns.contains(name));
            wanted.fold(0, |all: u64, (_, bytes)| all.saturating_add(*bytes))
        };
        self.sizes.iter().map(own)
    }

    /// The bytes of some columns.
    pub fn bytes(&self, columns: &[String]) -> u64 {
        self.group_bytes(columns).fold(0, u64::saturating_add)
    }

    /// The bytes of some columns in the row group where they are most.
    pub fn largest_group(&self, columns: &[String]) -> u64 {
        self.group_bytes(columns).max().unwrap_or_default()
    }

    /// All of it.
    ///
    /// # Errors
    /// A damaged file.
    pub fn read(&self) -> PolarsResult<DataFrame> {
        guarded(|| self.reader()?.finish()).and_then(of_short_texts)
    }

    /// Some columns of some rows.
    fn rows(&self, columns: &[String], (start, rows): (usize, usize)) -> PolarsResult<DataFrame> {
        let wanted = Some(columns.to_vec());
        guarded(|| self.reader()?.with_columns(wanted).with_slice(Some((start, rows))).finish())
            .and_then(of_short_texts)
    }

    /// Gives some columns in batches of rows, each with the number of its first row, or what is wrong with it; the next
    /// one is read meanwhile. `only`: what a batch has to hold to be read at all.
    ///
    /// # Errors
    /// What `each` says.
    pub fn each(
        &self,
        columns: &[String],
        only: Option<Only<'_>>,
        each: &mut dyn FnMut(usize, PolarsResult<DataFrame>) -> Result<(), Reason>,
    ) -> Result<(), Reason> {
        let wanted = |batch| -> PolarsResult<bool> {
            let Some((column, wanted)) = only else { return Ok(true) };
            Ok(wanted(self.rows(&[column.to_owned()], batch)?.column(column)?))
        };
        let read = |batch| -> PolarsResult<Option<DataFrame>> {
            Ok(if wanted(batch)? { Some(self.rows(columns, batch)?) } else { None })
        };
        let rows = self.metadata.row_groups.iter().map(|group| group.num_rows());
        let batches = batches(rows.zip(self.group_bytes(columns)));
        if cores::at_once() < 2 {
            let all = batches.into_iter().filter_map(|batch| Some((batch.0, read(batch).transpose()?)));
            return all.into_iter().try_for_each(|(start, frame)| each(start, frame));
        }
        std::thread::scope(|scope| {
            // One is read while one is used, and none lies about.
            let (sender, frames) = sync_channel(0);
            scope.spawn(move || {
                for batch in batches {
                    let Some(frame) = read(batch).transpose() else { continue };
                    let failed = frame.is_err();
                    // Nobody listens any more: `each` has refused something.
                    if sender.send((batch.0, frame)).is_err() || failed {
                        return;
                    }
                }
            });
            frames.into_iter().try_for_each(|(start, frame)| each(start, frame))
        })
    }
}

/// Where each batch of rows begins, and how many they are, of row groups of so many rows and bytes.
fn batches(groups: impl Iterator<Item = (usize, u64)>) -> Vec<(usize, usize)> {
    let mut batches: Vec<(usize, usize)> = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (rows, own) in groups {
        bytes = own.saturating_add(bytes);
        match batches.last_mut() {
            Some((_, together)) if *together + rows <= BATCH_ROWS && bytes <= BATCH_BYTES => *together += rows,
            _ => {
                batches.push((start, rows));
                bytes = own;
            }
        }
        start += rows;
    }
    batches
}

/// Refuses texts that nobody means as cells.
fn of_short_texts(frame: DataFrame) -> PolarsResult<DataFrame> {
    for column in frame.columns().iter().filter(|column| column.dtype() == &DataType::String) {
        let texts = column.str()?;
        // Nearly always all texts together are shorter: nothing is looked at one by one.
        if texts.downcast_iter().all(|chunk| chunk.total_buffer_len() <= CELL_BYTES_MOST) {
            continue;
        }
        let longest = texts.iter().flatten().map(str::len).max().unwrap_or_default();
        if longest > CELL_BYTES_MOST {
            let most = CELL_BYTES_MOST >> 20;
            polars_bail!(ComputeError: "a text of {longest} bytes in the column {}: more than {most} MiB", column.name());
        }
    }
    Ok(frame)
}

/// Refuses counts of rows that contradict each other, or that no memory could hold: they are reserved before a page is
/// read, and the program would end where that can't be had.
fn believable(metadata: &FileMetadata) -> PolarsResult<()> {
    let groups = || metadata.row_groups.iter();
    let rows: usize = groups().map(|group| group.num_rows()).fold(0, usize::saturating_add);
    let flat = |column: &ColumnChunkMetadata| column.descriptor().descriptor.max_rep_level == 0;
    let differs = groups().any(|group| {
        let mut columns = group.parquet_columns().iter().filter(|column| flat(column));
        columns.any(|column| usize::try_from(column.num_values()).ok() != Some(group.num_rows()))
    });
    if rows != metadata.num_rows || differs {
        polars_bail!(ComputeError: "its counts of rows contradict each other");
    }
    if rows.saturating_mul(8) as u64 > memory_bytes() {
        polars_bail!(ComputeError: "it claims {rows} rows, more than this machine's memory could hold");
    }
    Ok(())
}

/// The machine's memory; where that can't be told, a guess.
pub fn memory_bytes() -> u64 {
    let told = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = told.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.map_or(64 << 30, |kilobytes| kilobytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parquet::TableWriter;

    fn file(groups: &[i64]) -> (tempfile::TempDir, Foreign) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.parquet");
        let mut start = 0;
        let frames: Vec<DataFrame> = groups
            .iter()
            .map(|rows| {
                let run = if start == 0 { "a" } else { "b" };
                let frame = df!("n" => (start..start + rows).collect::<Vec<_>>(), "run" => vec![run; *rows as usize]);
                start += rows;
                frame.expect("a frame")
            })
            .collect();
        let mut writer = TableWriter::new(File::create(&path).expect("a file"), frames[0].schema()).expect("a writer");
        frames.iter().for_each(|frame| writer.write(frame).expect("written"));
        writer.finish().expect("finished");
        let foreign = Foreign::open(&path).expect("readable");
        (folder, foreign)
    }

    #[test]
    fn what_columns_take_is_told_by_their_pages() {
        let (_folder, foreign) = file(&[1000, 10]);
        let bytes = foreign.bytes(&["n".to_owned()]);
        // Which values are not null is told besides.
        assert!((8 * 1010..9 * 1010 + 500).contains(&bytes), "{bytes}");
        assert_eq!((foreign.height(), foreign.bytes(&[])), (1010, 0));
        let largest = foreign.largest_group(&["n".to_owned()]);
        assert!((8 * 1000..bytes - 80).contains(&largest), "{largest}");
        assert!(foreign.bytes(&foreign.columns().expect("columns")) > bytes);
    }

    #[test]
    fn batches_are_of_few_rows_and_few_bytes() {
        let mib = |mib: u64| mib << 20;
        let groups = [(10, mib(6)), (10, mib(6)), (10, mib(6)), (10, mib(40)), (10, mib(1)), (10, u64::MAX), (10, 0)];
        assert_eq!(batches(groups.into_iter()), [(0, 20), (20, 10), (30, 10), (40, 10), (50, 10), (60, 10)]);
        assert_eq!(batches([(BATCH_ROWS, 1), (1, 1), (2, 1)].into_iter()), [(0, BATCH_ROWS), (BATCH_ROWS, 3)]);
    }

    #[test]
    fn batches_are_whole_row_groups_and_all_rows() {
        let (_folder, foreign) = file(&[200_000, 10, 20, 250_000, 3]);
        let names = foreign.columns().expect("columns");
        let (mut starts, mut next) = (Vec::new(), 0);
        let gathered = foreign.each(&names, None, &mut |start, frame| {
            let frame = frame.expect("readable");
            let numbers = frame.column("n").and_then(|column| column.i64()).expect("numbers");
            assert!(numbers.iter().eq((next..next + frame.height() as i64).map(Some)));
            next += frame.height() as i64;
            starts.push(start);
            Ok(())
        });
        gathered.expect("readable");
        assert_eq!((starts, next), (vec![0, 200_030], 450_033));
    }

    #[test]
    fn a_text_longer_than_the_limit_is_refused() {
        for (bytes, fits) in [(CELL_BYTES_MOST, true), (CELL_BYTES_MOST + 1, false)] {
            let frame = df!("n" => [1, 2], "text" => ["x".repeat(bytes), String::new()]).expect("a frame");
            let file = tempfile::NamedTempFile::new().expect("a file");
            let mut writer = TableWriter::new(file.reopen().expect("a file"), frame.schema()).expect("a writer");
            writer.write(&frame).expect("written");
            writer.finish().expect("finished");
            let foreign = Foreign::open(file.path()).expect("readable");
            assert_eq!(foreign.read().is_ok(), fits);
            assert_eq!(foreign.rows(&["text".to_owned()], (0, 2)).is_ok(), fits);
            assert!(foreign.rows(&["n".to_owned()], (0, 2)).is_ok());
        }
    }

    #[test]
    fn batches_without_anything_wanted_are_left_out() {
        let (_folder, foreign) = file(&[200_000, 200_000]);
        let is_b = |column: &Column| column.str().is_ok_and(|texts| texts.iter().any(|text| text == Some("b")));
        let mut starts = Vec::new();
        let columns = ["n".to_owned()];
        let all = foreign.each(&columns, Some(("run", &is_b)), &mut |start, frame| {
            let frame = frame.expect("readable");
            starts.push((start, frame.height(), frame.width()));
            Ok(())
        });
        all.expect("readable");
        assert_eq!(starts, [(200_000, 200_000, 1)]);
        let refused = foreign.each(&columns, None, &mut |_, _| Err(Reason::new("no_more", "no more")));
        assert!(refused.is_err_and(|reason| reason.code == "no_more"));
    }
}
