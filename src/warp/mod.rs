//! The warped picture: what a drag means for pixels, without a model.
//!
//! Every region's object moves to its target, the vacated area is filled from around it, and the gap behind a deformation is stretched. What
//! stands in front of an object stays there, and the object's hidden part is guessed. All of it happens at the picture's own resolution and bit depth. Pixels outside the editable area, and pixels that nothing reaches, stay as they are, bit
//! for bit. The result is what the network starts from with `--start warped`, the source of the detail that an edit carries along, and
//! what `dragnext preview --warped` shows.

mod area;
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

use area::area;
use crop::Crop;
pub(crate) use detail::agreement;
pub use detail::carry;
use fill::{Fill, fill};
use layer::Layer;
use object::{drawn, object};
use seam::Ground;

/// Pixels around a region within which its object is looked for: its longer side, and at least this many.
const MARGIN: usize = 48;
/// A filled pixel counts as new when a colour differs from the picture's own by more than this many of 255 levels.
const VISIBLE: f32 = 4.0 / 255.0;

/// A picture with every region at its target.
#[derive(Debug, Clone)]
pub struct Warped {
    /// The picture, with the original's size, bit depth, alpha and colour profile.
    pub picture: Picture,
    /// The part of the picture that the warp looked at. Nothing outside it has changed.
    area: Window,
    /// For each pixel of the area, the share of its colour that was filled in and differs from what was there, or that is a guess at what was
    /// hidden, 0 to 1.
    new: Vec<f32>,
    /// Ids of the regions in which only a detail stands out, and not what their handle lies on.
    pub(crate) details: Vec<String>,
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
            .filter_map(|region| layer(region, &source, corner, &plan.settings.warp))
            .collect();
        let centre = |index: usize| {
            let (row, column) = (index / area.size.width, index % area.size.width);
            Point::new(column as f64 + 0.5 + corner.x, row as f64 + 0.5 + corner.y)
        };
        let mask = |is: &(dyn Fn(Point) -> bool + Sync)| Mask {
            width: area.size.width,
            height: area.size.height,
            data: (0..area.size.area())
                .into_par_iter()
                .map(|index| is(centre(index)))
                .collect(),
        };
        let hole = mask(&|centre| is_vacated(&layers, centre));
        let fronts = mask(&|centre| layers.iter().any(|layer| layer.front(centre).opacity > 0.0));
        let how = match plan.settings.warp.fill {
            FillChoice::Patches => Fill::Patches,
            FillChoice::Smooth => Fill::Smooth,
        };
        // The background goes on behind what stands in front of an object.
        let ground = fill(&source, &hole, &fronts, how);
        if plan.settings.warp.seams == SeamChoice::Blended {
            let ground = Ground {
                raster: &ground,
                corner,
            };
            for layer in &mut layers {
                layer.blend_seam(ground);
            }
        }

        let is_kept = |centre: Point| {
            let point = Point::new(
                centre.x + frame.window.left as f64,
                centre.y + frame.window.top as f64,
            );
            plan.editable_source
                .as_ref()
                .is_some_and(|editable| !editable.at(point))
        };
        let pixels = (0..area.size.area()).into_par_iter().map(|index| {
            let (original, ground) = (source.pixels()[index], ground.pixels()[index]);
            let centre = centre(index);
            if is_kept(centre) {
                return (original, 0.0);
            }
            let (mut colour, mut shown, mut guessed) = (ground, 1.0, 0.0_f32);
            for layer in &layers {
                let paint = layer.after(centre);
                colour = paint.over(colour);
                shown *= 1.0 - paint.opacity;
                guessed = (guessed * (1.0 - paint.opacity)).max(layer.guessed(centre));
                let front = layer.front(centre);
                // What stands in front may be dragged itself. Where nothing has changed, it is there already.
                if front.opacity > 0.0 && colour != original && !leaves(&layers, layer, centre) {
                    colour = front.over(colour);
                    shown *= 1.0 - front.opacity;
                    guessed *= 1.0 - front.opacity;
                }
            }
            let differs = original
                .iter()
                .zip(ground)
                .any(|(original, ground)| (original - ground).abs() > VISIBLE);
            let filled = if differs { shown } else { 0.0 };
            (colour, guessed.max(filled))
        });
        let (pixels, new): (Vec<[f32; 3]>, Vec<f32>) = pixels.unzip();
        let details = layers.iter().filter(|layer| layer.is_detail());
        Self {
            details: details.map(|layer| layer.id().to_owned()).collect(),
            picture: picture.composite(area, &Raster::new(area.size, pixels), None),
            area,
            new,
        }
    }

    /// Returns the share of the pixel under a point of the picture that was filled in or guessed, 0 to 1.
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

    /// Returns the share of each latent cell of the frame that was filled in or guessed, row by row. A cell is looked up at its working pixels.
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

/// Returns the layer of a region, cut out of the source, which begins at `corner` of the region's frame; `None` for a region without pixels there.
fn layer<'a>(
    region: &'a Region,
    source: &Raster,
    corner: Point,
    settings: &WarpSettings,
) -> Option<Layer<'a>> {
    let mask = Mask::from_fn(source.size(), |point| {
        region
            .mask
            .at(Point::new(point.x + corner.x, point.y + corner.y))
    });
    let (from, to) = mask.bounds()?;
    let side = (to.x - from.x).max(to.y - from.y) as usize;
    let crop = Crop::around(&mask, side.max(MARGIN))?;
    let (part, mask) = (crop.raster(source), crop.mask(&mask));
    let offset = crop.corner();
    let corner = Point::new(corner.x + offset.x, corner.y + offset.y);
    // The part that a deformation moves goes on beyond its region, so it has no outline to be found.
    let is_whole = region.kind.vacates();
    let object = if is_whole && settings.object == ObjectChoice::Found {
        object(&part, &mask)
    } else {
        drawn(&part, &mask)
    };
    Some(Layer::new(region, object, mask, corner))
}

/// Returns whether any object leaves a pixel, or a part of it, to the background.
fn is_vacated(layers: &[Layer], centre: Point) -> bool {
    layers.iter().any(|layer| layer.vacates(centre))
}

/// Returns whether another object than that of `layer` leaves a pixel, or a part of it.
fn leaves(layers: &[Layer], layer: &Layer, centre: Point) -> bool {
    layers
        .iter()
        .any(|other| !std::ptr::eq(other, layer) && other.vacates(centre))
}

#[cfg(test)]
mod tests;
