//! The files that are mutated: all formats and kinds that are read.

use png::{BitDepth, ColorType};

use super::{File, HEIGHT, WIDTH};
use crate::bench::pictures::png::Png;
use crate::bench::pictures::{self, jpeg, noise, png as png_file, smooth, webp};

/// Files of all formats and kinds that are read.
pub(super) fn files() -> Vec<File> {
    let png = |color: ColorType, depth| {
        let bits = match depth {
            BitDepth::Sixteen => 16,
            BitDepth::One => 1,
            _ => 8,
        };
        Png::encode(
            WIDTH,
            HEIGHT,
            color,
            depth,
            &noise(WIDTH * HEIGHT * color.samples() * bits / 8),
        )
    };
    let palette = Png::encode_palette(
        WIDTH,
        HEIGHT,
        &noise(WIDTH * HEIGHT)
            .iter()
            .map(|index| index % 16)
            .collect::<Vec<_>>(),
        &noise(48),
        &noise(16),
    );
    let described = png(ColorType::Rgb, BitDepth::Eight)
        .with(b"iCCP", &png_file::iccp(&png_file::deflated_zeros(300)))
        .with(b"gAMA", &[0, 0, 0xB1, 0x8F])
        .with(b"cHRM", &noise(32))
        .with(b"eXIf", &pictures::exif(6))
        .with(b"pHYs", &[0, 0, 11, 19, 0, 0, 11, 19, 1])
        .with(
            b"zTXt",
            &[b"t\0\0".to_vec(), png_file::deflated_zeros(5000)].concat(),
        )
        .with(b"caBX", &pictures::manifest());
    let baseline = jpeg::with_profile(&jpeg::turned(jpeg::RESTARTS, 6), &noise(3000));
    let lossless = webp::encode(WIDTH, HEIGHT, &smooth(WIDTH, HEIGHT, 3));
    let mut files: Vec<File> = [
        png(ColorType::Grayscale, BitDepth::One),
        png(ColorType::Grayscale, BitDepth::Sixteen),
        png(ColorType::GrayscaleAlpha, BitDepth::Eight),
        png(ColorType::Rgb, BitDepth::Eight),
        png(ColorType::Rgba, BitDepth::Sixteen),
        palette,
        described,
        interlaced(),
        animated(),
    ]
    .map(File::png)
    .into();
    let inks = jpeg::with_profile(jpeg::CMYK, jpeg::INKS);
    files.extend([jpeg::RESTARTS, jpeg::PROGRESSIVE, &baseline, &inks].map(File::jpeg));
    let extended = webp::extended(
        &lossless,
        WIDTH,
        HEIGHT,
        Some(&noise(500)),
        Some(&pictures::exif(3)),
        &webp::chunk(b"C2PA", &noise(50)),
    );
    files.extend(
        [
            webp::LOSSY,
            webp::LOSSY_ALPHA,
            webp::ANIMATED,
            &lossless,
            &extended,
        ]
        .map(File::webp),
    );
    files
}

/// A picture of zeros in the seven passes of Adam7. A filter byte precedes each row.
fn interlaced() -> Png {
    const PASSES: [[usize; 4]; 7] = [
        [0, 0, 8, 8],
        [4, 0, 8, 8],
        [0, 4, 4, 8],
        [2, 0, 4, 4],
        [0, 2, 2, 4],
        [1, 0, 2, 2],
        [0, 1, 1, 2],
    ];
    let length = PASSES
        .iter()
        .map(|[x, y, dx, dy]| (HEIGHT - y).div_ceil(*dy) * (1 + 3 * (WIDTH - x).div_ceil(*dx)))
        .sum();
    let mut png = png_file::zeros(WIDTH, HEIGHT, ColorType::Rgb);
    png.0[0].1[12] = 1;
    png.0[1].1 = png_file::deflated_zeros(length);
    png
}

fn animated() -> Png {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, WIDTH as u32, HEIGHT as u32);
    encoder.set_color(ColorType::Rgba);
    encoder.set_animated(2, 0).unwrap();
    let mut writer = encoder.write_header().unwrap();
    for _ in 0..2 {
        writer.write_image_data(&noise(WIDTH * HEIGHT * 4)).unwrap();
    }
    writer.finish().unwrap();
    Png::parse(&bytes)
}
