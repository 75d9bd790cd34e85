//! What is not edited comes back in f16.

use dragnext::kernels::cuda::Cuda;
use dragnext::kernels::cuda::driver::Format;
use dragnext::settings::TrajectoryChoice;

use super::compiled::available;
use super::emulated::{ConvolutionSupport, Emulated};
use crate::bench::fixture::unedited::Unedited;
use crate::bench::report;

#[test]
fn an_unedited_picture_comes_back_on_a_kept_trajectory() {
    if !available("an_unedited_picture_comes_back_on_a_kept_trajectory") {
        return;
    }
    // Latents are in f32, and both rows of a batch get the same noise prediction, which the format rounds. At strength 1 the difference of the
    // latent is 6e-8.
    let cuda = Cuda::new(Emulated::new(ConvolutionSupport::Full), Format::F16);
    let unedited = Unedited::new(&cuda);
    for strength in [0.1, 0.5] {
        let kept = unedited.distance(strength, TrajectoryChoice::Kept);
        report(&format!("f16, strength {strength}: {kept:?}"));
        assert!(
            kept.loss_db.abs() <= 0.1 && kept.latent <= 1e-5 && kept.psnr >= 100.0,
            "strength {strength}: {kept:?}"
        );
    }
}
