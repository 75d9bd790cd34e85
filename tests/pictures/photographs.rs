//! Edits of pictures in every format, orientation, sample type and with every kind of metadata. Outside the edit the samples are kept;
//! files that cannot be edited are rejected with a reason.

use crate::bench::pictures::png::Png;
use crate::bench::pictures::{exif, jpeg, manifest, noise, png as png_file, smooth, webp};
use crate::bench::tiny::{editable, moved, still};
use crate::bench::{Bench, Ended};
use png::{BitDepth, ColorType};

const WIDTH: usize = 96;
const HEIGHT: usize = 80;

fn rgb() -> Vec<u8> {
    smooth(WIDTH, HEIGHT, 3)
}

fn rgb_png() -> Png {
    Png::encode(WIDTH, HEIGHT, ColorType::Rgb, BitDepth::Eight, &rgb())
}

/// The same picture in each format, lossless where the format permits it.
fn formats() -> [(&'static str, Vec<u8>); 6] {
    [
        ("PNG", rgb_png().bytes()),
        ("baseline JPEG", jpeg::RESTARTS.to_vec()),
        ("progressive JPEG", jpeg::PROGRESSIVE.to_vec()),
        ("lossless WebP", webp::encode(WIDTH, HEIGHT, &rgb())),
        ("lossy WebP", webp::LOSSY.to_vec()),
        ("lossy WebP with alpha", webp::LOSSY_ALPHA.to_vec()),
    ]
}

fn assert_rejected(run: &Ended, kind: &str, what: &str) {
    assert_eq!(
        (run.status, run.kind()),
        (Some(2), kind),
        "{what}: {}",
        run.stderr
    );
    assert!(!run.stderr.contains("panicked"), "{what}: {}", run.stderr);
}

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
        assert_only_inside_changed(&before, &after, (width, height), 3, 3);
    }
}

/// Asserts that pixels change only inside the editable area, and alpha nowhere. A pixel has `samples` samples of `size` bytes.
fn assert_only_inside_changed(
    before: &[u8],
    after: &[u8],
    (width, height): (usize, usize),
    size: usize,
    colours: usize,
) {
    assert_eq!(before.len(), after.len());
    let [left, top, right, bottom] = editable(width, height);
    let mut changed = 0;
    for (index, (before, after)) in before
        .chunks_exact(size)
        .zip(after.chunks_exact(size))
        .enumerate()
    {
        let (x, y) = (index % width, index / width);
        if !((left..right).contains(&x) && (top..bottom).contains(&y)) {
            assert_eq!(before, after, "pixel ({x}, {y}) of {width} x {height}");
        }
        assert_eq!(
            before[colours..],
            after[colours..],
            "alpha of pixel ({x}, {y})"
        );
        changed += usize::from(before != after);
    }
    assert!(changed > 500, "{changed} pixels changed inside");
}

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

/// All eight orientations in each format that stores them. The result has no orientation, so it is not rotated again.
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
            assert!(
                info.exif_metadata.is_none(),
                "the result has no orientation"
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
            assert_only_inside_changed(
                &before,
                &after,
                (WIDTH, HEIGHT),
                channels * bytes,
                colours * bytes,
            );
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
    assert_only_inside_changed(&expected, &after, (WIDTH, HEIGHT), 4, 3);

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
    assert_only_inside_changed(&expected, &after, (WIDTH, HEIGHT), 1, 1);
}

#[test]
fn unsupported_formats_are_named() {
    let bench = Bench::new();
    for (bytes, what) in [
        (
            &b"\xFF\xD8\xFF\xC0\x00\x14\x08\x00\x60\x00\x60\x04"[..],
            "is a CMYK JPEG",
        ),
        (b"GIF89a\x60\0\x60\0\0\0\0;", "is a GIF file"),
        (b"BM\0\0\0\0", "is a BMP file"),
        (b"hello", "is not a picture in a known format"),
    ] {
        let run = bench.rejected(bytes);
        assert_rejected(&run, "image.unsupported", what);
        assert!(run.stderr.contains(what), "{}", run.stderr);
    }
}

/// Pixel values are not converted, so the profile is copied.
#[test]
fn colour_profiles_are_copied_unchanged() {
    let bench = Bench::new();
    let profile = noise(150_001);
    let lossless = webp::encode(WIDTH, HEIGHT, &rgb());
    let mut info = png::Info::with_size(WIDTH as u32, HEIGHT as u32);
    info.color_type = ColorType::Rgb;
    info.icc_profile = Some((&profile).into());
    let mut with_profile = Vec::new();
    let mut writer = png::Encoder::with_info(&mut with_profile, info)
        .unwrap()
        .write_header()
        .unwrap();
    writer.write_image_data(&rgb()).unwrap();
    writer.finish().unwrap();
    for (format, bytes) in [
        ("PNG", with_profile),
        ("JPEG", jpeg::with_profile(jpeg::RESTARTS, &profile)),
        (
            "WebP",
            webp::extended(&lossless, WIDTH, HEIGHT, Some(&profile), None, &[]),
        ),
    ] {
        assert_eq!(
            bench.edit(&bytes, &still(WIDTH, HEIGHT)).warnings(),
            ["region.no_motion"],
            "{format}"
        );
        let (info, _) = png_file::decode(&bench.read("out.png"));
        assert!(
            info.icc_profile.as_deref() == Some(&profile[..]),
            "{format}"
        );
    }
}

/// A profile that cannot be read causes a warning, not an error.
#[test]
fn a_damaged_profile_is_dropped_with_a_warning() {
    let bench = Bench::new();
    let missing_part = jpeg::with(
        jpeg::RESTARTS,
        jpeg::APP2,
        b"ICC_PROFILE\0\x01\x02half of it",
    );
    for (format, bytes) in [
        (
            "PNG",
            rgb_png()
                .with(b"iCCP", &png_file::iccp(b"not packed"))
                .bytes(),
        ),
        ("JPEG", missing_part),
    ] {
        let run = bench.edit(&bytes, &still(WIDTH, HEIGHT));
        assert_eq!(
            run.warnings(),
            ["image.profile", "region.no_motion"],
            "{format}"
        );
        assert!(
            run.stderr
                .contains("warning: the colour profile is damaged"),
            "{}",
            run.stderr
        );
        assert!(
            png_file::decode(&bench.read("out.png"))
                .0
                .icc_profile
                .is_none(),
            "{format}"
        );
    }
}

/// PNG chunks that define colours without a profile are copied too, so that equal pixels look the same.
#[test]
fn chunks_that_define_colours_are_copied() {
    let bench = Bench::new();
    let chunks: [(&[u8; 4], &[u8]); 7] = [
        (b"gAMA", &[0, 0, 0xB1, 0x8F]),
        (b"cHRM", &noise(32)),
        (b"sRGB", &[1]),
        (b"cICP", &[12, 13, 0, 1]),
        (b"mDCV", &noise(24)),
        (b"cLLI", &noise(8)),
        (b"pHYs", &[0, 0, 0x0B, 0x13, 0, 0, 0x0B, 0x14, 1]),
    ];
    let source = chunks
        .iter()
        .fold(rgb_png(), |png, (name, content)| png.with(name, content));
    bench.edit(&source.bytes(), &still(WIDTH, HEIGHT));
    let written = Png::parse(&bench.read("out.png"));
    let place = |name: &[u8]| {
        written
            .0
            .iter()
            .position(|(there, _)| there == name)
            .unwrap()
    };
    for (name, content) in chunks {
        assert_eq!(
            written.all(name),
            [content],
            "{}",
            String::from_utf8_lossy(name)
        );
        assert!(place(name) < place(b"IDAT"));
    }
    // A rotation by 90 degrees swaps the two resolutions.
    bench.edit(
        &source.with(b"eXIf", &exif(6)).bytes(),
        &still(HEIGHT, WIDTH),
    );
    assert_eq!(
        Png::parse(&bench.read("out.png")).all(b"pHYs"),
        [&[0, 0, 0x0B, 0x14, 0, 0, 0x0B, 0x13, 1][..]]
    );
}

/// The first frame of an animation is edited, with a warning.
#[test]
fn the_first_frame_of_an_animation_is_edited() {
    let bench = Bench::new();
    let first = image::load_from_memory(webp::LOSSY).unwrap().into_rgba8();
    let run = bench.edit(webp::ANIMATED, &still(WIDTH, HEIGHT));
    assert_eq!(run.warnings(), ["image.animated", "region.no_motion"]);
    assert!(image::open(bench.path("out.png")).unwrap().into_rgba8() == first);

    let run = bench.edit(&animated_png(), &still(WIDTH, HEIGHT));
    assert_eq!(run.warnings(), ["image.animated", "region.no_motion"]);
    assert!(
        run.stderr
            .contains("warning: the picture is animated; its first frame is edited"),
        "{}",
        run.stderr
    );
    let written = bench.read("out.png");
    assert!(png_file::decode(&written).1 == rgb());
    assert!(
        Png::parse(&written).all(b"acTL").is_empty(),
        "the result is not animated"
    );
}

/// Returns an animation of two frames.
fn animated_png() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, WIDTH as u32, HEIGHT as u32);
    encoder.set_color(ColorType::Rgb);
    encoder.set_animated(2, 0).unwrap();
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&rgb()).unwrap();
    writer.write_image_data(&noise(WIDTH * HEIGHT * 3)).unwrap();
    writer.finish().unwrap();
    bytes
}

/// A signature holds for the signed bytes only, so it is not copied.
#[test]
fn a_signature_is_dropped_with_a_warning() {
    let bench = Bench::new();
    let lossless = webp::encode(WIDTH, HEIGHT, &rgb());
    for (format, bytes) in [
        ("PNG", rgb_png().with(b"caBX", &manifest()).bytes()),
        ("JPEG", jpeg::signed(jpeg::PROGRESSIVE)),
        (
            "WebP",
            webp::extended(
                &lossless,
                WIDTH,
                HEIGHT,
                None,
                None,
                &webp::chunk(b"C2PA", &manifest()),
            ),
        ),
    ] {
        let run = bench.edit(&bytes, &still(WIDTH, HEIGHT));
        assert_eq!(
            run.warnings(),
            ["image.c2pa", "region.no_motion"],
            "{format}"
        );
        assert!(run.stderr.contains("signed (C2PA)"), "{}", run.stderr);
        let written = bench.read("out.png");
        assert!(
            !written.windows(4).any(|bytes| bytes == b"c2pa"),
            "{format}"
        );
    }
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
