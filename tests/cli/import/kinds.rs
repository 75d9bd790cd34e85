//! Every kind: what is imported is what the tools' own libraries say, and `validate` and `batch` accept it.

use dragnext::drag_file::{DragFile, Editable, Shape};
use dragnext::geometry::Size;
use dragnext::mask::Mask;
use serde_json::{Value, json};

use super::{drag, fixture, lines};
use crate::bench::Bench;

const SIZE: Size = Size::new(96, 80);

/// Imports the fixtures of a kind, checks that the drag files and the manifest can be used, and returns the lines of JSON.
fn imported(bench: &Bench, kind: &str, source: &str) -> Vec<Value> {
    let ended = bench
        .dragnext(["import", kind])
        .arg(fixture(source))
        .args(["-o", "out", "--json"])
        .any_stdout()
        .any_stderr()
        .run();
    let mut lines = lines(&ended);
    let summary = lines.pop().unwrap();
    assert_eq!(summary["summary"]["failed"], 0, "{summary}");
    for sample in &lines {
        let drag = format!("out/{}", sample["drag"].as_str().unwrap());
        let folder = drag.trim_end_matches("drag.json");
        let picture = ["png", "jpg"]
            .map(|extension| format!("{folder}image.{extension}"))
            .into_iter()
            .find(|path| bench.path(path).exists())
            .unwrap();
        bench
            .dragnext(["validate", &drag, "--image", &picture, "--model", "demo"])
            .any_stderr()
            .stdout_has(": ok, ")
            .run();
    }
    bench
        .dragnext([
            "batch",
            "--manifest",
            "out/manifest.jsonl",
            "-o",
            "edited",
            "--dry-run",
            "--model",
            "demo",
        ])
        .any_stderr()
        .stdout_has(match lines.len() {
            1 => "1 item, about".to_owned(),
            count => format!("{count} items, about"),
        })
        .run();
    lines
}

/// Returns the pixels of the regions of a drag file, and of its editable area.
fn areas(bench: &Bench, id: &str) -> (Vec<Mask>, Option<Mask>) {
    let path = bench.path(format!("out/{id}/drag.json"));
    let drag = DragFile::read(&path).unwrap();
    let mask = |shape: &Shape| match shape {
        Shape::Outline(outline) => outline.raster(SIZE),
        Shape::Mask { mask, .. } => {
            Mask::read(&path.with_file_name(mask.path().unwrap()), SIZE).unwrap()
        }
    };
    let regions = drag.regions.iter();
    let regions = regions
        .filter_map(|region| region.drag.shape().map(mask))
        .collect();
    let editable = match &drag.editable {
        Editable::Shape(shape) => Some(mask(shape)),
        Editable::Swept | Editable::Everything => None,
    };
    (regions, editable)
}

fn expected(name: &str) -> Mask {
    Mask::read(&fixture(&format!("expected/{name}.png")), SIZE).unwrap()
}

/// Returns the number of pixels that differ, and of those that differ although no neighbour does in the expected mask: away from its edge.
fn differing(found: &Mask, expected: &Mask) -> (usize, usize) {
    let outside = Mask {
        data: expected.data.iter().map(|inside| !inside).collect(),
        ..expected.clone()
    };
    let (grown, shrunk) = (expected.dilated(1), outside.dilated(1));
    let pixels = found.data.iter().zip(&expected.data);
    let differing: Vec<usize> = pixels
        .enumerate()
        .filter_map(|(index, (a, b))| (a != b).then_some(index))
        .collect();
    let far = differing
        .iter()
        .filter(|index| !(grown.data[**index] && shrunk.data[**index]));
    (differing.len(), far.count())
}

fn rectangle(left: usize, top: usize, right: usize, bottom: usize) -> Mask {
    Mask::from_fn(SIZE, |point| {
        (left as f64..right as f64).contains(&point.x)
            && (top as f64..bottom as f64).contains(&point.y)
    })
}

#[test]
fn dragbench_has_points_half_a_pixel_from_their_indices() {
    let bench = Bench::new();
    let samples = imported(&bench, "dragbench", "dragbench");
    let categories: Vec<&Value> = samples.iter().map(|sample| &sample["category"]).collect();
    assert_eq!(categories, ["animals", "art_work"]);
    for sample in &samples {
        let id = sample["id"].as_str().unwrap();
        let drag = drag(&bench, id);
        assert_eq!(
            drag["prompt"],
            format!("a photo of {}", sample["category"].as_str().unwrap())
        );
        assert_eq!(drag["regions"][0]["type"], "point");
        assert_eq!(drag["regions"][0]["handle"], json!([20.5, 30.5]));
        assert_eq!(drag["regions"][1]["target"], json!([40.5, 60.5]));
        assert_eq!(areas(&bench, id).1, Some(rectangle(10, 20, 70, 66)));
        assert_eq!(sample["choices"][0]["kind"], "import.type");
        assert!(
            drag["comment"].to_string().contains("each is a `point`"),
            "{drag}"
        );
    }
    let manifest = bench.text("out/manifest.jsonl");
    let first: Value = serde_json::from_str(manifest.lines().next().unwrap()).unwrap();
    assert_eq!(
        first,
        json!({
            "id": "animals/JH_2023-09-14-1820-16", "image": "animals/JH_2023-09-14-1820-16/image.png",
            "drag": "animals/JH_2023-09-14-1820-16/drag.json", "out": "animals/JH_2023-09-14-1820-16.png", "category": "animals"
        })
    );
    let picture = fixture("dragbench/animals/JH_2023-09-14-1820-16/original_image.png");
    assert_eq!(
        bench.read("out/animals/JH_2023-09-14-1820-16/image.png"),
        std::fs::read(picture).unwrap()
    );
}

#[test]
fn region_pairs_become_translations_and_affine_maps() {
    for (kind, id) in [("dragbench-dr", "animals/JH_1"), ("dragbench-sr", "art_0")] {
        let bench = Bench::new();
        imported(&bench, kind, kind);
        let drag = drag(&bench, id);
        let [first, second] = [&drag["regions"][0], &drag["regions"][1]];
        assert_eq!(
            (&first["type"], &second["type"]),
            (&json!("translation"), &json!("affine"))
        );
        assert_eq!(first["handle"], json!([20.0, 28.0]));
        assert_eq!(first["target"], json!([60.0, 28.0]));
        let (regions, editable) = areas(&bench, id);
        assert_eq!(
            regions,
            [rectangle(8, 16, 32, 40), rectangle(16, 48, 48, 72)]
        );
        assert_eq!((editable, &drag["editable"]), (None, &json!("everything")));
        assert_eq!(drag["x-points"], json!([[[16.5, 24.5], [56.5, 24.5]]]));
    }
    let bench = Bench::new();
    imported(&bench, "dragbench-sr", "dragbench-sr");
    assert_eq!(
        drag(&bench, "sde_1")["regions"][0]["target"],
        json!([50.5, 30.5])
    );
}

#[test]
fn drag100_and_nextbench_keep_their_regions_and_prompts() {
    let bench = Bench::new();
    let samples = imported(&bench, "drag100", "drag100");
    assert!(samples[0].get("category").is_none(), "{}", samples[0]);
    assert_eq!(areas(&bench, "vase").1, Some(rectangle(8, 8, 80, 70)));

    let bench = Bench::new();
    imported(&bench, "nextbench", "nextbench");
    let found = drag(&bench, "cup/hybrid");
    assert_eq!(found["prompt"], "turn the cup");
    let [turned, moved] = [&found["regions"][0], &found["regions"][1]];
    assert_eq!(
        (&turned["type"], &turned["center"]),
        (&json!("rotation"), &json!([60.5, 50.5]))
    );
    assert_eq!(
        (&turned["handle"], &turned["target"]),
        (&json!([66.5, 50.5]), &json!([62.5, 56.5]))
    );
    assert_eq!(
        (&moved["type"], &moved["handle"]),
        (&json!("translation"), &json!([20.5, 30.5]))
    );
    let (regions, editable) = areas(&bench, "cup/hybrid");
    assert_eq!(
        regions,
        [rectangle(50, 40, 70, 60), rectangle(10, 20, 30, 40)]
    );
    assert_eq!(editable, Some(rectangle(0, 0, 90, 70)));
}

#[test]
fn red_bench_keeps_types_and_anchors() {
    let bench = Bench::new();
    let samples = imported(&bench, "red-bench", "red-bench");
    let found = drag(&bench, "0001");
    let types: Vec<&Value> = found["regions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|region| &region["type"])
        .collect();
    assert_eq!(types, ["translation", "rotation", "deformation", "point"]);
    assert_eq!(found["regions"][0]["handle"], json!([20.0, 30.0]));
    assert_eq!(found["regions"][1]["center"], json!([60.5, 56.5]));
    assert_eq!(found["regions"][2]["anchor"], json!([72.5, 20.5]));
    assert_eq!(
        (&found["prompt"], &found["edit_prompt"]),
        (&json!("a table"), &json!("a table with a turned cup"))
    );
    assert_eq!(samples[0]["choices"][0]["kind"], "import.region");
    assert_eq!(areas(&bench, "0001").0[2], rectangle(74, 14, 88, 28));
}

/// labelme draws outlines about pixel centres and fills their edges, so its masks differ from the outline at the edge only.
#[test]
fn labelme_areas_are_those_of_labelme() {
    let bench = Bench::new();
    let samples = imported(&bench, "labelme", "labelme");
    assert_eq!(samples[0]["category"], "indoor");
    let found = drag(&bench, "cup");
    let types: Vec<&Value> = found["regions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|region| &region["type"])
        .collect();
    assert_eq!(
        types,
        ["translation", "rotation", "translation", "deformation"]
    );
    assert_eq!(found["regions"][1]["center"], json!([60.0, 62.0]));
    assert_eq!(found["regions"][2]["target"], json!([78.0, 30.0]));
    let (regions, editable) = areas(&bench, "cup");
    for (mask, name) in regions.iter().zip(["polygon", "rectangle", "circle"]) {
        let (count, far) = differing(mask, &expected(&format!("labelme-{name}")));
        assert!(
            count < 90 && far == 0,
            "{name}: {count} pixels differ, {far} away from the edge"
        );
    }
    assert_eq!(regions[3], expected("labelme-mask"), "a mask is exact");
    assert_eq!(editable, Some(rectangle(4, 4, 92, 76)));
    // The picture inside the file.
    assert_eq!(
        bench.read("out/inside/image.png"),
        bench.read("out/cup/image.png")
    );
}

/// Run lengths are exact; pycocotools fills polygons by another rule at their edges.
#[test]
fn coco_masks_are_those_of_pycocotools() {
    let bench = Bench::new();
    let ended = bench
        .dragnext(["import", "coco"])
        .arg(fixture("coco/instances.json"))
        .args(["-o", "out", "--move", "40,0", "--json"])
        .any_stdout()
        .any_stderr()
        .run();
    let samples = lines(&ended);
    assert_eq!(
        samples.len(),
        6,
        "five pictures with annotations and the summary"
    );
    for name in ["compressed", "uncompressed"] {
        assert_eq!(
            areas(&bench, name).0,
            [expected(&format!("coco-{name}"))],
            "{name}"
        );
    }
    for name in ["polygon", "parts"] {
        let (count, far) = differing(
            &areas(&bench, name).0[0],
            &expected(&format!("coco-{name}")),
        );
        assert!(
            count < 40 && far == 0,
            "{name}: {count} pixels differ, {far} away from the edge"
        );
    }
    assert_eq!(
        drag(&bench, "polygon")["regions"][0]["handle"],
        json!([20.5, 30.5])
    );
    let moved = &drag(&bench, "boxes")["regions"][0];
    assert_eq!(moved["region"], json!({ "rect": [10.0, 20.0, 30.0, 40.0] }));
    let x = |key: &str| moved[key][0].as_f64().unwrap();
    assert_eq!(x("target") - x("handle"), 40.0);
    assert!(moved["comment"].to_string().contains("`--move`"), "{moved}");
}

#[test]
fn via_files_of_every_form_are_the_same() {
    let bench = Bench::new();
    // Without `--overwrite`: the three say the same.
    for file in ["project.json", "old.json", "regions.csv"] {
        let ended = bench
            .dragnext(["import", "via"])
            .arg(fixture(&format!("via/{file}")))
            .args(["-o", "out", "--json"])
            .any_stdout()
            .any_stderr()
            .run();
        assert_eq!(lines(&ended)[0]["category"], "kitchen");
        let found = drag(&bench, "cup");
        let types: Vec<&Value> = found["regions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|region| &region["type"])
            .collect();
        assert_eq!(types, ["translation", "rotation", "scale"]);
        assert_eq!(
            (&found["prompt"], &found["regions"][1]["angle"]),
            (&json!("a cup"), &json!(30.0))
        );
        assert_eq!(found["regions"][2]["factor"], 1.3);
    }
}

#[test]
fn label_studio_joins_what_its_relations_join() {
    let bench = Bench::new();
    let samples = imported(&bench, "label-studio", "label-studio");
    assert_eq!(samples[0]["category"], "kitchen");
    let found = drag(&bench, samples[0]["id"].as_str().unwrap());
    let types: Vec<&Value> = found["regions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|region| &region["type"])
        .collect();
    assert_eq!(types, ["translation", "deformation", "rotation"]);
    assert_eq!(found["regions"][2]["angle"], 40.0);
    let close = |value: &Value, expected: [f64; 2]| {
        let found = [0, 1].map(|index| value[index].as_f64().unwrap());
        assert!(
            found
                .iter()
                .zip(expected)
                .all(|(a, b)| (a - b).abs() < 1e-9),
            "{value} is not {expected:?}"
        );
    };
    close(&found["regions"][0]["handle"], [22.0, 30.0]);
    close(&found["regions"][1]["target"], [76.0, 55.0]);
    let (regions, _) = areas(&bench, samples[0]["id"].as_str().unwrap());
    assert_eq!(regions[1], expected("label-studio-brush"));
}

#[test]
fn cvat_has_groups_masks_and_tags() {
    let bench = Bench::new();
    let samples = imported(&bench, "cvat", "cvat");
    assert_eq!(samples[0]["category"], "kitchen");
    let found = drag(&bench, "cup");
    assert_eq!(found["prompt"], "a cup");
    let types: Vec<&Value> = found["regions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|region| &region["type"])
        .collect();
    assert_eq!(types, ["translation", "deformation"]);
    let (regions, editable) = areas(&bench, "cup");
    assert_eq!(regions[1], expected("cvat-mask"));
    assert_eq!(editable, Some(rectangle(2, 2, 92, 76)));
}

/// A track is a drag of the frame that it first appears in, to where it is last seen.
#[test]
fn tracks_of_a_video_become_drags() {
    let bench = Bench::new();
    let samples = imported(&bench, "cvat", "cvat-video");
    let ids: Vec<&Value> = samples.iter().map(|sample| &sample["id"]).collect();
    assert_eq!(ids, ["frame_000003", "frame_000004"]);
    let found = drag(&bench, "frame_000003");
    let (cup, ear) = (&found["regions"][0], &found["regions"][1]);
    assert_eq!(
        (&cup["type"], &cup["handle"], &cup["target"], &cup["angle"]),
        (
            &json!("translation"),
            &json!([20.0, 20.0]),
            &json!([50.0, 28.0]),
            &json!(-30.0)
        )
    );
    assert_eq!(
        (&ear["type"], &ear["handle"], &ear["target"]),
        (
            &json!("deformation"),
            &json!([21.0, 60.0]),
            &json!([51.0, 60.0])
        )
    );
    assert_eq!(found["regions"].as_array().unwrap().len(), 2);
    let lid = drag(&bench, "frame_000004");
    assert_eq!(lid["regions"][0]["target"], json!([70.0, 38.0]));
}

/// `--list` names every kind, also as JSON.
#[test]
fn the_list_has_every_kind() {
    let bench = Bench::new();
    let ended = bench.dragnext(["import", "--list"]).any_stdout().run();
    for kind in dragnext::foreign::Kind::ALL {
        let line = format!("{kind}\n");
        assert!(ended.stdout.contains(&line), "{kind}");
    }
    let ended = bench.dragnext(["import", "--list", "--json"]).any_stdout();
    let list = ended.run().record;
    let kinds = list["kinds"].as_array().unwrap();
    let kinds: Vec<&str> = kinds
        .iter()
        .map(|kind| kind["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        dragnext::foreign::Kind::ALL.map(dragnext::foreign::Kind::name)
    );
}
