//! Group and layer normalisation.

use super::driver::Format;
use super::gpu::{Gpu, THREADS};
use super::memory::Buffer;
use crate::kernels::GroupShape;

/// Minimum values per block when several blocks share a group.
const VALUES_PER_PART: usize = 4096;
/// Threads that merge the parts of a group.
const MERGING_THREADS: u32 = 32;

/// Returns the number of blocks that share each group, so that every multiprocessor has work.
fn parts(gpu: &Gpu, shape: &GroupShape) -> usize {
    let groups = shape.batch * shape.groups;
    let values = shape.pixels * (shape.channels / shape.groups);
    (2 * gpu.driver().multiprocessors() as usize)
        .div_ceil(groups)
        .min(values / VALUES_PER_PART)
        .clamp(1, shape.pixels)
}

/// y = weight * (x - mean) / deviation + bias, then SiLU if `silu`. `stats` receives the mean and
/// the inverse standard deviation of every group.
pub(super) fn group_norm(
    shape: &GroupShape,
    x: &Buffer,
    [weight, bias]: [&Buffer; 2],
    silu: bool,
    stats: &mut Buffer,
    y: &mut Buffer,
) {
    let GroupShape {
        batch,
        pixels,
        channels,
        groups,
        eps,
    } = *shape;
    let (gpu, name, parts) = (x.gpu(), x.format().name(), parts(x.gpu(), shape));
    let partial = Buffer::uninit(gpu, Format::F32, batch * groups * parts * 2);
    let sums = [
        x.into(),
        (&partial).into(),
        pixels.into(),
        channels.into(),
        groups.into(),
        parts.into(),
    ];
    gpu.launch(
        &format!("group_norm_sums_{name}"),
        [parts, batch * groups, 1],
        &sums,
    );
    let merge = [
        (&partial).into(),
        (&*stats).into(),
        parts.into(),
        pixels.into(),
        (channels / groups).into(),
        eps.into(),
    ];
    gpu.launch_with(
        "group_norm_stats",
        [batch * groups, 1, 1],
        MERGING_THREADS,
        0,
        &merge,
    );
    let len = y.len();
    let apply = [
        x.into(),
        stats.into(),
        weight.into(),
        bias.into(),
        y.into(),
        pixels.into(),
        channels.into(),
        groups.into(),
        silu.into(),
        len.into(),
    ];
    gpu.launch_elementwise(&format!("group_norm_apply_{name}"), len, &apply);
}

/// Computes dx of [`group_norm`], plus `residual`.
pub(super) fn group_norm_backward(
    shape: &GroupShape,
    [x, dy]: [&Buffer; 2],
    [weight, bias]: [&Buffer; 2],
    silu: bool,
    stats: &Buffer,
    residual: Option<&Buffer>,
    dx: &mut Buffer,
) {
    let GroupShape {
        batch,
        pixels,
        channels,
        groups,
        ..
    } = *shape;
    let (gpu, name, parts) = (x.gpu(), x.format().name(), parts(x.gpu(), shape));
    let partial = Buffer::uninit(gpu, Format::F32, batch * groups * parts * 2);
    let means = Buffer::uninit(gpu, Format::F32, batch * groups * 2);
    let sums = [
        x.into(),
        dy.into(),
        stats.into(),
        weight.into(),
        bias.into(),
        (&partial).into(),
        pixels.into(),
        channels.into(),
        groups.into(),
        silu.into(),
        parts.into(),
    ];
    gpu.launch(
        &format!("group_norm_backward_sums_{name}"),
        [parts, batch * groups, 1],
        &sums,
    );
    let count = pixels * (channels / groups);
    gpu.launch_with(
        "group_norm_backward_means",
        [batch * groups, 1, 1],
        MERGING_THREADS,
        0,
        &[
            (&partial).into(),
            (&means).into(),
            parts.into(),
            count.into(),
        ],
    );
    let len = dx.len();
    let apply = [
        x.into(),
        dy.into(),
        stats.into(),
        weight.into(),
        bias.into(),
        (&means).into(),
        residual.into(),
        dx.into(),
        pixels.into(),
        channels.into(),
        groups.into(),
        silu.into(),
        len.into(),
    ];
    gpu.launch_elementwise(&format!("group_norm_backward_apply_{name}"), len, &apply);
}

/// Normalises every row of `channels` values.
pub(super) fn layer_norm(
    channels: usize,
    eps: f32,
    x: &Buffer,
    [weight, bias]: [&Buffer; 2],
    y: &mut Buffer,
) {
    let (gpu, rows) = (x.gpu(), x.len() / channels);
    let arguments = [
        x.into(),
        weight.into(),
        bias.into(),
        y.into(),
        channels.into(),
        rows.into(),
        eps.into(),
    ];
    gpu.launch(
        &format!("layer_norm_{}", x.format().name()),
        [gpu.grid_size(rows, THREADS as usize / 32), 1, 1],
        &arguments,
    );
}

/// Computes dx of [`layer_norm`], plus `residual`.
pub(super) fn layer_norm_backward(
    channels: usize,
    eps: f32,
    [x, dy]: [&Buffer; 2],
    weight: &Buffer,
    residual: Option<&Buffer>,
    dx: &mut Buffer,
) {
    let (gpu, rows) = (x.gpu(), x.len() / channels);
    let arguments = [
        x.into(),
        weight.into(),
        dy.into(),
        residual.into(),
        dx.into(),
        channels.into(),
        rows.into(),
        eps.into(),
    ];
    gpu.launch(
        &format!("layer_norm_backward_{}", x.format().name()),
        [gpu.grid_size(rows, THREADS as usize / 32), 1, 1],
        &arguments,
    );
}
