//! CVAT for images 1.1, and for video 1.1: one XML file for many pictures, or for the frames of a video.
//!
//! Coordinates are continuous with the origin at the corner. A mask is run lengths of pixels outside and inside in turn, along the rows of a
//! box. A `tag` is the picture's category. [`tracks`] makes drags of what moves through a video; [`bounds`] refuses files that would take
//! a parser too long.

mod bounds;
mod tracks;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use roxmltree::{Document, Node, ParsingOptions};

use crate::error::Result;
use crate::geometry::{Point, Size};
use crate::import::drawing::{Drawing, Drawn, Geometry};
use crate::import::json::{self, damaged};
use crate::import::pictures::{Named, Pictures};
use crate::import::root::Root;
use crate::import::sample::{Area, Entry, point, wrong};
use crate::import::via::turned_ellipse;
use crate::mask::Mask;
use crate::outline::Outline;

/// Maximum number of elements and texts in a file.
const MAX_NODES: u32 = 10_000_000;

/// A shape with the attributes of its element, and those that the user gave it.
struct CvatShape {
    tag: String,
    fields: BTreeMap<String, String>,
    attributes: BTreeMap<String, String>,
}

/// Lists the pictures that have shapes.
pub(super) fn list(root: &Root, file: &Path, pictures: &Arc<Pictures>) -> Result<Vec<Entry>> {
    let bytes = root.read(file, json::MAX_BYTES)?;
    let place = root.folder().join(file);
    let text = std::str::from_utf8(&bytes).map_err(|error| damaged(&place, error.to_string()))?;
    bounds::check(text).map_err(|reason| damaged(&place, reason))?;
    let options = ParsingOptions {
        allow_dtd: false,
        nodes_limit: MAX_NODES,
        ..ParsingOptions::default()
    };
    let document = Document::parse_with_options(text, options)
        .map_err(|error| damaged(&place, error.to_string()))?;
    let annotations = document.root_element();
    if annotations.tag_name().name() != "annotations" {
        return Err(damaged(&place, "the root element is not `annotations`"));
    }
    let images = annotations
        .children()
        .filter(|node| node.has_tag_name("image"));
    let of_images = images.filter_map(|image| {
        let shapes: Vec<CvatShape> = image
            .children()
            .filter(Node::is_element)
            .map(shape)
            .collect();
        let (tags, shapes): (Vec<CvatShape>, Vec<CvatShape>) =
            shapes.into_iter().partition(|shape| shape.tag == "tag");
        if shapes.is_empty() {
            return None;
        }
        let side = |key| image.attribute(key).and_then(|side| side.parse().ok());
        let named = Named {
            name: image.attribute("name").unwrap_or_default().to_owned(),
            size: side("width").zip(side("height")).map(<[f64; 2]>::from),
            category: tags
                .first()
                .and_then(|tag| tag.fields.get("label").cloned()),
        };
        let place = place.clone();
        Some(pictures.entry(file, named, move |size| {
            drawing(&tags, &shapes, size, &place)
        }))
    });
    let size = tracks::original_size(annotations);
    let of_frames = tracks::frames(annotations).into_iter().map(|frame| {
        let named = Named {
            name: format!("frame_{:06}.PNG", frame.number),
            size,
            category: None,
        };
        let place = place.clone();
        pictures.entry(file, named, move |size| {
            drawing(&[], &frame.shapes, size, &place)
        })
    });
    Ok(of_images.chain(of_frames).collect())
}

fn shape(node: Node) -> CvatShape {
    let fields = node
        .attributes()
        .map(|field| (field.name().to_owned(), field.value().to_owned()));
    let inner = node
        .children()
        .filter(|inner| inner.has_tag_name("attribute"));
    let attributes = inner.filter_map(|inner| {
        let text = inner.text().unwrap_or_default().trim();
        Some((inner.attribute("name")?.to_owned(), text.to_owned()))
    });
    CvatShape {
        tag: node.tag_name().name().to_owned(),
        fields: fields.collect(),
        attributes: attributes.filter(|(_, text)| !text.is_empty()).collect(),
    }
}

fn drawing(tags: &[CvatShape], shapes: &[CvatShape], size: Size, place: &Path) -> Result<Drawing> {
    let of_tags = |key: &str| tags.iter().find_map(|tag| tag.attributes.get(key).cloned());
    let mut drawing = Drawing::new(
        of_tags("prompt").unwrap_or_default(),
        of_tags("edit_prompt"),
    );
    for shape in shapes {
        let Some(geometry) = geometry(shape, size, place)? else {
            drawing.leave_out("shape", &shape.tag);
            continue;
        };
        let group = shape.fields.get("group_id").filter(|group| *group != "0");
        drawing.push(
            Drawn {
                label: shape.fields.get("label").cloned().unwrap_or_default(),
                group: group.cloned(),
                attributes: shape.attributes.clone(),
                geometry,
            },
            place,
        )?;
    }
    Ok(drawing)
}

fn geometry(shape: &CvatShape, size: Size, place: &Path) -> Result<Option<Geometry>> {
    let number = |key: &str| -> Result<f64> {
        let text = shape.fields.get(key).map(|text| text.trim());
        text.and_then(|text| text.parse().ok())
            .filter(|number: &f64| number.is_finite())
            .ok_or_else(|| wrong(place, format!("a {} has no number `{key}`", shape.tag)))
    };
    let angle = shape
        .fields
        .get("rotation")
        .map_or(Ok(0.0), |_| number("rotation"))?;
    let outline = match &*shape.tag {
        "box" => {
            let [left, top, right, bottom] = [
                number("xtl")?,
                number("ytl")?,
                number("xbr")?,
                number("ybr")?,
            ];
            let rect = Outline::Rect([
                left.min(right),
                top.min(bottom),
                left.max(right),
                top.max(bottom),
            ]);
            if angle == 0.0 {
                rect
            } else {
                let middle = Point::new(f64::midpoint(left, right), f64::midpoint(top, bottom));
                turned(&rect.ring(), middle, angle)
            }
        }
        "ellipse" => turned_ellipse(
            Point::new(number("cx")?, number("cy")?),
            [number("rx")?, number("ry")?],
            angle.to_radians(),
        ),
        "polygon" => Outline::Polygon(points(shape, place)?),
        "polyline" => return Ok(Some(Geometry::Path(points(shape, place)?))),
        "points" => {
            let points = points(shape, place)?;
            return Ok(Some(Geometry::Path(points)));
        }
        "mask" => {
            let corner = [
                number("left")?,
                number("top")?,
                number("width")?,
                number("height")?,
            ];
            let mask = mask(shape.fields.get("rle").map_or("", |rle| rle), corner, size)
                .ok_or_else(|| {
                    wrong(
                        place,
                        "the run lengths of a mask do not fit its box and the picture",
                    )
                })?;
            return Ok(Some(Geometry::Area(Area::Mask(mask))));
        }
        _ => return Ok(None),
    };
    Ok(Some(Geometry::Area(Area::Outline(outline))))
}

/// Returns corners turned about a point by degrees, clockwise on the screen.
pub(super) fn turned(corners: &[Point], about: Point, degrees: f64) -> Outline {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let turn = |corner: &Point| {
        let (x, y) = (corner.x - about.x, corner.y - about.y);
        Point::new(about.x + cos * x - sin * y, about.y + sin * x + cos * y)
    };
    Outline::Polygon(corners.iter().map(turn).collect())
}

/// Reads `x,y;x,y`.
fn points(shape: &CvatShape, place: &Path) -> Result<Vec<Point>> {
    let text = shape.fields.get("points").map_or("", |text| text);
    let pairs = text.split(';').filter(|pair| !pair.trim().is_empty());
    let points: Option<Vec<(f64, f64)>> = pairs
        .map(|pair| {
            let (x, y) = pair.split_once(',')?;
            Some((x.trim().parse().ok()?, y.trim().parse().ok()?))
        })
        .collect();
    let points = points.ok_or_else(|| {
        wrong(
            place,
            format!("the points of a {} cannot be read", shape.tag),
        )
    })?;
    if points.len() < 3 && shape.tag == "polygon" {
        return Err(wrong(
            place,
            format!("a polygon has {} points", points.len()),
        ));
    }
    points
        .into_iter()
        .map(|(x, y)| point(x, y, place))
        .collect()
}

/// Decodes run lengths along the rows of a box; `None` if they do not cover it, or it lies outside the picture.
fn mask(rle: &str, [left, top, width, height]: [f64; 4], size: Size) -> Option<Mask> {
    let is_whole = |number: f64, limit: usize| {
        (number >= 0.0 && number <= limit as f64 && number.fract() == 0.0)
            .then_some(number as usize)
    };
    let (left, top) = (is_whole(left, size.width)?, is_whole(top, size.height)?);
    let (width, height) = (
        is_whole(width, size.width - left)?,
        is_whole(height, size.height - top)?,
    );
    let mut mask = Mask::filled(size, false);
    let (mut at, mut inside) = (0_usize, false);
    for length in rle.split(',').filter(|length| !length.trim().is_empty()) {
        let end = at.checked_add(length.trim().parse().ok()?)?;
        if end > width * height {
            return None;
        }
        if inside {
            for place in at..end {
                mask.data[(top + place / width) * size.width + left + place % width] = true;
            }
        }
        (at, inside) = (end, !inside);
    }
    (at == width * height).then_some(mask)
}
