//! When the GPU has no memory left, wherever that happens.

use dragnext::kernels::Backend;
use dragnext::kernels::cuda::Cuda;
use dragnext::kernels::cuda::driver::Format;

use super::compiled::available;
use super::emulated::{Emulated, Library};
use crate::bench::fixture::Fixture;
use crate::bench::fixture::short_edit::try_edit;

#[test]
fn too_little_memory_is_an_error_with_the_need_and_the_next_edit_runs() {
    if !available("too_little_memory_is_an_error_with_the_need_and_the_next_edit_runs") {
        return;
    }
    let dump = Fixture::open("edit/dump.safetensors");
    let short = |given: &mut dragnext::settings::Overrides| {
        for setting in ["iterations", "timesteps", "lora_steps"] {
            given.set(setting, 1);
        }
    };
    let cuda = Cuda::new(Emulated::new(Library::Whole), Format::F16);
    try_edit(cuda.clone(), &dump, short).expect("there is memory");
    let needed = cuda.peak_bytes().expect("a GPU has memory of its own") as usize;
    let mut stages = std::collections::BTreeSet::new();
    for share in [5, 15, 30, 50, 70, 85, 95, 99] {
        let cuda = Cuda::new(
            Emulated::with_memory(Library::Whole, needed / 100 * share),
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
        stages.insert(share);
        // Nothing of the failed edit stays: a buffer of all but what waits can be had.
        cuda.trim();
        drop(cuda.zeros(needed / 100 * share / 4 - 4096));
    }
    assert!(
        stages.len() >= 3,
        "memory ran out at {stages:?} % of what is needed"
    );
}

#[test]
fn gradients_beyond_the_formats_range_are_made_smaller_and_come_back() {
    if !available("gradients_beyond_the_formats_range_are_made_smaller_and_come_back") {
        return;
    }
    let cuda = Cuda::new(Emulated::new(Library::Absent), Format::F16);
    let first = cuda.loss_scale().expect("f16 needs one");
    assert!(cuda.lower_loss_scale());
    assert_eq!(cuda.loss_scale(), Some(first / 2.0));
    cuda.restore_loss_scale();
    assert_eq!(
        cuda.loss_scale(),
        Some(first),
        "the next stage starts as the first one did"
    );
    while cuda.lower_loss_scale() {}
    assert!(cuda.loss_scale().expect("f16 needs one") > 0.0);
    for format in [Format::F32, Format::Bf16] {
        let cuda = Cuda::new(Emulated::new(Library::Absent), format);
        assert_eq!(
            (cuda.loss_scale(), cuda.lower_loss_scale()),
            (None, false),
            "{format:?} has the range of f32"
        );
    }
}
