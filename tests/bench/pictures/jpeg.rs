//! JPEG files, segment by segment.

use std::io::Cursor;

pub(crate) const PROGRESSIVE: &[u8] = include_bytes!("progressive.jpg");
pub(crate) const CMYK: &[u8] = include_bytes!("cmyk.jpg");
/// A colour profile of inks.
pub(crate) const INKS: &[u8] = include_bytes!("inks.icc");
pub(crate) const RESTARTS: &[u8] = include_bytes!("restarts.jpg");
/// Markers of application segments.
pub(crate) const APP1: u8 = 0xE1;
pub(crate) const APP2: u8 = 0xE2;
pub(crate) const APP11: u8 = 0xEB;
/// Largest part of a colour profile in one segment, without its 14 bytes of name and numbers.
const ICC_PART: usize = 65_519;

/// Encodes RGB samples as a baseline JPEG.
pub(crate) fn encode(width: usize, height: usize, data: &[u8]) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let image = image::RgbImage::from_raw(width as u32, height as u32, data.to_vec()).unwrap();
    image
        .write_to(&mut bytes, image::ImageFormat::Jpeg)
        .unwrap();
    bytes.into_inner()
}

/// Inserts a segment before all others.
pub(crate) fn with(jpeg: &[u8], marker: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len() + 2).unwrap().to_be_bytes();
    [&jpeg[..2], &[0xFF, marker], &length, content, &jpeg[2..]].concat()
}

/// Inserts an Exif orientation.
pub(crate) fn turned(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    with(
        jpeg,
        APP1,
        &[b"Exif\0\0".to_vec(), super::exif(orientation)].concat(),
    )
}

/// Inserts a colour profile, in several segments if necessary.
pub(crate) fn with_profile(jpeg: &[u8], profile: &[u8]) -> Vec<u8> {
    let parts: Vec<&[u8]> = profile.chunks(ICC_PART).collect();
    let count = parts.len() as u8;
    let numbered = parts.iter().zip(1..=count);
    // Each segment is inserted before the others, so the last one is inserted first.
    numbered.rev().fold(jpeg.to_vec(), |jpeg, (part, number)| {
        with(
            &jpeg,
            APP2,
            &[b"ICC_PROFILE\0", &[number, count][..], part].concat(),
        )
    })
}

/// Inserts a C2PA manifest: a JUMBF superbox in APP11 with a description box labelled `c2pa`.
pub(crate) fn signed(jpeg: &[u8]) -> Vec<u8> {
    with(
        jpeg,
        APP11,
        &[b"JP\0\x01\0\0\0\x01".to_vec(), super::manifest()].concat(),
    )
}
