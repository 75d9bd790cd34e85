//! How a drag is drawn in an annotation tool, which knows areas, lines and points and no drags.
//!
//! - An area is a region. Its label is a type, a name, or both (`rotation head`, `head`); without a type, `translation` is chosen.
//! - An area with the label `editable` is where the picture may change.
//! - A line of two points goes from handle to target; one of three from the centre of a rotation or scale, or the anchor of a deformation,
//!   over the handle to the target. Three lines of two points make an `affine` region.
//! - Points with the labels `handle`, `target`, `center` and `anchor` do the same as a line.
//! - A line belongs to the region of its group, else of its name, else to the smallest region that holds its handle. One that belongs to
//!   none is a drag of the type `point`.
//! - Attributes `type`, `angle` and `factor` of an area are those of the drag file.

mod arrow;
mod drawn;
mod goal;
mod label;

use std::collections::BTreeMap;
use std::path::Path;

pub(super) use drawn::{Drawing, Drawn, Geometry, MAX_PATHS};

use arrow::Arrow;
use goal::Goal;
use label::{Label, Role};

use super::sample::{Area, PictureSource, Sample, check_count, wrong};
use crate::drag_file::{Drag, Editable};
use crate::error::{Error, ErrorKind, Result};
use crate::geometry::{Point, PointPair, Size};
use crate::mask::Mask;
use crate::region::RegionKind;
use crate::warning::WarningKind;

/// A region with its pixels.
struct Region {
    name: String,
    group: Option<String>,
    kind: Option<RegionKind>,
    area: Area,
    mask: Mask,
    count: usize,
    angle: Option<f64>,
    factor: Option<f64>,
    arrows: Vec<Arrow>,
}

/// Makes a sample of a drawing. `motion` is how far regions without a line move.
///
/// # Errors
/// [`Error::Given`] `import.value` or `import.no_motion`, at `place`.
pub(super) fn sample(
    drawing: Drawing,
    picture: PictureSource,
    size: Size,
    motion: Option<[f64; 2]>,
    place: &Path,
) -> Result<Sample> {
    let mut sample = Sample::new(picture, size);
    sample.prompt = drawing.prompt;
    sample.edit_prompt = drawing.edit_prompt;
    let counted = drawing.left_out.iter().map(|((what, kind), count)| {
        if *count == 1 {
            format!("a {what} of the type `{kind}` was left out")
        } else {
            format!("{count} {what}s of the type `{kind}` were left out")
        }
    });
    for message in counted.chain(drawing.notes) {
        sample.choose(WarningKind::ImportLeftOut, None, &message);
    }
    let (mut regions, mut arrows, mut editable) = (Vec::new(), Vec::new(), Vec::new());
    let mut points = Vec::new();
    for drawn in drawing.shapes {
        let label = Label::parse(
            &drawn.label,
            drawn.attributes.get("type").map(String::as_str),
        );
        match (drawn.geometry, label.role) {
            (Geometry::Area(area), Some(Role::Editable)) => editable.push(area),
            (Geometry::Area(area), _) => {
                check_count(regions.len() + 1, place)?;
                let number = |key| number(&drawn.attributes, key, place);
                let mask = area.mask(size);
                regions.push(Region {
                    name: label.name,
                    group: drawn.group,
                    kind: label.kind,
                    count: mask.count(),
                    mask,
                    area,
                    angle: number("angle")?,
                    factor: number("factor")?,
                    arrows: Vec::new(),
                });
            }
            (Geometry::Path(path), role) => match (path.as_slice(), role) {
                ([point], Some(role)) => points.push((role, label.name, drawn.group, *point)),
                ([_], None) => sample.choose(
                    WarningKind::ImportLeftOut,
                    None,
                    "a point was left out: its label is none of `handle`, `target`, `center` and `anchor`",
                ),
                (path, _) => arrows.extend(Arrow::along(path, label.name, drawn.group)),
            },
        }
    }
    arrows.extend(Arrow::of_points(points));
    if let Some(area) = Area::union(editable, size) {
        sample.editable = Editable::Shape(sample.shape(area, "editable"));
    }
    let free = assign(&mut regions, arrows);
    check_count(regions.len() + free.len(), place)?;
    for region in regions {
        add(&mut sample, region, motion, place)?;
    }
    for arrow in free {
        add_free(&mut sample, &arrow, place)?;
    }
    if sample.regions.is_empty() {
        return Err(no_motion(place, "nothing is drawn that can be dragged"));
    }
    Ok(sample)
}

fn number(attributes: &BTreeMap<String, String>, key: &str, place: &Path) -> Result<Option<f64>> {
    let Some(text) = attributes
        .get(key)
        .map(|text| text.trim())
        .filter(|text| !text.is_empty())
    else {
        return Ok(None);
    };
    let number = text.parse().ok().filter(|number: &f64| number.is_finite());
    number.map(Some).ok_or_else(|| {
        let text: String = text.chars().take(40).collect();
        wrong(
            place,
            format!("the attribute `{key}` is `{text}`, not a number"),
        )
    })
}

/// Gives every arrow to its region; returns those that belong to none.
fn assign(regions: &mut [Region], arrows: Vec<Arrow>) -> Vec<Arrow> {
    let mut free = Vec::new();
    for arrow in arrows {
        let by_group = regions
            .iter()
            .position(|region| arrow.group.is_some() && region.group == arrow.group);
        let by_name = || {
            regions
                .iter()
                .position(|region| !arrow.name.is_empty() && region.name == arrow.name)
        };
        let inside = || {
            let at = arrow.handle.or(arrow.fixed)?;
            let holding = regions.iter().enumerate();
            holding
                .filter(|(_, region)| region.mask.at(at))
                .min_by_key(|(_, region)| region.count)
                .map(|(index, _)| index)
        };
        match by_group.or_else(by_name).or_else(inside) {
            Some(index) => regions[index].arrows.push(arrow),
            None => free.push(arrow),
        }
    }
    free
}

/// Adds a region with its motion.
fn add(sample: &mut Sample, region: Region, motion: Option<[f64; 2]>, place: &Path) -> Result<()> {
    let file = format!("region-{}", sample.regions.len() + 1);
    let mut choices = Vec::new();
    let shown = if region.name.is_empty() {
        &file
    } else {
        &region.name
    };
    let Some((low, high)) = region.mask.bounds() else {
        return Err(wrong(
            place,
            format!("the region `{shown}` covers no pixel of the picture"),
        ));
    };
    if let (Some(RegionKind::Affine), Some((handles, targets))) =
        (region.kind, triangles(&region.arrows))
    {
        let shape = sample.shape(region.area, &file);
        let drag = Drag::Affine {
            shape,
            handles,
            targets,
        };
        sample.add(&region.name, drag);
        return Ok(());
    }
    let arrow = match region.arrows.as_slice() {
        [] => Arrow::default(),
        [arrow] => arrow.clone(),
        several => {
            let reason = format!(
                "the region `{shown}` has {} lines; a region has one, and an `affine` one three",
                several.len()
            );
            return Err(wrong(place, reason));
        }
    };
    let middle = Point::new(f64::midpoint(low.x, high.x), f64::midpoint(low.y, high.y));
    let moved = || {
        let [x, y] = motion?;
        let handle = nearest_inside(&region.mask, middle);
        Some(PointPair {
            handle,
            target: Point::new(handle.x + x, handle.y + y),
        })
    };
    let needs_points = !matches!(
        (region.kind, region.angle, region.factor),
        (Some(RegionKind::Rotation), Some(_), _) | (Some(RegionKind::Scale), _, Some(_))
    );
    let points = match arrow.points() {
        Some(points) => Some(points),
        None if !needs_points => None,
        None => {
            let points = moved().ok_or_else(|| {
                no_motion(
                    place,
                    &format!("the region `{shown}` has no line from its handle to its target"),
                )
            })?;
            choices.push((
                WarningKind::ImportMotion,
                "nothing says where the region goes: it moves as far as `--move` says",
            ));
            Some(points)
        }
    };
    let kind = region.kind.unwrap_or_else(|| {
        if arrow.fixed.is_some() {
            return RegionKind::Rotation;
        }
        choices.push((
            WarningKind::ImportType,
            "the source does not say how the region moves: `translation` was chosen",
        ));
        RegionKind::Translation
    });
    let center = arrow.fixed.unwrap_or(middle);
    if arrow.fixed.is_none() && matches!(kind, RegionKind::Rotation | RegionKind::Scale) {
        choices.push((
            WarningKind::ImportCenter,
            "no centre is drawn: the middle of the region was chosen",
        ));
    }
    let goal = Goal {
        points,
        center,
        fixed: arrow.fixed,
        angle: region.angle,
        factor: region.factor,
    };
    let shape = sample.shape(region.area, &file);
    let drag = goal.drag(kind, shape).ok_or_else(|| {
        let reason = format!("the region `{shown}` lacks lines: an `affine` one needs three");
        wrong(place, reason)
    })?;
    let id = sample.add(&region.name, drag);
    for (kind, message) in choices {
        sample.choose(kind, Some(&id), message);
    }
    Ok(())
}

/// Returns the handles and the targets of three complete lines.
fn triangles(arrows: &[Arrow]) -> Option<([Point; 3], [Point; 3])> {
    let [a, b, c] = arrows else {
        return None;
    };
    let [a, b, c] = [a.points()?, b.points()?, c.points()?];
    Some((
        [a.handle, b.handle, c.handle],
        [a.target, b.target, c.target],
    ))
}

/// Adds a line that belongs to no region.
fn add_free(sample: &mut Sample, arrow: &Arrow, place: &Path) -> Result<()> {
    let points = arrow
        .points()
        .ok_or_else(|| no_motion(place, "a handle has no target, or a target no handle"))?;
    let id = sample.add(&arrow.name, Drag::Point { points });
    sample.choose(
        WarningKind::ImportRegion,
        Some(&id),
        "the line belongs to no region: a `point` was chosen",
    );
    Ok(())
}

/// Returns the centre of the pixel inside the mask that is nearest to a point.
fn nearest_inside(mask: &Mask, to: Point) -> Point {
    let inside = mask.size().centres().zip(&mask.data);
    let nearest = inside
        .filter_map(|(pixel, inside)| inside.then_some(pixel))
        .min_by(|a, b| a.distance(to).total_cmp(&b.distance(to)));
    nearest.unwrap_or(to)
}

fn no_motion(place: &Path, reason: &str) -> Error {
    Error::Given {
        path: place.to_path_buf(),
        kind: ErrorKind::ImportNoMotion,
        reason: reason.to_owned(),
        hint: "draw a line from the handle inside the region to its target, or give one motion for all with `--move DX,DY`".into(),
    }
}
