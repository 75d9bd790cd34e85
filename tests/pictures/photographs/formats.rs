//! Formats by content, sizes, damaged files, and masks.

use png::{BitDepth, ColorType};

use super::{HEIGHT, WIDTH, assert_only_inside_changed, assert_rejected, formats, rgb_png};
use crate::bench::Bench;
use crate::bench::pictures::png::Png;
use crate::bench::pictures::{exif, jpeg, noise, png as png_file, smooth};
use crate::bench::tiny::{moved, still};

/// The content decides the format, not the file name. The pixels are those of the decoder.
#[test]
fn every_format_is_read_by_its_content() {
    let bench = Bench::new();
    bench.write("drag.json", still(WIDTH, HEIGHT));
    for (format, bytes) in formats() {
        let expected = image::load_from_memory(&bytes).unwrap();
        for name in ["a.png", "a.jpg", "a.webp", "a"] {
            bench.write(name, &bytes);
            let run = bench
                .shortest_edit(&[name, "--drag", "drag.json", "-o", "out.png", "--overwrite"])
                .run();
            assert_eq!(run.warnings(), ["region.no_motion"], "{format} as {name}");
            assert!(
                image::open(bench.path("out.png")).unwrap() == expected,
                "{format} as {name}"
            );
        }
    }
}

/// The files are truncated at every 64th byte.
#[test]
fn a_truncated_file_is_rejected() {
    let bench = Bench::new();
    for (format, bytes) in formats() {
        for length in (0..bytes.len() - 16).step_by(64) {
            let run = bench.rejected(&bytes[..length]);
            assert_rejected(
                &run,
                "image.decode",
                &format!("{format}, {length} of {} bytes", bytes.len()),
            );
        }
    }
}

/// A side needs at least eight cells of the latent. The message names the required size.
#[test]
fn pictures_that_are_too_small_are_rejected() {
    let bench = Bench::new();
    for (width, height) in [(1, 1), (7, 9), (8, 8), (63, 500), (500, 63)] {
        let run = bench.rejected(&png_file::zeros(width, height, ColorType::Rgb).bytes());
        assert_rejected(&run, "image.too_small", &format!("{width} x {height}"));
        assert!(
            run.stderr.contains(&format!(
                "{width} x {height} is too small; each side needs at least 64 pixels"
            )),
            "{}",
            run.stderr
        );
    }
    assert_rejected(
        &bench.rejected(&png_file::zeros(0, 0, ColorType::Rgb).bytes()),
        "image.decode",
        "0 x 0",
    );
    bench.edit(
        &png_file::zeros(64, 64, ColorType::Rgb).bytes(),
        &still(64, 64),
    );
}

/// The sizes are no multiples of the network's cells. Only pixels inside the editable area change.
#[test]
fn results_have_the_size_of_the_picture() {
    for (width, height) in [(513, 771), (768, 512), (3000, 500)] {
        let bench = Bench::new();
        let before = smooth(width, height, 3);
        let source = Png::encode(width, height, ColorType::Rgb, BitDepth::Eight, &before);
        let run = bench.edit(&source.bytes(), &moved(width, height));
        assert_eq!(run.record["size"], serde_json::json!([width, height]));
        let (info, after) = png_file::decode(&bench.read("out.png"));
        assert_eq!((info.width as usize, info.height as usize), (width, height));
        assert_only_inside_changed(&before, &after, (width, height), 3);
    }
}

#[test]
fn unsupported_formats_are_named() {
    let bench = Bench::new();
    for (bytes, what) in [
        (
            &b"\xFF\xD8\xFF\xC1\x00\x11\x0C\x00\x60\x00\x60\x03"[..],
            "12 bits for each sample",
        ),
        (
            b"\xFF\xD8\xFF\xC3\x00\x11\x08\x00\x60\x00\x60\x03",
            "lossless",
        ),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "the format HEIC"),
        (b"\0\0\0\x18ftypavif\0\0\0\0", "the format AVIF"),
        (
            b"\x89PNG\r\n\x1a\n\0\0\0\x04CgBI\x50\0\x20\x06",
            "is a PNG of an iOS app (CgBI)",
        ),
        (b"GIF89a\x60\0\x60\0\0\0\0;", "the format GIF"),
        (b"BM\0\0\0\0", "in the format BMP"),
        (b"8BPS\0\x01\0\0", "the format PSD"),
        (b"\0\0\0\x0CjP  \r\n\x87\n", "the format JPEG 2000"),
        (b"v/1\x01\x02\0\0\0", "the format OpenEXR"),
        (
            b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>",
            "the format SVG",
        ),
        (b"II*\0\x10\0\0\0CR\x02\0", "is a camera's raw picture"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", "is a video"),
        (b"hello", "is not a picture in a known format"),
    ] {
        let run = bench.rejected(bytes);
        assert_rejected(&run, "image.unsupported", what);
        assert!(run.stderr.contains(what), "{}", run.stderr);
        let command = ["convert it: `", "develop it", "take a frame: `"];
        assert!(
            what.contains("known format") || command.iter().any(|hint| run.stderr.contains(hint)),
            "{}",
            run.stderr
        );
    }
}

/// CMYK and YCCK become RGB as Pillow converts them, with Adobe's marker and without it. Their profile does not describe the result.
#[test]
fn cmyk_is_converted() {
    let bench = Bench::new();
    let expected = |name: &str| {
        let path = format!("{}/tests/bench/pictures/{name}", env!("CARGO_MANIFEST_DIR"));
        image::open(path).unwrap().into_rgb8().into_raw()
    };
    let marker = jpeg::CMYK
        .windows(7)
        .position(|bytes| bytes == b"\0\x0EAdobe")
        .unwrap();
    let mut ycck = jpeg::CMYK.to_vec();
    ycck[marker + 13] = 2;
    let bare = [&jpeg::CMYK[..marker - 2], &jpeg::CMYK[marker + 14..]].concat();
    for (what, bytes, expected) in [
        ("CMYK", jpeg::CMYK.to_vec(), expected("cmyk.png")),
        ("CMYK without the marker", bare, expected("cmyk.png")),
        ("YCCK", ycck, expected("ycck.png")),
    ] {
        for (bytes, has_profile) in [
            (bytes.clone(), false),
            (jpeg::with_profile(&bytes, b"a profile of inks"), true),
        ] {
            let run = bench.edit(&bytes, &still(WIDTH, HEIGHT));
            assert_eq!(run.warnings(), ["image.cmyk", "region.no_motion"], "{what}");
            assert_eq!(
                run.stderr.contains("without its colour profile"),
                has_profile
            );
            let (info, data) = png_file::decode(&bench.read("out.png"));
            assert_eq!(info.color_type, ColorType::Rgb, "{what}");
            assert!(info.icc_profile.is_none(), "{what}");
            let differences = data.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b));
            let largest = differences.max().unwrap();
            // Decoders round their transforms differently.
            assert!(largest <= 3, "{what}: {largest} of 255 levels");
        }
    }
}

/// A profile of inks is used, as Little CMS uses it. The picture is not converted twice: the result has no profile.
#[test]
fn cmyk_is_converted_by_its_profile() {
    let bench = Bench::new();
    let read = |name: &str| {
        std::fs::read(format!(
            "{}/tests/bench/pictures/{name}",
            env!("CARGO_MANIFEST_DIR")
        ))
        .unwrap()
    };
    let expected = |name: &str| {
        let picture = image::load_from_memory(&read(name)).unwrap();
        picture.into_rgb8().into_raw()
    };
    let marker = jpeg::CMYK
        .windows(7)
        .position(|bytes| bytes == b"\0\x0EAdobe")
        .unwrap();
    let mut ycck = jpeg::CMYK.to_vec();
    ycck[marker + 13] = 2;
    let bare = [&jpeg::CMYK[..marker - 2], &jpeg::CMYK[marker + 14..]].concat();
    for (what, bytes, expected) in [
        ("CMYK", jpeg::CMYK.to_vec(), expected("cmyk_srgb.png")),
        ("CMYK without the marker", bare, expected("cmyk_srgb.png")),
        ("YCCK", ycck, expected("ycck_srgb.png")),
    ] {
        let run = bench.edit(
            &jpeg::with_profile(&bytes, jpeg::INKS),
            &still(WIDTH, HEIGHT),
        );
        assert_eq!(run.warnings(), ["image.cmyk", "region.no_motion"], "{what}");
        assert!(
            run.stderr.contains("by its colour profile"),
            "{}",
            run.stderr
        );
        let (info, data) = png_file::decode(&bench.read("out.png"));
        assert_eq!(info.color_type, ColorType::Rgb, "{what}");
        assert!(info.icc_profile.is_none(), "{what}");
        let differences = data
            .iter()
            .zip(&expected)
            .map(|(a, b)| f64::from(a.abs_diff(*b)));
        let (largest, sum) = differences.fold((0.0, 0.0), |(largest, sum): (f64, f64), each| {
            (largest.max(each), sum + each)
        });
        let mean = sum / data.len() as f64;
        println!("{what}: {mean:.2} levels, at most {largest}");
        // They interpolate the table in other ways: in pyramids and linearly.
        assert!(
            mean <= 1.0 && largest <= 8.0,
            "{what}: {mean:.2} levels, at most {largest}"
        );
    }
}

/// The rows of a JPEG count, not its end mark.
#[test]
fn a_jpeg_without_its_end_mark_is_whole_and_half_of_one_is_not() {
    let bench = Bench::new();
    let whole = jpeg::encode(WIDTH, HEIGHT, &smooth(WIDTH, HEIGHT, 3));
    let drag = still(WIDTH, HEIGHT);
    bench.edit(&whole, &drag);
    let expected = image::open(bench.path("out.png")).unwrap();
    let bare = &whole[..whole.len() - 2];
    for bytes in [bare.to_vec(), [bare, b"SEFT trailer \x01\x02"].concat()] {
        bench.edit(&bytes, &drag);
        assert!(image::open(bench.path("out.png")).unwrap() == expected);
    }
    let half = [&whole[..whole.len() / 2], &[0xFF, 0xD9]].concat();
    let run = bench.rejected(&half);
    assert_rejected(&run, "image.decode", "half");
    assert!(
        run.stderr.contains("of the picture's") && run.stderr.contains("--accept-damaged"),
        "{}",
        run.stderr
    );
    bench.write("picture", &half);
    let record = bench
        .edit_file("picture", &drag)
        .arg("--accept-damaged")
        .record();
    assert!(record.warnings().contains(&"image.damaged"), "{record}");
}

/// A panic in a decoder is reported as a damaged file, without Rust's panic message.
#[cfg(feature = "failpoints")]
#[test]
fn a_panic_in_a_decoder_rejects_the_picture() {
    let bench = Bench::new();
    bench.write("drag.json", still(WIDTH, HEIGHT));
    bench.write("picture", rgb_png().bytes());
    let arguments = ["picture", "--drag", "drag.json", "-o", "out.png"];
    let run = bench
        .shortest_edit(&arguments)
        .env("DRAGNEXT_FAILPOINTS", "panic_in_picture")
        .env("RUST_BACKTRACE", "1")
        .status(2)
        .stderr_has("failpoint panic_in_picture")
        .run();
    assert_rejected(&run, "image.decode", "a panic");
    assert!(
        !run.stderr.contains("a decoder's bug") && !run.stderr.contains("backtrace"),
        "{}",
        run.stderr
    );
    // Without the fault the same edit succeeds.
    bench.shortest_edit(&arguments).run();
}

/// The length of the palette is not a multiple of three. png 0.18.1 panics on it.
#[test]
fn a_truncated_palette_is_rejected() {
    let bench = Bench::new();
    let mut png = Png::encode_palette(WIDTH, HEIGHT, &vec![6; WIDTH * HEIGHT], &noise(7 * 3), &[]);
    bench.edit(&png.bytes(), &still(WIDTH, HEIGHT));
    let palette = png.0.iter_mut().find(|(name, _)| name == b"PLTE").unwrap();
    palette.1.truncate(20);
    assert_rejected(
        &bench.rejected(&png.bytes()),
        "image.decode",
        "a palette of 20 bytes",
    );
}

/// Masks are oriented and rejected like pictures.
#[test]
fn masks_are_read_as_strictly_as_pictures() {
    let bench = Bench::new();
    let (width, height) = (HEIGHT, WIDTH);
    bench.write("picture", rgb_png().with(b"eXIf", &exif(6)).bytes());
    let drag = serde_json::json!({ "version": 1, "editable": { "mask": "mask" }, "regions": [ { "type": "translation",
        "region": { "rect": [20, 20, 44, 60] }, "handle": [32, 40], "target": [32, 40] } ] });
    let edit = || bench.edit_file("picture", &drag.to_string());

    let grey: Vec<u8> = (0..WIDTH * HEIGHT)
        .map(|index| if index % WIDTH < WIDTH / 2 { 255 } else { 0 })
        .collect();
    let stored = Png::encode(WIDTH, HEIGHT, ColorType::Grayscale, BitDepth::Eight, &grey);
    bench.write("mask", stored.bytes());
    let rejected = edit()
        .status(2)
        .stderr_has(format!(
            "the mask `mask` is {WIDTH} x {HEIGHT} pixels, the image is {width} x {height}"
        ))
        .run();
    assert_eq!(rejected.kind(), "mask.size");
    bench.write("mask", stored.with(b"eXIf", &exif(6)).bytes());
    edit().run();

    let white = jpeg::encode(width, height, &vec![255; width * height * 3]);
    bench.write("mask", &white);
    edit().run();
    for bytes in [&white[..white.len() - 30], b"hello", b""] {
        bench.write("mask", bytes);
        assert_eq!(edit().status(2).run().kind(), "mask.decode");
    }
    std::fs::remove_file(bench.path("mask")).unwrap();
    assert_eq!(edit().status(2).run().kind(), "mask.missing");
}
