//! CLIP's tokenizer: text to numbers of byte pairs, exactly as transformers' `CLIPTokenizer` does it. It is put together from
//! `vocab.json` and `merges.txt`, because the folders of Stable Diffusion 1.5 hold no `tokenizer.json`.

use std::collections::HashMap;

use serde_json::Value;
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::normalizers::replace::ReplacePattern;
use tokenizers::normalizers::{Lowercase, NFC, Replace, Sequence as Normalizers};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence as Splits;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::processors::roberta::RobertaProcessing;
use tokenizers::{AddedToken, SplitDelimiterBehavior};

use super::source::Source;
use crate::error::{Error, ErrorKind, Result};

const VOCABULARY: &str = "tokenizer/vocab.json";
const MERGES: &str = "tokenizer/merges.txt";

/// First token of every prompt.
const BEGIN: &str = "<|startoftext|>";
/// Last token of every prompt, and what stands for an unknown byte.
const END: &str = "<|endoftext|>";
/// Marks the last byte pair of a word.
const END_OF_WORD: &str = "</w>";
/// Words: marks, English contractions, letters, single digits, runs of anything else (`simple_tokenizer.py` of openai/CLIP).
const WORDS: &str =
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// Turns prompts into the text encoder's numbers.
#[derive(Debug)]
pub struct Tokenizer {
    pairs: tokenizers::Tokenizer,
    pad: u32,
    place: String,
}

impl Tokenizer {
    /// Reads vocabulary, merges and the name of the padding token.
    ///
    /// # Errors
    /// [`Error::Weights`] when a file is missing, or they do not fit together.
    pub fn load(source: &Source) -> Result<Self> {
        let damaged = |name: &str, reason: String| Error::Weights {
            path: source.place(name),
            kind: ErrorKind::WeightsDamaged,
            reason,
            hint: "get the model's files again".into(),
        };
        let text = source.required_text(VOCABULARY)?;
        let vocabulary: HashMap<String, u32> = serde_json::from_str(&text)
            .map_err(|error| damaged(VOCABULARY, format!("not a vocabulary: {error}")))?;
        let merges = parse_merges(&source.required_text(MERGES)?)
            .map_err(|reason| damaged(MERGES, reason))?;
        let number = |token: &str| {
            vocabulary
                .get(token)
                .copied()
                .ok_or_else(|| damaged(VOCABULARY, format!("the token `{token}` is missing")))
        };
        let (begin, end) = (number(BEGIN)?, number(END)?);
        let pad = number(pad_token(source)?.as_deref().unwrap_or(END))?;
        let pairs = clip(vocabulary.into_iter().collect(), merges, begin, end)
            .map_err(|error| damaged(MERGES, error.to_string()))?;
        Ok(Self {
            pairs,
            pad,
            place: source.place(VOCABULARY),
        })
    }

    /// The prompt's tokens between begin and end, padded to `limit`.
    ///
    /// # Errors
    /// [`Error::PromptTooLong`] when they are more than `limit`.
    pub fn encode(&self, prompt: &str, limit: usize) -> Result<Vec<u32>> {
        let encoding = self
            .pairs
            .encode_fast(prompt, true)
            .map_err(|error| Error::Weights {
                path: self.place.clone(),
                kind: ErrorKind::WeightsDamaged,
                reason: format!("the prompt cannot be split: {error}"),
                hint: "get the model's files again".into(),
            })?;
        let mut tokens = encoding.get_ids().to_vec();
        if tokens.len() > limit {
            return Err(Error::PromptTooLong {
                tokens: tokens.len(),
                limit,
            });
        }
        tokens.resize(limit, self.pad);
        Ok(tokens)
    }
}

/// Two byte pairs per line, below an optional line with the format's version.
fn parse_merges(text: &str) -> std::result::Result<Merges, String> {
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

/// The padding token's name, if a configuration file gives one.
fn pad_token(source: &Source) -> Result<Option<String>> {
    for name in [
        "tokenizer/tokenizer_config.json",
        "tokenizer/special_tokens_map.json",
    ] {
        let Some(text) = source.text(name)? else {
            continue;
        };
        let config: Value = serde_json::from_str(&text).map_err(|error| Error::Weights {
            path: source.place(name),
            kind: ErrorKind::WeightsDamaged,
            reason: format!("not a configuration: {error}"),
            hint: "get the model's files again".into(),
        })?;
        // Either the name itself or an object that describes it.
        let token = config
            .get("pad_token")
            .and_then(|token| token.as_str().or_else(|| token.get("content")?.as_str()));
        if let Some(token) = token {
            return Ok(Some(token.to_owned()));
        }
    }
    Ok(None)
}

/// The steps of transformers' `CLIPTokenizer`, in its order.
fn clip(
    vocabulary: Vocab,
    merges: Merges,
    begin: u32,
    end: u32,
) -> tokenizers::Result<tokenizers::Tokenizer> {
    let pairs = BPE::builder()
        .vocab_and_merges(vocabulary, merges)
        .continuing_subword_prefix(String::new())
        .end_of_word_suffix(END_OF_WORD.into())
        .unk_token(END.into())
        .build()?;
    let mut tokenizer = tokenizers::Tokenizer::new(pairs);
    let spaces = Replace::new(ReplacePattern::Regex(r"\s+".into()), " ")?;
    tokenizer.with_normalizer(Some(Normalizers::new(vec![
        NFC.into(),
        spaces.into(),
        Lowercase.into(),
    ])))?;
    let words = Split::new(
        SplitPattern::Regex(WORDS.into()),
        SplitDelimiterBehavior::Removed,
        true,
    )?;
    tokenizer.with_pre_tokenizer(Some(Splits::new(vec![
        words.into(),
        ByteLevel::new(false, true, true).into(),
    ])));
    let marks = RobertaProcessing::new((END.into(), end), (BEGIN.into(), begin));
    tokenizer.with_post_processor(Some(marks.trim_offsets(false).add_prefix_space(false)));
    tokenizer.add_special_tokens([BEGIN, END].map(|mark| AddedToken::from(mark, true)))?;
    Ok(tokenizer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merges_are_two_byte_pairs_per_line() {
        let merges = parse_merges("#version: 0.2\na b\n# #</w>\n").expect("both lines are pairs");
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
    fn a_prompt_is_padded_to_the_limit_or_refused() {
        let tokenizer = Tokenizer::load(&Source::Demo).expect("the demo model has a tokenizer");
        let tokens = tokenizer.encode("a  CAT", 77).expect("it is short");
        assert_eq!(tokens.len(), 77);
        assert_eq!(tokens, tokenizer.encode("a cat", 77).expect("it is short"));
        let error = tokenizer
            .encode("a cat", 3)
            .expect_err("begin, a, cat and end are four tokens");
        assert!(matches!(
            error,
            Error::PromptTooLong {
                tokens: 4..,
                limit: 3
            }
        ));
    }
}
