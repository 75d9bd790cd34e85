//! The working copy of a picture: orientation, resizing, padding, and compositing.

use dragnext::geometry::{Frame, Size, Window};
use dragnext::picture::Raster;
use png::{BitDepth, ColorType};

use super::{File, KINDS, decode, read, size};
use crate::bench::Bench;
use crate::bench::pictures::exif;

fn frame(source: Size, content: Size) -> Frame {
    let padded = size(
        content.width.next_multiple_of(8),
        content.height.next_multiple_of(8),
    );
    Frame {
        source,
        window: Window::whole(source),
        content,
        padded,
    }
}

#[test]
fn compositing_follows_the_blend_mask() {
    let bench = Bench::new();
    for (color, depth) in KINDS {
        let file = File::new(75, 93, color, depth);
        let original = read(&bench, "in.png", &file.encode(&file.data()));
        let frame = frame(original.size(), size(61, 77));
        let white = vec![1.0; frame.padded.width * frame.padded.height * 3];
        // The left is unchanged, the right edited, and one column between them mixed half and half.
        let weight = |x: usize| [0.0, 0.5, 1.0][usize::from(x >= 40) + usize::from(x > 40)];
        let blend: Vec<f32> = (0..75 * 93).map(|index| weight(index % 75)).collect();
        let white = Raster::of_working(&white, &frame);
        let result = original.composite(frame.window, &white, Some(&blend));

        let maximum = if depth == BitDepth::Sixteen {
            65_535_u16
        } else {
            255
        };
        let has_alpha = matches!(color, ColorType::GrayscaleAlpha | ColorType::Rgba);
        for (x, y) in (0..93).flat_map(|y| (0..75).map(move |x| (x, y))) {
            let (before, after) = (original.pixel(x, y), result.pixel(x, y));
            for (channel, (before, after)) in before.iter().zip(&after).enumerate() {
                let is_alpha = has_alpha && channel + 1 == color.samples();
                let expected = if is_alpha {
                    *before
                } else {
                    (weight(x) * f32::from(maximum) + (1.0 - weight(x)) * f32::from(*before))
                        .round() as u16
                };
                // In the mixed column a tie may be rounded in either direction.
                let slack = u16::from(x == 40);
                assert!(
                    after.abs_diff(expected) <= slack,
                    "{after} for {expected}: {color:?} {depth:?}, channel {channel} at ({x}, {y})"
                );
            }
        }
    }
}

#[test]
fn compositing_an_unchanged_working_copy_returns_the_picture() {
    let bench = Bench::new();
    let file = File::new(67, 93, ColorType::Rgb, BitDepth::Eight);
    let original = read(&bench, "in.png", &file.encode(&file.data()));
    let frame = frame(original.size(), original.size());
    let unchanged: Vec<f32> = original
        .working(&frame)
        .iter()
        .map(|value| (value + 1.0) / 2.0)
        .collect();
    let unchanged = Raster::of_working(&unchanged, &frame);
    assert_eq!(original.composite(frame.window, &unchanged, None), original);
}

/// All channels and bit depths survive the way to floating point and back.
#[test]
fn compositing_an_unchanged_raster_returns_the_picture() {
    let bench = Bench::new();
    for (color, depth) in KINDS {
        let file = File::new(75, 93, color, depth);
        let original = read(&bench, "in.png", &file.encode(&file.data()));
        let window = Window {
            left: 3,
            top: 5,
            size: Size::new(60, 71),
        };
        let raster = original.raster(window);
        assert_eq!(raster.size(), window.size);
        assert_eq!(
            original.composite(window, &raster, None),
            original,
            "{color:?} {depth:?}"
        );
    }
}

#[test]
fn the_working_copy_is_padded_by_reflection() {
    let bench = Bench::new();
    let file = File::new(67, 70, ColorType::Rgba, BitDepth::Sixteen);
    let original = read(&bench, "in.png", &file.encode(&file.data()));
    let frame = frame(original.size(), original.size());
    let working = original.working(&frame);
    assert_eq!(working.len(), 72 * 72 * 3);
    let value = |x: usize, y: usize, channel: usize| working[(y * 72 + x) * 3 + channel];
    let stored =
        |x: usize, y: usize, channel: usize| f32::from(original.pixel(x, y)[channel]) / 257.0;
    for (at, mirrored) in [
        ((0, 0), (0, 0)),
        ((66, 69), (66, 69)),
        ((67, 3), (65, 3)),
        ((71, 3), (61, 3)),
        ((5, 71), (5, 67)),
        ((70, 70), (62, 68)),
    ] {
        for channel in 0..3 {
            let (shown, expected) = (
                (value(at.0, at.1, channel) + 1.0) * 127.5,
                stored(mirrored.0, mirrored.1, channel),
            );
            assert!(
                (shown - expected).abs() <= 0.501,
                "{at:?}: {shown} for {expected}"
            );
        }
    }
}

/// A checkerboard of single pixels becomes grey. Skipping pixels would give black or white.
#[test]
fn shrinking_averages_all_pixels() {
    let bench = Bench::new();
    let file = File::new(512, 512, ColorType::Grayscale, BitDepth::Eight);
    let board: Vec<u8> = (0..512 * 512)
        .map(|index| {
            if (index % 512 + index / 512) % 2 == 0 {
                0
            } else {
                255
            }
        })
        .collect();
    let picture = read(&bench, "in.png", &file.encode(&board));
    let working = picture.working(&frame(picture.size(), size(72, 72)));
    assert!(
        working.iter().all(|value| value.abs() < 0.02),
        "all pixels are grey"
    );
}

/// Maps (x, y, width, height) of a stored pixel and picture to (x, y) of the upright picture.
type Place = fn(usize, usize, usize, usize) -> (usize, usize);

/// The orientations of Exif 2.32, table 6.
#[test]
fn every_orientation_is_applied() {
    let (width, height) = (64, 96);
    let upright: [Place; 8] = [
        |x, y, _, _| (x, y),
        |x, y, w, _| (w - 1 - x, y),
        |x, y, w, h| (w - 1 - x, h - 1 - y),
        |x, y, _, h| (x, h - 1 - y),
        |x, y, _, _| (y, x),
        |x, y, _, h| (h - 1 - y, x),
        |x, y, w, h| (h - 1 - y, w - 1 - x),
        |x, y, w, _| (y, w - 1 - x),
    ];
    let bench = Bench::new();
    let stored = File::new(64, 96, ColorType::Rgb, BitDepth::Eight);
    let plain = read(&bench, "plain.png", &stored.encode(&stored.data()));
    for (orientation, place) in (1..).zip(upright) {
        let turned = File {
            exif: Some(exif(orientation)),
            ..File::new(64, 96, ColorType::Rgb, BitDepth::Eight)
        };
        let picture = read(&bench, "turned.png", &turned.encode(&turned.data()));
        let sides = if orientation < 5 {
            size(width, height)
        } else {
            size(height, width)
        };
        assert_eq!(picture.size(), sides, "orientation {orientation}");
        for (x, y) in (0..height).flat_map(|y| (0..width).map(move |x| (x, y))) {
            let (to_x, to_y) = place(x, y, width, height);
            assert_eq!(
                picture.pixel(to_x, to_y),
                plain.pixel(x, y),
                "orientation {orientation}, ({x}, {y})"
            );
        }
        let (info, _) = decode(&picture.png(None).expect("it encodes"));
        let expected = crate::bench::pictures::exif(1);
        assert_eq!(
            info.exif_metadata.as_deref(),
            Some(&expected[..]),
            "the upright picture says so"
        );
    }
}
