//! VGG Image Annotator 1 and 2: a project, or its annotations as JSON or as CSV ([`csv`]).
//!
//! Coordinates are those of a canvas: continuous with the origin at the corner. The label of a shape is its attribute `label`, `name` or
//! `class`, or the only one that it has.

mod csv;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use crate::error::Result;
use crate::geometry::Point;
use crate::import::drawing::{Drawing, Drawn, Geometry};
use crate::import::json;
use crate::import::pictures::{Named, Pictures};
use crate::import::root::Root;
use crate::import::sample::{Area, Entry, point, wrong};
use crate::outline::Outline;

/// Why a file of the next version is refused.
const VERSION_3: &str =
    "is of VGG Image Annotator 3; projects and annotations of version 2 are read";

/// Corners of the polygon that stands for a turned ellipse; it deviates by less than a thousandth of the radius.
const ELLIPSE_CORNERS: usize = 72;

/// The keys that tell apart the forms of files.
#[derive(Deserialize)]
struct Form {
    #[serde(rename = "_via_img_metadata")]
    pictures: Option<IgnoredAny>,
    project: Option<IgnoredAny>,
    metadata: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Project {
    #[serde(rename = "_via_img_metadata")]
    pictures: BTreeMap<String, ViaPicture>,
}

#[derive(Deserialize)]
struct ViaPicture {
    filename: String,
    #[serde(default)]
    regions: Regions,
    #[serde(default)]
    file_attributes: Map<String, Value>,
}

/// A list since version 2, an object with numbers as keys before.
#[derive(Deserialize)]
#[serde(untagged)]
enum Regions {
    List(Vec<ViaRegion>),
    Object(BTreeMap<String, ViaRegion>),
}

impl Default for Regions {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

#[derive(Deserialize)]
struct ViaRegion {
    shape_attributes: ViaShape,
    #[serde(default)]
    region_attributes: Map<String, Value>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ViaShape {
    name: String,
    all_points_x: Vec<f64>,
    all_points_y: Vec<f64>,
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    cx: f64,
    cy: f64,
    r: f64,
    rx: f64,
    ry: f64,
    theta: f64,
}

/// Lists the pictures that have regions.
pub(super) fn list(root: &Root, file: &Path, pictures: &Arc<Pictures>) -> Result<Vec<Entry>> {
    let bytes = root.read(file, json::MAX_BYTES)?;
    let place = root.folder().join(file);
    let is_csv = file
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
    let annotated = if is_csv {
        csv::pictures(&bytes, &place)?
    } else {
        of_json(&bytes, &place)?
    };
    let entries = annotated.into_values().filter_map(|picture| {
        let regions: Vec<ViaRegion> = match picture.regions {
            Regions::List(regions) => regions,
            Regions::Object(regions) => regions.into_values().collect(),
        };
        if regions.is_empty() {
            return None;
        }
        let attributes = texts(&picture.file_attributes);
        let named = Named {
            name: picture.filename,
            size: None,
            category: attributes.get("category").cloned(),
        };
        let place = place.clone();
        Some(pictures.entry(file, named, move |_| drawing(&regions, &attributes, &place)))
    });
    Ok(entries.collect())
}

/// Reads a project or its annotations.
fn of_json(bytes: &[u8], place: &Path) -> Result<BTreeMap<String, ViaPicture>> {
    let form: Form = json::parse(bytes, place)?;
    if form.pictures.is_some() {
        Ok(json::parse::<Project>(bytes, place)?.pictures)
    } else if form.project.is_some() && form.metadata.is_some() {
        Err(json::damaged(place, VERSION_3))
    } else {
        json::parse(bytes, place)
    }
}

fn drawing(
    regions: &[ViaRegion],
    attributes: &BTreeMap<String, String>,
    place: &Path,
) -> Result<Drawing> {
    let mut drawing = Drawing::new(
        attributes.get("prompt").cloned().unwrap_or_default(),
        attributes.get("edit_prompt").cloned(),
    );
    for region in regions {
        let attributes = texts(&region.region_attributes);
        let named = ["label", "name", "class"]
            .iter()
            .find_map(|key| attributes.get(*key));
        let only = attributes.values().next().filter(|_| attributes.len() == 1);
        match geometry(&region.shape_attributes, place)? {
            Some(geometry) => drawing.push(
                Drawn {
                    label: named.or(only).cloned().unwrap_or_default(),
                    group: attributes.get("group").cloned(),
                    attributes,
                    geometry,
                },
                place,
            )?,
            None => drawing.leave_out("shape", &region.shape_attributes.name),
        }
    }
    Ok(drawing)
}

/// Returns attributes as texts; a list of choices gives the first that is set.
fn texts(attributes: &Map<String, Value>) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Object(choices) => choices
            .iter()
            .find(|(_, value)| **value == Value::Bool(true))
            .map(|(name, _)| name.clone()),
        _ => None,
    };
    attributes
        .iter()
        .filter_map(|(key, value)| {
            Some((key.clone(), text(value).filter(|text| !text.is_empty())?))
        })
        .collect()
}

fn geometry(shape: &ViaShape, place: &Path) -> Result<Option<Geometry>> {
    let outline = |outline| Ok(Some(Geometry::Area(Area::Outline(outline))));
    match &*shape.name {
        "rect" => outline(Outline::Rect([
            shape.x,
            shape.y,
            shape.x + shape.width,
            shape.y + shape.height,
        ])),
        "circle" => outline(Outline::Ellipse([shape.cx, shape.cy, shape.r, shape.r])),
        "ellipse" => outline(turned_ellipse(
            Point::new(shape.cx, shape.cy),
            [shape.rx, shape.ry],
            shape.theta,
        )),
        "polygon" => outline(Outline::Polygon(path(shape, place)?)),
        "polyline" => Ok(Some(Geometry::Path(path(shape, place)?))),
        "point" => Ok(Some(Geometry::Path(vec![point(
            shape.cx, shape.cy, place,
        )?]))),
        _ => Ok(None),
    }
}

fn path(shape: &ViaShape, place: &Path) -> Result<Vec<Point>> {
    if shape.all_points_x.len() != shape.all_points_y.len() {
        let reason = format!("a {} has different numbers of x and y", shape.name);
        return Err(wrong(place, reason));
    }
    let points = shape.all_points_x.iter().zip(&shape.all_points_y);
    points.map(|(x, y)| point(*x, *y, place)).collect()
}

/// Returns an ellipse that is turned by `angle` radians, clockwise on the screen.
pub(super) fn turned_ellipse(center: Point, [rx, ry]: [f64; 2], angle: f64) -> Outline {
    if angle == 0.0 {
        return Outline::Ellipse([center.x, center.y, rx, ry]);
    }
    let (sin, cos) = angle.sin_cos();
    let corners = (0..ELLIPSE_CORNERS).map(|index| {
        let (y, x) = (std::f64::consts::TAU * index as f64 / ELLIPSE_CORNERS as f64).sin_cos();
        let (x, y) = (rx * x, ry * y);
        Point::new(center.x + cos * x - sin * y, center.y + sin * x + cos * y)
    });
    Outline::Polygon(corners.collect())
}
