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
