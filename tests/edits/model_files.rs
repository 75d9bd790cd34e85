//! Files of a model as they really come: with byte order marks, as place holders of Git LFS, web pages and pickles, and VAEs on their own.

use std::path::{Path, PathBuf};

use super::command::bench;
use crate::bench::tiny::{SHORT, model};
use crate::bench::{Bench, Run};

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
