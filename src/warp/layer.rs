//! A region's object as a layer over the picture: where the drag puts it, with what opacity.

use super::object::Object;
use super::seam::{self, Ground};
use crate::geometry::{Point, Size};
use crate::mask::Mask;
use crate::picture::mixed;
use crate::region::{Region, RegionKind};

/// Positions at which a drag is looked up for the gap behind a deformation.
const STEPS: usize = 64;
/// Halvings of the interval between two of them.
const HALVINGS: usize = 10;
/// The largest share of a region that is a detail of it.
const DETAIL: f32 = 0.2;
/// Most samples along each side of a pixel, where a motion shrinks its region.
const MAX_SAMPLES: usize = 8;

/// A region with its object. Points are in the coordinates of the region's frame.
pub(super) struct Layer<'a> {
    region: &'a Region,
    object: Object,
    /// The region as drawn.
    drawn: Mask,
    /// Where the object's arrays begin.
    corner: Point,
}

/// A colour, and its opacity from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Paint {
    pub(super) colour: [f32; 3],
    pub(super) opacity: f32,
}

impl Paint {
    const NOTHING: Self = Self {
        colour: [0.0; 3],
        opacity: 0.0,
    };

    /// Returns this paint over another colour.
    pub(super) fn over(self, below: [f32; 3]) -> [f32; 3] {
        // Not a mixture of both, so that full opacity gives the colour bit for bit.
        if self.opacity >= 1.0 {
            self.colour
        } else {
            mixed(below, self.colour, self.opacity)
        }
    }
}

impl<'a> Layer<'a> {
    /// Returns the region's id.
    pub(super) fn id(&self) -> &str {
        &self.region.id
    }

    /// Returns whether the object that was found is a small part of the region, and the handle lies beside it. The region is then
    /// probably smaller than what it means.
    pub(super) fn is_detail(&self) -> bool {
        if !self.object.found || self.region.kind != RegionKind::Translation {
            return false;
        }
        let found: f32 = self.object.opacity.iter().sum();
        let drawn = self.drawn.data.iter().filter(|inside| **inside).count();
        let handle = self.region.points.handle;
        let handle = Point::new(handle.x - self.corner.x, handle.y - self.corner.y);
        let size = self.drawn.size();
        let index = handle.y as usize * size.width + handle.x as usize;
        let is_on_it = size.contains(handle) && self.object.opacity[index] >= 0.5;
        !is_on_it && found < DETAIL * drawn as f32
    }

    /// Creates the layer of a region from its object. The object's arrays and the mask of the drawn region begin at `corner`.
    pub(super) fn new(region: &'a Region, object: Object, drawn: Mask, corner: Point) -> Self {
        Self {
            region,
            object,
            drawn,
            corner,
        }
    }

    /// Gives the margin of a region that moves as it is drawn the shade of the ground at its target. An object that was found has no margin.
    pub(super) fn blend_seam(&mut self, ground: Ground) {
        if !self.object.found {
            let colour = &mut self.object.colour;
            seam::blend(colour, ground, &self.drawn, self.region, self.corner);
        }
    }

    /// Returns whether the object leaves the pixel with this centre, or a part of it, to the background. A deformation leaves nothing.
    pub(super) fn vacates(&self, centre: Point) -> bool {
        self.region.kind.vacates() && {
            let here = |offset: Point| Point::new(centre.x - offset.x, centre.y - offset.y);
            let paint = self.with_shadow(self.source(centre), here);
            paint.opacity > 0.0
        }
    }

    /// Returns the paint of what stands in front of the object, which stays where it is.
    pub(super) fn front(&self, centre: Point) -> Paint {
        let Some(front) = &self.object.front else {
            return Paint::NOTHING;
        };
        let at = Point::new(centre.x - self.corner.x, centre.y - self.corner.y);
        let opacity = share(&front.opacity, front.colour.size(), at);
        if opacity == 0.0 {
            return Paint::NOTHING;
        }
        Paint {
            colour: front.colour.bicubic(at),
            opacity,
        }
    }

    /// Returns how far the object is a guess at the pixel with this centre after the drag, 0 to 1.
    pub(super) fn guessed(&self, centre: Point) -> f32 {
        let Some(guessed) = &self.object.guessed else {
            return 0.0;
        };
        let source = self.region.source_of(1.0, centre);
        let at = Point::new(source.x - self.corner.x, source.y - self.corner.y);
        share(guessed, self.object.colour.size(), at)
    }

    /// Returns the mean paint of the pixel with this centre after the drag.
    pub(super) fn after(&self, centre: Point) -> Paint {
        let samples = self.samples(centre);
        if samples == 1 {
            return self.at(centre);
        }
        let (mut colour, mut opacity) = ([0.0; 3], 0.0);
        let offset = |index: usize| (index as f64 + 0.5) / samples as f64 - 0.5;
        for row in 0..samples {
            for column in 0..samples {
                let paint = self.at(Point::new(
                    centre.x + offset(column),
                    centre.y + offset(row),
                ));
                opacity += paint.opacity;
                for (sum, value) in colour.iter_mut().zip(paint.colour) {
                    *sum += paint.opacity * value;
                }
            }
        }
        if opacity == 0.0 {
            return Paint::NOTHING;
        }
        Paint {
            colour: colour.map(|sum| sum / opacity),
            opacity: opacity / (samples * samples) as f32,
        }
    }

    /// Returns how many samples along each side of a pixel are needed so that neighbouring samples lie at most a pixel apart in the source.
    fn samples(&self, centre: Point) -> usize {
        let source = |x: f64, y: f64| {
            self.region
                .source_of(1.0, Point::new(centre.x + x, centre.y + y))
        };
        let across = source(0.5, 0.0).distance(source(-0.5, 0.0));
        let down = source(0.0, 0.5).distance(source(0.0, -0.5));
        // A turn keeps lengths but for rounding.
        let needed = (across.max(down) - 1e-6).ceil();
        if needed.is_finite() {
            (needed.max(1.0) as usize).min(MAX_SAMPLES)
        } else {
            1
        }
    }

    /// Returns the paint at a point after the drag. The gap behind a deformation is as opaque as the region was there at most, and has the colour of
    /// the region's trailing edge, so that a bar that is pulled longer keeps its cross-section.
    fn at(&self, point: Point) -> Paint {
        let here = self.with_shadow(self.source(self.region.source_of(1.0, point)), |offset| {
            self.region
                .source_of(1.0, Point::new(point.x - offset.x, point.y - offset.y))
        });
        if self.region.kind.vacates() || here.opacity >= 1.0 {
            return here;
        }
        let (opacity, edge) = self.swept(point);
        if opacity <= here.opacity {
            return here;
        }
        Paint {
            colour: here.over(self.colour(edge)),
            opacity,
        }
    }

    /// Returns the largest opacity that the region has at a point during the drag, and the source of the point at the last progress at which it
    /// has half of that.
    fn swept(&self, point: Point) -> (f32, Point) {
        let opacity = |eta: f64| self.opacity(self.region.source_of(eta, point));
        let progress = |step: usize| step as f64 / STEPS as f64;
        let opacities: Vec<f32> = (0..=STEPS).map(|step| opacity(progress(step))).collect();
        let largest = opacities.iter().copied().fold(0.0, f32::max);
        let covers = |opacity: f32| opacity >= 0.5 * largest;
        let last = opacities.iter().rposition(|opacity| covers(*opacity));
        let last = last.unwrap_or(STEPS);
        let (mut covered, mut beyond) = (progress(last), progress((last + 1).min(STEPS)));
        for _ in 0..HALVINGS {
            let middle = 0.5 * (covered + beyond);
            if covers(opacity(middle)) {
                covered = middle;
            } else {
                beyond = middle;
            }
        }
        (largest, self.region.source_of(covered, point))
    }

    /// Returns the object's paint at a point before the drag.
    fn source(&self, point: Point) -> Paint {
        let opacity = self.opacity(point);
        if opacity == 0.0 {
            return Paint::NOTHING;
        }
        Paint {
            colour: self.colour(point),
            opacity,
        }
    }

    /// Returns a paint of the object over that of its shadow. `source` returns where the object's point was before the drag whose shadow falls
    /// here, given the shadow's offset.
    fn with_shadow(&self, paint: Paint, source: impl FnOnce(Point) -> Point) -> Paint {
        let Some(cast) = &self.object.cast else {
            return paint;
        };
        if paint.opacity >= 1.0 {
            return paint;
        }
        let caster = source(cast.offset);
        let at = Point::new(
            caster.x + cast.offset.x - self.corner.x,
            caster.y + cast.offset.y - self.corner.y,
        );
        let shade = share(&cast.opacity, cast.colour.size(), at);
        let opacity = paint.opacity + (1.0 - paint.opacity) * shade;
        if shade == 0.0 || opacity == 0.0 {
            return paint;
        }
        Paint {
            colour: mixed(
                cast.colour.bilinear(at),
                paint.colour,
                paint.opacity / opacity,
            ),
            opacity,
        }
    }

    /// Returns the object's colour at a point before the drag.
    fn colour(&self, point: Point) -> [f32; 3] {
        let point = Point::new(point.x - self.corner.x, point.y - self.corner.y);
        self.object.colour.bicubic(point)
    }

    /// Returns the opacity at a point before the drag, interpolated between pixel centres; 0 beyond the object's arrays.
    fn opacity(&self, point: Point) -> f32 {
        let point = Point::new(point.x - self.corner.x, point.y - self.corner.y);
        share(&self.object.opacity, self.object.colour.size(), point)
    }
}

/// Returns the share at a point, interpolated between pixel centres; 0 beyond the array.
fn share(shares: &[f32], Size { width, height }: Size, point: Point) -> f32 {
    let (x, y) = (point.x - 0.5, point.y - 0.5);
    let (left, top) = (x.floor(), y.floor());
    let (right_share, bottom_share) = ((x - left) as f32, (y - top) as f32);
    let at = |x: f64, y: f64| {
        let inside = x >= 0.0 && y >= 0.0 && x < width as f64 && y < height as f64;
        if inside {
            shares[y as usize * width + x as usize]
        } else {
            0.0
        }
    };
    let line = |y: f64| {
        let (near, far) = (at(left, y), at(left + 1.0, y));
        near + right_share * (far - near)
    };
    let (near, far) = (line(top), line(top + 1.0));
    near + bottom_share * (far - near)
}
