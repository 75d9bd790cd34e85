//! LoRA files: what is written is read again, and what does not fit is named.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::bench::fixture;
use dragnext::Error;
use dragnext::interrupt::Interrupt;
use dragnext::kernels::cpu::Cpu;
use dragnext::model::UNet;
use dragnext::model::config::UNetConfig;
use dragnext::model::lora::{self, Lora, LoraFile};
use dragnext::model::unet::{AdapterPlace, Network};
use safetensors::tensor::{Dtype, TensorView, serialize};

/// A module with its sizes in the small model.
const Q: &str = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q";
/// Its channels.
const WIDTH: usize = 8;

fn places(rank: usize) -> Vec<AdapterPlace> {
    let source = fixture::source("tiny");
    let config = UNetConfig::read(&source).expect("the fixture is a model");
    UNet::load(&Cpu, &source, &config, &Interrupt::never())
        .expect("the fixture has weights")
        .attach_adapters(rank)
}

/// A tensor's name, in which `Q.` stands for that module, and shape.
type Entry<'a> = (&'a str, &'a [usize]);

/// A folder with a LoRA file of these tensors, all of ones.
struct Spoilt {
    folder: tempfile::TempDir,
    name: &'static str,
}

impl Spoilt {
    fn new(tensors: &[Entry]) -> Self {
        let owned: Vec<(String, &[usize], Vec<u8>)> = tensors
            .iter()
            .map(|(name, shape)| {
                (
                    name.replace("Q.", &format!("{Q}.")),
                    *shape,
                    1f32.to_le_bytes().repeat(shape.iter().product()),
                )
            })
            .collect();
        let views = owned.iter().map(|(name, shape, bytes)| {
            (
                name,
                TensorView::new(Dtype::F32, shape.to_vec(), bytes).expect("shapes fit"),
            )
        });
        let spoilt = Self {
            folder: tempfile::tempdir().expect("there is room for a folder"),
            name: "adapter_model.safetensors",
        };
        std::fs::write(
            spoilt.path(),
            serialize(views, None).expect("it can be serialised"),
        )
        .expect("it can be written");
        spoilt
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(self.name)
    }

    fn read(&self) -> Result<Lora, Error> {
        let file = LoraFile::open(&self.path())?;
        let places = places(file.rank());
        file.read(&places)
    }

    fn error(&self) -> Error {
        self.read().expect_err("the file was spoilt")
    }
}

#[test]
fn every_dialect_holds_the_same_numbers() {
    let places = places(4);
    let read = |name: &str| {
        let file = LoraFile::open(&fixture::path(name)).expect("the fixture is a LoRA");
        assert_eq!(file.rank(), 4);
        file.read(&places).expect("it fits the model").parameters
    };
    let expected = read("lora_peft.safetensors");
    for name in [
        "lora_adapter.safetensors",
        "lora_old.safetensors",
        "lora_attn_procs.safetensors",
    ] {
        assert_eq!(read(name), expected, "{name}");
    }
}

#[test]
fn what_is_written_is_read_again() {
    let places = places(4);
    let lora = LoraFile::open(&fixture::path("lora_peft.safetensors"))
        .expect("the fixture is a LoRA")
        .read(&places)
        .expect("it fits");
    let notes = BTreeMap::from([("steps".to_owned(), "70".to_owned())]);
    let bytes = lora::write(&places, &lora.parameters, &notes);
    assert_eq!(
        bytes,
        lora::write(&places, &lora.parameters, &notes),
        "the same numbers give the same bytes"
    );
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let path = folder.path().join("lora.safetensors");
    std::fs::write(&path, bytes).expect("it can be written");
    let file = LoraFile::open(&path).expect("it is a LoRA");
    assert_eq!(file.rank(), 4);
    let again = file.read(&places).expect("it fits the model");
    assert_eq!(again.parameters, lora.parameters);
    assert_eq!(again.absent, [] as [&str; 0]);
}

#[test]
#[allow(clippy::float_cmp, reason = "ones and zeros")]
fn absent_modules_are_zeros_and_are_told() {
    let lora = Spoilt::new(&[
        ("unet.Q.lora_A.weight", &[2, WIDTH]),
        ("unet.Q.lora_B.weight", &[WIDTH, 2]),
    ])
    .read()
    .expect("it fits");
    let places = places(2);
    assert_eq!(lora.absent.len(), places.len() - 1);
    assert!(!lora.absent.contains(&Q.to_owned()));
    for place in &places {
        let numbers = &lora.parameters[place.adapter.offset..][..place.len()];
        let expected = if place.name == Q { 1.0 } else { 0.0 };
        assert!(
            numbers.iter().all(|value| *value == expected),
            "{}",
            place.name
        );
    }
}

#[test]
fn alpha_scales_the_second_matrix() {
    let pair: [Entry; 2] = [
        ("Q.lora_A.weight", &[2, WIDTH]),
        ("Q.lora_B.weight", &[WIDTH, 2]),
    ];
    let values = |lora: Lora| (lora.parameters[0], lora.parameters[2 * WIDTH]);
    let alpha: Entry = ("Q.alpha", &[]);
    assert_eq!(
        values(
            Spoilt::new(&[pair[0], pair[1], alpha])
                .read()
                .expect("it fits")
        ),
        (1.0, 0.5)
    );
    // peft keeps it beside the file.
    let beside = Spoilt::new(&pair);
    std::fs::write(
        beside.folder.path().join("adapter_config.json"),
        r#"{"r": 2, "lora_alpha": 6}"#,
    )
    .expect("it can be written");
    assert_eq!(values(beside.read().expect("it fits")), (1.0, 3.0));
}

#[test]
fn what_does_not_fit_is_named_with_both_shapes() {
    let down: Entry = ("Q.lora_A.weight", &[2, WIDTH]);
    let up: Entry = ("Q.lora_B.weight", &[WIDTH, 2]);
    let other = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k.lora_A.weight";
    let cases: [(&[Entry], &str); 8] = [
        (
            &[("Q.lora_A.weight", &[2, 9]), up],
            "lora_A.weight` is [2, 9], the model asks for [2, 8]",
        ),
        (
            &[down, ("Q.lora_B.weight", &[WIDTH, 3])],
            "lora_B.weight` is [8, 3], the model asks for [8, 2]",
        ),
        (&[down], "has no other half"),
        (&[down, up, (other, &[3, 24])], "has no other half"),
        (
            &[down, up, ("unet.Q.lora.down.weight", &[2, WIDTH])],
            "are the same part of one adapter",
        ),
        (
            &[down, up, ("unet.mid_block.ff.net.2.lora_A.weight", &[2, 3])],
            "`unet.mid_block.ff.net.2.lora_A.weight` is no part",
        ),
        (
            &[
                ("unet.nowhere.to_q.lora_A.weight", &[2, 8]),
                ("unet.nowhere.to_q.lora_B.weight", &[8, 2]),
            ],
            "`unet.nowhere.to_q.lora_A.weight` [2, 8] has no place",
        ),
        (
            &[("Q.lora_A.weight", &[0, 8]), ("Q.lora_B.weight", &[8, 0])],
            "is [0, 8]",
        ),
    ];
    for (tensors, part) in cases {
        let error = Spoilt::new(tensors).error();
        assert_eq!(error.kind().name(), "lora.mismatch", "{error}");
        assert!(
            error.to_string().contains(part),
            "{error} does not say: {part}"
        );
    }
    let ranks: &[Entry] = &[
        down,
        up,
        (other, &[3, 24]),
        (&other.replace("lora_A", "lora_B"), &[16, 3]),
    ];
    let error = Spoilt::new(ranks).error();
    assert!(
        error.to_string().contains("is [3, 24], but") && error.to_string().contains("has rank 2"),
        "{error}"
    );
}

#[test]
fn other_adapters_and_formats_are_refused_by_name() {
    let kohya = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q.lora_down.weight";
    for (tensor, kind) in [
        (kohya, "kohya"),
        ("lora_unet_mid_block.hada_w1_a", "LoHa"),
        ("unet.Q.lora_magnitude_vector", "DoRA"),
    ] {
        let error = Spoilt::new(&[(tensor, &[2, 8])]).error();
        assert_eq!(error.kind().name(), "weights.unsupported", "{error}");
        assert!(error.to_string().contains(kind), "{error}");
    }
    let open = |path: &Path| LoraFile::open(path).expect_err("it is no LoRA file");
    assert_eq!(
        open(Path::new("pytorch_lora_weights.bin")).kind().name(),
        "weights.format"
    );
    assert_eq!(open(&fixture::path("tiny")).kind().name(), "weights.format");
    assert_eq!(open(Path::new("nowhere.safetensors")).kind().name(), "file");
    assert_eq!(
        open(&fixture::path("tokens.json")).kind().name(),
        "weights.damaged"
    );
}
