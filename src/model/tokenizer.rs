//! The tokenizer of CLIP, with the same results as transformers' `CLIPTokenizer`. It is built from `vocab.json` and `merges.txt`, because
//! repositories of Stable Diffusion 1.5 have no `tokenizer.json`. Where they are missing, as in what transformers 5 writes, vocabulary and merges
//! are those of `tokenizer.json`.

mod added;
mod embedding_words;
mod files;
mod pipeline;

use tokenizers::AddedToken;

use super::embedding::Embedding;
use super::source::Source;
use crate::error::{Error, ErrorKind, Result};
use added::AddedTokens;
use embedding_words::EmbeddingWords;
use files::{Files, damaged, pad_token};
pub use pipeline::least_tokens;
use pipeline::{END, START, clip};

/// Converts prompts to tokens.
#[derive(Debug)]
pub struct Tokenizer {
    pairs: tokenizers::Tokenizer,
    end: u32,
    pad: u32,
    embeddings: EmbeddingWords,
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
        let words = EmbeddingWords::add_to(&mut vocabulary, embeddings, rows, |reason| {
            damaged(vocabulary_path, reason)
        })?;
        let mut tokens = added.tokens(&[START, END, &pad_token]);
        tokens.extend(
            embeddings
                .iter()
                .map(|embedding| AddedToken::from(embedding.token(), false)),
        );
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
            embeddings: words,
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
        let all = encoding
            .get_ids()
            .iter()
            .flat_map(|id| self.embeddings.each(*id));
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
            tokens += self.embeddings.each(*id).count();
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
        if self.embeddings.is_empty() {
            return Ok(Vec::new());
        }
        let encoding = self.pairs.encode_fast(prompt, false);
        let encoding = encoding.map_err(|error| self.fault(&*error))?;
        let absent = self.embeddings.absent(encoding.get_ids());
        Ok(absent.filter_map(|id| self.pairs.id_to_token(id)).collect())
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
