//! Faults of weights, of numbers and of devices, through the program: each test proves first that its fault happened.

use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// A copy of the tiny model that a test may break, and a place for the result.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for part in ["unet", "vae", "text_encoder", "tokenizer", "scheduler"] {
            let to = folder.path().join("model").join(part);
            std::fs::create_dir_all(&to).unwrap();
            for entry in std::fs::read_dir(fixture("tiny").join(part)).unwrap() {
                let entry = entry.unwrap();
                std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn unet(&self) -> PathBuf {
        self.path("model/unet/diffusion_pytorch_model.safetensors")
    }

    fn command(&self) -> Command {
        let mut command = Command::cargo_bin("dragnext").unwrap();
        command
            .env_clear()
            .env("HOME", self.folder.path())
            .env("DRAGNEXT_CACHE_LIMIT", "0")
            .current_dir(self.folder.path());
        command
            .arg("edit")
            .arg(fixture("edit/input.png"))
            .arg("--drag")
            .arg(fixture("edit/drag.json"));
        command
            .arg("--model")
            .arg(self.path("model"))
            .arg("-o")
            .arg(self.path("out.png"));
        command.args(["--size", "80"]);
        command
    }

    /// Runs the edit and checks that it failed as it should: status, kind, and nothing left behind.
    fn fails(&self, command: &mut Command, status: i32, kind: &str) -> String {
        let output = command.arg("--json").output().unwrap();
        let (stdout, stderr) = texts(&output);
        assert_eq!(output.status.code(), Some(status), "{stderr}");
        let record: serde_json::Value =
            serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"));
        assert_eq!(record["error"]["kind"], kind, "{record}");
        let left: Vec<_> = std::fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["model"], "nothing is left behind");
        stderr
    }
}

fn texts(output: &Output) -> (String, String) {
    (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn the_untouched_model_works() {
    let bench = Bench::new();
    let output = bench.command().arg("--json").output().unwrap();
    let (stdout, stderr) = texts(&output);
    assert!(output.status.success(), "{stderr}");
    let record: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(record["status"], "done");
    assert!(!stderr.contains("failpoint"), "no fault was asked for");
    assert!(bench.path("out.png").is_file());
}

/// A file cut anywhere: in its length, in its header, in its numbers.
#[test]
fn truncated_weights_are_named() {
    let bench = Bench::new();
    let whole = std::fs::read(bench.unet()).unwrap();
    for length in [0, 1, 7, 8, 9, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(bench.unet(), &whole[..length]).unwrap();
        assert_eq!(
            std::fs::metadata(bench.unet()).unwrap().len(),
            length as u64,
            "the file is cut"
        );
        let stderr = bench.fails(&mut bench.command(), 2, "weights.damaged");
        assert!(
            stderr.contains("diffusion_pytorch_model.safetensors"),
            "{stderr}"
        );
    }
}

#[test]
fn a_header_that_claims_too_much_is_refused() {
    let bench = Bench::new();
    let whole = std::fs::read(bench.unet()).unwrap();
    for claim in [1u64 << 60, u64::MAX, whole.len() as u64] {
        let mut bytes = whole.clone();
        bytes[..8].copy_from_slice(&claim.to_le_bytes());
        std::fs::write(bench.unet(), bytes).unwrap();
        let stderr = bench.fails(&mut bench.command(), 2, "weights.damaged");
        assert!(stderr.contains(&claim.to_string()), "{stderr}");
    }
}

/// Rewrites the header of the UNet's file; the numbers stay.
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
fn overlapping_tensors_are_refused() {
    let bench = Bench::new();
    rewrite_header(&bench.unet(), |header| {
        let first = header["conv_in.bias"].clone();
        header["conv_out.bias"]["data_offsets"][0] = first["data_offsets"][0].clone();
    });
    let stderr = bench.fails(&mut bench.command(), 2, "weights.damaged");
    assert!(stderr.contains("header is invalid"), "{stderr}");
}

/// Missing, extra and misshapen tensors are named all at once, with both shapes.
#[test]
fn tensors_that_do_not_fit_are_all_named() {
    let bench = Bench::new();
    rewrite_header(&bench.unet(), |header| {
        let bias = header.remove("conv_in.bias").unwrap();
        header.insert("conv_in.bais".into(), bias);
        let shape = header["conv_in.weight"]["shape"]
            .as_array()
            .unwrap()
            .clone();
        header["conv_in.weight"]["shape"] = shape.into_iter().rev().collect();
    });
    let stderr = bench.fails(&mut bench.command(), 2, "weights.mismatch");
    for part in [
        "`conv_in.bias` [8] is missing",
        "`conv_in.bais` [8] is not part",
        "`conv_in.weight` is [3, 3, 4, 8], the configuration requires [8, 4, 3, 3]",
    ] {
        assert!(stderr.contains(part), "{part} is not in {stderr}");
    }
}

#[test]
fn weights_of_another_type_are_refused() {
    let bench = Bench::new();
    rewrite_header(&bench.unet(), |header| {
        header["conv_in.bias"]["dtype"] = "I32".into()
    });
    let stderr = bench.fails(&mut bench.command(), 2, "weights.mismatch");
    assert!(stderr.contains("`conv_in.bias` is I32"), "{stderr}");
}

#[test]
fn unsupported_configurations_are_named() {
    for (part, key, value) in [
        ("unet", "class_embed_type", "\"timestep\""),
        ("unet", "transformer_layers_per_block", "2"),
        ("unet", "norm_num_groups", "7"),
        ("scheduler", "prediction_type", "\"v_prediction\""),
        ("text_encoder", "hidden_act", "\"gelu\""),
    ] {
        let bench = Bench::new();
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
        let stderr = bench.fails(&mut bench.command(), 2, "weights.unsupported");
        assert!(
            stderr.contains(key) && stderr.contains(value.trim_matches('"')),
            "{stderr}"
        );
    }
}

/// Pickles can run code; they are never opened, wherever they are given.
#[test]
fn pickles_are_refused() {
    for name in ["model.ckpt", "model.pt", "model.bin"] {
        let bench = Bench::new();
        let pickle = bench.path("model").join(name);
        std::fs::write(&pickle, b"\x80\x04.").unwrap();
        let stderr = bench.fails(
            bench.command().arg("--lora").arg(&pickle),
            2,
            "weights.format",
        );
        assert!(
            stderr.contains("pickle") && stderr.contains(name),
            "{stderr}"
        );
    }
    let bench = Bench::new();
    std::fs::rename(bench.unet(), bench.unet().with_extension("bin")).unwrap();
    let stderr = bench.fails(&mut bench.command(), 2, "weights.format");
    assert!(stderr.contains("diffusion_pytorch_model.bin"), "{stderr}");
}

/// Not a number, wherever it appears, stops the edit with stage and step; no picture is written.
#[cfg(feature = "failpoints")]
#[test]
fn not_a_number_stops_the_edit() {
    for (place, expected) in [
        (
            "nan_in_unet",
            "invert, step 1: the noise prediction is not finite",
        ),
        ("nan_in_loss", "drag, step 1: the loss is not finite"),
        ("nan_in_decode", "decode, step 1: the picture is not finite"),
    ] {
        let bench = Bench::new();
        let mut command = bench.command();
        let stderr = bench.fails(
            command.env("DRAGNEXT_FAILPOINTS", place),
            1,
            "compute.not_finite",
        );
        assert!(
            stderr.contains(&format!("failpoint {place}")),
            "the fault happened: {stderr}"
        );
        assert!(stderr.contains(expected), "{stderr}");
    }
}

/// A panic is a bug with a record and a message like those of other errors; Rust's own text comes when it is asked for.
#[cfg(feature = "failpoints")]
#[test]
fn a_panic_is_reported_as_a_bug() {
    let bench = Bench::new();
    let stderr = bench.fails(
        bench
            .command()
            .env("DRAGNEXT_FAILPOINTS", "panic_in_decode"),
        101,
        "bug",
    );
    assert!(
        stderr.contains("failpoint panic_in_decode\n"),
        "the fault happened: {stderr}"
    );
    assert!(
        stderr.contains("error: a bug in dragnext: failpoint panic_in_decode (src/pipeline/"),
        "{stderr}"
    );
    assert!(stderr.contains("\n\nhint: please report this"), "{stderr}");
    assert!(
        !stderr.contains("panicked") && !stderr.contains("thread"),
        "{stderr}"
    );

    let bench = Bench::new();
    let command = &mut bench.command();
    let stderr = bench.fails(
        command
            .env("DRAGNEXT_FAILPOINTS", "panic_in_decode")
            .env("RUST_BACKTRACE", "1"),
        101,
        "bug",
    );
    assert!(
        stderr.contains("panicked at") && stderr.contains("stack backtrace"),
        "{stderr}"
    );
}

/// A learning rate that throws the latent out of its range stops the edit; who asks for it gets the best there was, and is told.
#[test]
fn a_drag_that_diverges_is_stopped() {
    let bench = Bench::new();
    let lively = [
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
    let stderr = bench.fails(bench.command().args(lively), 1, "compute.diverged");
    assert!(
        stderr.contains("drag, step 1: the latent diverged at a learning rate of 100")
            && stderr.contains("--keep-partial"),
        "{stderr}"
    );

    let output = bench
        .command()
        .args(lively)
        .args(["--keep-partial", "true", "--json"])
        .output()
        .unwrap();
    let (stdout, stderr) = texts(&output);
    assert!(output.status.success(), "{stderr}");
    let record: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert!(
        record["warnings"]
            .as_array()
            .unwrap()
            .iter()
            .any(|warning| warning["kind"] == "drag.diverged"),
        "{record}"
    );
    assert!(image::open(bench.path("out.png")).is_ok());

    // At the method's own rate nothing diverges, so what stopped the edit was the rate.
    let mut calm = bench.command();
    calm.args(&lively[2..]).args(["--overwrite", "--quiet"]);
    assert!(calm.output().unwrap().status.success());
}

/// LoRA files as diffusers and peft write them are used; one of another model is refused with the tensors that do not fit.
#[test]
fn a_lora_of_another_model_is_named() {
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
        let bench = Bench::new();
        let output = bench
            .command()
            .args(brief)
            .arg("--lora")
            .arg(fixture(file))
            .output()
            .unwrap();
        assert!(output.status.success(), "{file}: {}", texts(&output).1);
    }
    let bench = Bench::new();
    let mut command = bench.command();
    let stderr = bench.fails(
        command.args(brief).arg("--lora").arg(other_lora(&bench)),
        2,
        "lora.mismatch",
    );
    assert!(
        stderr.contains("to_q") && stderr.contains("[4, 9]"),
        "{stderr}"
    );
}

/// A LoRA file in peft's names whose first matrix has nine input channels, which no layer of the tiny model has.
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
fn half_precision_on_the_cpu_is_refused() {
    for dtype in ["f16", "bf16"] {
        let bench = Bench::new();
        let stderr = bench.fails(bench.command().args(["--dtype", dtype]), 2, "device.dtype");
        assert!(stderr.contains("f32"), "{stderr}");
    }
}

#[test]
fn prompts_that_are_too_long_are_refused() {
    let bench = Bench::new();
    let mut drag: serde_json::Value =
        serde_json::from_slice(&std::fs::read(fixture("edit/drag.json")).unwrap()).unwrap();
    drag["prompt"] = "cat ".repeat(100).into();
    for mask in ["moved.png", "turned.png", "editable.png"] {
        std::fs::copy(fixture("edit").join(mask), bench.path("model").join(mask)).unwrap();
    }
    let path = bench.path("model/drag.json");
    std::fs::write(&path, drag.to_string()).unwrap();
    let mut command = Command::cargo_bin("dragnext").unwrap();
    command
        .env_clear()
        .arg("edit")
        .arg(fixture("edit/input.png"))
        .arg("--drag")
        .arg(path);
    command
        .arg("--model")
        .arg(bench.path("model"))
        .arg("-o")
        .arg(bench.path("out.png"))
        .args(["--size", "80"]);
    let stderr = bench.fails(&mut command, 2, "instruction.prompt_too_long");
    assert!(stderr.contains("the text encoder reads 77"), "{stderr}");
}
