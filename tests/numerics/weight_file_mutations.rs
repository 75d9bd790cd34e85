//! Mutations of the files that users bring: LoRA files, embeddings and checkpoints in one file. None makes the program panic, and each ends as a model or as an
//! error of bad input.
//!
//! `PROPTEST_CASES=10000 cargo test --release --features failpoints,cuda --test numerics weight_file_mutations -- --nocapture` tries 10^4 of each kind.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use dragnext::Error;
use dragnext::interrupt::Interrupt;
use dragnext::kernels::cpu::Cpu;
use dragnext::model::Model;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::bench::{fixture, report};

/// Replacements of a piece of the header.
const HOSTILE: &[&str] = &[
    "0",
    "-1",
    "1",
    "4",
    "18446744073709551615",
    "1e9",
    "null",
    "[]",
    "{}",
    "\"\"",
    "\"F16\"",
    "\"I64\"",
    "\"F8_E4M3\"",
    "[0]",
    "[1,1,1,1]",
    "lora_te_",
    "lora_unet_",
    "text_encoder.",
    "unet.",
    ".alpha",
    ".lora_mid.weight",
    ".hada_w1_a",
    ".lokr_w1",
    ".lokr_t2",
    ".diff",
    "emb_params",
    "model.diffusion_model.",
    "first_stage_model.",
    "\u{0}",
    "\\u0000",
    ",",
    "]",
];

/// A change of a file.
#[derive(Debug, Clone)]
enum Damage {
    /// A byte of the header or of the tensors.
    Byte { place: usize, byte: u8 },
    /// A piece of the header between two separators, after which its length is written anew.
    Piece { place: usize, by: &'static str },
    /// The end is cut off.
    Cut { place: usize },
    /// Four bytes of the tensors become a number.
    Number { place: usize, number: f32 },
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let length = bytes.len().max(1);
        match self {
            Self::Byte { place, byte } => {
                if let Some(found) = bytes.get_mut(place % length) {
                    *found = *byte;
                }
            }
            Self::Cut { place } => bytes.truncate(place % length),
            Self::Number { place, number } => {
                let start = (place % length) & !3;
                if let Some(found) = bytes.get_mut(start..start + 4) {
                    found.copy_from_slice(&number.to_le_bytes());
                }
            }
            Self::Piece { place, by } => replace(bytes, *place, by),
        }
    }
}

/// Replaces a piece of the header, and keeps its length right.
fn replace(bytes: &mut Vec<u8>, place: usize, by: &str) {
    let Some(length) = bytes
        .first_chunk()
        .map(|first| u64::from_le_bytes(*first) as usize)
    else {
        return;
    };
    let Some(header) = bytes.get(8..length.saturating_add(8)) else {
        return;
    };
    let is_separator = |byte: &u8| b"{}[]:,.\"_".contains(byte);
    let at = place % header.len().max(1);
    let start = header[..at]
        .iter()
        .rposition(is_separator)
        .map_or(0, |found| found + 1);
    let end = header[at..]
        .iter()
        .position(is_separator)
        .map_or(header.len(), |found| at + found);
    let header = [&header[..start], by.as_bytes(), &header[end.max(start)..]].concat();
    let mut changed = (header.len() as u64).to_le_bytes().to_vec();
    changed.extend(header);
    changed.extend(&bytes[8 + length..]);
    *bytes = changed;
}

fn damage() -> impl Strategy<Value = Damage> {
    let number = prop::sample::select(vec![f32::NAN, f32::INFINITY, 1e38, -1e38, 0.0, 1e-45]);
    prop_oneof![
        2 => (0_usize..4000, any::<u8>()).prop_map(|(place, byte)| Damage::Byte { place, byte }),
        6 => (any::<usize>(), prop::sample::select(HOSTILE.to_vec())).prop_map(|(place, by)| Damage::Piece { place, by }),
        1 => any::<usize>().prop_map(|place| Damage::Cut { place }),
        1 => (any::<usize>(), number).prop_map(|(place, number)| Damage::Number { place, number }),
    ]
}

/// Applies mutations to each of the seeds, and lets `judge` use the file.
fn mutate(what: &str, seeds: Vec<Vec<u8>>, judge: impl Fn(&Path) -> Result<(), Error>) {
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok());
    let cases = cases.unwrap_or(200);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("file.safetensors");
    for seed in &seeds {
        std::fs::write(&path, seed).expect("write the file");
        judge(&path).expect("the seed is valid");
    }
    let outcomes = std::cell::RefCell::new(BTreeMap::<String, usize>::new());
    let strategy = (
        prop::sample::select(seeds),
        prop::collection::vec(damage(), 1..4),
    );
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    });
    let run = runner.run(&strategy, |(mut bytes, damages)| {
        for damage in &damages {
            damage.apply(&mut bytes);
        }
        std::fs::write(&path, &bytes).expect("write the file");
        let outcome = match judge(&path) {
            Ok(()) => "taken".to_owned(),
            Err(error) => {
                prop_assert_eq!(error.exit_status(), 2, "{}", error);
                error.kind().name().to_owned()
            }
        };
        *outcomes.borrow_mut().entry(outcome).or_default() += 1;
        Ok(())
    });
    run.expect("every file ends as a model or as an error of bad input");
    let outcomes = outcomes.into_inner();
    report(&format!("{cases} {what}: {outcomes:?}"));
    assert!(
        outcomes.contains_key("taken") && outcomes.len() > 1,
        "{outcomes:?}"
    );
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(fixture::path(&format!("adapters/{name}.safetensors")))
        .expect("the fixture is there")
}

fn tiny() -> Model {
    let folder = fixture::path("tiny");
    Model::open(folder.to_str().expect("a path of letters"), None).expect("the fixture is a model")
}

#[test]
fn no_lora_file_causes_a_panic() {
    let seeds = ["kohya", "peft", "former", "locon", "cores"]
        .map(read)
        .to_vec();
    mutate("LoRA files", seeds, |path| {
        let model = tiny().with_style_lora(path, 1.0)?;
        model.unet(&Cpu, &Interrupt::never())?;
        model.text(&Interrupt::never()).map(|_| ())
    });
}

#[test]
fn no_embedding_causes_a_panic() {
    let seeds = ["a1111", "learned_embeds"].map(read).to_vec();
    mutate("embeddings", seeds, |path| {
        let model = tiny().with_embedding(path, None)?;
        let (tokenizer, encoder) = model.text(&Interrupt::never())?;
        let tokens = tokenizer.encode("a file <toy>", encoder.positions())?;
        encoder.encode(&Cpu, &tokens).map(|_| ())
    });
}

/// The tensors of the checkpoint are a hole in the file: only headers, and the configurations made from them, are tried.
#[test]
fn no_header_of_a_checkpoint_causes_a_panic() {
    let text = std::fs::read_to_string(fixture::path("original_names.json")).expect("it exists");
    let names: BTreeMap<String, Vec<(String, String, Vec<usize>)>> =
        serde_json::from_str(&text).expect("the fixture has this form");
    let (mut header, mut end) = (serde_json::Map::new(), 0);
    for (original, _, shape) in names.into_values().flatten() {
        let start = end;
        end += 4 * shape.iter().product::<usize>();
        let tensor =
            serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [start, end]});
        header.insert(original, tensor);
    }
    let header = serde_json::Value::Object(header).to_string();
    let mut seed = (header.len() as u64).to_le_bytes().to_vec();
    seed.extend(header.as_bytes());
    mutate("headers of checkpoints", vec![seed], |path| {
        let length = std::fs::metadata(path).expect("it was written").len();
        let file = File::options()
            .write(true)
            .open(path)
            .expect("it was written");
        file.set_len(length + end as u64).expect("a hole");
        let model = Model::open(path.to_str().expect("a path of letters"), None)?;
        model.configuration()?;
        model.excess(&"cat ".repeat(40)).map(|_| ())
    });
}
