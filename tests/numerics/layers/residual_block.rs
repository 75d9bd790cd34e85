//! The residual block of the network.

use std::path::PathBuf;

use super::super::reference::{self, plus, wide};
use super::{FORWARD, assert_close, assert_gradient, run, tensor};
use crate::bench::numbers::Numbers;
use dragnext::interrupt::Interrupt;
use dragnext::kernels::{Backend, ConvShape, GroupShape};
use dragnext::model::Source;
use dragnext::model::config::UNetConfig;
use dragnext::model::safetensors::SafetensorsFile;
use dragnext::model::unet::Resnet;
use dragnext::model::weights::Weights;
use dragnext::nn::{Shape, Tensor};

/// The parameters of a block: `norm1`, `conv1`, `time_emb_proj`, `norm2` and `conv2`, each as weight and bias, and the shortcut's.
struct Parameters {
    layers: [[Vec<f64>; 2]; 5],
    shortcut: Option<[Vec<f64>; 2]>,
}

impl Parameters {
    fn read(file: &mut SafetensorsFile, block: &str, has_shortcut: bool) -> Self {
        let mut layer = |name: &str| {
            ["weight", "bias"].map(|part| {
                let numbers = file.read(&format!("{block}.{name}.{part}"));
                wide(&numbers.expect("the fixture has this tensor"))
            })
        };
        Self {
            layers: ["norm1", "conv1", "time_emb_proj", "norm2", "conv2"].map(&mut layer),
            shortcut: has_shortcut.then(|| layer("conv_shortcut")),
        }
    }

    /// Returns the block's output for x (2, height, width, in) and the time embedding.
    fn reference(
        &self,
        config: &UNetConfig,
        [height, width]: [usize; 2],
        x: &[f64],
        time: &[f64],
    ) -> Vec<f64> {
        let [norm1, conv1, time_projection, norm2, conv2] = &self.layers;
        let outputs = conv1[1].len();
        let conv = |x: &[f64], [weight, bias]: &[Vec<f64>; 2]| {
            let inputs = weight.len() / (9 * outputs);
            // (out, in, 3, 3) to (out, 3, 3, in).
            let at = |index: usize| {
                (index / (9 * inputs) * inputs + index % inputs) * 9 + index / inputs % 9
            };
            let weight: Vec<f64> = (0..weight.len()).map(|index| weight[at(index)]).collect();
            let shape = ConvShape {
                batch: 2,
                input: [height, width, inputs],
                output: [height, width, outputs],
                kernel: 3,
                stride: 1,
                pad: 1,
            };
            reference::conv(&shape, x, &weight, bias)
        };
        let norm = |x: &[f64], [weight, bias]: &[Vec<f64>; 2]| {
            let shape = GroupShape {
                batch: 2,
                pixels: height * width,
                channels: weight.len(),
                groups: config.groups,
                eps: config.eps as f32,
            };
            reference::group_norm(&shape, x, weight, bias, true)
        };
        let [weight, bias] = time_projection;
        let shift = reference::linear(time, weight, Some(bias), 4 * config.channels[0]);
        let mut h = conv(&norm(x, norm1), conv1);
        let picture = height * width * outputs;
        for (at, h) in h.iter_mut().enumerate() {
            *h += shift[at / picture * outputs + at % outputs];
        }
        let h = conv(&norm(&h, norm2), conv2);
        match &self.shortcut {
            Some([weight, bias]) => {
                let inputs = x.len() / (2 * height * width);
                plus(&h, &reference::linear(x, weight, Some(bias), inputs))
            }
            None => plus(&h, x),
        }
    }
}

/// Blocks of the small model against a reference with the same weights.
fn residual_blocks<B: Backend>(backend: &B) {
    let source = Source::Folder(PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/tiny"
    )));
    let config = UNetConfig::read(&source).expect("the fixture is a model");
    let name = "unet/diffusion_pytorch_model.safetensors";
    let never = Interrupt::never();
    let mut weights = Weights::open(
        backend,
        &source,
        &["unet/diffusion_pytorch_model.safetensors"],
        &never,
    )
    .expect("the fixture has weights");
    let file = source
        .open(name)
        .expect("the file can be opened")
        .expect("the file exists");
    let mut file = SafetensorsFile::open(name.into(), file).expect("the header is valid");
    let mut numbers = Numbers::new(11);
    for (block, inputs, outputs) in [
        ("down_blocks.1.resnets.0", 8, 16),
        ("mid_block.resnets.0", 16, 16),
        ("up_blocks.3.resnets.0", 24, 8),
    ] {
        let layer = Resnet::load(&mut weights, &config, block, inputs, outputs)
            .expect("the fixture has this block");
        let parameters = Parameters::read(&mut file, block, inputs != outputs);
        let [height, width] = [3, 5];
        let (x, time) = (
            numbers.normal(2 * height * width * inputs),
            numbers.normal(2 * 4 * config.channels[0]),
        );
        let function = |x: &[f64]| parameters.reference(&config, [height, width], x, &wide(&time));
        let input = tensor(backend, Shape::new(2, height, width, inputs), &x);
        let shifts: Vec<_> = time
            .chunks_exact(4 * config.channels[0])
            .filter_map(|time| layer.shift(&tensor(backend, Shape::new(1, 1, 1, time.len()), time)))
            .collect();
        let shift = Tensor::stacked(&shifts);
        // The bias of the first convolution stays in the convolution, so that the bits of an edit do not depend on the fusion.
        let [weight, bias] = &parameters.layers[2];
        let alone = reference::linear(&wide(&time), weight, Some(bias), 4 * config.channels[0]);
        assert_close("shift", &shift.to_host(), &alone, FORWARD);
        let run = run(
            &input,
            &[],
            |x, pass| layer.forward(x, Some(&shift), pass),
            |dy, pass| layer.backward(dy, pass),
        );
        assert_close(block, &run.y, &function(&wide(&x)), FORWARD);
        assert_gradient(block, &x, &run.w, &run.dx, function);
    }
}

on_backends!(residual_blocks);
