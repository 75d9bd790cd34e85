//! What is refused before anything is converted or written, and where nothing is written to.

use std::fs;

use serde_json::json;

use super::{copied, fixture, import};
use crate::bench::Bench;

const FIRST: &str = "dragbench/animals/JH_2023-09-14-1820-16";

/// More shapes than a drag file can have are refused before any is drawn: the masks here would take gigabytes.
#[test]
fn more_shapes_than_a_drag_has_are_refused_at_once() {
    let bench = Bench::new();
    let picture = image::RgbImage::new(2000, 2000);
    fs::create_dir_all(bench.path("labelme")).unwrap();
    picture.save(bench.path("labelme/cup.png")).unwrap();
    let shapes: Vec<_> = (0..10_000)
        .map(|index| {
            let x = f64::from(index % 90);
            json!({"label": format!("s{index}"), "shape_type": "rectangle", "points": [[x, 1.0], [x + 5.0, 1900.0]]})
        })
        .collect();
    let file = json!({"shapes": shapes, "imagePath": "cup.png", "flags": {}});
    bench.write("labelme/cup.json", file.to_string());
    import(&bench, "labelme", &["--move", "4,0"])
        .status(2)
        .stderr_has("labelme/cup.json: has more than 128 drags for one picture")
        .stderr_has("hint: a drag file holds at most")
        .run();
}

/// What `batch` would refuse later is refused here, before anything is written.
#[test]
fn truncated_pictures_and_long_prompts_are_faults() {
    let bench = Bench::new();
    copied(&bench, "cvat");
    let jpeg = bench.read("cvat/cup.jpg");
    fs::write(bench.path("cvat/cup.jpg"), &jpeg[..jpeg.len() / 2]).unwrap();
    import(&bench, "cvat", &[])
        .status(2)
        .stderr_has("cvat/cup.jpg: ")
        .stderr_has("truncated")
        .run();
    let bench = Bench::new();
    copied(&bench, "via");
    fs::remove_file(bench.path("via/old.json")).unwrap();
    fs::remove_file(bench.path("via/regions.csv")).unwrap();
    let text = bench.text("via/project.json");
    bench.write(
        "via/project.json",
        text.replace("\"a cup\"", &format!("\"{}\"", "cup ".repeat(76))),
    );
    import(&bench, "via", &[])
        .status(2)
        .stderr_has("the prompt has 76 words; text encoders read at most 75")
        .run();
    assert!(!bench.path("out").exists());
}

/// Folders that a name could hide or lead elsewhere.
#[test]
fn names_and_links_stay_inside_the_output_folder() {
    let bench = Bench::new();
    copied(&bench, "dragbench");
    fs::rename(
        bench.path("dragbench/animals"),
        bench.path("dragbench/manifest.jsonl"),
    )
    .unwrap();
    let sample = bench.path("dragbench/art_work");
    let name = fs::read_dir(&sample)
        .unwrap()
        .flatten()
        .next()
        .unwrap()
        .path();
    fs::rename(name, sample.join(" ")).unwrap();
    import(&bench, "dragbench", &["-q"]).run();
    let manifest = bench.text("out/manifest.jsonl");
    assert!(
        manifest.contains("\"id\":\"manifest.jsonl_/JH_2023-09-14-1820-16\""),
        "{manifest}"
    );
    assert!(manifest.contains("\"id\":\"art_work/_\""), "{manifest}");

    #[cfg(unix)]
    {
        let bench = Bench::new();
        copied(&bench, "dragbench");
        fs::create_dir_all(bench.path("elsewhere")).unwrap();
        fs::create_dir_all(bench.path("out")).unwrap();
        std::os::unix::fs::symlink("../elsewhere", bench.path("out/animals")).unwrap();
        import(&bench, "dragbench", &[])
            .status(2)
            .any_stdout()
            .any_stderr()
            .run()
            .stderr_has("out/animals: is a symbolic link");
        assert_eq!(fs::read_dir(bench.path("elsewhere")).unwrap().count(), 0);
    }
}

/// A mask of nothing but NaN is damage. An empty one means that everything may change.
#[test]
fn a_mask_without_numbers_is_refused() {
    let bench = Bench::new();
    copied(&bench, "dragbench");
    fs::copy(
        fixture("damaged/nan-mask.pkl"),
        bench.path(format!("{FIRST}/meta_data.pkl")),
    )
    .unwrap();
    import(&bench, "dragbench", &[])
        .status(2)
        .stderr_has("`mask` has values that are not numbers (NaN)")
        .run();
}

/// Benchmarks of points are edited by a method for points, unless another is asked for.
#[test]
fn points_name_a_method_for_points() {
    let bench = Bench::new();
    copied(&bench, "dragbench");
    import(&bench, "dragbench", &[])
        .any_stdout()
        .stderr_has("the method `drag-diffusion` was chosen")
        .run();
    let drag = bench.text(format!("out/{}/drag.json", &FIRST["dragbench/".len()..]));
    assert!(drag.contains("\"method\": \"drag-diffusion\""), "{drag}");
}
