//! LoRA files: all name formats, round trip, and errors that name what does not fit.

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

/// A module of the tiny model.
const Q: &str = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q";
/// The channels of the module.
const WIDTH: usize = 8;

fn places(rank: usize) -> Vec<AdapterPlace> {
    let source = fixture::source("tiny");
    let config = UNetConfig::read(&source).expect("the fixture is a model");
    UNet::load(&Cpu, &source, &config, &Interrupt::never())
        .expect("the fixture has weights")
        .attach_adapters(rank)
}

/// The name of a tensor, in which `Q.` stands for the module, and its shape.
type Entry<'a> = (&'a str, &'a [usize]);

/// A folder with a LoRA file whose values are all ones.
struct Ones {
    folder: tempfile::TempDir,
    name: &'static str,
}

impl Ones {
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
                TensorView::new(Dtype::F32, shape.to_vec(), bytes)
                    .expect("the data has this shape"),
            )
        });
        let ones = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
            name: "adapter_model.safetensors",
        };
        std::fs::write(ones.path(), serialize(views, None).expect("serialise"))
            .expect("write the file");
        ones
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(self.name)
    }

    fn read(&self) -> Result<Lora, Error> {
        let file = LoraFile::open(&self.path())?;
        let places = places(file.rank().unwrap_or(2));
        file.read(&places)
    }

    fn error(&self) -> Error {
        self.read().expect_err("an invalid LoRA")
    }
}

#[test]
fn every_name_format_gives_the_same_values() {
    let places = places(4);
    let read = |name: &str| {
        let file = LoraFile::open(&fixture::path(name)).expect("the fixture is a LoRA");
        assert_eq!(file.rank(), Some(4));
        file.read(&places)
            .expect("the LoRA fits the model")
            .parameters
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
fn written_adapters_are_read_back() {
    let places = places(4);
    let lora = LoraFile::open(&fixture::path("lora_peft.safetensors"))
        .expect("the fixture is a LoRA")
        .read(&places)
        .expect("the LoRA fits the model");
    let metadata = BTreeMap::from([("steps".to_owned(), "70".to_owned())]);
    let bytes = lora::write(&places, &lora.parameters, &metadata);
    assert_eq!(
        bytes,
        lora::write(&places, &lora.parameters, &metadata),
        "the same adapters give the same bytes"
    );
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("lora.safetensors");
    std::fs::write(&path, bytes).expect("write the file");
    let file = LoraFile::open(&path).expect("a LoRA file");
    assert_eq!(file.rank(), Some(4));
    let again = file.read(&places).expect("the LoRA fits the model");
    assert_eq!(again.parameters, lora.parameters);
    assert_eq!(again.absent, [] as [&str; 0]);
}

#[test]
#[allow(clippy::float_cmp, reason = "ones and zeros")]
fn absent_modules_are_listed_and_zero() {
    let lora = Ones::new(&[
        ("unet.Q.lora_A.weight", &[2, WIDTH]),
        ("unet.Q.lora_B.weight", &[WIDTH, 2]),
    ])
    .read()
    .expect("the LoRA fits the model");
    let places = places(2);
    assert_eq!(lora.absent.len(), places.len() - 1);
    assert!(!lora.absent.contains(&Q.to_owned()));
    for place in &places {
        let values = &lora.parameters[place.adapter.offset..][..place.len()];
        let expected = if place.name == Q { 1.0 } else { 0.0 };
        assert!(
            values.iter().all(|value| *value == expected),
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
            Ones::new(&[pair[0], pair[1], alpha])
                .read()
                .expect("the LoRA fits the model")
        ),
        (1.0, 0.5)
    );
    // peft stores alpha beside the file.
    let beside = Ones::new(&pair);
    std::fs::write(
        beside.folder.path().join("adapter_config.json"),
        r#"{"r": 2, "lora_alpha": 6}"#,
    )
    .expect("write the file");
    assert_eq!(
        values(beside.read().expect("the LoRA fits the model")),
        (1.0, 3.0)
    );
}

#[test]
fn tensors_that_do_not_fit_are_named_with_both_shapes() {
    let down: Entry = ("Q.lora_A.weight", &[2, WIDTH]);
    let up: Entry = ("Q.lora_B.weight", &[WIDTH, 2]);
    let other = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k.lora_A.weight";
    let cases: [(&[Entry], &str); 9] = [
        (
            &[("Q.lora_A.weight", &[2, 9]), up],
            "lora_A.weight` is [2, 9], the model requires [2, 8]",
        ),
        (
            &[down, ("Q.lora_B.weight", &[WIDTH, 3])],
            "lora_B.weight` is [8, 3], the model requires [8, 2]",
        ),
        (&[down], "has no counterpart"),
        (&[down, up, (other, &[3, 24])], "has no counterpart"),
        (
            &[down, up, ("unet.Q.lora.down.weight", &[2, WIDTH])],
            "are the same weight of one adapter",
        ),
        (
            &[down, up, ("unet.mid_block.ff.net.2.weight", &[2, 3])],
            "`unet.mid_block.ff.net.2.weight` is not a LoRA weight",
        ),
        (
            &[
                ("unet.nowhere.to_q.lora_A.weight", &[2, 8]),
                ("unet.nowhere.to_q.lora_B.weight", &[8, 2]),
            ],
            "`unet.nowhere.to_q.lora_A.weight` [2, 8] is not part of this model",
        ),
        (
            &[("Q.lora_A.weight", &[0, 8]), ("Q.lora_B.weight", &[8, 0])],
            "is [0, 8]",
        ),
        (
            &[down, up, ("Q.hada_w1_a", &[8, 2])],
            "are of several kinds of adapters",
        ),
    ];
    for (tensors, part) in cases {
        let error = Ones::new(tensors).error();
        assert_eq!(error.kind().name(), "lora.mismatch", "{error}");
        assert!(
            error.to_string().contains(part),
            "`{part}` is not in `{error}`"
        );
    }
}

/// Files that cannot be attached as adapters of one rank have to be merged.
#[test]
fn the_rank_is_that_of_adapters_alone() {
    let rank = |tensors: &[Entry]| {
        let ones = Ones::new(tensors);
        LoraFile::open(&ones.path()).expect("a LoRA").rank()
    };
    let down: Entry = ("unet.Q.lora_A.weight", &[2, WIDTH]);
    let up: Entry = ("unet.Q.lora_B.weight", &[WIDTH, 2]);
    let other = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k.lora_A.weight";
    let other_up = other.replace("lora_A", "lora_B");
    assert_eq!(rank(&[down, up]), Some(2));
    assert_eq!(
        rank(&[down, up, (other, &[3, 24]), (&other_up, &[16, 3])]),
        None
    );
    let text = "text_encoder.text_model.encoder.layers.0.mlp.fc1";
    let (text_down, text_up) = (
        format!("{text}.lora_A.weight"),
        format!("{text}.lora_B.weight"),
    );
    assert_eq!(
        rank(&[down, up, (&text_down, &[2, 8]), (&text_up, &[8, 2])]),
        None
    );
    assert_eq!(rank(&[("unet.Q.diff", &[8, 8])]), None);
}

#[test]
fn other_adapters_and_formats_are_rejected_by_name() {
    for (tensor, kind) in [
        ("lora_unet_label_emb_0_0.lora_down.weight", "XL"),
        (
            "lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_down.weight",
            "XL",
        ),
        (
            "transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight",
            "Flux",
        ),
        ("unet.Q.lora_magnitude_vector", "DoRA"),
        (
            "lora_unet_mid_block_attentions_0_proj_in.dora_scale",
            "DoRA",
        ),
    ] {
        let error = Ones::new(&[(tensor, &[2, 8])]).error();
        assert_eq!(error.kind().name(), "weights.unsupported", "{error}");
        assert!(error.to_string().contains(kind), "{error}");
    }
    let open = |path: &Path| LoraFile::open(path).expect_err("not a LoRA file");
    assert_eq!(
        open(Path::new("pytorch_lora_weights.bin")).kind().name(),
        "weights.format"
    );
    assert_eq!(open(&fixture::path("tiny")).kind().name(), "weights.format");
    assert_eq!(open(Path::new("nowhere.safetensors")).kind().name(), "file");
    assert_eq!(
        open(&fixture::path("tokens.json")).kind().name(),
        "weights.format"
    );
}
