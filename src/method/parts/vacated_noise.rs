//! Noise of the cells whose content is new: how free the model is to repaint them.

/// Mixes fresh noise into an inverted latent, at its timestep.
///
/// With `a` the cumulative product of alphas at the timestep, the inverted latent z of a clean latent c has the noise
/// e = (z - sqrt(a) c) / sqrt(1 - a). A share s of fresh noise n gives sqrt(1 - s^2) e + s n, which keeps the variance (`RegionDrag`,
/// arXiv 2407.18247, mixes the whole latent in this way). A share of 0 keeps the inverted noise, 1 replaces it.
#[derive(Debug, Clone, Copy)]
pub(super) struct VacatedNoise<'a> {
    signal: f32,
    noise: f32,
    kept: f32,
    fresh_share: f32,
    fresh: &'a [f32],
}

impl<'a> VacatedNoise<'a> {
    /// Mixes with this share of `fresh` normal noise, one number per element of the latent, at a timestep with this cumulative product of
    /// alphas.
    pub(super) fn new(alpha: f64, share: f64, fresh: &'a [f32]) -> Self {
        Self {
            signal: alpha.sqrt() as f32,
            noise: (1.0 - alpha).sqrt() as f32,
            kept: (1.0 - share * share).max(0.0).sqrt() as f32,
            fresh_share: share as f32,
            fresh,
        }
    }

    /// Returns element `at` of the noisy latent: `content` with noise, where `inverted` is the inverted latent of `clean`.
    pub(super) fn added(&self, at: usize, content: f32, inverted: f32, clean: f32) -> f32 {
        let fresh = self.fresh_share * self.fresh[at];
        // The share 1 must not depend on the inversion, not even by rounding.
        let noise = if self.kept == 0.0 {
            fresh
        } else {
            self.kept * (inverted - self.signal * clean) / self.noise + fresh
        };
        self.signal * content + self.noise * noise
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_fresh_noise_gives_the_inverted_latent_back() {
        let noise = VacatedNoise::new(0.3, 0.0, &[7.0]);
        assert!((noise.added(0, 0.4, 1.25, 0.4) - 1.25).abs() < 1e-6);
    }

    #[test]
    fn fresh_noise_alone_does_not_depend_on_the_inversion() {
        let noise = VacatedNoise::new(0.25, 1.0, &[2.0]);
        let expected = 0.5 * 0.4 + 0.75_f32.sqrt() * 2.0;
        assert_eq!(noise.added(0, 0.4, f32::NAN, 3.0), expected);
    }

    #[test]
    fn a_mixture_keeps_the_variance() {
        let share: f64 = 0.6;
        let noise = VacatedNoise::new(0.5, share, &[1.0]);
        assert!((noise.kept.powi(2) + noise.fresh_share.powi(2) - 1.0).abs() < 1e-6);
    }
}
