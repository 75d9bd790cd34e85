//! LoRA files that are merged into the weights, and embeddings, against diffusers, peft, transformers and LyCORIS. `tests/peer/lora_fixtures.py` wrote the
//! files and their results.

use std::collections::BTreeMap;

use dragnext::interrupt::Interrupt;
use dragnext::kernels::cpu::Cpu;
use dragnext::model::Model;
use dragnext::model::lora::LoraFile;
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};

use super::Case;
use crate::bench::fixture::{self, Fixture, assert_close, path};

/// Largest accepted relative error.
const EXACT: f64 = 1e-5;
/// The weight of the files.
const WEIGHT: f64 = 0.8;

fn tiny() -> Model {
    let folder = path("tiny");
    Model::open(folder.to_str().expect("a path of letters"), None).expect("the fixture is a model")
}

fn with(model: Model, name: &str, weight: f64) -> Model {
    let file = path(&format!("adapters/{name}.safetensors"));
    model
        .with_style_lora(&file, weight)
        .expect("the fixture is a LoRA")
}

/// Returns the noise of the case `unet8`, and the hidden states of the prompts 1 and 2.
fn results(model: &Model) -> [Vec<f32>; 2] {
    let fixture = Fixture::open("parity.safetensors");
    let never = Interrupt::never();
    let unet = model.unet(&Cpu, &never).expect("the files fit");
    let (_, encoder) = model.text(&never).expect("the files fit");
    let ids = fixture.integers("text.ids");
    let hidden = ids.chunks_exact(77).skip(1).take(2).flat_map(|ids| {
        let tokens: Vec<u32> = ids.iter().map(|id| *id as u32).collect();
        let hidden = encoder.encode(&Cpu, &tokens);
        hidden.expect("tokens in the vocabulary").to_host()
    });
    [Case::read(&fixture, "unet8").noise(&unet), hidden.collect()]
}

fn assert_as_expected(name: &str, model: &Model) {
    let expected = Fixture::open("adapters/expected.safetensors");
    let [noise, hidden] = results(model);
    let noise_name = format!("{name}.noise");
    assert_close(
        &noise_name,
        &noise,
        &expected.picture(&noise_name).to_host(),
        EXACT,
    );
    let hidden_name = format!("{name}.hidden");
    assert_close(
        &hidden_name,
        &hidden,
        &expected.numbers(&hidden_name),
        EXACT,
    );
}

#[test]
fn without_files_the_model_is_itself() {
    assert_as_expected("none", &tiny());
}

#[test]
fn dialects_give_what_diffusers_gives() {
    for name in ["kohya", "peft", "former", "locon"] {
        assert_as_expected(name, &with(tiny(), name, WEIGHT));
    }
}

/// The files of kohya's form with the UNet's modules under their names in the original layout, as kohya's trainer and ComfyUI write them. diffusers gives
/// the same results for the linear layers with `load_lora_weights(.., unet_config=pipe.unet.config)`; of the convolutions it loses an upsampler.
#[test]
fn names_of_the_original_layout_give_the_same() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in ["kohya", "locon"] {
        for is_comfy in [false, true] {
            let file = folder.path().join(format!("{name}.safetensors"));
            std::fs::write(&file, in_original_layout(name, is_comfy)).expect("write the file");
            let model = tiny().with_style_lora(&file, WEIGHT).expect("a LoRA");
            assert_as_expected(name, &model);
        }
    }
}

/// Returns a fixture of kohya's form with the names of the original layout, which are those of diffusers' converter (`tests/peer/original_names.py`).
fn in_original_layout(name: &str, is_comfy: bool) -> Vec<u8> {
    let text = std::fs::read_to_string(path("original_names.json")).expect("the fixture is there");
    let names: BTreeMap<String, Vec<(String, String, Vec<usize>)>> =
        serde_json::from_str(&text).expect("the fixture has this form");
    // The modules as kohya names them, and in the original layout.
    let modules = |component: &str, prefix: &str| -> BTreeMap<String, String> {
        let module = |(original, converted, _): &(String, String, Vec<usize>)| {
            let original = original.strip_prefix(prefix)?.strip_suffix(".weight")?;
            let converted = converted.strip_suffix(".weight")?.replace('.', "_");
            Some((converted, original.to_owned()))
        };
        names[component].iter().filter_map(module).collect()
    };
    let unet = modules("unet", "model.diffusion_model.");
    let text = modules("text_encoder", "cond_stage_model.transformer.");
    let renamed = |tensor: &str| {
        let (module, part) = tensor.split_once('.').expect("a module and a part");
        if let Some(module) = module.strip_prefix("lora_unet_") {
            return if is_comfy {
                format!("diffusion_model.{}.{part}", unet[module])
            } else {
                format!("lora_unet_{}.{part}", unet[module].replace('.', "_"))
            };
        }
        match module.strip_prefix("lora_te_") {
            Some(module) if is_comfy => {
                format!("text_encoders.clip_l.transformer.{}.{part}", text[module])
            }
            _ => tensor.to_owned(),
        }
    };
    let bytes = std::fs::read(path(&format!("adapters/{name}.safetensors"))).expect("a fixture");
    let tensors = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let tensors = tensors.iter().map(|(tensor, view)| (renamed(tensor), view));
    serialize(tensors, None).expect("serialise")
}

/// The channels of the prompts tell Stable Diffusion XL from 1.x, where both have the same names.
#[test]
fn families_with_the_same_names_are_told_by_shape() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("xl.safetensors");
    let module = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k";
    for parts in [
        &[
            ("lora_down.weight", [2, 2048]),
            ("lora_up.weight", [640, 2]),
        ][..],
        &[
            ("hada_w1_a", [640, 2]),
            ("hada_w1_b", [2, 2048]),
            ("hada_w2_a", [640, 2]),
            ("hada_w2_b", [2, 2048]),
        ],
        &[("lokr_w1", [8, 8]), ("lokr_w2", [80, 256])],
        &[("diff", [640, 2048])],
    ] {
        let zeros: Vec<u8> = vec![0; 4 * 640 * 2048];
        let views = parts.iter().map(|(part, shape)| {
            let bytes = &zeros[..4 * shape[0] * shape[1]];
            let view = TensorView::new(Dtype::F32, shape.to_vec(), bytes);
            (
                format!("{module}.{part}"),
                view.expect("the data has this shape"),
            )
        });
        let bytes = serialize(views, None).expect("serialise");
        std::fs::write(&file, bytes).expect("write the file");
        let error = tiny().with_style_lora(&file, 1.0).expect_err("of SDXL");
        assert_eq!(error.kind().name(), "lora.mismatch");
        assert!(
            error
                .to_string()
                .contains("it was made for Stable Diffusion XL"),
            "{error}"
        );
    }
}

#[test]
fn several_files_add_up() {
    let model = with(with(tiny(), "kohya", WEIGHT), "locon", -0.5);
    assert_as_expected("both", &model);
}

#[test]
fn cores_products_and_differences_are_those_of_lycoris() {
    assert_as_expected("cores", &with(tiny(), "cores", WEIGHT));
}

#[test]
fn a_weight_of_zero_changes_nothing_but_the_digest() {
    let never = Interrupt::never();
    let digest = |model: &Model| {
        let unet = model.unet(&Cpu, &never).expect("the files fit");
        let (_, encoder) = model.text(&never).expect("the files fit");
        [unet.digest().to_owned(), encoder.digest().to_owned()]
    };
    let (plain, none) = (tiny(), with(tiny(), "kohya", 0.0));
    assert_eq!(results(&plain), results(&none));
    let (whole, half) = (with(tiny(), "kohya", 1.0), with(tiny(), "kohya", 0.5));
    let digests = [&plain, &none, &whole, &half].map(digest);
    for (index, digest) in digests.iter().enumerate() {
        for other in &digests[..index] {
            assert!(digest[0] != other[0] && digest[1] != other[1]);
        }
    }
}

/// A LoRA of attention projections alone gives the same, merged into the weights as they are read or attached as adapters.
#[test]
fn merged_and_attached_files_agree() {
    let file = path("lora_peft.safetensors");
    assert!(LoraFile::open(&file).expect("a LoRA").rank().is_some());
    let model = tiny().with_own_lora(&file).expect("a LoRA");
    let fixture = Fixture::open("parity.safetensors");
    let unet = model.unet(&Cpu, &Interrupt::never()).expect("it fits");
    let noise = Case::read(&fixture, "unet").noise(&unet);
    assert_close(
        "merged",
        &noise,
        &fixture.picture("lora.noise").to_host(),
        1e-4,
    );
}

#[test]
fn embeddings_are_those_of_transformers() {
    let expected = Fixture::open("adapters/expected.safetensors");
    let file = |name: &str| path(&format!("adapters/{name}.safetensors"));
    let model = tiny()
        .with_embedding(&file("a1111"), Some("my-style"))
        .and_then(|model| model.with_embedding(&file("learned_embeds"), None))
        .expect("the fixtures are embeddings");
    let (tokenizer, encoder) = model.text(&Interrupt::never()).expect("they fit");
    let tokens = tokenizer
        .encode("a my-style cat, <toy> on a sofa", 77)
        .expect("a short prompt");
    let ids: Vec<i64> = tokens.iter().map(|id| i64::from(*id)).collect();
    assert_eq!(ids, expected.integers("embedding.ids"));
    let hidden = encoder
        .encode(&Cpu, &tokens)
        .expect("known tokens")
        .to_host();
    assert_close(
        "embedding.hidden",
        &hidden,
        &expected.numbers("embedding.hidden"),
        EXACT,
    );
    let (_, plain) = tiny().text(&Interrupt::never()).expect("a model");
    assert_ne!(plain.digest(), encoder.digest());
    let fault = plain.encode(&Cpu, &tokens).expect_err("unknown tokens");
    assert_eq!(fault.kind().name(), "weights.mismatch");
}

#[test]
fn files_that_do_not_fit_are_named_with_their_tensors() {
    // `kohya` has layers that the demo model does not have, or of other sizes.
    let file = fixture::path("adapters/kohya.safetensors");
    let demo = Model::open("demo", None).expect("built in");
    let error = match demo.with_style_lora(&file, 1.0) {
        Err(error) => error,
        Ok(model) => model
            .unet(&Cpu, &Interrupt::never())
            .expect_err("other sizes"),
    };
    assert_eq!(error.kind().name(), "lora.mismatch");
    let error = tiny().with_style_lora(&file, 11.0).expect_err("too much");
    assert_eq!(error.kind().name(), "setting");
    let error = tiny()
        .with_style_lora(&file, f64::NAN)
        .expect_err("no number");
    assert_eq!(error.kind().name(), "setting");
}
