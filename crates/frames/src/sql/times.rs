//! Which names in a query are times.

use super::statement::Parsed;
use crate::tree::times::{is_time, replace};
use assets_core::graph::Graph;
use assets_core::{Kind, OutputDecl, Reason};
use sqlparser::ast::{SelectItem, TableFactor, Visit, Visitor, visit_expressions_mut};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// Makes the times that a query compares comparable for polars; whether there were any.
pub(super) fn rewrite(parsed: &mut Parsed, graph: &Graph) -> Result<bool, Reason> {
    let mut names = Names { graph, tables: BTreeMap::new(), derived: BTreeSet::new() };
    let _ = parsed.statement.visit(&mut names);
    let mut changed = false;
    let visited = visit_expressions_mut(&mut parsed.statement, |expr| match replace(expr, &names.as_times()) {
        Ok(replaced) => {
            changed |= replaced;
            ControlFlow::Continue(())
        }
        Err(no_time) => ControlFlow::Break(no_time),
    });
    match visited {
        ControlFlow::Break(no_time) => Err(parsed.wrong(no_time.message(), Some(no_time.place))),
        ControlFlow::Continue(()) => Ok(changed),
    }
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

impl Visitor for Names<'_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, alias, .. } = factor {
            let name = name.to_string().trim_matches('"').to_owned();
            if let Some(output) = self.graph.outputs().find(|output| output.name.as_str() == name) {
                self.tables.insert(alias.as_ref().map_or(name, |alias| alias.name.value.clone()), output);
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &sqlparser::ast::Select) -> ControlFlow<()> {
        for item in &select.projection {
            if let SelectItem::ExprWithAlias { expr, alias } = item
                && is_time(expr, &self.as_times())
            {
                self.derived.insert(alias.value.clone());
            }
        }
        ControlFlow::Continue(())
    }
}
