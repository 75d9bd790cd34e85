//! Bilinear samples, losses with their gradients, and the optimiser.

use std::sync::{Arc, OnceLock};

use super::driver::Format;
use super::gpu::{Gpu, THREADS};
use super::memory::{Allocation, Buffer};
use crate::kernels::{AdamStep, BilinearPoint};

/// Bilinear points of a map.
#[derive(Debug)]
pub struct Points {
    host: Vec<BilinearPoint>,
    pixels: Allocation,
    weights: Allocation,
    /// Built by the first call that needs it.
    by_pixel: OnceLock<PointsByPixel>,
}

/// The points sorted by pixel, for the pixels that have any. Sums over the points of a pixel
/// therefore have a fixed order.
#[derive(Debug)]
struct PointsByPixel {
    touched: usize,
    pixel: Allocation,
    first: Allocation,
    point: Allocation,
    weight: Allocation,
}

impl Points {
    pub(super) fn new(gpu: &Arc<Gpu>, points: Vec<BilinearPoint>) -> Self {
        let pixels: Vec<u32> = points.iter().flat_map(|point| point.pixels).collect();
        let weights: Vec<f32> = points.iter().flat_map(|point| point.weights).collect();
        let [pixels, weights] = [
            bytemuck::cast_slice(&pixels),
            bytemuck::cast_slice(&weights),
        ]
        .map(|bytes| Allocation::from_host(gpu, bytes));
        Self {
            host: points,
            pixels,
            weights,
            by_pixel: OnceLock::new(),
        }
    }

    fn by_pixel(&self, gpu: &Arc<Gpu>) -> &PointsByPixel {
        self.by_pixel
            .get_or_init(|| PointsByPixel::new(gpu, &self.host))
    }
}

impl PointsByPixel {
    fn new(gpu: &Arc<Gpu>, points: &[BilinearPoint]) -> Self {
        let entries = points.iter().enumerate().flat_map(|(index, point)| {
            point
                .pixels
                .iter()
                .zip(point.weights)
                .map(move |(pixel, weight)| (*pixel, index as u32, weight))
        });
        let mut entries: Vec<(u32, u32, f32)> = entries.collect();
        // A stable sort keeps the points of a pixel in their order.
        entries.sort_by_key(|(pixel, ..)| *pixel);
        let (mut pixel, mut first) = (Vec::new(), Vec::new());
        for (index, entry) in entries.iter().enumerate() {
            if pixel.last() != Some(&entry.0) {
                pixel.push(entry.0);
                first.push(index as u32);
            }
        }
        first.push(entries.len() as u32);
        let point: Vec<u32> = entries.iter().map(|entry| entry.1).collect();
        let weight: Vec<f32> = entries.iter().map(|entry| entry.2).collect();
        let upload = |values: &[u32]| Allocation::from_host(gpu, bytemuck::cast_slice(values));
        Self {
            touched: pixel.len(),
            pixel: upload(&pixel),
            first: upload(&first),
            point: upload(&point),
            weight: Allocation::from_host(gpu, bytemuck::cast_slice(&weight)),
        }
    }
}

/// Returns the values (points, channels) of a map at points, as f32.
pub(super) fn sample(channels: usize, map: &Buffer, points: &Points) -> Buffer {
    let (gpu, len) = (map.gpu(), points.host.len() * channels);
    let out = Buffer::uninit(gpu, Format::F32, len);
    let arguments = [
        map.into(),
        (&points.pixels).into(),
        (&points.weights).into(),
        (&out).into(),
        channels.into(),
        points.host.len().into(),
    ];
    gpu.launch_elementwise(&format!("sample_{}", map.format().name()), len, &arguments);
    out
}

/// Adds the values (points, channels) to the four pixels of their points: the adjoint of [`sample`].
pub(super) fn scatter(channels: usize, values: &Buffer, points: &Points, map: &mut Buffer) {
    let formats = [values.format(), map.format()];
    assert_eq!(formats, [Format::F32; 2], "gradients are summed in f32");
    let gpu = map.gpu();
    let by_pixel = points.by_pixel(gpu);
    let arguments = [
        values.into(),
        (&by_pixel.pixel).into(),
        (&by_pixel.first).into(),
        (&by_pixel.point).into(),
        (&by_pixel.weight).into(),
        (&*map).into(),
        channels.into(),
        by_pixel.touched.into(),
    ];
    gpu.launch_elementwise("scatter", by_pixel.touched * channels, &arguments);
}

/// Returns scale * sum |map at `points` - target| and adds its gradient to the map to `gradient`.
pub(super) fn sampled_l1(
    channels: usize,
    map: &Buffer,
    points: &Points,
    target: &Buffer,
    scale: f32,
    gradient: &mut Buffer,
) -> f64 {
    let (gpu, len) = (map.gpu(), points.host.len() * channels);
    if len == 0 {
        return 0.0;
    }
    let signs = Buffer::uninit(gpu, Format::F32, len);
    let blocks = gpu.grid_size(len, THREADS as usize);
    let partial = Buffer::uninit(gpu, Format::F32, blocks);
    let difference = [
        map.into(),
        (&points.pixels).into(),
        (&points.weights).into(),
        target.into(),
        scale.into(),
        (&signs).into(),
        (&partial).into(),
        channels.into(),
        points.host.len().into(),
    ];
    gpu.launch(
        &format!("sampled_difference_{}", map.format().name()),
        [blocks, 1, 1],
        &difference,
    );
    scatter(channels, &signs, points, gradient);
    total(&partial) * f64::from(scale)
}

/// Returns sum weight * |x - reference| over cells and channels and writes its gradient to x.
pub(super) fn weighted_l1(
    x: &Buffer,
    reference: &Buffer,
    weight: &Buffer,
    gradient: &mut Buffer,
) -> f64 {
    let (gpu, len) = (x.gpu(), x.len());
    let formats = [x, reference, weight, gradient].map(Buffer::format);
    assert_eq!(formats, [Format::F32; 4], "latents are f32");
    let blocks = gpu.grid_size(len, THREADS as usize);
    let partial = Buffer::uninit(gpu, Format::F32, blocks);
    let channels = len / weight.len();
    let arguments = [
        x.into(),
        reference.into(),
        weight.into(),
        gradient.into(),
        (&partial).into(),
        channels.into(),
        len.into(),
    ];
    gpu.launch("weighted_l1", [blocks, 1, 1], &arguments);
    total(&partial)
}

/// Sums the partial sums of the blocks in f64.
fn total(partial: &Buffer) -> f64 {
    let gpu = partial.gpu();
    let sum = Allocation::new(gpu, size_of::<f64>());
    gpu.launch(
        "sum_partials",
        [1, 1, 1],
        &[partial.into(), partial.len().into(), (&sum).into()],
    );
    let mut bytes = [0; size_of::<f64>()];
    sum.read(&mut bytes);
    f64::from_le_bytes(bytes)
}

/// Runs one Adam step on f32 buffers.
pub(super) fn adam(
    step: &AdamStep,
    gradient: &Buffer,
    moments: [&mut Buffer; 2],
    parameter: &mut Buffer,
) {
    let len = parameter.len();
    let formats = [
        gradient.format(),
        moments[0].format(),
        moments[1].format(),
        parameter.format(),
    ];
    assert_eq!(formats, [Format::F32; 4], "the optimiser state is f32");
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
    gradient.gpu().launch_elementwise("adam", len, &arguments);
}
