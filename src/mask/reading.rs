//! How the picture of a mask says which pixels are inside: by its brightness, or by its alpha.

use image::DynamicImage;
use serde::Serialize;

use super::Mask;
use crate::geometry::Size;

/// What of a mask's picture is its shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MaskChannel {
    /// The brightness of its colours (`luma`).
    Luma,
    /// Its opacity.
    Alpha,
}

impl MaskChannel {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Alpha, Self::Luma];

    /// Returns the name in drag files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Luma => "luma",
            Self::Alpha => "alpha",
        }
    }

    /// Returns what a pixel with more of it is, and one with the most.
    pub(super) const fn more(self) -> [&'static str; 2] {
        match self {
            Self::Luma => ["brighter", "brightest"],
            Self::Alpha => ["more opaque", "most opaque"],
        }
    }
}

/// How a mask's picture is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize)]
pub struct MaskReading {
    /// What its shape is; without it, the picture tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<MaskChannel>,
    /// Whether what would be inside is outside, and the reverse.
    #[serde(skip_serializing_if = "is_false")]
    pub invert: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for this")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Why a readable picture is no mask.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoShape {
    /// Every pixel is dark, or transparent, and there are more levels than two, or only one. The highest level of 65,535.
    Dark(MaskChannel, u16),
    /// Colours and alpha both have a shape, and not the same.
    Ambiguous,
    /// The alpha channel was asked for, and there is none.
    NoAlpha,
}

/// Samples of one channel, row by row.
enum Plane {
    Eight(Vec<u8>),
    Sixteen(Vec<u16>),
}

/// A sample is bright or opaque when it is above this of 65,535 levels.
const MIDDLE: u16 = 32_767;

impl Plane {
    fn at(&self, index: usize) -> u16 {
        match self {
            Self::Eight(samples) => u16::from(samples[index]) * 257,
            Self::Sixteen(samples) => samples[index],
        }
    }

    fn levels(&self) -> Box<dyn Iterator<Item = u16> + '_> {
        match self {
            Self::Eight(samples) => Box::new(samples.iter().map(|sample| u16::from(*sample) * 257)),
            Self::Sixteen(samples) => Box::new(samples.iter().copied()),
        }
    }

    /// Returns the darkest and the brightest level, and whether there is no other.
    fn extremes(&self) -> (u16, u16, bool) {
        let (low, high) = self.levels().fold((u16::MAX, 0), |(low, high), level| {
            (level.min(low), level.max(high))
        });
        (
            low,
            high,
            self.levels().all(|level| level == low || level == high),
        )
    }
}

/// Which levels of a plane are inside.
struct Threshold {
    /// Those above this one.
    above: u16,
    /// What the levels told, where they are not those of a mask in black and white.
    note: Option<String>,
}

/// Share of pixels between black and white, and number of their levels of 256, above which a picture is more likely a photograph than a mask.
const SHARE: f64 = 0.25;
const SHADES: usize = 32;

impl Plane {
    /// Returns which levels are inside: the higher one of two, wherever they are; else those above the middle.
    fn threshold(&self, channel: MaskChannel) -> Result<Threshold, NoShape> {
        let (low, high, are_two) = self.extremes();
        let depth = if matches!(self, Self::Eight(_)) {
            257
        } else {
            1
        };
        let is_one_side = (low > MIDDLE) == (high > MIDDLE);
        if is_one_side && low < high && are_two {
            let (low_level, level) = (low / depth, high / depth);
            return Ok(Threshold {
                above: low,
                note: Some(format!(
                    "has only the levels {low_level} and {level}; the pixels of {level} are inside"
                )),
            });
        }
        if high <= MIDDLE && high > 0 {
            return Err(NoShape::Dark(channel, high));
        }
        let (mut counts, mut count) = ([0_usize; 256], 0_usize);
        for level in self.levels() {
            counts[usize::from(level >> 8)] += 1;
            count += 1;
        }
        // A quarter of the levels is black, and one white.
        let between = &counts[64..192];
        let shades = between.iter().filter(|count| **count > 0).count();
        let share = between.iter().sum::<usize>() as f64 / count.max(1) as f64;
        let note = (share > SHARE && shades > SHADES).then(|| {
            let share = 100.0 * share;
            let [brighter, _] = channel.more();
            format!("has shades as a photograph has, {share:.0} % between black and white; the pixels {brighter} than the middle are inside")
        });
        Ok(Threshold {
            above: MIDDLE,
            note,
        })
    }
}

impl MaskReading {
    /// Returns the pixels inside, with a note about what the picture told where it is not white on black.
    pub(super) fn mask(self, picture: DynamicImage) -> Result<(Mask, Option<String>), NoShape> {
        let size = Size::new(picture.width() as usize, picture.height() as usize);
        let alpha = alpha(&picture);
        let luma = match &picture {
            DynamicImage::ImageLuma16(_)
            | DynamicImage::ImageLumaA16(_)
            | DynamicImage::ImageRgb16(_)
            | DynamicImage::ImageRgba16(_) => Plane::Sixteen(picture.into_luma16().into_raw()),
            _ => Plane::Eight(picture.into_luma8().into_raw()),
        };
        let (channel, note) = self.chosen(&luma, alpha.as_ref(), size.area())?;
        let plane = match (channel, alpha) {
            (MaskChannel::Alpha, Some(alpha)) => alpha,
            (MaskChannel::Alpha, None) => return Err(NoShape::NoAlpha),
            (MaskChannel::Luma, _) => luma,
        };
        let Threshold {
            above,
            note: of_levels,
        } = plane.threshold(channel)?;
        let note = match (note, of_levels) {
            (Some(note), Some(of_levels)) => Some(format!("{note}; it {of_levels}")),
            (note, of_levels) => note.or(of_levels),
        };
        let data = plane
            .levels()
            .map(|level| (level > above) != self.invert)
            .collect();
        let mask = Mask {
            width: size.width,
            height: size.height,
            data,
        };
        Ok((mask, note))
    }

    /// Returns the channel that has the shape: the given one; else alpha, if it is not constant and all that is visible is bright, or all dark.
    fn chosen(
        self,
        luma: &Plane,
        alpha: Option<&Plane>,
        count: usize,
    ) -> Result<(MaskChannel, Option<String>), NoShape> {
        let varies = |alpha: &&Plane| alpha.levels().any(|level| level != alpha.at(0));
        let Some(alpha) = alpha.filter(|alpha| count > 0 && varies(alpha)) else {
            return Ok((self.channel.unwrap_or(MaskChannel::Luma), None));
        };
        if let Some(channel) = self.channel {
            return Ok((channel, None));
        }
        let (mut has_white, mut has_black, mut hides_white) = (false, false, false);
        for (level, opacity) in luma.levels().zip(alpha.levels()) {
            let is_white = level > MIDDLE;
            if opacity > MIDDLE {
                has_white |= is_white;
                has_black |= !is_white;
            } else {
                hides_white |= is_white;
            }
        }
        if has_white && has_black {
            // With nothing bright below transparent pixels, they are outside like black ones.
            return if hides_white {
                Err(NoShape::Ambiguous)
            } else {
                Ok((MaskChannel::Luma, None))
            };
        }
        let has_shape = luma.levels().any(|level| level != luma.at(0));
        if has_white && !hides_white && has_shape {
            // Colours and alpha have the same shape.
            return Ok((MaskChannel::Luma, None));
        }
        let note = "has its shape in its alpha channel; the opaque pixels are inside".to_owned();
        Ok((MaskChannel::Alpha, Some(note)))
    }
}

fn alpha(picture: &DynamicImage) -> Option<Plane> {
    match picture {
        DynamicImage::ImageLumaA8(image) => Some(Plane::Eight(
            image.pixels().map(|pixel| pixel.0[1]).collect(),
        )),
        DynamicImage::ImageRgba8(image) => Some(Plane::Eight(
            image.pixels().map(|pixel| pixel.0[3]).collect(),
        )),
        DynamicImage::ImageLumaA16(image) => Some(Plane::Sixteen(
            image.pixels().map(|pixel| pixel.0[1]).collect(),
        )),
        DynamicImage::ImageRgba16(image) => Some(Plane::Sixteen(
            image.pixels().map(|pixel| pixel.0[3]).collect(),
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use image::{GrayAlphaImage, GrayImage, ImageBuffer, Luma};

    use super::*;

    fn read(picture: DynamicImage, reading: MaskReading) -> Result<(Vec<bool>, bool), NoShape> {
        let (mask, note) = reading.mask(picture)?;
        Ok((mask.data, note.is_some()))
    }

    fn grey(levels: &[u8]) -> DynamicImage {
        GrayImage::from_vec(levels.len() as u32, 1, levels.to_vec())
            .expect("one row")
            .into()
    }

    fn with_alpha(pixels: &[[u8; 2]]) -> DynamicImage {
        GrayAlphaImage::from_vec(pixels.len() as u32, 1, pixels.concat())
            .expect("one row")
            .into()
    }

    #[test]
    fn two_levels_are_told_apart_wherever_they_are() {
        let auto = MaskReading::default();
        assert_eq!(
            read(grey(&[0, 255, 127, 128]), auto),
            Ok((vec![false, true, false, true], false))
        );
        assert_eq!(
            read(grey(&[0, 1, 1]), auto),
            Ok((vec![false, true, true], true))
        );
        assert_eq!(read(grey(&[38, 0]), auto), Ok((vec![true, false], true)));
        assert_eq!(read(grey(&[200, 255]), auto), Ok((vec![false, true], true)));
        assert_eq!(read(grey(&[255, 255]), auto), Ok((vec![true, true], false)));
        assert_eq!(read(grey(&[0, 0]), auto), Ok((vec![false, false], false)));
        // A soft edge is no photograph.
        let all: Vec<u8> = (0..=255).collect();
        let soft = [&all[..], &[0; 300], &[255; 300]].concat();
        assert_eq!(read(grey(&soft), auto).map(|(_, note)| note), Ok(false));
        let (inside, is_noted) = read(grey(&all), auto).expect("a mask");
        assert!(is_noted && !inside[127] && inside[128]);
        let dark = |level| Err(NoShape::Dark(MaskChannel::Luma, level));
        assert_eq!(read(grey(&[1, 1]), auto), dark(257));
        assert_eq!(read(grey(&[0, 1, 2]), auto), dark(514));
        let sixteen = |levels: &[u16]| -> DynamicImage {
            ImageBuffer::<Luma<u16>, _>::from_vec(levels.len() as u32, 1, levels.to_vec())
                .expect("one row")
                .into()
        };
        assert_eq!(
            read(sixteen(&[0, 255]), auto),
            Ok((vec![false, true], true))
        );
        assert_eq!(
            read(sixteen(&[0x7fff, 0x8000, 0]), auto),
            Ok((vec![false, true, false], false))
        );
        let invert = MaskReading {
            channel: None,
            invert: true,
        };
        assert_eq!(
            read(grey(&[0, 255]), invert),
            Ok((vec![true, false], false))
        );
    }

    #[test]
    fn alpha_is_the_shape_where_colours_have_none() {
        let auto = MaskReading::default();
        // White everywhere and erased, black on nothing, and opaque.
        assert_eq!(
            read(with_alpha(&[[255, 255], [255, 0]]), auto),
            Ok((vec![true, false], true))
        );
        assert_eq!(
            read(with_alpha(&[[0, 255], [0, 0]]), auto),
            Ok((vec![true, false], true))
        );
        assert_eq!(
            read(with_alpha(&[[0, 255], [255, 255]]), auto),
            Ok((vec![false, true], false))
        );
        // Levels of alpha are told apart as those of colours.
        assert_eq!(
            read(with_alpha(&[[255, 1], [255, 0]]), auto),
            Ok((vec![true, false], true))
        );
        assert_eq!(
            read(with_alpha(&[[255, 200], [255, 255]]), auto),
            Ok((vec![false, true], true))
        );
        assert_eq!(
            read(with_alpha(&[[255, 2], [255, 1], [255, 0]]), auto),
            Err(NoShape::Dark(MaskChannel::Alpha, 514))
        );
        // The same shape in both.
        assert_eq!(
            read(with_alpha(&[[255, 255], [0, 0]]), auto),
            Ok((vec![true, false], false))
        );
        // Black and white on nothing, as of a black layer that does not cover the whole picture.
        assert_eq!(
            read(with_alpha(&[[0, 255], [255, 255], [0, 0]]), auto),
            Ok((vec![false, true, false], false))
        );
        let both = [[0, 255], [255, 255], [255, 0]];
        assert_eq!(read(with_alpha(&both), auto), Err(NoShape::Ambiguous));
        let by = |channel, invert| MaskReading {
            channel: Some(channel),
            invert,
        };
        assert_eq!(
            read(with_alpha(&both), by(MaskChannel::Luma, false)),
            Ok((vec![false, true, true], false))
        );
        assert_eq!(
            read(with_alpha(&both), by(MaskChannel::Alpha, false)),
            Ok((vec![true, true, false], false))
        );
        assert_eq!(
            read(with_alpha(&both), by(MaskChannel::Alpha, true)),
            Ok((vec![false, false, true], false))
        );
        assert_eq!(
            read(grey(&[0, 255]), by(MaskChannel::Alpha, false)),
            Err(NoShape::NoAlpha)
        );
    }
}
