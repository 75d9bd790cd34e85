//! Connected parts of a mask.

use crate::geometry::Size;
use crate::mask::Mask;

/// Returns `seeds`, and the pixels of `area` that are connected to them along edges of pixels.
pub(super) fn connected(area: &Mask, seeds: &Mask) -> Mask {
    let mut reached = seeds.clone();
    let mut open: Vec<usize> = (0..seeds.data.len())
        .filter(|index| seeds.data[*index])
        .collect();
    while let Some(index) = open.pop() {
        for next in neighbours(area, index) {
            if area.data[next] && !reached.data[next] {
                reached.data[next] = true;
                open.push(next);
            }
        }
    }
    reached
}

/// Returns the pixels that share an edge with a pixel.
pub(super) fn neighbours(mask: &Mask, index: usize) -> impl Iterator<Item = usize> + use<> {
    let Mask { width, height, .. } = *mask;
    let (row, column) = (index / width, index % width);
    [
        (column > 0).then(|| index - 1),
        (column + 1 < width).then_some(index + 1),
        (row > 0).then(|| index - width),
        (row + 1 < height).then_some(index + width),
    ]
    .into_iter()
    .flatten()
}

/// Returns the parts of a mask that are connected along edges of pixels, each as its pixels.
pub(super) fn parts(mask: &Mask) -> Vec<Vec<usize>> {
    let mut seen: Vec<bool> = mask.data.iter().map(|inside| !inside).collect();
    found(mask, &mut seen, |_, _| true)
}

/// Returns the parts of a whole picture, each as its pixels, where neighbours belong together when `joins` says so.
pub(super) fn parts_where(size: Size, joins: impl Fn(usize, usize) -> bool) -> Vec<Vec<usize>> {
    let all = Mask::filled(size, true);
    found(&all, &mut vec![false; size.area()], joins)
}

/// Returns the parts of what is not seen yet.
fn found(mask: &Mask, seen: &mut [bool], joins: impl Fn(usize, usize) -> bool) -> Vec<Vec<usize>> {
    let mut found = Vec::new();
    for start in 0..seen.len() {
        if seen[start] {
            continue;
        }
        seen[start] = true;
        let mut part = vec![start];
        let mut next = 0;
        while next < part.len() {
            let from = part[next];
            for other in neighbours(mask, from) {
                if !seen[other] && joins(from, other) {
                    seen[other] = true;
                    part.push(other);
                }
            }
            next += 1;
        }
        found.push(part);
    }
    found
}
