//! Bilinear samples of a feature map, their adjoint, and the losses with their gradients.

use candle_core::{DType, Result, Tensor};

use super::buffer::Buffer;
use super::device::SharedDevice;
use crate::kernels::{BilinearPoint, Format};

/// The binary logarithm of the most squares that are summed in f32; the host adds these sums in f64.
const LOG2_SQUARES: u32 = 6;

/// Sampling points on the device.
#[derive(Debug)]
pub struct Points {
    count: usize,
    /// One more than the largest index of a pixel.
    pixels: usize,
    /// Indices (4 * points), and weights (4 * points, 1); `None` without points.
    corners: Option<[Tensor; 2]>,
}

impl Points {
    pub(super) fn new(device: &SharedDevice, points: &[BilinearPoint]) -> Self {
        let pixels: Vec<u32> = points.iter().flat_map(|point| point.pixels).collect();
        let weights: Vec<f32> = points.iter().flat_map(|point| point.weights).collect();
        let corners = (!points.is_empty()).then(|| {
            device.run(|| {
                Ok([
                    Tensor::from_slice(&pixels, pixels.len(), device.tensors())?,
                    Tensor::from_slice(&weights, (weights.len(), 1), device.tensors())?,
                ])
            })
        });
        Self {
            count: points.len(),
            pixels: pixels.iter().max().map_or(0, |pixel| *pixel as usize + 1),
            corners,
        }
    }
}

/// Returns the samples (points, channels) of a map (pixels, channels), in f32.
fn samples(
    channels: usize,
    map: &Buffer,
    points: &Points,
    corners: &[Tensor; 2],
) -> Result<Tensor> {
    let [pixels, weights] = corners;
    let corners = map
        .shaped(((), channels))?
        .index_select(pixels, 0)?
        .to_dtype(DType::F32)?
        .broadcast_mul(weights)?
        .reshape((points.count, 4, channels))?;
    let corner = |index: usize| corners.narrow(1, index, 1);
    (((corner(0)? + corner(1)?)? + corner(2)?)? + corner(3)?)?.reshape((points.count, channels))
}

/// Returns map + the values (points, channels) at the corners of their points. A pixel receives its terms in the order of the points.
fn scattered(values: &Tensor, corners: &[Tensor; 2], map: &Tensor) -> Result<Tensor> {
    let (points, channels) = values.dims2()?;
    let [pixels, weights] = corners;
    let terms = values
        .reshape((points, 1, channels))?
        .broadcast_mul(&weights.reshape((points, 4, 1))?)?
        .reshape((4 * points, channels))?;
    map.index_add(pixels, &terms, 0)
}

/// Returns the sums of the rows of x (rows, ..) in f32.
fn row_sums(x: &Tensor) -> Result<Tensor> {
    x.to_dtype(DType::F32)?.sum(1)
}

/// The derivative of |x|: its sign, 0 at 0, NaN at NaN.
fn sign(x: &Tensor) -> Result<Tensor> {
    x.sign()? + (x * 0.0)?
}

fn assert_inside(channels: usize, map: &Buffer, points: &Points) {
    assert!(
        points.pixels * channels <= map.len(),
        "points lie on the map"
    );
}

/// Returns the values (points, channels) of a map at points, in f32.
pub(super) fn sample(channels: usize, map: &Buffer, points: &Points) -> Buffer {
    assert_inside(channels, map, points);
    let mut values = Buffer::uninit(map.device(), Format::F32, points.count * channels);
    if let Some(corners) = &points.corners {
        values.set(map.device().run(|| samples(channels, map, points, corners)));
    }
    values
}

/// Adds the values (points, channels) to the four pixels of their points: the adjoint of [`sample`].
pub(super) fn scatter(channels: usize, values: &Buffer, points: &Points, map: &mut Buffer) {
    assert_inside(channels, map, points);
    assert_eq!(
        values.len(),
        points.count * channels,
        "a value for every point and channel"
    );
    if let Some(corners) = &points.corners {
        let sum = values.device().run(|| {
            let values = values.in_f32((points.count, channels))?;
            scattered(&values, corners, &map.shaped(((), channels))?)
        });
        map.set(sum);
    }
}

/// Returns scale * sum |sample(map) - target|, and adds its gradient to `gradient`.
pub(super) fn sampled_l1(
    channels: usize,
    map: &Buffer,
    points: &Points,
    target: &Buffer,
    scale: f32,
    gradient: &mut Buffer,
) -> f64 {
    assert_inside(channels, map, points);
    let Some(corners) = &points.corners else {
        return 0.0;
    };
    let (sums, sum) = map.device().run(|| {
        let values = samples(channels, map, points, corners)?;
        let difference = (values - target.in_f32((points.count, channels))?)?;
        // The host adds the sums of the points in f64.
        let sums = row_sums(&difference.abs()?)?.to_vec1::<f32>()?;
        let slope = (sign(&difference)? * f64::from(scale))?;
        let gradient = gradient.shaped(((), channels))?;
        Ok((sums, scattered(&slope, corners, &gradient)?))
    });
    gradient.set(sum);
    sums.into_iter().map(f64::from).sum::<f64>() * f64::from(scale)
}

/// Returns the sum of weight * |x - reference|, and writes its gradient to `gradient`.
pub(super) fn weighted_l1(
    x: &Buffer,
    reference: &Buffer,
    weight: &Buffer,
    gradient: &mut Buffer,
) -> f64 {
    let pixels = weight.len();
    let (sums, slope) = x.device().run(|| {
        let difference = (x.shaped((pixels, ()))? - reference.shaped((pixels, ()))?)?;
        let weight = weight.shaped((pixels, 1))?;
        let sums = (row_sums(&difference.abs()?)? * weight.flatten_all()?)?;
        let slope = sign(&difference)?.broadcast_mul(&weight)?;
        Ok((sums.to_vec1::<f32>()?, slope))
    });
    gradient.set(slope);
    sums.into_iter().map(f64::from).sum()
}

/// Returns the sum of weight * (x - reference)^2, with one weight per picture, and writes scale * weight * (x - reference) to `gradient`.
pub(super) fn squared_error(
    x: &Buffer,
    reference: &Buffer,
    weight: &Buffer,
    scale: f32,
    gradient: &mut Buffer,
) -> f64 {
    let pictures = weight.len();
    let per_picture = x.len() / pictures;
    let row = 1 << per_picture.trailing_zeros().min(LOG2_SQUARES);
    let (sums, weights, slope) = x.device().run(|| {
        let difference = (x.shaped((pictures, ()))? - reference.shaped((pictures, ()))?)?;
        let squares = difference.sqr()?.reshape(((), row))?;
        let weight = weight.shaped((pictures, 1))?;
        let slope = difference.broadcast_mul(&(&weight * f64::from(scale))?)?;
        let weights = weight.flatten_all()?.to_vec1::<f32>()?;
        Ok((row_sums(&squares)?.to_vec1::<f32>()?, weights, slope))
    });
    gradient.set(slope);
    let sums = sums.chunks_exact(per_picture / row).zip(weights);
    sums.map(|(sums, weight)| {
        let sum: f64 = sums.iter().copied().map(f64::from).sum();
        f64::from(weight) * sum
    })
    .sum()
}
