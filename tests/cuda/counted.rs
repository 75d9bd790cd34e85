//! How many launches the network takes: of a network with the layers of Stable Diffusion 1.5 and head sizes of fused attention, at 512 x
//! 512, on a driver that counts calls and computes nothing.

mod driver;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use dragnext::diffusion::finetune::{self, Subject};
use dragnext::interrupt::Interrupt;
use dragnext::kernels::cuda::Cuda;
use dragnext::kernels::cuda::driver::Format;
use dragnext::kernels::{AdamStep, Backend, BilinearPoint};
use dragnext::model::Source;
use dragnext::model::unet::{AdapterPlace, Input, Network, NoiseAndFeatures};
use dragnext::nn::{Shape, Tensor};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use self::driver::Counting;
use crate::bench::fixture::path;
use crate::bench::report;
use crate::parity::network::{random, schedule, unet};

/// Launches and library calls of each piece of work.
///
/// They were 533, 1128, 1135 and 1965 with three launches for each group norm, copies for each skip connection, a kernel for the delta of
/// each attention, one product for each projection and adapter, and one computation of the shifts for each timestep.
const LAUNCHES: [(&str, u64); 4] = [
    ("a forward pass", 401),
    ("a recorded forward pass and its backward pass", 832),
    ("an iteration of the drag", 839),
    ("a step of the LoRA", 1337),
];

/// The same with graphs, from the fourth run on.
const LAUNCHES_WITH_GRAPHS: [(&str, u64); 4] = [
    ("a forward pass", 2),
    ("a recorded forward pass and its backward pass", 6),
    ("an iteration of the drag", 13),
    ("a step of the LoRA", 114),
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
    counted(false, LAUNCHES);
}

#[test]
fn launches_with_graphs() {
    counted(true, LAUNCHES_WITH_GRAPHS);
}

/// Counts the launches of each piece of work.
fn counted(graphs: bool, expected: [(&'static str, u64); 4]) {
    let folder = tempfile::tempdir().expect("a temporary folder can be created");
    write_model(folder.path());
    let counting = Counting::default();
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
        counted.push((name, launches));
    };
    count(expected[0].0, &mut || {
        unet.predict(Input::at(&z, 500.0, &prompt));
    });
    let record = || {
        let pass = unet.record(Input::at(&z, 500.0, &prompt), NoiseAndFeatures::of(&[3]));
        let (noise, features) = pass.outputs().clone();
        (pass, noise, features)
    };
    let zeros = |of: &Tensor<Cuda>| Tensor::zeros(&cuda, of.shape());
    count(expected[1].0, &mut || {
        let (pass, noise, features) = record();
        pass.backward((zeros(&noise), vec![zeros(&features[0])]), 1.0);
    });
    let points = points(&cuda);
    let mut moments = [zeros(&z), zeros(&z)];
    let mut latent = z.clone();
    count(expected[2].0, &mut || {
        let (pass, noise, features) = record();
        let (mut d_noise, mut d_features) = (zeros(&noise), zeros(&features[0]));
        let channels = features[0].shape().channels;
        let target = cuda.zeros(100 * channels);
        let map = features[0].buffer();
        let feature_loss = cuda.sampled_l1_sum(
            channels,
            map,
            &points,
            &target,
            1.0,
            d_features.buffer_mut(),
        );
        let mask = cuda.zeros(z.shape().pixels());
        let mask_term =
            cuda.weighted_l1_sum(noise.buffer(), z.buffer(), &mask, d_noise.buffer_mut());
        let gradient = pass.backward((d_noise, vec![d_features]), 1.0);
        let loss = cuda.sum_value(&feature_loss) + cuda.sum_value(&mask_term);
        assert_eq!(loss, 0.0);
        assert!(gradient.is_finite());
        adam(&cuda, &gradient, &mut moments, &mut latent);
    });
    let places = unet.attach_adapters(16);
    let length = places.iter().map(AdapterPlace::len).sum();
    let mut parameters = Tensor::vector(&cuda, vec![0.0; length]);
    let mut moments = [zeros(&parameters), zeros(&parameters)];
    let noise = vec![0.0; 4 * z.shape().len()];
    let mut timestep = 0;
    count(expected[3].0, &mut || {
        // Each step has timesteps of its own.
        let timesteps = [1, 2, 3, 4].map(|index| timestep + index);
        timestep += 4;
        unet.merge_adapters(&parameters);
        let subject = Subject {
            latent: &z,
            context: &tokens,
        };
        let gradient = finetune::gradient(
            &unet,
            &schedule(),
            &subject,
            &parameters,
            &timesteps,
            &noise,
            &Interrupt::never(),
        );
        let (_, gradient) = gradient.expect("there is no interrupt");
        assert!(gradient.is_finite());
        adam(&cuda, &gradient, &mut moments, &mut parameters);
    });
    assert_eq!(
        counted, expected,
        "fewer launches are faster; state a new number only with its reason"
    );
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
