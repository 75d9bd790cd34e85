//! The vocabulary of CLIP, which original checkpoints do not contain. It is built from CLIP's merges (`assets/clip`).

use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::{Map, Value};

/// The merges, one pair on each line.
const MERGES: &[u8] = include_bytes!("../../../assets/clip/merges.txt.gz");

/// Returns the content of `merges.txt`.
pub(super) fn merges() -> String {
    let mut text = String::new();
    GzDecoder::new(MERGES)
        .read_to_string(&mut text)
        .expect("the merges are compiled in");
    text
}

/// Returns the content of `vocab.json`: each byte, each byte at the end of a word, what each merge gives, and the two marks.
pub(super) fn vocab() -> String {
    let merges = merges();
    let bytes = letters();
    let ends = bytes.iter().map(|letter| format!("{letter}</w>"));
    let joined = merges.lines().map(|line| line.replace(' ', ""));
    let marks = ["<|startoftext|>", "<|endoftext|>"].map(str::to_owned);
    let words = bytes
        .iter()
        .map(ToString::to_string)
        .chain(ends)
        .chain(joined)
        .chain(marks);
    let entries: Map<String, Value> = words
        .enumerate()
        .map(|(id, word)| (word, id.into()))
        .collect();
    Value::Object(entries).to_string()
}

/// Returns the letter that stands for each byte, in the order of the vocabulary: the printable ones of Latin-1 stand for themselves, the others
/// for letters from U+0100 on.
fn letters() -> Vec<char> {
    let is_printable = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let others = (0..=u8::MAX).filter(|byte| !is_printable(byte)).count() as u32;
    let printable = (0..=u8::MAX).filter(is_printable).map(char::from);
    printable
        .chain((0..others).filter_map(|index| char::from_u32(0x100 + index)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vocabulary_is_that_of_clip() {
        let vocab: Map<String, Value> =
            serde_json::from_str(&vocab()).expect("it was just written");
        assert_eq!(vocab.len(), 49_408);
        // Ids of CLIP's tokenizer: its example prompt, and the ends of its parts.
        for (word, id) in [
            ("!", 0),
            ("!</w>", 256),
            ("in", 512),
            ("a</w>", 320),
            ("photo</w>", 1125),
            ("of</w>", 539),
            ("cat</w>", 2368),
            ("<|startoftext|>", 49_406),
            ("<|endoftext|>", 49_407),
        ] {
            assert_eq!(vocab[word], id, "{word}");
        }
    }
}
