//! The steps of CLIP's tokenizer: the form of a prompt, its words, their byte pairs, and the marks around them.

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

/// The first token of every prompt.
pub(super) const START: &str = "<|startoftext|>";
/// The last token of every prompt, which also replaces unknown bytes.
pub(super) const END: &str = "<|endoftext|>";
/// The suffix of the last byte pair of a word.
pub(super) const END_OF_WORD: &str = "</w>";
/// The words of a prompt: marks, English contractions, letters, single digits, runs of anything else (`simple_tokenizer.py` of openai/CLIP).
const WORDS: &str =
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// Builds the tokenizer with the steps of transformers' `CLIPTokenizer`, in its order. The padding token
/// is one that no word contains, also where it stands in a prompt: Stable Diffusion 2 pads with `!`.
pub(super) fn clip(
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
    use super::*;
    use crate::model::Tokenizer;
    use crate::model::source::Source;

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
}
