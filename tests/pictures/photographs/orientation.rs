//! Exif orientations.

use png::{BitDepth, ColorType};

use super::{HEIGHT, WIDTH, rgb, rgb_png};
use crate::bench::Bench;
use crate::bench::pictures::png::Png;
use crate::bench::pictures::{exif, jpeg, png as png_file, webp};
use crate::bench::tiny::{moved, still};

/// Maps (x, y, width, height) of a stored pixel and picture to (x, y) of the upright picture (Exif 2.32, table 6).
type Place = fn(usize, usize, usize, usize) -> (usize, usize);

const UPRIGHT: [Place; 8] = [
    |x, y, _, _| (x, y),
    |x, y, w, _| (w - 1 - x, y),
    |x, y, w, h| (w - 1 - x, h - 1 - y),
    |x, y, _, h| (x, h - 1 - y),
    |x, y, _, _| (y, x),
    |x, y, _, h| (h - 1 - y, x),
    |x, y, w, h| (h - 1 - y, w - 1 - x),
    |x, y, w, _| (y, w - 1 - x),
];

fn upright(stored: &[u8], orientation: u8) -> (usize, usize, Vec<u8>) {
    let (width, height) = if orientation < 5 {
        (WIDTH, HEIGHT)
    } else {
        (HEIGHT, WIDTH)
    };
    let mut turned = vec![0; stored.len()];
    for (index, pixel) in stored.chunks_exact(3).enumerate() {
        let (x, y) = UPRIGHT[orientation as usize - 1](index % WIDTH, index / WIDTH, WIDTH, HEIGHT);
        turned[(y * width + x) * 3..][..3].copy_from_slice(pixel);
    }
    (width, height, turned)
}

/// All eight orientations in each format that stores them. The result says that it is upright, so it is not rotated again.
#[test]
fn every_orientation_is_applied_in_every_format() {
    let bench = Bench::new();
    let (baseline, lossless) = (
        jpeg::encode(WIDTH, HEIGHT, &rgb()),
        webp::encode(WIDTH, HEIGHT, &rgb()),
    );
    for orientation in 1..=8 {
        let exif = exif(orientation);
        for (format, bytes, stored) in [
            ("PNG", rgb_png().with(b"eXIf", &exif).bytes(), rgb()),
            (
                "JPEG",
                jpeg::turned(&baseline, orientation),
                image::load_from_memory(&baseline)
                    .unwrap()
                    .into_rgb8()
                    .into_raw(),
            ),
            (
                "progressive JPEG",
                jpeg::turned(jpeg::PROGRESSIVE, orientation),
                image::load_from_memory(jpeg::PROGRESSIVE)
                    .unwrap()
                    .into_rgb8()
                    .into_raw(),
            ),
            (
                "WebP",
                webp::extended(&lossless, WIDTH, HEIGHT, None, Some(&exif), &[]),
                rgb(),
            ),
        ] {
            let (width, height, expected) = upright(&stored, orientation);
            let run = bench.edit(&bytes, &still(width, height));
            assert_eq!(
                run.record["size"],
                serde_json::json!([width, height]),
                "{format}, orientation {orientation}"
            );
            let written = bench.read("out.png");
            let (info, data) = png_file::decode(&written);
            assert!(data == expected, "{format}, orientation {orientation}");
            assert_eq!(
                info.exif_metadata.as_deref(),
                Some(&self::exif(1)[..]),
                "the result is upright"
            );
        }
    }
}

/// Coordinates are those of the upright picture: the edits of a rotated file and of the upright one are equal.
#[test]
fn a_rotated_photograph_is_edited_upright() {
    let bench = Bench::new();
    for orientation in [3, 6, 7] {
        let (width, height, pixels) = upright(&rgb(), orientation);
        bench.edit(
            &Png::encode(width, height, ColorType::Rgb, BitDepth::Eight, &pixels).bytes(),
            &moved(width, height),
        );
        let expected = png_file::decode(&bench.read("out.png")).1;
        bench.edit(
            &rgb_png().with(b"eXIf", &exif(orientation)).bytes(),
            &moved(width, height),
        );
        assert!(
            png_file::decode(&bench.read("out.png")).1 == expected,
            "orientation {orientation}"
        );
        assert!(expected != pixels, "the edit changes pixels");
    }
}
