//! The window: the part of a large image that the network sees.
//!
//! A photograph that is shrunk to the model's size and enlarged again is blurred wherever the edit is pasted. When the drag needs
//! only a part of it, the network sees just that part with some context around it, so that the pasted area keeps more of the
//! photograph's resolution.

use std::f64::consts::TAU;

use super::editable::SourceEditable;
use super::shapes::{POINT_RADIUS, SourceArea, SourceShape};
use crate::drag_file::{Drag, DragFile, Turn};
use crate::geometry::{Frame, Point, PointPair, Size, Window};

/// Width and height of the window over those of the area in it; the rest is context.
const CONTEXT: f64 = 1.5;
/// Maximum aspect ratio of a window; the working picture has at most twice the area of the model's size.
const MAX_ASPECT: f64 = 2.0;
/// An image that is shrunk by less than this is seen whole.
const MAX_SHRINK: f64 = 1.5;
/// Minimum factor by which a window must enlarge the area; below it, the context of the whole image is worth more.
const MIN_GAIN: f64 = 1.25;
/// Step in radians along a rotation, about a degree. Between two steps, a point deviates from the chord by at most a 25,000th of
/// its distance from the centre.
const TURN_STEP: f64 = TAU / 360.0;
/// Maximum number of rounds. The margin depends on the scale, which depends on the window, which depends on the margin; each
/// round approaches the fixed point from above.
const ROUNDS: usize = 32;

/// An upright rectangle in continuous coordinates.
#[derive(Debug, Clone, Copy)]
struct Extent {
    low: Point,
    high: Point,
}

impl Extent {
    /// The extent of a single point.
    const fn of(point: Point) -> Self {
        Self {
            low: point,
            high: point,
        }
    }

    fn around(self, other: Self) -> Self {
        Self {
            low: Point::new(self.low.x.min(other.low.x), self.low.y.min(other.low.y)),
            high: Point::new(self.high.x.max(other.high.x), self.high.y.max(other.high.y)),
        }
    }

    fn grown(self, by: f64) -> Self {
        Self {
            low: Point::new(self.low.x - by, self.low.y - by),
            high: Point::new(self.high.x + by, self.high.y + by),
        }
    }

    /// The part inside an image.
    fn within(self, image: Size) -> Self {
        let inside = |point: Point| {
            Point::new(
                point.x.clamp(0.0, image.width as f64),
                point.y.clamp(0.0, image.height as f64),
            )
        };
        Self {
            low: inside(self.low),
            high: inside(self.high),
        }
    }
}

/// The area of the image that a window must contain.
#[derive(Debug, Clone, Copy, Default)]
struct Needed {
    /// What the shapes sweep, and the editable area where it is given.
    shapes: Option<Extent>,
    /// The handles and targets of points, around which a disc of a fixed number of working pixels is dragged.
    points: Option<Extent>,
    /// Working pixels around all of it.
    margin: f64,
}

impl Needed {
    /// Returns the area; `None` when some of it is unknown, or everything may change.
    fn new(
        drag: &DragFile,
        areas: &[Option<SourceArea>],
        editable: &SourceEditable,
        margin: usize,
    ) -> Option<Self> {
        let union = |a: Option<Extent>, b| Some(a.map_or(b, |a| a.around(b)));
        let mut needed = Self::default();
        match editable {
            SourceEditable::Swept => needed.margin = margin as f64,
            SourceEditable::Shape(shape) => needed.shapes = Some(extent(shape)?),
            SourceEditable::Everything | SourceEditable::Unreadable => return None,
        }
        for (region, area) in drag.regions.iter().zip(areas) {
            match area.as_ref()? {
                SourceArea::Shape(shape) => {
                    needed.shapes = union(needed.shapes, swept(&region.drag, extent(shape)?));
                }
                SourceArea::Disc { centre } => {
                    needed.points = union(needed.points, swept(&region.drag, Extent::of(*centre)));
                }
            }
        }
        Some(needed)
    }

    /// Returns the rectangle around the area as a frame of the image shows it; `None` when there is no area.
    fn extent(&self, frame: &Frame) -> Option<Extent> {
        let scale = frame.scale().mean();
        let points = self.points.map(|points| points.grown(POINT_RADIUS / scale));
        let all = self.shapes.into_iter().chain(points);
        let all = all.reduce(Extent::around)?;
        Some(all.grown(self.margin / scale).within(frame.source))
    }
}

/// Returns the window for a drag, or the whole image when a window is not worth it.
///
/// `areas` are the areas of the drag's regions, `None` for one that cannot be read. `size` is the shorter side of the working
/// picture; `margin` working pixels are added to the swept area when no editable area is given.
pub(super) fn choose(
    drag: &DragFile,
    areas: &[Option<SourceArea>],
    editable: &SourceEditable,
    image: Size,
    size: usize,
    margin: usize,
) -> Window {
    let whole = Frame::new(image, size);
    if 1.0 / whole.scale().mean() < MAX_SHRINK {
        return whole.window;
    }
    let Some(needed) = Needed::new(drag, areas, editable, margin) else {
        return whole.window;
    };
    let mut frame = whole;
    for _ in 0..ROUNDS {
        let Some(area) = needed.extent(&frame) else {
            return whole.window;
        };
        let window = around(area, image, size);
        if window == frame.window {
            break;
        }
        frame = Frame::windowed(image, window, size);
    }
    if frame.scale().mean() < MIN_GAIN * whole.scale().mean() {
        whole.window
    } else {
        frame.window
    }
}

fn extent(shape: &SourceShape) -> Option<Extent> {
    shape.bounds().map(|(low, high)| Extent { low, high })
}

/// Returns the rectangle around everything that a drag sweeps, starting from `from`.
fn swept(drag: &Drag, from: Extent) -> Extent {
    match drag {
        Drag::Translation { points, .. }
        | Drag::Deformation { points, .. }
        | Drag::Point { points } => shifted(*points, from),
        Drag::Rotation { center, turn, .. } => turned(*center, *turn, from),
    }
}

fn shifted(PointPair { handle, target }: PointPair, from: Extent) -> Extent {
    let moved =
        |point: Point| Point::new(point.x + target.x - handle.x, point.y + target.y - handle.y);
    from.around(Extent {
        low: moved(from.low),
        high: moved(from.high),
    })
}

fn turned(center: Point, turn: Turn, from: Extent) -> Extent {
    let angle = turn.radians(center).clamp(-TAU, TAU);
    let steps = (angle.abs() / TURN_STEP).ceil().max(1.0) as usize;
    let corners = [
        from.low,
        Point::new(from.high.x, from.low.y),
        from.high,
        Point::new(from.low.x, from.high.y),
    ];
    let turned = (1..=steps).flat_map(|step| {
        let (sin, cos) = (angle * step as f64 / steps as f64).sin_cos();
        corners.map(|corner| {
            let (dx, dy) = (corner.x - center.x, corner.y - center.y);
            Point::new(
                center.x + cos * dx + sin * dy,
                center.y - sin * dx + cos * dy,
            )
        })
    });
    turned.fold(from, |extent, point| extent.around(Extent::of(point)))
}

/// Returns the window around an area of the image: with context, at least as large as the working picture, within the maximum
/// aspect ratio, and inside the image.
fn around(area: Extent, image: Size, size: usize) -> Window {
    let (width, height) = (
        CONTEXT * (area.high.x - area.low.x),
        CONTEXT * (area.high.y - area.low.y),
    );
    let least = (width.max(height) / MAX_ASPECT).max(size as f64);
    let (left, width) = side(area.low.x, area.high.x, width.max(least), image.width);
    let (top, height) = side(area.low.y, area.high.y, height.max(least), image.height);
    Window {
        left,
        top,
        size: Size::new(width, height),
    }
}

/// Returns start and length of a window's side of at least `length` around `low..high`, moved into `0..limit`.
fn side(low: f64, high: f64, length: f64, limit: usize) -> (usize, usize) {
    let (first, last) = (low.floor(), high.ceil());
    let length = length.ceil().max(last - first).min(limit as f64);
    // The clamp keeps the area's ends inside despite the rounding, without adding a pixel.
    let start = ((low + high - length) / 2.0)
        .round()
        .clamp(last - length, first)
        .clamp(0.0, limit as f64 - length);
    (start as usize, length as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::findings::Findings;
    use crate::plan::shapes::read_area;
    use proptest::prelude::*;
    use std::path::Path;

    fn window(text: &str, image: Size, size: usize) -> Window {
        let drag = DragFile::parse(text.as_bytes()).expect("a valid file");
        let (mut findings, folder) = (Findings::new(&drag), Path::new(""));
        let areas = drag.regions.iter().map(|region| {
            let pointer = "/regions/0/region";
            read_area(&mut findings, &region.drag, folder, pointer, image)
        });
        let areas: Vec<_> = areas.collect();
        let editable = SourceEditable::read(&mut findings, folder, image);
        choose(&drag, &areas, &editable, image, size, 24)
    }

    fn drag(rest: &str, rect: [f64; 4], dx: f64) -> String {
        let [left, top, right, bottom] = rect;
        format!(
            "{{\"version\": 1, {rest} \"regions\": [{{\"type\": \"translation\", \"region\": {{\"rect\": [{left}, {top}, {right}, {bottom}]}}, \"handle\": [{left}, {top}], \"target\": [{}, {top}]}}]}}",
            left + dx
        )
    }

    const PHOTOGRAPH: Size = Size::new(4000, 3000);

    #[test]
    fn a_small_drag_in_a_photograph_is_edited_at_full_resolution() {
        let window = window(
            &drag("", [1000.0, 1000.0, 1150.0, 1150.0], 100.0),
            PHOTOGRAPH,
            512,
        );
        assert_eq!(window.size, Size::new(512, 512));
        assert_eq!((window.left, window.top), (869, 819));
    }

    #[test]
    fn fractions_of_pixels_do_not_enlarge_the_window() {
        for (left, right) in [
            (1000.0, 1151.0),
            (1000.3, 1150.9),
            (0.0, 151.5),
            (3848.5, 3900.0),
        ] {
            let window = window(
                &drag("", [left, 1000.25, right, 1151.0], 99.5),
                PHOTOGRAPH,
                512,
            );
            assert_eq!(window.size, Size::new(512, 512), "{left} to {right}");
        }
    }

    #[test]
    fn a_window_adds_half_the_area_as_context() {
        // 1000 pixels wide, and 24 working pixels at 512 of 1500 or so on either side.
        let window = window(
            &drag("", [500.0, 500.0, 1300.0, 1300.0], 200.0),
            PHOTOGRAPH,
            512,
        );
        let scale = 512.0 / window.size.height as f64;
        assert!(
            (window.size.width as f64 - 1.5 * (1000.0 + 48.0 / scale)).abs() <= 4.0,
            "{window:?}"
        );
        assert!(
            (window.size.height as f64 - 1.5 * (800.0 + 48.0 / scale)).abs() <= 4.0,
            "{window:?}"
        );
    }

    #[test]
    fn a_given_editable_area_lies_in_the_window() {
        let editable = "\"editable\": {\"rect\": [2000, 1000, 3000, 2000]},";
        let window = window(
            &drag(editable, [2400.0, 1400.0, 2500.0, 1500.0], 50.0),
            PHOTOGRAPH,
            512,
        );
        assert_eq!(
            window,
            Window {
                left: 1750,
                top: 750,
                size: Size::new(1500, 1500)
            }
        );
    }

    #[test]
    fn the_disc_around_a_point_lies_in_the_window() {
        let point = |handle: [f64; 2], target: [f64; 2]| {
            format!(
                "{{\"version\": 1, \"regions\": [{{\"type\": \"point\", \"handle\": {handle:?}, \"target\": {target:?}}}]}}"
            )
        };
        let small = window(&point([1000.0, 1000.0], [1100.0, 1000.0]), PHOTOGRAPH, 512);
        assert_eq!((small.left, small.top), (794, 744));
        assert_eq!(small.size, Size::new(512, 512));
        // 1000 pixels between the points, and on either side the disc's 8 working pixels and the margin's 24.
        let wide = window(&point([500.0, 500.0], [1500.0, 1500.0]), PHOTOGRAPH, 512);
        let scale = 512.0 / wide.size.width as f64;
        let expected = 1.5 * (1000.0 + 2.0 * (8.0 + 24.0) / scale);
        assert!(
            (wide.size.width as f64 - expected).abs() <= 4.0,
            "{wide:?}, {expected}"
        );
    }

    #[test]
    fn the_aspect_ratio_of_a_window_is_limited() {
        let window = window(
            &drag("", [100.0, 1000.0, 160.0, 1060.0], 2000.0),
            PHOTOGRAPH,
            512,
        );
        assert!(
            window.size.width <= 2 * window.size.height && window.size.width > 3000,
            "{window:?}"
        );
    }

    #[test]
    fn large_drags_and_small_images_have_no_window() {
        for (text, image) in [
            (drag("", [100.0, 100.0, 2500.0, 2500.0], 1200.0), PHOTOGRAPH),
            (
                drag("", [100.0, 100.0, 150.0, 150.0], 30.0),
                Size::new(760, 760),
            ),
        ] {
            assert_eq!(window(&text, image, 512), Window::whole(image));
        }
    }

    proptest! {
        #[test]
        fn a_window_contains_the_swept_area(
            width in 600_usize..5000, height in 600_usize..5000, place in prop::array::uniform2(0.0..0.9_f64), side in 9.0..900.0_f64,
            turn in -400.0..400.0_f64, center in prop::array::uniform2(-0.2..1.2_f64), size in prop::sample::select(vec![256_usize, 512])
        ) {
            let image = Size::new(width, height);
            let (left, top) = (place[0] * width as f64, place[1] * height as f64);
            let center = Point::new(center[0] * width as f64, center[1] * height as f64);
            let text = format!(
                "{{\"version\": 1, \"regions\": [{{\"type\": \"rotation\", \"region\": {{\"rect\": [{left}, {top}, {}, {}]}}, \"center\": [{}, {}], \"angle\": {turn}}}]}}",
                left + side, top + side, center.x, center.y
            );
            let window = window(&text, image, size);
            let (right, bottom) = (window.left + window.size.width, window.top + window.size.height);
            prop_assert!(right <= width && bottom <= height && window.size.area() > 0);
            prop_assert!(Frame::windowed(image, window, size).scale().mean() >= 0.999 * Frame::new(image, size).scale().mean());
            for step in 0..=97 {
                let (sin, cos) = (turn.to_radians() * f64::from(step) / 97.0).sin_cos();
                for (x, y) in [(left, top), (left + side, top), (left, top + side), (left + side, top + side)] {
                    let (dx, dy) = (x - center.x, y - center.y);
                    let point = Point::new(center.x + cos * dx + sin * dy, center.y - sin * dx + cos * dy);
                    let inside = (window.left as f64 - 1.0..=right as f64 + 1.0).contains(&point.x)
                        && (window.top as f64 - 1.0..=bottom as f64 + 1.0).contains(&point.y);
                    prop_assert!(!image.contains(point) || inside, "{point} of {window:?}");
                }
            }
        }
    }
}
