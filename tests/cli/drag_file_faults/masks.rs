//! Masks of every format and size.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::{DynamicImage, GrayImage, ImageBuffer, Luma, Rgba};

use super::{MOVE, Scene, file};

#[test]
fn masks_of_every_format() {
    let scene = Scene::new();
    let with = |mask: &str| {
        file(&MOVE.replace(
            "\"rect\": [20, 20, 60, 60]",
            &format!("\"mask\": \"{mask}\""),
        ))
    };
    let white = |x: u32, y: u32| (20..60).contains(&x) && (20..60).contains(&y);
    let save = |name: &str, picture: DynamicImage| picture.save(scene.path(name)).unwrap();
    save(
        "small.png",
        GrayImage::from_pixel(64, 48, Luma([255])).into(),
    );
    save("black.png", GrayImage::new(128, 96).into());
    save(
        "white.png",
        GrayImage::from_pixel(128, 96, Luma([255])).into(),
    );
    save(
        "sixteen.png",
        ImageBuffer::from_fn(128, 96, |x, y| {
            Luma([if white(x, y) { 0x8000_u16 } else { 0x7f00 }])
        })
        .into(),
    );
    save(
        "colour.png",
        ImageBuffer::from_fn(128, 96, |x, y| {
            Rgba([if white(x, y) { 255 } else { 0_u8 }; 4])
        })
        .into(),
    );
    palette(&scene.path("palette.png"), white);

    let (faults, stderr) = scene.faults(with("small.png"));
    assert_eq!(faults, ["mask.size /regions/0/region/mask 2:46"]);
    assert!(
        stderr.contains("is 64 x 48 pixels, the image is 128 x 96"),
        "{stderr}"
    );
    assert_eq!(
        scene.faults(with("black.png")).0,
        ["mask.empty /regions/0/region 2:36"]
    );
    assert_eq!(
        scene.faults(with("none.png")).0,
        ["mask.missing /regions/0/region/mask 2:46"]
    );
    let editable = file(MOVE).replace(
        "\"regions\"",
        "\"editable\": { \"mask\": \"black.png\" }, \"regions\"",
    );
    assert_eq!(scene.faults(editable).0, ["editable.empty /editable 1:29"]);
    for mask in ["sixteen.png", "colour.png", "palette.png"] {
        assert!(scene.warnings(with(mask)).0.is_empty(), "{mask}");
    }
    let (kinds, _) = scene.warnings(with("white.png"));
    assert_eq!(
        kinds,
        ["region.partly_leaves"],
        "all of the picture may be a region"
    );
}

/// A mask in the drag file is the same as that mask in a file, and each fault of it has its place.
#[test]
fn embedded_masks() {
    let scene = Scene::new();
    let white = |x: u32, y: u32| (20..60).contains(&x) && (20..60).contains(&y);
    palette(&scene.path("palette.png"), white);
    let with = |mask: &str| {
        file(&MOVE.replace(
            "\"rect\": [20, 20, 60, 60]",
            &format!("\"mask\": \"{mask}\""),
        ))
    };
    let url = |name: &str| {
        let bytes = std::fs::read(scene.path(name)).unwrap();
        format!("data:image/png;base64,{}", STANDARD.encode(bytes))
    };
    let regions = |content: String| scene.validate(content).record["regions"].clone();
    let embedded = with(&url("palette.png"));
    assert!(scene.warnings(&embedded).0.is_empty());
    assert_eq!(regions(embedded.clone()), regions(with("palette.png")));

    // Without the picture, the masks are read too.
    scene.0.write("drag.json", &embedded);
    let alone = ["validate", "drag.json", "--json"];
    assert_eq!(scene.dragnext(&alone).ended().status, Some(0));

    for name in ["small.png", "black.png"] {
        let side = if name == "small.png" { 64 } else { 128 };
        GrayImage::new(side, 96).save(scene.path(name)).unwrap();
    }
    let (faults, stderr) = scene.faults(with(&url("small.png")));
    assert_eq!(faults, ["mask.size /regions/0/region/mask 2:46"]);
    assert!(stderr.contains("is 64 x 96 pixels"), "{stderr}");
    let (faults, _) = scene.faults(with(&url("black.png")));
    assert_eq!(faults, ["mask.empty /regions/0/region 2:36"]);
    let cut = &url("palette.png")[..120];
    for text in [
        cut,
        "data:image/png;base64,%%%",
        "data:image/webp;base64,UklGRg==",
        "data:",
    ] {
        let (faults, stderr) = scene.faults(with(text));
        assert_eq!(faults, ["mask.decode /regions/0/region/mask 2:46"]);
        assert!(stderr.len() < 2000, "{stderr}");
    }
}

/// Writes a mask with a palette.
fn palette(path: &Path, white: impl Fn(u32, u32) -> bool) {
    let mut encoder = png::Encoder::new(std::fs::File::create(path).unwrap(), 128, 96);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_palette(vec![0, 0, 0, 255, 255, 255]);
    let pixels: Vec<u8> = (0..96)
        .flat_map(|y| (0..128).map(move |x| (x, y)))
        .map(|(x, y)| u8::from(white(x, y)))
        .collect();
    encoder
        .write_header()
        .unwrap()
        .write_image_data(&pixels)
        .unwrap();
}
