//! Files of a model as they really come: with byte order marks, as place holders of Git LFS, web pages and pickles, and VAEs on their own.

use std::path::{Path, PathBuf};

use super::command::bench;
use crate::bench::tiny::{SHORT, model};
use crate::bench::{Bench, Run, fixture};

/// Copies a folder and its direct subfolders.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Copies the tiny model into the bench.
pub(crate) fn own_model(bench: &Bench) -> PathBuf {
    let folder = bench.path("model");
    copy(&model(), &folder);
    folder
}

/// Returns a short edit with a model.
pub(crate) fn edit(bench: &Bench, model: &Path) -> Run {
    bench
        .dragnext([
            "edit",
            "in.png",
            "--drag",
            "drag.json",
            "-o",
            "out.png",
            "--overwrite",
        ])
        .args(SHORT)
        .arg("--no-cache")
        .arg("--model")
        .arg(model)
        .any_stderr()
        .any_stdout()
}

/// Returns the samples of the result of an edit.
pub(crate) fn samples(bench: &Bench, run: Run) -> Vec<u8> {
    run.run();
    image::open(bench.path("out.png")).unwrap().into_bytes()
}

#[test]
fn byte_order_marks_do_not_change_a_model() {
    let bench = bench();
    let expected = samples(&bench, edit(&bench, &model()));
    let own = own_model(&bench);
    let config = std::fs::read_to_string(own.join("unet/config.json")).unwrap();
    std::fs::write(own.join("unet/config.json"), format!("\u{feff}{config}")).unwrap();
    let tokens = std::fs::read_to_string(own.join("tokenizer/tokenizer_config.json")).unwrap();
    let wide: Vec<u8> = std::iter::once(0xFEFF)
        .chain(tokens.encode_utf16())
        .flat_map(u16::to_be_bytes)
        .collect();
    std::fs::write(own.join("tokenizer/tokenizer_config.json"), wide).unwrap();
    assert!(samples(&bench, edit(&bench, &own)) == expected);
}

#[test]
fn files_that_are_no_weights_are_named() {
    let bench = bench();
    let own = own_model(&bench);
    let weights = own.join("unet/diffusion_pytorch_model.safetensors");
    let cases: [(&[u8], &str, &str); 5] = [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3438167540\n",
            "a Git LFS pointer",
            "git lfs pull",
        ),
        (
            b"<!doctype html>\n<html><head>",
            "a web page",
            "download it again",
        ),
        (
            b"PK\x03\x04\0\0\x08\x08\0\0archive/data.pkl",
            "a pickle",
            "safetensors",
        ),
        (
            b"\x80\x02}q\x00X\n\x00\x00\x00state_dict",
            "a pickle",
            "safetensors",
        ),
        (&[0; 4096], "only zeros", "download it again"),
    ];
    for (bytes, what, hint) in cases {
        std::fs::write(&weights, bytes).unwrap();
        edit(&bench, &own)
            .ended()
            .assert(2)
            .stderr_has_all(&["diffusion_pytorch_model.safetensors: is ", what, hint])
            .stderr_lacks("header");
    }
    std::fs::write(&weights, b"RIFF....AVI LIST....").unwrap();
    edit(&bench, &own)
        .ended()
        .assert(2)
        .stderr_has("it is not a safetensors file")
        .stderr_lacks("bytes;");
}

/// transformers 5 writes `tokenizer.json` and `tokenizer_config.json` alone.
#[test]
fn a_tokenizer_in_one_file_gives_the_same_result() {
    let bench = bench();
    let with_prompt = |prompt: &str| {
        let with = format!("\"version\": 1, \"prompt\": \"{prompt}\"");
        let text = super::command::TRANSLATION.replacen("\"version\": 1", &with, 1);
        bench.write("drag.json", text);
    };
    with_prompt("a blue cat, isn't it?");
    let other = samples(&bench, edit(&bench, &model()));
    with_prompt("a red disc");
    let expected = samples(&bench, edit(&bench, &model()));
    assert!(expected != other, "the prompt is read");
    let own = own_model(&bench);
    for name in ["vocab.json", "merges.txt"] {
        std::fs::remove_file(own.join("tokenizer").join(name)).unwrap();
    }
    assert!(samples(&bench, edit(&bench, &own)) == expected);
    std::fs::remove_file(own.join("tokenizer/tokenizer.json")).unwrap();
    edit(&bench, &own)
        .ended()
        .assert(2)
        .stderr_has("tokenizer/vocab.json: no such file");
}

/// A download that did not end may leave zeros, and its header is right.
#[test]
fn weights_that_are_zeros_are_refused() {
    let bench = bench();
    for (component, file) in [
        ("unet", "diffusion_pytorch_model"),
        ("vae", "diffusion_pytorch_model"),
        ("text_encoder", "model"),
    ] {
        let own = own_model(&bench);
        let path = own.join(component).join(format!("{file}.safetensors"));
        let mut bytes = std::fs::read(&path).unwrap();
        // The last half.
        let half = bytes.len() / 2;
        bytes[half..].fill(0);
        std::fs::write(&path, bytes).unwrap();
        edit(&bench, &own).ended().assert(2).stderr_has_all(&[
            &format!("{component}/{file}.safetensors: "),
            "weights are zero everywhere, such as `",
            "get it again",
        ]);
    }
}

#[test]
fn a_scheduler_of_another_process_is_refused() {
    let bench = bench();
    let own = own_model(&bench);
    let path = own.join("scheduler/scheduler_config.json");
    let config = std::fs::read_to_string(&path).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    for (class, status) in [
        ("FlowMatchEulerDiscreteScheduler", 2),
        ("EDMEulerScheduler", 2),
        ("DPMSolverMultistepScheduler", 0),
        ("EulerAncestralDiscreteScheduler", 0),
    ] {
        config["_class_name"] = class.into();
        std::fs::write(&path, config.to_string()).unwrap();
        let ended = edit(&bench, &own).ended().assert(status);
        if status == 2 {
            ended.stderr_has_all(&["scheduler_config.json: `_class_name`", class]);
        }
    }
}

#[test]
fn a_folder_beside_the_models_is_told_where_the_model_is() {
    let bench = bench();
    copy(&model(), &bench.path("outer/model"));
    copy(&model(), &bench.path("models--a--b/snapshots/0"));
    for (given, hint) in [
        ("outer", "there is a model in `"),
        ("outer/model/unet", "give the folder above it"),
        ("models--a--b", "give the model's name, `a/b`"),
    ] {
        edit(&bench, &bench.path(given))
            .ended()
            .assert(2)
            .stderr_has(hint);
    }
    let unet = bench.path("outer/model/unet/diffusion_pytorch_model");
    std::fs::rename(
        unet.with_extension("safetensors"),
        unet.with_extension("non_ema.safetensors"),
    )
    .unwrap();
    edit(&bench, &bench.path("outer/model"))
        .ended()
        .assert(2)
        .stderr_has("non_ema.safetensors` is there; rename it");
}

/// A file of weights that is given for another kind is named, with the flag for it.
#[test]
fn weights_of_another_kind_are_named_with_their_flag() {
    let bench = bench();
    let adapter = |name: &str| fixture::path(&format!("adapters/{name}.safetensors"));
    let own = own_model(&bench);
    let unet = own.join("unet/diffusion_pytorch_model.safetensors");
    // Without the configuration beside it, the VAE is known by its tensors only.
    std::fs::copy(
        own.join("vae/diffusion_pytorch_model.safetensors"),
        bench.path("vae.safetensors"),
    )
    .unwrap();
    let vae = bench.path("vae.safetensors");
    let picture = bench.path("in.png");
    for (flag, file, parts) in [
        (
            "--style-lora",
            adapter("a1111"),
            [
                "an embedding of textual inversion, not a LoRA",
                "`--embedding`",
            ],
        ),
        (
            "--lora",
            adapter("learned_embeds"),
            ["not a LoRA", "`--embedding`"],
        ),
        (
            "--lora",
            unet.clone(),
            [
                "the UNet of a model in diffusers' layout, not a LoRA",
                "`--model`",
            ],
        ),
        (
            "--embedding",
            adapter("kohya"),
            ["is a LoRA, not an embedding", "`--style-lora`"],
        ),
        (
            "--embedding",
            vae.clone(),
            ["the VAE of a model", "`--vae`"],
        ),
        (
            "--vae",
            adapter("kohya"),
            ["is a LoRA, not a VAE", "`--style-lora`"],
        ),
        (
            "--vae",
            vae.clone(),
            ["in diffusers' layout, not a VAE", "`config.json`"],
        ),
        (
            "--model",
            adapter("a1111"),
            ["not a model", "`--embedding`"],
        ),
        (
            "--model",
            adapter("peft"),
            ["is a LoRA, not a model", "`--style-lora`"],
        ),
        ("--model", vae.clone(), ["the VAE of a model", "`--vae`"]),
        (
            "--model",
            unet.clone(),
            ["the UNet of a model", "folder with `--model`"],
        ),
        (
            "--lora",
            picture.clone(),
            ["is a picture (PNG)", "check which file was given"],
        ),
    ] {
        let run = bench.dragnext(["edit", "in.png", "--drag", "drag.json", "-o", "no.png"]);
        let run = if flag == "--model" {
            run
        } else {
            run.arg("--model").arg(model())
        };
        run.args(SHORT)
            .arg(flag)
            .arg(&file)
            .any_stderr()
            .any_stdout()
            .ended()
            .assert(2)
            .stderr_has_all(&parts);
    }
}

#[test]
fn a_vae_is_a_folder_of_its_own_or_one_of_a_model() {
    let bench = bench();
    let expected = samples(&bench, edit(&bench, &model()));
    copy(&model().join("vae"), &bench.path("published"));
    for vae in [bench.path("published"), model()] {
        let run = edit(&bench, &model()).arg("--vae").arg(&vae);
        assert!(samples(&bench, run) == expected, "{}", vae.display());
    }
    std::fs::remove_file(bench.path("published/diffusion_pytorch_model.safetensors")).unwrap();
    edit(&bench, &model())
        .args(["--vae", "published"])
        .ended()
        .assert(2)
        .stderr_has("published/diffusion_pytorch_model.safetensors: no such file");
}

#[test]
fn a_vae_of_another_family_is_refused() {
    let bench = bench();
    let own = own_model(&bench);
    let path = own.join("vae/config.json");
    let config = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, config.replace("0.18215", "0.13025")).unwrap();
    edit(&bench, &model())
        .args(["--vae", "model"])
        .ended()
        .assert(2)
        .stderr_has_all(&["0.13025 (that of SDXL)", "0.18215"]);
    // The model's own VAE has the factor of the model, whatever it is.
    edit(&bench, &own).run();
}
