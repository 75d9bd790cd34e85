//! Stage by stage against PyTorch (`tests/peer/torch_copies.py`).

use super::cells::{CellCopy, MovedCells};
use super::{NoiseScale, levels};
use crate::diffusion::{NoiseSource, Stream};
use crate::interrupt::Interrupt;
use crate::kernels::cpu::Cpu;
use crate::method::Method;
use crate::method::peer_fixture::{PeerEdit, assert_close};
use crate::progress::Silent;
use crate::settings::Overrides;

fn peer() -> PeerEdit {
    PeerEdit::open(
        "copies",
        "region_drag.safetensors",
        Method::RegionDrag,
        Overrides::default(),
    )
}

fn moved(peer: &PeerEdit) -> MovedCells {
    MovedCells::new(&peer.plan.regions, &peer.plan.frame, NoiseScale::Auto)
}

#[test]
fn cells_move_and_are_left_as_in_the_peer() {
    let peer = peer();
    let moved = moved(&peer);
    let (shape, cells) = peer.dump.read("cells");
    let (targets, from) = cells.split_at(shape[1]);
    let mut sources = vec![None; moved.sources.len()];
    for (target, source) in targets.iter().zip(from) {
        sources[*target as usize] = Some(*source as usize);
    }
    assert_eq!(moved.sources, sources);
    let (_, leaving) = peer.dump.read("leaving");
    let noise: Vec<f32> = moved.noise.iter().map(|share| *share as f32).collect();
    assert_eq!(noise, leaving);
    let grid = peer.plan.frame.latent_grid();
    let editable = peer.plan.editable.as_ref().expect("a part is editable");
    let frozen: Vec<f32> = (0..grid.len())
        .map(|cell| f32::from(u8::from(!editable.at(grid.first_pixel(cell)))))
        .collect();
    assert_eq!(frozen, peer.dump.read("frozen").1);
}

#[test]
fn every_level_agrees_with_the_peer() {
    let (peer, never) = (peer(), Interrupt::never());
    let mut noise = peer.noise();
    let levels = levels::invert(&mut peer.scene(&mut noise), &mut Silent, &never);
    let mut levels = levels.expect("it is finite");
    assert_eq!(levels.len(), 10);
    let mut compared = [0; 3];
    for (k, level) in levels.iter().enumerate() {
        for (count, (name, found)) in compared
            .iter_mut()
            .zip([("hook", &level.latent), ("noises", &level.noise)])
        {
            let name = format!("{name}.{k}");
            *count += usize::from(peer.dump.assert_latent(&name, found, 1e-4));
        }
    }
    let moved = moved(&peer);
    let top = levels[levels.len() - 1].latent.clone();
    let fresh = noise.normal(Stream::VACATED, top.shape().len());
    let mut z = moved.with_noise(&top, &fresh);
    assert!(peer.dump.assert_latent("prepared", &z, 1e-4));
    let (_, frozen) = peer.dump.read("frozen");
    let copy = CellCopy::new(&Cpu, &peer.plan.frame, &moved, |cell| frozen[cell] > 0.5);
    let scene = peer.scene(&mut noise);
    while let Some(level) = levels.pop() {
        z = copy.apply(z, &level.latent);
        z = level.down(&scene, z, 1).expect("it is finite");
        let name = format!("level.{}", levels.len());
        compared[2] += usize::from(peer.dump.assert_latent(&name, &z, 1e-4));
    }
    assert!(peer.dump.assert_latent("z_end", &z, 1e-4));
    // The first, the middle one and the last of each.
    assert_eq!(compared, [3; 3]);
}

/// The way down without copies returns what the way up started from, whatever the network predicts.
#[test]
fn without_copies_the_levels_lead_back() {
    let (peer, never) = (peer(), Interrupt::never());
    let mut noise = peer.noise();
    let levels = levels::invert(&mut peer.scene(&mut noise), &mut Silent, &never);
    let mut levels = levels.expect("it is finite");
    let scene = peer.scene(&mut noise);
    let mut z = levels[levels.len() - 1].latent.clone();
    while let Some(level) = levels.pop() {
        z = level.down(&scene, z, 1).expect("it is finite");
        if let Some(below) = levels.last() {
            assert_close("level", &z.to_host(), &below.latent.to_host(), 1e-4);
        }
    }
    assert_close(
        "z0",
        &z.to_host(),
        &scene.trajectory.clean().to_host(),
        1e-4,
    );
}
