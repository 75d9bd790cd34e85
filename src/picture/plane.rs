//! The samples of one channel in a common 16-bit scale, for comparisons of pictures.

use rayon::prelude::*;

use super::{Channels, Picture, Samples};

/// One channel of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// Red; the grey value of a grey picture.
    Red,
    /// Green; the grey value of a grey picture.
    Green,
    /// Blue; the grey value of a grey picture.
    Blue,
    /// Opacity; 65,535 for a picture without alpha.
    Alpha,
}

impl Picture {
    /// Returns whether the picture is grey.
    pub fn is_grey(&self) -> bool {
        matches!(self.channels, Channels::Grey | Channels::GreyAlpha)
    }

    /// Returns whether every pixel is fully opaque.
    pub fn is_opaque(&self) -> bool {
        !matches!(self.channels, Channels::GreyAlpha | Channels::Rgba)
            || self
                .plane(Channel::Alpha)
                .par_iter()
                .all(|alpha| *alpha == u16::MAX)
    }

    /// Returns whether every pixel is fully transparent.
    pub fn is_invisible(&self) -> bool {
        self.is_invisible_in(|_| true)
    }

    /// Returns whether an area has pixels and all of them are fully transparent. `is_inside` gets a pixel's index, row by row.
    pub(crate) fn is_invisible_in(&self, is_inside: impl Fn(usize) -> bool) -> bool {
        let channels = self.channels as usize;
        if !matches!(self.channels, Channels::GreyAlpha | Channels::Rgba) {
            return false;
        }
        let is_clear = |index: usize| {
            let alpha = index * channels + channels - 1;
            match &self.samples {
                Samples::Eight(samples) => samples[alpha] == 0,
                Samples::Sixteen(samples) => samples[alpha] == 0,
            }
        };
        let mut pixels = (0..self.size.area()).filter(|index| is_inside(*index));
        pixels.next().is_some_and(is_clear) && pixels.all(is_clear)
    }

    /// Returns a channel's samples in 65,536 levels, row by row; those of an 8-bit picture are multiples of 257.
    pub fn plane(&self, channel: Channel) -> Vec<u16> {
        let index = match (self.channels, channel) {
            (Channels::Grey | Channels::Rgb, Channel::Alpha) => {
                return vec![u16::MAX; self.size.area()];
            }
            (
                Channels::Grey | Channels::GreyAlpha,
                Channel::Red | Channel::Green | Channel::Blue,
            )
            | (_, Channel::Red) => 0,
            (Channels::GreyAlpha, Channel::Alpha)
            | (Channels::Rgb | Channels::Rgba, Channel::Green) => 1,
            (Channels::Rgb | Channels::Rgba, Channel::Blue) => 2,
            (Channels::Rgba, Channel::Alpha) => 3,
        };
        let channels = self.channels as usize;
        match &self.samples {
            Samples::Eight(samples) => samples
                .par_chunks_exact(channels)
                .map(|pixel| u16::from(pixel[index]) * 257)
                .collect(),
            Samples::Sixteen(samples) => samples
                .par_chunks_exact(channels)
                .map(|pixel| pixel[index])
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Size;
    use crate::picture::metadata::Metadata;

    const ALL: [Channel; 4] = [Channel::Red, Channel::Green, Channel::Blue, Channel::Alpha];

    fn planes(channels: Channels, samples: Samples) -> [Vec<u16>; 4] {
        let picture = Picture {
            size: Size::new(2, 1),
            channels,
            samples,
            icc: None,
            carried: Vec::new(),
            metadata: Metadata::default(),
        };
        ALL.map(|channel| picture.plane(channel))
    }

    #[test]
    fn eight_and_sixteen_bits_have_the_same_scale() {
        let full = vec![65_535, 65_535];
        let grey = planes(Channels::Grey, Samples::Eight(vec![0, 255]));
        assert_eq!(
            grey,
            [
                vec![0, 65_535],
                vec![0, 65_535],
                vec![0, 65_535],
                full.clone()
            ]
        );
        let grey = planes(Channels::GreyAlpha, Samples::Sixteen(vec![1, 2, 3, 4]));
        assert_eq!(grey, [vec![1, 3], vec![1, 3], vec![1, 3], vec![2, 4]]);
        let rgb = planes(Channels::Rgb, Samples::Sixteen(vec![1, 2, 3, 4, 5, 6]));
        assert_eq!(rgb, [vec![1, 4], vec![2, 5], vec![3, 6], full]);
        let rgba = planes(Channels::Rgba, Samples::Eight(vec![1, 2, 3, 4, 5, 6, 7, 8]));
        assert_eq!(
            rgba,
            [[1, 5], [2, 6], [3, 7], [4, 8]].map(|pair| pair.map(|level| level * 257).to_vec())
        );
    }

    #[test]
    fn a_picture_is_opaque_if_all_its_samples_are() {
        let picture = |alpha| {
            let samples = Samples::Eight(vec![9, 255, 9, alpha]);
            Picture {
                size: Size::new(2, 1),
                channels: Channels::GreyAlpha,
                samples,
                icc: None,
                carried: Vec::new(),
                metadata: Metadata::default(),
            }
        };
        assert!(picture(255).is_opaque() && !picture(254).is_opaque());
        assert!(Picture::from_rgb(Size::new(1, 1), vec![0; 3]).is_opaque());
        assert!(!picture(0).is_invisible() && picture(0).is_invisible_in(|index| index == 1));
        assert!(!picture(0).is_invisible_in(|_| false), "no pixel is inside");
        assert!(!Picture::from_rgb(Size::new(1, 1), vec![0; 3]).is_invisible());
    }
}
