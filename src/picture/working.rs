//! The copy of the picture that the network sees.

use image::RgbImage;
use image::imageops::{self, FilterType};
use rayon::prelude::*;

use super::{Channels, Picture, Samples};
use crate::geometry::{Frame, Size, Window};

impl Picture {
    /// What the network sees: the frame's window resized to `frame.content`, then padded on the right and at the bottom
    /// by reflection to `frame.padded`. (padded height, padded width, 3), -1 to 1. Alpha is not looked at.
    ///
    /// # Panics
    /// When the frame belongs to a picture of another size.
    pub fn working(&self, frame: &Frame) -> Vec<f32> {
        assert_eq!(
            frame.source, self.size,
            "the frame belongs to another picture"
        );
        let content = self.resized_rgb(frame.window, frame.content);
        let mut working = vec![0.0; frame.padded.width * frame.padded.height * 3]; // (height, width, 3)
        let source_row = frame.content.width * 3;
        for (y, row) in working.chunks_exact_mut(frame.padded.width * 3).enumerate() {
            let start = reflect(y, frame.content.height) * source_row;
            let source = &content[start..start + source_row];
            for (x, pixel) in row.chunks_exact_mut(3).enumerate() {
                let start = reflect(x, frame.content.width) * 3;
                for (value, sample) in pixel.iter_mut().zip(&source[start..start + 3]) {
                    *value = f32::from(*sample) / 127.5 - 1.0;
                }
            }
        }
        working
    }

    fn resized_rgb(&self, window: Window, size: Size) -> Vec<u8> {
        let rgb = self.rgb8(window);
        if size == window.size {
            return rgb;
        }
        let (width, height) = (window.size.width as u32, window.size.height as u32);
        let Some(image) = RgbImage::from_raw(width, height, rgb) else {
            unreachable!("a window has three RGB samples for each pixel")
        };
        imageops::resize(
            &image,
            size.width as u32,
            size.height as u32,
            filter(window.size, size),
        )
        .into_raw()
    }

    /// (window height, window width, 3)
    fn rgb8(&self, window: Window) -> Vec<u8> {
        match &self.samples {
            Samples::Eight(samples) => {
                rgb(samples, self.size, self.channels, window, |sample| sample)
            }
            // 65535 = 255 * 257: the nearest of 256 levels.
            Samples::Sixteen(samples) => rgb(samples, self.size, self.channels, window, |sample| {
                ((u32::from(sample) + 128) / 257) as u8
            }),
        }
    }
}

fn rgb<S: Copy + Sync>(
    samples: &[S],
    size: Size,
    channels: Channels,
    window: Window,
    to_eight_bits: impl Fn(S) -> u8 + Sync,
) -> Vec<u8> {
    let count = channels as usize;
    let columns = window.left * count..(window.left + window.size.width) * count;
    let rows = samples
        .par_chunks_exact(size.width * count)
        .skip(window.top)
        .take(window.size.height);
    rows.flat_map_iter(|row| row[columns.clone()].chunks_exact(count))
        .flat_map_iter(|pixel| {
            let [red, green, blue] = match channels {
                Channels::Grey | Channels::GreyAlpha => [pixel[0]; 3],
                Channels::Rgb | Channels::Rgba => [pixel[0], pixel[1], pixel[2]],
            };
            [
                to_eight_bits(red),
                to_eight_bits(green),
                to_eight_bits(blue),
            ]
        })
        .collect()
}

/// Lanczos keeps the most detail when shrinking; when enlarging it rings at edges, and Catmull-Rom hardly does.
pub(super) fn filter(from: Size, to: Size) -> FilterType {
    if to.width * to.height < from.width * from.height {
        FilterType::Lanczos3
    } else {
        FilterType::CatmullRom
    }
}

/// Index inside `length` of the mirror image of `index`, without repeating the edge.
fn reflect(index: usize, length: usize) -> usize {
    if index < length {
        index
    } else {
        (2 * length).saturating_sub(2 + index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reflection_leaves_the_edge_out() {
        let indices: Vec<usize> = (0..7).map(|index| reflect(index, 4)).collect();
        assert_eq!(indices, [0, 1, 2, 3, 2, 1, 0]);
    }
}
