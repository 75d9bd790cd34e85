//! JPEG files, segment by segment.

use std::io::Cursor;

pub(crate) const PROGRESSIVE: &[u8] = include_bytes!("progressive.jpg");
pub(crate) const RESTARTS: &[u8] = include_bytes!("restarts.jpg");
/// Markers of applications' segments.
pub(crate) const APP1: u8 = 0xE1;
pub(crate) const APP2: u8 = 0xE2;
pub(crate) const APP11: u8 = 0xEB;
/// What one segment of a colour profile holds at most, beside its 14 bytes of name and numbers.
const ICC_PART: usize = 65_519;

/// A baseline JPEG of RGB samples.
pub(crate) fn encode(width: usize, height: usize, data: &[u8]) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let image = image::RgbImage::from_raw(width as u32, height as u32, data.to_vec()).unwrap();
    image
        .write_to(&mut bytes, image::ImageFormat::Jpeg)
        .unwrap();
    bytes.into_inner()
}

/// With one more segment, as the first.
pub(crate) fn with(jpeg: &[u8], marker: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len() + 2).unwrap().to_be_bytes();
    [&jpeg[..2], &[0xFF, marker], &length, content, &jpeg[2..]].concat()
}

/// With a camera's orientation.
pub(crate) fn turned(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    with(
        jpeg,
        APP1,
        &[b"Exif\0\0".to_vec(), super::exif(orientation)].concat(),
    )
}

/// With a colour profile, in as many segments as it takes.
pub(crate) fn with_profile(jpeg: &[u8], profile: &[u8]) -> Vec<u8> {
    let parts: Vec<&[u8]> = profile.chunks(ICC_PART).collect();
    let count = parts.len() as u8;
    let numbered = parts.iter().zip(1..=count);
    // Each is put first, so the last must come first.
    numbered.rev().fold(jpeg.to_vec(), |jpeg, (part, number)| {
        with(
            &jpeg,
            APP2,
            &[b"ICC_PROFILE\0", &[number, count][..], part].concat(),
        )
    })
}

/// With a C2PA manifest: a JUMBF superbox in APP11, whose description box is labelled `c2pa`.
pub(crate) fn signed(jpeg: &[u8]) -> Vec<u8> {
    with(
        jpeg,
        APP11,
        &[b"JP\0\x01\0\0\0\x01".to_vec(), super::manifest()].concat(),
    )
}
