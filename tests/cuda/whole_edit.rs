//! A short edit on a GPU beside the same edit in PyTorch and diffusers.

use dragnext::kernels::cuda::Cuda;
use dragnext::kernels::cuda::driver::Format;

use super::emulated::{Emulated, Library, available};
use super::fixture::Fixture;
use super::fixture::short_edit::{assert_peers, try_edit};

#[test]
fn a_short_edit_agrees_with_the_peer() {
    if !available("a_short_edit_agrees_with_the_peer") {
        return;
    }
    let dump = Fixture::open("edit/dump.safetensors");
    // Of the LoRA and the end, of the picture's latent, of the inverted one, and of the losses.
    for (format, tolerances) in [(Format::F32, [1e-2, 1e-4, 1e-3, 1e-3]), (Format::F16, [5e-2, 1e-4, 1e-2, 1e-2])] {
        let cuda = Cuda::new(Emulated::new(Library::Whole), format);
        let (outcome, latents) = try_edit(cuda, &dump, |_| ()).expect("the edit is done");
        assert_peers(&dump, &outcome, &latents, tolerances);
    }
}
