//! Other commands recognise what can be imported, and say so.

use super::{copied, fixture};
use crate::bench::Bench;

#[test]
fn a_foreign_drag_file_is_recognised() {
    for (path, title, command) in [
        (
            "labelme/cup.json",
            "labelme",
            "dragnext import labelme labelme/cup.json -o DIR",
        ),
        (
            "coco/instances.json",
            "COCO",
            "dragnext import coco coco/instances.json -o DIR",
        ),
        (
            "via/project.json",
            "VGG Image Annotator",
            "dragnext import via via/project.json -o DIR",
        ),
        (
            "via/old.json",
            "VGG Image Annotator",
            "dragnext import via via/old.json -o DIR",
        ),
        (
            "label-studio/tasks.json",
            "Label Studio",
            "dragnext import label-studio",
        ),
        (
            "cvat/annotations.xml",
            "CVAT",
            "dragnext import cvat cvat/annotations.xml -o DIR",
        ),
        (
            "red-bench/0001.json",
            "ReD Bench",
            "dragnext import red-bench red-bench/0001.json -o DIR",
        ),
        (
            "drag100/vase/points.json",
            "Drag100",
            "dragnext import drag100 drag100/vase -o DIR",
        ),
        (
            "nextbench/cup/hybrid/points.json",
            "NextBench",
            "dragnext import nextbench nextbench/cup/hybrid -o DIR",
        ),
        (
            "dragbench/art_work/JH_2023-09-15-0000-01/meta_data.pkl",
            "DragBench",
            "dragnext import dragbench",
        ),
        (
            "dragbench-dr/animals/JH_1/meta_data_region.pkl",
            "DragBench-DR",
            "dragnext import dragbench-dr",
        ),
    ] {
        let bench = Bench::new();
        copied(&bench, path.split('/').next().unwrap());
        bench
            .dragnext(["validate", path])
            .status(2)
            .stderr_has(format!("this is {title} data, not a drag file"))
            .stderr_has(format!("hint: `{command}"))
            .run();
        std::fs::copy(fixture("labelme/cup.png"), bench.path("in.png")).unwrap();
        bench
            .dragnext(["edit", "in.png", "--drag", path, "--model", "demo"])
            .status(2)
            .stderr_has(format!("`{command}"))
            .run();
        // As the picture.
        bench.write("drag.json", crate::bench::tiny::still(96, 80));
        bench
            .dragnext(["edit", path, "--drag", "drag.json", "--model", "demo"])
            .status(2)
            .stderr_has(format!("this is {title} data"))
            .run();
    }
}

#[test]
fn batch_recognises_folders_and_lists() {
    for (source, kind) in [
        ("dragbench", "dragbench"),
        ("dragbench-dr", "dragbench-dr"),
        ("dragbench-sr", "dragbench-sr"),
        ("drag100", "drag100"),
        ("nextbench", "nextbench"),
    ] {
        let bench = Bench::new();
        copied(&bench, source);
        bench
            .dragnext(["batch", source, "-o", "edited", "--model", "demo"])
            .status(2)
            .stderr_has("there is nothing to edit")
            .stderr_has(format!("`dragnext import {kind} {source} -o DIR`"))
            .run();
    }
    let bench = Bench::new();
    copied(&bench, "coco");
    bench
        .dragnext([
            "batch",
            "--manifest",
            "coco/instances.json",
            "-o",
            "edited",
            "--model",
            "demo",
        ])
        .status(2)
        .stderr_has("coco/instances.json: is not a manifest")
        .stderr_has("dragnext import coco coco/instances.json -o DIR")
        .run();
    copied(&bench, "labelme");
    bench
        .dragnext([
            "batch",
            "labelme",
            "-o",
            "edited",
            "--dry-run",
            "--model",
            "demo",
        ])
        .status(1)
        .any_stdout()
        .stderr_has("1 item")
        .run();
}
