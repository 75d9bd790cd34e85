use super::*;
use crate::plan::findings::Findings;
use crate::plan::motion::motion as motion_of;
use crate::plan::shapes::read_area;
use proptest::prelude::*;
use std::path::Path;

fn window(text: &str, image: Size, size: usize) -> Window {
    let drag = DragFile::parse(text.as_bytes()).expect("a valid file");
    let (mut findings, folder) = (Findings::new(&drag), Path::new(""));
    let areas = drag.regions.iter().map(|region| {
        let pointer = "/regions/0/region";
        read_area(&mut findings, &region.drag, folder, pointer, image)
    });
    let areas: Vec<_> = areas.collect();
    let editable = SourceEditable::read(&mut findings, folder, image);
    let needed = Needed::new(&drag, &areas, &editable, 24, Amount::WHOLE);
    choose(needed, image, size)
}

fn drag(rest: &str, rect: [f64; 4], dx: f64) -> String {
    let [left, top, right, bottom] = rect;
    format!(
        "{{\"version\": 1, {rest} \"regions\": [{{\"type\": \"translation\", \"region\": {{\"rect\": [{left}, {top}, {right}, {bottom}]}}, \"handle\": [{left}, {top}], \"target\": [{}, {top}]}}]}}",
        left + dx
    )
}

const PHOTOGRAPH: Size = Size::new(4000, 3000);

#[test]
fn a_small_drag_in_a_photograph_is_edited_at_full_resolution() {
    let window = window(
        &drag("", [1000.0, 1000.0, 1150.0, 1150.0], 100.0),
        PHOTOGRAPH,
        512,
    );
    assert_eq!(window.size, Size::new(512, 512));
    assert_eq!((window.left, window.top), (869, 819));
}

#[test]
fn fractions_of_pixels_do_not_enlarge_the_window() {
    for (left, right) in [
        (1000.0, 1151.0),
        (1000.3, 1150.9),
        (0.0, 151.5),
        (3848.5, 3900.0),
    ] {
        let window = window(
            &drag("", [left, 1000.25, right, 1151.0], 99.5),
            PHOTOGRAPH,
            512,
        );
        assert_eq!(window.size, Size::new(512, 512), "{left} to {right}");
    }
}

#[test]
fn a_window_adds_half_the_area_as_context() {
    // 1000 pixels wide, and 24 working pixels at 512 of 1500 or so on either side.
    let window = window(
        &drag("", [500.0, 500.0, 1300.0, 1300.0], 200.0),
        PHOTOGRAPH,
        512,
    );
    let scale = 512.0 / window.size.height as f64;
    assert!(
        (window.size.width as f64 - 1.5 * (1000.0 + 48.0 / scale)).abs() <= 4.0,
        "{window:?}"
    );
    assert!(
        (window.size.height as f64 - 1.5 * (800.0 + 48.0 / scale)).abs() <= 4.0,
        "{window:?}"
    );
}

#[test]
fn a_given_editable_area_lies_in_the_window() {
    let editable = "\"editable\": {\"rect\": [2000, 1000, 3000, 2000]},";
    let window = window(
        &drag(editable, [2400.0, 1400.0, 2500.0, 1500.0], 50.0),
        PHOTOGRAPH,
        512,
    );
    assert_eq!(
        window,
        Window {
            left: 1750,
            top: 750,
            size: Size::new(1500, 1500)
        }
    );
}

#[test]
fn the_disc_around_a_point_lies_in_the_window() {
    let point = |handle: [f64; 2], target: [f64; 2]| {
        format!(
            "{{\"version\": 1, \"regions\": [{{\"type\": \"point\", \"handle\": {handle:?}, \"target\": {target:?}}}]}}"
        )
    };
    let small = window(&point([1000.0, 1000.0], [1100.0, 1000.0]), PHOTOGRAPH, 512);
    assert_eq!((small.left, small.top), (794, 744));
    assert_eq!(small.size, Size::new(512, 512));
    // 1000 pixels between the points, and on either side the disc's 8 working pixels and the margin's 24.
    let wide = window(&point([500.0, 500.0], [1500.0, 1500.0]), PHOTOGRAPH, 512);
    let scale = 512.0 / wide.size.width as f64;
    let expected = 1.5 * (1000.0 + 2.0 * (8.0 + 24.0) / scale);
    assert!(
        (wide.size.width as f64 - expected).abs() <= 4.0,
        "{wide:?}, {expected}"
    );
}

#[test]
fn the_aspect_ratio_of_a_window_is_limited() {
    let window = window(
        &drag("", [100.0, 1000.0, 160.0, 1060.0], 2000.0),
        PHOTOGRAPH,
        512,
    );
    assert!(
        window.size.width <= 2 * window.size.height && window.size.width > 3000,
        "{window:?}"
    );
}

#[test]
fn large_drags_and_small_images_have_no_window() {
    for (text, image) in [
        (drag("", [100.0, 100.0, 2500.0, 2500.0], 1200.0), PHOTOGRAPH),
        (
            drag("", [100.0, 100.0, 150.0, 150.0], 30.0),
            Size::new(760, 760),
        ),
    ] {
        assert_eq!(window(&text, image, 512), Window::whole(image));
    }
}

proptest! {
    #[test]
    fn a_window_contains_the_swept_area(
        width in 600_usize..5000, height in 600_usize..5000, place in prop::array::uniform2(0.0..0.9_f64), side in 9.0..900.0_f64,
        turn in -400.0..400.0_f64, center in prop::array::uniform2(-0.2..1.2_f64), size in prop::sample::select(vec![256_usize, 512])
    ) {
        let image = Size::new(width, height);
        let (left, top) = (place[0] * width as f64, place[1] * height as f64);
        let center = Point::new(center[0] * width as f64, center[1] * height as f64);
        let text = format!(
            "{{\"version\": 1, \"regions\": [{{\"type\": \"rotation\", \"region\": {{\"rect\": [{left}, {top}, {}, {}]}}, \"center\": [{}, {}], \"angle\": {turn}}}]}}",
            left + side, top + side, center.x, center.y
        );
        let window = window(&text, image, size);
        let (right, bottom) = (window.left + window.size.width, window.top + window.size.height);
        prop_assert!(right <= width && bottom <= height && window.size.area() > 0);
        prop_assert!(Frame::windowed(image, window, size).scale().mean() >= 0.999 * Frame::new(image, size).scale().mean());
        for step in 0..=97 {
            let (sin, cos) = (turn.to_radians() * f64::from(step) / 97.0).sin_cos();
            for (x, y) in [(left, top), (left + side, top), (left, top + side), (left + side, top + side)] {
                let (dx, dy) = (x - center.x, y - center.y);
                let point = Point::new(center.x + cos * dx + sin * dy, center.y - sin * dx + cos * dy);
                let inside = (window.left as f64 - 1.0..=right as f64 + 1.0).contains(&point.x)
                    && (window.top as f64 - 1.0..=bottom as f64 + 1.0).contains(&point.y);
                prop_assert!(!image.contains(point) || inside, "{point} of {window:?}");
            }
        }
    }

    /// Every pixel of the image through which a region passes lies in the window, whatever its motion.
    #[test]
    fn a_window_contains_what_any_motion_sweeps(
        place in prop::array::uniform2(0.1..0.8_f64), kind in 0_usize..4, angle in -400.0..400.0_f64, factor in 0.1..6.0_f64,
        move_by in prop::array::uniform6(-200.0..200.0_f64)
    ) {
        let image = Size::new(2000, 1500);
        let (left, top) = ((place[0] * 2000.0).round(), (place[1] * 1500.0).round());
        let (right, bottom) = (left + 180.0, top + 120.0);
        let at = |x: f64, y: f64| format!("[{}, {}]", x.clamp(0.0, 2000.0), y.clamp(0.0, 1500.0));
        let handle = format!("\"handle\": [{left}, {top}], \"target\": {}", at(left + move_by[0], top + move_by[1]));
        let motion = match kind {
            0 => format!("\"type\": \"translation\", {handle}, \"angle\": {angle}"),
            1 => format!("\"type\": \"scale\", \"center\": [{}, {}], \"factor\": {factor}", left + move_by[0], top + move_by[1]),
            2 => format!("\"type\": \"deformation\", {handle}, \"anchor\": [{right}, {bottom}]"),
            _ => format!(
                "\"type\": \"affine\", \"handles\": [[{left}, {top}], [{right}, {top}], [{left}, {bottom}]], \"targets\": [{}, {}, {}]",
                at(left + move_by[0], top + move_by[1]), at(right + move_by[2], top + move_by[3]), at(left + move_by[4], bottom + move_by[5])
            ),
        };
        let text = format!("{{\"version\": 1, \"regions\": [{{{motion}, \"region\": {{\"rect\": [{left}, {top}, {right}, {bottom}]}}}}]}}");
        let Ok(drag) = DragFile::parse(text.as_bytes()) else { return Ok(()) };
        let window = window(&text, image, 256);
        let motion = motion_of(&drag.regions[0].drag, |point| point);
        for eta in (0..=50).map(|step| f64::from(step) / 50.0) {
            for share in (0..=10).map(|step| f64::from(step) / 10.0) {
                let (x, y) = (left + share * 180.0, top + share * 120.0);
                for corner in [(x, top), (x, bottom), (left, y), (right, y)] {
                    let point = motion.forward(eta, Point::new(corner.0, corner.1));
                    let inside = (window.left as f64 - 1.0..=(window.left + window.size.width) as f64 + 1.0).contains(&point.x)
                        && (window.top as f64 - 1.0..=(window.top + window.size.height) as f64 + 1.0).contains(&point.y);
                    prop_assert!(!image.contains(point) || inside, "{point} of {window:?} in {text}");
                }
            }
        }
    }
}
