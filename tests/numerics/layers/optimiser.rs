//! The optimiser.

use super::super::reference::wide;
use super::{assert_close, buffer};
use crate::bench::numbers::Numbers;
use dragnext::kernels::{AdamStep, Backend};

/// Kingma and Ba, arXiv 1412.6980, algorithm 1, with the decoupled weight decay of Loshchilov and Hutter, arXiv 1711.05101, algorithm 2.
fn adam_follows_the_papers<B: Backend>(backend: &B) {
    let mut numbers = Numbers::new(15);
    for decay in [0.0, 1e-2] {
        let mut parameter = buffer(backend, &numbers.normal(50));
        let (mut first, mut second) = (backend.zeros(50), backend.zeros(50));
        let mut expected = wide(&backend.download(&parameter));
        let (mut m, mut v) = (vec![0.0; 50], vec![0.0; 50]);
        let lr = 0.02;
        for step in 1..=30 {
            let gradient = numbers.scaled(50, 1e-3);
            backend.adam(
                &AdamStep { step, lr, decay },
                &buffer(backend, &gradient),
                &mut first,
                &mut second,
                &mut parameter,
            );
            for (at, g) in wide(&gradient).into_iter().enumerate() {
                m[at] = 0.9 * m[at] + 0.1 * g;
                v[at] = 0.999 * v[at] + 0.001 * g * g;
                let unbiased = (
                    m[at] / (1.0 - 0.9_f64.powi(step as i32)),
                    v[at] / (1.0 - 0.999_f64.powi(step as i32)),
                );
                expected[at] -=
                    lr * decay * expected[at] + lr * unbiased.0 / (unbiased.1.sqrt() + 1e-8);
            }
        }
        assert_close(
            &format!("decay {decay}"),
            &backend.download(&parameter),
            &expected,
            1e-5,
        );
    }
}

on_backends!(adam_follows_the_papers);
