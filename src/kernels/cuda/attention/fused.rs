//! Fused attention: one kernel per pass. Scores are never stored in memory.

use super::{
    AttentionGradients, AttentionInputs, AttentionOutputs, Gradient, ds_scale, key_stride, scale,
};
use crate::kernels::AttentionShape;
use crate::kernels::cuda::driver::{Format, KernelArgument};
use crate::kernels::cuda::memory::Buffer;

/// Threads per block.
const THREADS: u32 = 128;

/// Launch parameters of one kernel: tokens per block, and bytes of shared memory.
#[derive(Debug, Clone, Copy)]
struct Tile {
    tokens: usize,
    shared: u32,
}

/// Launch parameters of the three kernels of a head size.
#[derive(Debug, Clone, Copy)]
pub(super) struct KernelTiles {
    forward: Tile,
    backward_q: Tile,
    backward_kv: Tile,
}

/// Returns the launch parameters of the three kernels; `None` if no kernel supports the head size
/// and the number format. The values are those of source/attention.cu.
pub(super) fn tiles(inputs: &AttentionInputs) -> Option<KernelTiles> {
    if inputs.q.format() == Format::F32 {
        return None;
    }
    let tile = |tokens, shared| Tile { tokens, shared };
    let [forward, backward_q, backward_kv] = match inputs.shape.head_size {
        32 => [tile(64, 20480), tile(64, 20480), tile(64, 21504)],
        40 => [tile(128, 20480), tile(128, 20480), tile(128, 21504)],
        64 => [tile(128, 36864), tile(64, 36864), tile(64, 37888)],
        80 => [tile(64, 45056), tile(64, 45056), tile(64, 46080)],
        160 => [tile(64, 43008), tile(64, 43008), tile(32, 43520)],
        _ => return None,
    };
    Some(KernelTiles {
        forward,
        backward_q,
        backward_kv,
    })
}

/// Launches `kernel` for `batch` pictures of `tokens` tokens each.
fn launch(
    kernel: &str,
    inputs: &AttentionInputs,
    batch: usize,
    tokens: usize,
    tile: Tile,
    arguments: &[KernelArgument],
) {
    let name = format!(
        "{kernel}_{}_{}",
        inputs.shape.head_size,
        inputs.q.format().name()
    );
    let blocks = [tokens.div_ceil(tile.tokens), inputs.shape.heads, batch];
    inputs
        .q
        .gpu()
        .launch_with(&name, blocks, THREADS, tile.shared, arguments);
}

/// The last arguments of every kernel.
fn sizes(shape: &AttentionShape, stride: usize) -> [KernelArgument; 5] {
    [
        shape.queries.into(),
        shape.keys.into(),
        shape.heads.into(),
        stride.into(),
        scale(shape).into(),
    ]
}

pub(super) fn attention(
    inputs: AttentionInputs,
    tiles: KernelTiles,
    sources: &[usize],
    stats: &Buffer,
    o: &Buffer,
) {
    let AttentionInputs { shape, q, k, v } = inputs;
    let (picture, read) = (
        shape.queries * shape.channels(),
        shape.keys * shape.channels(),
    );
    // One launch covers consecutive pictures that read the same keys, or consecutive keys.
    let mut first = 0;
    while first < sources.len() {
        let step = |stride: usize| {
            let run = sources[first..]
                .iter()
                .enumerate()
                .take_while(|(index, source)| **source == sources[first] + index * stride);
            run.count()
        };
        let (same, own) = (step(0), step(1));
        let (count, stride) = if same >= own { (same, 0) } else { (own, read) };
        let keys = |buffer: &Buffer| buffer.address_of(sources[first] * read).into();
        let addresses = [
            q.address_of(first * picture).into(),
            keys(k),
            keys(v),
            o.address_of(first * picture).into(),
            stats.address_of(first * shape.heads * shape.queries).into(),
        ];
        let arguments: Vec<KernelArgument> =
            addresses.into_iter().chain(sizes(&shape, stride)).collect();
        launch(
            "attention",
            &inputs,
            count,
            shape.queries,
            tiles.forward,
            &arguments,
        );
        first += count;
    }
}

/// The kernel of dq computes the sum of o * `d_o` over each head, which the kernel of dk and dv reads.
pub(super) fn attention_backward(
    inputs: AttentionInputs,
    tiles: KernelTiles,
    outputs: AttentionOutputs,
    gradients: &AttentionGradients,
) {
    let AttentionInputs { shape, q, k, v } = inputs;
    let AttentionOutputs { stats, o, d_o } = outputs;
    let rows = shape.batch * shape.heads * shape.queries;
    let delta = gradients
        .dkv
        .is_some()
        .then(|| Buffer::uninit(q.gpu(), Format::F32, rows));
    let sizes: Vec<KernelArgument> = [gradients.stride.into(), ds_scale(&shape).into()]
        .into_iter()
        .chain(sizes(&shape, key_stride(&shape, k)))
        .collect();
    let arguments = |buffers: &[&Buffer], written: &[Gradient]| {
        let read = buffers.iter().map(|buffer| (*buffer).into());
        let written = written.iter().map(|gradient| gradient.address().into());
        let pointers = read.chain([delta.as_ref().into()]).chain(written);
        pointers
            .chain(sizes.iter().copied())
            .collect::<Vec<KernelArgument>>()
    };
    launch(
        "attention_backward_q",
        &inputs,
        shape.batch,
        shape.queries,
        tiles.backward_q,
        &arguments(&[q, k, v, o, d_o, stats], &[gradients.dq]),
    );
    if let Some(dkv) = gradients.dkv {
        launch(
            "attention_backward_kv",
            &inputs,
            shape.batch,
            shape.keys,
            tiles.backward_kv,
            &arguments(&[q, k, v, d_o, stats], &dkv),
        );
    }
}
