//! Mask pictures.

use super::*;
use image::GrayImage;

#[test]
fn masks_are_read_from_the_folder_of_the_drag_file() {
    let folder = tempfile::tempdir().expect("a folder for the masks");
    let save = |name: &str, picture: GrayImage| {
        picture
            .save(folder.path().join(name))
            .expect("the mask is written");
    };
    save(
        "box.png",
        GrayImage::from_fn(256, 256, |x, y| {
            image::Luma([if (40..80).contains(&x) && (40..80).contains(&y) {
                255
            } else {
                0
            }])
        }),
    );
    save("black.png", GrayImage::new(256, 256));
    save("small.png", GrayImage::new(640, 480));
    std::fs::write(folder.path().join("text.png"), "no picture").expect("the file is written");
    let with = |name: &str| {
        box_from("[60, 60]", "[60, 90]").replace(
            "\"rect\": [40, 40, 80, 80]",
            &format!("\"mask\": \"{name}\""),
        )
    };

    let from_mask = plan_in(folder.path(), "", &[with("box.png")], SIZE).expect("a valid plan");
    assert_eq!(
        from_mask.regions[0].mask,
        plan(&[box_from("[60, 60]", "[60, 90]")]).regions[0].mask
    );
    for (name, expected) in [
        ("black.png", "mask.empty /regions/0/region"),
        ("small.png", "mask.size /regions/0/region/mask"),
        ("text.png", "mask.decode /regions/0/region/mask"),
        ("none.png", "mask.missing /regions/0/region/mask"),
        (".", "mask.missing /regions/0/region/mask"),
    ] {
        let Err(Error::Instruction { faults, .. }) =
            plan_in(folder.path(), "", &[with(name)], SIZE)
        else {
            panic!("{name} was taken")
        };
        assert_eq!(
            format!("{} {}", faults[0].kind, faults[0].pointer),
            expected,
            "{name}: {}",
            faults[0]
        );
    }
    let black = plan_in(
        folder.path(),
        "\"editable\": {\"mask\": \"black.png\"},",
        &[with("box.png")],
        SIZE,
    )
    .expect_err("black");
    assert_eq!(black.kind(), ErrorKind::EditableEmpty);
}

#[test]
fn masks_are_checked_without_an_image() {
    let folder = tempfile::tempdir().expect("a folder for the masks");
    let save = |name: &str, size: u32, grey: u8| {
        GrayImage::from_pixel(size, size, image::Luma([grey]))
            .save(folder.path().join(name))
            .expect("the mask is written");
    };
    save("white.png", 100, 255);
    save("other.png", 90, 255);
    save("black.png", 100, 0);
    std::fs::write(folder.path().join("text.png"), "no picture").expect("the file is written");
    let checked = |names: &[&str]| {
        let region = |name: &&str| {
            box_from("[60, 60]", "[60, 90]").replace(
                "\"rect\": [40, 40, 80, 80]",
                &format!("\"mask\": \"{name}\""),
            )
        };
        let regions: Vec<String> = names.iter().map(region).collect();
        match check_masks(
            &drag("\"editable\": {\"mask\": \"white.png\"},", &regions),
            &folder.path().join("drag.json"),
        ) {
            Err(Error::Instruction { faults, .. }) => faults
                .iter()
                .map(|fault| format!("{} {}", fault.kind, fault.pointer))
                .collect(),
            other => vec![format!("{other:?}")],
        }
    };
    assert_eq!(checked(&["white.png", "white.png"]), ["Ok(())"]);
    assert_eq!(
        checked(&[
            "white.png",
            "other.png",
            "black.png",
            "text.png",
            "none.png"
        ]),
        [
            "mask.size /regions/1/region/mask",
            "mask.empty /regions/2/region/mask",
            "mask.decode /regions/3/region/mask",
            "mask.missing /regions/4/region/mask"
        ]
    );
}
