//! The smallest worker there is: assets over integers in memory, for examples and exact execution logs.

use assets_core::compute::{Packer, Worker};
use assets_core::content::hash_values;
use assets_core::executor::{Product, StepRequest};
use assets_core::freshness;
use assets_core::graph::Graph;
use assets_core::over_all;
use assets_core::record::{OutputRecord, Part, PartId, Stored};
use assets_core::table::Values;
use assets_core::table_store::{Object, Staged, TableStore};
use assets_core::{AssetName, ColumnDecl, Kind, OutputDecl, Reason};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// The code of an asset: from the integers of its inputs (or what its sources deliver) to its own.
pub type IntCode = Arc<dyn Fn(&[Vec<i64>]) -> Result<Vec<i64>, Reason> + Send + Sync>;

/// What a source delivers: slice hash → integers.
pub type Deliveries = Arc<Mutex<HashMap<assets_core::ContentHash, Vec<i64>>>>;

/// An output of one column `value`.
pub fn output(name: &str) -> OutputDecl {
    let name = AssetName::new(name).expect("a name of a test or an example");
    OutputDecl::new(name, vec![ColumnDecl::new("value", Kind::Int, "", "")])
}

/// Computes assets over integers.
pub struct IntWorker {
    /// The declared assets.
    pub graph: Arc<Graph>,
    /// Their code.
    pub code: HashMap<AssetName, IntCode>,
    /// Where tables go.
    pub tables: Arc<dyn TableStore>,
    /// What sources deliver.
    pub deliveries: Deliveries,
    /// Every step that was really computed, in order.
    pub log: Mutex<Vec<String>>,
}

impl IntWorker {
    /// Integers of an output.
    pub fn read(&self, output: &OutputRecord) -> Result<Vec<i64>, Reason> {
        let Stored::Object(object) = &output.stored else { return Ok(Vec::new()) };
        let bytes = match self.tables.open(object).map_err(|error| error.reason)? {
            Object::Bytes(bytes) => bytes.to_vec(),
            Object::File(mut file) => {
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes).map_err(|error| Reason::new("io_error", error.to_string()))?;
                bytes
            }
        };
        let words = bytes.chunks_exact(8).map(|word| i64::from_le_bytes(word.try_into().unwrap_or_default()));
        Ok(words.collect())
    }

    fn write(&self, name: &AssetName, values: &[i64]) -> Result<OutputRecord, Reason> {
        let mut staged = self.tables.stage().map_err(|error| error.reason)?;
        for value in values {
            staged.write_all(&value.to_le_bytes()).map_err(|error| Reason::new("io_error", error.to_string()))?;
        }
        let (object, bytes) = staged.put().map_err(|error| error.reason)?;
        let hash = hash_values(&Values::Int(values.iter().copied().map(Some).collect()));
        Ok(OutputRecord {
            name: name.clone(),
            stored: Stored::Object(object),
            rows: values.len() as u64,
            bytes,
            parts: vec![Part { id: PartId::column("value"), fingerprint: None, hash }],
            unavailable: Vec::new(),
        })
    }
}

impl Worker for IntWorker {
    fn make(&self, request: &StepRequest) -> Result<Product, Reason> {
        let unknown = || Reason::new("unknown_asset", format!("no asset {}", request.step.asset));
        let listed = self.graph.listed(request.step.asset.as_str()).ok_or_else(unknown)?;
        let asset = listed.asset;
        let code = self.code.get(&request.step.asset).ok_or_else(unknown)?;
        let read = over_all::given(asset, &request.inputs);
        let recipe = freshness::recipe(asset, read, request.slices.clone());
        if freshness::fingerprint(listed, &request.step.partition, &recipe) != request.expected {
            return Err(Reason::new("fingerprint_mismatch", "planned by another program"));
        }
        self.log.lock().unwrap_or_else(PoisonError::into_inner).push(request.step.to_string());
        let mut inputs: Vec<Vec<i64>> = Vec::new();
        for input in &asset.inputs {
            let own = request.inputs.iter().filter(|given| given.output.name == input.output);
            let own = own.map(|given| self.read(&given.output)).collect::<Result<Vec<_>, _>>()?;
            inputs.push(own.concat());
        }
        let deliveries = self.deliveries.lock().unwrap_or_else(PoisonError::into_inner);
        inputs.extend(request.slices.iter().filter_map(|slice| deliveries.get(&slice.hash).cloned()));
        drop(deliveries);
        let values = code(&inputs)?;
        let outputs = asset.outputs.iter().map(|output| self.write(&output.name, &values));
        Ok(Product {
            outputs: outputs.collect::<Result<_, _>>()?,
            checks: Vec::new(),
            warnings: Vec::new(),
            taken: Vec::new(),
        })
    }
}

/// Packs nothing: integer outputs are never packed.
pub struct NoPacker;

impl Packer for NoPacker {
    fn pack(&self, output: &OutputDecl, _: &[&OutputRecord], _: &mut dyn Staged) -> Result<(), Reason> {
        Err(Reason::new("not_packed", format!("{} is not packed", output.name)))
    }
}
