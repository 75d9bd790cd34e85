//! `ReD Bench` of DragFlow (arXiv 2510.02253): one JSON file per picture, with region masks as PNG files beside it or in `masks/`.
//!
//! `region_operations` has an entry for each region: `task` (relocation, deformation or rotation), `centroids` (begin and end) and `anchors`;
//! `point_operations` has the same drag as points. A relocation is a translation; the begin is the handle, the end the target; the anchor is
//! the centre of a rotation and the fixed end of a deformation. Files are found by name, and missing masks are accepted: a region without one
//! becomes a point.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::json;
use super::point_folders::mask;
use super::root::{Folder, Root, is_picture};
use super::sample::{Area, PictureSource, Sample, centre, check_count, missing, point, wrong};
use crate::drag_file::{Drag, Shape, Turn};
use crate::error::Result;
use crate::geometry::{Point, PointPair};
use crate::picture;
use crate::warning::WarningKind;

/// Shares of the length by which a target may come close to an anchor; below, the region would fold.
const MIN_STRETCH: f64 = 0.06;

#[derive(Deserialize)]
struct RedSample {
    #[serde(default)]
    region_operations: BTreeMap<String, RegionOperation>,
    #[serde(default)]
    point_operations: Option<PointOperations>,
    #[serde(default)]
    background_prompt: Option<String>,
    #[serde(default)]
    editing_prompt: Option<String>,
}

#[derive(Deserialize)]
struct RegionOperation {
    task: String,
    centroids: [[f64; 2]; 2],
    #[serde(default)]
    anchors: Option<[f64; 2]>,
}

#[derive(Deserialize)]
struct PointOperations {
    begin_points: Vec<[f64; 2]>,
    target_points: Vec<[f64; 2]>,
}

/// Reads the sample of a JSON file; `folders` are all folders of the root.
pub(super) fn read(
    root: &Root,
    folder: &Folder,
    file: &OsStr,
    folders: &[Folder],
) -> Result<Sample> {
    let relative = folder.path.join(file);
    let place = root.folder().join(&relative);
    let operations: RedSample = json::read(root, &relative)?;
    let files = Files::new(folder, file, folders);
    let picture = files.picture().ok_or_else(|| {
        missing(
            place.clone(),
            "no picture belongs to it: one of the same name, or the only one of the folder that is no mask",
        )
    })?;
    let picture = root.file(&picture)?;
    let size = picture::size(&picture)?;
    let mut sample = Sample::new(PictureSource::File(picture), size);
    sample.prompt = operations.background_prompt.unwrap_or_default();
    sample.edit_prompt = operations
        .editing_prompt
        .filter(|prompt| !prompt.is_empty());
    check_count(operations.region_operations.len(), &place)?;
    for (key, operation) in &operations.region_operations {
        let [begin, end] = operation.centroids;
        let at = |[x, y]: [f64; 2]| point(x, y, &place).map(centre);
        let points = PointPair {
            handle: at(begin)?,
            target: at(end)?,
        };
        let anchor = operation.anchors.map(at).transpose()?;
        let name = format!("region-{}", sample.regions.len() + 1);
        let Some(path) = files.mask(key) else {
            let id = sample.add(&name, Drag::Point { points });
            sample.choose(
                WarningKind::ImportRegion,
                Some(&id),
                "the source has no mask of this region: a `point` was chosen",
            );
            continue;
        };
        let area = mask(root, &path, size)?;
        let shape = sample.shape(Area::Mask(area), &name);
        let drag = drag(operation, shape, points, anchor, &place)?;
        sample.add(&name, drag);
    }
    if sample.regions.is_empty() {
        let given = operations.point_operations;
        let given = given.ok_or_else(|| wrong(&place, "has no operation"))?;
        if given.begin_points.len() != given.target_points.len() || given.begin_points.is_empty() {
            return Err(wrong(
                &place,
                "`begin_points` and `target_points` do not match",
            ));
        }
        check_count(given.begin_points.len(), &place)?;
        let at = |[x, y]: &[f64; 2]| point(*x, *y, &place).map(centre);
        let pairs = given.begin_points.iter().zip(&given.target_points);
        let pairs: Vec<PointPair> = pairs
            .map(|(handle, target)| {
                Ok(PointPair {
                    handle: at(handle)?,
                    target: at(target)?,
                })
            })
            .collect::<Result<_>>()?;
        sample.add_points(&pairs);
    }
    if let Some(path) = files.editable() {
        let area = mask(root, &path, size)?;
        sample.set_editable(area);
    }
    Ok(sample)
}

fn drag(
    operation: &RegionOperation,
    shape: Shape,
    points: PointPair,
    anchor: Option<Point>,
    place: &Path,
) -> Result<Drag> {
    match (&*operation.task, anchor) {
        ("relocation" | "translation", _) => Ok(Drag::Translation {
            shape,
            points,
            angle: None,
        }),
        ("deformation", anchor) => Ok(Drag::Deformation {
            shape,
            points,
            anchor: anchor.filter(|anchor| stretches(*anchor, points)),
        }),
        ("rotation", Some(center)) => Ok(Drag::Rotation {
            shape,
            center,
            turn: Turn::Points(points),
        }),
        ("rotation", None) => Err(wrong(place, "a rotation has no anchor to turn about")),
        (other, _) => {
            let reason = format!("`{other}` is not a task: relocation, deformation or rotation");
            Err(wrong(place, reason))
        }
    }
}

/// Returns whether the part between anchor and handle keeps a length, as a drag file requires of an anchor.
fn stretches(anchor: Point, PointPair { handle, target }: PointPair) -> bool {
    let (x, y) = (handle.x - anchor.x, handle.y - anchor.y);
    let length = x.hypot(y);
    length >= 1.0
        && (target.x - anchor.x) * x + (target.y - anchor.y) * y >= MIN_STRETCH * length * length
}

/// The files that may belong to a JSON file: those of its folder, and those of `masks/` in it.
struct Files<'a> {
    stem: String,
    is_alone: bool,
    paths: Vec<(String, PathBuf)>,
    folder: &'a Folder,
}

impl<'a> Files<'a> {
    fn new(folder: &'a Folder, file: &OsStr, folders: &[Folder]) -> Self {
        let is_json = |name: &&std::ffi::OsString| {
            Path::new(name)
                .extension()
                .is_some_and(|extension| extension == "json")
        };
        let inner = folder.path.join("masks");
        let beside = folders.iter().filter(|other| other.path == inner);
        let paths = std::iter::once(folder)
            .chain(beside)
            .flat_map(|holder| {
                holder
                    .files
                    .iter()
                    .map(|name| (name, holder.path.join(name)))
            })
            .filter(|(name, _)| is_picture(name))
            .map(|(_, path)| (stem(&path), path))
            .collect();
        Self {
            stem: stem(Path::new(file)),
            is_alone: folder.files.iter().filter(is_json).count() == 1,
            paths,
            folder,
        }
    }

    fn picture(&self) -> Option<PathBuf> {
        let is_mask = |name: &str| {
            ["mask", "region", "result", "edit"]
                .iter()
                .any(|word| name.contains(word))
        };
        let mut here = self
            .paths
            .iter()
            .filter(|(name, path)| path.parent() == Some(&self.folder.path) && !is_mask(name));
        let named = here.clone().find(|(name, _)| *name == self.stem);
        let (first, second) = (here.next(), here.next());
        let only = first.filter(|_| self.is_alone && second.is_none());
        named.or(only).map(|(_, path)| path.clone())
    }

    /// Returns the mask of a region: a name with `mask` or `region` whose last number is the key.
    fn mask(&self, key: &str) -> Option<PathBuf> {
        self.belonging()
            .find(|(name, path)| {
                let is_inner = path.parent() != Some(&self.folder.path);
                let says_mask = name.contains("mask") || name.contains("region") || is_inner;
                says_mask && last_number(name) == Some(key)
            })
            .map(|(_, path)| path.clone())
    }

    /// Returns the mask of the editable area: a name with `mask` or `editable` and without the number of a region.
    fn editable(&self) -> Option<PathBuf> {
        self.belonging()
            .find(|(name, _)| {
                let own = name.strip_prefix(&self.stem).unwrap_or(name);
                (name.contains("mask") || name.contains("editable")) && last_number(own).is_none()
            })
            .map(|(_, path)| path.clone())
    }

    /// Returns the files that belong to this JSON file: all when it is the only one of its folder, else those that begin with its name.
    fn belonging(&self) -> impl Iterator<Item = &(String, PathBuf)> {
        self.paths
            .iter()
            .filter(|(name, _)| self.is_alone || name.starts_with(&self.stem))
    }
}

fn stem(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default();
    stem.to_string_lossy().to_lowercase()
}

fn last_number(name: &str) -> Option<&str> {
    let end = name.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number = &end[end.trim_end_matches(|c: char| c.is_ascii_digit()).len()..];
    (!number.is_empty()).then_some(number)
}
