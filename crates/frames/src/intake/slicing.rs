//! Slices: the rows of one partition in one file, and their hash.

use crate::parts::ColumnsHasher;
use assets_core::hash::Hasher;
use assets_core::record::SliceRecord;
use assets_core::{AssetName, ContentHash, Partition, Reason};
use polars::prelude::DataFrame;

/// A slice whose rows come in batches: those, but for some columns, are what its hash is over.
pub struct Slicing<'a> {
    without: &'a [&'a str],
    columns: ColumnsHasher,
    /// The hashes of the columns, once no more rows come.
    closed: Option<Vec<(String, ContentHash)>>,
    rows: u64,
}

impl<'a> Slicing<'a> {
    /// One without rows.
    #[must_use]
    pub fn new(without: &'a [&'a str]) -> Self {
        Self { without, columns: ColumnsHasher::default(), closed: None, rows: 0 }
    }

    /// Adds rows.
    ///
    /// # Errors
    /// A column that can't be hashed.
    pub fn add(&mut self, frame: &DataFrame) -> Result<(), Reason> {
        self.rows += frame.height() as u64;
        self.columns.update(frame, self.without)
    }

    /// Says that no more rows come: the values of the last ones, up to 64 KiB a column, need not be held for others.
    pub fn close(&mut self) {
        self.closed.get_or_insert_with(|| std::mem::take(&mut self.columns).finish().collect());
    }

    /// Whether no more rows come.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// The slice of an asset's partition.
    #[must_use]
    pub fn finish(mut self, asset: &AssetName, partition: Partition) -> SliceRecord {
        self.close();
        let mut hasher = Hasher::new("assets.slice.1");
        for (name, hash) in self.closed.into_iter().flatten() {
            hasher.text(&name).bytes(hash.0.as_bytes());
        }
        SliceRecord { asset: asset.clone(), partition, hash: ContentHash(hasher.finish()), rows: self.rows }
    }
}

/// A slice of which all rows are there.
///
/// # Errors
/// A column that can't be hashed.
pub fn slice(
    asset: &AssetName,
    partition: Partition,
    frame: DataFrame,
    without: &[&str],
) -> Result<(SliceRecord, Option<DataFrame>), Reason> {
    let mut slicing = Slicing::new(without);
    slicing.add(&frame)?;
    Ok((slicing.finish(asset, partition), Some(frame)))
}
