//! Every layer against a slow reference in f64: outputs, and gradients against central differences of the reference, along
//! random directions and, for small inputs, element by element.

/// Defines these tests for the CPU backend, for candle's, and for candle's with so little memory that all it computes in chunks takes several.
macro_rules! on_backends {
    ($($name:ident),*) => {
        mod cpu {
            $(#[test]
            fn $name() {
                super::$name(&dragnext::kernels::cpu::Cpu);
            })*
        }
        mod candle {
            use dragnext::kernels::{Format, candle::Candle};
            $(#[test]
            fn $name() {
                super::$name(&Candle::cpu(Format::F32));
            })*
        }
        mod candle_in_chunks {
            use dragnext::kernels::{Format, candle::Candle};
            $(#[test]
            fn $name() {
                super::$name(&Candle::cpu(Format::F32).with_chunks_of(4096));
            })*
        }
    };
}

mod activation;
mod attention;
mod convolution;
mod linear;
mod losses;
mod normalisation;
mod optimiser;
mod resampling;
mod residual_block;

use super::reference::{dot, wide};
use crate::bench::numbers::Numbers;
use dragnext::kernels::Backend;
use dragnext::nn::{BackwardPass, Learner, Pass, Shape, Tensor};

/// Largest relative error of an output.
const FORWARD: f64 = 1e-5;
/// Largest relative error of a gradient.
const BACKWARD: f64 = 1e-4;
/// Step of the central differences; in f64, their error is about its square.
const STEP: f64 = 1e-5;
/// Inputs up to this length are checked element by element.
const SMALL: usize = 400;

fn tensor<B: Backend>(backend: &B, shape: Shape, numbers: &[f32]) -> Tensor<B> {
    Tensor::from_host(backend, shape, numbers.to_vec())
}

fn buffer<B: Backend>(backend: &B, numbers: &[f32]) -> B::Buffer {
    backend.upload(numbers.to_vec())
}

fn vector<B: Backend>(backend: &B, numbers: &[f32]) -> Tensor<B> {
    Tensor::vector(backend, numbers.to_vec())
}

fn assert_close(what: &str, got: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len(), "{what}: length");
    assert!(got.iter().all(|x| x.is_finite()), "{what}: not finite");
    let largest = expected
        .iter()
        .fold(f64::MIN_POSITIVE, |largest, x| largest.max(x.abs()));
    let error = got
        .iter()
        .zip(expected)
        .fold(0.0, |error: f64, (got, expected)| {
            error.max((f64::from(*got) - expected).abs())
        });
    assert!(
        error <= tolerance * largest,
        "{what}: off by {:.2e} of the largest element",
        error / largest
    );
}

/// Asserts that `gradient` is the gradient of <w, function(x)>.
fn assert_gradient(
    what: &str,
    x: &[f32],
    w: &[f32],
    gradient: &[f32],
    function: impl Fn(&[f64]) -> Vec<f64>,
) {
    let (x, w, gradient_wide) = (wide(x), wide(w), wide(gradient));
    let along = |v: &[f64]| {
        let moved = |step: f64| {
            x.iter()
                .zip(v)
                .map(|(x, v)| x + step * v)
                .collect::<Vec<f64>>()
        };
        (dot(&w, &function(&moved(STEP))) - dot(&w, &function(&moved(-STEP)))) / (2.0 * STEP)
    };
    if x.len() <= SMALL {
        let unit = |index: usize| {
            (0..x.len())
                .map(|at| if at == index { 1.0 } else { 0.0 })
                .collect::<Vec<f64>>()
        };
        let expected: Vec<f64> = (0..x.len()).map(|index| along(&unit(index))).collect();
        assert_close(
            &format!("{what}, element by element"),
            gradient,
            &expected,
            BACKWARD,
        );
    }
    let mut numbers = Numbers::new(99);
    for direction in 0..3 {
        let v = wide(&numbers.normal(x.len()));
        // The product of the gradient with a random direction is about as large as the gradient's norm.
        let size = dot(&gradient_wide, &gradient_wide).sqrt();
        let error = (along(&v) - dot(&gradient_wide, &v)).abs() / size;
        assert!(
            error <= BACKWARD,
            "{what}, direction {direction}: off by {error:.2e}"
        );
    }
}

/// A layer's output, and its gradients from the gradient `w` of the output.
struct Run {
    y: Vec<f32>,
    w: Vec<f32>,
    dx: Vec<f32>,
    d_parameters: Vec<f32>,
}

/// Runs a forward and a backward pass; with parameters of adapters, both learn.
fn run<B: Backend>(
    x: &Tensor<B>,
    parameters: &[f32],
    forward: impl Fn(&Tensor<B>, &mut Pass<B>) -> Tensor<B>,
    backward: impl Fn(&Tensor<B>, &mut BackwardPass<B>) -> Tensor<B>,
) -> Run {
    let backend = x.backend();
    let parameters = vector(backend, parameters);
    let mut gradient = Tensor::zeros(backend, parameters.shape());
    let learns = !parameters.shape().is_empty();
    let mut pass = if learns {
        Pass::learning()
    } else {
        Pass::recording()
    };
    let y = forward(x, &mut pass);
    let w = Numbers::new(7).normal(y.shape().len());
    let mut pass = BackwardPass::new(pass.into_tape());
    if learns {
        pass = pass.with_learner(Learner {
            set: 0,
            parameters: &parameters,
            gradient: &mut gradient,
        });
    }
    let dx = backward(&tensor(backend, y.shape(), &w), &mut pass);
    assert!(
        pass.into_tape().is_empty(),
        "the backward pass uses the whole tape"
    );
    assert_eq!(dx.shape(), x.shape());
    assert_eq!(
        forward(x, &mut Pass::inference()).to_host(),
        y.to_host(),
        "recording changes nothing"
    );
    Run {
        y: y.to_host(),
        w,
        dx: dx.to_host(),
        d_parameters: gradient.to_host(),
    }
}

/// Runs the tests of this module with wider vectors and without vectors.
#[test]
#[cfg(feature = "failpoints")]
fn layers_with_other_vectors() {
    const LANES: &str = "DRAGNEXT_LANES";
    if std::env::var_os(LANES).is_some() {
        return;
    }
    for lanes in ["16", "1"] {
        let run =
            std::process::Command::new(std::env::current_exe().expect("the test's path is known"))
                .args(["layers::", "--skip", "candle"])
                .env(LANES, lanes)
                .output();
        let run = run.expect("the test can be started");
        assert!(
            run.status.success(),
            "{lanes} lanes:\n{}",
            String::from_utf8_lossy(&run.stdout)
        );
    }
}
