//! WebP files, chunk by chunk.

use std::io::Cursor;

pub(crate) const LOSSY: &[u8] = include_bytes!("lossy.webp");
pub(crate) const LOSSY_ALPHA: &[u8] = include_bytes!("lossy_alpha.webp");
pub(crate) const ANIMATED: &[u8] = include_bytes!("animated.webp");

/// Flags of the extended header.
const HAS_PROFILE: u8 = 0x20;
const HAS_EXIF: u8 = 0x08;

/// Encodes RGB samples as a lossless WebP.
pub(crate) fn encode(width: usize, height: usize, data: &[u8]) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let image = image::RgbImage::from_raw(width as u32, height as u32, data.to_vec()).unwrap();
    image
        .write_to(&mut bytes, image::ImageFormat::WebP)
        .unwrap();
    bytes.into_inner()
}

/// Converts to the extended format, with a profile before the pixels and other chunks after them.
pub(crate) fn extended(
    webp: &[u8],
    width: usize,
    height: usize,
    profile: Option<&[u8]>,
    exif: Option<&[u8]>,
    more: &[u8],
) -> Vec<u8> {
    let flags =
        if profile.is_some() { HAS_PROFILE } else { 0 } | if exif.is_some() { HAS_EXIF } else { 0 };
    let sides = [(width - 1) as u32, (height - 1) as u32].map(u32::to_le_bytes);
    let header = [&[flags, 0, 0, 0], &sides[0][..3], &sides[1][..3]].concat();
    let mut body = [b"WEBP".to_vec(), chunk(b"VP8X", &header)].concat();
    body.extend(
        profile
            .map(|profile| chunk(b"ICCP", profile))
            .unwrap_or_default(),
    );
    body.extend(&webp[12..]);
    body.extend(exif.map(|exif| chunk(b"EXIF", exif)).unwrap_or_default());
    body.extend(more);
    chunk(b"RIFF", &body)
}

pub(crate) fn chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let mut chunk = [&name[..], &(content.len() as u32).to_le_bytes(), content].concat();
    chunk.resize(chunk.len().next_multiple_of(2), 0);
    chunk
}
