//! Convex hulls of sets of pixels.

/// A corner of a pixel as row and column.
type Corner = (i64, i64);

/// Returns the area of the convex hull of pixels, given as indices into rows of `width`, in pixels.
///
/// The corners of the hull are found row by row, with A. M. Andrew's algorithm ("Another efficient algorithm for convex hulls in two
/// dimensions", 1979).
pub(super) fn hull_area(pixels: &[usize], width: usize) -> f64 {
    let mut corners: Vec<Corner> = (pixels.iter())
        .flat_map(|index| {
            let (row, column) = ((index / width) as i64, (index % width) as i64);
            [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(down, right)| (row + down, column + right))
        })
        .collect();
    corners.sort_unstable();
    corners.dedup();
    let mut outline = side(corners.iter().copied());
    outline.extend(side(corners.iter().rev().copied()));
    let next = outline.iter().cycle().skip(1);
    let twice: i64 = (outline.iter().zip(next))
        .map(|(a, b)| a.0 * b.1 - a.1 * b.0)
        .sum();
    twice.abs() as f64 / 2.0
}

/// Returns the corners of one side of the hull, without the last, which is the first of the other side.
fn side(corners: impl Iterator<Item = Corner>) -> Vec<Corner> {
    let mut side: Vec<Corner> = Vec::new();
    for corner in corners {
        while let [.., before, last] = side[..]
            && turn(before, last, corner) <= 0
        {
            side.pop();
        }
        side.push(corner);
    }
    side.pop();
    side
}

/// Returns a number whose sign is the direction of the turn at `b`; 0 when the three lie on a line.
fn turn(a: Corner, b: Corner, c: Corner) -> i64 {
    (b.0 - a.0) * (c.1 - a.1) - (b.1 - a.1) * (c.0 - a.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hulls_of_pixels_have_the_area_of_their_polygon() {
        // A row, two corners of a square, and a plus in rows of 10.
        for (pixels, area) in [
            (vec![], 0.0),
            (vec![0], 1.0),
            (vec![12, 13, 15], 4.0),
            (vec![0, 22], 5.0),
            (vec![1, 10, 11, 12, 21], 7.0),
        ] {
            assert_eq!(hull_area(&pixels, 10), area, "{pixels:?}");
        }
    }
}
