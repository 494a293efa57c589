//! Names that a query gives itself, and joins that name no columns: found in the tree, for whoever refuses them.

use crate::tree::walk::{Flow, Look, walk};
use sqlparser::ast::{Join, Query, Select, Statement, TableFactor};
use sqlparser::tokenizer::Location;

/// The names of `with` parts and aliases of tables, where they stand.
pub(super) fn own_names(statement: &Statement) -> Vec<(String, Location)> {
    let mut own = OwnNames(Vec::new());
    let _ = walk(statement, &mut own);
    own.0
}

/// Whether two tables are joined by whatever columns they share.
pub(super) fn has_natural_join(statement: &Statement) -> bool {
    walk(statement, &mut NaturalJoins).is_break()
}

struct OwnNames(Vec<(String, Location)>);

impl Look for OwnNames {
    fn query(&mut self, query: &Query) -> Flow {
        let parts = query.with.iter().flat_map(|with| &with.cte_tables);
        self.0.extend(parts.map(|part| (part.alias.name.value.clone(), part.alias.name.span.start)));
        Flow::Continue(())
    }

    fn factor(&mut self, factor: &TableFactor) -> Flow {
        let (name, alias) = match factor {
            TableFactor::Table { name, alias, .. } => (Some(name.to_string()), alias),
            TableFactor::Derived { alias, .. } | TableFactor::NestedJoin { alias, .. } => (None, alias),
            _ => return Flow::Continue(()),
        };
        if let Some(alias) = alias.as_ref().map(|alias| &alias.name)
            && name.as_deref().map(|name| name.trim_matches(['"', '`'])) != Some(alias.value.as_str())
        {
            self.0.push((alias.value.clone(), alias.span.start));
        }
        Flow::Continue(())
    }
}

struct NaturalJoins;

impl Look for NaturalJoins {
    fn select(&mut self, select: &Select) -> Flow {
        let joins = select.from.iter().flat_map(|from| &from.joins);
        natural(joins)
    }

    fn factor(&mut self, factor: &TableFactor) -> Flow {
        match factor {
            TableFactor::NestedJoin { table_with_joins, .. } => natural(table_with_joins.joins.iter()),
            _ => Flow::Continue(()),
        }
    }
}

fn natural<'a>(mut joins: impl Iterator<Item = &'a Join>) -> Flow {
    let is_natural = joins.any(|join| join.to_string().trim_start().starts_with("NATURAL"));
    if is_natural { Flow::Break(()) } else { Flow::Continue(()) }
}
