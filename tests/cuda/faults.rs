//! Running out of GPU memory at any stage, and the loss scale.

use dragnext::error::Error;
use dragnext::kernels::cuda::Cuda;
use dragnext::kernels::cuda::driver::Format;
use dragnext::kernels::{Backend, fault};
use dragnext::model::unet::{AdapterPlace, Input, Network};
use dragnext::nn::Shape;
use dragnext::warning::WarningKind;

use super::compiled::available;
use super::emulated::{ConvolutionSupport, Emulated};
use crate::bench::fixture::short_edit::try_edit;
use crate::bench::fixture::{Fixture, source};
use crate::parity::network::{random, unet};

#[test]
fn running_out_of_memory_is_an_error_and_releases_the_memory() {
    if !available("running_out_of_memory_is_an_error_and_releases_the_memory") {
        return;
    }
    let dump = Fixture::open("edit/dump.safetensors");
    let short = |given: &mut dragnext::settings::Overrides| {
        for setting in ["iterations", "timesteps", "lora_steps"] {
            given.set(setting, 1);
        }
    };
    let cuda = Cuda::new(Emulated::new(ConvolutionSupport::Full), Format::F16);
    try_edit(cuda.clone(), &dump, short).expect("the memory suffices");
    let peak = cuda.peak_bytes().expect("the backend tracks its memory") as usize;
    let mut failed_percents = std::collections::BTreeSet::new();
    for percent in [5, 15, 30, 50, 70, 85, 95, 99] {
        let cuda = Cuda::new(
            Emulated::with_memory(ConvolutionSupport::Full, peak / 100 * percent),
            Format::F16,
        );
        let Err(error) = try_edit(cuda.clone(), &dump, short) else {
            continue;
        };
        assert_eq!(
            (error.kind().name(), error.exit_status()),
            ("compute.out_of_memory", 1),
            "{error}"
        );
        assert!(
            error.to_string().contains("MiB are free")
                && error
                    .hint()
                    .is_some_and(|hint| hint.contains("--dtype f16")),
            "{error}"
        );
        failed_percents.insert(percent);
        // The failed edit leaves no allocation behind: after a trim a quarter of the memory can be
        // allocated.
        cuda.trim();
        drop(cuda.zeros(peak / 100 * percent / 4 - 4096));
    }
    assert!(
        failed_percents.len() >= 3,
        "only {failed_percents:?} % of the peak memory ran out"
    );
}

#[test]
fn a_trim_returns_memory_to_the_system() {
    let emulated = Emulated::new(ConvolutionSupport::Full);
    let launches = emulated.launches();
    let cuda = Cuda::new(emulated, Format::F32);
    drop(cuda.upload(vec![1.0; 1000]));
    cuda.trim();
    let launches = launches.lock().expect("no launch panicked");
    assert_eq!(launches["trim"].count, 1, "{launches:?}");
}

#[test]
fn refused_convolutions_are_a_warning() {
    if !available("refused_convolutions_are_a_warning") {
        return;
    }
    let dump = Fixture::open("edit/dump.safetensors");
    let warnings = |library| {
        let cuda = Cuda::new(Emulated::new(library), Format::F16);
        let (outcome, _) = try_edit(cuda, &dump, |given| {
            for setting in ["iterations", "timesteps", "lora_steps"] {
                given.set(setting, 1);
            }
        })
        .expect("the edit succeeds");
        outcome.warnings
    };
    let refused = warnings(ConvolutionSupport::Refused);
    assert!(
        refused.len() == 1
            && refused[0].kind == WarningKind::DeviceConvolutions
            && refused[0].message.contains("refused by the test"),
        "{refused:?}"
    );
    // Without cuDNN nothing was refused: `doctor` says that it is missing.
    assert_eq!(warnings(ConvolutionSupport::Unsupported), []);
}

#[test]
fn pictures_at_once_follow_the_free_memory() {
    let cells = |free: usize| {
        let emulated = Emulated::with_memory(ConvolutionSupport::Full, free);
        Cuda::new(emulated, Format::F16).cells_at_once() / (64 * 64)
    };
    let free = [4_000_000_000, 5_900_000_000, 8_000_000_000, 11_700_000_000];
    assert_eq!(free.map(cells), [1, 2, 2, 4]);
    assert_eq!(cells(140_000_000_000), 4);
}

#[test]
fn the_loss_scale_is_lowered_and_restored() {
    if !available("the_loss_scale_is_lowered_and_restored") {
        return;
    }
    let cuda = Cuda::new(Emulated::new(ConvolutionSupport::Unsupported), Format::F16);
    let first = cuda.loss_scale().expect("f16 has a loss scale");
    assert!(cuda.lower_loss_scale());
    assert_eq!(cuda.loss_scale(), Some(first / 2.0));
    cuda.restore_loss_scale();
    assert_eq!(cuda.loss_scale(), Some(first), "restoring resets it");
    while cuda.lower_loss_scale() {}
    assert!(cuda.loss_scale().expect("f16 has a loss scale") > 0.0);
    for format in [Format::F32, Format::Bf16] {
        let cuda = Cuda::new(Emulated::new(ConvolutionSupport::Unsupported), format);
        assert_eq!(
            (cuda.loss_scale(), cuda.lower_loss_scale()),
            (None, false),
            "{format:?} needs no loss scale"
        );
    }
}

/// Adapters that could not be merged for lack of memory are merged later.
#[test]
fn a_merge_that_fails_keeps_the_adapters() {
    if !available("a_merge_that_fails_keeps_the_adapters") {
        return;
    }
    let predicted = |merges: bool, fails_first: bool| {
        let emulated = Emulated::with_memory(ConvolutionSupport::Full, 32 << 20);
        let cuda = Cuda::new(emulated, Format::F32);
        let mut unet = unet(&cuda, &source("tiny"));
        let prompt = unet.prepare(&random(&cuda, 1, Shape::new(1, 1, 7, 24)));
        let latent = random(&cuda, 2, Shape::new(1, 8, 8, 4));
        let places = unet.attach_adapters(4);
        let length = places.iter().map(AdapterPlace::len).sum();
        let parameters = random(&cuda, 3, Shape::new(1, 1, 1, length));
        if fails_first {
            let mut hog = Vec::new();
            for size in [1 << 16, 1 << 10, 1] {
                let filled = fault::catch(|| -> Result<(), Error> {
                    loop {
                        hog.push(cuda.zeros(size));
                    }
                });
                filled.expect_err("the memory is finite");
            }
            let merged = fault::catch(|| {
                unet.merge_adapters(&parameters);
                Ok::<_, Error>(())
            });
            let error = merged.expect_err("there is no memory");
            assert_eq!(error.kind().name(), "compute.out_of_memory");
        }
        if merges {
            unet.merge_adapters(&parameters);
        }
        unet.predict(Input::at(&latent, 500.0, &prompt)).to_host()
    };
    let expected = predicted(true, false);
    assert!(expected != predicted(false, false), "the adapters matter");
    assert!(expected == predicted(true, true));
}
