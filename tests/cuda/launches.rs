//! What is launched: terms that are fused, conversions that are made once, and the threads that join a group's parts.

use std::collections::BTreeMap;

use dragnext::diffusion::finetune::{self, Subject};
use dragnext::diffusion::{NoiseSource, Seeded};
use dragnext::interrupt::Interrupt;
use dragnext::kernels::cuda::Cuda;
use dragnext::kernels::cuda::driver::Format;
use dragnext::kernels::{AdamStep, Backend, GroupShape};
use dragnext::model::UNet;
use dragnext::model::unet::{Input, Network};
use dragnext::nn::{Shape, Tensor};

use super::compiled::{available, with_order};
use super::emulated::{ConvolutionSupport, Emulated, Launched, Launches};
use crate::bench::fixture::source;
use crate::bench::numbers::Numbers;
use crate::bench::report;
use crate::parity::network::{random, schedule, unet};

/// An emulated GPU with all convolutions, in f16, and what is launched on it.
fn gpu() -> (Cuda, Launches) {
    let emulated = Emulated::new(ConvolutionSupport::Full);
    let launches = emulated.launches();
    (Cuda::new(emulated, Format::F16), launches)
}

fn launched(launches: &Launches, kernel: &str) -> Launched {
    let launches = launches.lock().expect("no launch panicked");
    launches.get(kernel).copied().unwrap_or_default()
}

/// The width of the tiny model's prompt.
const TOKENS: usize = 24;

#[test]
fn equal_timesteps_shift_by_the_bias_of_the_convolution() {
    if !available("equal_timesteps_shift_by_the_bias_of_the_convolution") {
        return;
    }
    let (cuda, launches) = gpu();
    let unet = unet(&cuda, &source("tiny"));
    let z = random(&cuda, 1, Shape::new(2, 8, 8, 4));
    let prompt = unet.prepare(&random(&cuda, 2, Shape::new(1, 1, 7, TOKENS)));
    let shifts = |timesteps: &[f64]| {
        let before = (
            launched(&launches, "add_f16").count,
            cuda.launches().expect("launches are counted"),
        );
        unet.predict(Input::new(&z, timesteps, &prompt));
        let all = cuda.launches().expect("launches are counted") - before.1;
        report(&format!("timesteps {timesteps:?}: {all} launches"));
        launched(&launches, "add_f16").count - before.0
    };
    assert_eq!(shifts(&[500.0, 500.0]), 0, "cuDNN adds the shift");
    assert!(
        shifts(&[500.0, 30.0]) > 0,
        "different timesteps need a kernel"
    );
}

/// The gradient of the adapters at fixed timesteps and noise.
fn gradient(unet: &UNet<Cuda>, cuda: &Cuda, parameters: &Tensor<Cuda>) -> Tensor<Cuda> {
    let latent = random(cuda, 1, Shape::new(1, 8, 8, 4));
    let context = random(cuda, 2, Shape::new(1, 1, 7, TOKENS));
    let subject = Subject::new(&latent, &context);
    let noise = Numbers::new(5).normal(latent.shape().len());
    let trained = finetune::gradient(
        unet,
        &schedule(),
        &subject,
        parameters,
        &[700],
        &noise,
        &Interrupt::never(),
    );
    trained.expect("there is no interrupt").1
}

#[test]
fn adapters_are_converted_once_a_step() {
    if !available("adapters_are_converted_once_a_step") {
        return;
    }
    let (cuda, launches) = gpu();
    let mut unet = unet(&cuda, &source("tiny"));
    let places = unet.attach_adapters(4);
    let start = Seeded::new(3).adapters(&places);
    let start = start
        .iter()
        .zip(Numbers::new(4).normal(start.len()))
        .map(|(a, b)| a + 0.02 * b)
        .collect();
    let mut parameters = Tensor::vector(&cuda, start);
    // Biases are converted at their first use.
    gradient(&unet, &cuda, &Tensor::vector(&cuda, parameters.to_host()));
    let zeros = || Tensor::zeros(&cuda, parameters.shape());
    let mut moments = [zeros(), zeros()];
    let conversions = || launched(&launches, "convert_f32_to_f16").count;
    for step in 1..=2 {
        let before = conversions();
        unet.merge_adapters(&parameters);
        assert_eq!(
            conversions() - before,
            1,
            "all matrices are converted at once, after every change"
        );
        let got = gradient(&unet, &cuda, &parameters);
        // The latent, the prompt and the gradient of the loss are converted too.
        let of_step = conversions() - before;
        report(&format!(
            "step {step}: {of_step} conversions for {} adapters",
            places.len()
        ));
        assert!(
            of_step < places.len(),
            "{of_step} conversions for {} adapters",
            places.len()
        );
        // The same values in a buffer without a copy in f16.
        let fresh = Tensor::vector(&cuda, parameters.to_host());
        assert_eq!(
            gradient(&unet, &cuda, &fresh).to_host(),
            got.to_host(),
            "step {step}: the copy has the current values"
        );
        let [first, second] = &mut moments;
        let adam = AdamStep {
            step,
            lr: 0.01,
            decay: 0.0,
        };
        cuda.adam(
            &adam,
            got.buffer(),
            first.buffer_mut(),
            second.buffer_mut(),
            parameters.buffer_mut(),
        );
    }
}

/// Results of a group norm and its backward pass, twice, and the launches that computed them.
fn group_norm(shape: &GroupShape) -> (Vec<Vec<f32>>, BTreeMap<String, Launched>) {
    let emulated = Emulated::new(ConvolutionSupport::Full);
    let launches = emulated.launches();
    let cuda = Cuda::new(emulated, Format::F32);
    let len = shape.batch * shape.pixels * shape.channels;
    let x = cuda.upload(Numbers::new(1).normal(len));
    let [weight, bias] = [(); 2].map(|()| cuda.upload(vec![1.0; shape.channels]));
    let mut results = Vec::new();
    // The second time shows that the first one left the counters of finished blocks at zero.
    for _ in 0..2 {
        let mut stats = cuda.uninit(2 * shape.batch * shape.groups);
        let [mut y, mut dx] = [(); 2].map(|()| cuda.uninit(len));
        cuda.group_norm(shape, &x, &weight, &bias, false, &mut stats, &mut y);
        cuda.group_norm_backward(shape, &x, &weight, &bias, false, &stats, &y, None, &mut dx);
        results.push([stats, y, dx].map(|buffer| cuda.download(&buffer)).concat());
    }
    let launches = launches.lock().expect("no launch panicked").clone();
    for (kernel, launched) in &launches {
        assert_eq!(launched.count, 2, "{kernel}");
    }
    (results, launches)
}

/// A group that several blocks reduce.
const LARGE_GROUPS: GroupShape = GroupShape {
    batch: 2,
    pixels: 4096,
    channels: 4,
    groups: 1,
    eps: 1e-5,
};

#[test]
fn the_last_block_of_a_group_merges_its_parts() {
    if !available("the_last_block_of_a_group_merges_its_parts") {
        return;
    }
    let (expected, launches) = group_norm(&LARGE_GROUPS);
    assert_eq!(
        launches.keys().collect::<Vec<_>>(),
        [
            "group_norm_apply_f32",
            "group_norm_backward_apply_f32",
            "group_norm_backward_means_f32",
            "group_norm_stats_f32"
        ]
    );
    assert_eq!(expected[0], expected[1], "a second launch finds zeros");
    // Whichever block is the last, and in whichever order its threads run.
    for order in 1..8 {
        with_order(order, || {
            assert_eq!(group_norm(&LARGE_GROUPS).0, expected, "order {order}");
        });
    }
}

/// Counts the exchanges within warps: each block has eight warps, and only one of them may join the parts of a group.
#[test]
fn one_warp_joins_the_parts_of_a_group() {
    // Sums over a warp take five exchanges.
    const SUM: u32 = 5;
    const WARPS: u32 = 8;
    if !available("one_warp_joins_the_parts_of_a_group") {
        return;
    }
    let (_, launches) = group_norm(&LARGE_GROUPS);
    let groups = (LARGE_GROUPS.batch * LARGE_GROUPS.groups) as u32;
    for (kernel, values) in [
        // Count, mean, and sum of squared deviations.
        ("group_norm_stats_f32", 3),
        // The sums of the gradients, and of the gradients times normalised x.
        ("group_norm_backward_means_f32", 2),
    ] {
        let Launched {
            blocks, exchanges, ..
        } = launches[kernel];
        assert!(blocks > groups, "{kernel}: a group has several blocks");
        // One exchange tells a warp whether its block is the last of its group.
        let of_blocks = blocks * (WARPS * values * SUM + 1);
        assert_eq!(exchanges, of_blocks + groups * values * SUM, "{kernel}");
    }
}

#[test]
fn one_launch_normalises_a_group_that_one_block_reduces() {
    if !available("one_launch_normalises_a_group_that_one_block_reduces") {
        return;
    }
    let shape = GroupShape {
        batch: 2,
        pixels: 64,
        channels: 40,
        groups: 4,
        eps: 1e-5,
    };
    let (_, launches) = group_norm(&shape);
    assert_eq!(
        launches.keys().collect::<Vec<_>>(),
        ["group_norm_backward_whole_f32", "group_norm_whole_f32"]
    );
}
