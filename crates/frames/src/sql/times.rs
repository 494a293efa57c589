//! Which names in a query are times.

use super::statement::Parsed;
use crate::tree::times::{NoTime, is_time, replace};
use crate::tree::walk::{self, Flow, Look};
use assets_core::graph::Graph;
use assets_core::{Kind, OutputDecl, Reason};
use sqlparser::ast::{Select, SelectItem, TableFactor};
use std::collections::{BTreeMap, BTreeSet};

/// Makes the times that a query compares comparable for polars; whether there were any.
pub(super) fn rewrite(parsed: &mut Parsed, graph: &Graph) -> Result<bool, Reason> {
    let mut names = Names { graph, tables: BTreeMap::new(), derived: BTreeSet::new() };
    let _ = walk::walk(&parsed.statement, &mut names);
    let mut changed = false;
    let visited = walk::change(&mut parsed.statement, |expr| {
        changed |= replace(expr, &names.as_times())?;
        Ok(())
    });
    visited.map_err(|no_time: NoTime| parsed.wrong(no_time.message(), Some(no_time.place))).map(|()| changed)
}

/// Which names are columns of times.
struct Names<'a> {
    graph: &'a Graph,
    /// The declared tables that the query reads, by the names that it gives them.
    tables: BTreeMap<String, &'a OutputDecl>,
    /// Names that the query itself gives to times.
    derived: BTreeSet<String>,
}

impl Names<'_> {
    fn as_times(&self) -> impl Fn(Option<&str>, &str) -> bool {
        |table, column| self.is_time_column(table, column)
    }

    fn is_time_column(&self, table: Option<&str>, column: &str) -> bool {
        let kinds = |table: &OutputDecl| table.columns.iter().find(|c| c.name == column).map(|c| c.kind);
        if let Some(table) = table.and_then(|table| self.tables.get(table)) {
            return kinds(table) == Some(Kind::Time);
        }
        let mut found = self.tables.values().filter_map(|table| kinds(table)).peekable();
        if found.peek().is_none() {
            return self.derived.contains(column);
        }
        // `rejects` keeps times as delivered, as text: a name that is both stays as it is written.
        found.all(|kind| kind == Kind::Time)
    }
}

impl Look for Names<'_> {
    fn factor(&mut self, factor: &TableFactor) -> Flow {
        if let TableFactor::Table { name, alias, .. } = factor {
            let name = name.to_string().trim_matches('"').to_owned();
            if let Some(output) = self.graph.outputs().find(|output| output.name.as_str() == name) {
                self.tables.insert(alias.as_ref().map_or(name, |alias| alias.name.value.clone()), output);
            }
        }
        Flow::Continue(())
    }

    fn select_left(&mut self, select: &Select) -> Flow {
        for item in &select.projection {
            if let SelectItem::ExprWithAlias { expr, alias } = item
                && is_time(expr, &self.as_times())
            {
                self.derived.insert(alias.value.clone());
            }
        }
        Flow::Continue(())
    }
}
