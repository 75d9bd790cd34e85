//! Group and layer normalisations.

use super::super::Precision::Rounded;
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
