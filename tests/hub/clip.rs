//! The CLIP of methods that follow a text: fetched for a method that needs it, and not for others.

use crate::bench::Run;
use crate::bench::fixture::path as fixture;
use crate::hub_bench::{HubBench, MODEL};
use crate::server::COMMIT;

const CLIP: &str = "someone/clip";

/// Returns a bench whose hub has the files of a CLIP too, under every name.
fn bench() -> HubBench {
    let bench = HubBench::new();
    for entry in std::fs::read_dir(fixture("clip/model")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        bench
            .server
            .set(&name, Some(std::fs::read(entry.path()).unwrap()));
    }
    bench
}

/// Returns a very short edit with model and CLIP of the hub.
fn edit(bench: &HubBench) -> Run {
    let run = bench.command(&["edit", "--json", "-o", "out.png"]);
    run.arg(fixture("clip/edit/input.png"))
        .arg("--drag")
        .arg(fixture("clip/edit/drag.json"))
        .args(["--method", "clip-drag", "--model", MODEL, "--clip", CLIP])
        .args(["--size", "80", "--no-lora", "--strength", "0.04"])
        .args(["--iterations", "1"])
}

fn requests_for(bench: &HubBench, name: &str) -> usize {
    let log = bench.server.log();
    log.iter()
        .filter(|request| request.path.contains(name))
        .count()
}

#[test]
fn a_clip_is_fetched_for_the_method_that_needs_it() {
    let bench = bench();
    bench
        .run(&["fetch", MODEL, "--method", "pbsi", "--clip", CLIP])
        .assert(0);
    assert_eq!(requests_for(&bench, CLIP), 0, "pbsi needs no CLIP");
    let arguments = ["fetch", MODEL, "--method", "clip-drag", "--clip", CLIP];
    let fetched = bench.run(&arguments).assert(0);
    for name in [MODEL, CLIP] {
        assert!(
            fetched.stdout.contains(&format!("{name}@{COMMIT}\n")),
            "{fetched}"
        );
    }
    assert!(requests_for(&bench, CLIP) > 0);
    let folder = bench
        .path(".cache/huggingface/hub/models--someone--clip/snapshots")
        .join(COMMIT);
    let weights = std::fs::read(folder.join("model.safetensors")).unwrap();
    assert!(weights == bench.server.file("model.safetensors"));
    assert!(
        !folder.join("model_index.json").exists(),
        "only files of a CLIP"
    );

    bench.server.reset();
    let edited = edit(&bench).arg("--offline").ended();
    assert_eq!(edited.assert(0).record["status"], "done");
    assert_eq!(bench.server.log().len(), 0, "the cache is enough");
}

#[test]
fn an_edit_fetches_the_clip_that_it_needs() {
    let bench = bench();
    bench.fetch().assert(0);
    assert_eq!(requests_for(&bench, CLIP), 0);
    let edited = edit(&bench).ended();
    assert_eq!(edited.assert(0).record["status"], "done");
    assert!(requests_for(&bench, CLIP) > 0);
}

#[test]
fn a_clip_that_is_a_pickle_is_refused_with_a_way_to_convert_it() {
    let bench = bench();
    let weights = bench.server.file("model.safetensors");
    bench.server.set("model.safetensors", None);
    bench.server.set("pytorch_model.bin", Some(weights));
    let arguments = ["fetch", MODEL, "--method", "clip-drag", "--clip", CLIP];
    bench
        .run(&arguments)
        .assert(2)
        .stderr_has_all(&["model.safetensors", "save_pretrained"]);
}

#[test]
fn doctor_says_whether_the_default_clip_is_there() {
    let bench = bench();
    let name = "openai/clip-vit-large-patch14";
    let before = bench.run(&["doctor"]).assert(0).stdout;
    assert!(
        before.contains(&format!("{name} is not in the cache")),
        "{before}"
    );
    bench
        .run(&[
            "fetch",
            MODEL,
            "--method",
            "clip-drag",
            "--clip",
            &format!("{name}@{COMMIT}"),
        ])
        .assert(0);
    let after = bench.run(&["doctor"]).assert(0).stdout;
    assert!(
        after.contains(&format!("{name} is not in the cache")),
        "another commit: {after}"
    );
}
