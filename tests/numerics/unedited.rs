//! What is not edited comes back: with a kept trajectory exactly, with the tiny random model too, at every strength.

use crate::bench::fixture::unedited::Unedited;
use crate::bench::report;
use dragnext::kernels::cpu::Cpu;
use dragnext::settings::TrajectoryChoice;

#[test]
fn an_unedited_picture_comes_back_on_a_kept_trajectory() {
    let unedited = Unedited::new(&Cpu);
    // Over many steps, this random network amplifies the rounding that distinguishes the rows of a batch.
    for (strength, latent, psnr) in [
        (0.1, 1e-5, 100.0),
        (0.5, 1e-5, 100.0),
        (0.75, 1e-3, 80.0),
        (1.0, 1e-2, 70.0),
    ] {
        let kept = unedited.distance(strength, TrajectoryChoice::Kept);
        let denoised = unedited.distance(strength, TrajectoryChoice::Denoised);
        report(&format!(
            "strength {strength}: kept {kept:?}, denoised {denoised:?}"
        ));
        assert!(kept.loss_db.abs() <= 0.1, "strength {strength}: {kept:?}");
        assert!(
            kept.latent <= latent && kept.psnr >= psnr,
            "strength {strength}: {kept:?}"
        );
        assert!(
            denoised.latent > 0.1 && denoised.psnr < 40.0,
            "strength {strength}: {denoised:?}"
        );
    }
}
