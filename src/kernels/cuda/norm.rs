//! Group and layer normalisation.

use super::driver::{Address, Format, KernelArgument};
use super::gpu::{Gpu, THREADS};
use super::memory::Buffer;
use crate::kernels::GroupShape;

/// Minimum values per block when several blocks share a group.
const VALUES_PER_PART: usize = 4096;

/// Returns the number of blocks that share each group, so that every multiprocessor has work.
fn parts(gpu: &Gpu, shape: &GroupShape) -> usize {
    let groups = shape.batch * shape.groups;
    let values = shape.pixels * (shape.channels / shape.groups);
    gpu.shared_groups()
        .div_ceil(groups)
        .min(values / VALUES_PER_PART)
        .clamp(1, shape.pixels)
}

/// The input x of a group norm.
#[derive(Debug)]
pub(super) enum NormInput<'a> {
    /// One buffer.
    Whole(&'a Buffer),
    /// Two buffers side by side, each with its channels, and the buffer to which x is written.
    Parts {
        parts: [(&'a Buffer, usize); 2],
        joined: &'a Buffer,
    },
}

impl NormInput<'_> {
    /// Returns the buffer that holds x once the statistics are computed.
    fn whole(&self) -> &Buffer {
        match self {
            Self::Whole(x) => x,
            Self::Parts { joined, .. } => joined,
        }
    }

    /// Returns the kernels' arguments: one buffer or two, the channels of the first, and the buffer to write.
    fn arguments(&self, shape: &GroupShape) -> [KernelArgument; 4] {
        match self {
            Self::Whole(x) => [
                (*x).into(),
                Address::NULL.into(),
                shape.channels.into(),
                Address::NULL.into(),
            ],
            Self::Parts { parts, joined } => {
                let [(x, channels), (z, _)] = checked(*parts, shape);
                [x.into(), z.into(), channels.into(), (*joined).into()]
            }
        }
    }
}

/// Where the gradient dx of a group norm is written.
#[derive(Debug)]
pub(super) enum NormGradient<'a> {
    /// One buffer.
    Whole(&'a Buffer),
    /// Two buffers side by side, each with its channels.
    Parts([(&'a Buffer, usize); 2]),
}

impl NormGradient<'_> {
    /// Returns the kernels' arguments: one buffer or two, and the channels of the first.
    fn arguments(&self, shape: &GroupShape) -> [KernelArgument; 3] {
        match self {
            Self::Whole(dx) => [(*dx).into(), Address::NULL.into(), shape.channels.into()],
            Self::Parts(parts) => {
                let [(dx, channels), (dz, _)] = checked(*parts, shape);
                [dx.into(), dz.into(), channels.into()]
            }
        }
    }
}

/// Checks that two buffers side by side have the channels of the shape.
fn checked<'a>(parts: [(&'a Buffer, usize); 2], shape: &GroupShape) -> [(&'a Buffer, usize); 2] {
    let [first, second] = parts.map(|(part, channels)| {
        let values = shape.batch * shape.pixels * channels;
        assert_eq!(part.len(), values, "the buffer has these channels");
        channels
    });
    assert_eq!(first + second, shape.channels, "all channels");
    parts
}

/// y = weight * (x - mean) / deviation + bias, then SiLU if `silu`. `stats` receives the mean and
/// the inverse standard deviation of every group.
pub(super) fn group_norm(
    shape: &GroupShape,
    input: &NormInput,
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
    let x = input.whole();
    let (gpu, name, parts) = (x.gpu(), x.format().name(), parts(x.gpu(), shape));
    let input = input.arguments(shape);
    if parts == 1 {
        let others: [KernelArgument; 9] = [
            weight.into(),
            bias.into(),
            stats.into(),
            y.into(),
            pixels.into(),
            channels.into(),
            groups.into(),
            silu.into(),
            eps.into(),
        ];
        let whole = [&input[..], &others].concat();
        let blocks = [1, batch * groups, 1];
        return gpu.launch(&format!("group_norm_whole_{name}"), blocks, &whole);
    }
    let partial = Buffer::uninit(gpu, Format::F32, batch * groups * parts * 2);
    let others: [KernelArgument; 8] = [
        (&partial).into(),
        gpu.finished_blocks().into(),
        (&*stats).into(),
        pixels.into(),
        channels.into(),
        groups.into(),
        parts.into(),
        eps.into(),
    ];
    gpu.launch(
        &format!("group_norm_stats_{name}"),
        [parts, batch * groups, 1],
        &[&input[..], &others].concat(),
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
    gradient: &NormGradient,
) {
    let GroupShape {
        batch,
        pixels,
        channels,
        groups,
        ..
    } = *shape;
    let (gpu, name, parts) = (x.gpu(), x.format().name(), parts(x.gpu(), shape));
    let [dx, dz, dx_channels] = gradient.arguments(shape);
    if parts == 1 {
        let whole = [
            x.into(),
            dy.into(),
            stats.into(),
            weight.into(),
            bias.into(),
            residual.into(),
            dx,
            dz,
            dx_channels,
            pixels.into(),
            channels.into(),
            groups.into(),
            silu.into(),
        ];
        let blocks = [1, batch * groups, 1];
        return gpu.launch(&format!("group_norm_backward_whole_{name}"), blocks, &whole);
    }
    let partial = Buffer::uninit(gpu, Format::F32, batch * groups * parts * 2);
    let means = Buffer::uninit(gpu, Format::F32, batch * groups * 2);
    let reduce = [
        x.into(),
        dy.into(),
        stats.into(),
        weight.into(),
        bias.into(),
        (&partial).into(),
        gpu.finished_blocks().into(),
        (&means).into(),
        pixels.into(),
        channels.into(),
        groups.into(),
        silu.into(),
        parts.into(),
    ];
    gpu.launch(
        &format!("group_norm_backward_means_{name}"),
        [parts, batch * groups, 1],
        &reduce,
    );
    let len = x.len();
    let apply = [
        x.into(),
        dy.into(),
        stats.into(),
        weight.into(),
        bias.into(),
        (&means).into(),
        residual.into(),
        dx,
        dz,
        dx_channels,
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
