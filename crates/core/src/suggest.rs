//! "Did you mean": the nearest of the known names.

/// The nearest candidate to `word`, if one is near enough to be meant.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let (distance, name) = candidates.into_iter().map(|c| (strsim::damerau_levenshtein(word, c), c)).min()?;
    (distance <= (word.chars().count() / 3).max(1) + usize::from(word.len() > 3)).then_some(name)
}

/// `; did you mean `x`?`, or nothing.
pub fn hint<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #[test]
    fn near_names_are_suggested_and_far_ones_are_not() {
        assert_eq!(super::nearest("featurs", ["features", "wide"]), Some("features"));
        assert_eq!(super::nearest("xyzzy", ["features", "wide"]), None);
    }
}
