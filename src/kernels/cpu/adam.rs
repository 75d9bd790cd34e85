//! Adam and AdamW on flat buffers (Kingma and Ba, arXiv 1412.6980; decoupled decay: Loshchilov and Hutter, arXiv 1711.05101).

use crate::kernels::AdamStep;

const BETAS: [f64; 2] = [0.9, 0.999];
const EPS: f64 = 1e-8;

pub(super) fn adam(step: &AdamStep, gradient: &[f32], first: &mut [f32], second: &mut [f32], parameter: &mut [f32]) {
    let corrections = BETAS.map(|beta| 1.0 - beta.powi(step.step as i32));
    let rate = (step.lr / corrections[0]) as f32;
    let root = (1.0 / corrections[1].sqrt()) as f32;
    let shrink = (1.0 - step.lr * step.decay) as f32;
    let [beta1, beta2] = BETAS.map(|beta| beta as f32);
    let [rest1, rest2] = BETAS.map(|beta| (1.0 - beta) as f32);
    for (((g, m), v), p) in gradient.iter().zip(first).zip(second).zip(parameter) {
        *m = beta1 * *m + rest1 * g;
        *v = beta2 * *v + rest2 * g * g;
        *p = shrink * *p - rate * *m / (v.sqrt() * root + EPS as f32);
    }
}
