//! Blends the edited pixels into the original ones.

use image::Rgb32FImage;
use image::imageops;
use rayon::prelude::*;

use super::working::filter;
use super::{Channels, Picture, Raster, Samples};
use crate::geometry::{Frame, Size, Window};

/// Weights of red, green and blue in a grey value (ITU-R BT.709).
const LUMA: [f32; 3] = [0.2126, 0.7152, 0.0722];

/// A sample of 8 or 16 bits.
trait Sample: Copy + Send + Sync {
    const MAX: f32;
    fn to_f32(self) -> f32;
    /// Rounds to the nearest level and clamps to the range.
    fn from_f32(value: f32) -> Self;
}

impl Sample for u8 {
    const MAX: f32 = 255.0;
    fn to_f32(self) -> f32 {
        f32::from(self)
    }
    fn from_f32(value: f32) -> Self {
        value.round() as Self
    }
}

impl Sample for u16 {
    const MAX: f32 = 65_535.0;
    fn to_f32(self) -> f32 {
        f32::from(self)
    }
    fn from_f32(value: f32) -> Self {
        value.round() as Self
    }
}

impl Picture {
    /// Returns this picture with `edited` blended into a window of it, rounded to the picture's bit depth.
    ///
    /// `blend` has one weight for each pixel of this picture, 0 to 1; `None` stands for weight 1 in the whole window. Where the weight is 0,
    /// and outside the window, the samples of this picture stay bit for bit. Alpha and colour profile are kept, and a grey picture stays
    /// grey. What [`Picture::raster`] read comes back bit for bit.
    ///
    /// # Panics
    /// If the window does not lie in the picture, or `edited` or `blend` have another size.
    #[must_use]
    pub fn composite(&self, window: Window, edited: &Raster, blend: Option<&[f32]>) -> Self {
        assert_eq!(edited.size(), window.size, "the edit has the window's size");
        assert!(
            blend.is_none_or(|weights| weights.len() == self.size.area()),
            "one weight for each pixel"
        );
        let edited = Layer {
            window,
            pixels: edited.pixels().as_flattened(),
            width: self.size.width,
            blend,
        };
        let mut result = self.clone();
        match &mut result.samples {
            Samples::Eight(samples) => edited.blend_into(samples, self.channels),
            Samples::Sixteen(samples) => edited.blend_into(samples, self.channels),
        }
        result
    }

    /// Returns a window of this picture in floating point, 0 to 1. Grey becomes equal colours; alpha is left out.
    ///
    /// # Panics
    /// If the window does not lie in the picture.
    pub fn raster(&self, window: Window) -> Raster {
        let pixels = match &self.samples {
            Samples::Eight(samples) => rgb(samples, self.size, self.channels, window),
            Samples::Sixteen(samples) => rgb(samples, self.size, self.channels, window),
        };
        Raster::new(window.size, pixels)
    }
}

impl Raster {
    /// Returns the network's result for [`Picture::working`], (padded height, padded width, 3), in the size of the frame's window.
    ///
    /// # Panics
    /// If the number of elements does not fit the frame.
    pub fn of_working(working: &[f32], frame: &Frame) -> Self {
        assert_eq!(
            working.len(),
            frame.padded.area() * 3,
            "the result has the padded size"
        );
        let samples = resize(
            crop(working, frame.padded, frame.content),
            frame.window.size,
        );
        Self::new(frame.window.size, samples.as_chunks::<3>().0.to_vec())
    }
}

/// Returns the colours of a window, 0 to 1.
fn rgb<S: Sample>(samples: &[S], size: Size, channels: Channels, window: Window) -> Vec<[f32; 3]> {
    let Window {
        left,
        top,
        size: inside,
    } = window;
    let count = channels as usize;
    let rows = (top..top + inside.height).flat_map(|row| {
        let start = (row * size.width + left) * count;
        samples[start..start + inside.width * count].chunks_exact(count)
    });
    let pixels = rows.map(|pixel| {
        let level = |index: usize| pixel[index].to_f32() / S::MAX;
        match channels {
            Channels::Grey | Channels::GreyAlpha => [level(0); 3],
            Channels::Rgb | Channels::Rgba => [level(0), level(1), level(2)],
        }
    });
    pixels.collect()
}

/// Removes the padding. Returns (content height, content width, 3).
fn crop(edited: &[f32], padded: Size, content: Size) -> Rgb32FImage {
    let mut image = Rgb32FImage::new(content.width as u32, content.height as u32);
    let row = content.width * 3;
    for (to, from) in image
        .chunks_exact_mut(row)
        .zip(edited.chunks_exact(padded.width * 3))
    {
        to.copy_from_slice(&from[..row]);
    }
    image
}

/// Returns the image in another size: (height, width, 3).
fn resize(image: Rgb32FImage, to: Size) -> Vec<f32> {
    let from = Size::new(image.width() as usize, image.height() as usize);
    if from == to {
        return image.into_raw();
    }
    imageops::resize(&image, to.width as u32, to.height as u32, filter(from, to)).into_raw()
}

/// Pixels to blend into a picture of width `width`: (window height, window width, 3), 0 to 1.
struct Layer<'a> {
    window: Window,
    pixels: &'a [f32],
    width: usize,
    blend: Option<&'a [f32]>,
}

impl Layer<'_> {
    fn blend_into<S: Sample>(&self, samples: &mut [S], channels: Channels) {
        let Window { left, top, size } = self.window;
        let rows = samples
            .par_chunks_exact_mut(self.width * channels as usize)
            .skip(top)
            .take(size.height);
        rows.zip(self.pixels.par_chunks_exact(size.width * 3))
            .enumerate()
            .for_each(|(row, (samples, edited))| {
                let start = (top + row) * self.width + left;
                let weights = self
                    .blend
                    .map(|weights| &weights[start..start + size.width]);
                let pixels = samples.chunks_exact_mut(channels as usize).skip(left);
                for (column, (pixel, edited)) in pixels.zip(edited.chunks_exact(3)).enumerate() {
                    blend_pixel(
                        pixel,
                        channels,
                        edited,
                        weights.map_or(1.0, |weights| weights[column]),
                    );
                }
            });
    }
}

fn blend_pixel<S: Sample>(pixel: &mut [S], channels: Channels, edited: &[f32], weight: f32) {
    if weight == 0.0 {
        return;
    }
    match channels {
        Channels::Grey | Channels::GreyAlpha => {
            let grey = edited
                .iter()
                .zip(LUMA)
                .map(|(value, weight)| value * weight)
                .sum();
            pixel[0] = mix(pixel[0], grey, weight);
        }
        Channels::Rgb | Channels::Rgba => {
            for (sample, value) in pixel.iter_mut().zip(edited) {
                *sample = mix(*sample, *value, weight);
            }
        }
    }
}

fn mix<S: Sample>(original: S, edited: f32, weight: f32) -> S {
    S::from_f32(original.to_f32() * (1.0 - weight) + edited.clamp(0.0, 1.0) * S::MAX * weight)
}
