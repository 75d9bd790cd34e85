//! DragBench-DR and -SR, released with RegionDrag (arXiv 2407.18247): DragBench and SDE-Drag's set with regions instead of points.
//!
//! `meta_data_region.pkl` holds the cells that are copied: `points` alternates the corner of a source cell and that of its target cell, cells
//! of 8 x 8 pixels in the order of the target's rows, region after region. A region here is one connected part of such target cells; its
//! motion is the affine map that fits its pairs best, or a shift if that fits them within half a cell. `meta_data.pkl` has the points that
//! metrics compare; they become `x-points` of the drag file.

use std::collections::BTreeMap;
use std::path::Path;

use super::dragbench::{META, Meta, PICTURE};
use super::root::{Folder, Root};
use super::sample::{Area, PictureSource, Sample, pairs, wrong};
use crate::drag_file::{Drag, FACTORS};
use crate::error::Result;
use crate::geometry::{Linear, Point, PointPair, Size};
use crate::mask::Mask;
use crate::picture;
use crate::warning::WarningKind;

/// The file of the benchmark, and the one that RegionDrag's page saves.
const REGIONS: [&str; 2] = ["meta_data_region.pkl", "meta_data_mask.pkl"];
/// Side in pixels of a cell, if all coordinates are multiples of it; else cells are pixels.
const CELL: f64 = 8.0;

/// A source cell and the target cell that it is copied to, as the corners in the file.
type Pair = (Point, Point);

/// Returns whether a folder is a sample, perhaps an incomplete one.
pub(super) fn is_sample(folder: &Folder) -> bool {
    folder.has(PICTURE) || REGIONS.iter().any(|name| folder.has(name))
}

/// Reads the sample in a folder.
pub(super) fn read(root: &Root, folder: &Path, names: &Folder) -> Result<Sample> {
    let picture = root.file(&folder.join(PICTURE))?;
    let size = picture::size(&picture)?;
    let mut sample = Sample::new(PictureSource::File(picture), size);
    let name = REGIONS.iter().find(|name| names.has(name));
    let file = folder.join(name.unwrap_or(&REGIONS[0]));
    let meta = Meta::read(root, &file)?;
    let place = root.folder().join(&file);
    sample.prompt.clone_from(&meta.prompt);
    let (cells, rest) = meta.points.as_chunks::<2>();
    if cells.is_empty() || !rest.is_empty() {
        let reason = format!(
            "`points` has {} points; source and target cells alternate, so it must be an even number above 0",
            meta.points.len()
        );
        return Err(wrong(&place, reason));
    }
    let cells: Vec<Pair> = cells.iter().map(|[from, to]| (*from, *to)).collect();
    let is_cell = |point: &Point| point.x % CELL == 0.0 && point.y % CELL == 0.0;
    let are_cells = cells.iter().all(|(from, to)| is_cell(from) && is_cell(to));
    let side = if are_cells { CELL } else { 1.0 };
    for part in regions(&cells, side) {
        add(&mut sample, &part, side);
    }
    if names.has(META) {
        let points = Meta::read(root, &folder.join(META))?.points;
        sample.points = pairs(&points, &root.folder().join(folder).join(META))?;
    }
    meta.set_editable(&mut sample)?;
    Ok(sample)
}

/// Splits the pairs into regions: a new one begins where targets stop to follow each other row by row; then by connected target cells.
fn regions(cells: &[Pair], side: f64) -> Vec<Vec<Pair>> {
    let follows = |a: &Pair, b: &Pair| (a.1.y, a.1.x) < (b.1.y, b.1.x);
    cells
        .chunk_by(follows)
        .flat_map(|run| connected(run, side))
        .collect()
}

/// Splits pairs into those of connected target cells (of eight neighbours), in the order of their first cells.
fn connected(run: &[Pair], side: f64) -> Vec<Vec<Pair>> {
    let key = |(_, to): &Pair| ((to.y / side).floor() as i64, (to.x / side).floor() as i64);
    let mut left: BTreeMap<(i64, i64), usize> = run
        .iter()
        .enumerate()
        .map(|(index, pair)| (key(pair), index))
        .collect();
    let mut parts = Vec::new();
    for pair in run {
        let Some(first) = left.remove(&key(pair)) else {
            continue;
        };
        let (mut part, mut open) = (Vec::new(), vec![(key(pair), first)]);
        while let Some(((row, column), index)) = open.pop() {
            part.push(index);
            for near in (-1..=1).flat_map(|down| (-1..=1).map(move |across| (down, across))) {
                let near = (row.saturating_add(near.0), column.saturating_add(near.1));
                if let Some(index) = left.remove(&near) {
                    open.push((near, index));
                }
            }
        }
        part.sort_unstable();
        parts.push(part.into_iter().map(|index| run[index]).collect());
    }
    parts
}

/// Adds the region of these pairs.
fn add(sample: &mut Sample, part: &[Pair], side: f64) {
    let middle = |corner: Point| Point::new(corner.x + side / 2.0, corner.y + side / 2.0);
    let part: Vec<Pair> = part
        .iter()
        .map(|(from, to)| (middle(*from), middle(*to)))
        .collect();
    let name = format!("region-{}", sample.regions.len() + 1);
    let shape = sample.shape(Area::Mask(covered(&part, side, sample.size)), &name);
    let (from, to) = (mean(&part, |pair| pair.0), mean(&part, |pair| pair.1));
    let shift = Point::new(to.x - from.x, to.y - from.y);
    let nearest = part.iter().min_by(|a, b| {
        let distance = |pair: &Pair| pair.0.distance(from);
        distance(a).total_cmp(&distance(b))
    });
    let handle = nearest.map_or(from, |pair| pair.0);
    let points = PointPair {
        handle,
        target: Point::new(handle.x + shift.x, handle.y + shift.y),
    };
    let misses = part
        .iter()
        .map(|(a, b)| (b.x - a.x - shift.x).powi(2) + (b.y - a.y - shift.y).powi(2));
    let miss = (misses.sum::<f64>() / part.len() as f64).sqrt();
    let fitted = (miss > side / 2.0)
        .then(|| affine(&part, from, to, sample.size))
        .flatten();
    let (drag, message) = match fitted {
        Some((handles, targets)) => (
            Drag::Affine {
                shape,
                handles,
                targets,
            },
            "the source copies cells: the type `affine` was chosen, with the map that fits them best",
        ),
        None => (
            Drag::Translation {
                shape,
                points,
                angle: None,
            },
            "the source copies cells: the type `translation` was chosen, by their mean shift",
        ),
    };
    let id = sample.add(&name, drag);
    sample.choose(WarningKind::ImportType, Some(&id), message);
}

fn mean(part: &[Pair], of: impl Fn(&Pair) -> Point) -> Point {
    let count = part.len() as f64;
    let sum = part
        .iter()
        .map(of)
        .fold(Point::new(0.0, 0.0), |sum, point| {
            Point::new(sum.x + point.x, sum.y + point.y)
        });
    Point::new(sum.x / count, sum.y / count)
}

/// Returns the pixels of the source cells.
fn covered(part: &[Pair], side: f64, size: Size) -> Mask {
    let mut mask = Mask::filled(size, false);
    let range = |middle: f64, limit: usize| {
        let clamp = |edge: f64| edge.clamp(0.0, limit as f64) as usize;
        clamp(middle - side / 2.0)..clamp(middle + side / 2.0)
    };
    for (from, _) in part {
        for row in range(from.y, size.height) {
            let columns = range(from.x, size.width);
            mask.data[row * size.width + columns.start..row * size.width + columns.end].fill(true);
        }
    }
    mask
}

/// Returns three handles and targets of the affine map that fits the pairs best (least squares); `None` when the cells lie on one line, the
/// map mirrors or stretches beyond what a drag file permits, or a target lies outside the picture.
fn affine(part: &[Pair], from: Point, to: Point, size: Size) -> Option<([Point; 3], [Point; 3])> {
    // Normal equations: map (sum of a a^T) = sum of b a^T, for sources a and targets b about their means.
    let (mut cross, mut square) = (Linear::scale(0.0), Linear::scale(0.0));
    let (mut reach_x, mut reach_y) = (0.0_f64, 0.0_f64);
    for (a, b) in part {
        let (ax, ay, bx, by) = (a.x - from.x, a.y - from.y, b.x - to.x, b.y - to.y);
        cross.xx += bx * ax;
        cross.xy += bx * ay;
        cross.yx += by * ax;
        cross.yy += by * ay;
        square.xx += ax * ax;
        square.xy += ax * ay;
        square.yx += ax * ay;
        square.yy += ay * ay;
        reach_x = reach_x.max(ax.abs());
        reach_y = reach_y.max(ay.abs());
    }
    let scale = square.xx * square.yy;
    if square.determinant() <= scale * 1e-9 {
        return None;
    }
    let map = cross.after(square.inverse());
    let (small, large) = map.factors();
    if map.determinant() <= 0.0 || small < FACTORS[0] || large > FACTORS[1] {
        return None;
    }
    let handles = [
        from,
        Point::new(from.x + reach_x / 2.0, from.y),
        Point::new(from.x, from.y + reach_y / 2.0),
    ];
    let targets = handles.map(|handle| {
        let (x, y) = map.of(handle.x - from.x, handle.y - from.y);
        Point::new(to.x + x, to.y + y)
    });
    handles
        .iter()
        .chain(&targets)
        .all(|point| size.contains(*point))
        .then_some((handles, targets))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cells of a target rectangle with the source cells that a map gives, cut to cells as RegionDrag does.
    fn cells(
        columns: std::ops::Range<i64>,
        rows: std::ops::Range<i64>,
        source: impl Fn(f64, f64) -> (f64, f64),
    ) -> Vec<Pair> {
        rows.flat_map(|row| columns.clone().map(move |column| (column, row)))
            .map(|(column, row)| {
                let (x, y) = source(column as f64, row as f64);
                (
                    Point::new(x.floor() * CELL, y.floor() * CELL),
                    Point::new(column as f64 * CELL, row as f64 * CELL),
                )
            })
            .collect()
    }

    #[test]
    fn regions_are_told_apart_and_keep_their_motion() {
        let mut all = cells(20..30, 20..28, |x, y| (x - 12.0, y - 4.0));
        all.extend(cells(40..60, 10..22, |x, y| {
            ((x - 40.0) / 2.0 + 3.0, y + 20.0)
        }));
        let parts = regions(&all, CELL);
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [80, 240]);
        let mut sample = Sample::new(PictureSource::Embedded(Vec::new()), Size::new(512, 512));
        for part in &parts {
            add(&mut sample, part, CELL);
        }
        let Drag::Translation { points, .. } = &sample.regions[0].drag else {
            panic!("{:?}", sample.regions[0]);
        };
        let shift = (
            points.target.x - points.handle.x,
            points.target.y - points.handle.y,
        );
        assert_eq!(shift, (96.0, 32.0));
        assert_eq!(sample.masks[0].1.count(), 80 * 64);
        let Drag::Affine {
            handles, targets, ..
        } = &sample.regions[1].drag
        else {
            panic!("{:?}", sample.regions[1]);
        };
        let map = Linear::between(*handles, *targets);
        assert!(
            (map.xx - 2.0).abs() < 0.05 && (map.yy - 1.0).abs() < 1e-9,
            "{map:?}"
        );
        assert!(map.xy.abs() < 1e-9 && map.yx.abs() < 1e-9, "{map:?}");
    }
}
