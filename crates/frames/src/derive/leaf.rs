//! Leaves: named inputs of plans. The name is in every hash, so that `join(a, b)` and `join(b, a)` differ.

use crate::frame_error;
use assets_core::Reason;
use polars::prelude::*;
use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// Reads the given columns of a leaf, all of them for `None`.
pub type Read = dyn Fn(Option<&[&str]>) -> Result<DataFrame, Reason> + Send + Sync;

pub(super) struct Leaf {
    pub(super) name: String,
    pub(super) schema: SchemaRef,
    read: Arc<Read>,
}

/// A named leaf of a plan. Only the columns that the plan needs are read, when it is executed. What `read` gives is held
/// to the schema (`leaf_schema`); why it failed is told by [`reason`].
pub fn leaf(name: &str, schema: SchemaRef, read: Arc<Read>) -> Result<LazyFrame, Reason> {
    let args = ScanArgsAnonymous { schema: Some(Arc::clone(&schema)), name: "leaf", ..ScanArgsAnonymous::default() };
    let scan = Leaf { name: name.to_owned(), schema, read };
    LazyFrame::anonymous_scan(Arc::new(scan), args).map_err(|error| frame_error(&format!("the leaf {name}"), &error))
}

/// A leaf without rows: what a plan is built over where only its derivation is wanted.
pub fn empty_leaf(name: &str, schema: SchemaRef) -> Result<LazyFrame, Reason> {
    let empty = DataFrame::empty_with_schema(&schema);
    let read = move |columns: Option<&[&str]>| match columns {
        None => Ok(empty.clone()),
        Some(columns) => empty.select(columns.iter().copied()).map_err(|error| frame_error("an empty leaf", &error)),
    };
    leaf(name, schema, Arc::new(read))
}

/// Why a plan failed: the reason of the leaf that could not be read, else what polars says.
pub fn reason(what: &str, error: &PolarsError) -> Reason {
    match error {
        PolarsError::Context { error, .. } | PolarsError::ExprContext { error, .. } => reason(what, error),
        PolarsError::IO { error: io, .. } => match io.get_ref().and_then(|inner| inner.downcast_ref::<Unread>()) {
            Some(Unread(reason)) => reason.clone(),
            None => frame_error(what, error),
        },
        _ => frame_error(what, error),
    }
}

/// A reason on its way through polars, which has no variant for it.
#[derive(Debug)]
struct Unread(Reason);

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Unread {}

impl From<Unread> for PolarsError {
    fn from(unread: Unread) -> Self {
        Self::IO { error: Arc::new(std::io::Error::other(unread)), msg: None }
    }
}

impl Leaf {
    /// Refuses a frame that is not what hashes were computed for.
    fn check(&self, frame: &DataFrame, wanted: &[&str]) -> Result<(), Unread> {
        for name in wanted {
            let found = frame.column(name).ok().map(|column| column.dtype().clone());
            if found.as_ref() != self.schema.get(name) {
                let found = found.map_or("nothing".to_owned(), |dtype| dtype.to_string());
                let message = format!("the leaf {} gave {found} for its column {name}", self.name);
                let reason = Reason::new("leaf_schema", message);
                return Err(Unread(reason.with("leaf", self.name.as_str()).with("column", *name)));
            }
        }
        Ok(())
    }
}

impl AnonymousScan for Leaf {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn scan(&self, args: AnonymousScanArgs) -> PolarsResult<DataFrame> {
        let all = || self.schema.iter_names().map(|name| name.as_str()).collect();
        let wanted: Vec<&str> =
            args.with_columns.as_ref().map_or_else(all, |columns| columns.iter().map(|name| name.as_str()).collect());
        // A count asks for no column at all, and still for the number of rows.
        let needed: Vec<&str> = if wanted.is_empty() { all().into_iter().take(1).collect() } else { wanted.clone() };
        let frame = (self.read)(args.with_columns.is_some().then_some(needed.as_slice())).map_err(Unread)?;
        self.check(&frame, &needed)?;
        let columns = wanted.iter().map(|name| frame.column(name).cloned()).collect::<PolarsResult<Vec<_>>>()?;
        let frame = DataFrame::new(frame.height(), columns)?;
        Ok(args.n_rows.map_or_else(|| frame.clone(), |rows| frame.head(Some(rows))))
    }

    fn schema(&self, _: Option<usize>) -> PolarsResult<SchemaRef> {
        Ok(Arc::clone(&self.schema))
    }

    fn allows_projection_pushdown(&self) -> bool {
        true
    }
}
