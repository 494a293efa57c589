//! The rows of a run as they were delivered, as `clean` reads them from `raw`: once where they fit, else whenever they are
//! needed.

use crate::channels::Places;
use crate::clean::READS;
use assets_core::Reason;
use assets_frames::polars::prelude::StringChunked;
use assets_frames::{DataFrame, Inputs, frame_error};
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

/// Rows that are decoded once. Of more they are when they are needed: few are looked at again.
pub const HELD_ROWS: usize = 1_000_000;

/// The rows of a run as they were delivered.
pub struct Raw<'a> {
    inputs: &'a Inputs<'a>,
    /// How many there are.
    pub rows: usize,
    /// `None` where they are too many.
    held: Option<Vec<Batch>>,
}

/// Some of them.
pub struct Batch {
    /// The place of the first.
    pub first: usize,
    /// Their columns, without those of texts that repeat.
    pub frame: DataFrame,
    /// Whose they are.
    pub places: Places,
}

impl Batch {
    /// Their places.
    pub fn rows(&self) -> Range<usize> {
        self.first..self.first + self.frame.height()
    }

    /// The texts that were kept of cells of a column; `None` where none was.
    pub fn kept(&self, name: &str) -> Result<Option<&StringChunked>, Reason> {
        let column = self.frame.column(name).map_err(|error| frame_error(name, &error))?;
        // Nearly always: no memory is taken for what is not there.
        let is_any = column.null_count() < column.len();
        is_any.then(|| column.str()).transpose().map_err(|error| frame_error(name, &error))
    }
}

impl<'a> Raw<'a> {
    /// The rows that a step reads.
    pub fn open(inputs: &'a Inputs<'a>) -> Result<Self, Reason> {
        let rows = usize::try_from(inputs.rows("raw")?).unwrap_or(usize::MAX);
        let mut raw = Self { inputs, rows, held: None };
        if rows <= HELD_ROWS {
            let mut held = Vec::new();
            raw.read(&mut |batch| {
                held.push(batch);
                Ok(())
            })?;
            raw.held = Some(held);
        }
        Ok(raw)
    }

    fn read(&self, each: &mut dyn FnMut(Batch) -> Result<(), Reason>) -> Result<(), Reason> {
        let others: Vec<&str> = READS.into_iter().filter(|name| !Places::COLUMNS.contains(name)).collect();
        let mut first = 0;
        self.inputs.batches("raw", &others, &Places::COLUMNS, &mut |frame, codes| {
            let rows = frame.height();
            each(Batch { first, frame, places: Places::new(codes) })?;
            first += rows;
            Ok(())
        })
    }

    /// Takes them in their order.
    pub fn each(&self, each: &mut dyn FnMut(&Batch) -> Result<(), Reason>) -> Result<(), Reason> {
        match &self.held {
            Some(held) => held.iter().try_for_each(each),
            None => self.read(&mut |batch| each(&batch)),
        }
    }

    /// How time, value and robot of those rows were spelled, where that was kept of any.
    pub fn spellings(&self, rows: &BTreeSet<usize>) -> Result<HashMap<usize, Spelling>, Reason> {
        let mut found = HashMap::new();
        self.each(&mut |batch| {
            let kept = ["time_text", "value_text", "robot_id_text"].map(|name| batch.kept(name));
            let [time, value, robot] = kept;
            let kept = [time?, value?, robot?];
            if kept.iter().any(Option::is_some) {
                let text =
                    |row: usize, of: Option<&StringChunked>| of.and_then(|texts| texts.get(row)).map(str::to_owned);
                found.extend(rows.range(batch.rows()).map(|at| (*at, kept.map(|of| text(*at - batch.first, of)))));
            }
            Ok(())
        })?;
        Ok(found)
    }
}

/// Time, value and robot of a row as they were spelled.
pub type Spelling = [Option<String>; 3];
