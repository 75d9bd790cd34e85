//! Samples that are folders with pictures and `points.json`: Drag100 (GoodDrag, arXiv 2404.07206), the set of SDE-Drag, and what the page of
//! DragNeXt saves (arXiv 2506.07611).

use std::path::Path;

use serde::Deserialize;

use super::json;
use super::root::{Folder, Root, is_picture};
use super::sample::{
    Area, PictureSource, Sample, centre, check_count, missing, pairs, point, wrong,
};
use crate::drag_file::{Drag, Turn};
use crate::error::Result;
use crate::geometry::{Point, PointPair, Size};
use crate::mask::Mask;
use crate::picture;
use crate::warning::WarningKind;

/// Points as pixel indices `[x, y]`, and what else `points.json` says.
#[derive(Deserialize)]
struct Points {
    points: Vec<[f64; 2]>,
    /// `NextBench`: for every point, whether it belongs to a rotation.
    #[serde(default)]
    rotation: Vec<bool>,
}

#[derive(Deserialize)]
struct Intention {
    #[serde(default)]
    user_intention: String,
}

/// `prompt.json` of SDE-Drag: one point or several.
#[derive(Deserialize)]
struct SdePrompt {
    #[serde(default)]
    prompt: String,
    source: OneOrMany,
    target: OneOrMany,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One([f64; 2]),
    Many(Vec<[f64; 2]>),
}

impl OneOrMany {
    fn points(&self) -> &[[f64; 2]] {
        match self {
            Self::One(point) => std::slice::from_ref(point),
            Self::Many(points) => points,
        }
    }
}

/// Returns whether a folder is a sample of Drag100, perhaps an incomplete one.
pub(super) fn is_drag100(folder: &Folder) -> bool {
    folder.has("points.json") && !folder.has("handle_region_mask.png")
}

/// Returns whether a folder is a sample of SDE-Drag's set, perhaps an incomplete one.
pub(super) fn is_sde_drag(folder: &Folder) -> bool {
    folder.has("origin_image.png") || folder.has("prompt.json")
}

/// Returns whether a folder is a sample that DragNeXt's page saved, perhaps an incomplete one.
pub(super) fn is_next_bench(folder: &Folder) -> bool {
    folder.has("handle_region_mask.png") || folder.has("editable_region_mask.png")
}

/// Reads a sample of Drag100: `original.jpg`, `mask.png` (white may change), `points.json`.
pub(super) fn drag100(root: &Root, folder: &Path, names: &Folder) -> Result<Sample> {
    let mut sample = start(root, folder, names, "original")?;
    let file = folder.join("points.json");
    let points: Points = json::read(root, &file)?;
    let points = finite(&points.points, &root.folder().join(&file))?;
    sample.add_points(&pairs(&points, &root.folder().join(&file))?);
    if names.has("mask.png") {
        let mask = mask(root, &folder.join("mask.png"), sample.size)?;
        sample.set_editable(mask);
    }
    Ok(sample)
}

/// Reads a sample of SDE-Drag's set: `origin_image.png`, `mask.png`, `prompt.json`.
pub(super) fn sde_drag(root: &Root, folder: &Path, names: &Folder) -> Result<Sample> {
    let mut sample = start(root, folder, names, "origin_image")?;
    let file = folder.join("prompt.json");
    let given: SdePrompt = json::read(root, &file)?;
    let place = root.folder().join(&file);
    let (sources, targets) = (given.source.points(), given.target.points());
    if sources.len() != targets.len() {
        let reason = format!(
            "has {} sources and {} targets",
            sources.len(),
            targets.len()
        );
        return Err(wrong(&place, reason));
    }
    let points: Vec<[f64; 2]> = sources
        .iter()
        .zip(targets)
        .flat_map(|(source, target)| [*source, *target])
        .collect();
    sample.add_points(&pairs(&finite(&points, &place)?, &place)?);
    sample.prompt = given.prompt;
    if names.has("mask.png") {
        let mask = mask(root, &folder.join("mask.png"), sample.size)?;
        sample.set_editable(mask);
    }
    Ok(sample)
}

/// Reads a sample that DragNeXt's page saved. Each region is the connected part of `handle_region_mask.png` that holds its handle; points of
/// a rotation are centre, handle and target.
pub(super) fn next_bench(root: &Root, folder: &Path, names: &Folder) -> Result<Sample> {
    let mut sample = start(root, folder, names, "image")?;
    let file = folder.join("points.json");
    let place = root.folder().join(&file);
    let given: Points = json::read(root, &file)?;
    let points = finite(&given.points, &place)?;
    if given.rotation.len() > points.len() || points.is_empty() {
        return Err(wrong(
            &place,
            "`points` and `rotation` do not have one entry per point",
        ));
    }
    let is_rotation = |index: usize| given.rotation.get(index).copied().unwrap_or(false);
    let (mut turning, mut moving) = (Vec::new(), Vec::new());
    for (index, point) in points.into_iter().enumerate() {
        if is_rotation(index) {
            turning.push(centre(point));
        } else {
            moving.push(point);
        }
    }
    if names.has("user_intention.json") {
        let intention: Intention = json::read(root, &folder.join("user_intention.json"))?;
        sample.prompt = intention.user_intention;
    }
    if names.has("editable_region_mask.png") {
        let mask = mask(root, &folder.join("editable_region_mask.png"), sample.size)?;
        sample.set_editable(mask);
    }
    let regions = if names.has("handle_region_mask.png") {
        mask(root, &folder.join("handle_region_mask.png"), sample.size)?
    } else {
        Mask::filled(sample.size, false)
    };
    let (triples, rest) = turning.as_chunks::<3>();
    if !rest.is_empty() {
        let reason = format!(
            "{} points belong to rotations; each has a centre, a handle and a target",
            turning.len()
        );
        return Err(wrong(&place, reason));
    }
    check_count(triples.len() + moving.len() / 2, &place)?;
    for [center, handle, target] in triples {
        let points = PointPair {
            handle: *handle,
            target: *target,
        };
        let name = format!("region-{}", sample.regions.len() + 1);
        let Some(part) = part_at(&regions, *handle) else {
            add_bare_point(&mut sample, points);
            continue;
        };
        let shape = sample.shape(Area::Mask(part), &name);
        let (center, turn) = (*center, Turn::Points(points));
        sample.add(
            &name,
            Drag::Rotation {
                shape,
                center,
                turn,
            },
        );
    }
    let moving = if moving.is_empty() {
        Vec::new()
    } else {
        pairs(&moving, &place)?
    };
    for points in moving {
        let name = format!("region-{}", sample.regions.len() + 1);
        let Some(part) = part_at(&regions, points.handle) else {
            add_bare_point(&mut sample, points);
            continue;
        };
        let shape = sample.shape(Area::Mask(part), &name);
        let drag = Drag::Translation {
            shape,
            points,
            angle: None,
        };
        let id = sample.add(&name, drag);
        sample.choose(
            WarningKind::ImportType,
            Some(&id),
            "the source does not tell a translation from a deformation: `translation` was chosen",
        );
    }
    Ok(sample)
}

fn add_bare_point(sample: &mut Sample, points: PointPair) {
    let id = sample.add("", Drag::Point { points });
    sample.choose(
        WarningKind::ImportRegion,
        Some(&id),
        "no region of the source holds the handle: a `point` was chosen",
    );
}

/// Begins a sample with its picture, whose name has this stem and any extension.
fn start(root: &Root, folder: &Path, names: &Folder, stem: &str) -> Result<Sample> {
    let found = names.files.iter().find(|name| {
        is_picture(name)
            && Path::new(name)
                .file_stem()
                .is_some_and(|found| found == stem)
    });
    let Some(name) = found else {
        return Err(missing(
            root.folder().join(folder),
            format!("has no picture `{stem}.png` or `{stem}.jpg`"),
        ));
    };
    let picture = root.file(&folder.join(name))?;
    let size = picture::size(&picture)?;
    Ok(Sample::new(PictureSource::File(picture), size))
}

/// Reads a mask inside the root, of the picture's size.
pub(super) fn mask(root: &Root, relative: &Path, size: Size) -> Result<Mask> {
    let path = root.file(relative)?;
    Mask::read(&path, size).map_err(|error| wrong(&path, error.to_string()))
}

fn finite(points: &[[f64; 2]], place: &Path) -> Result<Vec<Point>> {
    points.iter().map(|[x, y]| point(*x, *y, place)).collect()
}

/// Returns the connected part of a mask (of eight neighbours) that holds a point; `None` when none does.
fn part_at(mask: &Mask, point: Point) -> Option<Mask> {
    if !mask.at(point) {
        return None;
    }
    let Size { width, height } = mask.size();
    let column = (point.x as usize).min(width - 1);
    let row = (point.y as usize).min(height - 1);
    let mut part = Mask::filled(mask.size(), false);
    let mut open = vec![(column, row)];
    part.data[row * width + column] = true;
    while let Some((column, row)) = open.pop() {
        for next_row in row.saturating_sub(1)..=(row + 1).min(height - 1) {
            for next in column.saturating_sub(1)..=(column + 1).min(width - 1) {
                let index = next_row * width + next;
                if mask.data[index] && !part.data[index] {
                    part.data[index] = true;
                    open.push((next, next_row));
                }
            }
        }
    }
    Some(part)
}
