//! Seams of regions that are moved as they are drawn: their margin takes on the colours of its new surroundings.
//!
//! A margin that was cut out with its object differs from the ground at the target by a little everywhere, and shows as a ring. The difference
//! along the region's border is spread inwards as a membrane that ends at 0 a few pixels inside, and added to the region's colours (Poisson image
//! editing, Perez et al., SIGGRAPH 2003, confined to a band). The middle of the region keeps its own colours.

use super::fill::{Fill, fill};
use crate::geometry::Point;
use crate::mask::Mask;
use crate::picture::Raster;
use crate::region::Region;

/// Depth of the band as a share of the region's greatest depth.
const SHARE: f32 = 0.35;
/// Largest depth of the band in pixels.
const WIDEST: f32 = 24.0;
/// A difference beyond this is something else and not a shade of the same ground, so that it is not spread.
const LIMIT: f32 = 24.0 / 255.0;

/// The ground on which a region is put.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ground<'a> {
    /// Its colours.
    pub(super) raster: &'a Raster,
    /// Where they begin, in the coordinates of the regions' frame.
    pub(super) corner: Point,
}

impl Ground<'_> {
    /// Returns the colour at a point of the regions' frame; `None` outside.
    fn at(self, point: Point) -> Option<[f32; 3]> {
        let point = Point::new(point.x - self.corner.x, point.y - self.corner.y);
        self.raster
            .size()
            .contains(point)
            .then(|| self.raster.bilinear(point))
    }
}

/// Adds to the colours of a region's margin what lets its border meet the ground at the target. `colour` and `drawn` have one size and begin at
/// `corner` of the region's frame.
pub(super) fn blend(
    colour: &mut Raster,
    ground: Ground,
    drawn: &Mask,
    region: &Region,
    corner: Point,
) {
    let size = colour.size();
    let depth = drawn.depth();
    let band = (SHARE * depth.largest()).min(WIDEST);
    let depth = depth.0;
    if band <= 1.5 {
        return;
    }
    let frame = |point: Point| Point::new(point.x + corner.x, point.y + corner.y);
    let difference = |(index, centre): (usize, Point)| {
        if depth[index] == 0.0 || depth[index] > 1.0 {
            return Some([0.0; 3]);
        }
        let there = ground.at(region.forward(1.0, frame(centre)))?;
        let here = colour.pixels()[index];
        let offset: [f32; 3] = std::array::from_fn(|channel| there[channel] - here[channel]);
        offset
            .iter()
            .all(|offset| offset.abs() <= LIMIT)
            .then_some(offset)
    };
    let border: Vec<Option<[f32; 3]>> = size.centres().enumerate().map(difference).collect();
    let of = |is: &dyn Fn(usize) -> bool| Mask {
        width: size.width,
        height: size.height,
        data: (0..size.area()).map(is).collect(),
    };
    let in_band = |index: usize| depth[index] > 0.0 && depth[index] <= band;
    let hole = of(&|index| in_band(index) && (depth[index] > 1.0 || border[index].is_none()));
    let outside = of(&|index| depth[index] == 0.0);
    let known = border.iter().map(|offset| offset.unwrap_or_default());
    let known = Raster::new(size, known.collect());
    let offsets = fill(&known, &hole, &outside, Fill::Smooth);
    for (index, pixel) in colour.pixels_mut().iter_mut().enumerate() {
        if in_band(index) {
            for (value, offset) in pixel.iter_mut().zip(offsets.pixels()[index]) {
                *value = (*value + offset).clamp(0.0, 1.0);
            }
        }
    }
}
