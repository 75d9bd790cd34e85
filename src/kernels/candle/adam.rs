//! The optimiser.

use super::buffer::Buffer;
use crate::kernels::AdamStep;

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPS: f64 = 1e-8;

/// Updates the moments and the parameter by one step.
pub(super) fn adam(
    step: &AdamStep,
    gradient: &Buffer,
    [first, second]: [&mut Buffer; 2],
    parameter: &mut Buffer,
) {
    let len = parameter.len();
    if len == 0 {
        return;
    }
    let AdamStep { step, lr, decay } = *step;
    let unbiased = |beta: f64| 1.0 / (1.0 - beta.powi(step as i32));
    let [m, v, p] = gradient.device().run(|| {
        let g = gradient.shaped(len)?;
        let m = (first.shaped(len)?.affine(BETA1, 0.0)? + g.affine(1.0 - BETA1, 0.0)?)?;
        let v = (second.shaped(len)?.affine(BETA2, 0.0)? + g.sqr()?.affine(1.0 - BETA2, 0.0)?)?;
        let deviation = (v.affine(unbiased(BETA2), 0.0)?.sqrt()? + EPS)?;
        let change = (m.affine(lr * unbiased(BETA1), 0.0)? / deviation)?;
        let p = (parameter.shaped(len)?.affine(1.0 - lr * decay, 0.0)? - change)?;
        Ok([m, v, p])
    });
    first.set(m);
    second.set(v);
    parameter.set(p);
}
