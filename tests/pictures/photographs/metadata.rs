//! Colour profiles, chunks, animations and signatures.

use png::ColorType;

use super::{HEIGHT, WIDTH, rgb, rgb_png};
use crate::bench::Bench;
use crate::bench::pictures::png::Png;
use crate::bench::pictures::{exif, jpeg, manifest, noise, png as png_file, webp};
use crate::bench::tiny::still;

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
