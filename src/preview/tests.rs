use std::path::Path;

use super::*;
use crate::plan::{Amount, Draft, Settings};

fn draft(text: &str, size: Size) -> (DragFile, Draft) {
    let drag = DragFile::parse(text.as_bytes()).expect("a valid file");
    let draft = Plan::draft(
        &drag,
        Path::new("drag.json"),
        size,
        &Settings::default(),
        256,
        Amount::WHOLE,
    );
    (drag, draft)
}

const TURN: &str = r#"{"version": 1, "regions": [{"type": "rotation", "region": {"rect": [40, 40, 90, 90]}, "center": [60, 60], "angle": 30}]}"#;

#[test]
fn the_legend_lists_the_elements_of_the_drawing() {
    let size = Size::new(200, 100);
    let (drag, Draft { plan, .. }) = draft(TURN, size);
    assert_eq!(
        entries(&drag, &plan, false),
        [
            Entry::Center,
            Entry::Before,
            Entry::After,
            Entry::Swept,
            Entry::Veiled
        ]
    );
    let (drag, Draft { plan, .. }) = draft(
        &TURN.replace("\"regions\"", "\"editable\": \"everything\", \"regions\""),
        size,
    );
    assert!(!entries(&drag, &plan, false).contains(&Entry::Veiled));
    let (drag, Draft { plan, .. }) = draft(&TURN.replace("30", "0"), size);
    assert_eq!(
        entries(&drag, &plan, false),
        [Entry::Center, Entry::Before, Entry::Veiled],
        "nothing moves, so nothing may change"
    );
}

#[test]
fn a_whole_picture_has_no_window() {
    for size in [
        Size::new(64, 64),
        Size::new(513, 771),
        Size::new(3000, 500),
        Size::new(4000, 3000),
    ] {
        assert_eq!(window(&Frame::new(size, 256)), None, "{size}");
    }
}

#[test]
fn a_window_is_dotted() {
    let image = Size::new(2000, 1000);
    let part = Window {
        left: 200,
        top: 100,
        size: Size::new(600, 500),
    };
    assert_eq!(
        window(&Frame::windowed(image, part, 256)),
        Some([Point::new(200.0, 100.0), Point::new(800.0, 600.0)])
    );
    let mut pen = Pen::new(Size::new(200, 100), &vec![90; 200 * 100 * 3], 1.0);
    let corners = [
        Point::new(20.0, 20.0),
        Point::new(150.0, 20.0),
        Point::new(150.0, 80.0),
        Point::new(20.0, 80.0),
        Point::new(20.0, 20.0),
    ];
    pen.line(&corners, WINDOW);
    let rgb = pen.rgb();
    let row: Vec<bool> = (25..145).map(|x| rgb[(20 * 200 + x) * 3] > 200).collect();
    let dots = row.windows(2).filter(|pair| !pair[0] && pair[1]).count();
    assert!((15..35).contains(&dots), "{dots} dots");
}

#[test]
fn a_preview_lies_above_its_legend_and_a_strip_has_three_panels() {
    let size = Size::new(200, 100);
    let (drag, Draft { plan, .. }) = draft(TURN, size);
    let picture = Picture::from_rgb(size, vec![100; size.area() * 3]);
    let look = preview(&drag, &plan, &picture);
    assert!(look.size().width == 800 && look.size().height > 400);
    let strip = strip(&drag, &plan, &picture, &picture, &[]);
    assert!(strip.size().width > 2400 && strip.size().width < 2450);
}

/// Shapes, paths and centres far outside the picture are clipped before they are drawn.
#[test]
fn shapes_and_centres_far_outside_can_be_drawn() {
    let far = r#"{"version": 1, "regions": [
        {"type": "translation", "region": {"rect": [-1e6, -1e6, 1e6, 1e6]}, "handle": [50, 50], "target": [60, 60]},
        {"type": "rotation", "region": {"ellipse": [50, 50, 30, 30]}, "center": [-900, -800], "angle": -3600},
        {"type": "rotation", "region": {"ellipse": [50, 50, 30, 30]}, "center": [1e6, 1e6], "handle": [0, -1e6], "target": [1e6, 0]}]}"#;
    let size = Size::new(128, 96);
    let (drag, Draft { plan, faults }) = draft(far, size);
    assert_eq!(faults.len(), 1, "{faults:?}");
    let look = preview(
        &drag,
        &plan,
        &Picture::from_rgb(size, vec![100; size.area() * 3]),
    );
    assert_eq!(look.size().width, 768);
}
