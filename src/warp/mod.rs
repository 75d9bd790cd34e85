//! The warped picture: what a drag means for pixels, without a model.
//!
//! Every region's object moves to its target, the vacated area is filled from around it, and the gap behind a deformation is stretched. All
//! of it happens at the picture's own resolution and bit depth. Pixels outside the editable area, and pixels that nothing reaches, stay as they are, bit
//! for bit. The result is what the network starts from with `--start warped`, the source of the detail that an edit carries along, and
//! what `dragnext preview --warped` shows.

mod component;
mod crop;
mod detail;
mod fill;
mod layer;
mod object;
mod seam;

use rayon::prelude::*;

use crate::geometry::{Frame, Point, Size, Window};
use crate::mask::Mask;
use crate::picture::{Picture, Raster};
use crate::plan::Plan;
use crate::region::Region;
use crate::settings::{FillChoice, ObjectChoice, SeamChoice, WarpSettings};

pub use detail::carry;
use fill::{Fill, fill};
use layer::Layer;
use object::{drawn, object};

/// Pixels around everything that a drag reaches which the fill may look at, as a share of the reached area's longer side.
const SURROUNDINGS: f64 = 0.5;
/// The least of them.
const MIN_SURROUNDINGS: usize = 48;
/// A filled pixel counts as new when a colour differs from the picture's own by more than this many of 255 levels.
const VISIBLE: f32 = 4.0 / 255.0;

/// A picture with every region at its target.
#[derive(Debug, Clone)]
pub struct Warped {
    /// The picture, with the original's size, bit depth, alpha and colour profile.
    pub picture: Picture,
    /// The part of the picture that the warp looked at. Nothing outside it has changed.
    area: Window,
    /// For each pixel of the area, the share of its colour that was filled in and differs from what was there, 0 to 1.
    new: Vec<f32>,
}

impl Warped {
    /// Warps a picture as its plan says.
    ///
    /// # Panics
    /// When the plan belongs to a picture of another size.
    pub fn new(picture: &Picture, plan: &Plan) -> Self {
        let (frame, regions) = (&plan.frame, &plan.native_regions);
        assert_eq!(
            frame.source,
            picture.size(),
            "the plan belongs to another picture"
        );
        let area = area(regions, frame);
        let corner = Point::new(
            (area.left - frame.window.left) as f64,
            (area.top - frame.window.top) as f64,
        );
        let source = picture.raster(area);
        let mut layers: Vec<Layer> = regions
            .iter()
            .map(|region| layer(region, &source, corner, &plan.settings.warp))
            .collect();
        let centres: Vec<Point> = area
            .size
            .centres()
            .map(|centre| Point::new(centre.x + corner.x, centre.y + corner.y))
            .collect();
        let hole = hole(&layers, &centres, area.size);
        let how = match plan.settings.warp.fill {
            FillChoice::Patches => Fill::Patches,
            FillChoice::Smooth => Fill::Smooth,
        };
        let nothing = Mask::filled(area.size, false);
        let ground = fill(&source, &hole, &nothing, how);
        if plan.settings.warp.seams == SeamChoice::Blended {
            for layer in &mut layers {
                layer.blend_seam(&ground);
            }
        }

        let keep = |centre: &Point| {
            let point = Point::new(
                centre.x + frame.window.left as f64,
                centre.y + frame.window.top as f64,
            );
            plan.editable_source
                .as_ref()
                .is_some_and(|editable| !editable.at(point))
        };
        let pixels = centres.par_iter().enumerate().map(|(index, centre)| {
            let (original, ground) = (source.pixels()[index], ground.pixels()[index]);
            if keep(centre) {
                return (original, 0.0);
            }
            let (mut colour, mut shown) = (ground, 1.0);
            for layer in &layers {
                let paint = layer.after(*centre);
                colour = paint.over(colour);
                shown *= 1.0 - paint.opacity;
            }
            let differs = original
                .iter()
                .zip(ground)
                .any(|(original, ground)| (original - ground).abs() > VISIBLE);
            (colour, if differs { shown } else { 0.0 })
        });
        let (pixels, new): (Vec<[f32; 3]>, Vec<f32>) = pixels.unzip();
        Self {
            picture: picture.composite(area, &Raster::new(area.size, pixels), None),
            area,
            new,
        }
    }

    /// Returns the share of the pixel under a point of the picture that was filled in, 0 to 1.
    pub fn new_at(&self, point: Point) -> f32 {
        let (x, y) = (
            point.x - self.area.left as f64,
            point.y - self.area.top as f64,
        );
        let Size { width, height } = self.area.size;
        if x < 0.0 || y < 0.0 || x >= width as f64 || y >= height as f64 {
            return 0.0;
        }
        self.new[y as usize * width + x as usize]
    }

    /// Returns the share of each latent cell of the frame that was filled in, row by row. A cell is looked up at its working pixels.
    pub fn new_cells(&self, frame: &Frame) -> Vec<f32> {
        let grid = frame.latent_grid();
        let (pixels, side) = (grid.cell as usize, grid.cell);
        let share = |cell: usize| {
            let centre = grid.centre(cell);
            let along = |index: usize| (index as f64 + 0.5) - 0.5 * side;
            let sum: f32 = (0..pixels * pixels)
                .map(|index| {
                    let (dx, dy) = (along(index % pixels), along(index / pixels));
                    let point = Point::new(centre.x + dx, centre.y + dy);
                    if frame.content.contains(point) {
                        self.new_at(frame.to_source(point))
                    } else {
                        0.0
                    }
                })
                .sum();
            sum / (pixels * pixels) as f32
        };
        (0..grid.len()).map(share).collect()
    }
}

/// Returns the layer of a region.
fn layer<'a>(
    region: &'a Region,
    source: &Raster,
    corner: Point,
    settings: &WarpSettings,
) -> Layer<'a> {
    let mask = Mask::from_fn(source.size(), |point| {
        region
            .mask
            .at(Point::new(point.x + corner.x, point.y + corner.y))
    });
    // The part that a deformation moves goes on beyond its region, so it has no outline to be found.
    let is_whole = region.kind.vacates();
    let object = if is_whole && settings.object == ObjectChoice::Found {
        object(source, &mask)
    } else {
        drawn(source, &mask)
    };
    Layer::new(region, object, mask, corner)
}

/// Returns the pixels of which an object that leaves its place covers any part before the drag.
fn hole(layers: &[Layer], centres: &[Point], size: Size) -> Mask {
    let data = centres
        .par_iter()
        .map(|centre| layers.iter().any(|layer| layer.vacates(*centre)))
        .collect();
    Mask {
        width: size.width,
        height: size.height,
        data,
    }
}

/// Returns the part of the picture that the regions reach, with its surroundings.
fn area(regions: &[Region], frame: &Frame) -> Window {
    let Window { left, top, size } = frame.window;
    let reached: Vec<(Point, Point)> = regions.iter().filter_map(Region::reach).collect();
    let low = |along: fn(&Point) -> f64| {
        reached
            .iter()
            .map(|(low, _)| along(low))
            .fold(f64::INFINITY, f64::min)
    };
    let high = |along: fn(&Point) -> f64| {
        reached
            .iter()
            .map(|(_, high)| along(high))
            .fold(f64::NEG_INFINITY, f64::max)
    };
    let (x, y): (fn(&Point) -> f64, fn(&Point) -> f64) = (|point| point.x, |point| point.y);
    let longer = (high(x) - low(x)).max(high(y) - low(y)).max(0.0);
    let around = ((SURROUNDINGS * longer) as usize).max(MIN_SURROUNDINGS) as f64;
    let span = |low: f64, high: f64, length: usize| {
        let from = (low - around).floor().clamp(0.0, (length - 1) as f64) as usize;
        let to = (high + around)
            .ceil()
            .clamp(from as f64 + 1.0, length as f64) as usize;
        (from, to - from)
    };
    let (columns, rows) = (
        span(low(x), high(x), size.width),
        span(low(y), high(y), size.height),
    );
    Window {
        left: left + columns.0,
        top: top + rows.0,
        size: Size::new(columns.1, rows.1),
    }
}
