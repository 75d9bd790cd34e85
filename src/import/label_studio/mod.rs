//! Label Studio: a list of tasks as JSON.
//!
//! Coordinates are percentages of the picture, continuous. Results with one id describe one shape: its outline, its labels, and numbers or
//! choices that were given for it, which are its attributes. Relations join shapes to groups. A brush stroke is RGBA run lengths, whose
//! alpha above 0 is inside, as in Label Studio's own converter. Of several annotations of a task, the first counts.

mod brush;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::cvat::turned;
use super::drawing::{Drawing, Drawn, Geometry, MAX_PATHS};
use super::json;
use super::pictures::{Named, Pictures};
use super::root::{Root, is_picture};
use super::sample::{Area, Entry, check_count, point, wrong};
use super::via::turned_ellipse;
use crate::error::Result;
use crate::geometry::{Point, Size};
use crate::mask::Mask;
use crate::outline::Outline;

#[derive(Deserialize)]
struct Task {
    #[serde(default)]
    data: Map<String, Value>,
    #[serde(default, alias = "completions")]
    annotations: Vec<Annotation>,
}

#[derive(Deserialize)]
struct Annotation {
    #[serde(default)]
    result: Vec<Outcome>,
    #[serde(default)]
    was_cancelled: bool,
}

/// One of `result`: a shape, a part of one, or a relation.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Outcome {
    id: Option<String>,
    r#type: String,
    from_name: String,
    value: ShapeValue,
    original_width: Option<f64>,
    original_height: Option<f64>,
    image_rotation: Option<f64>,
    from_id: Option<String>,
    to_id: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ShapeValue {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    #[serde(rename = "radiusX")]
    radius_x: f64,
    #[serde(rename = "radiusY")]
    radius_y: f64,
    rotation: f64,
    points: Vec<[f64; 2]>,
    vertices: Vec<Vertex>,
    closed: Option<bool>,
    rle: Option<Vec<u8>>,
    number: Option<f64>,
    choices: Vec<String>,
    #[serde(flatten)]
    more: Map<String, Value>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Vertex {
    x: f64,
    y: f64,
}

/// Lists the tasks that have annotations.
pub(super) fn list(root: &Root, file: &Path, pictures: &Arc<Pictures>) -> Result<Vec<Entry>> {
    let tasks: Vec<Task> = json::read(root, file)?;
    let place = root.folder().join(file);
    let entries = tasks.into_iter().filter_map(|task| {
        let mut given = task
            .annotations
            .into_iter()
            .filter(|annotation| !annotation.was_cancelled && !annotation.result.is_empty());
        let annotation = given.next()?;
        let others = given.count();
        let text = |key: &str| {
            task.data
                .get(key)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let looks_like_picture =
            |value: &&str| is_picture(value.split('?').next().unwrap_or(value).as_ref());
        let any = || {
            task.data
                .values()
                .filter_map(Value::as_str)
                .find(looks_like_picture)
        };
        let name = text("image").or_else(|| any().map(str::to_owned))?;
        let whole = annotation
            .result
            .iter()
            .filter(|outcome| outcome.value.number.is_none());
        let chosen = whole
            .filter(|outcome| outcome.from_name == "category")
            .find_map(|outcome| outcome.value.choices.first().cloned());
        let sizes = annotation.result.iter();
        let size = sizes
            .filter_map(|outcome| outcome.original_width.zip(outcome.original_height))
            .map(<[f64; 2]>::from)
            .next();
        let named = Named {
            name,
            size,
            category: text("category").or(chosen),
        };
        let (prompt, edit_prompt) = (text("prompt").unwrap_or_default(), text("edit_prompt"));
        let place = place.clone();
        Some(pictures.entry(file, named, move |size| {
            let mut drawing = drawing(&annotation, size, &place)?;
            drawing.prompt.clone_from(&prompt);
            drawing.edit_prompt.clone_from(&edit_prompt);
            if others > 0 {
                let message = format!(
                    "{others} more annotations of the task were left out: the first counts"
                );
                drawing.notes.push(message);
            }
            Ok(drawing)
        }))
    });
    Ok(entries.collect())
}

/// A shape whose parts are joined.
#[derive(Default)]
struct Joined {
    label: Option<String>,
    geometry: Option<Geometry>,
    attributes: BTreeMap<String, String>,
}

fn drawing(annotation: &Annotation, size: Size, place: &Path) -> Result<Drawing> {
    let mut drawing = Drawing::default();
    let (mut order, mut shapes) = (Vec::new(), BTreeMap::<String, Joined>::new());
    let mut groups = BTreeMap::<String, String>::new();
    let mut areas = 0;
    for (index, outcome) in annotation.result.iter().enumerate() {
        if let (Some(from), Some(to)) = (&outcome.from_id, &outcome.to_id) {
            join(&mut groups, from, to);
            check_count(groups.len() / (MAX_PATHS + 1), place)?;
            continue;
        }
        if outcome.image_rotation.is_some_and(|degrees| degrees != 0.0) {
            return Err(wrong(
                place,
                "the picture was turned in Label Studio; turn the picture itself and draw again",
            ));
        }
        let id = outcome
            .id
            .clone()
            .unwrap_or_else(|| format!("result {index}"));
        if !shapes.contains_key(&id) {
            order.push(id.clone());
        }
        let shape = shapes.entry(id).or_default();
        shape.label = shape.label.take().or_else(|| label(&outcome.value));
        if let Some(number) = outcome.value.number {
            shape
                .attributes
                .insert(outcome.from_name.clone(), number.to_string());
        } else if let Some(choice) = outcome.value.choices.first() {
            shape
                .attributes
                .insert(outcome.from_name.clone(), choice.clone());
        } else if shape.geometry.is_none() {
            shape.geometry = geometry(outcome, size, place)?;
            areas += usize::from(matches!(shape.geometry, Some(Geometry::Area(_))));
            check_count(areas / 2, place)?;
            if shape.geometry.is_none() && !is_label(&outcome.r#type) {
                drawing.leave_out("result", &outcome.r#type);
            }
        }
    }
    for id in order {
        let Some(Joined {
            label,
            geometry: Some(geometry),
            attributes,
        }) = shapes.remove(&id)
        else {
            continue;
        };
        let drawn = Drawn {
            label: label.unwrap_or_default(),
            group: groups.contains_key(&id).then(|| first_of(&groups, &id)),
            attributes,
            geometry,
        };
        drawing.push(drawn, place)?;
    }
    Ok(drawing)
}

fn is_label(kind: &str) -> bool {
    matches!(
        kind,
        "labels" | "choices" | "number" | "textarea" | "rating"
    )
}

/// Returns the first label of a value: the only list of texts whose name ends in `labels`.
fn label(value: &ShapeValue) -> Option<String> {
    let lists = value.more.iter().filter(|(key, _)| key.ends_with("labels"));
    let first = lists.filter_map(|(_, list)| list.as_array()?.first()?.as_str());
    first.map(str::to_owned).next()
}

/// Joins the groups of two shapes. Every shape leads to an earlier one, the first of a group to itself.
fn join(groups: &mut BTreeMap<String, String>, from: &str, to: &str) {
    for id in [from, to] {
        groups.entry(id.to_owned()).or_insert_with(|| id.to_owned());
    }
    let (from, to) = (first_of(groups, from), first_of(groups, to));
    groups.insert(to, from);
}

fn first_of(groups: &BTreeMap<String, String>, id: &str) -> String {
    let mut id = id;
    while let Some(next) = groups.get(id).filter(|next| *next != id) {
        id = next;
    }
    id.to_owned()
}

fn geometry(outcome: &Outcome, size: Size, place: &Path) -> Result<Option<Geometry>> {
    let value = &outcome.value;
    let (across, down) = (size.width as f64 / 100.0, size.height as f64 / 100.0);
    let at = |x: f64, y: f64| point(x * across, y * down, place);
    let closed = |outline| Ok(Some(Geometry::Area(Area::Outline(outline))));
    let kind = outcome.r#type.to_lowercase();
    match kind.trim_end_matches("labels") {
        "polygon" => {
            let points = value.points.iter().map(|[x, y]| at(*x, *y));
            let points: Vec<Point> = points.collect::<Result<_>>()?;
            match (points.len(), value.closed) {
                (0..3, _) | (3, Some(false)) => Ok(Some(Geometry::Path(points))),
                _ => closed(Outline::Polygon(points)),
            }
        }
        "vector" => {
            let points = value.vertices.iter().map(|vertex| at(vertex.x, vertex.y));
            let points: Vec<Point> = points.collect::<Result<_>>()?;
            if value.closed == Some(true) && points.len() > 2 {
                closed(Outline::Polygon(points))
            } else {
                Ok(Some(Geometry::Path(points)))
            }
        }
        "rectangle" => {
            let (low, high) = (
                at(value.x, value.y)?,
                at(value.x + value.width, value.y + value.height)?,
            );
            let rect = Outline::Rect([low.x, low.y, high.x, high.y]);
            if value.rotation == 0.0 {
                closed(rect)
            } else {
                closed(turned(&rect.ring(), low, value.rotation))
            }
        }
        "ellipse" => {
            let center = at(value.x, value.y)?;
            let radii = at(value.radius_x, value.radius_y)?;
            closed(turned_ellipse(
                center,
                [radii.x, radii.y],
                value.rotation.to_radians(),
            ))
        }
        "keypoint" => Ok(Some(Geometry::Path(vec![at(value.x, value.y)?]))),
        "brush" => {
            let rle = value.rle.as_deref().unwrap_or_default();
            let samples = brush::samples(rle, 4 * size.area()).ok_or_else(|| {
                wrong(place, "the run lengths of a brush do not cover the picture")
            })?;
            let mask = Mask {
                width: size.width,
                height: size.height,
                data: samples
                    .as_chunks::<4>()
                    .0
                    .iter()
                    .map(|[.., alpha]| *alpha > 0)
                    .collect(),
            };
            Ok(Some(Geometry::Area(Area::Mask(mask))))
        }
        _ => Ok(None),
    }
}
