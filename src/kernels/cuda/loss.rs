//! The losses with their gradients, and the optimiser.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::driver::Format;
use super::gpu::{Gpu, THREADS};
use super::memory::{Buffer, Memory};
use crate::kernels::{AdamStep, BilinearPoint};

/// Points of a map, both ways: the pixels of every point, and the points of every pixel. Gradients are so gathered in a fixed order.
#[derive(Debug)]
pub struct Points {
    count: usize,
    touched: usize,
    pixels: Memory,
    weights: Memory,
    pixel: Memory,
    first: Memory,
    point: Memory,
    weight: Memory,
}

impl Points {
    pub(super) fn new(gpu: &Arc<Gpu>, points: &[BilinearPoint]) -> Self {
        let mut by_pixel: BTreeMap<u32, Vec<(u32, f32)>> = BTreeMap::new();
        for (index, point) in points.iter().enumerate() {
            for (pixel, weight) in point.pixels.iter().zip(point.weights) {
                by_pixel.entry(*pixel).or_default().push((index as u32, weight));
            }
        }
        let mut first = vec![0u32];
        first.extend(by_pixel.values().scan(0, |sum, entries| {
            *sum += entries.len() as u32;
            Some(*sum)
        }));
        let touched: Vec<u32> = by_pixel.keys().copied().collect();
        let (point, weight): (Vec<u32>, Vec<f32>) = by_pixel.into_values().flatten().unzip();
        let pixels: Vec<u32> = points.iter().flat_map(|point| point.pixels).collect();
        let weights: Vec<f32> = points.iter().flat_map(|point| point.weights).collect();
        let counts = |numbers: &[u32]| Memory::from_host(gpu, bytemuck::cast_slice(numbers));
        let numbers = |numbers: &[f32]| Memory::from_host(gpu, bytemuck::cast_slice(numbers));
        Self {
            count: points.len(),
            touched: touched.len(),
            pixels: counts(&pixels),
            weights: numbers(&weights),
            pixel: counts(&touched),
            first: counts(&first),
            point: counts(&point),
            weight: numbers(&weight),
        }
    }
}

/// Values (points, channels) of a map at points.
pub(super) fn sample(channels: usize, map: &Buffer, points: &Points) -> Buffer {
    let (gpu, len) = (map.gpu(), points.count * channels);
    let out = Buffer::unset(gpu, Format::F32, len);
    let arguments = [map.into(), (&points.pixels).into(), (&points.weights).into(), (&out).into(), channels.into(), points.count.into()];
    gpu.spread(&format!("sample_{}", map.format().name()), len, &arguments);
    out
}

/// scale * sum |map at `points` - target| and, added to `gradient`, its gradient to the map.
pub(super) fn sampled_l1(channels: usize, map: &Buffer, points: &Points, target: &Buffer, scale: f32, gradient: &mut Buffer) -> f64 {
    let (gpu, len) = (map.gpu(), points.count * channels);
    if len == 0 {
        return 0.0;
    }
    let signs = Buffer::unset(gpu, Format::F32, len);
    let blocks = gpu.blocks(len, THREADS as usize);
    let partial = Buffer::unset(gpu, Format::F32, blocks);
    let difference = [
        map.into(),
        (&points.pixels).into(),
        (&points.weights).into(),
        target.into(),
        scale.into(),
        (&signs).into(),
        (&partial).into(),
        channels.into(),
        points.count.into(),
    ];
    gpu.launch(&format!("sampled_difference_{}", map.format().name()), [blocks, 1, 1], &difference);
    assert_eq!(gradient.format(), Format::F32, "gradients are added up as f32");
    let gather = [
        (&signs).into(),
        (&points.pixel).into(),
        (&points.first).into(),
        (&points.point).into(),
        (&points.weight).into(),
        gradient.into(),
        channels.into(),
        points.touched.into(),
    ];
    gpu.spread("sampled_gradient", points.touched * channels, &gather);
    total(&partial) * f64::from(scale)
}

/// sum weight * |x - reference| over cells and channels, and its gradient to x.
pub(super) fn weighted_l1(x: &Buffer, reference: &Buffer, weight: &Buffer, gradient: &mut Buffer) -> f64 {
    let (gpu, len) = (x.gpu(), x.len());
    let formats = [x, reference, weight, gradient].map(Buffer::format);
    assert_eq!(formats, [Format::F32; 4], "latents are f32");
    let blocks = gpu.blocks(len, THREADS as usize);
    let partial = Buffer::unset(gpu, Format::F32, blocks);
    let channels = len / weight.len();
    let arguments = [x.into(), reference.into(), weight.into(), gradient.into(), (&partial).into(), channels.into(), len.into()];
    gpu.launch("weighted_l1", [blocks, 1, 1], &arguments);
    total(&partial)
}

/// The sum of the blocks' sums, in doubles.
fn total(partial: &Buffer) -> f64 {
    let gpu = partial.gpu();
    let sum = Memory::new(gpu, size_of::<f64>());
    gpu.launch("sum_partials", [1, 1, 1], &[partial.into(), partial.len().into(), (&sum).into()]);
    let mut bytes = [0; size_of::<f64>()];
    sum.read(&mut bytes);
    f64::from_le_bytes(bytes)
}

/// One Adam step on f32 buffers.
pub(super) fn adam(step: &AdamStep, gradient: &Buffer, moments: [&mut Buffer; 2], parameter: &mut Buffer) {
    let len = parameter.len();
    let formats = [gradient.format(), moments[0].format(), moments[1].format(), parameter.format()];
    assert_eq!(formats, [Format::F32; 4], "the optimiser works on f32");
    let correction = |beta: f64| (1.0 - beta.powi(step.step as i32)) as f32;
    let [first, second] = moments;
    let arguments = [
        gradient.into(),
        first.into(),
        second.into(),
        parameter.into(),
        (step.lr as f32).into(),
        (step.decay as f32).into(),
        correction(0.9).into(),
        correction(0.999).into(),
        len.into(),
    ];
    gradient.gpu().spread("adam", len, &arguments);
}
