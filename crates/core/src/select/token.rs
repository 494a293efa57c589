//! The words of a selection, with their places. Not here: what they mean together.

use super::Problem;

/// A word or a sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A name, a keyword, or a name with `*`.
    Word(String),
    /// What stands between quotes: never a keyword.
    Quoted(String),
    /// Digits alone: a distance.
    Number(String),
    Plus,
    Open,
    Close,
    Colon,
    Equal,
}

/// A token and where it stands, counted in characters from 0; `end` is behind its last one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Splits a text; an error comes with its place.
pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, (Problem, usize)> {
    let chars: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(c) = chars.get(at).copied() {
        let start = at;
        at += 1;
        let token = match c {
            c if c.is_whitespace() => continue,
            '+' => Token::Plus,
            '(' => Token::Open,
            ')' => Token::Close,
            ':' => Token::Colon,
            '=' => Token::Equal,
            '"' | '\'' => {
                let Some(length) = chars[at..].iter().position(|inner| *inner == c) else {
                    return Err((Problem::UnclosedQuote, start));
                };
                at += length + 1;
                Token::Quoted(chars[start + 1..at - 1].iter().collect())
            }
            c if is_word(c) => {
                at += chars[at..].iter().take_while(|c| is_word(**c)).count();
                let word: String = chars[start..at].iter().collect();
                if word.bytes().all(|byte| byte.is_ascii_digit()) { Token::Number(word) } else { Token::Word(word) }
            }
            other => return Err((Problem::Character(other), start)),
        };
        found.push(Placed { token, start, end: at });
    }
    Ok(found)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '*')
}
