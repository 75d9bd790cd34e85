//! Every layer against a slow reference in f64: its outputs, and its way back against central differences of that reference,
//! along random directions and, for small inputs, in every single number.

use std::path::PathBuf;

use super::reference::{self, dot, plus, wide};
use crate::bench::numbers::Numbers;
use dragnext::interrupt::Interrupt;
use dragnext::kernels::cpu::{Buffer, Cpu};
use dragnext::kernels::{AdamStep, AttentionShape, Backend, BilinearPoint, ConvShape, GroupShape};
use dragnext::model::Source;
use dragnext::model::config::UNetConfig;
use dragnext::model::safetensors::SafetensorsFile;
use dragnext::model::unet::Resnet;
use dragnext::model::weights::Weights;
use dragnext::nn::{
    Adapter, Attention, Conv, FeedForward, GroupNorm, LayerNorm, Linear, Pass, Shape, Tensor,
    upsample, upsample_backward,
};

/// Largest relative error of an output.
const FORWARD: f64 = 1e-5;
/// Largest relative error of a gradient.
const BACKWARD: f64 = 1e-4;
/// Step of the central differences; in f64 their error is about its square.
const STEP: f64 = 1e-5;
/// Inputs up to this length are checked number by number.
const SMALL: usize = 400;

fn tensor(shape: Shape, numbers: &[f32]) -> Tensor<Cpu> {
    Tensor::from_host(&Cpu, shape, numbers.to_vec())
}

fn buffer(numbers: &[f32]) -> Buffer {
    Cpu.upload(numbers.to_vec())
}

fn vector(numbers: &[f32]) -> Tensor<Cpu> {
    Tensor::vector(&Cpu, numbers.to_vec())
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
        "{what}: off by {:.2e} of the largest number",
        error / largest
    );
}

/// `gradient` must be that of <w, function(x)>.
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
            &format!("{what}, number by number"),
            gradient,
            &expected,
            BACKWARD,
        );
    }
    let mut numbers = Numbers::new(99);
    for direction in 0..3 {
        let v = wide(&numbers.normal(x.len()));
        // The length of the gradient is the size that its product with a random direction has.
        let size = dot(&gradient_wide, &gradient_wide).sqrt();
        let error = (along(&v) - dot(&gradient_wide, &v)).abs() / size;
        assert!(
            error <= BACKWARD,
            "{what}, direction {direction}: off by {error:.2e}"
        );
    }
}

/// One recorded trip there and back, with `w` as the gradient of the output.
struct Trip {
    y: Vec<f32>,
    w: Vec<f32>,
    dx: Vec<f32>,
    d_parameters: Vec<f32>,
}

fn trip(
    x: &Tensor<Cpu>,
    parameters: &[f32],
    forward: impl Fn(&Tensor<Cpu>, &mut Pass<Cpu>) -> Tensor<Cpu>,
    backward: impl Fn(&Tensor<Cpu>, &mut Pass<Cpu>) -> Tensor<Cpu>,
) -> Trip {
    let parameters = vector(parameters);
    let mut gradient = Tensor::zeros(&Cpu, parameters.shape());
    let mut pass = Pass::recording();
    if !parameters.shape().is_empty() {
        pass = pass.with_adapters(&parameters).with_gradient(&mut gradient);
    }
    let y = forward(x, &mut pass);
    let w = Numbers::new(7).normal(y.shape().len());
    let dx = backward(&tensor(y.shape(), &w), &mut pass);
    assert_eq!(
        pass.depth(),
        0,
        "the way back takes everything off the tape"
    );
    assert_eq!(dx.shape(), x.shape());
    assert_eq!(
        forward(x, &mut Pass::inference().with_adapters(&parameters)).to_host(),
        y.to_host(),
        "recording changes nothing"
    );
    Trip {
        y: y.to_host(),
        w,
        dx: dx.to_host(),
        d_parameters: gradient.to_host(),
    }
}

/// A linear layer's numbers, from which both forms are made.
struct Dense {
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
    inputs: usize,
    adapter: Option<Adapter>,
}

impl Dense {
    fn new(numbers: &mut Numbers, inputs: usize, outputs: usize, bias: bool) -> Self {
        let weight = numbers.scaled(inputs * outputs, 1.0 / (inputs as f32).sqrt());
        Self {
            weight,
            bias: bias.then(|| numbers.normal(outputs)),
            inputs,
            adapter: None,
        }
    }

    fn outputs(&self) -> usize {
        self.weight.len() / self.inputs
    }

    /// Places an adapter behind those that are there; returns the end of its numbers.
    fn adapt(&mut self, offset: usize, rank: usize) -> usize {
        self.adapter = Some(Adapter { offset, rank });
        offset + rank * (self.inputs + self.outputs())
    }

    /// The layer, with its adapter merged into the weights.
    fn layer(&self, parameters: &[f32]) -> Linear<Cpu> {
        let weight = tensor(Shape::new(1, 1, self.outputs(), self.inputs), &self.weight);
        let mut layer = Linear::new(&weight, self.bias.as_deref().map(vector));
        layer.set_adapter(0, self.adapter);
        layer.merge(0, &vector(parameters));
        layer
    }

    fn reference(&self, x: &[f64], parameters: &[f64]) -> Vec<f64> {
        let y = reference::linear(
            x,
            &wide(&self.weight),
            self.bias.as_deref().map(wide).as_deref(),
            self.inputs,
        );
        let Some(Adapter { offset, rank }) = self.adapter.filter(|_| !parameters.is_empty()) else {
            return y;
        };
        let (down, up) = parameters[offset..][..rank * (self.inputs + self.outputs())]
            .split_at(rank * self.inputs);
        plus(
            &y,
            &reference::linear(
                &reference::linear(x, down, None, self.inputs),
                up,
                None,
                rank,
            ),
        )
    }
}

#[test]
fn convolutions() {
    let mut numbers = Numbers::new(1);
    // (batch, height, width, in, out, stride, padding): few and many tasks, lines that fill a task, odd and even sizes.
    let cases = [
        (1, 5, 7, 3, 4, 1, [1, 1]),
        (5, 4, 6, 2, 3, 1, [1, 1]),
        (1, 1, 1, 3, 2, 1, [1, 1]),
        (1, 40, 40, 64, 8, 1, [1, 1]),
        (2, 5, 7, 3, 4, 2, [1, 1]),
        (2, 6, 8, 3, 4, 2, [1, 1]),
        (2, 5, 6, 3, 4, 2, [0, 1]),
        (5, 6, 5, 3, 2, 2, [0, 1]),
    ];
    for (batch, height, width, inputs, outputs, stride, padding) in cases {
        let what = format!(
            "{batch} x {height} x {width} x {inputs} to {outputs}, stride {stride}, padding {padding:?}"
        );
        let out = |size: usize| (size + padding[0] + padding[1] - 3) / stride + 1;
        let output = [out(height), out(width), outputs];
        let shape = ConvShape {
            batch,
            input: [height, width, inputs],
            output,
            kernel: 3,
            stride,
            pad: padding[0],
        };
        let weight = numbers.scaled(outputs * 9 * inputs, 1.0 / (9.0 * inputs as f32).sqrt());
        let (bias, x) = (
            numbers.normal(outputs),
            numbers.normal(batch * height * width * inputs),
        );
        let layer = Conv::new(
            &tensor(Shape::new(outputs, 3, 3, inputs), &weight),
            Some(vector(&bias)),
            [outputs, 3, inputs],
            stride,
            padding,
        );
        let function = |x: &[f64]| reference::conv(&shape, x, &wide(&weight), &wide(&bias));
        let input = tensor(Shape::new(batch, height, width, inputs), &x);
        let trip = trip(
            &input,
            &[],
            |x, pass| layer.forward(x, pass),
            |dy, pass| layer.backward(dy, pass),
        );
        assert_close(&what, &trip.y, &function(&wide(&x)), FORWARD);
        assert_gradient(&what, &x, &trip.w, &trip.dx, function);
    }
}

#[test]
fn linear_layers_and_their_adapters() {
    let mut numbers = Numbers::new(2);
    for (rows, inputs, outputs, rank) in
        [(1, 3, 5, 0), (7, 12, 9, 0), (6, 8, 10, 2), (300, 20, 12, 4)]
    {
        let what = format!("{rows} rows, {inputs} to {outputs}, rank {rank}");
        let mut dense = Dense::new(&mut numbers, inputs, outputs, true);
        let len = if rank > 0 { dense.adapt(0, rank) } else { 0 };
        let (parameters, x) = (numbers.normal(len), numbers.normal(rows * inputs));
        let layer = dense.layer(&parameters);
        let input = tensor(Shape::new(1, rows, 1, inputs), &x);
        let trip = trip(
            &input,
            &parameters,
            |x, pass| layer.forward(x, pass),
            |dy, pass| layer.backward(dy, pass),
        );
        assert_close(
            &what,
            &trip.y,
            &dense.reference(&wide(&x), &wide(&parameters)),
            FORWARD,
        );
        assert_gradient(&what, &x, &trip.w, &trip.dx, |x| {
            dense.reference(x, &wide(&parameters))
        });
        if rank > 0 {
            assert_gradient(
                &format!("{what}, adapter"),
                &parameters,
                &trip.w,
                &trip.d_parameters,
                |p| dense.reference(&wide(&x), p),
            );
        }
    }
}

#[test]
fn group_normalisations() {
    let mut numbers = Numbers::new(3);
    for (batch, height, width, channels, groups) in [
        (1, 1, 2, 4, 2),
        (2, 5, 3, 12, 4),
        (2, 11, 13, 16, 4),
        (1, 9, 8, 8, 1),
    ] {
        for silu in [false, true] {
            let what = format!(
                "{batch} x {height} x {width} x {channels} in {groups} groups, SiLU {silu}"
            );
            let shape = GroupShape {
                batch,
                pixels: height * width,
                channels,
                groups,
                eps: 1e-5,
            };
            let (weight, bias) = (numbers.normal(channels), numbers.normal(channels));
            // A mean far from zero, as deep activations have.
            let x: Vec<f32> = numbers
                .normal(batch * height * width * channels)
                .iter()
                .map(|x| 2.0 * x + 3.0)
                .collect();
            let layer = GroupNorm::new(vector(&weight), vector(&bias), groups, shape.eps, silu);
            let function =
                |x: &[f64]| reference::group_norm(&shape, x, &wide(&weight), &wide(&bias), silu);
            let input = tensor(Shape::new(batch, height, width, channels), &x);
            let trip = trip(
                &input,
                &[],
                |x, pass| layer.forward(x, pass),
                |dy, pass| layer.backward(dy, pass),
            );
            assert_close(&what, &trip.y, &function(&wide(&x)), FORWARD);
            assert_gradient(&what, &x, &trip.w, &trip.dx, function);
        }
    }
}

#[test]
fn layer_normalisations() {
    let mut numbers = Numbers::new(4);
    for (rows, channels) in [(3, 8), (130, 24)] {
        let (weight, bias) = (numbers.normal(channels), numbers.normal(channels));
        let x: Vec<f32> = numbers
            .normal(rows * channels)
            .iter()
            .map(|x| 2.0 * x - 1.0)
            .collect();
        let layer = LayerNorm::new(vector(&weight), vector(&bias), 1e-5);
        let function = |x: &[f64]| reference::layer_norm(1e-5, x, &wide(&weight), &wide(&bias));
        let input = tensor(Shape::new(1, rows, 1, channels), &x);
        let trip = trip(
            &input,
            &[],
            |x, pass| layer.forward(x, pass),
            |dy, pass| layer.backward(dy, pass),
        );
        assert_close("layer norm", &trip.y, &function(&wide(&x)), FORWARD);
        assert_gradient("layer norm", &x, &trip.w, &trip.dx, function);
    }
}

/// The projections of an attention, with adapters of rank 2 where `rank` says so.
fn projections(
    numbers: &mut Numbers,
    channels: usize,
    context: usize,
    adapted: bool,
) -> ([Dense; 4], Vec<f32>) {
    let mut dense = [
        (channels, false),
        (context, false),
        (context, false),
        (channels, true),
    ]
    .map(|(inputs, bias)| Dense::new(numbers, inputs, channels, bias));
    let mut end = 0;
    if adapted {
        for dense in &mut dense {
            end = dense.adapt(end, 2);
        }
    }
    (dense, numbers.scaled(end, 0.5))
}

fn attention_reference(
    shape: &AttentionShape,
    dense: &[Dense; 4],
    x: &[f64],
    context: &[f64],
    parameters: &[f64],
) -> Vec<f64> {
    let [to_q, to_k, to_v, to_out] = dense;
    let [q, k, v] = [(to_q, x), (to_k, context), (to_v, context)]
        .map(|(dense, input)| dense.reference(input, parameters));
    let sources: Vec<usize> = (0..shape.batch).collect();
    to_out.reference(
        &reference::attention(shape, &sources, &q, &k, &v),
        parameters,
    )
}

#[test]
fn attention_of_pixels_to_each_other() {
    let mut numbers = Numbers::new(5);
    // 70 queries are two blocks, 300 are five blocks in three parts.
    for (batch, height, width, heads, adapted) in [
        (2, 2, 3, 1, false),
        (1, 3, 3, 2, true),
        (1, 7, 10, 4, true),
        (2, 15, 20, 2, true),
    ] {
        let what = format!("{batch} x {height} x {width}, {heads} heads, adapters {adapted}");
        let channels = 8;
        let (dense, parameters) = projections(&mut numbers, channels, channels, adapted);
        let x = numbers.normal(batch * height * width * channels);
        let pixels = height * width;
        let shape = AttentionShape {
            batch,
            heads,
            queries: pixels,
            keys: pixels,
            head_size: channels / heads,
        };
        let layer = Attention::new(
            dense.each_ref().map(|dense| dense.layer(&parameters)),
            heads,
        );
        let function =
            |x: &[f64], parameters: &[f64]| attention_reference(&shape, &dense, x, x, parameters);
        let input = tensor(Shape::new(batch, height, width, channels), &x);
        let trip = trip(
            &input,
            &parameters,
            |x, pass| layer.forward_self(x, 0, None, pass),
            |dy, pass| layer.backward_self(dy, pass),
        );
        assert_close(
            &what,
            &trip.y,
            &function(&wide(&x), &wide(&parameters)),
            FORWARD,
        );
        assert_gradient(&what, &x, &trip.w, &trip.dx, |x| {
            function(x, &wide(&parameters))
        });
        if adapted && pixels < 200 {
            assert_gradient(
                &format!("{what}, adapters"),
                &parameters,
                &trip.w,
                &trip.d_parameters,
                |p| function(&wide(&x), p),
            );
        }
    }
}

#[test]
fn attention_of_pixels_to_tokens() {
    let mut numbers = Numbers::new(6);
    for (batch, height, width, heads, adapted) in
        [(2, 2, 3, 2, false), (2, 2, 3, 1, true), (1, 10, 9, 2, true)]
    {
        let what = format!("{batch} x {height} x {width}, {heads} heads, adapters {adapted}");
        let (channels, context_channels, tokens) = (8, 6, 5);
        let (dense, parameters) = projections(&mut numbers, channels, context_channels, adapted);
        let (x, context) = (
            numbers.normal(batch * height * width * channels),
            numbers.normal(batch * tokens * context_channels),
        );
        let shape = AttentionShape {
            batch,
            heads,
            queries: height * width,
            keys: tokens,
            head_size: channels / heads,
        };
        let layer = Attention::new(
            dense.each_ref().map(|dense| dense.layer(&parameters)),
            heads,
        );
        let function = |x: &[f64], parameters: &[f64]| {
            attention_reference(&shape, &dense, x, &wide(&context), parameters)
        };
        let input = tensor(Shape::new(batch, height, width, channels), &x);
        let tokens = tensor(Shape::new(batch, 1, tokens, context_channels), &context);
        let trip = trip(
            &input,
            &parameters,
            |x, pass| layer.forward_cross(x, &tokens, None, pass),
            |dy, pass| layer.backward_cross(dy, pass),
        );
        assert_close(
            &what,
            &trip.y,
            &function(&wide(&x), &wide(&parameters)),
            FORWARD,
        );
        assert_gradient(&what, &x, &trip.w, &trip.dx, |x| {
            function(x, &wide(&parameters))
        });
        if adapted {
            assert_gradient(
                &format!("{what}, adapters"),
                &parameters,
                &trip.w,
                &trip.d_parameters,
                |p| function(&wide(&x), p),
            );
        }
    }
}

#[test]
fn attention_reads_other_pictures_where_it_is_told_to() {
    let mut numbers = Numbers::new(8);
    let shape = AttentionShape {
        batch: 3,
        heads: 2,
        queries: 70,
        keys: 9,
        head_size: 4,
    };
    let (q, k, v) = (
        numbers.normal(3 * 70 * 8),
        numbers.normal(3 * 9 * 8),
        numbers.normal(3 * 9 * 8),
    );
    for sources in [[0, 1, 2], [0, 0, 1], [2, 2, 2]] {
        let mut o = buffer(&vec![f32::NAN; q.len()]);
        Cpu.attention(
            &shape,
            &sources,
            &buffer(&q),
            &buffer(&k),
            &buffer(&v),
            &mut Cpu.uninit(3 * 2 * 70),
            &mut o,
        );
        assert_close(
            &format!("{sources:?}"),
            &o,
            &reference::attention(&shape, &sources, &wide(&q), &wide(&k), &wide(&v)),
            FORWARD,
        );
    }
}

#[test]
fn attention_survives_scores_beyond_the_range_of_exp() {
    let shape = AttentionShape {
        batch: 1,
        heads: 1,
        queries: 1,
        keys: 2,
        head_size: 1,
    };
    let mut o = Cpu.uninit(1);
    Cpu.attention(
        &shape,
        &[0],
        &buffer(&[100.0]),
        &buffer(&[100.0, -100.0]),
        &buffer(&[3.0, 5.0]),
        &mut Cpu.uninit(1),
        &mut o,
    );
    assert_eq!(o[..], [3.0]);
}

#[test]
fn feed_forward_with_its_gate() {
    let mut numbers = Numbers::new(9);
    for rows in [4, 150] {
        let (widen, narrow) = (
            Dense::new(&mut numbers, 6, 48, true),
            Dense::new(&mut numbers, 24, 6, true),
        );
        let x = numbers.normal(rows * 6);
        let layer = FeedForward::new(widen.layer(&[]), narrow.layer(&[]));
        let function =
            |x: &[f64]| narrow.reference(&reference::geglu(24, &widen.reference(x, &[])), &[]);
        let trip = trip(
            &tensor(Shape::new(1, rows, 1, 6), &x),
            &[],
            |x, pass| layer.forward(x, None, pass),
            |dy, pass| layer.backward(dy, pass),
        );
        assert_close("feed-forward", &trip.y, &function(&wide(&x)), FORWARD);
        assert_gradient("feed-forward", &x, &trip.w, &trip.dx, function);
    }
}

#[test]
fn upsampling_to_any_size() {
    let mut numbers = Numbers::new(10);
    for (from, to) in [
        ([3, 4], [6, 8]),
        ([3, 3], [5, 6]),
        ([4, 2], [7, 3]),
        ([1, 1], [1, 2]),
    ] {
        let x = numbers.normal(2 * from[0] * from[1] * 3);
        let function = |x: &[f64]| reference::upsample(3, from, to, x);
        let input = tensor(Shape::new(2, from[0], from[1], 3), &x);
        let trip = trip(
            &input,
            &[],
            |x, pass| upsample(x, to, pass),
            upsample_backward,
        );
        assert_close(
            &format!("{from:?} to {to:?}"),
            &trip.y,
            &function(&wide(&x)),
            0.0,
        );
        assert_gradient(
            &format!("{from:?} to {to:?}"),
            &x,
            &trip.w,
            &trip.dx,
            function,
        );
    }
}

/// The residual blocks of the small model, with its weights, once more.
#[test]
fn residual_blocks() {
    let source = Source::Folder(PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/tiny"
    )));
    let config = UNetConfig::read(&source).expect("the fixture is a model");
    let name = "unet/diffusion_pytorch_model.safetensors";
    let never = Interrupt::never();
    let mut weights = Weights::open(
        &Cpu,
        &source,
        &["unet/diffusion_pytorch_model.safetensors"],
        &never,
    )
    .expect("the fixture has weights");
    let file = source
        .open(name)
        .expect("it can be opened")
        .expect("it is there");
    let mut file = SafetensorsFile::open(name.into(), file).expect("its header is good");
    let mut numbers = Numbers::new(11);
    for (block, inputs, outputs) in [
        ("down_blocks.1.resnets.0", 8, 16),
        ("mid_block.resnets.0", 16, 16),
        ("up_blocks.3.resnets.0", 24, 8),
    ] {
        let layer = Resnet::load(&mut weights, &config, block, inputs, outputs)
            .expect("the fixture has this block");
        let mut read = |part: &str| {
            wide(
                &file
                    .read(&format!("{block}.{part}"))
                    .expect("the fixture has this tensor"),
            )
        };
        let names = ["norm1", "conv1", "time_emb_proj", "norm2", "conv2"];
        let parts: Vec<[Vec<f64>; 2]> = names
            .iter()
            .map(|name| {
                [
                    read(&format!("{name}.weight")),
                    read(&format!("{name}.bias")),
                ]
            })
            .collect();
        let shortcut =
            (inputs != outputs).then(|| [read("conv_shortcut.weight"), read("conv_shortcut.bias")]);
        let (height, width) = (3, 5);
        let (x, time) = (
            numbers.normal(2 * height * width * inputs),
            numbers.normal(2 * 4 * config.channels[0]),
        );

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
            let eps = config.eps as f32;
            let shape = GroupShape {
                batch: 2,
                pixels: height * width,
                channels: weight.len(),
                groups: config.groups,
                eps,
            };
            reference::group_norm(&shape, x, weight, bias, true)
        };
        let shift = reference::linear(
            &wide(&time),
            &parts[2][0],
            Some(&parts[2][1]),
            4 * config.channels[0],
        );
        let function = |x: &[f64]| {
            let mut h = conv(&norm(x, &parts[0]), &parts[1]);
            let picture = height * width * outputs;
            h.iter_mut()
                .enumerate()
                .for_each(|(at, h)| *h += shift[at / picture * outputs + at % outputs]);
            let h = conv(&norm(&h, &parts[3]), &parts[4]);
            match &shortcut {
                Some([weight, bias]) => plus(&h, &reference::linear(x, weight, Some(bias), inputs)),
                None => plus(&h, x),
            }
        };
        let time = tensor(Shape::new(2, 1, 1, 4 * config.channels[0]), &time);
        let input = tensor(Shape::new(2, height, width, inputs), &x);
        let shift = layer.shift(&time);
        let trip = trip(
            &input,
            &[],
            |x, pass| layer.forward(x, shift.as_ref(), pass),
            |dy, pass| layer.backward(dy, pass),
        );
        assert_close(block, &trip.y, &function(&wide(&x)), FORWARD);
        assert_gradient(block, &x, &trip.w, &trip.dx, function);
    }
}

#[test]
fn channels_are_joined_and_split() {
    let mut numbers = Numbers::new(12);
    let (left, right) = (numbers.normal(2 * 300 * 3), numbers.normal(2 * 300 * 5));
    let (a, b) = (
        tensor(Shape::new(2, 15, 20, 3), &left),
        tensor(Shape::new(2, 15, 20, 5), &right),
    );
    let joined = a.concatenated(&b);
    for (row, (a, b)) in joined
        .to_host()
        .chunks_exact(8)
        .zip(left.chunks_exact(3).zip(right.chunks_exact(5)))
    {
        assert_eq!((&row[..3], &row[3..]), (a, b));
    }
    let (first, second) = joined.split(3);
    assert_eq!((first.to_host(), second.to_host()), (left, right));
}

fn points(numbers: &mut Numbers, count: usize, height: usize, width: usize) -> Vec<BilinearPoint> {
    let point = |numbers: &mut Numbers| {
        let (y, x) = (
            numbers.uniform() * (height - 1) as f64,
            numbers.uniform() * (width - 1) as f64,
        );
        let pixel = |dy: usize, dx: usize| ((y as usize + dy) * width + x as usize + dx) as u32;
        let (v, u) = (y.fract() as f32, x.fract() as f32);
        let weights = [(1.0 - v) * (1.0 - u), (1.0 - v) * u, v * (1.0 - u), v * u];
        BilinearPoint {
            pixels: [pixel(0, 0), pixel(0, 1), pixel(1, 0), pixel(1, 1)],
            weights,
        }
    };
    (0..count).map(|_| point(numbers)).collect()
}

#[test]
#[allow(clippy::float_cmp, reason = "zeros")]
fn samples_between_pixels_and_their_loss() {
    let mut numbers = Numbers::new(13);
    let (height, width, channels) = (5, 6, 3);
    let points = points(&mut numbers, 20, height, width);
    let (map, target) = (
        numbers.normal(height * width * channels),
        numbers.normal(20 * channels),
    );
    let on_device = buffer(&map);
    let values = Cpu.sample(channels, &on_device, &points);
    assert_close(
        "samples",
        &values,
        &reference::sample(channels, &wide(&map), &points),
        FORWARD,
    );

    let scale = 0.3;
    let loss = |map: &[f64]| -> Vec<f64> {
        let sampled = reference::sample(channels, map, &points);
        vec![
            sampled
                .iter()
                .zip(&target)
                .map(|(value, target)| f64::from(scale) * (value - f64::from(*target)).abs())
                .sum(),
        ]
    };
    let start = numbers.normal(map.len());
    let mut gradient = buffer(&start);
    let got = Cpu.sampled_l1(
        channels,
        &on_device,
        &points,
        &buffer(&target),
        scale,
        &mut gradient,
    );
    assert!((got / loss(&wide(&map))[0] - 1.0).abs() < 1e-6);
    let added: Vec<f32> = gradient
        .iter()
        .zip(&start)
        .map(|(sum, start)| sum - start)
        .collect();
    assert_gradient("sampled loss", &map, &[1.0], &added, loss);

    let mut unmoved = Cpu.zeros(map.len());
    assert_eq!(
        Cpu.sampled_l1(channels, &on_device, &points, &values, scale, &mut unmoved),
        0.0,
        "at its target the loss is zero"
    );
    assert!(
        unmoved.iter().all(|value| *value == 0.0),
        "and so is its gradient"
    );
}

#[test]
fn loss_of_cells_with_weights() {
    let mut numbers = Numbers::new(14);
    let (cells, channels) = (30, 4);
    let (x, kept) = (
        numbers.normal(cells * channels),
        numbers.normal(cells * channels),
    );
    let weight: Vec<f32> = (0..cells).map(|cell| (cell % 3) as f32 * 0.5).collect();
    let loss = |x: &[f64]| -> Vec<f64> {
        let term =
            |at: usize| f64::from(weight[at / channels]) * (x[at] - f64::from(kept[at])).abs();
        vec![(0..x.len()).map(term).sum()]
    };
    let mut gradient = buffer(&vec![f32::NAN; x.len()]);
    let got = Cpu.weighted_l1(&buffer(&x), &buffer(&kept), &buffer(&weight), &mut gradient);
    assert!((got / loss(&wide(&x))[0] - 1.0).abs() < 1e-6);
    assert_gradient("weighted loss", &x, &[1.0], &gradient, loss);
}

/// Kingma and Ba, arXiv 1412.6980, algorithm 1, with the decay of Loshchilov and Hutter, arXiv 1711.05101, algorithm 2.
#[test]
fn adam_is_the_textbook() {
    let mut numbers = Numbers::new(15);
    for decay in [0.0, 1e-2] {
        let mut parameter = buffer(&numbers.normal(50));
        let (mut first, mut second) = (Cpu.zeros(50), Cpu.zeros(50));
        let mut expected = wide(&parameter);
        let (mut m, mut v) = (vec![0.0; 50], vec![0.0; 50]);
        let lr = 0.02;
        for step in 1..=30 {
            let gradient = numbers.scaled(50, 1e-3);
            Cpu.adam(
                &AdamStep { step, lr, decay },
                &buffer(&gradient),
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
        assert_close(&format!("decay {decay}"), &parameter, &expected, 1e-5);
    }
}

/// The same tests once more, as on machines with wider vectors and without any.
#[test]
#[cfg(feature = "failpoints")]
fn layers_with_other_vectors() {
    const LANES: &str = "DRAGNEXT_LANES";
    if std::env::var_os(LANES).is_some() {
        return;
    }
    for lanes in ["16", "1"] {
        let run =
            std::process::Command::new(std::env::current_exe().expect("a test runs from a file"))
                .arg("layers::")
                .env(LANES, lanes)
                .output();
        let run = run.expect("a test can be started");
        assert!(
            run.status.success(),
            "{lanes} lanes:\n{}",
            String::from_utf8_lossy(&run.stdout)
        );
    }
}
