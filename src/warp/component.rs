//! Connected parts of a mask.

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
    let mut seen = vec![false; mask.data.len()];
    let mut found = Vec::new();
    for start in 0..mask.data.len() {
        if !mask.data[start] || seen[start] {
            continue;
        }
        seen[start] = true;
        let mut part = vec![start];
        let mut next = 0;
        while next < part.len() {
            for other in neighbours(mask, part[next]) {
                if mask.data[other] && !seen[other] {
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
