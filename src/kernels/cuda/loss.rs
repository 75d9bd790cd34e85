//! Losses with their gradients. The host can read their values later.

use std::sync::Arc;

use super::driver::Format;
use super::gpu::{Gpu, THREADS};
use super::memory::Buffer;
use super::sampling::{Points, scatter};
use crate::kernels::Sum;

/// Returns scale * sum |map at `points` - target| and adds its gradient to the map to `gradient`.
pub(super) fn sampled_l1(
    channels: usize,
    map: &Buffer,
    points: &Points,
    target: &Buffer,
    scale: f32,
    gradient: &mut Buffer,
) -> Sum<Buffer> {
    let (gpu, len) = (map.gpu(), points.len() * channels);
    if len == 0 {
        return Sum::Known(0.0);
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
        points.len().into(),
    ];
    gpu.launch(
        &format!("sampled_difference_{}", map.format().name()),
        [blocks, 1, 1],
        &difference,
    );
    scatter(channels, &signs, points, gradient);
    Sum::OnDevice {
        bits: total(&partial),
        factor: f64::from(scale),
    }
}

/// Returns sum weight * |x - reference| over cells and channels and writes its gradient to x.
pub(super) fn weighted_l1(
    x: &Buffer,
    reference: &Buffer,
    weight: &Buffer,
    gradient: &mut Buffer,
) -> Sum<Buffer> {
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
    Sum::OnDevice {
        bits: total(&partial),
        factor: 1.0,
    }
}

/// Returns sum weight * (x - reference)^2, with one weight per picture, and writes scale * weight * (x - reference) to `gradient`.
///
/// The blocks' sums are rounded to f32. No term is negative, so the relative error of the total is at most 2^-24.
pub(super) fn squared_error(
    x: &Buffer,
    reference: &Buffer,
    weight: &Buffer,
    scale: f32,
    gradient: &mut Buffer,
) -> Sum<Buffer> {
    let (gpu, len) = (x.gpu(), x.len());
    let formats = [x, reference, weight, gradient].map(Buffer::format);
    assert_eq!(formats, [Format::F32; 4], "noise predictions are f32");
    assert_eq!([reference.len(), gradient.len()], [len; 2], "of one shape");
    assert_eq!(len % weight.len(), 0, "a weight for every picture");
    let blocks = gpu.grid_size(len, THREADS as usize);
    let partial = Buffer::uninit(gpu, Format::F32, blocks);
    let per_picture = len / weight.len();
    let arguments = [
        x.into(),
        reference.into(),
        weight.into(),
        scale.into(),
        gradient.into(),
        (&partial).into(),
        per_picture.into(),
        len.into(),
    ];
    gpu.launch("squared_error", [blocks, 1, 1], &arguments);
    Sum::OnDevice {
        bits: total(&partial),
        factor: 1.0,
    }
}

/// Returns sums, with one copy to the host.
pub(super) fn values(gpu: &Arc<Gpu>, sums: &[&Sum<Buffer>]) -> Vec<f64> {
    let on_device = sums.iter().filter_map(|sum| match sum {
        Sum::Known(_) => None,
        Sum::OnDevice { bits, .. } => Some(bits),
    });
    let on_device: Vec<&Buffer> = on_device.collect();
    let mut downloaded = Buffer::downloaded_together(gpu, &on_device).into_iter();
    let mut next = |bits: &Buffer| downloaded.next().unwrap_or_else(|| bits.download());
    sums.iter().map(|sum| sum.value(&mut next)).collect()
}

/// Sums the partial sums of the blocks in f64, whose bits are two f32.
fn total(partial: &Buffer) -> Buffer {
    let gpu = partial.gpu();
    let sum = Buffer::uninit(gpu, Format::F32, size_of::<f64>() / size_of::<f32>());
    gpu.launch(
        "sum_partials",
        [1, 1, 1],
        &[partial.into(), partial.len().into(), (&sum).into()],
    );
    sum
}
