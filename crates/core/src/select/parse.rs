//! From the words of a selection to an expression, by recursive descent. `not` binds more tightly than `and`, `and` more
//! tightly than `or`; a traversal binds to one operand.

use super::names::suggestion;
use super::token::{Placed, Token, tokens};
use super::{Expr, Problem};

/// Parentheses, functions and `not` within each other: more than a person writes, less than a stack holds.
const DEPTH_MAX: usize = 64;

/// A filter as it was written, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) filter: Filter,
    /// Where its value stands, counted in characters from 0.
    pub(super) at: usize,
}

/// What a filter asks for. `*` in a text stands for any characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Filter {
    Key(String),
    Tag { name: String, value: Option<String> },
    Column(String),
    Stale(Option<String>),
    Failed(Option<String>),
}

/// Names of all filters, for suggestions.
const FILTERS: [&str; 5] = ["key", "tag", "column", "stale", "failed"];

/// Reads a selection; an error comes with its place.
pub(super) fn parse(text: &str) -> Result<Expr<Written>, (Problem, usize)> {
    let tokens = tokens(text)?;
    let mut parser = Parser { end: text.trim_end().chars().count(), tokens, at: 0, depth: 0 };
    if parser.tokens.is_empty() {
        return Err((Problem::Empty, 0));
    }
    let expr = parser.or()?;
    match parser.peek() {
        None => Ok(expr),
        Some(Placed { token: Token::Close, start, .. }) => Err((Problem::UnopenedParenthesis, *start)),
        Some(Placed { start, .. }) => Err((Problem::OperatorExpected, *start)),
    }
}

type Parsed = Result<Expr<Written>, (Problem, usize)>;

struct Parser {
    tokens: Vec<Placed>,
    at: usize,
    depth: usize,
    /// Where the text ends.
    end: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Placed> {
        self.tokens.get(self.at)
    }

    fn take(&mut self, wanted: &Token) -> Option<Placed> {
        let placed = self.peek().filter(|placed| placed.token == *wanted)?.clone();
        self.at += 1;
        Some(placed)
    }

    /// `and` or `AND`.
    fn keyword(&mut self, lower: &str) -> Option<usize> {
        let placed = self.peek()?;
        let Token::Word(word) = &placed.token else { return None };
        let start = placed.start;
        let upper = word.bytes().all(|byte| byte.is_ascii_uppercase());
        (word == lower || upper && word.eq_ignore_ascii_case(lower)).then(|| {
            self.at += 1;
            start
        })
    }

    /// Where the next token stands, or the text ends.
    fn here(&self) -> usize {
        self.peek().map_or(self.end, |placed| placed.start)
    }

    fn or(&mut self) -> Parsed {
        let mut all = vec![self.and()?];
        while self.keyword("or").is_some() {
            all.push(self.and()?);
        }
        Ok(one_or(all, Expr::Or))
    }

    fn and(&mut self) -> Parsed {
        let mut all = vec![self.not()?];
        while self.keyword("and").is_some() {
            all.push(self.not()?);
        }
        Ok(one_or(all, Expr::And))
    }

    fn not(&mut self) -> Parsed {
        match self.keyword("not") {
            Some(at) => self.deeper(at, |parser| Ok(Expr::Not(Box::new(parser.not()?)))),
            None => self.around(),
        }
    }

    fn deeper(&mut self, at: usize, inner: impl FnOnce(&mut Self) -> Parsed) -> Parsed {
        if self.depth == DEPTH_MAX {
            return Err((Problem::TooDeep { depth_max: DEPTH_MAX }, at));
        }
        self.depth += 1;
        let parsed = inner(self);
        self.depth -= 1;
        parsed
    }

    fn around(&mut self) -> Parsed {
        let before = self.at;
        let number = self.number();
        let up = match (self.take(&Token::Plus), number) {
            (Some(_), number) => number.unwrap_or(usize::MAX),
            (None, _) => {
                self.at = before;
                0
            }
        };
        let of = self.operand()?;
        let down = match self.take(&Token::Plus) {
            Some(_) => self.number().unwrap_or(usize::MAX),
            None => 0,
        };
        Ok(if up == 0 && down == 0 { of } else { Expr::Around { up, of: Box::new(of), down } })
    }

    fn number(&mut self) -> Option<usize> {
        let Some(Placed { token: Token::Number(digits), .. }) = self.peek() else { return None };
        // More than any graph is deep is as good as any number.
        let number = digits.parse().unwrap_or(usize::MAX);
        self.at += 1;
        Some(number)
    }

    fn operand(&mut self) -> Parsed {
        let Some(placed) = self.peek().cloned() else { return Err((Problem::NameExpected, self.end)) };
        let at = placed.start;
        match placed.token {
            Token::Open => self.parenthesised(),
            Token::Quoted(name) => {
                self.at += 1;
                key(name, at)
            }
            Token::Word(word) => {
                let next = self.tokens.get(self.at + 1).map(|next| &next.token);
                match next {
                    Some(Token::Colon) => self.filter(&word, at),
                    Some(Token::Open) if word == "sinks" || word == "roots" => {
                        self.at += 1;
                        let of = Box::new(self.parenthesised()?);
                        Ok(if word == "sinks" { Expr::Sinks(of) } else { Expr::Roots(of) })
                    }
                    Some(Token::Open) => Err((Problem::UnknownFunction { name: word }, at)),
                    _ if is_keyword(&word) => Err((Problem::NameExpected, at)),
                    _ => {
                        self.at += 1;
                        key(word, at)
                    }
                }
            }
            Token::Close if self.depth == 0 => Err((Problem::UnopenedParenthesis, at)),
            _ => Err((Problem::NameExpected, at)),
        }
    }

    fn parenthesised(&mut self) -> Parsed {
        let open = self.here();
        self.at += 1;
        self.deeper(open, |parser| {
            let inner = parser.or()?;
            match parser.take(&Token::Close) {
                Some(_) => Ok(inner),
                None if parser.peek().is_some() => Err((Problem::OperatorExpected, parser.here())),
                None => Err((Problem::UnclosedParenthesis, open)),
            }
        })
    }

    /// `name:` with its value.
    fn filter(&mut self, name: &str, at: usize) -> Parsed {
        self.at += 2;
        let after_colon = self.tokens.get(self.at - 1).map_or(self.end, |colon| colon.end);
        let needed = |parser: &mut Self| {
            let place = parser.here();
            let value = parser.value().ok_or((Problem::ValueExpected { filter: name.to_owned() }, place))?;
            Ok((value, place))
        };
        let (filter, at) = match name {
            "key" => {
                let (value, at) = needed(self)?;
                (Filter::Key(value), at)
            }
            "column" => {
                let (value, at) = needed(self)?;
                (Filter::Column(value), at)
            }
            "tag" => {
                let (name, at) = needed(self)?;
                let value = match self.take(&Token::Equal) {
                    Some(_) => Some(needed(self)?.0),
                    None => None,
                };
                (Filter::Tag { name, value }, at)
            }
            // Their value may be missing: what follows counts as one only where no space is between.
            "stale" | "failed" => {
                let adjacent = self.peek().is_some_and(|next| next.start == after_colon);
                let value = if adjacent { self.value() } else { None };
                (if name == "stale" { Filter::Stale(value) } else { Filter::Failed(value) }, after_colon)
            }
            _ => {
                let hint = suggestion(name, FILTERS);
                return Err((Problem::UnknownFilter { name: name.to_owned(), hint }, at));
            }
        };
        Ok(Expr::Leaf(Written { filter, at }))
    }

    fn value(&mut self) -> Option<String> {
        let value = match &self.peek()?.token {
            Token::Word(text) | Token::Quoted(text) | Token::Number(text) if !text.is_empty() => text.clone(),
            _ => return None,
        };
        self.at += 1;
        Some(value)
    }
}

fn is_keyword(word: &str) -> bool {
    matches!(word, "and" | "AND" | "or" | "OR" | "not" | "NOT")
}

fn key(name: String, at: usize) -> Parsed {
    if name.is_empty() {
        return Err((Problem::NameExpected, at));
    }
    let all = name.chars().all(|c| c == '*');
    Ok(if all { Expr::All } else { Expr::Leaf(Written { filter: Filter::Key(name), at }) })
}

/// One operand is no operation. Chains are flat, so that their length never becomes depth.
fn one_or<L>(mut all: Vec<Expr<L>>, many: impl FnOnce(Vec<Expr<L>>) -> Expr<L>) -> Expr<L> {
    match all.pop() {
        Some(only) if all.is_empty() => only,
        Some(last) => {
            all.push(last);
            many(all)
        }
        None => many(all),
    }
}
