//! Edits of pictures with transparency: the network sees the picture on a plain ground, and its opacity moves with what it covers.

use crate::geometry::Point;
use crate::picture::Picture;
use crate::plan::Plan;
use crate::region::Region;
use crate::warning::{Warning, WarningKind};
use crate::warp::Warped;

/// A picture that is not opaque, as the network sees it.
#[derive(Debug)]
pub(crate) struct Transparency {
    /// The picture on its ground.
    pub(super) flat: Picture,
    /// The level of the ground, 0 to 1.
    ground: f32,
    /// The opacity after the drag.
    opacity: Picture,
}

impl Transparency {
    /// Lays a picture on a ground, and warps its opacity as the plan says; `None` for an opaque picture.
    pub(crate) fn new(picture: &Picture, plan: &Plan) -> Option<Self> {
        if picture.is_opaque() {
            return None;
        }
        let ground = picture.ground();
        Some(Self {
            flat: picture.flattened(ground),
            ground,
            opacity: Warped::new(&picture.opacity(), plan).picture,
        })
    }

    /// Returns the warped picture with its transparency, given the warped picture on its ground.
    pub(super) fn of_warped(&self, picture: &Picture, warped: &Picture) -> Picture {
        picture.unflattened(warped, &self.opacity, self.ground)
    }

    /// Returns the edited picture with its transparency, given what the edit made of the picture on its ground. With `blend`, the opacity changes
    /// as far as the colours do.
    pub(super) fn restored(
        &self,
        picture: &Picture,
        edited: &Picture,
        plan: &Plan,
        blend: Option<&[f32]>,
    ) -> Picture {
        let frame = &plan.frame;
        let moved = self.opacity.raster(frame.window);
        let opacity = picture.opacity().composite(frame.window, &moved, blend);
        picture.unflattened(edited, &opacity, self.ground)
    }
}

/// Returns a warning for each region that covers only transparent pixels. A picture that is transparent everywhere has a warning of its own.
pub(super) fn invisible_regions(picture: &Picture, plan: &Plan) -> Vec<Warning> {
    if picture.is_invisible() {
        return Vec::new();
    }
    let frame = &plan.frame;
    let is_invisible = |region: &&Region| {
        let (mask, size) = (&region.mask, picture.size());
        // The mask has working coordinates; a pixel belongs to it if its centre does.
        picture.is_invisible_in(|index| {
            let (x, y) = (index % size.width, index / size.width);
            let centre = frame.to_working(Point::new(x as f64 + 0.5, y as f64 + 0.5));
            mask.at(centre)
        })
    };
    let regions = plan.regions.iter().filter(is_invisible);
    let warnings = regions.map(|region| Warning {
        kind: WarningKind::ImageTransparent,
        message: format!(
            "region `{}` covers only transparent pixels (alpha 0), so nothing visible moves",
            region.id
        ),
    });
    warnings.collect()
}

/// Returns the warped picture of a plan with its transparency; the picture itself when nothing moves.
pub(crate) fn warped(picture: &Picture, plan: &Plan) -> Picture {
    if plan.regions.is_empty() {
        return picture.clone();
    }
    match Transparency::new(picture, plan) {
        None => Warped::new(picture, plan).picture,
        Some(transparency) => {
            let warped = Warped::new(&transparency.flat, plan).picture;
            transparency.of_warped(picture, &warped)
        }
    }
}
