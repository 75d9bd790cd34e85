//! A start for drags, beyond DragNeXt's paper: every region's inverted noise is copied to its target, and the vacated area gets noised
//! background. RegionDrag (arXiv 2407.18247) copies latents in the same way.

use super::cells::{cell_at, touched};
use super::vacated_noise::VacatedNoise;
use crate::diffusion::Stream;
use crate::diffusion::kept::CellContent;
use crate::geometry::{Frame, Grid};
use crate::kernels::Backend;
use crate::method::Scene;
use crate::nn::Tensor;
use crate::region::Region;

/// Returns the inverted latent of a scene with every region's cells copied to their targets, and what each cell then has.
///
/// A cell that an object vacates gets sqrt(a) b + sqrt(1 - a) n: a is the cumulative product of alphas at the first executed
/// timestep, b the picture's latent with the vacated area filled from its border inwards, n its noise mixed with a share `noise_share` of
/// fresh noise ([`VacatedNoise`]).
pub fn moved_start<B: Backend, N>(
    scene: &mut Scene<B, N>,
    noise_share: f64,
) -> (Tensor<B>, Vec<CellContent>) {
    let (inverted, clean) = (scene.trajectory.inverted(), scene.trajectory.clean());
    let alpha = scene.schedule.alpha(scene.grid.timesteps[0]);
    let fresh = scene.noise.normal(Stream::VACATED, inverted.shape().len());
    let noise = VacatedNoise::new(alpha, noise_share, &fresh);
    let (latent, contents) = moved(inverted, clean, &noise, scene.regions, &scene.frame);
    (
        Tensor::from_host(inverted.backend(), inverted.shape(), latent),
        contents,
    )
}

fn moved<B: Backend>(
    inverted: &Tensor<B>,
    clean: &Tensor<B>,
    noise: &VacatedNoise,
    regions: &[Region],
    frame: &Frame,
) -> (Vec<f32>, Vec<CellContent>) {
    let grid = frame.latent_grid();
    let original = inverted.to_host();
    let channels = inverted.shape().channels;
    let mut latent = original.clone();

    let vacating: Vec<&Region> = regions
        .iter()
        .filter(|region| region.kind.vacates())
        .collect();
    let before = touched(&vacating, 0.0, frame);
    let after = touched(&regions.iter().collect::<Vec<_>>(), 1.0, frame);
    let clean = clean.to_host();
    let background = filled(&clean, &before, &grid, channels);
    let mut contents: Vec<CellContent> = (0..grid.len()).map(CellContent::Of).collect();
    for cell in (0..grid.len()).filter(|cell| before[*cell] && !after[*cell]) {
        contents[cell] = CellContent::New;
        for at in cell * channels..(cell + 1) * channels {
            latent[at] = noise.added(at, background[at], original[at], clean[at]);
        }
    }

    for region in regions {
        for cell in region.covered_cells(1.0, &grid) {
            let source = cell_at(&grid, region.source_of(1.0, grid.centre(cell)));
            contents[cell] = CellContent::Of(source);
            latent[cell * channels..(cell + 1) * channels]
                .copy_from_slice(&original[source * channels..(source + 1) * channels]);
        }
    }
    (latent, contents)
}

/// Returns the latent with holes filled inwards: ring by ring, the mean of the known cells among the 3 x 3 neighbours.
fn filled(latent: &[f32], hole: &[bool], grid: &Grid, channels: usize) -> Vec<f32> {
    let mut values = latent.to_vec();
    let mut known: Vec<bool> = hole.iter().map(|hole| !hole).collect();
    let (rows, columns) = (grid.rows, grid.columns);
    while known.contains(&false) && known.contains(&true) {
        let (old_values, old_known) = (values.clone(), known.clone());
        for cell in (0..grid.len()).filter(|cell| !old_known[*cell]) {
            let (row, column) = (cell / columns, cell % columns);
            let neighbours: Vec<usize> = (row.saturating_sub(1)..(row + 2).min(rows))
                .flat_map(|row| {
                    (column.saturating_sub(1)..(column + 2).min(columns))
                        .map(move |column| row * columns + column)
                })
                .filter(|neighbour| old_known[*neighbour])
                .collect();
            if neighbours.is_empty() {
                continue;
            }
            for channel in 0..channels {
                let sum: f32 = neighbours
                    .iter()
                    .map(|neighbour| old_values[neighbour * channels + channel])
                    .sum();
                values[cell * channels + channel] = sum / neighbours.len() as f32;
            }
            known[cell] = true;
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_filled_from_their_rim_inwards() {
        let grid = Grid {
            columns: 5,
            rows: 5,
            cell: 8.0,
        };
        let latent: Vec<f32> = (0..25)
            .map(|cell| {
                if (cell % 5).clamp(1, 3) == cell % 5 && (5..20).contains(&cell) {
                    9.0
                } else {
                    1.0
                }
            })
            .collect();
        let hole: Vec<bool> = latent.iter().map(|value| *value == 9.0).collect();
        assert_eq!(filled(&latent, &hole, &grid, 1), vec![1.0; 25]);
        assert_eq!(
            filled(&latent, &[true; 25], &grid, 1),
            latent,
            "nothing is known: nothing is changed"
        );
    }
}
