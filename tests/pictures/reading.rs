//! Pictures: what is read is what is written, and nobody's file can do harm.

use std::path::{Path, PathBuf};

use dragnext::geometry::{Frame, Size, Window};
use dragnext::picture::{self, KEYWORD, Picture};
use png::{BitDepth, ColorType};

/// A folder for one test.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("the system has room for a temporary folder"))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).expect("the temporary folder takes files");
        path
    }

    fn read(&self, name: &str, bytes: &[u8]) -> Picture {
        picture::read(&self.write(name, bytes))
            .expect("the test's picture is sound")
            .picture
    }

    /// The kind of the error that reading `bytes` ends with.
    fn refusal(&self, bytes: &[u8]) -> &'static str {
        picture::read(&self.write("refused", bytes))
            .expect_err("the picture must be refused")
            .kind()
            .name()
    }
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

    /// Samples that differ from each other, from a fixed linear congruence.
    fn data(&self) -> Vec<u8> {
        let depth = if self.depth == BitDepth::Sixteen {
            2
        } else {
            1
        };
        let length = self.size.0 as usize * self.size.1 as usize * self.color.samples() * depth;
        let states = std::iter::successors(Some(1_u32), |state| {
            Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223))
        });
        states
            .map(|state| (state >> 24) as u8)
            .take(length)
            .collect()
    }

    fn encode(&self, data: &[u8]) -> Vec<u8> {
        let mut info = png::Info::with_size(self.size.0, self.size.1);
        (info.color_type, info.bit_depth) = (self.color, self.depth);
        info.icc_profile = self.icc.map(Into::into);
        info.exif_metadata = self.exif.clone().map(Into::into);
        let mut bytes = Vec::new();
        let mut writer = png::Encoder::with_info(&mut bytes, info)
            .expect("valid")
            .write_header()
            .expect("memory");
        writer
            .write_image_data(data)
            .expect("the data fits the header");
        writer.finish().expect("memory");
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
fn every_kind_comes_back_sample_for_sample() {
    let folder = Folder::new();
    for (color, depth) in KINDS {
        let file = File {
            icc: Some(b"a profile"),
            ..File::new(67, 71, color, depth)
        };
        let picture = folder.read("in.png", &file.encode(&file.data()));
        let written = picture.png(None).expect("it encodes");
        let (info, data) = decode(&written);
        assert_eq!((info.color_type, info.bit_depth), (color, depth));
        assert_eq!(info.icc_profile.as_deref(), Some(&b"a profile"[..]));
        assert!(data == file.data(), "{color:?} {depth:?}");
        assert_eq!(picture.check_png(&written), Ok(()));
    }
}

#[test]
fn a_picture_of_other_samples_does_not_pass_the_check() {
    let folder = Folder::new();
    let file = File::new(64, 64, ColorType::Rgb, BitDepth::Sixteen);
    let mut data = file.data();
    let picture = folder.read("in.png", &file.encode(&data));
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
fn the_edit_shows_where_it_may_and_nowhere_else() {
    let folder = Folder::new();
    for (color, depth) in KINDS {
        let file = File::new(75, 93, color, depth);
        let original = folder.read("in.png", &file.encode(&file.data()));
        let frame = frame(original.size(), size(61, 77));
        let white = vec![1.0; frame.padded.width * frame.padded.height * 3];
        // Untouched on the left, edited on the right, half and half in one column between.
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
                // Half and half, a tie may round either way; elsewhere there is nothing to round.
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
fn the_working_copy_of_an_edit_that_changes_nothing_is_the_picture() {
    let folder = Folder::new();
    let file = File::new(67, 93, ColorType::Rgb, BitDepth::Eight);
    let original = folder.read("in.png", &file.encode(&file.data()));
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
    let folder = Folder::new();
    let file = File::new(67, 70, ColorType::Rgba, BitDepth::Sixteen);
    let original = folder.read("in.png", &file.encode(&file.data()));
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

/// A checkerboard of single pixels is grey from afar; skipping pixels would show black or white.
#[test]
fn shrinking_averages_all_pixels() {
    let folder = Folder::new();
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
    let picture = folder.read("in.png", &file.encode(&board));
    let working = picture.working(&frame(picture.size(), size(72, 72)));
    assert!(
        working.iter().all(|value| value.abs() < 0.02),
        "grey everywhere"
    );
}

/// (x, y, width, height) of the stored pixel and picture to (x, y) of the upright one.
type Place = fn(usize, usize, usize, usize) -> (usize, usize);

/// The orientations of Exif 2.32, table 6: where the stored pixel (x, y) of a `width` x `height` picture belongs.
#[test]
fn every_orientation_is_turned_upright() {
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
    let folder = Folder::new();
    let stored = File::new(64, 96, ColorType::Rgb, BitDepth::Eight);
    let plain = folder.read("plain.png", &stored.encode(&stored.data()));
    for (orientation, place) in (1..).zip(upright) {
        let turned = File {
            exif: Some(exif(orientation)),
            ..File::new(64, 96, ColorType::Rgb, BitDepth::Eight)
        };
        let picture = folder.read("turned.png", &turned.encode(&turned.data()));
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
            "an upright picture must not be turned again"
        );
    }
}

/// A TIFF header with one entry: Orientation (0x0112), SHORT, one value.
fn exif(orientation: u8) -> Vec<u8> {
    let mut exif = b"MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    exif
}

#[test]
fn jpeg_and_webp_are_read_by_content() {
    let folder = Folder::new();
    let data = File::new(80, 64, ColorType::Rgb, BitDepth::Eight).data();
    let image = image::RgbImage::from_raw(80, 64, data.clone()).expect("the length fits");
    let webp = encode(&image, image::ImageFormat::WebP);
    let picture = folder.read("misnamed.png", &webp);
    assert!((0..64 * 80).all(|index| {
        picture.pixel(index % 80, index / 80)
            == data[index * 3..][..3]
                .iter()
                .map(|v| u16::from(*v))
                .collect::<Vec<_>>()
    }));

    let jpeg = encode(&image, image::ImageFormat::Jpeg);
    assert_eq!(folder.read("misnamed.webp", &jpeg).size(), size(80, 64));

    let mut turned = jpeg[..2].to_vec();
    let exif = [&b"Exif\0\0"[..], &exif(6)].concat();
    turned.extend([0xFF, 0xE1, 0, exif.len() as u8 + 2]);
    turned.extend(exif.iter().chain(&jpeg[2..]));
    assert_eq!(folder.read("turned.jpg", &turned).size(), size(64, 80));
}

fn encode(image: &image::RgbImage, format: image::ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).expect("memory");
    bytes.into_inner()
}

/// Reading a cut file must end with `image.decode` or with a picture; a panic would end this test.
#[test]
fn a_cut_file_is_refused() {
    let folder = Folder::new();
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
            let kind = folder.refusal(&bytes[..length]);
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
fn a_huge_picture_is_refused_by_its_header() {
    let folder = Folder::new();
    let claim = |width: u32, height: u32| {
        let mut header = b"IHDR".to_vec();
        header.extend(width.to_be_bytes().iter().chain(&height.to_be_bytes()));
        header.extend([8, 2, 0, 0, 0]);
        let mut file = b"\x89PNG\r\n\x1a\n\0\0\0\x0D".to_vec();
        file.extend(header.iter().chain(&crc(&header).to_be_bytes()));
        file.extend([0, 0, 0, 0, b'I', b'D', b'A', b'T']);
        file
    };
    assert_eq!(folder.refusal(&claim(100_000, 100_000)), "image.too_large");
    assert_eq!(folder.refusal(&claim(30_000, 30_000)), "image.too_large");
    // The proof that the header above is sound: with modest sides it is the data that is missed.
    assert_eq!(folder.refusal(&claim(100, 100)), "image.decode");
}

/// CRC-32 of ISO 3309, as PNG chunks end with it.
fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| {
        if crc & 1 == 1 {
            (crc >> 1) ^ 0xEDB8_8320
        } else {
            crc >> 1
        }
    };
    !bytes
        .iter()
        .fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[test]
fn what_cannot_be_edited_is_named() {
    let folder = Folder::new();
    for sides in [(1, 1), (7, 9), (63, 500), (500, 63)] {
        let file = File::new(sides.0, sides.1, ColorType::Rgb, BitDepth::Eight);
        assert_eq!(
            folder.refusal(&file.encode(&file.data())),
            "image.too_small",
            "{sides:?}"
        );
    }
    assert_eq!(
        folder.refusal(b"GIF89a\x40\0\x40\0\0\0\0;"),
        "image.unsupported"
    );
    assert_eq!(folder.refusal(b"hello"), "image.unsupported");
    assert_eq!(
        folder.refusal(b"\xFF\xD8\xFF\xC0\x00\x14\x08\x00\x40\x00\x40\x04"),
        "image.unsupported",
        "CMYK"
    );
    assert_eq!(folder.refusal(b""), "image.decode");
    let kind = |path: &Path| {
        picture::read(path)
            .expect_err("there is no picture")
            .kind()
            .name()
    };
    assert_eq!(kind(&folder.0.path().join("nothing.png")), "image.missing");
    assert_eq!(kind(folder.0.path()), "image.unsupported");
    #[cfg(unix)]
    assert_eq!(kind(Path::new("/dev/zero")), "image.unsupported");
}

/// 128 MiB of zeros in a compressed profile: the profile is dropped, the picture is read.
#[test]
fn a_profile_that_unpacks_to_too_much_is_dropped() {
    let folder = Folder::new();
    let bomb: &'static [u8] = Box::leak(vec![0; 128 << 20].into_boxed_slice());
    let file = File {
        icc: Some(bomb),
        ..File::new(64, 64, ColorType::Rgb, BitDepth::Eight)
    };
    let bytes = file.encode(&file.data());
    assert!(bytes.len() < 8 << 20, "the profile is packed");
    assert!(folder.read("bomb.png", &bytes).icc().is_none());
}

#[test]
fn the_same_picture_and_note_give_the_same_bytes() {
    let folder = Folder::new();
    let file = File::new(64, 65, ColorType::Rgb, BitDepth::Eight);
    let encoded = file.encode(&file.data());
    let note = r#"{"v":1,"prompt":"größer"}"#;
    let first = folder
        .read("a.png", &encoded)
        .png(Some(note))
        .expect("it encodes");
    let second = folder
        .read("b.png", &encoded)
        .png(Some(note))
        .expect("it encodes");
    assert_eq!(first, second);
    let (info, _) = decode(&first);
    let text = info
        .utf8_text
        .iter()
        .find(|chunk| chunk.keyword == KEYWORD)
        .expect("the note is there");
    assert_eq!(text.get_text().expect("it is UTF-8"), note);
    let (bare, _) = decode(&folder.read("c.png", &first).png(None).expect("it encodes"));
    assert!(
        bare.utf8_text.is_empty(),
        "no note of an earlier edit is carried along"
    );
}
