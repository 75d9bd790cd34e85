//! The tokenizer of CLIP, with the same results as transformers' `CLIPTokenizer`. It is built from `vocab.json` and `merges.txt`, because
//! repositories of Stable Diffusion 1.5 have no `tokenizer.json`. Where they are missing, as in what transformers 5 writes, vocabulary and merges
//! are those of `tokenizer.json`.

mod added;
mod files;

use std::collections::BTreeMap;

use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::normalizers::replace::ReplacePattern;
use tokenizers::normalizers::{Lowercase, NFC, Replace, Sequence as Normalizers};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence as Splits;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::processors::roberta::RobertaProcessing;
use tokenizers::{
    AddedToken, NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString,
    PreTokenizer, SplitDelimiterBehavior,
};

use super::embedding::Embedding;
use super::source::Source;
use crate::error::{Error, ErrorKind, Result};
use added::AddedTokens;
use files::{Files, damaged, pad_token};

/// The first token of every prompt.
const START: &str = "<|startoftext|>";
/// The last token of every prompt, which also replaces unknown bytes.
const END: &str = "<|endoftext|>";
/// The suffix of the last byte pair of a word.
const END_OF_WORD: &str = "</w>";
/// The words of a prompt: marks, English contractions, letters, single digits, runs of anything else (`simple_tokenizer.py` of openai/CLIP).
const WORDS: &str =
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// Converts prompts to tokens.
#[derive(Debug)]
pub struct Tokenizer {
    pairs: tokenizers::Tokenizer,
    end: u32,
    pad: u32,
    /// The tokens of embeddings, each with the number of its vectors: it stands for itself and those that follow it.
    several: BTreeMap<u32, u32>,
    location: String,
}

/// The part of a prompt that a text encoder does not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excess {
    /// Tokens of the whole prompt, with start and end.
    pub tokens: usize,
    /// Tokens that the text encoder reads.
    pub limit: usize,
    /// The text that is left out.
    pub text: String,
}

impl Tokenizer {
    /// Loads vocabulary, merges, added tokens and padding token from the folder `tokenizer/`.
    ///
    /// # Errors
    /// [`Error::Weights`] when a file is missing or invalid, or they do not fit together.
    pub fn load(source: &Source) -> Result<Self> {
        Self::load_from(source, "tokenizer/")
    }

    /// As [`Tokenizer::load`], from a folder of the model; its name ends in `/`, and that of the root is empty.
    ///
    /// # Errors
    /// As [`Tokenizer::load`].
    pub fn load_from(source: &Source, folder: &str) -> Result<Self> {
        Self::build(source, folder, &[], 0)
    }

    /// As [`Tokenizer::load`], with the words of embeddings, whose vectors follow the `rows` of the text encoder's vocabulary.
    ///
    /// # Errors
    /// As [`Tokenizer::load`]; [`Error::Setting`] for a word that the vocabulary has already, or two embeddings have.
    pub fn load_with(source: &Source, embeddings: &[Embedding], rows: usize) -> Result<Self> {
        Self::build(source, "tokenizer/", embeddings, rows)
    }

    fn build(source: &Source, folder: &str, embeddings: &[Embedding], rows: usize) -> Result<Self> {
        let files = Files::read(source, folder)?;
        let Files {
            mut vocabulary,
            merges,
            paths: [vocabulary_path, merges_path],
        } = files;
        let (vocabulary_path, merges_path) = (&*vocabulary_path, &*merges_path);
        let damaged = |name: &str, reason: String| damaged(source, name, reason);
        let id_of = |token: &str| {
            vocabulary
                .get(token)
                .copied()
                .ok_or_else(|| damaged(vocabulary_path, format!("the token `{token}` is missing")))
        };
        let (start, end) = (id_of(START)?, id_of(END)?);
        let pad_token = pad_token(source, folder)?.unwrap_or_else(|| END.into());
        let added = AddedTokens::read(source, folder)?;
        added
            .add_to(&mut vocabulary)
            .map_err(|reason| damaged(vocabulary_path, reason))?;
        let pad = vocabulary.get(&pad_token).copied().ok_or_else(|| {
            damaged(
                vocabulary_path,
                format!("the token `{pad_token}` is missing"),
            )
        })?;
        let last = vocabulary.values().max().copied().unwrap_or_default();
        if !embeddings.is_empty() && last as usize >= rows {
            return Err(damaged(
                vocabulary_path,
                format!("it has the token {last}, the text encoder has {rows} tokens"),
            ));
        }
        let mut several = BTreeMap::new();
        let mut next = rows as u32;
        for embedding in embeddings {
            let token = embedding.token();
            let lower = token.to_lowercase();
            let known = [token, &lower, &format!("{lower}{END_OF_WORD}")];
            if known.iter().any(|word| vocabulary.contains_key(*word)) {
                return Err(Error::Setting {
                    name: "embedding".into(),
                    value: token.to_owned(),
                    reason: "is in the vocabulary already; give another word as `FILE:WORD`, such as `FILE:<my-word>`".into(),
                });
            }
            vocabulary.insert(token.to_owned(), next);
            several.insert(next, embedding.vectors() as u32);
            next += embedding.vectors() as u32;
        }
        let mut tokens = added.tokens(&[START, END, &pad_token]);
        let words = embeddings.iter().map(Embedding::token);
        tokens.extend(words.map(|word| AddedToken::from(word, false)));
        let pairs = clip(
            vocabulary.into_iter().collect(),
            merges,
            [start, end],
            pad_token,
            tokens,
        )
        .map_err(|error| damaged(merges_path, error.to_string()))?;
        Ok(Self {
            pairs,
            end,
            pad,
            several,
            location: source.location(vocabulary_path),
        })
    }

    /// Returns the tokens of a prompt, with start and end, padded to `limit` (at least two). A longer prompt is cut before its end token, as by
    /// transformers with `truncation=True`; [`Tokenizer::excess`] has what is left out.
    ///
    /// # Errors
    /// [`Error::Weights`] when the tokenizer is damaged.
    pub fn encode(&self, prompt: &str, limit: usize) -> Result<Vec<u32>> {
        let encoding = self.pairs.encode_fast(prompt, true);
        let encoding = encoding.map_err(|error| self.fault(&*error))?;
        let all = encoding.get_ids().iter().flat_map(|id| self.each(*id));
        let mut tokens: Vec<u32> = all.take(limit + 1).collect();
        if tokens.len() > limit {
            tokens.truncate(limit.saturating_sub(1));
            tokens.push(self.end);
        }
        tokens.resize(limit, self.pad);
        Ok(tokens)
    }

    /// Returns what [`Tokenizer::encode`] leaves out of a prompt; `None` where it fits.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn excess(&self, prompt: &str, limit: usize) -> Result<Option<Excess>> {
        let encoding = self.pairs.encode(prompt, true);
        let encoding = encoding.map_err(|error| self.fault(&*error))?;
        let (mut tokens, mut first) = (0, None);
        for (id, (start, _)) in encoding.get_ids().iter().zip(encoding.get_offsets()) {
            tokens += self.each(*id).count();
            if tokens >= limit && first.is_none() {
                first = Some(*start);
            }
        }
        let text = || prompt.get(first?..).map(str::to_owned);
        Ok((tokens > limit).then(|| Excess {
            tokens,
            limit,
            text: text().unwrap_or_default(),
        }))
    }

    /// Returns the words of embeddings that a prompt does not have.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn absent_embeddings(&self, prompt: &str) -> Result<Vec<String>> {
        if self.several.is_empty() {
            return Ok(Vec::new());
        }
        let encoding = self.pairs.encode_fast(prompt, false);
        let encoding = encoding.map_err(|error| self.fault(&*error))?;
        let absent = self
            .several
            .keys()
            .filter(|id| !encoding.get_ids().contains(id));
        Ok(absent
            .filter_map(|id| self.pairs.id_to_token(*id))
            .collect())
    }

    /// Returns the tokens that a token stands for.
    fn each(&self, id: u32) -> std::ops::Range<u32> {
        id..id + self.several.get(&id).copied().unwrap_or(1)
    }

    fn fault(&self, error: &(dyn std::error::Error + Send + Sync)) -> Error {
        Error::Weights {
            path: self.location.clone(),
            kind: ErrorKind::WeightsDamaged,
            reason: format!("the prompt cannot be tokenized: {error}"),
            hint: "download the model again".into(),
        }
    }

    /// Returns how many tokens stand before the first end token: the start token and the words.
    pub fn words(&self, tokens: &[u32]) -> usize {
        let end = tokens.iter().position(|token| *token == self.end);
        end.unwrap_or(tokens.len())
    }
}

/// Builds the tokenizer with the steps of transformers' `CLIPTokenizer`, in its order. The padding token
/// is one that no word contains, also where it stands in a prompt: Stable Diffusion 2 pads with `!`.
fn clip(
    vocabulary: Vocab,
    merges: Merges,
    [start, end]: [u32; 2],
    pad: String,
    added: Vec<AddedToken>,
) -> tokenizers::Result<tokenizers::Tokenizer> {
    let pairs = BPE::builder()
        .vocab_and_merges(vocabulary, merges)
        .continuing_subword_prefix(String::new())
        .end_of_word_suffix(END_OF_WORD.into())
        .unk_token(END.into())
        .build()?;
    let mut tokenizer = tokenizers::Tokenizer::new(pairs);
    tokenizer.with_normalizer(Some(normalizers()?))?;
    tokenizer.with_pre_tokenizer(Some(Splits::new(vec![
        words()?.into(),
        ByteLevel::new(false, true, true).into(),
    ])));
    let marks = RobertaProcessing::new((END.into(), end), (START.into(), start));
    tokenizer.with_post_processor(Some(marks.trim_offsets(false).add_prefix_space(false)));
    let special = [START.to_owned(), END.to_owned(), pad];
    tokenizer.add_special_tokens(special.map(|mark| AddedToken::from(mark, true)))?;
    tokenizer.add_tokens(added)?;
    Ok(tokenizer)
}

/// The form in which a prompt is split: composed letters, single spaces, lower case.
fn normalizers() -> tokenizers::Result<Normalizers> {
    let spaces = Replace::new(ReplacePattern::Regex(r"\s+".into()), " ")?;
    Ok(Normalizers::new(vec![
        NFC.into(),
        spaces.into(),
        Lowercase.into(),
    ]))
}

/// Splits a prompt into words.
fn words() -> tokenizers::Result<Split> {
    Split::new(
        SplitPattern::Regex(WORDS.into()),
        SplitDelimiterBehavior::Removed,
        true,
    )
}

/// Returns the least number of tokens, with start and end, that a prompt has whatever the vocabulary is: one for each word.
pub fn least_tokens(prompt: &str) -> usize {
    let count = || -> tokenizers::Result<usize> {
        let mut text = NormalizedString::from(prompt);
        normalizers()?.normalize(&mut text)?;
        let mut splits = PreTokenizedString::from(text);
        words()?.pre_tokenize(&mut splits)?;
        let found = splits.get_splits(OffsetReferential::Normalized, OffsetType::Byte);
        Ok(found.len())
    };
    // The expressions are valid, so nothing fails.
    2 + count().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::{Dtype, TensorView, serialize};
    use serde_json::Value;

    use super::files::{WHOLE, parse_merges};
    use super::*;

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
    fn a_prompt_has_at_least_one_token_for_each_word() {
        for (prompt, least) in [
            ("", 2),
            ("  ", 2),
            ("A cat  on\na sofa", 7),
            ("it's 42 (loud)!?", 9),
            ("cafe\u{301}", 3),
            ("<|endoftext|>", 3),
        ] {
            assert_eq!(least_tokens(prompt), least, "{prompt:?}");
        }
        let tiny = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny");
        let source = Source::from_folder(tiny.as_ref()).expect("the fixture is a folder");
        let tokenizer = Tokenizer::load(&source).expect("the fixture has a tokenizer");
        for prompt in ["a cat, on a sofa: 1234", "l'\u{e9}t\u{e9} n'est pas fini"] {
            let encoding = tokenizer.pairs.encode(prompt, true).expect("a prompt");
            assert!(encoding.len() >= least_tokens(prompt), "{prompt}");
        }
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

    #[test]
    fn a_prompt_is_padded_or_cut_to_the_limit() {
        let tokenizer = Tokenizer::load(&Source::Demo).expect("the demo model has a tokenizer");
        let encode = |prompt, limit| tokenizer.encode(prompt, limit).expect("a valid tokenizer");
        let excess = |prompt, limit| tokenizer.excess(prompt, limit).expect("a valid tokenizer");
        let tokens = encode("a  CAT", 77);
        assert_eq!(tokens.len(), 77);
        assert_eq!(tokens, encode("a cat", 77));
        assert_eq!(excess("a cat", 77), None);
        let whole = tokenizer.words(&tokens) + 1;
        assert_eq!(excess("a cat", whole), None);
        let cut = encode("a cat", 3);
        assert_eq!(cut, [tokens[0], tokens[1], tokenizer.end]);
        let excess = excess("a cat", 3).expect("it is cut");
        assert_eq!(
            (excess.tokens, excess.limit, &*excess.text),
            (whole, 3, "cat")
        );
    }

    #[test]
    fn words_of_embeddings_stand_for_all_their_vectors() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let embedding = |name: &str, vectors: usize, word| {
            let path = folder.path().join(name);
            let bytes = 1f32.to_le_bytes().repeat(4 * vectors);
            let shape = vec![vectors, 4];
            let view = TensorView::new(Dtype::F32, shape, &bytes).expect("of this shape");
            let bytes = serialize([("emb_params", view)], None).expect("serialise");
            std::fs::write(&path, bytes).expect("write the file");
            Embedding::open(&path, word, 4).expect("an embedding")
        };
        let two = embedding("my-toy.safetensors", 2, None);
        let one = embedding("x.safetensors", 1, Some("<Z>"));
        let load = |embeddings: &[Embedding]| Tokenizer::load_with(&Source::Demo, embeddings, 5000);
        let tokenizer = load(&[two.clone(), one]).expect("new words");
        let plain = load(&[])
            .expect("no words")
            .encode("a cat", 8)
            .expect("tokens");
        let found = tokenizer.encode("a MY-toy cat <z>", 12).expect("tokens");
        let count = tokenizer.words(&plain);
        assert_eq!(found[..2], plain[..2]);
        assert_eq!(found[2..4], [5000, 5001]);
        assert_eq!(found[4..count + 2], plain[2..count]);
        assert_eq!(found[count + 2..count + 4], [5002, tokenizer.end]);
        for embeddings in [
            vec![embedding("a.safetensors", 1, None)],
            vec![two.clone(), two],
        ] {
            assert_eq!(
                load(&embeddings).expect_err("known").kind(),
                ErrorKind::Setting
            );
        }
    }
}
