//! "Did you mean ...?"

/// A hint that names the candidate closest to `word`, when one is close.
pub(crate) fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    // A longer word would be compared at a cost that grows with its length, and is close to nothing.
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
    fn near_words_are_suggested_and_far_ones_are_not() {
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
