//! The words of embeddings (textual inversion). Each is one token of the vocabulary and stands for all vectors of its embedding.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use super::pipeline::END_OF_WORD;
use crate::error::{Error, Result};
use crate::model::embedding::Embedding;

/// The tokens of embeddings, each with the number of its vectors: it stands for itself and those that follow it.
#[derive(Debug, Default)]
pub(super) struct EmbeddingWords(BTreeMap<u32, u32>);

impl EmbeddingWords {
    /// Adds the words of embeddings to a vocabulary. Their vectors follow the `rows` of the text encoder's vocabulary.
    ///
    /// # Errors
    /// [`Error::Setting`] for a word that the vocabulary has already; what `damaged` makes of the reason if the vocabulary has more tokens
    /// than rows.
    pub(super) fn add_to(
        vocabulary: &mut HashMap<String, u32>,
        embeddings: &[Embedding],
        rows: usize,
        damaged: impl Fn(String) -> Error,
    ) -> Result<Self> {
        let last = vocabulary.values().max().copied().unwrap_or_default();
        if !embeddings.is_empty() && last as usize >= rows {
            return Err(damaged(format!(
                "it has the token {last}, the text encoder has {rows} tokens"
            )));
        }
        let mut words = BTreeMap::new();
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
            words.insert(next, embedding.vectors() as u32);
            next += embedding.vectors() as u32;
        }
        Ok(Self(words))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the tokens that a token stands for.
    pub(super) fn each(&self, id: u32) -> Range<u32> {
        id..id + self.0.get(&id).copied().unwrap_or(1)
    }

    /// Returns the words that are not among the tokens of a prompt.
    pub(super) fn absent(&self, prompt: &[u32]) -> impl Iterator<Item = u32> {
        self.0.keys().copied().filter(|id| !prompt.contains(id))
    }
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::{Dtype, TensorView, serialize};

    use super::*;
    use crate::error::ErrorKind;
    use crate::model::Tokenizer;
    use crate::model::source::Source;

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
