//! Distances between where dragged content is found and where it should be, in the variants that papers report as "mean distance".
//!
//! | variant | features | candidates | distance | mean |
//! |---|---|---|---|---|
//! | A (DragDiffusion) | native size, posterior sample, bilinear enlargement | the whole picture | pixels | over all drags |
//! | B (DragLoRA, "m-MD") | as A | the editable area | pixels | over all drags |
//! | C (RegionDrag) | 768 x 768 by nearest, posterior mode, nearest enlargement | discs around handle and target | share of the sides | per picture, then over pictures |
//! | D1, D2 (DragFlow) | as B and C | as B and C | as B and C, between centroids of regions | as B and C |
//!
//! A point belongs to the pixel that it lies in. Content is found where its pixel's match is; the fraction of the handle within its pixel is kept, so that a
//! picture without an edit has exactly the length of the drag. For points in the middle of pixels these are the published numbers. RegionDrag computes in f16;
//! here features have the device's format and similarities are f64.

use crate::error::Result;
use crate::geometry::{Point, PointPair, Size};
use crate::interrupt::Interrupt;
use crate::mask::Mask;
use crate::region::Region;

use super::dift::{AnyDift, Posterior};
use super::matching::{Enlargement, FeatureMap, Matcher, nearest};

/// Width and height to which variant C resizes pictures.
const SQUARE: Size = Size {
    width: 768,
    height: 768,
};
/// Smallest radius of the discs of variant C, in pixels.
const SMALLEST_DISC: f64 = 5.0;

/// A variant of the mean distance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Variant {
    /// DragDiffusion's, on DragBench.
    A,
    /// A within the editable area.
    B,
    /// RegionDrag's.
    C,
    /// B between centroids of regions.
    D1,
    /// C between centroids of regions.
    D2,
}

/// How features are computed and enlarged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum View {
    Native,
    Square,
}

impl Variant {
    /// All variants.
    pub const ALL: [Self; 5] = [Self::A, Self::B, Self::C, Self::D1, Self::D2];

    /// Returns the name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::A => "MD-A",
            Self::B => "MD-B",
            Self::C => "MD-C",
            Self::D1 => "MD-D1",
            Self::D2 => "MD-D2",
        }
    }

    /// Returns what it is, in one line.
    pub fn description(self) -> &'static str {
        match self {
            Self::A => "mean distance in pixels, matches in the whole picture (DragDiffusion)",
            Self::B => "mean distance in pixels, matches in the editable area (DragLoRA)",
            Self::C => {
                "mean distance in shares of the sides, matches near handle and target (RegionDrag)"
            }
            Self::D1 => "MD-B between centroids of regions (DragFlow)",
            Self::D2 => "MD-C between centroids of regions (DragFlow)",
        }
    }

    /// Returns whether the total is the mean over all drags of all pictures, rather than over the means of pictures.
    pub fn is_over_drags(self) -> bool {
        self.view() == View::Native
    }

    fn view(self) -> View {
        match self {
            Self::A | Self::B | Self::D1 => View::Native,
            Self::C | Self::D2 => View::Square,
        }
    }

    fn is_within_area(self) -> bool {
        matches!(self, Self::B | Self::D1)
    }

    fn is_between_centroids(self) -> bool {
        matches!(self, Self::D1 | Self::D2)
    }
}

/// A picture, its edited version, and what was to be dragged where.
#[derive(Debug, Clone, Copy)]
pub struct Dragged<'a> {
    /// Size of both pictures.
    pub size: Size,
    /// The picture (height, width, 3), 8-bit RGB.
    pub source: &'a [u8],
    /// The edited picture, resized to the same size.
    pub edited: &'a [u8],
    /// The caption.
    pub prompt: &'a str,
    /// Handles and targets, in pixels of the picture.
    pub points: &'a [PointPair],
    /// Centroids of the regions before and after the drag; none where there are points only.
    pub centroids: &'a [PointPair],
    /// What may change, at the picture's size.
    pub editable: &'a Mask,
}

impl Dragged<'_> {
    /// Returns whether a variant can be measured.
    pub fn has(&self, variant: Variant) -> bool {
        let pairs = if variant.is_between_centroids() {
            self.centroids
        } else {
            self.points
        };
        !pairs.is_empty() && (!variant.is_within_area() || self.editable.count() > 0)
    }
}

/// Returns the centroid of a region before the drag, and where the drag takes it; `None` for a region without a pixel.
pub fn centroid(region: &Region) -> Option<PointPair> {
    let mask = &region.mask;
    let (mut sum, mut count) = (Point::new(0.0, 0.0), 0.0);
    for (point, inside) in mask.size().centres().zip(&mask.data) {
        if *inside {
            sum = Point::new(sum.x + point.x, sum.y + point.y);
            count += 1.0;
        }
    }
    (count > 0.0).then(|| {
        let handle = Point::new(sum.x / count, sum.y / count);
        PointPair {
            handle,
            target: region.forward(1.0, handle),
        }
    })
}

/// Measures the distance of every drag in the given variants. Features are computed once for each view that they need. A variant that
/// [cannot be measured](Dragged::has) has no distances.
///
/// # Errors
/// As [`AnyDift::features`].
///
/// # Panics
/// When a picture or the mask does not have the size.
pub fn distances(
    dift: &dyn AnyDift,
    dragged: &Dragged,
    variants: &[Variant],
    interrupt: &Interrupt,
) -> Result<Vec<(Variant, Vec<f64>)>> {
    let mut found: Vec<(Variant, Vec<f64>)> = variants.iter().map(|v| (*v, Vec::new())).collect();
    for view in [View::Native, View::Square] {
        let wanted = |variant: Variant| variant.view() == view && dragged.has(variant);
        if !variants.iter().copied().any(wanted) {
            continue;
        }
        let source = features(dift, dragged.source, dragged, view, interrupt)?;
        let edited = features(dift, dragged.edited, dragged, view, interrupt)?;
        for (variant, distances) in &mut found {
            if wanted(*variant) {
                *distances = of_features(*variant, &source, &edited, dragged);
            }
        }
    }
    Ok(found)
}

/// Returns the distances of one variant, given the features of both pictures.
fn of_features(
    variant: Variant,
    source: &FeatureMap,
    edited: &FeatureMap,
    dragged: &Dragged,
) -> Vec<f64> {
    let pairs = if variant.is_between_centroids() {
        dragged.centroids
    } else {
        dragged.points
    };
    let matches = matches(
        variant,
        source,
        edited,
        dragged.size,
        dragged.editable,
        pairs,
    );
    let pairs = pairs.iter().zip(matches);
    pairs
        .filter_map(|(pair, found)| {
            let target = pair.target;
            let [dx, dy] = [found?.x - target.x, found?.y - target.y];
            let Size { width, height } = dragged.size;
            Some(match variant.view() {
                View::Native => dx.hypot(dy),
                View::Square => (dx / width as f64).hypot(dy / height as f64),
            })
        })
        .collect()
}

/// Returns where the content of each handle is found in the edited picture; `None` where no pixel is a candidate.
///
/// # Panics
/// When the mask does not have the size, or the feature maps do not have the same.
pub fn matches(
    variant: Variant,
    source: &FeatureMap,
    edited: &FeatureMap,
    size: Size,
    editable: &Mask,
    pairs: &[PointPair],
) -> Vec<Option<Point>> {
    assert_eq!(editable.size(), size, "the mask has the pictures' size");
    let enlargement = match variant.view() {
        View::Native => Enlargement::Bilinear,
        View::Square => Enlargement::Nearest,
    };
    let matcher = Matcher::new(edited, size, enlargement);
    let find = |pair: &PointPair| {
        let [of, to] = [pair.handle, pair.target].map(|point| pixel(point, size));
        let found = match variant {
            Variant::A => matcher.best(source, of, |_| true),
            Variant::B | Variant::D1 => {
                let inside = |[y, x]: [usize; 2]| editable.data[y * size.width + x];
                matcher.best(source, of, inside)
            }
            Variant::C | Variant::D2 => {
                let radius = (between(of, to) / 2.0_f64.sqrt()).max(SMALLEST_DISC);
                let near = |at: [usize; 2]| between(at, of) < radius || between(at, to) < radius;
                matcher.best(source, of, near)
            }
        };
        found.map(|[y, x]| {
            let moved = |to: usize, from: usize| to as f64 - from as f64;
            Point::new(
                pair.handle.x + moved(x, of[1]),
                pair.handle.y + moved(y, of[0]),
            )
        })
    };
    pairs.iter().map(find).collect()
}

/// Returns the pixel [row, column] that a point lies in, or the nearest one.
fn pixel(point: Point, size: Size) -> [usize; 2] {
    let index = |place: f64, pixels: usize| (place.max(0.0) as usize).min(pixels - 1);
    [index(point.y, size.height), index(point.x, size.width)]
}

/// Returns the distance of two pixels.
fn between(a: [usize; 2], b: [usize; 2]) -> f64 {
    (a[0] as f64 - b[0] as f64).hypot(a[1] as f64 - b[1] as f64)
}

/// Returns the features of a picture as a view sees it.
fn features(
    dift: &dyn AnyDift,
    pixels: &[u8],
    dragged: &Dragged,
    view: View,
    interrupt: &Interrupt,
) -> Result<FeatureMap> {
    let size = dragged.size;
    assert_eq!(pixels.len(), 3 * size.area(), "a picture of this size");
    let values: Vec<f32> = pixels.iter().map(|v| f32::from(*v) / 127.5 - 1.0).collect();
    match view {
        View::Native => dift.features(values, size, dragged.prompt, Posterior::Sample, interrupt),
        View::Square => {
            let values = resized(&values, size, SQUARE);
            dift.features(values, SQUARE, dragged.prompt, Posterior::Mode, interrupt)
        }
    }
}

/// Resizes values (height, width, 3) by nearest neighbours, as PyTorch's `nearest`.
pub fn resized(values: &[f32], from: Size, to: Size) -> Vec<f32> {
    let rows = (0..to.height).map(|y| nearest(y, to.height, from.height));
    let columns: Vec<usize> = (0..to.width)
        .map(|x| nearest(x, to.width, from.width))
        .collect();
    rows.flat_map(|row| {
        let columns = columns.iter();
        columns.flat_map(move |column| {
            let at = 3 * (row * from.width + column);
            [values[at], values[at + 1], values[at + 2]]
        })
    })
    .collect()
}
