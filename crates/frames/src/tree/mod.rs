//! Trees of SQL, as both expressions and queries have them: spelled so that polars reads what a person wrote, and
//! searched for what it refuses.
//!
//! Not here: which names there are, and what is refused (`expression`, `sql`).

pub(crate) mod check;
pub(crate) mod depth;
pub(crate) mod times;
pub(crate) mod walk;

use sqlparser::ast::{Expr, UnaryOperator, Value, VisitMut};
use std::convert::Infallible;

/// Spells numbers and signs as polars reads them: of numbers with an exponent it takes only those with a point, and
/// `- -x` in print begins a comment. Whether any number was changed.
pub(crate) fn respell(tree: &mut impl VisitMut) -> bool {
    let mut changed = false;
    let Ok(()) = walk::change::<Infallible>(tree, |expr| {
        match expr {
            Expr::Value(value) => {
                if let Value::Number(number, _) = &mut value.value
                    && let Some(at) = number.find(['e', 'E']).filter(|_| !number.contains('.'))
                {
                    number.insert_str(at, ".0");
                    changed = true;
                }
            }
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } if expr.to_string().starts_with('-') => {
                let inner = std::mem::replace(&mut **expr, Expr::Value(Value::Null.into()));
                **expr = Expr::Nested(Box::new(inner));
            }
            _ => {}
        }
        Ok(())
    });
    changed
}

#[cfg(test)]
mod tests {
    use super::respell;
    use sqlparser::dialect::GenericDialect;
    use sqlparser::parser::Parser;

    #[test]
    fn numbers_and_signs_are_spelled_as_polars_reads_them() {
        for (written, spelled, changed) in [
            ("v1 * 1e3", "v1 * 1.0e3", true),
            ("1.5E-3 + 2", "1.5E-3 + 2", false),
            ("-1e+3", "-1.0e+3", true),
            ("- -x", "-(-x)", false),
            ("- - -x - -1", "-(-(-x)) - -1", false),
            ("-(-x)", "-(-x)", false),
            ("case when - -x > 1E2 then 1 end", "CASE WHEN -(-x) > 1.0E2 THEN 1 END", true),
        ] {
            let mut parser = Parser::new(&GenericDialect).try_with_sql(written).expect("tokens");
            let mut tree = parser.parse_expr().expect("an expression");
            assert_eq!((respell(&mut tree), tree.to_string().as_str()), (changed, spelled), "{written}");
        }
    }
}
