//! Stage by stage against PyTorch (`tests/peer/torch_copies.py`).

use super::stretch::Stretch;
use super::{FastDragSettings, denoised};
use crate::diffusion::denoise::{Pair, Place};
use crate::diffusion::invert::invert_keeping;
use crate::interrupt::Interrupt;
use crate::method::Method;
use crate::method::peer_fixture::PeerEdit;
use crate::model::unet::SelfAttentions;
use crate::progress::Silent;
use crate::settings::Overrides;

#[test]
fn every_stage_agrees_with_the_peer() {
    let given = Overrides::default();
    let peer = PeerEdit::open("copies", "fast_drag.safetensors", Method::FastDrag, given);
    let dump = &peer.dump;
    let mut noise = peer.noise();
    let mut scene = peer.scene(&mut noise);
    let (trajectory, mut keys) = invert_keeping(
        scene.network,
        scene.schedule,
        scene.grid,
        scene.trajectory.clean(),
        scene.prompt,
        SelfAttentions::Decoder,
        &mut Silent,
        &Interrupt::never(),
    )
    .expect("it is finite");
    let mut compared = usize::from(dump.assert_latent("trajectory.7", trajectory.clean(), 1e-4));
    for (index, t) in peer.grid.timesteps.iter().enumerate() {
        let latent = trajectory.at(*t).expect("a timestep of the grid");
        let name = format!("trajectory.{index}");
        compared += usize::from(dump.assert_latent(&name, latent, 1e-4));
    }
    assert_eq!(compared, 3, "the first, the middle one and the last");

    let sources = Stretch::new(scene.regions, scene.editable, &scene.frame).sources();
    let found: Vec<f32> = sources
        .iter()
        .map(|source| source.map_or(-1.0, |source| source as f32))
        .collect();
    assert_eq!(found, dump.read("sources").1);
    let settings = FastDragSettings::default();
    let start = settings.warped(&mut scene, trajectory.inverted(), &sources);
    assert!(dump.assert_latent("prepared", &start, 1e-4));

    let mut pair = Pair {
        reference: trajectory.inverted().clone(),
        edit: start,
    };
    let mut compared = 0;
    for (index, t) in peer.grid.timesteps.iter().enumerate() {
        let place = Place { t: *t, step: index };
        pair = denoised(&scene, pair, keys.pop(), None, place).expect("it is finite");
        let name = format!("denoised.{index}");
        compared += usize::from(dump.assert_latent(&name, &pair.edit, 1e-4));
    }
    assert_eq!(compared, 2, "the first and the middle one");
    assert!(dump.assert_latent("z_end", &pair.edit, 1e-4));
}
