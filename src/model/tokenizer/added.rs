//! Tokens that were added to a tokenizer, such as the words of textual inversion in a saved pipeline.
//!
//! They are in `tokenizer.json`, in `added_tokens_decoder` of `tokenizer_config.json`, and, as older versions of transformers write them, in
//! `added_tokens.json`, without options.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::Value;
use tokenizers::AddedToken;

use super::files::{WHOLE, configuration, damaged};
use crate::error::Result;
use crate::model::source::Source;

/// One token, with the options of transformers' `AddedToken`.
#[derive(Debug, Clone, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the file's independent options"
)]
struct Token {
    content: String,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default = "yes")]
    normalized: bool,
    #[serde(default)]
    special: bool,
}

const fn yes() -> bool {
    true
}

/// The added tokens, by their ids.
#[derive(Debug, Default)]
pub(super) struct AddedTokens(BTreeMap<u32, Token>);

impl AddedTokens {
    /// Reads the added tokens of a tokenizer's folder, which ends in `/`.
    ///
    /// # Errors
    /// [`crate::Error::Weights`] for a file of another form.
    pub(super) fn read(source: &Source, folder: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Listed {
            id: u32,
            #[serde(flatten)]
            token: Token,
        }
        let mut tokens = BTreeMap::new();
        let path = |name: &str| format!("{folder}{name}");
        let read = |name: &str| configuration(source, &path(name));
        let refuse = |name: &str, error: serde_json::Error| {
            damaged(
                source,
                &path(name),
                format!("not a list of added tokens: {error}"),
            )
        };

        let name = "added_tokens.json";
        let found = read(name)?;
        if !found.is_null() {
            let ids: BTreeMap<String, u32> =
                serde_json::from_value(found).map_err(|error| refuse(name, error))?;
            tokens.extend(ids.into_iter().map(|(content, id)| {
                let token = Token {
                    content,
                    single_word: false,
                    lstrip: false,
                    rstrip: false,
                    normalized: true,
                    special: false,
                };
                (id, token)
            }));
        }
        if let Some(listed) = read(WHOLE)?.get_mut("added_tokens").map(Value::take) {
            let listed: Vec<Listed> =
                serde_json::from_value(listed).map_err(|error| refuse(WHOLE, error))?;
            tokens.extend(listed.into_iter().map(|Listed { id, token }| (id, token)));
        }
        let name = "tokenizer_config.json";
        if let Some(decoder) = read(name)?.get_mut("added_tokens_decoder").map(Value::take) {
            let decoder: BTreeMap<u32, Token> =
                serde_json::from_value(decoder).map_err(|error| refuse(name, error))?;
            tokens.extend(decoder);
        }
        Ok(Self(tokens))
    }

    /// Adds them to a vocabulary.
    ///
    /// # Errors
    /// The token whose id is that of another.
    pub(super) fn add_to(
        &self,
        vocabulary: &mut HashMap<String, u32>,
    ) -> std::result::Result<(), String> {
        let taken: HashMap<u32, String> = vocabulary
            .iter()
            .filter(|(_, id)| self.0.contains_key(id))
            .map(|(word, id)| (*id, word.clone()))
            .collect();
        for (id, Token { content, .. }) in &self.0 {
            let is_other = taken.get(id).is_some_and(|word| word != content);
            let old = vocabulary.insert(content.clone(), *id);
            if is_other || old.is_some_and(|old| old != *id) {
                return Err(format!(
                    "the added token `{content}` has the id {id}, which is that of another, or has two ids"
                ));
            }
        }
        Ok(())
    }

    /// Returns the tokens for the tokenizer, without `known` ones.
    pub(super) fn tokens(&self, known: &[&str]) -> Vec<AddedToken> {
        let others = self
            .0
            .values()
            .filter(|token| !known.contains(&&*token.content));
        others
            .map(|token| {
                AddedToken::from(token.content.clone(), token.special)
                    .single_word(token.single_word)
                    .lstrip(token.lstrip)
                    .rstrip(token.rstrip)
                    .normalized(token.normalized)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Tokenizer;

    /// The forms in which a saved pipeline has the words of textual inversion.
    #[test]
    fn every_form_gives_the_same_tokens() {
        let tiny = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny/tokenizer");
        let forms = [
            ("added_tokens.json", r#"{"<toy>": 964}"#),
            (
                "tokenizer_config.json",
                r#"{"added_tokens_decoder": {"964": {"content": "<toy>", "normalized": true, "special": false}}}"#,
            ),
        ];
        let load = |name: &str, text: &str| {
            let folder = tempfile::tempdir().expect("a temporary folder");
            for file in ["vocab.json", "merges.txt"] {
                let to = folder.path().join(file);
                std::fs::copy(format!("{tiny}/{file}"), to).expect("copy the file");
            }
            std::fs::write(folder.path().join(name), text).expect("a small file");
            let source = Source::from_folder(folder.path()).expect("a folder");
            Tokenizer::load_from(&source, "")
        };
        for (name, text) in forms {
            let tokens = load(name, text).expect("a valid tokenizer");
            let tokens = tokens.encode("a <Toy>s", 8).expect("tokens");
            assert_eq!(tokens[2], 964, "{name}: {tokens:?}");
        }
        let damaged = [
            ("added_tokens.json", r#"{"<toy>": 5}"#),
            ("added_tokens.json", r#"{"<toy>": -5}"#),
            ("added_tokens.json", r#"["<toy>"]"#),
            (
                "tokenizer_config.json",
                r#"{"added_tokens_decoder": {"x": {}}}"#,
            ),
        ];
        for (name, text) in damaged {
            let error = load(name, text).expect_err("damaged");
            assert_eq!(error.kind().name(), "weights.damaged", "{name}: {text}");
        }
    }
}
