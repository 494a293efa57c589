//! How deep a text nests calls. The parser tries what stands in brackets behind a word in two ways, one after the other:
//! where both fail, the time doubles with each level.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan};

/// Levels of calls that are parsed: what fails in the innermost is told in a fraction of a second.
pub(crate) const CALLS_MAX: usize = 16;

/// Where a text nests calls, casts and subscripts too deeply.
pub(crate) fn too_deep(tokens: &[TokenWithSpan]) -> Option<Location> {
    let (mut open, mut calls, mut is_behind_word) = (Vec::new(), 0, false);
    for token in tokens {
        match &token.token {
            Token::Whitespace(_) => continue,
            Token::LParen | Token::LBracket => {
                open.push(is_behind_word);
                calls += usize::from(is_behind_word);
                if calls > CALLS_MAX {
                    return Some(token.span.start);
                }
            }
            Token::RParen | Token::RBracket => calls -= usize::from(open.pop().unwrap_or_default()),
            _ => {}
        }
        is_behind_word = matches!(&token.token, Token::Word(word) if !stands_alone(word.keyword));
    }
    None
}

/// Words behind which a bracket only groups.
fn stands_alone(word: Keyword) -> bool {
    use Keyword::{AND, AS, BY, ELSE, FROM, IN, JOIN, ON, OR, SELECT, THEN, WHEN, WHERE};
    matches!(word, AND | AS | BY | ELSE | FROM | IN | JOIN | ON | OR | SELECT | THEN | WHEN | WHERE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlparser::dialect::GenericDialect;
    use sqlparser::tokenizer::Tokenizer;

    fn deep(text: &str) -> bool {
        let tokens = Tokenizer::new(&GenericDialect, text).tokenize_with_location().expect("tokens");
        too_deep(&tokens).is_some()
    }

    #[test]
    fn only_calls_within_calls_count() {
        for call in ["cast( ", "array[", "f(", "a.b[", "not not ("] {
            assert!(!deep(&call.repeat(CALLS_MAX)), "{call}");
            assert!(deep(&format!("select {} 1 casder from t", call.repeat(CALLS_MAX + 1))), "{call}");
        }
        assert!(!deep(&"x and (y or (".repeat(100)));
        assert!(!deep(&"abs(x) + ".repeat(100)));
        assert!(!deep(&")".repeat(100)));
    }
}
