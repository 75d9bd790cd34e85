//! Encodes pictures byte by byte, as other programs write them and as none would.
#![allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "a chunk's name is written as a byte string, which is a reference"
)]

pub(crate) mod jpeg;
pub(crate) mod png;
pub(crate) mod webp;

/// Returns Exif data: a TIFF header with one entry, Orientation (0x0112), SHORT, one value.
pub(crate) fn exif(orientation: u8) -> Vec<u8> {
    let mut exif = b"MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    exif
}

/// Returns pseudo-random bytes, the same in every call.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let states = std::iter::successors(Some(1_u32), |state| {
        Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223))
    });
    states
        .map(|state| (state >> 24) as u8)
        .take(length)
        .collect()
}

/// Returns a smooth picture with samples of 8 bits: (height, width, channels).
pub(crate) fn smooth(width: usize, height: usize, channels: usize) -> Vec<u8> {
    let sample = |index: usize| {
        let (channel, x, y) = (
            index % channels,
            index / channels % width,
            index / channels / width,
        );
        let wave = (x as f32 * 0.11 + channel as f32).sin() * 70.0 + (y as f32 * 0.07).cos() * 50.0;
        (wave + 128.0) as u8
    };
    (0..width * height * channels).map(sample).collect()
}

/// Returns a C2PA manifest store: a JUMBF superbox with a description box.
pub(crate) fn manifest() -> Vec<u8> {
    let uuid = b"c2pa\0\x11\0\x10\x80\0\0\xAA\0\x38\x9B\x71";
    let description = [
        &33_u32.to_be_bytes()[..],
        b"jumd",
        uuid,
        b"\x03c2pa\0",
        &[0; 3],
    ]
    .concat();
    [
        &(8 + description.len() as u32).to_be_bytes()[..],
        b"jumb",
        &description,
    ]
    .concat()
}
