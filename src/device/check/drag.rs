//! A drag with the default method: inversion, the loss of the features, its gradient, a step of the latent, and a step of the denoising.
//!
//! A second iteration has the loss after the step, without which the step would not show: the method returns the best latent.

use std::path::Path;

use super::NetworkResult;
use super::networks::{Results, SIDE, autoencoder, latents, network, schedule, tokens};
use crate::diffusion::{Seeded, invert};
use crate::drag_file::DragFile;
use crate::error::Result;
use crate::geometry::Size;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::method::{Method, Scene};
use crate::model::unet::Network;
use crate::model::vae::DOWNSCALE;
use crate::plan::{Choice, Plan, Settings};
use crate::progress::Silent;
use crate::settings::Overrides;

/// A region that moves to the right, in a picture of 128 x 128.
const DRAG: &str = r#"{ "version": 1, "regions": [ { "type": "translation", "region": { "rect": [24, 40, 72, 88] },
    "handle": [48, 64], "target": [72, 68] } ] }"#;
/// Latent cells that are new, in rows 5 to 10.
const NEW_COLUMNS: std::ops::Range<usize> = 3..6;

/// Plans the drag, with two iterations at the noisier of two timesteps.
fn plan() -> Result<Plan> {
    let path = Path::new("check.json");
    let drag = DragFile::read_from(DRAG.as_bytes(), path)?;
    let mut values = Overrides::from([("size", 128), ("timesteps", 1), ("iterations", 2)]);
    values.set("strength", 0.04);
    let choice = Choice {
        method: Some(Method::Pbsi),
        values,
    };
    let settings = Settings::resolve(&choice)?;
    let side = SIDE * DOWNSCALE;
    Plan::new(&drag, path, Size::new(side, side), &settings, side)
}

/// Runs the drag.
pub(super) fn drag<B: Backend>(backend: &B) -> Result<Vec<NetworkResult>> {
    let never = Interrupt::never();
    let plan = plan()?;
    let (unet, vae) = (network(backend)?, autoencoder(backend)?);
    let (schedule, context) = (schedule(), tokens(backend));
    let (settings, diffusion) = (&plan.settings, &plan.settings.diffusion);
    let grid = schedule.grid(
        settings.method.needs().spacing,
        diffusion.steps,
        settings.executed_steps(),
    );
    let (prompt, latent) = (unet.prepare(&context), latents(backend, 1));
    let progress = &mut Silent;
    let trajectory = invert::invert(&unet, &schedule, &grid, &latent, &prompt, progress, &never)?;
    let is_new =
        |cell: usize| (5..=10).contains(&(cell / SIDE)) && NEW_COLUMNS.contains(&(cell % SIDE));
    let new: Vec<f32> = (0..SIDE * SIDE)
        .map(|cell| f32::from(u8::from(is_new(cell))))
        .collect();
    let scene = Scene {
        network: &unet,
        vae: &vae,
        guide: None,
        prompt: &prompt,
        context: &context,
        unconditional: None,
        words: 1,
        schedule: &schedule,
        grid: &grid,
        diffusion,
        regions: &plan.regions,
        frame: plan.frame,
        editable: plan.editable.as_ref(),
        trajectory: &trajectory,
        original: &trajectory,
        new: &new,
        noise: &mut Seeded::new(5),
    };
    let dragged = settings.method.drag(scene, progress, &never)?;
    let mut results = Results::default();
    results.push("drag, inverted latent", trajectory.inverted().to_host());
    let losses = dragged.losses.iter().map(|loss| *loss as f32);
    results.push("drag, loss", losses.collect());
    results.push("drag, latent", dragged.pair.edit.to_host());
    Ok(results.into_list())
}
