//! The copy of a picture that the network gets.

use image::RgbImage;
use image::imageops::{self, FilterType};
use rayon::prelude::*;

use super::{Channels, Picture, Samples};
use crate::geometry::{Frame, Size, Window};

impl Picture {
    /// Returns the input of the network: the frame's window, resized to `frame.content` and padded by reflection on the right and
    /// at the bottom to `frame.padded`. (padded height, padded width, 3), -1 to 1. Alpha is ignored.
    ///
    /// # Panics
    /// If the frame belongs to a picture of another size.
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

    /// Returns red, green and blue in 8 bits: (height, width, 3). Alpha is ignored.
    pub(crate) fn rgb(&self) -> Vec<u8> {
        self.rgb8(Window::whole(self.size)).into_raw()
    }

    /// Returns the window in another size as 8-bit RGB: (height, width, 3).
    fn resized_rgb(&self, window: Window, size: Size) -> Vec<u8> {
        let rgb = self.rgb8(window);
        if size == window.size {
            return rgb.into_raw();
        }
        imageops::resize(
            &rgb,
            size.width as u32,
            size.height as u32,
            filter(window.size, size),
        )
        .into_raw()
    }

    fn rgb8(&self, window: Window) -> RgbImage {
        match &self.samples {
            Samples::Eight(samples) => {
                rgb(samples, self.size, self.channels, window, |sample| sample)
            }
            // Rounds to the nearest of 256 levels, since 65535 = 255 * 257.
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
) -> RgbImage {
    let count = channels as usize;
    let columns = window.left * count..(window.left + window.size.width) * count;
    let rows = samples
        .par_chunks_exact(size.width * count)
        .skip(window.top)
        .take(window.size.height);
    let mut image = RgbImage::new(window.size.width as u32, window.size.height as u32);
    image
        .par_chunks_exact_mut(window.size.width * 3)
        .zip(rows)
        .for_each(|(to, row)| {
            let pixels = row[columns.clone()].chunks_exact(count);
            for (to, pixel) in to.chunks_exact_mut(3).zip(pixels) {
                let colour = match channels {
                    Channels::Grey | Channels::GreyAlpha => [pixel[0]; 3],
                    Channels::Rgb | Channels::Rgba => [pixel[0], pixel[1], pixel[2]],
                };
                to.copy_from_slice(&colour.map(&to_eight_bits));
            }
        });
    image
}

/// Returns the filter for resizing. Lanczos keeps the most detail when shrinking. When enlarging it rings at edges, where
/// Catmull-Rom rings less.
pub(super) fn filter(from: Size, to: Size) -> FilterType {
    if to.width * to.height < from.width * from.height {
        FilterType::Lanczos3
    } else {
        FilterType::CatmullRom
    }
}

/// Reflects an index beyond `length` back inside, without repeating the edge.
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
    fn reflection_does_not_repeat_the_edge() {
        let indices: Vec<usize> = (0..7).map(|index| reflect(index, 4)).collect();
        assert_eq!(indices, [0, 1, 2, 3, 2, 1, 0]);
    }
}
