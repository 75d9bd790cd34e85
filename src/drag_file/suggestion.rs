//! Suggestions for misspelled words: `did you mean ...?`

/// Returns a hint with the candidate closest to `word`, if one is close enough.
pub(crate) fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    // A longer word is not close to any candidate, and the comparison would be slow.
    if word.len() > 64 {
        return None;
    }
    let word = word.to_lowercase();
    let (distance, closest) = candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, candidate), candidate))
        .min_by_key(|(distance, _)| *distance)?;
    (distance <= 1 + closest.len() / 4).then(|| format!("did you mean `{closest}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_similar_words_are_suggested() {
        let candidates = ["handle", "target", "center", "id"];
        for (word, expected) in [
            ("taget", "target"),
            ("centre", "center"),
            ("Handle", "handle"),
            ("ids", "id"),
        ] {
            assert_eq!(
                did_you_mean(word, candidates),
                Some(format!("did you mean `{expected}`?")),
                "{word}"
            );
        }
        assert_eq!(did_you_mean("colour", candidates), None);
        assert_eq!(did_you_mean(&"target".repeat(20), candidates), None);
    }
}
