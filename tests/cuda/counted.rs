//! How many launches the network takes: of a network with the layers of Stable Diffusion 1.5 and head sizes of fused attention, at 512 x
//! 512, on a driver that counts calls and computes nothing.

mod driver;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use dragnext::diffusion::finetune::{self, Subject};
use dragnext::interrupt::Interrupt;
use dragnext::kernels::cuda::driver::Format;
use dragnext::kernels::cuda::{Buffer, Cuda};
use dragnext::kernels::{AdamStep, Backend, BilinearPoint};
use dragnext::model::unet::{AdapterPlace, Input, Network, NoiseAndFeatures, Prompt};
use dragnext::model::{Source, UNet};
use dragnext::nn::{Finiteness, Loss, Shape, Tensor};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use self::driver::Counting;
use crate::bench::fixture::path;
use crate::bench::report;
use crate::parity::network::{random, schedule, unet};

/// A piece of work, with its launches and library calls, and how often the host waits for the device.
type Counts = (&'static str, u64, usize);

/// The counts of each piece of work. A step of the LoRA makes two launches for its loss, which the host need not compute.
///
/// The launches were 533, 1128, 1135 and 1965 with three launches for each group norm, copies for each skip connection, a kernel for the
/// delta of each attention, one product for each projection and adapter, and one computation of the shifts for each timestep.
const COUNTS: [Counts; 4] = [
    ("a forward pass", 401, 0),
    ("a recorded forward pass and its backward pass", 832, 0),
    ("an iteration of the drag", 839, 1),
    ("a step of the LoRA", 1339, 1),
];

/// The same with graphs, from the fourth run on.
const COUNTS_WITH_GRAPHS: [Counts; 4] = [
    ("a forward pass", 2, 0),
    ("a recorded forward pass and its backward pass", 6, 0),
    ("an iteration of the drag", 2, 1),
    ("a step of the LoRA", 5, 1),
];

/// Runs before a piece of work is counted: the first run converts what later ones find converted, and a graph is made in the third.
const WARM_UP: usize = 4;

/// Channels of the network relative to those of the tiny model, which has the layers of Stable Diffusion 1.5. Its groups then are reduced
/// by one block at the size of 8 x 8, and by several at larger ones, as those of Stable Diffusion 1.5.
const SCALE: usize = 8;
/// Width of the prompt's tokens.
const TOKENS: usize = 24 * SCALE;

/// Writes the tiny model with [`SCALE`] times its channels, and one value for all weights.
fn write_model(folder: &Path) {
    let tiny = path("tiny/unet");
    let file = "diffusion_pytorch_model.safetensors";
    let bytes = std::fs::read(tiny.join(file)).expect("the fixture has weights");
    let tensors = SafeTensors::deserialize(&bytes).expect("the fixture is whole");
    let scaled = |name: &str, shape: &[usize]| -> Vec<usize> {
        let is_latent = |axis: usize| {
            matches!(
                (name, axis),
                ("conv_in.weight", 1) | ("conv_out.weight" | "conv_out.bias", 0)
            )
        };
        let axes = shape.iter().enumerate();
        axes.map(|(axis, size)| {
            if axis > 1 || is_latent(axis) {
                *size
            } else {
                SCALE * size
            }
        })
        .collect()
    };
    let shapes: Vec<(String, Vec<usize>)> = tensors
        .iter()
        .map(|(name, view)| (name.to_owned(), scaled(name, view.shape())))
        .collect();
    let bytes_of = |shape: &[usize]| 2 * shape.iter().product::<usize>();
    let longest = shapes.iter().map(|(_, shape)| bytes_of(shape)).max();
    // A value near 0 in f16: a file of zeros would be refused.
    let values = vec![1; longest.expect("there are tensors")];
    let views = shapes.iter().map(|(name, shape)| {
        let values = &values[..bytes_of(shape)];
        let view = TensorView::new(Dtype::F16, shape.clone(), values);
        (name, view.expect("as many bytes as values"))
    });
    let written = safetensors::serialize(views, None).expect("the tensors can be written");
    let config = std::fs::read_to_string(tiny.join("config.json")).expect("the fixture is there");
    let mut config: serde_json::Value = serde_json::from_str(&config).expect("it is JSON");
    config["block_out_channels"] = [8, 16, 16, 16]
        .map(|channels| SCALE * channels)
        .as_slice()
        .into();
    config["cross_attention_dim"] = TOKENS.into();
    let to = folder.join("unet");
    std::fs::create_dir_all(&to).expect("a folder can be created");
    std::fs::write(to.join(file), written).expect("a file can be written");
    std::fs::write(to.join("config.json"), config.to_string()).expect("a file can be written");
}

#[test]
fn launches_of_network_and_training() {
    counted(false, COUNTS);
}

#[test]
fn launches_with_graphs() {
    counted(true, COUNTS_WITH_GRAPHS);
}

/// Counts the launches and the reads of each piece of work.
fn counted(graphs: bool, expected: [Counts; 4]) {
    let folder = tempfile::tempdir().expect("a temporary folder can be created");
    write_model(folder.path());
    let counting = Counting::with_memory(1 << 36);
    let calls = Arc::clone(&counting.calls);
    let cuda = Cuda::new(counting, Format::F16);
    cuda.use_graphs(graphs);
    let mut unet = unet(&cuda, &Source::Folder(folder.path().into()));
    let z = random(&cuda, 1, Shape::new(1, 64, 64, 4));
    let tokens = random(&cuda, 2, Shape::new(1, 1, 77, TOKENS));
    let prompt = unet.prepare(&tokens);
    // Shifts of a timestep are cached, and biases are converted once.
    unet.predict(Input::at(&z, 500.0, &prompt));
    let mut counted = Vec::new();
    let mut count = |name: &'static str, work: &mut dyn FnMut()| {
        for _ in 0..WARM_UP {
            work();
        }
        calls.lock().expect("no call panicked").clear();
        let before = cuda.launches().expect("launches are counted");
        let start = Instant::now();
        work();
        let host = start.elapsed().as_secs_f64() * 1000.0;
        let launches = cuda.launches().expect("launches are counted") - before;
        let calls = calls.lock().expect("no call panicked");
        report(&format!(
            "{name}: {launches} launches, {host:.2} ms on the host: {calls:?}"
        ));
        let reads = calls.get("read").copied().unwrap_or_default();
        counted.push((name, launches, reads));
    };
    count(expected[0].0, &mut || {
        unet.predict(Input::at(&z, 500.0, &prompt));
    });
    let record = || {
        let pass = unet.record(Input::at(&z, 500.0, &prompt), NoiseAndFeatures::of(&[3]));
        let (noise, features) = pass.outputs().clone();
        (pass, noise, features)
    };
    count(expected[1].0, &mut || {
        let (pass, noise, features) = record();
        pass.backward((zeros(&noise), vec![zeros(&features[0])]), 1.0);
    });
    let drag = Drag {
        cuda: &cuda,
        unet: &unet,
        prompt: &prompt,
        points: points(&cuda),
        mask: cuda.zeros(z.shape().pixels()),
    };
    let mut moments = [zeros(&z), zeros(&z)];
    let mut latent = z.clone();
    count(expected[2].0, &mut || {
        let gradient = drag.gradient(&latent);
        adam(&cuda, &gradient, &mut moments, &mut latent);
    });
    let mut training = Training::new(&cuda, &mut unet);
    let subject = Subject::new(&z, &tokens);
    let mut timestep = 0;
    count(expected[3].0, &mut || {
        // Each step has timesteps of its own.
        let timesteps = [1, 2, 3, 4].map(|index| timestep + index);
        timestep += 4;
        training.step(&cuda, &mut unet, &subject, timesteps);
    });
    report(&format!(
        "peak of device memory: {:?} bytes",
        cuda.peak_bytes()
    ));
    assert_eq!(
        counted, expected,
        "fewer launches are faster; state a new number only with its reason"
    );
}

/// A drag with a mask.
struct Drag<'a> {
    cuda: &'a Cuda,
    unet: &'a UNet<Cuda>,
    prompt: &'a Prompt<Cuda>,
    points: <Cuda as Backend>::Points,
    mask: Buffer,
}

impl Drag<'_> {
    /// Returns the gradient of an iteration, with its loss and whether it is finite read.
    fn gradient(&self, latent: &Tensor<Cuda>) -> Tensor<Cuda> {
        let (cuda, unet) = (self.cuda, self.unet);
        // What changes from timestep to timestep.
        let others = || Tensor::zeros(cuda, Shape::new(1, 1, 100, 8 * SCALE));
        let iteration = |input: Input<Cuda>, target: Tensor<Cuda>| {
            let z = input.latents().clone();
            let pass = unet.record(input, NoiseAndFeatures::of(&[3]));
            let (noise, features) = pass.outputs().clone();
            let (mut d_noise, mut d_features) = (zeros(&noise), zeros(&features[0]));
            let feature_loss = cuda.sampled_l1_sum(
                features[0].shape().channels,
                features[0].buffer(),
                &self.points,
                target.buffer(),
                1.0,
                d_features.buffer_mut(),
            );
            let (noise, d_noise_buffer) = (noise.buffer(), d_noise.buffer_mut());
            let mask_term = cuda.weighted_l1_sum(noise, z.buffer(), &self.mask, d_noise_buffer);
            let gradient = pass.backward((d_noise, vec![d_features]), 1.0);
            let loss = Loss::zero(cuda)
                .plus(1.0, feature_loss)
                .plus(1.0, mask_term);
            (loss, Finiteness::of(&[&gradient]), gradient)
        };
        let input = Input::at(latent, 500.0, self.prompt);
        let (loss, finiteness, gradient) =
            unet.iteration("drag iteration", vec![3], input, others, iteration);
        assert_eq!(Loss::read(cuda, &[loss], &finiteness), (0.0, true));
        gradient
    }
}

/// The training of a LoRA.
struct Training {
    parameters: Tensor<Cuda>,
    moments: [Tensor<Cuda>; 2],
}

impl Training {
    fn new(cuda: &Cuda, unet: &mut UNet<Cuda>) -> Self {
        let places = unet.attach_adapters(16);
        let length = places.iter().map(AdapterPlace::len).sum();
        let parameters = Tensor::vector(cuda, vec![0.0; length]);
        Self {
            moments: [zeros(&parameters), zeros(&parameters)],
            parameters,
        }
    }

    /// Makes a step, with its loss and whether its gradient is finite read.
    fn step(
        &mut self,
        cuda: &Cuda,
        unet: &mut UNet<Cuda>,
        subject: &Subject<Cuda>,
        timesteps: [usize; 4],
    ) {
        unet.merge_adapters(&self.parameters);
        let noise = vec![0.0; timesteps.len() * subject.latent().shape().len()];
        let gradient = finetune::gradient(
            unet,
            &schedule(),
            subject,
            &self.parameters,
            &timesteps,
            &noise,
            &Interrupt::never(),
        );
        let (loss, gradient) = gradient.expect("there is no interrupt");
        let finiteness = Finiteness::of(&[&gradient]);
        assert_eq!(Loss::read(cuda, &[loss], &finiteness), (0.0, true));
        adam(cuda, &gradient, &mut self.moments, &mut self.parameters);
    }
}

/// A GPU with little memory makes a step in parts, which are launches of one graph: beside it are the conversion and the merge of the
/// adapters, the test for finite values, and the optimiser.
#[test]
fn parts_of_a_lora_step_are_one_graph() {
    let folder = tempfile::tempdir().expect("a temporary folder can be created");
    write_model(folder.path());
    let cuda = Cuda::new(Counting::with_memory(1 << 32), Format::F16);
    cuda.use_graphs(true);
    let mut unet = unet(&cuda, &Source::Folder(folder.path().into()));
    let z = random(&cuda, 1, Shape::new(1, 64, 64, 4));
    let tokens = random(&cuda, 2, Shape::new(1, 1, 77, TOKENS));
    let mut training = Training::new(&cuda, &mut unet);
    let subject = Subject::new(&z, &tokens);
    let mut step = || training.step(&cuda, &mut unet, &subject, [1, 2, 3, 4]);
    (0..WARM_UP).for_each(|_| step());
    let counts = || {
        let launches = cuda.launches().expect("launches are counted");
        (launches, cuda.graphs().expect("graphs are requested").made)
    };
    let (launches, made) = counts();
    step();
    assert_eq!(counts(), (launches + 4 + 4, made));
}

/// Returns zeros in the shape of a tensor.
fn zeros(like: &Tensor<Cuda>) -> Tensor<Cuda> {
    Tensor::zeros(like.backend(), like.shape())
}

/// Returns a hundred points of a map.
fn points(cuda: &Cuda) -> <Cuda as Backend>::Points {
    let point = BilinearPoint {
        pixels: [0, 1, 64, 65],
        weights: [0.25; 4],
    };
    cuda.points(vec![point; 100])
}

/// Updates `parameters` by one step.
fn adam(
    cuda: &Cuda,
    gradient: &Tensor<Cuda>,
    [first, second]: &mut [Tensor<Cuda>; 2],
    parameters: &mut Tensor<Cuda>,
) {
    let step = AdamStep {
        step: 1,
        lr: 0.01,
        decay: 0.0,
    };
    let (first, second) = (first.buffer_mut(), second.buffer_mut());
    cuda.adam(
        &step,
        gradient.buffer(),
        first,
        second,
        parameters.buffer_mut(),
    );
}
