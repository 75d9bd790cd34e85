//! Adam and AdamW (Kingma and Ba, arXiv 1412.6980, algorithm 1; decoupled decay: Loshchilov and Hutter, arXiv 1711.05101, algorithm 2).

use rayon::prelude::*;

use super::GRAIN;
use super::vector::{update, vectorised};
use crate::kernels::AdamStep;

const BETAS: [f64; 2] = [0.9, 0.999];
const EPS: f64 = 1e-8;

/// The scalars of a step: p = p * shrink - m * rate / (sqrt(v) * root + eps), where `rate` and `root` include the bias corrections.
#[derive(Debug, Clone, Copy)]
struct Rates {
    rate: f32,
    root: f32,
    shrink: f32,
}

vectorised! {
    fn step_chunk<'a>(simd, rates: Rates, gradient: &'a [f32], first: &'a mut [f32], second: &'a mut [f32], parameter: &'a mut [f32]) {
        let Rates { rate, root, shrink } = rates;
        let [beta1, beta2] = BETAS.map(|beta| beta as f32);
        let [rest1, rest2] = BETAS.map(|beta| (1.0 - beta) as f32);
        update(simd, [gradient], [first, second, parameter], |[m, v, p], [g]| {
            let (m, v) = (m * beta1 + g * rest1, v * beta2 + g * g * rest2);
            [m, v, p * shrink - m * rate / (v.sqrt() * root + EPS as f32)]
        });
    }
}

pub(super) fn adam(
    step: &AdamStep,
    gradient: &[f32],
    first: &mut [f32],
    second: &mut [f32],
    parameter: &mut [f32],
) {
    let corrections = BETAS.map(|beta| 1.0 - beta.powi(step.step as i32));
    let rate = (step.lr / corrections[0]) as f32;
    let rates = Rates {
        rate,
        root: (1.0 / corrections[1].sqrt()) as f32,
        shrink: (1.0 - step.lr * step.decay) as f32,
    };
    let moments = first
        .par_chunks_mut(GRAIN)
        .zip(second.par_chunks_mut(GRAIN));
    let parts = gradient
        .par_chunks(GRAIN)
        .zip(moments)
        .zip(parameter.par_chunks_mut(GRAIN));
    parts.for_each(|((gradient, (first, second)), parameter)| {
        step_chunk(rates, gradient, first, second, parameter);
    });
}
