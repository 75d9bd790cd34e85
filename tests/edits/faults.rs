//! Edits with faulty weights, LoRA files, configurations, values and devices. Each test first proves that its fault happened.

use std::path::{Path, PathBuf};

use crate::bench::fixture::path as fixture;
use crate::bench::{Bench, Ended, Run};

/// Returns a bench with a copy of the tiny model, which the test may damage.
fn model_bench() -> Bench {
    let bench = Bench::new();
    for part in ["unet", "vae", "text_encoder", "tokenizer", "scheduler"] {
        for entry in std::fs::read_dir(fixture("tiny").join(part)).unwrap() {
            let entry = entry.unwrap();
            let name = Path::new("model").join(part).join(entry.file_name());
            bench.write(name, std::fs::read(entry.path()).unwrap());
        }
    }
    bench
}

fn unet(bench: &Bench) -> PathBuf {
    bench.path("model/unet/diffusion_pytorch_model.safetensors")
}

/// Returns an edit of the fixtures' picture with this model and `drag`. It prints a record.
fn edit_with(bench: &Bench, drag: &Path) -> Run {
    bench
        .dragnext(["edit", "--json", "--model", "model", "-o", "out.png"])
        .arg(fixture("edit/input.png"))
        .arg("--drag")
        .arg(drag)
        .args(["--size", "80"])
        .any_stderr()
}

fn edit(bench: &Bench) -> Run {
    edit_with(bench, &fixture("edit/drag.json"))
}

/// Runs an edit that must fail with this status and kind and leave no file, and returns its messages.
fn fails(bench: &Bench, run: Run, status: i32, kind: &str) -> String {
    let Ended { record, stderr, .. } = run.status(status).any_stdout().run();
    assert_eq!(record.kind(), kind, "{record}");
    assert_eq!(bench.names(), ["model"]);
    stderr
}

#[test]
fn the_undamaged_model_works() {
    let bench = model_bench();
    let ended = edit(&bench).any_stdout().run();
    let (record, stderr) = (ended.record, ended.stderr);
    assert_eq!(record["status"], "done");
    assert!(!stderr.contains("failpoint"), "no failpoint is active");
    assert!(bench.path("out.png").is_file());
}

/// The file is truncated in its length field, its header and its values.
#[test]
fn truncated_weights_are_rejected() {
    let bench = model_bench();
    let whole = std::fs::read(unet(&bench)).unwrap();
    for length in [0, 1, 7, 8, 9, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(unet(&bench), &whole[..length]).unwrap();
        assert_eq!(
            std::fs::metadata(unet(&bench)).unwrap().len(),
            length as u64,
            "the file is cut"
        );
        let stderr = fails(&bench, edit(&bench), 2, "weights.damaged");
        assert!(
            stderr.contains("diffusion_pytorch_model.safetensors"),
            "{stderr}"
        );
    }
}

#[test]
fn a_header_length_beyond_the_file_is_rejected() {
    let bench = model_bench();
    let whole = std::fs::read(unet(&bench)).unwrap();
    for claim in [1u64 << 60, u64::MAX, whole.len() as u64] {
        let mut bytes = whole.clone();
        bytes[..8].copy_from_slice(&claim.to_le_bytes());
        std::fs::write(unet(&bench), bytes).unwrap();
        let stderr = fails(&bench, edit(&bench), 2, "weights.damaged");
        assert!(stderr.contains(&claim.to_string()), "{stderr}");
    }
}

/// Changes the header of a safetensors file and keeps its values.
fn rewrite_header(path: &Path, change: impl Fn(&mut serde_json::Map<String, serde_json::Value>)) {
    let bytes = std::fs::read(path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: serde_json::Map<_, _> = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    change(&mut header);
    let header = serde_json::to_vec(&header).unwrap();
    let mut changed = (header.len() as u64).to_le_bytes().to_vec();
    changed.extend(header);
    changed.extend(&bytes[8 + length..]);
    std::fs::write(path, changed).unwrap();
}

#[test]
fn overlapping_tensors_are_rejected() {
    let bench = model_bench();
    rewrite_header(&unet(&bench), |header| {
        let first = header["conv_in.bias"].clone();
        header["conv_out.bias"]["data_offsets"][0] = first["data_offsets"][0].clone();
    });
    let stderr = fails(&bench, edit(&bench), 2, "weights.damaged");
    assert!(stderr.contains("header is invalid"), "{stderr}");
}

/// Missing, unknown and misshapen tensors are reported together, with both shapes.
#[test]
fn all_mismatched_tensors_are_reported() {
    let bench = model_bench();
    rewrite_header(&unet(&bench), |header| {
        let bias = header.remove("conv_in.bias").unwrap();
        header.insert("conv_in.bais".into(), bias);
        let shape = header["conv_in.weight"]["shape"]
            .as_array()
            .unwrap()
            .clone();
        header["conv_in.weight"]["shape"] = shape.into_iter().rev().collect();
    });
    let stderr = fails(&bench, edit(&bench), 2, "weights.mismatch");
    for part in [
        "`conv_in.bias` [8] is missing",
        "`conv_in.bais` [8] is not part",
        "`conv_in.weight` is [3, 3, 4, 8], the configuration requires [8, 4, 3, 3]",
    ] {
        assert!(stderr.contains(part), "{part} is not in {stderr}");
    }
}

#[test]
fn weights_of_an_integer_type_are_rejected() {
    let bench = model_bench();
    rewrite_header(&unet(&bench), |header| {
        header["conv_in.bias"]["dtype"] = "I32".into();
    });
    let stderr = fails(&bench, edit(&bench), 2, "weights.mismatch");
    assert!(stderr.contains("`conv_in.bias` is I32"), "{stderr}");
}

#[test]
fn unsupported_configurations_are_rejected() {
    for (part, key, value) in [
        ("unet", "class_embed_type", "\"timestep\""),
        ("unet", "transformer_layers_per_block", "2"),
        ("unet", "norm_num_groups", "7"),
        ("scheduler", "prediction_type", "\"sample\""),
        ("text_encoder", "hidden_act", "\"gelu_new\""),
    ] {
        let bench = model_bench();
        let name = if part == "scheduler" {
            "scheduler_config.json"
        } else {
            "config.json"
        };
        let path = bench.path("model").join(part).join(name);
        let mut config: serde_json::Map<_, _> =
            serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        config.insert(key.into(), serde_json::from_str(value).unwrap());
        std::fs::write(&path, serde_json::to_vec(&config).unwrap()).unwrap();
        let stderr = fails(&bench, edit(&bench), 2, "weights.unsupported");
        assert!(
            stderr.contains(key) && stderr.contains(value.trim_matches('"')),
            "{stderr}"
        );
    }
}

/// Pickles can execute code, so they are never opened.
#[test]
fn pickles_are_rejected() {
    for name in ["model.ckpt", "model.pt", "model.bin"] {
        let bench = model_bench();
        let pickle = bench.path("model").join(name);
        std::fs::write(&pickle, b"\x80\x04.").unwrap();
        let stderr = fails(
            &bench,
            edit(&bench).arg("--lora").arg(&pickle),
            2,
            "weights.format",
        );
        assert!(
            stderr.contains("pickle") && stderr.contains(name),
            "{stderr}"
        );
    }
    let bench = model_bench();
    std::fs::rename(unet(&bench), unet(&bench).with_extension("bin")).unwrap();
    let stderr = fails(&bench, edit(&bench), 2, "weights.format");
    assert!(stderr.contains("diffusion_pytorch_model.bin"), "{stderr}");
}

/// The error names the stage and the step, and no picture is written.
#[cfg(feature = "failpoints")]
#[test]
fn a_value_that_is_not_finite_stops_the_edit() {
    for (place, expected) in [
        (
            "nan_in_unet",
            "invert, step 1: the noise prediction is not finite",
        ),
        ("nan_in_loss", "drag, step 1: the loss is not finite"),
        ("nan_in_decode", "decode, step 1: the picture is not finite"),
    ] {
        let bench = model_bench();
        let run = edit(&bench)
            .env("DRAGNEXT_FAILPOINTS", place)
            .stderr_has(format!("failpoint {place}"))
            .stderr_has(expected);
        fails(&bench, run, 1, "compute.not_finite");
    }
}

/// A panic gets a record and a message like other errors. `RUST_BACKTRACE` adds Rust's own message.
#[cfg(feature = "failpoints")]
#[test]
fn a_panic_is_reported_as_a_bug() {
    let bench = model_bench();
    let panicking = || edit(&bench).env("DRAGNEXT_FAILPOINTS", "panic_in_decode");
    let run = panicking()
        .stderr_has("failpoint panic_in_decode\n")
        .stderr_has("error: a bug in dragnext: failpoint panic_in_decode (src/pipeline/")
        .stderr_has("\n\nhint: please report this");
    let stderr = fails(&bench, run, 101, "bug");
    assert!(
        !stderr.contains("panicked") && !stderr.contains("thread"),
        "{stderr}"
    );

    let run = panicking()
        .env("RUST_BACKTRACE", "1")
        .stderr_has("panicked at")
        .stderr_has("stack backtrace");
    fails(&bench, run, 101, "bug");
}

/// A learning rate that is too large stops the edit. With `--keep-partial` the best latent so far is decoded, with a warning.
#[test]
fn a_diverging_drag_stops_the_edit() {
    let bench = model_bench();
    let diverging = [
        "--lr",
        "100",
        "--no-lora",
        "--strength",
        "0.1",
        "--timesteps",
        "2",
        "--iterations",
        "3",
    ];
    let stderr = fails(&bench, edit(&bench).args(diverging), 1, "compute.diverged");
    assert!(
        stderr.contains("drag, step 1: the latent diverged at a learning rate of 100")
            && stderr.contains("--keep-partial"),
        "{stderr}"
    );

    let record = edit(&bench)
        .args(diverging)
        .args(["--keep-partial", "true"])
        .record();
    assert!(record.warnings().contains(&"drag.diverged"), "{record}");
    assert!(image::open(bench.path("out.png")).is_ok());

    // The same edit with the default learning rate succeeds.
    edit(&bench)
        .args(&diverging[2..])
        .arg("--overwrite")
        .any_stdout()
        .run();
}

/// LoRA files in the formats of diffusers and peft are accepted. One of another model is rejected with the mismatched tensors.
#[test]
fn a_lora_of_another_model_is_rejected() {
    let brief = [
        "--strength",
        "0.04",
        "--timesteps",
        "1",
        "--iterations",
        "1",
    ];
    for file in [
        "lora_adapter.safetensors",
        "lora_attn_procs.safetensors",
        "lora_old.safetensors",
        "lora_peft.safetensors",
    ] {
        let bench = model_bench();
        edit(&bench)
            .args(brief)
            .arg("--lora")
            .arg(fixture(file))
            .any_stdout()
            .run();
    }
    let bench = model_bench();
    let run = edit(&bench)
        .args(brief)
        .arg("--lora")
        .arg(other_lora(&bench));
    let stderr = fails(&bench, run, 2, "lora.mismatch");
    assert!(
        stderr.contains("to_q") && stderr.contains("[4, 9]"),
        "{stderr}"
    );
}

/// Writes a LoRA file with peft's names whose first matrix has nine input channels; no layer of the tiny model has nine.
fn other_lora(bench: &Bench) -> PathBuf {
    let path = bench.path("model/other.safetensors");
    let name = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q";
    let numbers = vec![0_u8; 4 * 4 * 9];
    let view = |shape: Vec<usize>| {
        safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, &numbers).unwrap()
    };
    let tensors = [
        (format!("{name}.lora_A.weight"), view(vec![4, 9])),
        (format!("{name}.lora_B.weight"), view(vec![9, 4])),
    ];
    std::fs::write(&path, safetensors::serialize(tensors, None).unwrap()).unwrap();
    path
}

#[test]
fn half_precision_on_the_cpu_is_rejected() {
    for dtype in ["f16", "bf16"] {
        let bench = model_bench();
        let stderr = fails(
            &bench,
            edit(&bench).args(["--dtype", dtype]),
            2,
            "device.dtype",
        );
        assert!(stderr.contains("f32"), "{stderr}");
    }
}

#[test]
fn prompts_that_are_too_long_are_rejected() {
    let bench = model_bench();
    let mut drag: serde_json::Value =
        serde_json::from_slice(&std::fs::read(fixture("edit/drag.json")).unwrap()).unwrap();
    drag["prompt"] = "cat ".repeat(3000).into();
    for mask in ["moved.png", "turned.png", "editable.png"] {
        std::fs::copy(fixture("edit").join(mask), bench.path("model").join(mask)).unwrap();
    }
    let path = bench.path("model/drag.json");
    std::fs::write(&path, drag.to_string()).unwrap();
    let run = edit_with(&bench, &path).stderr_has("longer than 10000 characters");
    fails(&bench, run, 2, "instruction.prompt_too_long");
}
