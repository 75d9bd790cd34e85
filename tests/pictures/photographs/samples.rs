//! Sample types: bit depths, grey and colour, alpha, palettes.

use png::{BitDepth, ColorType};

use super::{HEIGHT, WIDTH, assert_only_inside_changed};
use crate::bench::Bench;
use crate::bench::pictures::png::Png;
use crate::bench::pictures::{noise, png as png_file};
use crate::bench::tiny::moved;

/// Outside the editable area every sample is the source's, in its own depth, including the colours of transparent pixels.
#[test]
fn every_sample_type_is_kept_outside_the_edit() {
    let bench = Bench::new();
    for depth in [BitDepth::Eight, BitDepth::Sixteen] {
        for color in [
            ColorType::Grayscale,
            ColorType::GrayscaleAlpha,
            ColorType::Rgb,
            ColorType::Rgba,
        ] {
            let bytes = if depth == BitDepth::Sixteen { 2 } else { 1 };
            let (channels, colours) = (
                color.samples(),
                color.samples() - usize::from(has_alpha(color)),
            );
            let mut before = noise(WIDTH * HEIGHT * channels * bytes);
            if has_alpha(color) {
                // The left half is transparent but has colours.
                for (index, pixel) in before.chunks_exact_mut(channels * bytes).enumerate() {
                    pixel[colours * bytes..].fill(if index % WIDTH < WIDTH / 2 { 0 } else { 255 });
                }
            }
            bench.edit(
                &Png::encode(WIDTH, HEIGHT, color, depth, &before).bytes(),
                &moved(WIDTH, HEIGHT),
            );
            let (info, after) = png_file::decode(&bench.read("out.png"));
            assert_eq!((info.color_type, info.bit_depth), (color, depth));
            assert_only_inside_changed(&before, &after, (WIDTH, HEIGHT), channels * bytes);
        }
    }
}

fn has_alpha(color: ColorType) -> bool {
    matches!(color, ColorType::GrayscaleAlpha | ColorType::Rgba)
}

/// A palette becomes colours, its transparency an alpha channel, and fewer than eight bits of grey become eight.
#[test]
fn palettes_and_low_bit_depths_are_expanded_without_loss() {
    let bench = Bench::new();
    let palette: Vec<u8> = noise(16 * 3);
    let alphas: Vec<u8> = (0..16).map(|index| index * 17).collect();
    let indices: Vec<u8> = noise(WIDTH * HEIGHT)
        .iter()
        .map(|index| index % 16)
        .collect();
    let expected: Vec<u8> = indices
        .iter()
        .map(|index| usize::from(*index))
        .flat_map(|index| {
            [
                palette[index * 3],
                palette[index * 3 + 1],
                palette[index * 3 + 2],
                alphas[index],
            ]
        })
        .collect();
    bench.edit(
        &Png::encode_palette(WIDTH, HEIGHT, &indices, &palette, &alphas).bytes(),
        &moved(WIDTH, HEIGHT),
    );
    let (info, after) = png_file::decode(&bench.read("out.png"));
    assert_eq!(
        (info.color_type, info.bit_depth),
        (ColorType::Rgba, BitDepth::Eight)
    );
    assert_only_inside_changed(&expected, &after, (WIDTH, HEIGHT), 4);

    let bits = noise(WIDTH * HEIGHT / 8);
    bench.edit(
        &Png::encode(WIDTH, HEIGHT, ColorType::Grayscale, BitDepth::One, &bits).bytes(),
        &moved(WIDTH, HEIGHT),
    );
    let expected: Vec<u8> = bits
        .iter()
        .flat_map(|byte| (0..8).map(move |bit| if byte >> (7 - bit) & 1 == 1 { 255 } else { 0 }))
        .collect();
    let (info, after) = png_file::decode(&bench.read("out.png"));
    assert_eq!(
        (info.color_type, info.bit_depth),
        (ColorType::Grayscale, BitDepth::Eight)
    );
    assert_only_inside_changed(&expected, &after, (WIDTH, HEIGHT), 1);
}
