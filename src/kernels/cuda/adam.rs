//! The Adam optimiser.

use super::driver::Format;
use super::memory::Buffer;
use crate::kernels::AdamStep;

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
