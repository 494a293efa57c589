//! Fingerprints of parts: what one column, or one column of a slice, is computed from, and what that is now. Who reads
//! three columns does not go stale when a fourth changes.
//!
//! Not here: how code becomes a digest (that belongs to the backend that runs it), and verdicts on steps (`freshness`).

use crate::asset::{AssetDecl, OutputDecl};
use crate::freshness;
use crate::hash::{ContentHash, Digest, Fields, Fingerprint, Hasher};
use crate::key::{AssetName, Partition};
use crate::reason::Reason;
use crate::record::{InputRecord, PartId, Recipe};
use crate::shared_text::SharedText;
use std::collections::{BTreeSet, HashMap};

/// What is read of an input.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartRead {
    /// The output that is read.
    pub output: AssetName,
    /// One slice, or every slice.
    pub slice: Option<SharedText>,
    /// A column; `None` for nothing but the number of rows.
    pub column: Option<SharedText>,
}

impl PartRead {
    /// A column, of every slice where the output has slices.
    pub fn column(output: &AssetName, column: &str) -> Self {
        Self { output: output.clone(), slice: None, column: Some(column.into()) }
    }

    /// A column of one slice.
    pub fn slice(output: &AssetName, slice: &str, column: &str) -> Self {
        Self { output: output.clone(), slice: Some(slice.into()), column: Some(column.into()) }
    }

    /// The number of rows alone.
    pub fn rows(output: &AssetName) -> Self {
        Self { output: output.clone(), slice: None, column: None }
    }

    /// Whether that part is meant.
    pub fn includes(&self, part: &PartId) -> bool {
        self.column.as_ref() == Some(&part.column) && (self.slice.is_none() || self.slice == part.slice)
    }
}

/// What a part is computed from. Neither its own name nor that of any other column of its table is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartCode {
    /// Which part.
    pub id: PartId,
    /// What it computes, made canonical; equal code, equal digest.
    pub code: Digest<32>,
    /// The asset's parameters that count for it.
    pub params: BTreeSet<String>,
    /// What its values derive from.
    pub direct: BTreeSet<PartRead>,
    /// What else decides which rows there are, in which order, and what is known in them.
    pub indirect: BTreeSet<PartRead>,
    /// The inputs that it reads itself, where the columns of the same table that it is computed from are stored.
    pub opens: BTreeSet<AssetName>,
    /// Columns of the same table that it is computed from. Their code and reads are contained in the above; this is
    /// for people.
    pub via: BTreeSet<String>,
}

impl PartCode {
    /// All that it reads of inputs.
    pub fn reads(&self) -> impl Iterator<Item = &PartRead> {
        self.direct.iter().chain(self.indirect.difference(&self.direct))
    }
}

/// Which parts of an input may still change in this build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unsettled {
    /// None.
    Nothing,
    /// These.
    Parts(BTreeSet<PartId>),
    /// Any.
    Everything,
}

impl Unsettled {
    fn touches(&self, read: &PartRead) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::Parts(parts) if read.column.is_none() => !parts.is_empty(),
            Self::Parts(parts) => parts.iter().any(|part| read.includes(part)),
        }
    }
}

/// An input as it is now, as far as that is known.
#[derive(Debug, Clone, Copy)]
pub struct InputView<'a> {
    /// Its name.
    pub output: &'a AssetName,
    /// What is read of it as it is now; what is settled of that will not change.
    pub record: Option<&'a InputRecord>,
    /// What of it is to be made, or may be.
    pub unsettled: &'a Unsettled,
}

impl InputView<'_> {
    /// Whether what is read is known.
    pub fn knows(&self, read: &PartRead) -> bool {
        !self.unsettled.touches(read)
    }
}

/// An asset with the parts that it lists.
#[derive(Clone, Copy)]
pub struct Listed<'a> {
    /// The asset.
    pub asset: &'a AssetDecl,
    pub(crate) listing: &'a Listing,
}

/// The parts that an asset lists, with what they read, put in order once for all of its steps.
#[derive(Debug, Clone)]
pub(crate) struct Listing {
    /// Each part, in the order of the declaration.
    parts: Vec<ListedPart>,
    /// All that is read, each once.
    reads: Vec<PartRead>,
}

#[derive(Debug, Clone)]
struct ListedPart {
    /// Which output of the asset, and which part of that.
    place: (usize, usize),
    /// Its own code and parameters.
    fields: Fields,
    /// What it reads, in order, by the places among all.
    reads: Vec<usize>,
}

impl Listing {
    pub(crate) fn new(asset: &AssetDecl) -> Self {
        let of_output = |(at, output): (usize, &'_ OutputDecl)| (0..output.parts.len()).map(move |part| (at, part));
        let all: Vec<(usize, usize)> = asset.outputs.iter().enumerate().flat_map(of_output).collect();
        let code = |(output, part): (usize, usize)| &asset.outputs[output].parts[part];
        let reads: BTreeSet<&PartRead> = all.iter().flat_map(|place| code(*place).reads()).collect();
        let places: HashMap<&PartRead, usize> = reads.iter().zip(0..).map(|(read, at)| (*read, at)).collect();
        let part = |place: (usize, usize)| {
            let code = code(place);
            let mut own: Vec<usize> = code.reads().map(|read| places[read]).collect();
            own.sort_unstable();
            let mut fields = Fields::default();
            fields.bytes(code.code.as_bytes()).number(code.params.len() as u64);
            for name in &code.params {
                let value = asset.params.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
                fields.text(name).optional(value);
            }
            fields.number(own.len() as u64);
            ListedPart { place, fields, reads: own }
        };
        Self { parts: all.into_iter().map(part).collect(), reads: reads.into_iter().cloned().collect() }
    }
}

impl<'a> Listed<'a> {
    fn code(&self, (output, part): (usize, usize)) -> (&'a AssetName, &'a PartCode) {
        let output = &self.asset.outputs[output];
        (&output.name, &output.parts[part])
    }

    /// Each part of a step with its fingerprint, or the inputs that are still open to it.
    pub fn fingerprints(
        self,
        partition: &Partition,
        inputs: &[InputView<'_>],
    ) -> impl Iterator<Item = (&'a AssetName, &'a PartCode, Result<Fingerprint, BTreeSet<AssetName>>)> + use<'a> {
        let mut step = Fields::default();
        step.text(self.asset.name.as_str()).number(partition.keys().len() as u64);
        for (dimension, key) in partition.keys() {
            step.text(dimension).text(key);
        }
        // Many parts read the same.
        let known: Vec<Option<Fields>> = self.listing.reads.iter().map(|read| known(read, inputs)).collect();
        let mut hasher = Hasher::new("");
        self.listing.parts.iter().map(move |part| {
            let (output, code) = self.code(part.place);
            let open = part.reads.iter().filter(|at| known[**at].is_none());
            let open: BTreeSet<AssetName> = open.map(|at| self.listing.reads[*at].output.clone()).collect();
            if !open.is_empty() {
                return (output, code, Err(open));
            }
            hasher.restart("assets.part.1").fields(&step).fields(&part.fields);
            part.reads.iter().flat_map(|at| &known[*at]).for_each(|read| {
                hasher.fields(read);
            });
            (output, code, Ok(Fingerprint(hasher.finish())))
        })
    }

    /// The same, where all inputs are as a recipe says.
    pub fn of_recipe(self, partition: &Partition, recipe: &Recipe) -> Vec<(&'a AssetName, &'a PartCode, Fingerprint)> {
        let inputs = recipe.inputs.iter();
        let inputs: Vec<InputView<'_>> = inputs
            .map(|input| InputView { output: &input.output, record: Some(input), unsettled: &Unsettled::Nothing })
            .collect();
        let all = self.fingerprints(partition, &inputs);
        all.filter_map(|(output, code, found)| Some((output, code, found.ok()?))).collect()
    }
}

/// What is read of an input, as it is now; `None` where that is open.
fn known(read: &PartRead, inputs: &[InputView<'_>]) -> Option<Fields> {
    let view = inputs.iter().find(|input| *input.output == read.output).filter(|view| view.knows(read))?;
    let mut fields = Fields::default();
    fields.text(read.output.as_str()).optional(read.slice.as_deref()).optional(read.column.as_deref());
    if read.column.is_none() {
        fields.number(view.record.map_or(0, |record| record.rows));
    }
    let parts = view.record.into_iter().flat_map(|record| &record.parts).filter(|(id, _)| read.includes(id));
    let parts: Vec<&(PartId, ContentHash)> = parts.collect();
    fields.number(parts.len() as u64);
    for (id, hash) in parts {
        fields.optional(id.slice.as_deref()).bytes(hash.0.as_bytes());
    }
    Some(fields)
}

/// What changed for one part between two recipes of its step.
pub fn differences(code: &PartCode, old: &Recipe, new: &Recipe) -> Vec<Reason> {
    freshness::differences(&restricted(code, old), &restricted(code, new))
}

/// A recipe as one part sees it.
fn restricted(code: &PartCode, recipe: &Recipe) -> Recipe {
    let params = recipe.params.iter().filter(|(name, _)| code.params.contains(name.as_str())).cloned().collect();
    let inputs = recipe.inputs.iter().filter_map(|input| {
        let reads: Vec<&PartRead> = code.reads().filter(|read| read.output == input.output).collect();
        let counts = reads.iter().any(|read| read.column.is_none());
        let parts = input.parts.iter().filter(|(id, _)| reads.iter().any(|read| read.includes(id))).cloned().collect();
        let rows = if counts { input.rows } else { 0 };
        (!reads.is_empty()).then(|| InputRecord { output: input.output.clone(), rows, parts })
    });
    Recipe { params, inputs: inputs.collect(), ..Recipe::default() }
}
