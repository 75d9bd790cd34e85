//! Drawing of lines, areas and marks that are visible on any picture: coloured ones have a light edge, white ones a dark one.

use tiny_skia::{
    Color, FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, PremultipliedColorU8,
    Stroke, StrokeDash, Transform,
};

use super::line;
use crate::geometry::{Point, Size};

/// Red, green, blue and alpha.
pub(super) type Colour = [u8; 4];

pub(super) const RED: Colour = [226, 32, 32, 255];
pub(super) const BLUE: Colour = [24, 92, 240, 255];
pub(super) const GREEN: Colour = [0, 150, 64, 255];
pub(super) const VIOLET: Colour = [142, 36, 190, 255];
pub(super) const WHITE: Colour = [255, 255, 255, 255];
/// Returns the colour, a little transparent.
pub(super) const fn faint([red, green, blue, _]: Colour) -> Colour {
    [red, green, blue, 190]
}

const LIGHT: Colour = [255, 255, 255, 215];
const DARK: Colour = [12, 14, 18, 190];

/// How a line is drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub(super) colour: Colour,
    /// Width in units of the sheet, like all lengths here.
    pub(super) width: f64,
    /// Additional width of the line below it, in a contrasting colour.
    pub(super) casing: f64,
    /// Lengths of dashes and of the gaps between them.
    pub(super) dash: Option<[f64; 2]>,
}

/// The mark of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// A red disc.
    Handle,
    /// A blue diamond.
    Target,
    /// A green cross.
    Center,
    /// A violet square.
    Anchor,
}

impl Mark {
    /// Returns the point's key in drag files.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Handle => "handle",
            Self::Target => "target",
            Self::Center => "center",
            Self::Anchor => "anchor",
        }
    }

    pub(super) const fn colour(self) -> Colour {
        match self {
            Self::Handle => RED,
            Self::Target => BLUE,
            Self::Center => GREEN,
            Self::Anchor => VIOLET,
        }
    }

    /// Returns the outline of the mark at a point.
    fn shape(self, at: Point, radius: f64) -> Vec<Point> {
        let corners = |corners: &[(f64, f64)]| {
            corners
                .iter()
                .map(|(x, y)| Point::new(at.x + x * radius, at.y + y * radius))
                .collect()
        };
        match self {
            Self::Handle => (0..48)
                .map(|index| f64::from(index) / 48.0 * std::f64::consts::TAU)
                .map(|angle| Point::new(at.x + radius * angle.cos(), at.y + radius * angle.sin()))
                .collect(),
            Self::Target => corners(&[(0.0, -1.25), (1.25, 0.0), (0.0, 1.25), (-1.25, 0.0)]),
            Self::Anchor => corners(&[(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)]),
            Self::Center => {
                let (far, near) = (1.25, 0.42);
                let arm = [(near, -near), (near, -far), (-near, -far), (-near, -near)];
                let turned = |(x, y): (f64, f64), quarter: usize| {
                    [(x, y), (y, -x), (-x, -y), (-y, x)][quarter]
                };
                let cross: Vec<(f64, f64)> = (0..4)
                    .flat_map(|quarter| arm.map(|corner| turned(corner, quarter)))
                    .collect();
                corners(&cross)
            }
        }
    }
}

/// A picture that is drawn on.
pub(super) struct Pen {
    pixmap: Pixmap,
    unit: f64,
}

impl Pen {
    /// Creates a pen on a picture, (height, width, 3).
    ///
    /// # Panics
    /// When the picture has no pixel or more than fit into memory.
    pub(super) fn new(size: Size, rgb: &[u8], unit: f64) -> Self {
        let mut pixmap = Pixmap::new(size.width as u32, size.height as u32)
            .expect("a preview has at least one pixel and fits into memory");
        for (pixel, rgb) in pixmap.pixels_mut().iter_mut().zip(rgb.chunks_exact(3)) {
            *pixel = opaque([rgb[0], rgb[1], rgb[2]]);
        }
        Self { pixmap, unit }
    }

    pub(super) fn size(&self) -> Size {
        Size::new(self.pixmap.width() as usize, self.pixmap.height() as usize)
    }

    /// Returns the picture, (height, width, 3).
    pub(super) fn rgb(&self) -> Vec<u8> {
        self.pixmap
            .pixels()
            .iter()
            .flat_map(|pixel| [pixel.red(), pixel.green(), pixel.blue()])
            .collect()
    }

    /// Draws a line; it is closed when its first point is also its last.
    pub(super) fn line(&mut self, points: &[Point], style: Line) {
        let margin = 4.0 * (style.width + style.casing) * self.unit;
        let pieces = line::near(points, self.size(), margin);
        let Some(path) = path(&pieces, false) else {
            return;
        };
        let stroke = |width: f64, dash: Option<StrokeDash>| Stroke {
            width: (width * self.unit) as f32,
            line_cap: if style.dash.is_some() {
                LineCap::Butt
            } else {
                LineCap::Round
            },
            line_join: LineJoin::Round,
            dash,
            ..Stroke::default()
        };
        let dash = style.dash.and_then(|lengths| {
            StrokeDash::new(
                lengths.map(|length| (length * self.unit) as f32).to_vec(),
                0.0,
            )
        });
        let below = stroke(style.width + style.casing, dash.clone());
        let above = stroke(style.width, dash);
        if style.casing > 0.0 {
            self.pixmap.stroke_path(
                &path,
                &paint(contrast(style.colour)),
                &below,
                Transform::identity(),
                None,
            );
        }
        self.pixmap.stroke_path(
            &path,
            &paint(style.colour),
            &above,
            Transform::identity(),
            None,
        );
    }

    /// Fills a polygon.
    pub(super) fn area(&mut self, corners: &[Point], colour: Colour) {
        if let Some(path) = path(&[corners.to_vec()], true) {
            self.pixmap.fill_path(
                &path,
                &paint(colour),
                FillRule::Winding,
                Transform::identity(),
                None,
            );
        }
    }

    /// Fills a polygon and draws an edge of `width` units around it.
    pub(super) fn edged_area(&mut self, corners: &[Point], colour: Colour, width: f64) {
        let Some(path) = path(&[corners.to_vec()], true) else {
            return;
        };
        let stroke = |width: f64| Stroke {
            width: (2.0 * width * self.unit) as f32,
            line_join: LineJoin::Round,
            ..Stroke::default()
        };
        let (outer, inner) = (stroke(1.6 * width), stroke(width));
        if contrast(colour) == LIGHT {
            self.pixmap
                .stroke_path(&path, &paint(DARK), &outer, Transform::identity(), None);
        }
        self.pixmap.stroke_path(
            &path,
            &paint(contrast(colour)),
            &inner,
            Transform::identity(),
            None,
        );
        self.pixmap.fill_path(
            &path,
            &paint(colour),
            FillRule::Winding,
            Transform::identity(),
            None,
        );
    }

    /// Draws a mark.
    pub(super) fn mark(&mut self, mark: Mark, at: Point, radius: f64) {
        self.edged_area(&mark.shape(at, radius), mark.colour(), 1.3);
    }

    /// Blends a colour over a rectangle with its top left at `origin`. `coverage` holds the opacity of each of its pixels, row by row.
    pub(super) fn stencil(
        &mut self,
        origin: (usize, usize),
        coverage: &[u8],
        width: usize,
        colour: [u8; 3],
    ) {
        let size = self.size();
        let below = self
            .pixmap
            .pixels_mut()
            .chunks_exact_mut(size.width)
            .skip(origin.1);
        for (pixels, line) in below.zip(coverage.chunks_exact(width.max(1))) {
            for (pixel, share) in pixels.iter_mut().skip(origin.0).zip(line) {
                let mix = |below: u8, above: u8| {
                    let share = u32::from(*share);
                    ((u32::from(below) * (255 - share) + u32::from(above) * share + 127) / 255)
                        as u8
                };
                *pixel = opaque([
                    mix(pixel.red(), colour[0]),
                    mix(pixel.green(), colour[1]),
                    mix(pixel.blue(), colour[2]),
                ]);
            }
        }
    }
}

/// Returns the colour below a line: light below colours, dark below white.
fn contrast(colour: Colour) -> Colour {
    if colour[..3] == WHITE[..3] {
        DARK
    } else {
        LIGHT
    }
}

fn opaque([red, green, blue]: [u8; 3]) -> PremultipliedColorU8 {
    tiny_skia::ColorU8::from_rgba(red, green, blue, 255).premultiply()
}

fn paint([red, green, blue, alpha]: Colour) -> Paint<'static> {
    let mut paint = Paint::default();
    paint.set_color(Color::from_rgba8(red, green, blue, alpha));
    paint
}

fn path(pieces: &[Vec<Point>], closed: bool) -> Option<Path> {
    let mut builder = PathBuilder::new();
    for piece in pieces {
        let Some((first, rest)) = piece.split_first() else {
            continue;
        };
        builder.move_to(first.x as f32, first.y as f32);
        for point in rest {
            builder.line_to(point.x as f32, point.y as f32);
        }
        if closed || (piece.len() > 2 && piece.last() == Some(first)) {
            builder.close();
        }
    }
    builder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pen(grey: u8) -> Pen {
        Pen::new(Size::new(40, 40), &[grey; 40 * 40 * 3], 1.0)
    }

    fn at(pen: &Pen, x: usize, y: usize) -> [u8; 3] {
        let start = (y * 40 + x) * 3;
        pen.rgb()[start..start + 3]
            .try_into()
            .expect("three samples")
    }

    #[test]
    fn marks_are_visible_on_any_ground() {
        for ground in [0, 128, 255] {
            for mark in [Mark::Handle, Mark::Target, Mark::Center, Mark::Anchor] {
                let mut pen = pen(ground);
                pen.mark(mark, Point::new(20.0, 20.0), 6.0);
                assert_eq!(at(&pen, 20, 20), mark.colour()[..3], "{mark:?}");
                let edges: Vec<u8> = (0..20).map(|x| at(&pen, x, 20)[1]).collect();
                let (darkest, lightest) = (
                    edges.iter().min().expect("some"),
                    edges.iter().max().expect("some"),
                );
                assert!(lightest - darkest > 80, "{mark:?} on {ground}: {edges:?}");
            }
        }
    }

    #[test]
    fn only_dashed_lines_have_gaps() {
        let line = |dash| {
            let mut pen = pen(90);
            pen.line(
                &[Point::new(-50.0, 20.5), Point::new(90.0, 20.5)],
                Line {
                    colour: BLUE,
                    width: 2.0,
                    casing: 2.0,
                    dash,
                },
            );
            (0..40).filter(|x| at(&pen, *x, 20) == BLUE[..3]).count()
        };
        assert_eq!(line(None), 40);
        assert!((15..30).contains(&line(Some([6.0, 4.0]))));
    }

    #[test]
    fn a_stencil_is_clipped_at_the_edges() {
        let mut pen = pen(0);
        pen.stencil((30, 35), &[255; 20 * 20], 20, [9, 8, 7]);
        pen.stencil((60, 10), &[255; 20 * 20], 20, [1, 2, 3]);
        assert_eq!(
            (at(&pen, 39, 39), at(&pen, 29, 39), at(&pen, 30, 34)),
            ([9, 8, 7], [0; 3], [0; 3])
        );
        assert!(!pen.rgb().contains(&1));
    }
}
