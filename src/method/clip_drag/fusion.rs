//! Fusion of the drag's gradient with the text's.

use serde::{Deserialize, Serialize};

/// How both gradients are fused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fusion {
    /// The paper's projections.
    Projection,
    /// The released code: the whole gradient of the text, times sine or cosine.
    Code,
}

/// A fused gradient.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fused {
    /// The gradient that the latent moves against.
    pub(super) gradient: Vec<f32>,
    /// Cosine between both gradients; 0 where one of them is 0.
    pub(super) cosine: f64,
}

impl Fusion {
    /// Fuses the drag's gradient `local` with the text's gradient `global`, with `weight` as the share of the latter.
    ///
    /// With u = local / |local| and c the cosine between both, `projection` adds the part of `global` across u where c >= 0, so that both do not
    /// add up along the drag, and the part along u where they disagree. `code` adds `global` times sqrt(1 - c^2) where c >= 0 and times c elsewhere,
    /// which subtracts it. Where one of both is 0, c counts as 0, and the other one is left.
    pub(super) fn fuse(self, local: &[f32], global: &[f32], weight: f64) -> Fused {
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter()
                .zip(b)
                .map(|(a, b)| f64::from(*a) * f64::from(*b))
                .sum()
        };
        let (square, product) = (dot(local, local), dot(global, local));
        let norms = (square * dot(global, global)).sqrt();
        let cosine = if norms > 0.0 { product / norms } else { 0.0 };
        let agree = cosine >= 0.0;
        // The fused gradient is a * local + b * global.
        let along = if square > 0.0 { product / square } else { 0.0 };
        let (a, b) = match self {
            Self::Projection if agree => (1.0 - weight * along, weight),
            Self::Projection => (1.0 + weight * along, 0.0),
            Self::Code if agree => (1.0, weight * (1.0 - cosine * cosine).max(0.0).sqrt()),
            Self::Code => (1.0, weight * cosine),
        };
        let gradient = local.iter().zip(global);
        Fused {
            gradient: gradient
                .map(|(local, global)| (a * f64::from(*local) + b * f64::from(*global)) as f32)
                .collect(),
            cosine,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: [f32; 3] = [2.0, 0.0, 0.0];

    fn assert_fused(fusion: Fusion, global: [f32; 3], expected: [f64; 3]) {
        let Fused { gradient, .. } = fusion.fuse(&LOCAL, &global, 0.5);
        for (found, expected) in gradient.iter().zip(expected) {
            assert!(
                (f64::from(*found) - expected).abs() < 1e-6,
                "{fusion:?}: {gradient:?} of {global:?}"
            );
        }
    }

    #[test]
    fn projections_add_what_is_across_or_what_conflicts() {
        assert_fused(Fusion::Projection, [3.0, 4.0, 0.0], [2.0, 2.0, 0.0]);
        assert_fused(Fusion::Projection, [-3.0, 4.0, 0.0], [0.5, 0.0, 0.0]);
        assert_fused(Fusion::Projection, [5.0, 0.0, 0.0], [2.0, 0.0, 0.0]);
    }

    #[test]
    fn the_released_code_scales_the_whole_gradient() {
        // |global| is 5: sine and cosine are 0.8 and 0.6.
        assert_fused(Fusion::Code, [3.0, 4.0, 0.0], [3.2, 1.6, 0.0]);
        assert_fused(Fusion::Code, [-3.0, 4.0, 0.0], [2.9, -1.2, 0.0]);
    }

    #[test]
    fn a_gradient_of_zero_leaves_the_other() {
        for fusion in [Fusion::Projection, Fusion::Code] {
            assert_fused(fusion, [0.0; 3], [2.0, 0.0, 0.0]);
            let Fused { gradient, cosine } = fusion.fuse(&[0.0; 3], &[1.0, 2.0, 3.0], 0.5);
            assert_eq!((gradient, cosine), (vec![0.5, 1.0, 1.5], 0.0));
        }
    }

    #[test]
    fn without_weight_only_the_drag_counts() {
        for fusion in [Fusion::Projection, Fusion::Code] {
            let fused = fusion.fuse(&LOCAL, &[-1.0, 2.0, 0.5], 0.0);
            assert_eq!(fused.gradient, LOCAL);
            let cosine = -1.0 / (1.0_f64 + 4.0 + 0.25).sqrt();
            assert!((fused.cosine - cosine).abs() < 1e-6);
        }
    }
}
