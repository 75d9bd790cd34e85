//! Attention in one kernel each way: scores are never stored.

use super::{Gradients, Inputs, Returning, key_stride, scale};
use crate::kernels::AttentionShape;
use crate::kernels::cuda::driver::{Address, Argument, Format};
use crate::kernels::cuda::memory::Buffer;

/// Threads of a block.
const THREADS: u32 = 128;

/// One kernel's launch for a head size: tokens of a block, and bytes of shared memory.
#[derive(Debug, Clone, Copy)]
struct Tile {
    tokens: usize,
    shared: u32,
}

/// The launches for a head size, as source/attention.cu has them: forward, to the queries, to keys and values.
fn tiles(head_size: usize) -> Option<[Tile; 3]> {
    let tile = |tokens, shared| Tile { tokens, shared };
    Some(match head_size {
        32 => [tile(64, 20480), tile(64, 20480), tile(64, 21504)],
        40 => [tile(128, 20480), tile(128, 20480), tile(128, 21504)],
        64 => [tile(128, 36864), tile(64, 36864), tile(64, 37888)],
        80 => [tile(64, 45056), tile(64, 45056), tile(64, 46080)],
        160 => [tile(64, 43008), tile(64, 43008), tile(32, 43520)],
        _ => return None,
    })
}

/// Is there a kernel for these sizes and this format?
pub(super) fn exists(inputs: &Inputs) -> bool {
    inputs.q.format() != Format::F32 && tiles(inputs.shape.head_size).is_some()
}

fn tiles_of(shape: &AttentionShape) -> [Tile; 3] {
    tiles(shape.head_size)
        .unwrap_or_else(|| unreachable!("a fused kernel of this head size was looked up before"))
}

/// Starts `kernel` for `batch` pictures with `tokens` each.
fn launch(
    kernel: &str,
    inputs: &Inputs,
    batch: usize,
    tokens: usize,
    tile: Tile,
    arguments: &[Argument],
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
        .launch_wide(&name, blocks, THREADS, tile.shared, arguments);
}

/// The numbers that end every kernel's arguments.
fn sizes(shape: &AttentionShape, stride: usize) -> [Argument; 5] {
    [
        shape.queries.into(),
        shape.keys.into(),
        shape.heads.into(),
        stride.into(),
        scale(shape).into(),
    ]
}

pub(super) fn attention(inputs: Inputs, sources: &[usize], stats: &Buffer, o: &Buffer) {
    let Inputs { shape, q, k, v } = inputs;
    let (picture, read) = (
        shape.queries * shape.channels(),
        shape.keys * shape.channels(),
    );
    // Runs of pictures that read the same keys, or neighbouring ones, go together.
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
        let keys = |buffer: &Buffer| buffer.at(sources[first] * read).into();
        let places = [
            q.at(first * picture).into(),
            keys(k),
            keys(v),
            o.at(first * picture).into(),
            stats.at(first * shape.heads * shape.queries).into(),
        ];
        let arguments: Vec<Argument> = places.into_iter().chain(sizes(&shape, stride)).collect();
        launch(
            "attention",
            &inputs,
            count,
            shape.queries,
            tiles_of(&shape)[0],
            &arguments,
        );
        first += count;
    }
}

pub(super) fn attention_backward(
    inputs: Inputs,
    returning: Returning,
    delta: &Buffer,
    gradients: &Gradients,
) {
    let Inputs { shape, q, k, v } = inputs;
    let [_, to_queries, to_keys] = tiles_of(&shape);
    let read: [Address; 6] = [q, k, v, returning.d_o, returning.stats, delta].map(Buffer::address);
    let arguments = |written: &[&Buffer]| -> Vec<Argument> {
        let places = read
            .iter()
            .copied()
            .chain(written.iter().map(|buffer| buffer.address()))
            .map(Argument::Address);
        places.chain(sizes(&shape, key_stride(&shape, k))).collect()
    };
    launch(
        "attention_backward_q",
        &inputs,
        shape.batch,
        shape.queries,
        to_queries,
        &arguments(&[gradients.dq]),
    );
    if let Some([dk, dv]) = gradients.dkv {
        launch(
            "attention_backward_kv",
            &inputs,
            shape.batch,
            shape.keys,
            to_keys,
            &arguments(&[dk, dv]),
        );
    }
}
