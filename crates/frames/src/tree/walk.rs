//! Walks through trees of SQL. sqlparser's traversal is generic over the visitor, and its trees have hundreds of types:
//! each further visitor would be compiled as a traversal of its own, at ten seconds each. So there is one that looks and
//! one that changes, and what they do on the way is chosen at run time.

use sqlparser::ast::{Expr, ObjectName, Query, Select, TableFactor, Visit, VisitMut, Visitor, VisitorMut};
use std::ops::ControlFlow;

/// Whether to go on.
pub(crate) type Flow = ControlFlow<()>;

const ON: Flow = ControlFlow::Continue(());

/// What someone wants to see on the way. Whatever is found is kept by them.
pub(crate) trait Look {
    /// An expression, before its parts.
    fn expr(&mut self, _: &Expr) -> Flow {
        ON
    }

    /// An expression, after its parts.
    fn expr_left(&mut self, _: &Expr) -> Flow {
        ON
    }

    fn query(&mut self, _: &Query) -> Flow {
        ON
    }

    fn factor(&mut self, _: &TableFactor) -> Flow {
        ON
    }

    fn relation(&mut self, _: &ObjectName) -> Flow {
        ON
    }

    fn select(&mut self, _: &Select) -> Flow {
        ON
    }

    /// A `select`, after its parts.
    fn select_left(&mut self, _: &Select) -> Flow {
        ON
    }
}

struct Looking<'a>(&'a mut dyn Look);

impl Visitor for Looking<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> Flow {
        self.0.expr(expr)
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> Flow {
        self.0.expr_left(expr)
    }

    fn pre_visit_query(&mut self, query: &Query) -> Flow {
        self.0.query(query)
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> Flow {
        self.0.factor(factor)
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> Flow {
        self.0.relation(relation)
    }

    fn pre_visit_select(&mut self, select: &Select) -> Flow {
        self.0.select(select)
    }

    fn post_visit_select(&mut self, select: &Select) -> Flow {
        self.0.select_left(select)
    }
}

/// Walks through a tree; breaks where the looker does.
pub(crate) fn walk(tree: &impl Visit, look: &mut dyn Look) -> Flow {
    tree.visit(&mut Looking(look))
}

struct Finding<'f, T> {
    find: &'f mut dyn FnMut(&Expr) -> Option<T>,
    found: Option<T>,
}

impl<T> Look for Finding<'_, T> {
    fn expr(&mut self, expr: &Expr) -> Flow {
        self.found = (self.find)(expr);
        if self.found.is_some() { ControlFlow::Break(()) } else { ON }
    }
}

/// The first thing found in an expression, each before its parts.
pub(crate) fn find<T>(tree: &impl Visit, mut find: impl FnMut(&Expr) -> Option<T>) -> Option<T> {
    let mut finding = Finding { find: &mut find, found: None };
    let _ = walk(tree, &mut finding);
    finding.found
}

/// How many expressions a tree has.
pub(crate) fn count(tree: &impl Visit) -> usize {
    let mut count = 0;
    find(tree, |_| {
        count += 1;
        None::<()>
    });
    count
}

struct Changing<'f>(&'f mut dyn FnMut(&mut Expr) -> Flow);

impl VisitorMut for Changing<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> Flow {
        (self.0)(expr)
    }
}

/// Changes every expression, after its parts, up to the first error.
pub(crate) fn change<E>(tree: &mut impl VisitMut, mut change: impl FnMut(&mut Expr) -> Result<(), E>) -> Result<(), E> {
    let mut wrong = None;
    let mut each = |expr: &mut Expr| match change(expr) {
        Ok(()) => ON,
        Err(error) => {
            wrong = Some(error);
            ControlFlow::Break(())
        }
    };
    let _ = tree.visit(&mut Changing(&mut each));
    wrong.map_or(Ok(()), Err)
}
