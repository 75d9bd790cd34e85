//! `--backend` and `--device`: what computes an edit, and what its record says of it.

use super::command::bench;

#[test]
fn an_edit_with_candle_is_recorded_and_agrees() {
    let bench = bench();
    let mut edits = Vec::new();
    for (backend, dtype) in [("own", "f32"), ("candle", "f32"), ("candle", "bf16")] {
        let out = format!("{backend}-{dtype}.png");
        let arguments = ["in.png", "--drag", "drag.json", "--no-cache", "-o", &out];
        let chosen = ["--device", "cpu", "--backend", backend, "--dtype", dtype];
        let record = bench
            .shortest_edit(&[&arguments[..], &chosen[..]].concat())
            .run()
            .record;
        assert_eq!(
            [&record["device"], &record["backend"], &record["dtype"]],
            ["cpu", backend, dtype]
        );
        edits.push((record, image::open(bench.path(&out)).unwrap().into_rgba8()));
    }
    let [(own, expected), others @ ..] = &edits[..] else {
        panic!("three edits")
    };
    // Mean differences in levels. A rounding error that crosses an edge of the warp moves single pixels by more.
    for ((candle, edit), bound) in others.iter().zip([0.05, 1.0]) {
        assert_ne!(candle["job"], own["job"], "the pixels may differ");
        let differences = edit
            .iter()
            .zip(expected.iter())
            .map(|(a, b)| f64::from(a.abs_diff(*b)));
        let found = differences.sum::<f64>() / edit.len() as f64;
        assert!(found <= bound, "{} differs by {found}", candle["dtype"]);
    }
}

#[test]
fn a_backend_that_this_build_lacks_is_named() {
    let bench = bench();
    for (arguments, texts) in [
        (
            ["--device", "metal", "--backend", "own"],
            ["Apple GPUs", "--backend candle"],
        ),
        #[cfg(not(feature = "metal"))]
        (
            ["--device", "metal", "--backend", "auto"],
            ["metal cannot be used", "--features metal"],
        ),
        #[cfg(not(feature = "candle-cuda"))]
        (
            ["--device", "cuda:1", "--backend", "candle"],
            ["cuda:1 cannot be used", "--features candle-cuda"],
        ),
    ] {
        let edit = ["in.png", "--drag", "drag.json", "-o", "out.png"];
        let ended = bench
            .shortest_edit(&[&edit[..], &arguments[..]].concat())
            .status(2)
            .run();
        assert_eq!(ended.kind(), "device.none");
        ended.stderr_has_all(&texts);
    }
}
