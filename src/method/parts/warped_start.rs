//! A start for drags: the inversion of the warped picture, with fresh noise where the warped picture was only filled.

use super::vacated_noise::VacatedNoise;
use crate::diffusion::Stream;
use crate::diffusion::kept::CellContent;
use crate::kernels::Backend;
use crate::method::Scene;
use crate::nn::Tensor;

/// A cell is new when the warped picture has more than this share of its pixels anew.
const NEW: f32 = 0.05;

/// Returns whether a latent cell is new of which the warped picture has this share of pixels anew ([`Scene::new`]).
pub fn is_new(share: f32) -> bool {
    share > NEW
}

/// Returns the inverted latent of the warped picture with a share `noise_share` of fresh noise in its new cells ([`VacatedNoise`]), and what
/// each cell has.
pub fn warped_start<B: Backend, N>(
    scene: &mut Scene<B, N>,
    noise_share: f64,
) -> (Tensor<B>, Vec<CellContent>) {
    let (inverted, clean) = (scene.trajectory.inverted(), scene.trajectory.clean());
    let content = |(cell, share): (usize, &f32)| {
        if is_new(*share) {
            CellContent::New
        } else {
            CellContent::Of(cell)
        }
    };
    let contents: Vec<CellContent> = scene.new.iter().enumerate().map(content).collect();
    if noise_share == 0.0 || !contents.contains(&CellContent::New) {
        return (inverted.clone(), contents);
    }
    let alpha = scene.schedule.alpha(scene.grid.timesteps[0]);
    let fresh = scene.noise.normal(Stream::VACATED, inverted.shape().len());
    let noise = VacatedNoise::new(alpha, noise_share, &fresh);
    let (mut latent, clean) = (inverted.to_host(), clean.to_host());
    let channels = inverted.shape().channels;
    for (cell, content) in contents.iter().enumerate() {
        if *content == CellContent::New {
            for at in cell * channels..(cell + 1) * channels {
                latent[at] = noise.added(at, clean[at], latent[at], clean[at]);
            }
        }
    }
    (
        Tensor::from_host(inverted.backend(), inverted.shape(), latent),
        contents,
    )
}
