//! Tables of files: an asset whose rows are those of source files, typed, cut by columns of the files. What can't be a row
//! of the table is a row of its rejects, so that nothing is lost.
//!
//! Not here: how such a table is written in settings, and which files changed (`intake`).

mod gather;
mod make;
mod outdated;
mod read;
mod rejected;
mod value;

pub use make::code;
pub(crate) use rejected::told_once;

use crate::intake::reading::{NOT_SET, Outdated, Settings};
use crate::intake::{FileReader, Limits, Parsed};
use assets_core::hash::Hasher;
use assets_core::record::SliceRecord;
use assets_core::{AssetDecl, AssetName, ColumnDecl, Fingerprint, Kind, OutputDecl, Reason};
use std::path::Path;

/// Version of what reads and types cells; part of fingerprints.
pub const VERSION: &str = "files-1";

/// Columns of a table of rejects besides the keys.
pub const REJECT_COLUMNS: [&str; 6] = ["code", "column", "value", "line", "row", "source"];

/// A table as a person declares it.
#[derive(Debug, Clone)]
pub struct TableOfFiles {
    /// Its name.
    pub name: AssetName,
    /// The table of the rows that are left out.
    pub rejects: AssetName,
    /// One line for people. Metadata.
    pub description: String,
    /// Whether it has a row or a few per partition.
    pub packed: bool,
    /// The columns of the files that cut it, read as text; none for one table of all rows.
    pub keys: Vec<String>,
    /// Its other columns, in order.
    pub columns: Vec<ColumnDecl>,
    /// For times without a zone.
    pub timezone: Option<chrono_tz::Tz>,
    /// What separates the cells of delimited text.
    pub delimiter: u8,
}

impl TableOfFiles {
    /// What it is for the framework: the table, and that of its rejects.
    pub fn declare(&self) -> Vec<AssetDecl> {
        let mut table = OutputDecl::new(self.name.clone(), self.table_columns());
        table.packed = self.packed;
        let keys: Vec<&str> = self.keys.iter().map(String::as_str).collect();
        let rejects = OutputDecl::new(self.rejects.clone(), self.reject_columns()).packed();
        vec![
            AssetDecl::new(table, VERSION)
                .partitioned_by(&keys)
                .reads_sources()
                .tagged(&["files"])
                .described(&self.description),
            AssetDecl::new(rejects, VERSION)
                .reads_sources()
                .tagged(&["files", "rejects"])
                .described(&format!("rows of files that can't be rows of {}, with a code that says why", self.name)),
        ]
    }

    fn table_columns(&self) -> Vec<ColumnDecl> {
        let keys = self.keys.iter().map(|name| ColumnDecl::new(name, Kind::Text, "", "what cuts the table"));
        keys.chain(self.columns.iter().cloned()).collect()
    }

    fn reject_columns(&self) -> Vec<ColumnDecl> {
        let keys = self.keys.iter().map(|name| ColumnDecl::new(name, Kind::Text, "", "as delivered"));
        let about = [
            (Kind::Text, "why: null_key, bad_key, bad_value, too_many_cells"),
            (Kind::Text, "the column that is wrong"),
            (Kind::Text, "what stands there, as delivered"),
            (Kind::Int, "the line in the file; in Parquet the row, from 1"),
            (Kind::Text, "the row's declared columns as delivered, as JSON"),
            (Kind::Text, "hash of the file's left-out rows: `assets lineage --json` says which file"),
        ];
        let own = REJECT_COLUMNS.iter().zip(about).map(|(name, (kind, about))| ColumnDecl::new(name, kind, "", about));
        keys.chain(own).collect()
    }
}

impl TableOfFiles {
    /// What people call a setting of this table.
    fn setting(&self, name: &str) -> String {
        format!("assets.{}.{name}", self.name)
    }

    /// Whether it matters how times are read.
    fn has_times(&self) -> bool {
        self.columns.iter().any(|column| column.kind == Kind::Time)
    }

    fn zone(&self) -> &str {
        self.timezone.as_ref().map_or(NOT_SET, |zone| zone.name())
    }
}

impl FileReader for TableOfFiles {
    fn assets(&self) -> Vec<&AssetName> {
        vec![&self.name, &self.rejects]
    }

    fn unpartitioned(&self) -> Vec<&AssetName> {
        let own = self.keys.is_empty().then_some(&self.name);
        own.into_iter().chain([&self.rejects]).collect()
    }

    fn fingerprint(&self) -> Fingerprint {
        let mut hasher = Hasher::new("assets.files.1");
        hasher.text(VERSION).text(self.name.as_str()).number(self.keys.len() as u64);
        self.keys.iter().for_each(|key| {
            hasher.text(key);
        });
        hasher.number(self.columns.len() as u64);
        for column in &self.columns {
            hasher.text(&column.name).text(column.kind.name());
        }
        hasher.optional(self.timezone.as_ref().map(|zone| zone.name())).number(u64::from(self.delimiter));
        Fingerprint(hasher.finish())
    }

    fn settings(&self) -> Settings {
        let columns: Vec<String> =
            self.columns.iter().map(|column| format!("{} {}", column.name, column.kind.name())).collect();
        let mut settings = Settings::from([
            (self.setting("partition_by"), self.keys.join(", ")),
            (self.setting("columns"), columns.join(", ")),
        ]);
        if self.has_times() {
            settings.insert("timezone".to_owned(), self.zone().to_owned());
        }
        settings
    }

    fn outdated(&self, slices: &[&SliceRecord], before: &Settings) -> Option<Outdated> {
        outdated::outdated(self, slices, before)
    }

    fn without_files(&self, patterns: &[String]) -> Option<Reason> {
        let message = format!("{} has no rows: no file matches {}", self.name, patterns.join(", "));
        Some(Reason::new("no_source_files", message).with("asset", self.name.as_str()))
    }

    fn read(&self, path: &Path, name: &str, limits: &Limits) -> Result<Parsed, Reason> {
        read::read(self, path, name, limits)
    }
}
