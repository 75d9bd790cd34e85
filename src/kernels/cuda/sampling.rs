//! Bilinear samples of a map, and their adjoint.

use std::sync::{Arc, OnceLock};

use super::driver::Format;
use super::gpu::Gpu;
use super::memory::{Allocation, Buffer};
use crate::kernels::BilinearPoint;

/// Bilinear points of a map.
#[derive(Debug)]
pub struct Points {
    host: Vec<BilinearPoint>,
    /// (points, 4).
    pub(super) pixels: Allocation,
    /// (points, 4).
    pub(super) weights: Allocation,
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

    /// Returns the number of points.
    pub(super) fn len(&self) -> usize {
        self.host.len()
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
    let (gpu, len) = (map.gpu(), points.len() * channels);
    let out = Buffer::uninit(gpu, Format::F32, len);
    let arguments = [
        map.into(),
        (&points.pixels).into(),
        (&points.weights).into(),
        (&out).into(),
        channels.into(),
        points.len().into(),
    ];
    gpu.launch_elementwise(&format!("sample_{}", map.format().name()), len, &arguments);
    out
}

/// Adds the values (points, channels) to the four pixels of their points: the adjoint of
/// [`sample`].
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
