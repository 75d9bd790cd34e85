//! Files that are read and written, and files that are rejected.

use std::path::Path;

use dragnext::picture::{self, KEYWORD};
use png::{BitDepth, ColorType};

use super::{File, KINDS, decode, error_kind, read, size};
use crate::bench::Bench;
use crate::bench::pictures::exif;
use crate::bench::pictures::png::crc;

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
