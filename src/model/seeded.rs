//! Random weights of networks that only have to compute, such as those of the check of a device.

use crate::digest::sha256;
use crate::kernels::comparison::Numbers;

/// The largest deviation of a scale from 1, and of a bias from 0.
const SPREAD: f32 = 0.25;

/// Returns the numbers of a tensor, which its name decides. Weights of a layer keep the size of its input (variance 1 / inputs), those of a
/// normalisation are near 1, and biases near 0.
pub(super) fn values(name: &str, shape: &[usize]) -> Vec<f32> {
    let digits = &sha256(name.as_bytes())[..16];
    let seed = u64::from_str_radix(digits, 16).unwrap_or_default();
    let mut numbers = Numbers::new(seed);
    let len = shape.iter().product();
    match shape {
        [_] if name.rsplit('.').next() == Some("bias") => numbers.spread(len, SPREAD),
        [_] => {
            let scales = numbers.spread(len, SPREAD).into_iter();
            scales.map(|deviation| 1.0 + deviation).collect()
        }
        _ => {
            let inputs: usize = shape[1..].iter().product();
            numbers.spread(len, (3.0 / inputs as f32).sqrt())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_have_the_variance_that_keeps_the_size_of_inputs() {
        let weights = values("a.weight", &[40, 10, 3, 3]);
        assert_eq!(weights, values("a.weight", &[40, 10, 3, 3]));
        assert_ne!(weights, values("b.weight", &[40, 10, 3, 3]));
        let variance = weights.iter().map(|x| x * x).sum::<f32>() / weights.len() as f32;
        assert!((variance * 90.0 - 1.0).abs() < 0.05, "{variance}");
        let scales = values("norm.weight", &[32]);
        assert!(scales.iter().all(|x| (0.75..=1.25).contains(x)));
        let biases = values("norm.bias", &[32]);
        assert!(biases.iter().all(|x| x.abs() <= 0.25));
    }
}
