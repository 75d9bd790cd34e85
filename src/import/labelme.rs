//! labelme: one JSON file per picture, which names or holds the picture.
//!
//! Coordinates are continuous with the origin at the corner, as in drag files. A mask is a PNG in base64 inside a box of pixels.

use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::drawing::{self, Drawing, Drawn, Geometry};
use super::json;
use super::pictures::{Pictures, check_size};
use super::root::Root;
use super::sample::{Area, PictureSource, Sample, point, wrong};
use crate::error::{ErrorKind, Result};
use crate::foreign::{self, Kind};
use crate::geometry::{Point, Size};
use crate::mask::Mask;
use crate::outline::Outline;
use crate::picture::{self, Refusal};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LabelFile {
    shapes: Vec<LabelShape>,
    #[serde(default)]
    image_path: Option<String>,
    #[serde(default)]
    image_data: Option<String>,
    #[serde(default)]
    image_width: Option<f64>,
    #[serde(default)]
    image_height: Option<f64>,
    #[serde(default)]
    flags: Option<Map<String, Value>>,
    #[serde(default)]
    prompt: Option<String>,
}

#[derive(Deserialize)]
struct LabelShape {
    label: String,
    points: Vec<[f64; 2]>,
    #[serde(default)]
    shape_type: Option<String>,
    #[serde(default)]
    group_id: Option<i64>,
    #[serde(default)]
    mask: Option<String>,
    #[serde(default)]
    angle: Option<f64>,
    #[serde(default)]
    factor: Option<f64>,
}

/// What is seen of a file before it is converted.
pub(super) struct Glance {
    /// Whether it is another JSON file, which a folder may hold beside label files.
    pub(super) is_other: bool,
    /// The first flag of the picture that is set.
    pub(super) category: Option<String>,
}

/// Looks at a file.
pub(super) fn glance(root: &Root, file: &Path) -> Glance {
    match json::read::<LabelFile>(root, file) {
        Ok(labels) => Glance {
            is_other: false,
            category: labels
                .flags
                .into_iter()
                .flatten()
                .find(|(_, value)| *value == Value::Bool(true))
                .map(|(name, _)| name),
        },
        Err(error) => Glance {
            // A damaged file may be a label file; it is reported.
            is_other: error.kind() == ErrorKind::ImportDamaged
                && json::read::<IgnoredAny>(root, file).is_ok()
                && foreign::recognise(&root.folder().join(file)) != Some(Kind::Labelme),
            category: None,
        },
    }
}

/// Reads the sample of a label file.
pub(super) fn read(root: &Root, file: &Path, pictures: &Arc<Pictures>) -> Result<Sample> {
    let place = root.folder().join(file);
    let labels: LabelFile = json::read(root, file)?;
    let name = labels.image_path.unwrap_or_default();
    let folder = file.parent().unwrap_or(Path::new(""));
    let (picture, size) = match (pictures.find(&name, folder, &place), labels.image_data) {
        (Ok(path), _) => {
            let size = picture::size(&path)?;
            (PictureSource::File(path), size)
        }
        (Err(_), Some(data)) if !data.is_empty() => {
            let bytes = base64(&data).ok_or_else(|| wrong(&place, "`imageData` is not base64"))?;
            let size = picture::size_in(&bytes, &place)?;
            (PictureSource::Embedded(bytes), size)
        }
        (Err(error), _) => return Err(error),
    };
    if let (Some(width), Some(height)) = (labels.image_width, labels.image_height) {
        check_size(size, Some([width, height]), &place)?;
    }
    let mut drawing = Drawing::new(labels.prompt.unwrap_or_default(), None);
    for shape in labels.shapes {
        let group = shape.group_id.map(|group| group.to_string());
        let attributes = [("angle", shape.angle), ("factor", shape.factor)];
        let attributes = attributes
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?.to_string())))
            .collect();
        let label = shape.label.clone();
        match geometry(&shape, size, &place)? {
            Some(geometry) => drawing.push(
                Drawn {
                    label,
                    group,
                    attributes,
                    geometry,
                },
                &place,
            )?,
            None => drawing.leave_out("shape", &shape.shape_type.unwrap_or_default()),
        }
    }
    drawing::sample(drawing, picture, size, pictures.motion(), &place)
}

fn geometry(shape: &LabelShape, size: Size, place: &Path) -> Result<Option<Geometry>> {
    let points: Vec<Point> = shape
        .points
        .iter()
        .map(|[x, y]| point(*x, *y, place))
        .collect::<Result<_>>()?;
    let kind = shape.shape_type.as_deref().unwrap_or("polygon");
    let outline = |outline| Ok(Some(Geometry::Area(Area::Outline(outline))));
    match (kind, points.as_slice()) {
        ("polygon", [_, _, _, ..]) | ("oriented_rectangle", [_, _, _, _]) => {
            outline(Outline::Polygon(points))
        }
        ("rectangle", [a, b]) => outline(Outline::Rect([
            a.x.min(b.x),
            a.y.min(b.y),
            a.x.max(b.x),
            a.y.max(b.y),
        ])),
        ("circle", [center, edge]) => {
            let radius = center.distance(*edge);
            outline(Outline::Ellipse([center.x, center.y, radius, radius]))
        }
        ("line", [_, _]) | ("linestrip", [_, _, ..]) | ("point", [_]) => {
            Ok(Some(Geometry::Path(points)))
        }
        ("mask", [corner, _]) => {
            let data = shape.mask.as_deref().unwrap_or_default();
            let mask = mask(data, *corner, size).ok_or_else(|| {
                wrong(
                    place,
                    format!(
                        "the mask of `{}` is no base64 PNG inside the picture",
                        shape.label
                    ),
                )
            })?;
            Ok(Some(Geometry::Area(Area::Mask(mask))))
        }
        (
            "polygon" | "oriented_rectangle" | "rectangle" | "circle" | "line" | "linestrip"
            | "point" | "mask",
            points,
        ) => {
            let reason = format!("the {kind} `{}` has {} points", shape.label, points.len());
            Err(wrong(place, reason))
        }
        _ => Ok(None),
    }
}

/// Decodes a mask whose top left pixel is the one under `corner`. Every value above 0 is inside.
fn mask(data: &str, corner: Point, size: Size) -> Option<Mask> {
    let bytes = base64(data)?;
    let (left, top) = (corner.x.trunc(), corner.y.trunc());
    if left < 0.0 || top < 0.0 {
        return None;
    }
    let (left, top) = (left as usize, top as usize);
    let mut found = Size::new(0, 0);
    let mut accept = |inner: Size| {
        found = inner;
        if left + found.width <= size.width && top + found.height <= size.height {
            Ok(())
        } else {
            Err(Refusal::other_size())
        }
    };
    let pixels = picture::decode_pixels(&bytes, &mut accept).ok()?;
    let grey = pixels.into_luma8().into_raw();
    let mut mask = Mask::filled(size, false);
    for (row, line) in grey.chunks(found.width).enumerate() {
        let start = (top + row) * size.width + left;
        for (pixel, value) in mask.data[start..start + found.width].iter_mut().zip(line) {
            *pixel = *value > 0;
        }
    }
    Some(mask)
}

/// Decodes base64, which may have line breaks.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digits: String = text.split_ascii_whitespace().collect();
    STANDARD.decode(digits).ok()
}
