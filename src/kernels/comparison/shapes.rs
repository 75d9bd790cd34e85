//! The shapes at which operations are compared.

use super::Case;
use crate::kernels::{AttentionShape, ConvShape, GroupShape};

fn conv3(from: usize, [height, width]: [usize; 2], to: usize) -> Case {
    strided([height, width], [from, to], 1, 1, [height, width])
}

fn strided(
    [height, width]: [usize; 2],
    [from, to]: [usize; 2],
    stride: usize,
    pad: usize,
    [out_height, out_width]: [usize; 2],
) -> Case {
    Case::Conv {
        shape: ConvShape {
            batch: 1,
            input: [height, width, from],
            output: [out_height, out_width, to],
            kernel: 3,
            stride,
            pad,
        },
        compared: None,
    }
}

fn batched(case: Case) -> Case {
    match case {
        Case::Conv { shape, compared } => Case::Conv {
            shape: ConvShape { batch: 2, ..shape },
            compared,
        },
        other => other,
    }
}

fn linear(rows: usize, inputs: usize, outputs: usize) -> Case {
    Case::Linear {
        rows,
        inputs,
        outputs,
        compared: None,
    }
}

fn layers_of_one_shape(rows: usize, inputs: usize, outputs: usize) -> Case {
    Case::LayersOfOneShape {
        rows,
        inputs,
        outputs,
        compared: None,
    }
}

fn group_norm(batch: usize, pixels: usize, channels: usize, groups: usize) -> Case {
    Case::GroupNorm {
        shape: GroupShape {
            batch,
            pixels,
            channels,
            groups,
            eps: 1e-5,
        },
    }
}

/// A group norm of maps with these channels.
fn joined_group_norm(
    batch: usize,
    pixels: usize,
    [first, second]: [usize; 2],
    groups: usize,
) -> Case {
    Case::JoinedGroupNorm {
        shape: GroupShape {
            batch,
            pixels,
            channels: first + second,
            groups,
            eps: 1e-5,
        },
        first,
    }
}

/// An attention with these batch, heads, queries, keys and head size.
fn attention(
    [batch, heads, queries, keys, head_size]: [usize; 5],
    pictures: usize,
    sources: &[usize],
) -> Case {
    Case::Attention {
        shape: AttentionShape {
            batch,
            heads,
            queries,
            keys,
            head_size,
        },
        pictures,
        sources: sources.to_vec(),
        compared: None,
    }
}

fn squared_error(pictures: usize, values: usize) -> Case {
    Case::SquaredError { pictures, values }
}

/// Returns every operation at shapes of a tiny network, some of them with odd sizes. Attention has the head sizes of Stable Diffusion, which decide its kernel.
pub fn small() -> Vec<Case> {
    vec![
        Case::Storage { len: 1 },
        Case::Storage { len: 1001 },
        Case::LossScale,
        Case::Elementwise { len: 7 },
        Case::Elementwise { len: 2048 },
        Case::Rows {
            rows: 64,
            channels: 32,
        },
        Case::Rows {
            rows: 9,
            channels: 5,
        },
        Case::Matmul {
            rows: 64,
            inner: 32,
            cols: 4,
        },
        Case::Matmul {
            rows: 7,
            inner: 24,
            cols: 16,
        },
        linear(2, 32, 128),
        linear(64, 32, 256),
        linear(70, 24, 40),
        layers_of_one_shape(64, 32, 32),
        layers_of_one_shape(70, 24, 40),
        conv3(4, [8, 8], 32),
        conv3(8, [16, 16], 8),
        batched(conv3(32, [8, 8], 32)),
        conv3(64, [2, 2], 64),
        conv3(64, [9, 7], 4),
        batched(strided([8, 8], [32, 32], 2, 1, [4, 4])),
        // The encoder of the VAE pads at the right and the bottom only.
        strided([16, 16], [8, 8], 2, 0, [8, 8]),
        strided([9, 7], [8, 16], 2, 1, [5, 4]),
        group_norm(2, 64, 32, 8),
        group_norm(1, 4, 64, 8),
        group_norm(1, 600, 40, 4),
        joined_group_norm(2, 64, [32, 32], 8),
        // The boundary lies in a group, and between two values that are read at a time; one block reduces each group, or several.
        joined_group_norm(1, 9, [5, 7], 2),
        joined_group_norm(1, 2300, [3, 5], 2),
        Case::LayerNorm {
            rows: 64,
            channels: 32,
        },
        Case::LayerNorm {
            rows: 9,
            channels: 77,
        },
        Case::Geglu {
            rows: 64,
            channels: 128,
        },
        Case::Geglu {
            rows: 3,
            channels: 5,
        },
        // Self-attention, a prompt, mutual attention, and pictures that read the keys of others.
        attention([2, 2, 64, 64, 32], 2, &[0, 1]),
        attention([2, 1, 64, 7, 32], 1, &[0, 0]),
        attention([2, 1, 16, 16, 64], 2, &[0, 0]),
        attention([4, 2, 17, 17, 40], 3, &[1, 1, 2, 0]),
        attention([1, 2, 65, 77, 40], 1, &[0]),
        attention([1, 1, 33, 64, 80], 1, &[0]),
        attention([1, 1, 20, 9, 160], 1, &[0]),
        attention([1, 1, 25, 25, 512], 1, &[0]),
        attention([2, 3, 20, 31, 8], 2, &[0, 1]),
        Case::Upsample {
            channels: 32,
            from: [4, 4],
            to: [8, 8],
        },
        Case::Upsample {
            channels: 5,
            from: [4, 3],
            to: [7, 5],
        },
        Case::Sampling {
            map: [8, 8],
            channels: 32,
            points: 100,
        },
        Case::Sampling {
            map: [5, 8],
            channels: 13,
            points: 300,
        },
        Case::WeightedL1 {
            pixels: 64,
            channels: 4,
        },
        squared_error(2, 256),
        // Values that are read one at a time.
        squared_error(3, 35),
        Case::Adam { len: 1001 },
    ]
}

/// Lines of a convolution that are compared.
const LINES: usize = 2;
/// Rows of a linear layer, and queries of an attention, that are compared.
const ROWS: usize = 64;

/// Returns the operations of Stable Diffusion 1.5 at 512 x 512: those of each level of the network, and of the VAE's middle.
pub fn stable_diffusion() -> Vec<Case> {
    let part = |case: Case| match case {
        Case::Conv { shape, .. } => Case::Conv {
            shape,
            compared: Some(LINES),
        },
        Case::Linear {
            rows,
            inputs,
            outputs,
            ..
        } => Case::Linear {
            rows,
            inputs,
            outputs,
            compared: Some(ROWS),
        },
        Case::LayersOfOneShape {
            rows,
            inputs,
            outputs,
            ..
        } => Case::LayersOfOneShape {
            rows,
            inputs,
            outputs,
            compared: Some(ROWS),
        },
        Case::Attention {
            shape,
            pictures,
            sources,
            ..
        } => Case::Attention {
            shape,
            pictures,
            sources,
            compared: Some(ROWS),
        },
        whole => whole,
    };
    // Smaller ones first.
    let cases = vec![
        linear(77, 768, 320),
        linear(64, 1280, 1280),
        attention([1, 8, 64, 64, 160], 1, &[0]),
        attention([1, 8, 256, 77, 160], 1, &[0]),
        layers_of_one_shape(64, 1280, 1280),
        group_norm(1, 64, 1280, 32),
        joined_group_norm(1, 64, [1280, 1280], 32),
        conv3(1280, [8, 8], 1280),
        linear(1024, 640, 640),
        attention([1, 8, 1024, 1024, 80], 1, &[0]),
        attention([1, 8, 1024, 77, 80], 1, &[0]),
        layers_of_one_shape(1024, 640, 640),
        group_norm(1, 1024, 640, 32),
        conv3(640, [32, 32], 640),
        linear(4096, 320, 320),
        linear(4096, 320, 2560),
        linear(4096, 1280, 320),
        attention([1, 8, 4096, 77, 40], 1, &[0]),
        attention([1, 8, 4096, 4096, 40], 1, &[0]),
        layers_of_one_shape(4096, 320, 320),
        group_norm(1, 4096, 320, 32),
        joined_group_norm(1, 4096, [640, 320], 32),
        Case::LayerNorm {
            rows: 4096,
            channels: 320,
        },
        Case::Geglu {
            rows: 4096,
            channels: 1280,
        },
        conv3(4, [64, 64], 320),
        conv3(320, [64, 64], 320),
        conv3(960, [64, 64], 320),
        conv3(320, [64, 64], 4),
        conv3(512, [64, 64], 512),
        attention([1, 1, 4096, 4096, 512], 1, &[0]),
    ];
    cases.into_iter().map(part).collect()
}
