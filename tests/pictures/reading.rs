//! The picture module of the library: reading, working copies, compositing, and rejected files.

use std::path::Path;

use dragnext::geometry::{Frame, Size, Window};
use dragnext::picture::{self, KEYWORD, Picture};

use crate::bench::Bench;
use crate::bench::pictures::{exif, noise, png::crc};
use png::{BitDepth, ColorType};

fn read(bench: &Bench, name: &str, bytes: &[u8]) -> Picture {
    let read = picture::read(&bench.write(name, bytes));
    read.expect("the picture is valid").picture
}

/// Returns the kind of the error from reading `bytes`.
fn error_kind(bytes: &[u8]) -> &'static str {
    let bench = Bench::new();
    let error = picture::read(&bench.write("rejected", bytes));
    error.expect_err("the picture is rejected").kind().name()
}

struct File {
    size: (u32, u32),
    color: ColorType,
    depth: BitDepth,
    icc: Option<&'static [u8]>,
    exif: Option<Vec<u8>>,
}

impl File {
    fn new(width: u32, height: u32, color: ColorType, depth: BitDepth) -> Self {
        Self {
            size: (width, height),
            color,
            depth,
            icc: None,
            exif: None,
        }
    }

    /// Returns pseudo-random samples.
    fn data(&self) -> Vec<u8> {
        let depth = if self.depth == BitDepth::Sixteen {
            2
        } else {
            1
        };
        let length = self.size.0 as usize * self.size.1 as usize * self.color.samples() * depth;
        noise(length)
    }

    fn encode(&self, data: &[u8]) -> Vec<u8> {
        let mut info = png::Info::with_size(self.size.0, self.size.1);
        (info.color_type, info.bit_depth) = (self.color, self.depth);
        info.icc_profile = self.icc.map(Into::into);
        info.exif_metadata = self.exif.clone().map(Into::into);
        let mut bytes = Vec::new();
        let mut writer = png::Encoder::with_info(&mut bytes, info)
            .expect("the header is valid")
            .write_header()
            .expect("writing to memory succeeds");
        writer
            .write_image_data(data)
            .expect("the data fits the header");
        writer.finish().expect("writing to memory succeeds");
        bytes
    }
}

const KINDS: [(ColorType, BitDepth); 8] = [
    (ColorType::Grayscale, BitDepth::Eight),
    (ColorType::GrayscaleAlpha, BitDepth::Eight),
    (ColorType::Rgb, BitDepth::Eight),
    (ColorType::Rgba, BitDepth::Eight),
    (ColorType::Grayscale, BitDepth::Sixteen),
    (ColorType::GrayscaleAlpha, BitDepth::Sixteen),
    (ColorType::Rgb, BitDepth::Sixteen),
    (ColorType::Rgba, BitDepth::Sixteen),
];

const fn size(width: usize, height: usize) -> Size {
    Size { width, height }
}

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

fn decode(bytes: &[u8]) -> (png::Info<'static>, Vec<u8>) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes))
        .read_info()
        .expect("our own PNG");
    let mut data = vec![0; reader.output_buffer_size().expect("small")];
    reader.next_frame(&mut data).expect("our own PNG");
    (reader.info().clone(), data)
}

#[test]
fn every_sample_type_is_written_as_it_was_read() {
    let bench = Bench::new();
    for (color, depth) in KINDS {
        let file = File {
            icc: Some(b"a profile"),
            ..File::new(67, 71, color, depth)
        };
        let picture = read(&bench, "in.png", &file.encode(&file.data()));
        let written = picture.png(None).expect("it encodes");
        let (info, data) = decode(&written);
        assert_eq!((info.color_type, info.bit_depth), (color, depth));
        assert_eq!(info.icc_profile.as_deref(), Some(&b"a profile"[..]));
        assert!(data == file.data(), "{color:?} {depth:?}");
        assert_eq!(picture.check_png(&written), Ok(()));
    }
}

#[test]
fn a_picture_with_other_samples_fails_verification() {
    let bench = Bench::new();
    let file = File::new(64, 64, ColorType::Rgb, BitDepth::Sixteen);
    let mut data = file.data();
    let picture = read(&bench, "in.png", &file.encode(&data));
    data[1000] ^= 1;
    assert_eq!(
        picture.check_png(&file.encode(&data)),
        Err("decodes to other pixels".into())
    );
    let wider = File::new(65, 64, ColorType::Rgb, BitDepth::Sixteen);
    assert_eq!(
        picture.check_png(&wider.encode(&wider.data())),
        Err("decodes as 65 x 64".into())
    );
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
        let result = original.composite(&frame, &white, Some(&blend));

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
    assert_eq!(original.composite(&frame, &unchanged, None), original);
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
        assert!(
            info.exif_metadata.is_none(),
            "the upright picture has no orientation"
        );
    }
}

#[test]
fn the_content_decides_the_format() {
    let bench = Bench::new();
    let data = File::new(80, 64, ColorType::Rgb, BitDepth::Eight).data();
    let image = image::RgbImage::from_raw(80, 64, data.clone()).expect("the length fits");
    let webp = encode(&image, image::ImageFormat::WebP);
    let picture = read(&bench, "misnamed.png", &webp);
    assert!((0..64 * 80).all(|index| {
        picture.pixel(index % 80, index / 80)
            == data[index * 3..][..3]
                .iter()
                .map(|v| u16::from(*v))
                .collect::<Vec<_>>()
    }));

    let jpeg = encode(&image, image::ImageFormat::Jpeg);
    assert_eq!(read(&bench, "misnamed.webp", &jpeg).size(), size(80, 64));

    let mut turned = jpeg[..2].to_vec();
    let exif = [&b"Exif\0\0"[..], &exif(6)].concat();
    turned.extend([0xFF, 0xE1, 0, exif.len() as u8 + 2]);
    turned.extend(exif.iter().chain(&jpeg[2..]));
    assert_eq!(read(&bench, "turned.jpg", &turned).size(), size(64, 80));
}

fn encode(image: &image::RgbImage, format: image::ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image
        .write_to(&mut bytes, format)
        .expect("writing to memory succeeds");
    bytes.into_inner()
}

#[test]
fn a_truncated_file_is_rejected() {
    let file = File {
        icc: Some(b"a profile"),
        ..File::new(64, 64, ColorType::Rgba, BitDepth::Sixteen)
    };
    let image = image::RgbImage::from_raw(
        64,
        64,
        File::new(64, 64, ColorType::Rgb, BitDepth::Eight).data(),
    )
    .expect("the length fits");
    let png = file.encode(&file.data());
    let whole = [
        png,
        encode(&image, image::ImageFormat::Jpeg),
        encode(&image, image::ImageFormat::WebP),
    ];
    for bytes in &whole {
        for length in (0..bytes.len() - 16).step_by(64) {
            let kind = error_kind(&bytes[..length]);
            assert_eq!(
                kind,
                "image.decode",
                "{length} of {} bytes, {:?}",
                bytes.len(),
                &bytes[..bytes.len().min(4)]
            );
        }
    }
}

#[test]
fn a_huge_picture_is_rejected_by_its_header() {
    let claim = |width: u32, height: u32| {
        let mut header = b"IHDR".to_vec();
        header.extend(width.to_be_bytes().iter().chain(&height.to_be_bytes()));
        header.extend([8, 2, 0, 0, 0]);
        let mut file = b"\x89PNG\r\n\x1a\n\0\0\0\x0D".to_vec();
        file.extend(header.iter().chain(&crc(header.iter()).to_be_bytes()));
        file.extend([0, 0, 0, 0, b'I', b'D', b'A', b'T']);
        file
    };
    assert_eq!(error_kind(&claim(100_000, 100_000)), "image.too_large");
    assert_eq!(error_kind(&claim(30_000, 30_000)), "image.too_large");
    // Except for its size the header is valid: with moderate sides, only the missing data is rejected.
    assert_eq!(error_kind(&claim(100, 100)), "image.decode");
}

#[test]
fn pictures_that_cannot_be_edited_are_rejected() {
    let bench = Bench::new();
    for sides in [(1, 1), (7, 9), (63, 500), (500, 63)] {
        let file = File::new(sides.0, sides.1, ColorType::Rgb, BitDepth::Eight);
        assert_eq!(
            error_kind(&file.encode(&file.data())),
            "image.too_small",
            "{sides:?}"
        );
    }
    assert_eq!(
        error_kind(b"GIF89a\x40\0\x40\0\0\0\0;"),
        "image.unsupported"
    );
    assert_eq!(error_kind(b"hello"), "image.unsupported");
    assert_eq!(
        error_kind(b"\xFF\xD8\xFF\xC0\x00\x14\x08\x00\x40\x00\x40\x04"),
        "image.unsupported",
        "CMYK"
    );
    assert_eq!(error_kind(b""), "image.decode");
    let kind = |path: &Path| {
        picture::read(path)
            .expect_err("it is not a picture")
            .kind()
            .name()
    };
    assert_eq!(kind(&bench.path("nothing.png")), "image.missing");
    assert_eq!(kind(bench.folder()), "image.unsupported");
    #[cfg(unix)]
    assert_eq!(kind(Path::new("/dev/zero")), "image.unsupported");
}

/// A compressed profile of 128 MiB of zeros.
#[test]
fn a_profile_that_unpacks_to_huge_data_is_dropped() {
    let bench = Bench::new();
    let bomb: &'static [u8] = Box::leak(vec![0; 128 << 20].into_boxed_slice());
    let file = File {
        icc: Some(bomb),
        ..File::new(64, 64, ColorType::Rgb, BitDepth::Eight)
    };
    let bytes = file.encode(&file.data());
    assert!(bytes.len() < 8 << 20, "the profile is compressed");
    assert!(read(&bench, "bomb.png", &bytes).icc().is_none());
}

#[test]
fn the_same_picture_and_report_give_the_same_bytes() {
    let bench = Bench::new();
    let file = File::new(64, 65, ColorType::Rgb, BitDepth::Eight);
    let encoded = file.encode(&file.data());
    let note = r#"{"v":1,"prompt":"größer"}"#;
    let first = read(&bench, "a.png", &encoded)
        .png(Some(note))
        .expect("it encodes");
    let second = read(&bench, "b.png", &encoded)
        .png(Some(note))
        .expect("it encodes");
    assert_eq!(first, second);
    let (info, _) = decode(&first);
    let text = info
        .utf8_text
        .iter()
        .find(|chunk| chunk.keyword == KEYWORD)
        .expect("the report is a text chunk");
    assert_eq!(text.get_text().expect("it is UTF-8"), note);
    let (bare, _) = decode(&read(&bench, "c.png", &first).png(None).expect("it encodes"));
    assert!(
        bare.utf8_text.is_empty(),
        "the report of an earlier edit is not copied"
    );
}
