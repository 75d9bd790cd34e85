//! Marks, arcs, masks, names and veils at their places.

use image::{GrayImage, Luma, Rgb, RgbImage};

use super::{TRANSLATION, count, drag_file, is_blue, is_green, is_red, picture, preview, under};
use crate::bench::Bench;

/// At every size and aspect ratio, handle, target and centre are drawn at their points, the area that cannot change is veiled, and
/// the rest keeps its pixels.
#[test]
fn marks_are_drawn_at_their_points_at_any_size() {
    for (width, height) in [
        (64, 64),
        (256, 256),
        (1024, 768),
        (600, 1024),
        (4000, 3000),
        (2400, 200),
        (90, 1500),
        (5000, 700),
    ] {
        let bench = Bench::new();
        let before = picture(&bench, "in.png", width, height);
        let side = f64::from(width.min(height));
        let at = |x: f64, y: f64| [(x * side).round(), (y * side).round()];
        let (center, handle, target) = (at(0.4, 0.4), at(0.6, 0.4), at(0.4, 0.6));
        let regions = format!(
            r#"{{ "type": "rotation", "region": {{ "rect": [{0}, {0}, {1}, {1}] }}, "center": {center:?}, "handle": {handle:?}, "target": {target:?} }}"#,
            (side * 0.2).round(),
            (side * 0.65).round()
        );
        let editable = format!(r#""editable": {{ "rect": [0, 0, {side}, {side}] }},"#);
        let look = preview(&bench, "in.png", &drag_file(&editable, &regions));

        assert!(
            look.width() >= 128 && look.width().max(look.height()) <= 4096 + 600,
            "{width} x {height} is {:?}",
            look.dimensions()
        );
        assert!(
            is_red(under(&look, width, handle)),
            "handle of {width} x {height}"
        );
        assert!(
            is_blue(under(&look, width, target)),
            "target of {width} x {height}"
        );
        assert!(
            is_green(under(&look, width, center)),
            "centre of {width} x {height}"
        );
        let calm = at(0.93, 0.06);
        if width <= 4096 && look.width() >= width {
            assert_eq!(
                under(&look, width, calm),
                *before.get_pixel(calm[0] as u32, calm[1] as u32),
                "{width} x {height} keeps what may change"
            );
        }
        if width != height {
            let far = [f64::from(width) - 4.0, f64::from(height) - 4.0];
            let (veiled, original) = (
                under(&look, width, far),
                before.get_pixel(far[0] as u32, far[1] as u32),
            );
            assert!(
                original.0[0] - veiled.0[0] > 20,
                "{width} x {height} is veiled: {original:?} became {veiled:?}"
            );
        }
    }
}

#[test]
fn nothing_is_veiled_when_everything_may_change() {
    let bench = Bench::new();
    let before = picture(&bench, "in.png", 256, 256);
    let look = preview(
        &bench,
        "in.png",
        &drag_file(r#""editable": "everything","#, TRANSLATION),
    );
    for corner in [[2.0, 250.0], [250.0, 250.0], [250.0, 5.0], [200.0, 130.0]] {
        assert_eq!(
            under(&look, 256, corner),
            *before.get_pixel(corner[0] as u32, corner[1] as u32)
        );
    }
    let veiled = preview(&bench, "in.png", &drag_file("", TRANSLATION));
    assert!(
        veiled.dimensions() == look.dimensions()
            && under(&veiled, 256, [250.0, 250.0]) != under(&look, 256, [250.0, 250.0])
    );
    // Stripes colour some of the pixels on a line through them.
    let warmth = |pixel: Rgb<u8>| i32::from(pixel.0[0]) - i32::from(pixel.0[2]);
    let warmer =
        |x: u32| warmth(under(&look, 256, [f64::from(x), 33.5])) - warmth(*before.get_pixel(x, 33));
    assert!(
        (40..54).any(|x| warmer(x) > 30),
        "what the drag passes is tinted: {:?}",
        (40..54).map(warmer).collect::<Vec<_>>()
    );
}

/// A rotation by an angle has no handle; more than a full turn is drawn as a spiral.
#[test]
fn an_angle_is_drawn_as_an_arc() {
    let bench = Bench::new();
    picture(&bench, "in.png", 256, 256);
    let turn = |angle: &str| {
        let region = format!(
            r#"{{ "type": "rotation", "region": {{ "rect": [90, 90, 170, 170] }}, "center": [130, 130], "angle": {angle} }}"#
        );
        preview(
            &bench,
            "in.png",
            &drag_file(r#""editable": "everything","#, &region),
        )
    };
    let looks = ["40", "-40", "400"].map(turn);
    for look in &looks {
        assert!(is_green(under(look, 256, [130.0, 130.0])));
    }
    assert!(looks[0] != looks[1] && looks[0] != looks[2]);
    // A full turn passes every side of the centre; a ninth of a turn does not.
    let white = |look: &RgbImage, down: i32| {
        (10..60).any(|radius| {
            under(look, 256, [130.0, 130.0 + f64::from(down * radius)]) == Rgb([255; 3])
        })
    };
    assert!(white(&looks[2], 1) && white(&looks[2], -1) && !white(&looks[0], 1));
}

/// A point is drawn as handle, target and arrow, with a thin circle around its disc.
#[test]
fn a_point_is_drawn_with_its_disc() {
    let bench = Bench::new();
    picture(&bench, "in.png", 256, 256);
    let point = r#"{ "type": "point", "handle": [80, 100], "target": [180, 120] }"#;
    let look = preview(&bench, "in.png", &drag_file("", point));
    assert!(is_red(under(&look, 256, [80.0, 100.0])));
    assert!(is_blue(under(&look, 256, [180.0, 120.0])));
    assert_ne!(
        under(&look, 256, [130.0, 110.0]),
        under(&look, 256, [130.0, 90.0]),
        "an arrow"
    );
    // The model works at twice the picture's size, where four cells of the supervision grid are eight pixels.
    let reddish = |Rgb([red, green, _]): Rgb<u8>| red > green.saturating_add(50);
    let ring = (0..40).map(|step| {
        let (sin, cos) = (f64::from(step) / 40.0 * std::f64::consts::TAU).sin_cos();
        let spot = |radius: f64| under(&look, 256, [80.0 + radius * cos, 100.0 + radius * sin]);
        [3.6, 3.8, 4.0, 4.2, 4.4]
            .into_iter()
            .any(|radius| reddish(spot(radius)))
    });
    let count = ring.filter(|is_line| *is_line).count();
    assert!(count > 30, "{count} of 40");
}

/// Three handles, three targets and the arrows between them.
#[test]
fn an_affine_region_is_drawn_with_three_arrows() {
    let bench = Bench::new();
    picture(&bench, "in.png", 256, 256);
    let region = r#"{ "type": "affine", "region": { "rect": [30, 30, 90, 90] },
        "handles": [[30, 30], [90, 30], [30, 90]], "targets": [[130, 60], [220, 60], [130, 150]] }"#;
    let look = preview(
        &bench,
        "in.png",
        &drag_file(r#""editable": "everything","#, region),
    );
    for (handle, target) in [
        ([30.0, 30.0], [130.0, 60.0]),
        ([90.0, 30.0], [220.0, 60.0]),
        ([30.0, 90.0], [130.0, 150.0]),
    ] {
        assert!(is_red(under(&look, 256, handle)), "handle at {handle:?}");
        assert!(is_blue(under(&look, 256, target)), "target at {target:?}");
        let arrow = [
            handle[0] + 0.4 * (target[0] - handle[0]),
            handle[1] + 0.4 * (target[1] - handle[1]),
        ];
        assert_eq!(under(&look, 256, arrow), Rgb([255; 3]), "at {arrow:?}");
    }
    // The fourth corner of the outline after the drag.
    let dashes = (100..148)
        .filter(|y| {
            (-2..=2).any(|dx| {
                is_blue(under(
                    &look,
                    256,
                    [220.0 + 0.4 * f64::from(dx), f64::from(*y)],
                ))
            })
        })
        .count();
    assert!((12..46).contains(&dashes), "{dashes}");
}

/// The anchor is marked, and the outline after the drag is bent at it and at the target.
#[test]
fn an_anchored_deformation_is_drawn_with_its_anchor() {
    let bench = Bench::new();
    picture(&bench, "in.png", 256, 256);
    let region = r#"{ "type": "deformation", "region": { "rect": [20, 100, 150, 130] },
        "handle": [130, 115], "target": [190, 165], "anchor": [50, 115] }"#;
    let look = preview(
        &bench,
        "in.png",
        &drag_file(r#""editable": "everything","#, region),
    );
    let is_violet = |Rgb([red, green, blue]): Rgb<u8>| blue > 150 && red > 100 && green < 90;
    assert!(is_violet(under(&look, 256, [50.0, 115.0])));
    assert!(count(&look, is_violet) > 100, "also in the legend");
    // A share of the way between anchor and handle, the upper edge has moved by as much.
    let is_edge = |x: f64, y: f64| {
        (-3..=3).any(|dy| {
            let at = y + 0.5 * f64::from(dy);
            (-6..=6).any(|dx| {
                is_blue(under(
                    &look,
                    256,
                    [x + f64::from(dx), at + f64::from(dx) * 50.0 / 140.0],
                ))
            })
        })
    };
    for share in [0.25, 0.5, 0.75] {
        assert!(
            is_edge(50.0 + share * 140.0, 100.0 + share * 50.0),
            "{share}"
        );
    }
}

#[test]
fn a_scale_and_a_turn_on_the_way_are_drawn() {
    let bench = Bench::new();
    picture(&bench, "in.png", 256, 256);
    let draw = |region: &str| {
        preview(
            &bench,
            "in.png",
            &drag_file(r#""editable": "everything","#, region),
        )
    };
    let scale = draw(
        r#"{ "type": "scale", "region": { "rect": [60, 60, 120, 120] }, "center": [60, 60], "factor": 2.5 }"#,
    );
    assert!(is_green(under(&scale, 256, [60.0, 60.0])));
    assert_eq!(
        under(&scale, 256, [165.0, 165.0]),
        Rgb([255; 3]),
        "an arrow from the corner"
    );
    let turn = |angle: &str| {
        draw(&format!(
            r#"{{ "type": "translation", "region": {{ "rect": [30, 30, 90, 70] }}, "handle": [60, 50], "target": [170, 150], "angle": {angle} }}"#
        ))
    };
    let (upright, quarter) = (turn("0"), turn("90"));
    for look in [&upright, &quarter] {
        assert!(
            is_red(under(look, 256, [60.0, 50.0])) && is_blue(under(look, 256, [170.0, 150.0]))
        );
    }
    // After a quarter turn, the outline is 60 pixels high and 40 wide.
    let dashes = |look: &RgbImage, x: f64| {
        (124..176)
            .filter(|y| {
                (-2..=2)
                    .any(|dx| is_blue(under(look, 256, [x + 0.4 * f64::from(dx), f64::from(*y)])))
            })
            .count()
    };
    assert!(dashes(&quarter, 190.0) > 12 && dashes(&upright, 190.0) < 8);
    assert!(dashes(&upright, 200.0) > 8);
}

/// Masks are outlined before and after the drag.
#[test]
fn masks_are_traced() {
    let bench = Bench::new();
    picture(&bench, "in.png", 256, 256);
    let inside = |x: u32, y: u32| {
        (60..120).contains(&x) && (80..140).contains(&y) && !(80..100).contains(&x)
    };
    GrayImage::from_fn(256, 256, |x, y| Luma([if inside(x, y) { 255 } else { 0 }]))
        .save(bench.path("mask.png"))
        .unwrap();
    let region = r#"{ "type": "translation", "region": { "mask": "mask.png" }, "handle": [70, 110], "target": [170, 160] }"#;
    let look = preview(
        &bench,
        "in.png",
        &drag_file(r#""editable": "everything","#, region),
    );
    let near = |is: fn(Rgb<u8>) -> bool, x: f64, y: f64| {
        (-2..=2).any(|dx| is(under(&look, 256, [x + f64::from(dx) * 0.4, y])))
    };
    for x in [60.0, 80.0, 100.0, 120.0] {
        assert!(near(is_red, x, 90.0), "edge at {x}");
        let dashes = (130..190)
            .filter(|y| near(is_blue, x + 100.0, f64::from(*y)))
            .count();
        assert!(
            (15..60).contains(&dashes),
            "dashes at {}: {dashes}",
            x + 100.0
        );
    }
    assert!(!near(is_red, 90.0, 90.0), "between the two parts");
}

/// Long names, and names in scripts that the font does not have.
#[test]
fn any_name_is_drawn_inside_the_picture() {
    let bench = Bench::new();
    for (width, height) in [(64, 64), (64, 900), (900, 64)] {
        picture(&bench, "in.png", width, height);
        for id in [
            "\u{732b}\u{5c3e}".repeat(30),
            "<script>\\u0022%s".into(),
            "\u{5d0}\u{5d1}\u{5d2}".into(),
            "x".repeat(64),
            "e\u{301}\u{301}".into(),
        ] {
            let region = TRANSLATION.replacen('{', &format!(r#"{{ "id": "{id}", "#), 1);
            let look = preview(&bench, "in.png", &drag_file("", &region));
            assert!(
                is_red(under(&look, width, [40.0, 40.0])),
                "{id} in {width} x {height}"
            );
        }
    }
}

#[test]
fn the_maximum_number_of_regions_is_drawn() {
    let bench = Bench::new();
    picture(&bench, "in.png", 640, 640);
    let regions: Vec<String> = (0..64)
        .map(|index| {
            let (x, y) = (20 + index % 8 * 76, 20 + index / 8 * 76);
            format!(
                r#"{{ "type": "translation", "region": {{ "rect": [{x}, {y}, {}, {}] }}, "handle": [{}, {}], "target": [{}, {}] }}"#,
                x + 24,
                y + 24,
                x + 12,
                y + 12,
                x + 40,
                y + 40
            )
        })
        .collect();
    let look = preview(&bench, "in.png", &drag_file("", &regions.join(",")));
    assert!(count(&look, is_red) > 64 * 100 && count(&look, is_blue) > 64 * 100);
}
