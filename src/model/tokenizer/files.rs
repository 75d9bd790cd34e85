//! The files of a tokenizer: `vocab.json` and `merges.txt`, or `tokenizer.json`, and the configurations that name the padding token.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;
use tokenizers::models::bpe::Merges;

use crate::error::{Error, ErrorKind, Result};
use crate::model::source::Source;

const VOCABULARY: &str = "vocab.json";
const MERGES: &str = "merges.txt";
/// Both in one file, with steps that are always the same.
pub(super) const WHOLE: &str = "tokenizer.json";

/// What a tokenizer consists of.
pub(super) struct Files {
    pub(super) vocabulary: HashMap<String, u32>,
    pub(super) merges: Merges,
    /// Where vocabulary and merges are from.
    pub(super) paths: [String; 2],
}

impl Files {
    /// Reads `vocab.json` and `merges.txt`, or `tokenizer.json` where the first is missing.
    pub(super) fn read(source: &Source, folder: &str) -> Result<Self> {
        let [vocabulary, merges, whole] =
            [VOCABULARY, MERGES, WHOLE].map(|name| format!("{folder}{name}"));
        let Some(text) = source.text(&vocabulary)? else {
            return match source.text(&whole)? {
                Some(text) => Self::of_whole(&text, whole.clone())
                    .map_err(|reason| damaged(source, &whole, reason)),
                None => Err(source.missing(&vocabulary, "")),
            };
        };
        let words = serde_json::from_str(&text)
            .map_err(|error| damaged(source, &vocabulary, format!("not a vocabulary: {error}")))?;
        let pairs = parse_merges(&source.required_text(&merges)?)
            .map_err(|reason| damaged(source, &merges, reason))?;
        Ok(Self {
            vocabulary: words,
            merges: pairs,
            paths: [vocabulary, merges],
        })
    }

    /// Parses `tokenizer.json`, whose merges are pairs or texts with a space between both.
    fn of_whole(text: &str, path: String) -> std::result::Result<Self, String> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Merge {
            Pair(String, String),
            Text(String),
        }
        #[derive(Deserialize)]
        struct Model {
            vocab: HashMap<String, u32>,
            merges: Vec<Merge>,
        }
        #[derive(Deserialize)]
        struct Whole {
            model: Model,
        }
        let whole: Whole =
            serde_json::from_str(text).map_err(|error| format!("not a tokenizer: {error}"))?;
        let Model { vocab, merges } = whole.model;
        let pair = |merge| match merge {
            Merge::Pair(left, right) => Ok((left, right)),
            Merge::Text(text) => match text.split_once(' ') {
                Some((left, right)) => Ok((left.to_owned(), right.to_owned())),
                None => Err(format!("not two byte pairs: `{text}`")),
            },
        };
        Ok(Self {
            vocabulary: vocab,
            merges: merges
                .into_iter()
                .map(pair)
                .collect::<std::result::Result<_, _>>()?,
            paths: [path.clone(), path],
        })
    }
}

pub(super) fn damaged(source: &Source, name: &str, reason: String) -> Error {
    Error::Weights {
        path: source.location(name),
        kind: ErrorKind::WeightsDamaged,
        reason,
        hint: "download the model again".into(),
    }
}

/// Parses merges: two byte pairs per line, after an optional version line.
pub(super) fn parse_merges(text: &str) -> std::result::Result<Merges, String> {
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.starts_with("#version") && !line.is_empty());
    lines
        .map(|(index, line)| match line.split_once(' ') {
            Some((left, right)) if !right.contains(' ') => Ok((left.to_owned(), right.to_owned())),
            _ => Err(format!(
                "line {} is not two byte pairs: `{line}`",
                index + 1
            )),
        })
        .collect()
}

/// Reads the name of the padding token, if a configuration file has one. As in transformers, the old `special_tokens_map.json` takes precedence
/// over a `tokenizer_config.json` without `added_tokens_decoder`: those of Stable Diffusion 2 name different tokens.
pub(super) fn pad_token(source: &Source, folder: &str) -> Result<Option<String>> {
    let config = configuration(source, &format!("{folder}tokenizer_config.json"))?;
    let map = configuration(source, &format!("{folder}special_tokens_map.json"))?;
    let is_new = config.get("added_tokens_decoder").is_some();
    let found = if is_new {
        [config, Value::Null]
    } else {
        [map, config]
    };
    // The token is a name, or an object with a name.
    let token = found.iter().find_map(|file| {
        let token = file.get("pad_token")?;
        token.as_str().or_else(|| token.get("content")?.as_str())
    });
    Ok(token.map(str::to_owned))
}

/// Reads a configuration file; null without one.
pub(super) fn configuration(source: &Source, name: &str) -> Result<Value> {
    source.text(name)?.map_or(Ok(Value::Null), |text| {
        serde_json::from_str(&text)
            .map_err(|error| damaged(source, name, format!("not a configuration: {error}")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Tokenizer;

    #[test]
    fn merges_are_two_byte_pairs_per_line() {
        let merges = parse_merges("#version: 0.2\na b\n# #</w>\n").expect("two valid lines");
        assert_eq!(
            merges,
            [("a".into(), "b".into()), ("#".into(), "#</w>".into())]
        );
        assert_eq!(
            parse_merges("a b\nab\n"),
            Err("line 2 is not two byte pairs: `ab`".into())
        );
    }

    #[test]
    fn both_forms_of_merges_give_the_tokenizer_of_separate_files() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let tokenizers = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny/tokenizer");
        let source = |path: &std::path::Path| Source::from_folder(path).expect("a folder");
        let expected = Tokenizer::load_from(&source(tokenizers.as_ref()), "")
            .expect("the fixture has both files");
        let text = std::fs::read_to_string(format!("{tokenizers}/tokenizer.json"))
            .expect("the fixture has this file");
        let mut whole: Value = serde_json::from_str(&text).expect("it is JSON");
        let prompt = "a red disc, naïve 東京's CAT";
        let expected = expected.encode(prompt, 77).expect("a short prompt");
        for joined in [false, true] {
            if joined {
                let merges = whole["model"]["merges"].as_array_mut().expect("a list");
                for merge in merges {
                    let word = |index: usize| merge[index].as_str().unwrap_or_default();
                    *merge = format!("{} {}", word(0), word(1)).into();
                }
            }
            std::fs::write(folder.path().join(WHOLE), whole.to_string()).expect("a small file");
            let found = Tokenizer::load_from(&source(folder.path()), "").expect("the same");
            assert_eq!(found.encode(prompt, 77).expect("a short prompt"), expected);
        }
        std::fs::write(folder.path().join(WHOLE), "{}").expect("a small file");
        let error = Tokenizer::load_from(&source(folder.path()), "").expect_err("no model");
        assert_eq!(error.kind(), ErrorKind::WeightsDamaged);
    }
}
