//! Names that a query gives itself, and joins that name no columns: found in the tree, for whoever refuses them.

use sqlparser::ast::{Join, Query, Select, Statement, TableFactor, Visit, Visitor};
use sqlparser::tokenizer::Location;
use std::ops::ControlFlow;

/// The names of `with` parts and aliases of tables, where they stand.
pub(super) fn own_names(statement: &Statement) -> Vec<(String, Location)> {
    let mut own = OwnNames(Vec::new());
    let _ = statement.visit(&mut own);
    own.0
}

/// Whether two tables are joined by whatever columns they share.
pub(super) fn has_natural_join(statement: &Statement) -> bool {
    statement.visit(&mut NaturalJoins).is_break()
}

struct OwnNames(Vec<(String, Location)>);

impl Visitor for OwnNames {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let parts = query.with.iter().flat_map(|with| &with.cte_tables);
        self.0.extend(parts.map(|part| (part.alias.name.value.clone(), part.alias.name.span.start)));
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        let (name, alias) = match factor {
            TableFactor::Table { name, alias, .. } => (Some(name.to_string()), alias),
            TableFactor::Derived { alias, .. } | TableFactor::NestedJoin { alias, .. } => (None, alias),
            _ => return ControlFlow::Continue(()),
        };
        if let Some(alias) = alias.as_ref().map(|alias| &alias.name)
            && name.as_deref().map(|name| name.trim_matches('"')) != Some(alias.value.as_str())
        {
            self.0.push((alias.value.clone(), alias.span.start));
        }
        ControlFlow::Continue(())
    }
}

struct NaturalJoins;

impl Visitor for NaturalJoins {
    type Break = ();

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        let joins = select.from.iter().flat_map(|from| &from.joins);
        natural(joins)
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::NestedJoin { table_with_joins, .. } => natural(table_with_joins.joins.iter()),
            _ => ControlFlow::Continue(()),
        }
    }
}

fn natural<'a>(mut joins: impl Iterator<Item = &'a Join>) -> ControlFlow<()> {
    let is_natural = joins.any(|join| join.to_string().trim_start().starts_with("NATURAL"));
    if is_natural { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}
