//! Operations value by value.

use candle_core::{DType, Result, Tensor};

use super::buffer::Buffer;
use super::dtype;

/// y = a * y + b * x.
pub(super) fn combine(a: f32, y: &mut Buffer, b: f32, x: &Buffer) {
    assert_eq!(x.len(), y.len(), "x and y have the same length");
    let result = x.device().run(|| {
        let scaled = |buffer: &Buffer, factor: f32| {
            let values = buffer.in_f32(buffer.len())?;
            if factor == 1.0 {
                Ok(values)
            } else {
                values.affine(f64::from(factor), 0.0)
            }
        };
        (scaled(y, a)? + scaled(x, b)?)?.to_dtype(dtype(y.format()))
    });
    y.set(result);
}

/// y = factors[first] * y + factors[first + 1] * x.
pub(super) fn combine_by(factors: &Buffer, first: usize, y: &mut Buffer, x: &Buffer) {
    assert_eq!(x.len(), y.len(), "x and y have the same length");
    let result = x.device().run(|| {
        let factors = factors.in_f32(factors.len())?;
        let scaled = |buffer: &Buffer, index: usize| {
            let factor = factors.narrow(0, index, 1)?;
            buffer.in_f32(buffer.len())?.broadcast_mul(&factor)
        };
        scaled(y, first)? + scaled(x, first + 1)?
    });
    y.set(result);
}

/// y = the sum of the pictures of x.
pub(super) fn sum_pictures(x: &Buffer, y: &mut Buffer) {
    let len = y.len();
    assert!(
        len > 0 && x.len().is_multiple_of(len),
        "x is a whole number of pictures"
    );
    y.set(x.device().run(|| {
        let pictures = x.shaped(((), len))?;
        let picture = |index: usize| pictures.get(index)?.to_dtype(DType::F32);
        let mut sum = picture(0)?.force_contiguous()?;
        for index in 1..pictures.dim(0)? {
            sum = (sum + picture(index)?)?;
        }
        sum.to_dtype(dtype(y.format()))
    }));
}

/// Replaces the pixels of y where `mask` > 0.5 by those of x.
pub(super) fn select(mask: &Buffer, x: &Buffer, y: &mut Buffer) {
    let pixels = mask.len();
    let result = x.device().run(|| {
        let (x, y) = (x.shaped((pixels, ()))?, y.shaped((pixels, ()))?);
        let chosen = mask.in_f32((pixels, 1))?.gt(0.5)?;
        chosen
            .broadcast_as(x.shape())?
            .contiguous()?
            .where_cond(&x, &y)
    });
    y.set(result);
}

/// Returns whether every value is finite: 0 times infinity or NaN is NaN, and so is a sum with it.
pub(super) fn all_finite(buffer: &Buffer) -> bool {
    if buffer.len() == 0 {
        return true;
    }
    let sum = buffer.device().run(|| {
        let zeros = (buffer.in_f32(buffer.len())? * 0.0)?;
        total(&zeros)?.to_scalar::<f32>()
    });
    sum == 0.0
}

/// Sums all values. candle sums a whole tensor with one block of threads, so parts are summed first.
fn total(x: &Tensor) -> Result<Tensor> {
    let len = x.elem_count();
    let part = (1 << len.trailing_zeros()).min(4096);
    x.reshape((len / part, part))?.sum(1)?.sum_all()
}
