//! What cells get that the warped latent leaves empty (BNNI of FastDrag, section 3.3).

use crate::geometry::Grid;

/// Fills the empty cells of `latent` (rows, columns, channels) in raster order, each with the mean of the nearest cells with content on its four
/// sides, weighted by 1 / distance. A filled cell has content from then on. A cell without any in its row and column keeps what it has.
pub(super) fn interpolate(latent: &mut [f32], has_content: &[bool], grid: &Grid, channels: usize) {
    let mut has_content = has_content.to_vec();
    for cell in 0..grid.len() {
        if has_content[cell] {
            continue;
        }
        let near = nearest(cell, &has_content, grid);
        let sum: f32 = near.iter().map(|(weight, _)| weight).sum();
        if near.is_empty() {
            continue;
        }
        for channel in 0..channels {
            let terms = near
                .iter()
                .map(|(weight, other)| weight * latent[other * channels + channel]);
            latent[cell * channels + channel] = terms.sum::<f32>() / sum;
        }
        has_content[cell] = true;
    }
}

/// Returns the nearest cells with content to the left, to the right, above and below, each with 1 / distance.
fn nearest(cell: usize, has_content: &[bool], grid: &Grid) -> Vec<(f32, usize)> {
    let (row, column) = (cell / grid.columns, cell % grid.columns);
    let sides = [
        (column, 1, -1),
        (grid.columns - 1 - column, 1, 1),
        (row, grid.columns, -1),
        (grid.rows - 1 - row, grid.columns, 1),
    ];
    let find = |(count, stride, sign): (usize, usize, isize)| {
        let at = |distance: usize| {
            cell.checked_add_signed(sign * (distance * stride) as isize)
                .filter(|other| has_content[*other])
                .map(|other| (1.0 / distance as f32, other))
        };
        (1..=count).find_map(at)
    };
    sides.into_iter().filter_map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid {
        columns: 5,
        rows: 3,
        cell: 8.0,
    };

    #[test]
    fn the_nearer_side_counts_more() {
        // Row 1 is 8, empty, empty, empty, 0, and the rows above and below are empty.
        let mut latent = vec![0.0; 15];
        latent[5] = 8.0;
        let mut has_content = [false; 15];
        has_content[5] = true;
        has_content[9] = true;
        let near = nearest(6, &has_content, &GRID);
        assert_eq!(near, [(1.0, 5), (1.0 / 3.0, 9)]);
        has_content[..5].fill(true);
        has_content[10..].fill(true);
        latent[1] = 4.0;
        interpolate(&mut latent, &has_content, &GRID, 1);
        // Left 8 at 1, right 0 at 3, above 4 at 1, below 0 at 1.
        let first = (8.0 + 4.0) / (3.0 + 1.0 / 3.0);
        assert!((latent[6] - first).abs() < 1e-6);
        // The cell that was filled first counts for the next one.
        let second = first / (1.0 + 0.5 + 1.0 + 1.0);
        assert!((latent[7] - second).abs() < 1e-6);
    }

    #[test]
    fn cells_with_content_stay_and_a_latent_without_any_too() {
        let latent: Vec<f32> = (0..30).map(|value| value as f32).collect();
        for has_content in [[true; 15], [false; 15]] {
            let mut filled = latent.clone();
            interpolate(&mut filled, &has_content, &GRID, 2);
            assert_eq!(filled, latent);
        }
    }
}
