//! Transfers, conversions and copies, the test for finite values, and the loss scale.

use super::super::Precision::Exact;
use super::super::recorder::Recorder;
use crate::kernels::Backend;

pub(super) fn transfers<B: Backend>(r: &mut Recorder<B>, len: usize) {
    let backend = r.backend;
    let full = r.full(len);
    r.push_f32("upload", Exact, &full);
    let zeros = backend.zeros(len);
    r.push_f32("zeros", Exact, &zeros);
    let compact = r.compact(len);
    r.push("conversion to the format", Exact, &compact);
    for factor in [0.5, -2.0] {
        let scaled = backend.compact(&full, factor);
        r.flag("conversion to the format", scaled.is_some());
        if let Some(scaled) = scaled {
            r.push("conversion to the format", Exact, &scaled);
        }
        let scaled = backend.full(&compact, factor);
        r.flag("conversion to f32", scaled.is_some());
        if let Some(scaled) = scaled {
            r.push_f32("conversion to f32", Exact, &scaled);
        }
    }
    let copy = backend.duplicate(&compact);
    r.push("duplicate", Exact, &copy);
    let copy = backend.duplicate(&full);
    r.push_f32("duplicate", Exact, &copy);
    finite(r, len);
}

/// A value that is not finite is found in f32 and in the format, wherever it is.
fn finite<B: Backend>(r: &mut Recorder<B>, len: usize) {
    let numbers = r.numbers(len, 1.0);
    let mut test = |numbers: Vec<f32>| {
        let backend = r.backend;
        let compact = r.compact_of(numbers.clone());
        let found = [backend.upload(numbers), compact].map(|x| backend.all_finite(&x));
        for is_finite in found {
            r.flag("test for finite values", is_finite);
        }
    };
    test(numbers.clone());
    for (place, bad) in [
        (0, f32::NAN),
        (len / 2, f32::INFINITY),
        (len - 1, f32::NEG_INFINITY),
    ] {
        let mut numbers = numbers.clone();
        numbers[place] = bad;
        test(numbers);
    }
}

/// A loss scale is a power of two, a lower one is half of it, and a reset restores it.
pub(super) fn loss_scale<B: Backend>(r: &mut Recorder<B>) {
    let backend = r.backend;
    backend.restore_loss_scale();
    let first = backend.loss_scale();
    r.flag(
        "loss scale",
        first.is_none_or(|scale| scale > 0.0 && scale.log2().fract() == 0.0),
    );
    let is_lower = backend.lower_loss_scale();
    let half = first.map(|scale| 0.5 * scale);
    r.flag(
        "lower loss scale",
        is_lower == first.is_some() && backend.loss_scale() == half,
    );
    backend.restore_loss_scale();
    r.flag("restored loss scale", backend.loss_scale() == first);
}
