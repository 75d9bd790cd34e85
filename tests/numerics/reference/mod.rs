//! A slow and simple reference of the layers in f64, which shares only the shapes with the program.

use dragnext::kernels::{AttentionShape, BilinearPoint, ConvShape, GroupShape};

pub(crate) fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().copied().map(f64::from).collect()
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub(crate) fn plus(a: &[f64], b: &[f64]) -> Vec<f64> {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

pub(crate) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Row by row, y = weight (out, in) x + bias.
pub(crate) fn linear(x: &[f64], weight: &[f64], bias: Option<&[f64]>, inputs: usize) -> Vec<f64> {
    let rows = x.chunks_exact(inputs);
    rows.flat_map(|row| {
        weight
            .chunks_exact(inputs)
            .enumerate()
            .map(|(out, weight)| dot(row, weight) + bias.map_or(0.0, |bias| bias[out]))
    })
    .collect()
}

/// Convolution with a weight (out, kernel, kernel, in) of x (batch, height, width, channels).
pub(crate) fn conv(shape: &ConvShape, x: &[f64], weight: &[f64], bias: &[f64]) -> Vec<f64> {
    let ConvShape {
        batch,
        input: [height, width, inputs],
        output: [out_height, out_width, outputs],
        kernel,
        stride,
        pad,
    } = *shape;
    let mut y = Vec::new();
    for picture in 0..batch {
        for position in 0..out_height * out_width {
            for (output, bias) in bias.iter().enumerate().take(outputs) {
                let mut sum = *bias;
                for tap in 0..kernel * kernel {
                    let row =
                        (position / out_width * stride + tap / kernel) as isize - pad as isize;
                    let column =
                        (position % out_width * stride + tap % kernel) as isize - pad as isize;
                    if row < 0 || column < 0 || row as usize >= height || column as usize >= width {
                        continue;
                    }
                    let pixel = (picture * height + row as usize) * width + column as usize;
                    let kernel_at = (output * kernel * kernel + tap) * inputs;
                    sum += dot(
                        &x[pixel * inputs..][..inputs],
                        &weight[kernel_at..][..inputs],
                    );
                }
                y.push(sum);
            }
        }
    }
    y
}

pub(crate) fn group_norm(
    shape: &GroupShape,
    x: &[f64],
    weight: &[f64],
    bias: &[f64],
    silu: bool,
) -> Vec<f64> {
    let GroupShape {
        batch,
        pixels,
        channels,
        groups,
        eps,
    } = *shape;
    let size = channels / groups;
    let mut y = vec![0.0; x.len()];
    for picture in 0..batch {
        for group in 0..groups {
            let places: Vec<usize> = (0..pixels * size)
                .map(|i| (picture * pixels + i / size) * channels + group * size + i % size)
                .collect();
            let mean = places.iter().map(|at| x[*at]).sum::<f64>() / places.len() as f64;
            let variance =
                places.iter().map(|at| (x[*at] - mean).powi(2)).sum::<f64>() / places.len() as f64;
            for at in places {
                let z = (x[at] - mean) / (variance + f64::from(eps)).sqrt() * weight[at % channels]
                    + bias[at % channels];
                y[at] = if silu { z * sigmoid(z) } else { z };
            }
        }
    }
    y
}

pub(crate) fn layer_norm(eps: f32, x: &[f64], weight: &[f64], bias: &[f64]) -> Vec<f64> {
    let shape = GroupShape {
        batch: x.len() / weight.len(),
        pixels: 1,
        channels: weight.len(),
        groups: 1,
        eps,
    };
    group_norm(&shape, x, weight, bias, false)
}

/// Attention in which picture b uses the keys and values of picture `sources[b]`.
pub(crate) fn attention(
    shape: &AttentionShape,
    sources: &[usize],
    q: &[f64],
    k: &[f64],
    v: &[f64],
) -> Vec<f64> {
    let AttentionShape {
        batch,
        heads,
        queries,
        keys,
        head_size,
    } = *shape;
    let channels = heads * head_size;
    let mut o = vec![0.0; batch * queries * channels];
    for picture in 0..batch {
        for head in 0..heads {
            let at = |picture: usize, tokens: usize, token: usize| {
                (picture * tokens + token) * channels + head * head_size
            };
            for query in 0..queries {
                let q = &q[at(picture, queries, query)..][..head_size];
                let score = |key: usize| {
                    (dot(q, &k[at(sources[picture], keys, key)..][..head_size])
                        / (head_size as f64).sqrt())
                    .exp()
                };
                let scores: Vec<f64> = (0..keys).map(score).collect();
                let sum: f64 = scores.iter().sum();
                for (key, score) in scores.iter().enumerate() {
                    for channel in 0..head_size {
                        o[at(picture, queries, query) + channel] +=
                            score / sum * v[at(sources[picture], keys, key) + channel];
                    }
                }
            }
        }
    }
    o
}

/// Row by row, x = (h, gate): h * gelu(gate).
pub(crate) fn geglu(channels: usize, x: &[f64]) -> Vec<f64> {
    let gelu = |x: f64| x * 0.5 * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2));
    x.chunks_exact(2 * channels)
        .flat_map(|row| (0..channels).map(move |i| row[i] * gelu(row[channels + i])))
        .collect()
}

/// Nearest neighbour, rounded down as in torch.
pub(crate) fn upsample(channels: usize, from: [usize; 2], to: [usize; 2], x: &[f64]) -> Vec<f64> {
    let mut y = Vec::new();
    for picture in x.chunks_exact(from[0] * from[1] * channels) {
        for position in 0..to[0] * to[1] {
            let (row, column) = (
                position / to[1] * from[0] / to[0],
                position % to[1] * from[1] / to[1],
            );
            y.extend_from_slice(&picture[(row * from[1] + column) * channels..][..channels]);
        }
    }
    y
}

pub(crate) fn sample(channels: usize, map: &[f64], points: &[BilinearPoint]) -> Vec<f64> {
    let value = |point: &BilinearPoint, channel: usize| {
        (0..4)
            .map(|corner| {
                f64::from(point.weights[corner])
                    * map[point.pixels[corner] as usize * channels + channel]
            })
            .sum()
    };
    points
        .iter()
        .flat_map(|point| (0..channels).map(move |channel| value(point, channel)))
        .collect()
}
