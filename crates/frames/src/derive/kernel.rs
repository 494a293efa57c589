//! Kernels: computations of our own inside a plan. A closure can't be compared, so a kernel says what it is by a name, a
//! version and its parameters, and these are hashed.

use assets_core::hash::Hasher;
use polars::prelude::*;
use polars_plan::dsl::{AnonymousColumnsUdf, ColumnsUdf, new_column_udf};
use polars_plan::prelude::FunctionOptions;
use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

/// What a kernel's self-description begins with: any other self-description in a plan is not ours.
const MAGIC: &[u8] = b"assets.kernel.1\0";

type Compute = dyn Fn(&[Column]) -> PolarsResult<Column> + Send + Sync;

/// A named computation from columns to one column of equal length. Whoever changes what it computes gives it another
/// version: nothing else tells.
#[derive(Clone)]
pub struct Kernel {
    name: String,
    version: u32,
    params: BTreeMap<String, String>,
    output: DataType,
    compute: Arc<Compute>,
}

impl Kernel {
    /// A kernel whose column is of type `output`.
    pub fn new(
        name: &str,
        version: u32,
        output: DataType,
        compute: impl Fn(&[Column]) -> PolarsResult<Column> + Send + Sync + 'static,
    ) -> Self {
        let compute = Arc::new(compute);
        Self { name: name.to_owned(), version, params: BTreeMap::new(), output, compute }
    }

    /// States a parameter. Every value that `compute` captures has to be stated.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Display) -> Self {
        self.params.insert(name.to_owned(), value.to_string());
        self
    }

    /// The kernel over these columns, named as the first of them.
    pub fn over(self, inputs: impl IntoIterator<Item = Expr>) -> Expr {
        let name = Box::new(PlSmallStr::from_str(&self.name));
        Expr::AnonymousFunction {
            input: inputs.into_iter().collect(),
            function: new_column_udf(self),
            options: FunctionOptions::length_preserving(),
            fmt_str: name,
        }
    }
}

impl ColumnsUdf for Kernel {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn call_udf(&self, columns: &mut [Column]) -> PolarsResult<Column> {
        (self.compute)(columns)
    }
}

impl AnonymousColumnsUdf for Kernel {
    fn as_column_udf(self: Arc<Self>) -> Arc<dyn ColumnsUdf> {
        self
    }

    fn deep_clone(self: Arc<Self>) -> Arc<dyn AnonymousColumnsUdf> {
        self
    }

    /// The description that `describe` finds again: asking a closure `as_any` panics, asking it this is an error.
    fn try_serialize(&self, buffer: &mut Vec<u8>) -> PolarsResult<()> {
        let mut hasher = Hasher::new("assets.kernel.1");
        hasher.text(&self.name).number(u64::from(self.version)).text(&format!("{:?}", self.output));
        for (name, value) in &self.params {
            hasher.text(name).text(value);
        }
        buffer.extend_from_slice(MAGIC);
        buffer.extend_from_slice(hasher.finish::<32>().as_bytes());
        Ok(())
    }

    fn get_field(&self, _: &Schema, fields: &[Field]) -> PolarsResult<Field> {
        let name = fields.first().map_or_else(|| PlSmallStr::from_str(&self.name), |field| field.name.clone());
        Ok(Field::new(name, self.output.clone()))
    }
}

/// What a function in a plan says of itself, where it is a kernel.
pub(super) fn describe(function: &dyn AnonymousColumnsUdf) -> Option<Vec<u8>> {
    let mut description = Vec::new();
    function.try_serialize(&mut description).ok()?;
    description.starts_with(MAGIC).then_some(description)
}
