//! COCO annotations: areas as polygons, run lengths or boxes, and key points.
//!
//! Outlines are continuous with the origin at the corner. Key points are pixel indices and move by half a pixel, as in Detectron2. Key points
//! named `handle`, `target`, `center` or `anchor` in their category have that meaning; two or three others are a line.

mod rle;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::drawing::{Drawing, Drawn, Geometry};
use super::json;
use super::pictures::{Named, Pictures};
use super::root::Root;
use super::sample::{Area, Entry, centre, point, wrong};
use crate::error::Result;
use crate::geometry::{Point, Size};
use crate::outline::Outline;

/// Most polygons of one annotation.
const MAX_PARTS: usize = 1000;

#[derive(Deserialize)]
struct Coco {
    images: Vec<CocoImage>,
    annotations: Vec<Annotation>,
    #[serde(default)]
    categories: Vec<Category>,
}

#[derive(Deserialize)]
struct CocoImage {
    id: Value,
    file_name: String,
    #[serde(default)]
    width: Option<f64>,
    #[serde(default)]
    height: Option<f64>,
    #[serde(default)]
    prompt: Option<String>,
    #[serde(default)]
    category: Option<String>,
}

#[derive(Deserialize)]
struct Annotation {
    #[serde(default)]
    id: Value,
    image_id: Value,
    #[serde(default)]
    category_id: Value,
    #[serde(default)]
    segmentation: Option<Segmentation>,
    #[serde(default)]
    bbox: Option<Vec<f64>>,
    #[serde(default)]
    keypoints: Option<Vec<f64>>,
    #[serde(default)]
    attributes: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Segmentation {
    Polygons(Vec<Vec<f64>>),
    Runs { counts: Counts, size: [usize; 2] },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Counts {
    Text(String),
    Numbers(Vec<u64>),
}

#[derive(Deserialize)]
struct Category {
    id: Value,
    name: String,
    #[serde(default)]
    keypoints: Vec<String>,
}

/// Lists the pictures that have annotations.
pub(super) fn list(root: &Root, file: &Path, pictures: &Arc<Pictures>) -> Result<Vec<Entry>> {
    let Coco {
        images,
        annotations,
        categories,
    } = json::read(root, file)?;
    let mut of_image: HashMap<String, Vec<Annotation>> = HashMap::new();
    for annotation in annotations {
        let image = annotation.image_id.to_string();
        of_image.entry(image).or_default().push(annotation);
    }
    let categories: HashMap<String, Category> = categories
        .into_iter()
        .map(|category| (category.id.to_string(), category))
        .collect();
    let categories = Arc::new(categories);
    let place = root.folder().join(file);
    let entries = images.into_iter().filter_map(|image| {
        let annotations = of_image.remove(&image.id.to_string())?;
        let named = Named {
            size: image.width.zip(image.height).map(<[f64; 2]>::from),
            name: image.file_name,
            category: image.category,
        };
        let prompt = image.prompt.unwrap_or_default();
        let (categories, place) = (Arc::clone(&categories), place.clone());
        Some(pictures.entry(file, named, move |size| {
            drawing(&annotations, &categories, &prompt, size, &place)
        }))
    });
    Ok(entries.collect())
}

fn drawing(
    annotations: &[Annotation],
    categories: &HashMap<String, Category>,
    prompt: &str,
    size: Size,
    place: &Path,
) -> Result<Drawing> {
    let mut drawing = Drawing::new(prompt.to_owned(), None);
    for annotation in annotations {
        let category = categories.get(&annotation.category_id.to_string());
        let name = category.map_or("", |category| &category.name);
        let attributes = attributes(annotation.attributes.as_ref());
        let drawn = |label: String, geometry| Drawn {
            label,
            // An area and its key points are one annotation.
            group: Some(annotation.id.to_string()),
            attributes: attributes.clone(),
            geometry,
        };
        let place = place.join(format!("annotation {}", annotation.id));
        if let Some(area) = area(annotation, size, &place)? {
            drawing.push(drawn(name.to_owned(), Geometry::Area(area)), &place)?;
        }
        let names = category.map_or([].as_slice(), |category| &category.keypoints);
        let points = annotation.keypoints.as_deref().unwrap_or_default();
        for (label, path) in key_points(points, names, &place)? {
            drawing.push(drawn(label, Geometry::Path(path)), &place)?;
        }
    }
    Ok(drawing)
}

fn attributes(given: Option<&Map<String, Value>>) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    given
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), text(value)))
        .collect()
}

/// Returns the area of an annotation, if it has one.
fn area(annotation: &Annotation, size: Size, place: &Path) -> Result<Option<Area>> {
    match &annotation.segmentation {
        Some(Segmentation::Polygons(polygons)) if polygons.len() > MAX_PARTS => {
            let reason = format!("has {} polygons, more than {MAX_PARTS}", polygons.len());
            Err(wrong(place, reason))
        }
        Some(Segmentation::Polygons(polygons)) if !polygons.is_empty() => {
            let areas = polygons
                .iter()
                .map(|numbers| Ok(Area::Outline(Outline::Polygon(corners(numbers, place)?))));
            Ok(Area::union(areas.collect::<Result<_>>()?, size))
        }
        Some(Segmentation::Runs {
            counts,
            size: [height, width],
        }) => {
            if [*width, *height] != [size.width, size.height] {
                let reason =
                    format!("the run lengths are for {width} x {height}, the picture is {size}");
                return Err(wrong(place, reason));
            }
            let decoded;
            let lengths = match counts {
                Counts::Numbers(lengths) => lengths.as_slice(),
                Counts::Text(text) => {
                    decoded = rle::lengths(text)
                        .ok_or_else(|| wrong(place, "the run lengths cannot be decoded"))?;
                    &decoded
                }
            };
            let mask = rle::mask(lengths, size)
                .ok_or_else(|| wrong(place, "the run lengths do not cover the picture exactly"))?;
            Ok(Some(Area::Mask(mask)))
        }
        _ => match annotation.bbox.as_deref() {
            Some([left, top, width, height]) if *width > 0.0 && *height > 0.0 => {
                let rect = [*left, *top, left + width, top + height];
                Ok(Some(Area::Outline(Outline::Rect(rect))))
            }
            _ => Ok(None),
        },
    }
}

fn corners(numbers: &[f64], place: &Path) -> Result<Vec<Point>> {
    let (corners, rest) = numbers.as_chunks::<2>();
    if corners.len() < 3 || !rest.is_empty() {
        let reason = format!(
            "a polygon has {} numbers, not three or more corners",
            numbers.len()
        );
        return Err(wrong(place, reason));
    }
    corners.iter().map(|[x, y]| point(*x, *y, place)).collect()
}

/// Returns key points that are labelled: as points with roles if the category names those, else as one line.
fn key_points(
    numbers: &[f64],
    names: &[String],
    place: &Path,
) -> Result<Vec<(String, Vec<Point>)>> {
    let (triples, rest) = numbers.as_chunks::<3>();
    if !rest.is_empty() {
        return Err(wrong(
            place,
            "`keypoints` is not a list of x, y and visibility",
        ));
    }
    let labelled = triples
        .iter()
        .enumerate()
        .filter(|(_, [.., seen])| *seen > 0.0);
    let points: Vec<(&str, Point)> = labelled
        .map(|(index, [x, y, _])| {
            let name = names.get(index).map_or("", String::as_str);
            Ok((name, centre(point(*x, *y, place)?)))
        })
        .collect::<Result<_>>()?;
    let roles = ["handle", "target", "center", "centre", "anchor"];
    let is_role =
        |(name, _): &(&str, Point)| roles.iter().any(|role| name.to_lowercase().contains(role));
    if !points.is_empty() && points.iter().all(is_role) {
        return Ok(points
            .iter()
            .map(|(name, point)| ((*name).to_owned(), vec![*point]))
            .collect());
    }
    let path: Vec<Point> = points.into_iter().map(|(_, point)| point).collect();
    Ok(if matches!(path.len(), 2 | 3) {
        vec![(String::new(), path)]
    } else {
        Vec::new()
    })
}
