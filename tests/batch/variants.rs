//! `--seeds` and `--methods`: edits each picture once with each seed, or with each method.

use crate::folder::{Folder, results};

/// Returns whether two pictures have the same pixels.
fn are_equal(folder: &Folder, one: &str, other: &str) -> bool {
    let status = folder
        .plain(&["compare", one, other, "--max-diff", "0"])
        .ended()
        .status;
    assert!(matches!(status, Some(0 | 1)), "they can be compared");
    status == Some(0)
}

#[test]
fn variants_have_different_seeds_and_one_lora() {
    let folder = Folder::new(2);
    folder
        .whole(&["--seeds", "4,6-7"])
        .assert(0)
        .stderr_has("6 items: 6 done");
    let variants = folder.results();
    let names: Vec<&String> = variants.keys().collect();
    assert_eq!(
        names,
        [
            "p0.seed-4.png",
            "p0.seed-6.png",
            "p0.seed-7.png",
            "p1.seed-4.png",
            "p1.seed-6.png",
            "p1.seed-7.png"
        ]
    );
    assert_eq!(folder.done()[..3], ["p0.seed-4", "p0.seed-6", "p0.seed-7"]);
    for (variant, seeds) in [
        ("p0.seed-4.png", &["--seed", "4"][..]),
        ("p1.seed-7.png", &["--seed", "7", "--lora-seed", "4"]),
    ] {
        let name = &variant[..2];
        let (image, drag) = (format!("in/{name}.png"), format!("in/{name}.json"));
        let single = [
            &[
                image.as_str(),
                "--drag",
                &drag,
                "-o",
                "single.png",
                "--overwrite",
            ],
            seeds,
        ]
        .concat();
        folder.dragnext("edit", &single).ended().assert(0);
        assert!(
            are_equal(&folder, "single.png", &format!("out/{variant}")),
            "{variant}"
        );
    }
    assert!(!are_equal(
        &folder,
        "out/p0.seed-4.png",
        "out/p0.seed-6.png"
    ));
    folder
        .whole(&["--seeds", "4,6-7"])
        .assert(0)
        .stderr_has("6 items: 6 done before");
    folder
        .whole(&["--seeds", "4,6-8"])
        .assert(0)
        .stderr_has("8 items: 2 done, 6 done before");
}

/// All variants of a picture but the first take the LoRA and the inversion from the cache.
#[test]
fn variants_share_lora_and_inversion() {
    let folder = Folder::new(1);
    folder
        .run(&["in", "-o", "plain", "--seeds", "1-3"])
        .assert(0);
    folder
        .batch(&["in", "-o", "out", "--seeds", "1-3"])
        .env("DRAGNEXT_CACHE_LIMIT", "100MB")
        .env("DRAGNEXT_CACHE", folder.path("cache"))
        .run();
    let cached: Vec<String> = folder
        .records()
        .iter()
        .map(|record| record["cached"].to_string())
        .collect();
    assert_eq!(
        cached[1..],
        [r#"["lora","invert"]"#, r#"["lora","invert"]"#],
        "{cached:?}"
    );
    assert!(
        folder.results() == results(&folder.path("plain")),
        "the bytes equal those without a cache"
    );
}

#[test]
fn the_manifest_of_a_dry_run_gives_the_same_variants() {
    let folder = Folder::new(1);
    let list = folder
        .whole(&["--seeds", "1,2", "--dry-run", "--json"])
        .assert(0)
        .stdout;
    assert!(
        list.lines().count() == 2
            && list.contains(r#""seed":2"#)
            && list.contains(r#""lora_seed":1"#),
        "{list}"
    );
    folder.write("in/list.jsonl", list);
    folder
        .run(&["--manifest", "in/list.jsonl", "-o", "listed"])
        .assert(0);
    folder.whole(&["--seeds", "1,2"]).assert(0);
    assert!(results(&folder.path("listed")) == folder.results());
}

#[test]
fn invalid_seeds_are_rejected() {
    let folder = Folder::new(1);
    folder
        .whole(&["--seeds", "1,a"])
        .assert(2)
        .stderr_has("expected at most 1000 different seeds, such as 1,2,5-8");
    // A single seed from the environment does not replace those of the list.
    folder
        .batch(&["in", "-o", "out", "--seeds", "1,2"])
        .env("DRAGNEXT_SEED", "9")
        .run();
    let seeds: Vec<u64> = folder
        .records()
        .iter()
        .map(|record| record["seed"].as_u64().unwrap())
        .collect();
    assert_eq!(seeds, [1, 2]);
}

/// Settings of one method do not keep the other from its results.
#[test]
fn variants_have_different_methods() {
    let folder = Folder::new(2);
    let methods = ["--methods", "pbsi,region-drag"];
    folder
        .whole(&methods)
        .assert(0)
        .stderr_has("4 items: 4 done");
    let variants = folder.results();
    let names: Vec<&String> = variants.keys().collect();
    assert_eq!(
        names,
        [
            "p0.methods.png",
            "p0.pbsi.png",
            "p0.region-drag.png",
            "p1.methods.png",
            "p1.pbsi.png",
            "p1.region-drag.png"
        ]
    );
    let records = folder.records();
    let used: Vec<&str> = records
        .iter()
        .map(|record| record["method"].as_str().unwrap())
        .collect();
    assert_eq!(used, ["pbsi", "region-drag", "pbsi", "region-drag"]);
    folder
        .whole(&methods)
        .assert(0)
        .stderr_has("4 items: 4 done before");
    // With seeds, every seed is edited with every method.
    let list = [&methods[..], &["--seeds", "1,2", "--dry-run", "--json"]].concat();
    let list = folder.whole(&list).assert(0).stdout;
    assert_eq!(list.lines().count(), 8, "{list}");
    for expected in [
        r#""id":"p0.seed-2.region-drag""#,
        r#""method":"region-drag""#,
    ] {
        assert!(list.contains(expected), "{list}");
    }
    folder
        .whole(&["--methods", "pbsi,pbsi"])
        .assert(2)
        .stderr_has("method: `pbsi` is given twice");
}

/// A sheet is drawn once all results of its picture are there, by whichever run ends last, and again when one of them changes. It replaces no file but a sheet.
#[test]
fn every_picture_has_a_contact_sheet_of_its_methods() {
    let folder = Folder::new(2);
    let methods = ["--methods", "pbsi,region-drag"];
    let with = |more: &[&str]| folder.whole(&[&methods[..], more].concat());
    let sheet = |picture: &str| folder.path("out").join(format!("{picture}.methods.png"));
    let bytes = |picture: &str| std::fs::read(sheet(picture)).unwrap();
    // Items 0 and 2 belong to the first shard: one result of each picture.
    with(&["--shard", "0/2"]).assert(0);
    assert!(!sheet("p0").exists() && !sheet("p1").exists());
    with(&["--shard", "1/2"]).assert(0);
    let drawn = [bytes("p0"), bytes("p1")];
    let size = image::open(sheet("p0")).unwrap();
    let single = image::open(folder.path("out").join("p0.region-drag.png")).unwrap();
    assert!(size.width() > 3 * single.width() && size.height() > single.height());

    // A missing sheet is drawn even when nothing is to be edited, and another file in its place is left alone.
    std::fs::remove_file(sheet("p0")).unwrap();
    std::fs::write(sheet("p1"), "mine").unwrap();
    with(&[]).assert(0).stderr_has("4 items: 4 done before");
    assert!(bytes("p0") == drawn[0] && bytes("p1") == b"mine");
    with(&["--redo", "p1.region-drag"])
        .assert(0)
        .stderr_has("no contact sheet");
    assert!(bytes("p1") == b"mine");
    // Another seed gives other results of region-drag, and so another sheet.
    with(&["--seed", "5"]).assert(0);
    assert!(bytes("p0") != drawn[0]);

    // A method that fails is shown as such: region-drag needs a level above the executed ones.
    folder
        .run(&[&["in", "-o", "other", "--steps", "1"], &methods[..]].concat())
        .assert(1);
    let failed = image::open(folder.path("other").join("p0.methods.png")).unwrap();
    let reds = failed.into_rgb8();
    assert!(reds.pixels().any(|pixel| pixel.0 == [190, 24, 24]));
    // One method alone has nothing to be compared with.
    folder
        .run(&["in", "-o", "one", "--methods", "pbsi"])
        .assert(0);
    assert_eq!(results(&folder.path("one")).len(), 2);
}
