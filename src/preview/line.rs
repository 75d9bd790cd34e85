//! Polylines: their length, points and parts along them, and clipping to the sheet.

use crate::geometry::{Point, Size};

/// Returns the length of a line.
pub(super) fn length(line: &[Point]) -> f64 {
    line.windows(2).map(|ends| ends[0].distance(ends[1])).sum()
}

/// Returns the point at a distance along a line, at most its last point; `None` for a line without points.
pub(super) fn at(line: &[Point], distance: f64) -> Option<Point> {
    let mut left = distance.max(0.0);
    for ends in line.windows(2) {
        let step = ends[0].distance(ends[1]);
        if left < step {
            return Some(between(ends[0], ends[1], left / step));
        }
        left -= step;
    }
    line.last().copied()
}

/// Returns the part of a line between two distances along it.
pub(super) fn part(line: &[Point], from: f64, to: f64) -> Vec<Point> {
    let mut passed = 0.0;
    let mut part: Vec<Point> = at(line, from).into_iter().collect();
    for ends in line.windows(2) {
        passed += ends[0].distance(ends[1]);
        if passed > from && passed < to {
            part.push(ends[1]);
        }
    }
    part.extend(at(line, to));
    part
}

/// Returns the pieces of a line that lie on a sheet or within `margin` pixels of it, so that lines to distant points are cheap to draw.
pub(super) fn near(line: &[Point], sheet: Size, margin: f64) -> Vec<Vec<Point>> {
    let mut pieces: Vec<Vec<Point>> = Vec::new();
    for ends in line.windows(2) {
        let Some((from, to)) = clipped(ends[0], ends[1], sheet, margin) else {
            continue;
        };
        match pieces.last_mut() {
            Some(piece) if piece.last() == Some(&from) => piece.push(to),
            _ => pieces.push(vec![from, to]),
        }
    }
    pieces
}

/// Clips a segment to the rectangle around a sheet (Liang and Barsky's algorithm).
fn clipped(a: Point, b: Point, sheet: Size, margin: f64) -> Option<(Point, Point)> {
    let (dx, dy) = (b.x - a.x, b.y - a.y);
    let (mut from, mut to) = (0.0_f64, 1.0_f64);
    let (right, bottom) = (sheet.width as f64 + margin, sheet.height as f64 + margin);
    for (outwards, space) in [
        (-dx, a.x + margin),
        (dx, right - a.x),
        (-dy, a.y + margin),
        (dy, bottom - a.y),
    ] {
        if outwards == 0.0 {
            if space < 0.0 {
                return None;
            }
        } else if outwards < 0.0 {
            from = from.max(space / outwards);
        } else {
            to = to.min(space / outwards);
        }
    }
    let end = |share: f64| match share {
        0.0 => a,
        1.0 => b,
        share => between(a, b, share),
    };
    (from <= to).then(|| (end(from), end(to)))
}

fn between(a: Point, b: Point, share: f64) -> Point {
    Point::new(a.x + (b.x - a.x) * share, a.y + (b.y - a.y) * share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(points: &[[f64; 2]]) -> Vec<Point> {
        points.iter().map(|[x, y]| Point::new(*x, *y)).collect()
    }

    #[test]
    fn a_part_keeps_the_corners_between_its_ends() {
        let corner = line(&[[0.0, 0.0], [10.0, 0.0], [10.0, 10.0]]);
        assert_eq!(length(&corner), 20.0);
        assert_eq!(at(&corner, 14.0), Some(Point::new(10.0, 4.0)));
        assert_eq!(at(&corner, 99.0), Some(Point::new(10.0, 10.0)));
        assert_eq!(
            part(&corner, 2.0, 15.0),
            line(&[[2.0, 0.0], [10.0, 0.0], [10.0, 5.0]])
        );
        assert_eq!(part(&corner, 11.0, 15.0), line(&[[10.0, 1.0], [10.0, 5.0]]));
        assert_eq!(part(&[], 0.0, 1.0), []);
    }

    #[test]
    fn a_line_that_leaves_the_sheet_and_returns_is_two_pieces() {
        let sheet = Size::new(100, 50);
        let out_and_back = line(&[[10.0, 10.0], [10.0, -1e6], [90.0, -1e6], [90.0, 10.0]]);
        let pieces = near(&out_and_back, sheet, 5.0);
        assert_eq!(
            pieces,
            [
                line(&[[10.0, 10.0], [10.0, -5.0]]),
                line(&[[90.0, -5.0], [90.0, 10.0]])
            ]
        );
        assert!(
            near(&line(&[[-10.0, 0.0], [0.0, -10.0]]), sheet, 4.9).is_empty(),
            "past the corner"
        );
        let inside = line(&[[1.0, 1.0], [50.0, 20.0], [99.0, 49.0], [1.0, 1.0]]);
        assert_eq!(near(&inside, sheet, 0.0), [inside]);
    }

    proptest! {
        #[test]
        fn pieces_lie_near_the_sheet(points in prop::collection::vec((-1e6..1e6_f64, -1e6..1e6_f64), 2..20)) {
            let points: Vec<Point> = points.into_iter().map(|(x, y)| Point::new(x, y)).collect();
            for piece in near(&points, Size::new(300, 200), 10.0) {
                for point in piece {
                    prop_assert!((-10.1..=310.1).contains(&point.x) && (-10.1..=210.1).contains(&point.y), "{}", point);
                }
            }
        }
    }
}
