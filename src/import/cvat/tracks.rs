//! Tracks of CVAT for video 1.1: what moves through a video becomes a drag of the frame in which it first appears.
//!
//! A track has one shape for each frame, or for each key frame. Its shape in the first frame is a region, and the way of its middle to the last
//! frame that shows it is the motion. A box or an ellipse that turns on the way is turned by that much.

use std::collections::BTreeMap;

use roxmltree::Node;

use super::{CvatShape, shape};

/// A frame in which tracks begin.
pub(super) struct Frame {
    pub(super) number: u32,
    /// The shapes of the tracks, each followed by its motion as a line of the same group.
    pub(super) shapes: Vec<CvatShape>,
}

/// Returns the frames in which tracks begin, in their order.
pub(super) fn frames(annotations: Node) -> Vec<Frame> {
    let tracks = annotations.children();
    let mut frames: BTreeMap<u32, Vec<CvatShape>> = BTreeMap::new();
    for (index, track) in tracks.filter(|node| node.has_tag_name("track")).enumerate() {
        if let Some((number, shapes)) = of_track(track, index) {
            frames.entry(number).or_default().extend(shapes);
        }
    }
    let frame = |(number, shapes)| Frame { number, shapes };
    frames.into_iter().map(frame).collect()
}

/// Returns the size of the video's frames, if the file has it.
pub(super) fn original_size(annotations: Node) -> Option<[f64; 2]> {
    let size = annotations
        .descendants()
        .find(|node| node.has_tag_name("original_size"))?;
    let side = |name: &str| {
        let side = size.children().find(|node| node.has_tag_name(name))?;
        side.text()?.trim().parse().ok()
    };
    Some([side("width")?, side("height")?])
}

/// Returns the first frame of a track with its shape, and its motion if it has one; `None` for a track that is nowhere to be seen.
fn of_track(track: Node, index: usize) -> Option<(u32, Vec<CvatShape>)> {
    let visible = track
        .children()
        .filter(|node| node.is_element() && node.attribute("outside") != Some("1"));
    let mut numbered: Vec<(u32, Node)> = visible
        .filter_map(|node| Some((node.attribute("frame")?.parse().ok()?, node)))
        .collect();
    numbered.sort_by_key(|(number, _)| *number);
    let (number, node) = *numbered.first()?;
    let last = shape(numbered.last()?.1);
    let mut first = shape(node);
    let group = format!("track {index}");
    let label = track.attribute("label").unwrap_or_default().to_owned();
    first.fields.insert("label".into(), label);
    first.fields.insert("group_id".into(), group.clone());
    let mut shapes = Vec::new();
    if let (Some(from), Some(to)) = (middle(&first), middle(&last))
        && from != to
    {
        let points = [from, to].map(|[x, y]| format!("{x},{y}"));
        let fields = [("points", points.join(";")), ("group_id", group)];
        shapes.push(CvatShape {
            tag: "polyline".into(),
            fields: fields
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect(),
            attributes: BTreeMap::new(),
        });
    }
    let turn =
        number_of(&last, "rotation").unwrap_or(0.0) - number_of(&first, "rotation").unwrap_or(0.0);
    if turn != 0.0 {
        // CVAT turns clockwise on the screen, drag files the other way.
        let angle = (-turn).to_string();
        first.attributes.entry("angle".into()).or_insert(angle);
    }
    shapes.insert(0, first);
    Some((number, shapes))
}

fn number_of(shape: &CvatShape, key: &str) -> Option<f64> {
    let number = shape.fields.get(key)?.trim().parse().ok();
    number.filter(|number: &f64| number.is_finite())
}

/// Returns the middle of an area; `None` for lines and points, which are drags of their own.
fn middle(shape: &CvatShape) -> Option<[f64; 2]> {
    let number = |key| number_of(shape, key);
    match &*shape.tag {
        "box" => Some([
            f64::midpoint(number("xtl")?, number("xbr")?),
            f64::midpoint(number("ytl")?, number("ybr")?),
        ]),
        "ellipse" => Some([number("cx")?, number("cy")?]),
        "mask" => Some([
            number("left")? + number("width")? / 2.0,
            number("top")? + number("height")? / 2.0,
        ]),
        "polygon" => {
            let corners = shape.fields.get("points")?.split(';').map(|pair| {
                let (x, y) = pair.split_once(',')?;
                Some([x.trim().parse().ok()?, y.trim().parse().ok()?])
            });
            let corners: Vec<[f64; 2]> = corners.collect::<Option<_>>()?;
            let ends = |axis: usize| {
                let values = corners.iter().map(|corner| corner[axis]);
                let low = values.clone().fold(f64::INFINITY, f64::min);
                f64::midpoint(low, values.fold(f64::NEG_INFINITY, f64::max))
            };
            Some([ends(0), ends(1)]).filter(|middle| middle.iter().all(|side| side.is_finite()))
        }
        _ => None,
    }
}
