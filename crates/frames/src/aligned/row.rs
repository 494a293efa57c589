//! The columns of one step while they are computed: each taken from where it is stored, or made from others.

use super::{AlignedTable, Defined, Make, names};
use crate::assemble::Aside;
use crate::inputs::Inputs;
use crate::{columns, frame_error};
use assets_core::{ColumnDecl, Reason};
use polars::prelude::*;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

/// The table of one step while its columns are computed.
pub struct Row<'a> {
    table: &'a AlignedTable,
    /// What the step may read.
    pub inputs: &'a Inputs<'a>,
    done: RefCell<HashMap<String, Column>>,
    /// Those of them that are stored nowhere.
    computed: RefCell<HashSet<String>>,
    /// Columns that were put aside.
    aside: RefCell<HashMap<String, Aside>>,
}

impl<'a> Row<'a> {
    pub(super) fn new(table: &'a AlignedTable, inputs: &'a Inputs<'a>) -> Self {
        Self { table, inputs, done: RefCell::default(), computed: RefCell::default(), aside: RefCell::default() }
    }
}

impl Row<'_> {
    /// A column of the table: taken from where it is stored, or computed.
    pub fn column(&self, name: &str) -> Result<Column, Reason> {
        if let Some(done) = self.done.borrow().get(name) {
            return Ok(done.clone());
        }
        if let Some(aside) = self.aside.borrow().get(name) {
            return aside.source.column(name);
        }
        self.fetch(&[name])?;
        if let Some(stored) = self.done.borrow().get(name) {
            return Ok(stored.clone());
        }
        let defined = self.table.defined(name)?;
        let column = self.compute(defined)?.with_name(name.into());
        if !matches!(defined.make, Make::Copy(_)) {
            self.computed.borrow_mut().insert(name.to_owned());
        }
        self.done.borrow_mut().insert(name.to_owned(), column.clone());
        Ok(column)
    }

    /// A column is not held any more, and so is none that can be read again.
    pub(super) fn put_aside(&self, name: &str, aside: Aside) {
        self.aside.borrow_mut().insert(name.to_owned(), aside);
        let computed = self.computed.borrow();
        self.done.borrow_mut().retain(|known, _| known != name && computed.contains(known));
    }

    /// Reads what is stored of these columns, at once.
    fn fetch(&self, names: &[&str]) -> Result<(), Reason> {
        let is_aside = |name: &str| self.aside.borrow().contains_key(name);
        let missing = |name: &&&str| !self.done.borrow().contains_key(**name) && !is_aside(name);
        let names: Vec<&str> = names.iter().filter(missing).copied().collect();
        let stored = self.inputs.stored(&self.table.name, &names)?;
        self.done.borrow_mut().extend(stored.into_iter().map(|column| (column.name().to_string(), column)));
        Ok(())
    }

    fn compute(&self, column: &Defined) -> Result<Column, Reason> {
        match &column.make {
            Make::Kernel(kernel) => (kernel.run)(self),
            Make::Copy(read) => {
                let name = read.column.as_deref().unwrap_or_default();
                let frame = self.inputs.read(read.output.as_str(), &[name])?;
                frame.column(name).cloned().map_err(|error| frame_error(name, &error))
            }
            Make::Expr(expr) => self.evaluate(&column.decl, expr),
        }
    }

    fn evaluate(&self, decl: &ColumnDecl, expr: &Expr) -> Result<Column, Reason> {
        let names = names(expr);
        self.fetch(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
        let used = names.iter().map(|name| self.column(name)).collect::<Result<Vec<_>, _>>()?;
        let axis = || self.table.axis.as_ref().map(|axis| self.column(axis)).transpose();
        let rows = match used.first() {
            Some(first) => first.len(),
            None => axis()?.map_or(0, |axis| axis.len()),
        };
        let frame = columns::frame(used)?;
        let column = self.table.ready(decl, expr, frame.schema())?.run(&decl.name, &frame)?;
        // One value, such as a mean over all rows, stands in every row.
        Ok(if column.len() == 1 && rows != 1 { column.new_from_index(0, rows) } else { column })
    }
}
