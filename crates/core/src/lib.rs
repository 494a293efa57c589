//! The nouns of `assets`: names, partitions, hashes, tables, declarations, the graph, records, reasons, and the rules
//! of freshness over them, together with the seams that backends implement.
//!
//! Not here: disks, clocks, threads, data frames. Everything in this crate is a value or a pure function of values.

pub mod asset;
pub mod catalog;
pub mod compare;
pub mod compute;
pub mod content;
pub mod cores;
pub mod excerpt;
pub mod executor;
pub mod facts;
pub mod finding;
pub mod freshness;
pub mod graph;
pub mod hash;
pub mod key;
pub mod ledger;
pub mod lineage;
pub mod logs;
pub mod over_all;
pub mod panics;
pub mod part;
pub mod reason;
pub mod record;
pub mod seal;
pub mod select;
pub mod shared_text;
pub mod slots;
pub mod source;
pub mod suggest;
pub mod table;
pub mod table_store;

pub use asset::{AssetDecl, ColumnDecl, InputDecl, Kind, Mapping, OutputDecl, Reads};
pub use hash::{ContentHash, Fingerprint, ObjectId, RecordId};
pub use key::{AssetName, Partition, Step};
pub use part::{PartCode, PartRead};
pub use reason::{Fact, Reason};
pub use record::{PartId, StepRecord};
