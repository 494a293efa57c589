//! What a person declares: an asset, its outputs with their columns, what it reads, its code version and parameters.
//!
//! Not here: how it computes. A declaration is data; the function behind it belongs to the backend that runs it.

use crate::hash::{Digest, Hasher};
use crate::key::{AssetName, Step};
use crate::part::PartCode;
use crate::shared_text::SharedText;
use std::collections::BTreeSet;

/// The kind of values a declared column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `f64`.
    Float,
    /// `i64`.
    Int,
    /// UTF-8 text.
    Text,
    /// Microseconds, UTC.
    Time,
    /// Boolean.
    Bool,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Float, Self::Int, Self::Text, Self::Time, Self::Bool];

    /// The kind that people call so.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float => "float",
            Self::Int => "integer",
            Self::Text => "text",
            Self::Time => "time",
            Self::Bool => "boolean",
        }
    }
}

/// A declared column. Unit and description are metadata: changing them remakes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnDecl {
    /// Its name in the table.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// Physical unit, empty where there is none.
    pub unit: String,
    /// One line for people.
    pub description: String,
}

impl ColumnDecl {
    /// A column with its unit and description.
    pub fn new(name: &str, kind: Kind, unit: &str, description: &str) -> Self {
        Self { name: name.into(), kind, unit: unit.into(), description: description.into() }
    }
}

/// A table that an asset writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputDecl {
    /// Its name, global among all outputs.
    pub name: AssetName,
    /// Its columns in order. The first ones are the partition's dimensions, as text.
    pub columns: Vec<ColumnDecl>,
    /// The columns that cut it into slices: a part is then a column of one slice.
    pub slice_key: Vec<String>,
    /// A row or a few per partition: rows travel in the record, and files hold many partitions.
    pub packed: bool,
    /// What each part is computed from, where that is known part by part; a part that is not listed follows its step.
    pub parts: Vec<PartCode>,
}

impl OutputDecl {
    /// An unsliced output with a file per partition.
    pub fn new(name: AssetName, columns: Vec<ColumnDecl>) -> Self {
        Self { name, columns, slice_key: Vec::new(), packed: false, parts: Vec::new() }
    }

    /// The same, packed.
    #[must_use]
    pub fn packed(mut self) -> Self {
        self.packed = true;
        self
    }

    /// The same, with what each part is computed from.
    #[must_use]
    pub fn parts(mut self, parts: Vec<PartCode>) -> Self {
        self.parts = parts;
        self
    }

    /// The same, with a declared slice key.
    #[must_use]
    pub fn sliced_by(mut self, key: &[&str]) -> Self {
        self.slice_key = key.iter().map(|k| (*k).to_owned()).collect();
        self
    }
}

/// Which parts of an input count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reads {
    /// Every part.
    All,
    /// The named columns, of every slice.
    Columns(Vec<String>),
}

impl Reads {
    /// Whether a part of that column counts.
    pub fn includes(&self, column: &str) -> bool {
        match self {
            Self::All => true,
            Self::Columns(columns) => columns.iter().any(|c| c == column),
        }
    }
}

/// Which partitions of an input a step reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mapping {
    /// The one with its own keys (an unpartitioned input serves every partition).
    #[default]
    Identity,
    /// Every one, in their order. Those that failed or were never made are left out, and named.
    All,
}

impl Mapping {
    /// The word used everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::All => "all",
        }
    }
}

/// An input: another asset's output, of the same partition or of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputDecl {
    /// The output that is read.
    pub output: AssetName,
    /// Which of its parts count.
    pub reads: Reads,
    /// Which of its partitions are read.
    pub mapping: Mapping,
}

impl InputDecl {
    /// Reads every part.
    pub fn all(output: AssetName) -> Self {
        Self { output, reads: Reads::All, mapping: Mapping::Identity }
    }

    /// Reads the named columns.
    pub fn columns(output: AssetName, columns: &[&str]) -> Self {
        let reads = Reads::Columns(columns.iter().map(|c| (*c).to_owned()).collect());
        Self { output, reads, mapping: Mapping::Identity }
    }

    /// The same, of every partition.
    #[must_use]
    pub fn over_all(mut self) -> Self {
        self.mapping = Mapping::All;
        self
    }
}

/// A named output, declared once.
#[derive(Debug, Clone, PartialEq)]
pub struct AssetDecl {
    /// Its name, which is also that of its first output.
    pub name: AssetName,
    /// One line for people.
    pub description: String,
    /// What people select it by: `name` or `name=value`. Metadata: changing them remakes nothing.
    pub tags: BTreeSet<String>,
    /// The dimensions that cut it; empty for none.
    pub dimensions: Vec<String>,
    /// What it reads of other assets.
    pub inputs: Vec<InputDecl>,
    /// Whether it reads slices of sources.
    pub reads_sources: bool,
    /// The tables it writes; the first one carries its name.
    pub outputs: Vec<OutputDecl>,
    /// The version of its code, stated: there is no default.
    pub code: String,
    /// Its parameters: (dotted name, canonical text), sorted by name.
    pub params: Vec<(SharedText, SharedText)>,
    /// Whether its columns are made one by one: all outputs' parts are listed, rows of an output are aligned, and a
    /// column whose fingerprint is stored is taken from there.
    pub by_column: bool,
}

impl AssetDecl {
    /// An asset with one output, no inputs and no parameters yet.
    pub fn new(output: OutputDecl, code: &str) -> Self {
        Self {
            name: output.name.clone(),
            description: String::new(),
            tags: BTreeSet::new(),
            dimensions: Vec::new(),
            inputs: Vec::new(),
            reads_sources: false,
            outputs: vec![output],
            code: code.to_owned(),
            params: Vec::new(),
            by_column: false,
        }
    }

    /// Sets the dimensions that cut it.
    #[must_use]
    pub fn partitioned_by(mut self, dimensions: &[&str]) -> Self {
        self.dimensions = dimensions.iter().map(|d| (*d).to_owned()).collect();
        self
    }

    /// Adds an input.
    #[must_use]
    pub fn reads(mut self, input: InputDecl) -> Self {
        self.inputs.push(input);
        self
    }

    /// Declares that it reads slices of sources.
    #[must_use]
    pub fn reads_sources(mut self) -> Self {
        self.reads_sources = true;
        self
    }

    /// Adds a further output.
    #[must_use]
    pub fn also(mut self, output: OutputDecl) -> Self {
        self.outputs.push(output);
        self
    }

    /// Declares that its columns are made one by one. Its code is then that of its columns.
    #[must_use]
    pub fn by_column(mut self) -> Self {
        let mut hasher = Hasher::new("assets.columns.1");
        for part in self.outputs.iter().flat_map(|output| &output.parts) {
            hasher.bytes(part.code.as_bytes());
        }
        let digest: Digest<8> = hasher.finish();
        self.code = format!("columns {}", digest.short());
        self.by_column = true;
        self
    }

    /// Sets the line for people.
    #[must_use]
    pub fn described(mut self, description: &str) -> Self {
        description.clone_into(&mut self.description);
        self
    }

    /// Adds tags: `name` or `name=value`.
    #[must_use]
    pub fn tagged(mut self, tags: &[&str]) -> Self {
        self.tags.extend(tags.iter().map(|tag| (*tag).to_owned()));
        self
    }

    /// Adds a parameter; its text must be canonical (equal values, equal texts).
    #[must_use]
    pub fn param(mut self, name: &str, value: impl ToString) -> Self {
        self.params.push((name.into(), value.to_string().into()));
        self.params.sort();
        self
    }

    /// Whether a step is one of its own: of its name, and cut by its dimensions. One that an earlier declaration cut
    /// otherwise is none any more.
    pub fn has_step(&self, step: &Step) -> bool {
        step.asset == self.name && step.partition.keys().map(|(dimension, _)| dimension).eq(&self.dimensions)
    }

    /// Names and kinds of all that it writes, as one short hash: what is stored must have the declared shape.
    pub fn shape(&self) -> String {
        let mut hasher = Hasher::new("assets.shape.1");
        hasher.number(self.outputs.len() as u64);
        for output in &self.outputs {
            hasher.text(output.name.as_str()).number(output.columns.len() as u64);
            for column in &output.columns {
                hasher.text(&column.name).text(column.kind.name());
            }
            hasher.number(output.slice_key.len() as u64);
            output.slice_key.iter().for_each(|key| {
                hasher.text(key);
            });
        }
        let digest: Digest<8> = hasher.finish();
        digest.to_string()
    }
}
