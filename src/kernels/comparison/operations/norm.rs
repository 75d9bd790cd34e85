//! Group and layer normalisations.

use super::super::Precision::{Exact, Rounded};
use super::super::recorder::Recorder;
use crate::kernels::{Backend, GroupShape};

const EPS: f32 = 1e-5;

pub(super) fn group_norm<B: Backend>(r: &mut Recorder<B>, shape: &GroupShape) {
    let len = shape.batch * shape.pixels * shape.channels;
    let [x, dy, residual] = [(); 3].map(|()| r.compact(len));
    let [weight, bias] = [(); 2].map(|()| r.full(shape.channels));
    for (silu, forward, of_stats, backward, with_residual) in [
        (
            false,
            "group norm",
            "group norm, statistics",
            "group norm backward",
            "group norm backward with residual",
        ),
        (
            true,
            "group norm with SiLU",
            "group norm with SiLU, statistics",
            "group norm with SiLU backward",
            "group norm with SiLU backward and residual",
        ),
    ] {
        let mut stats = r.backend.uninit(2 * shape.batch * shape.groups);
        r.write(forward, Rounded, &x, len, |backend, y| {
            backend.group_norm(shape, &x, &weight, &bias, silu, &mut stats, y);
        });
        r.push_f32(of_stats, Rounded, &stats);
        for (operation, residual) in [(backward, None), (with_residual, Some(&residual))] {
            r.write(operation, Rounded, &x, len, |backend, dx| {
                backend.group_norm_backward(
                    shape, &x, &weight, &bias, silu, &stats, &dy, residual, dx,
                );
            });
        }
    }
}

pub(super) fn joined_group_norm<B: Backend>(r: &mut Recorder<B>, shape: &GroupShape, first: usize) {
    let backend = r.backend;
    let pixels = shape.batch * shape.pixels;
    let len = pixels * shape.channels;
    let channels = [first, shape.channels - first];
    let maps = channels.map(|channels| r.compact(pixels * channels));
    let [dy, residual] = [(); 2].map(|()| r.compact(len));
    let [weight, bias] = [(); 2].map(|()| r.full(shape.channels));
    let mut stats = backend.uninit(2 * shape.batch * shape.groups);
    let [mut joined, mut y] = [(); 2].map(|()| backend.uninit_like(&maps[0], len));
    backend.group_norm_joined(
        shape,
        [(&maps[0], channels[0]), (&maps[1], channels[1])],
        &weight,
        &bias,
        true,
        &mut joined,
        &mut stats,
        &mut y,
    );
    r.push("joined group norm, both maps", Exact, &joined);
    r.push_f32("joined group norm, statistics", Rounded, &stats);
    r.push("joined group norm", Rounded, &y);
    for (operation, residual) in [
        ("joined group norm backward", None),
        ("joined group norm backward with residual", Some(&residual)),
    ] {
        let [mut dx, mut dz] =
            channels.map(|channels| backend.uninit_like(&maps[0], pixels * channels));
        backend.group_norm_backward_split(
            shape,
            &joined,
            &weight,
            &bias,
            true,
            &stats,
            &dy,
            residual,
            [(&mut dx, channels[0]), (&mut dz, channels[1])],
        );
        for gradient in [dx, dz] {
            r.push(operation, Rounded, &gradient);
        }
    }
}

pub(super) fn layer_norm<B: Backend>(r: &mut Recorder<B>, rows: usize, channels: usize) {
    let len = rows * channels;
    let [x, dy, residual] = [(); 3].map(|()| r.compact(len));
    let [weight, bias] = [(); 2].map(|()| r.full(channels));
    r.write("layer norm", Rounded, &x, len, |backend, y| {
        backend.layer_norm(channels, EPS, &x, &weight, &bias, y);
    });
    for (operation, residual) in [
        ("layer norm backward", None),
        ("layer norm backward with residual", Some(&residual)),
    ] {
        r.write(operation, Rounded, &x, len, |backend, dx| {
            backend.layer_norm_backward(channels, EPS, &x, &weight, &dy, residual, dx);
        });
    }
}
