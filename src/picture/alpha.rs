//! Pictures with transparency: laid on a plain ground for the network, and taken off it again.

use rayon::prelude::*;

use super::{Channel, Channels, Picture, Samples};

/// A level of 65,535 as a share.
fn share(level: u16) -> f32 {
    f32::from(level) / 65_535.0
}

impl Picture {
    /// Returns the level, 0 to 1, of a grey ground on which the visible part of the picture stands out: white for a dark one, else dark grey.
    pub fn ground(&self) -> f32 {
        const DARK: f32 = 0.25;
        const LIGHT: f32 = 0.7;
        const WHITE: f32 = 1.0;
        let (alpha, green) = (self.plane(Channel::Alpha), self.plane(Channel::Green));
        let (sum, weight) = alpha
            .par_iter()
            .zip(&green)
            .map(|(alpha, green)| {
                (
                    f64::from(share(*alpha) * share(*green)),
                    f64::from(share(*alpha)),
                )
            })
            .reduce(|| (0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
        if weight > 0.0 && (sum / weight) as f32 > LIGHT {
            DARK
        } else {
            WHITE
        }
    }

    /// Returns the picture as it looks on a grey ground of this level, without alpha.
    #[must_use]
    pub fn flattened(&self, ground: f32) -> Self {
        let count = self.channels as usize;
        let (channels, colours) = match self.channels {
            Channels::Grey | Channels::GreyAlpha => (Channels::Grey, 1),
            Channels::Rgb | Channels::Rgba => (Channels::Rgb, 3),
        };
        if count == colours {
            return self.clone();
        }
        let samples = match &self.samples {
            Samples::Eight(samples) => Samples::Eight(flat(samples, count, |colour, alpha| {
                let alpha = f32::from(alpha) / 255.0;
                (f32::from(colour) * alpha + 255.0 * ground * (1.0 - alpha)).round() as u8
            })),
            Samples::Sixteen(samples) => Samples::Sixteen(flat(samples, count, |colour, alpha| {
                let alpha = share(alpha);
                (f32::from(colour) * alpha + 65_535.0 * ground * (1.0 - alpha)).round() as u16
            })),
        };
        Self {
            channels,
            samples,
            ..self.clone()
        }
    }

    /// Returns the opacity as a grey picture of the same bit depth; white without alpha.
    #[must_use]
    pub fn opacity(&self) -> Self {
        let alpha = self.plane(Channel::Alpha);
        let samples = if self.is_sixteen_bit() {
            Samples::Sixteen(alpha)
        } else {
            Samples::Eight(alpha.into_iter().map(|level| (level / 257) as u8).collect())
        };
        Self {
            channels: Channels::Grey,
            samples,
            ..self.clone()
        }
    }

    /// Returns this picture with what has changed on its [flattened](Picture::flattened) copy: `edited` is that copy after the edit, and `opacity`
    /// the new opacity. Pixels that neither has changed keep their samples, hidden colours too.
    ///
    /// # Panics
    /// If the pictures differ in size or bit depth, or this one has no alpha.
    #[must_use]
    pub fn unflattened(&self, edited: &Self, opacity: &Self, ground: f32) -> Self {
        let flat = self.flattened(ground);
        let colours = self.channels as usize - 1;
        let mut result = self.clone();
        match (
            &mut result.samples,
            &flat.samples,
            &edited.samples,
            &opacity.samples,
        ) {
            (
                Samples::Eight(to),
                Samples::Eight(flat),
                Samples::Eight(edited),
                Samples::Eight(opacity),
            ) => {
                lift(to, colours, [flat, edited], opacity, |value, alpha| {
                    let alpha = f32::from(alpha) / 255.0;
                    uncovered(f32::from(value) / 255.0, alpha, ground)
                        .map(|level| (level * 255.0).round() as u8)
                });
            }
            (
                Samples::Sixteen(to),
                Samples::Sixteen(flat),
                Samples::Sixteen(edited),
                Samples::Sixteen(opacity),
            ) => {
                lift(to, colours, [flat, edited], opacity, |value, alpha| {
                    uncovered(share(value), share(alpha), ground)
                        .map(|level| (level * 65_535.0).round() as u16)
                });
            }
            _ => panic!("pictures of one bit depth"),
        }
        result
    }
}

/// Lays each colour sample on the ground.
fn flat<S: Copy + Send + Sync>(
    samples: &[S],
    count: usize,
    on: impl Fn(S, S) -> S + Sync,
) -> Vec<S> {
    let pixels = samples.par_chunks_exact(count);
    pixels
        .flat_map_iter(|pixel| {
            let alpha = pixel[count - 1];
            pixel[..count - 1]
                .iter()
                .map(|colour| on(*colour, alpha))
                .collect::<Vec<S>>()
        })
        .collect()
}

/// Returns the colour, 0 to 1, that looks like `value` on the ground with this opacity; `None` where nothing can be seen of it.
fn uncovered(value: f32, alpha: f32, ground: f32) -> Option<f32> {
    (alpha > 0.0).then(|| ((value - (1.0 - alpha) * ground) / alpha).clamp(0.0, 1.0))
}

/// Changes the pixels in which the edited copy differs from the flat one, or the opacity from that of `to`.
fn lift<S: Copy + PartialEq + Send + Sync>(
    to: &mut [S],
    colours: usize,
    [flat, edited]: [&[S]; 2],
    opacity: &[S],
    colour: impl Fn(S, S) -> Option<S> + Sync,
) {
    to.par_chunks_exact_mut(colours + 1)
        .zip(
            flat.par_chunks_exact(colours)
                .zip(edited.par_chunks_exact(colours)),
        )
        .zip(opacity)
        .for_each(|((pixel, (flat, edited)), alpha)| {
            if flat == edited && pixel[colours] == *alpha {
                return;
            }
            for (sample, value) in pixel[..colours].iter_mut().zip(edited) {
                if let Some(level) = colour(*value, *alpha) {
                    *sample = level;
                }
            }
            pixel[colours] = *alpha;
        });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Size;
    use crate::picture::metadata::Metadata;

    fn picture(channels: Channels, samples: Samples) -> Picture {
        Picture {
            size: Size::new(2, 1),
            channels,
            samples,
            icc: None,
            carried: Vec::new(),
            metadata: Metadata::default(),
        }
    }

    #[test]
    fn what_is_laid_on_a_ground_is_taken_off_it() {
        let eight = Samples::Eight(vec![200, 10, 30, 128, 9, 8, 7, 0]);
        let original = picture(Channels::Rgba, eight);
        let flat = original.flattened(1.0);
        assert_eq!(
            flat.samples,
            Samples::Eight(vec![227, 132, 142, 255, 255, 255])
        );
        // Unchanged, it keeps even the colours that cannot be seen.
        assert_eq!(
            original.unflattened(&flat, &original.opacity(), 1.0),
            original
        );
        let opaque = picture(Channels::Grey, Samples::Eight(vec![255, 255]));
        let result = original.unflattened(&flat, &opaque, 1.0);
        assert_eq!(
            result.samples,
            Samples::Eight(vec![227, 132, 142, 255, 255, 255, 255, 255])
        );
        let moved = picture(Channels::Grey, Samples::Eight(vec![0, 128]));
        let edited = picture(
            Channels::Rgb,
            Samples::Eight(vec![255, 255, 255, 227, 132, 142]),
        );
        let result = original.unflattened(&edited, &moved, 1.0);
        assert_eq!(
            result.samples,
            Samples::Eight(vec![200, 10, 30, 0, 199, 10, 30, 128])
        );
    }

    #[test]
    fn sixteen_bits_and_grey_are_kept() {
        let original = picture(
            Channels::GreyAlpha,
            Samples::Sixteen(vec![1000, 65_535, 3, 0]),
        );
        assert_eq!(original.ground(), 1.0);
        let flat = original.flattened(1.0);
        assert_eq!(flat.samples, Samples::Sixteen(vec![1000, 65_535]));
        assert_eq!(
            original.opacity().samples,
            Samples::Sixteen(vec![65_535, 0])
        );
        let bright = picture(
            Channels::GreyAlpha,
            Samples::Sixteen(vec![60_000, 65_535, 3, 0]),
        );
        assert!(
            bright.ground() < 0.5,
            "a bright picture stands on a dark ground"
        );
    }
}
