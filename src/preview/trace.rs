//! Tracing of a mask's edges as closed lines.

use crate::geometry::{Point, Size};
use crate::mask::Mask;

/// Maximum side at which a mask is traced; larger masks are reduced first.
const LONGEST_SIDE: usize = 1024;
/// Maximum number of corners of a mask's edges. A mask of noise would have millions.
const MAX_CORNERS: usize = 6000;

/// Steps along the sides of pixels: east, south, west, north.
const STEPS: [(isize, isize); 4] = [(1, 0), (0, 1), (-1, 0), (0, -1)];

/// Minimum length in pixels of the two straight lines at a corner; between shorter lines it is a step of a staircase.
const STRAIGHT: usize = 6;

/// Returns the closed lines between inside and outside, in the mask's coordinates; the picture's border counts as outside. Staircases
/// become slopes. The longest lines are kept when there are too many corners.
pub(super) fn edges(mask: &Mask) -> Vec<Vec<Point>> {
    let longer = mask.width.max(mask.height);
    let small = |side: usize| (side * LONGEST_SIDE / longer).max(1);
    let reduced = (longer > LONGEST_SIDE)
        .then(|| mask.resized(Size::new(small(mask.width), small(mask.height))));
    let traced = reduced.as_ref().unwrap_or(mask);
    let scale = traced.size().scale_to(mask.size());
    let mut rings = rings(traced);
    // A stable sort, so that the result depends on the mask alone.
    rings.sort_by_key(|ring| std::cmp::Reverse(ring.len()));
    let mut left = MAX_CORNERS;
    let kept = rings
        .iter()
        .map(|ring| thinned(sloped(ring)))
        .take_while(|ring| {
            let fits = ring.len() <= left;
            left = left.saturating_sub(ring.len());
            fits
        });
    kept.map(|ring| ring.into_iter().map(|point| point.scaled(scale)).collect())
        .collect()
}

/// Returns all closed lines along the sides of pixels, with the inside on their right, in steps of one pixel. Pixels that touch only at
/// a corner belong to different lines.
fn rings(mask: &Mask) -> Vec<Vec<(usize, usize)>> {
    let (width, height) = (mask.width as isize, mask.height as isize);
    let inside = |x: isize, y: isize| {
        (0..width).contains(&x) && (0..height).contains(&y) && mask.data[(y * width + x) as usize]
    };
    let mut traced = vec![false; mask.data.len()]; // pixels whose upper side is part of a line
    let mut rings = Vec::new();
    for start in 0..width * height {
        let (column, row) = (start % width, start / width);
        if traced[start as usize] || !inside(column, row) || inside(column, row - 1) {
            continue;
        }
        let (mut x, mut y, mut direction) = (column, row, 0);
        let mut ring = Vec::new();
        loop {
            ring.push((x as usize, y as usize));
            if direction == 0 {
                traced[(y * width + x) as usize] = true;
            }
            let (dx, dy) = STEPS[direction];
            (x, y) = (x + dx, y + dy);
            // The two pixels ahead. The line continues when only the right one is inside, and turns otherwise.
            let (right, left) = match direction {
                0 => ((x, y), (x, y - 1)),
                1 => ((x - 1, y), (x, y)),
                2 => ((x - 1, y - 1), (x - 1, y)),
                _ => ((x, y - 1), (x - 1, y - 1)),
            };
            if !inside(right.0, right.1) {
                direction = (direction + 1) % 4;
            } else if inside(left.0, left.1) {
                direction = (direction + 3) % 4;
            }
            if (x, y, direction) == (column, row, 0) {
                break;
            }
        }
        rings.push(ring);
    }
    rings
}

/// Returns the line through the middles of a ring's steps, which turns staircases into slopes, and through the corners between its
/// straight parts.
fn sloped(ring: &[(usize, usize)]) -> Vec<Point> {
    let count = ring.len();
    let at = |index: usize| ring[index % count];
    let direction = |index: usize| {
        (
            at(index + 1).0 as isize - at(index).0 as isize,
            at(index + 1).1 as isize - at(index).1 as isize,
        )
    };
    let is_straight =
        |from: usize| (1..STRAIGHT).all(|step| direction(from + step) == direction(from));
    let mut line: Vec<Point> = Vec::new();
    for index in 0..count {
        let (from, to) = (at(index), at(index + 1));
        line.push(Point::new(
            (from.0 + to.0) as f64 / 2.0,
            (from.1 + to.1) as f64 / 2.0,
        ));
        let turns = direction(index) != direction(index + 1);
        if turns
            && count > 2 * STRAIGHT
            && is_straight(index + count + 1 - STRAIGHT)
            && is_straight(index + 1)
        {
            line.push(Point::new(to.0 as f64, to.1 as f64));
        }
    }
    without_collinear(&line)
}

/// Thins a ring evenly to at most [`MAX_CORNERS`] corners.
fn thinned(ring: Vec<Point>) -> Vec<Point> {
    let step = ring.len().div_ceil(MAX_CORNERS);
    if step > 1 {
        ring.into_iter().step_by(step).collect()
    } else {
        ring
    }
}

/// Removes the points of a ring at which the direction does not change.
fn without_collinear(ring: &[Point]) -> Vec<Point> {
    let count = ring.len();
    let is_turn = |index: &usize| {
        let (before, here, after) = (
            ring[(index + count - 1) % count],
            ring[*index],
            ring[(index + 1) % count],
        );
        (here.x - before.x) * (after.y - here.y) != (here.y - before.y) * (after.x - here.x)
    };
    (0..count)
        .filter(is_turn)
        .map(|index| ring[index])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mask(rows: &[&str]) -> Mask {
        let data = rows
            .iter()
            .flat_map(|row| row.chars().map(|c| c == '#'))
            .collect();
        Mask {
            width: rows[0].len(),
            height: rows.len(),
            data,
        }
    }

    fn points(rows: &[&str]) -> Vec<Vec<[f64; 2]>> {
        edges(&mask(rows))
            .into_iter()
            .map(|ring| ring.into_iter().map(<[f64; 2]>::from).collect())
            .collect()
    }

    #[test]
    fn a_rectangle_has_four_corners() {
        let size = Size::new(20, 12);
        for (low, high) in [((3.0, 2.0), (14.0, 11.0)), ((0.0, 0.0), (20.0, 12.0))] {
            let rect = crate::outline::Outline::Rect([low.0, low.1, high.0, high.1]);
            let mut turned = rect.ring();
            turned.rotate_left(1);
            assert_eq!(
                edges(&rect.raster(size)),
                [turned],
                "the picture's border is an edge"
            );
        }
        assert!(points(&["..", ".."]).is_empty());
        assert_eq!(
            points(&["#"]),
            [[[0.5, 0.0], [1.0, 0.5], [0.5, 1.0], [0.0, 0.5]]],
            "a single pixel has no corners"
        );
    }

    #[test]
    fn a_hole_is_a_separate_line_in_the_opposite_direction() {
        let found = points(&["###", "#.#", "###"]);
        assert_eq!(found.len(), 2);
        let areas: Vec<f64> = found.iter().map(|ring| area(ring)).collect();
        assert!(areas[0] > 8.0 && areas[1] == -0.5, "{areas:?}");
    }

    fn area(ring: &[[f64; 2]]) -> f64 {
        ring.iter()
            .zip(ring.iter().cycle().skip(1))
            .map(|(a, b)| a[0] * b[1] - b[0] * a[1])
            .sum::<f64>()
            / 2.0
    }

    #[test]
    fn pixels_that_touch_only_at_a_corner_are_two_shapes() {
        assert_eq!(points(&["#.", ".#"]).len(), 2);
        assert_eq!(points(&[".#", "#."]).len(), 2);
    }

    #[test]
    fn a_staircase_becomes_a_slope() {
        let stairs: Vec<String> = (0..20)
            .map(|row| "#".repeat(row + 1) + &".".repeat(19 - row))
            .collect();
        let stairs: Vec<&str> = stairs.iter().map(String::as_str).collect();
        let [ring] = &edges(&mask(&stairs))[..] else {
            panic!("one shape")
        };
        assert!(ring.len() <= 7, "two legs, a slope, and cut tips: {ring:?}");
        assert!(
            ring.contains(&Point::new(0.0, 20.0)),
            "the right angle is a corner: {ring:?}"
        );
    }

    #[test]
    fn only_the_longest_lines_of_noise_are_kept() {
        let size = Size::new(600, 600);
        let mut noise = Mask::from_fn(size, |point| {
            (point.x as usize + point.y as usize).is_multiple_of(2)
        });
        for index in 0..50 * 600 {
            noise.data[index] = index % 600 != 0 && index / 600 != 0;
        }
        let found = edges(&noise);
        assert!(found.iter().map(Vec::len).sum::<usize>() <= MAX_CORNERS);
        assert!(
            found[0].contains(&Point::new(1.0, 1.0)),
            "the large rectangle is kept"
        );
    }

    #[test]
    fn a_very_long_line_is_thinned() {
        let tooth = |x: usize, y: usize| y.is_multiple_of(4) || (y % 4 == 1 && x.is_multiple_of(2));
        let comb = Mask::from_fn(Size::new(1000, 1000), |point| {
            point.x < 2.0 || tooth(point.x as usize, point.y as usize)
        });
        let long = rings(&comb)
            .into_iter()
            .map(|ring| sloped(&ring).len())
            .max();
        assert!(long > Some(MAX_CORNERS), "{long:?}");
        let corners = edges(&comb)[0].len();
        assert!(
            (MAX_CORNERS / 2..=MAX_CORNERS).contains(&corners),
            "{corners}"
        );
    }

    #[test]
    fn a_large_mask_is_traced_in_the_masks_coordinates() {
        let large = Mask::from_fn(Size::new(4000, 2000), |point| {
            point.x > 1000.0 && point.y > 500.0
        });
        let [ring] = &edges(&large)[..] else {
            panic!("one rectangle")
        };
        let near = |x: f64, y: f64| {
            ring.iter()
                .any(|point| point.distance(Point::new(x, y)) < 8.0)
        };
        assert!(
            ring.len() == 4 && near(1000.0, 500.0) && near(4000.0, 2000.0),
            "{ring:?}"
        );
    }

    proptest! {
        /// The lines enclose as many pixels as are inside, and are as long as the sides between inside and outside.
        #[test]
        fn lines_enclose_the_pixels_inside(width in 1_usize..12, height in 1_usize..12, bits in prop::collection::vec(any::<bool>(), 144)) {
            let mask = Mask { width, height, data: bits[..width * height].to_vec() };
            let rings = rings(&mask);
            let area: isize = rings.iter().flat_map(|ring| ring.iter().zip(ring.iter().cycle().skip(1))).map(|(a, b)| {
                a.0 as isize * b.1 as isize - b.0 as isize * a.1 as isize
            }).sum();
            prop_assert_eq!(area, 2 * mask.count() as isize);
            let at = |x: isize, y: isize| x >= 0 && y >= 0 && x < width as isize && y < height as isize && mask.data[y as usize * width + x as usize];
            let mut sides = 0;
            for y in 0..=height as isize {
                for x in 0..=width as isize {
                    sides += usize::from(at(x, y) != at(x - 1, y)) + usize::from(at(x, y) != at(x, y - 1));
                }
            }
            prop_assert_eq!(rings.iter().map(Vec::len).sum::<usize>(), sides);
        }
    }
}
