//! Finds the chunks of a PNG or WebP that the decoders do not return: definitions of colour and density, metadata, and signatures.
//!
//! Samples outside the edit are copied unchanged, so the chunks that define their meaning must be copied as well.

use flate2::Crc;

use super::metadata::Found;

/// Chunks that define colour or density, with their lengths (PNG, third edition, 11.3).
const CARRIED: [(&[u8; 4], usize); 7] = [
    (b"cICP", 4),
    (b"mDCV", 24),
    (b"cLLI", 8),
    (b"sRGB", 1),
    (b"gAMA", 4),
    (b"cHRM", 32),
    (b"pHYs", 9),
];

const PNG_SIGNATURE: usize = 8;
const RIFF_HEADER: usize = 12;

/// A chunk of a PNG: its name and its content, without length and checksum.
pub(super) type Chunk = ([u8; 4], Vec<u8>);

/// What a file contains besides its pixels.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Beside {
    /// Whether there is a colour profile, readable or not.
    pub(super) has_profile: bool,
    /// Whether there is a C2PA manifest; it is valid for these bytes only.
    pub(super) is_signed: bool,
    /// Chunks that are copied to the result, each at most once.
    pub(super) carried: Vec<Chunk>,
    /// EXIF, XMP and text.
    pub(super) found: Found,
}

/// Scans the chunks of a PNG. It stops at damaged chunks without an error, since the decoder reports damage.
pub(super) fn of_png(bytes: &[u8]) -> Beside {
    let mut beside = Beside::default();
    let mut has_pixels = false;
    let mut rest = bytes.get(PNG_SIGNATURE..).unwrap_or_default();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        let Some((name, after)) = after.split_first_chunk::<4>() else {
            break;
        };
        let Some((content, after)) = after.split_at_checked(length) else {
            break;
        };
        let Some((checksum, after)) = after.split_first_chunk::<4>() else {
            break;
        };
        match name {
            b"IDAT" => has_pixels = true,
            b"iCCP" => beside.has_profile = true,
            b"caBX" => beside.is_signed = true,
            b"eXIf" | b"tEXt" | b"zTXt" | b"iTXt" => {
                let is_whole = has_checksum(*name, content, *checksum);
                beside.found.add_chunk(*name, content, is_whole);
            }
            _ if has_pixels || beside.carried.iter().any(|(carried, _)| carried == name) => {}
            _ if is_carried(*name, content) && has_checksum(*name, content, *checksum) => {
                beside.carried.push((*name, content.to_vec()));
            }
            _ => {}
        }
        rest = after;
    }
    beside
}

/// Scans the chunks of a WebP in the same way.
pub(super) fn of_webp(bytes: &[u8]) -> Beside {
    let mut beside = Beside::default();
    let mut rest = bytes.get(RIFF_HEADER..).unwrap_or_default();
    while let Some((name, after)) = rest.split_first_chunk::<4>() {
        let Some((length, after)) = after.split_first_chunk::<4>() else {
            break;
        };
        let length = u32::from_le_bytes(*length) as usize;
        let content = after.get(..length).unwrap_or_default();
        match name {
            b"ICCP" => beside.has_profile = true,
            b"C2PA" => beside.is_signed = true,
            b"EXIF" => beside.found.add_exif(content),
            b"XMP " => beside.found.add_xmp(content),
            _ => {}
        }
        let padded = length.next_multiple_of(2);
        rest = after.get(padded..).unwrap_or_default();
    }
    beside
}

fn is_carried(name: [u8; 4], content: &[u8]) -> bool {
    let is_valid = match &name {
        b"gAMA" => content != [0; 4],
        b"sRGB" => content.first().is_some_and(|intent| *intent < 4),
        b"pHYs" => content.last().is_some_and(|unit| *unit < 2),
        _ => true,
    };
    is_valid && CARRIED.contains(&(&name, content.len()))
}

/// Returns whether a PNG chunk has the checksum of its name and content.
fn has_checksum(name: [u8; 4], content: &[u8], checksum: [u8; 4]) -> bool {
    crc(name, content) == u32::from_be_bytes(checksum)
}

fn crc(name: [u8; 4], content: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(&name);
    crc.update(content);
    crc.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; PNG_SIGNATURE];
        for (name, content) in chunks {
            bytes.extend((content.len() as u32).to_be_bytes());
            bytes.extend(name.iter().chain(*content));
            bytes.extend(crc(**name, content).to_be_bytes());
        }
        bytes
    }

    #[test]
    fn the_first_valid_chunk_of_each_name_before_the_pixels_is_carried() {
        let bytes = png(&[
            (b"gAMA", &[0; 4]),
            (b"gAMA", &[0, 0, 177, 143]),
            (b"gAMA", &[9; 4]),
            (b"IDAT", b""),
            (b"sRGB", &[0]),
            (b"caBX", b""),
        ]);
        let expected = Beside {
            is_signed: true,
            carried: vec![(*b"gAMA", vec![0, 0, 177, 143])],
            ..Beside::default()
        };
        assert_eq!(of_png(&bytes), expected);
        let mut damaged = png(&[(b"cICP", &[12, 13, 0, 1])]);
        damaged[16] ^= 1;
        assert_eq!(of_png(&damaged), Beside::default());
    }

    #[test]
    fn chunks_of_a_webp_are_padded() {
        let mut found = Found::default();
        found.add_exif(b"!");
        let mut bytes = b"RIFF\0\0\0\0WEBPEXIF\x01\0\0\0!\0ICCP\x02\0\0\0ab".to_vec();
        assert_eq!(
            of_webp(&bytes),
            Beside {
                has_profile: true,
                found,
                ..Beside::default()
            }
        );
        bytes.extend(b"C2PA\xFF\xFF\xFF\xFF");
        assert!(of_webp(&bytes).is_signed);
    }

    #[test]
    fn metadata_is_found_on_both_sides_of_the_pixels() {
        let (before, behind): (&[u8], &[u8]) = (b"Title\0hello", b"MM\0\x2A");
        let mut expected = Found::default();
        expected.add_chunk(*b"tEXt", before, true);
        expected.add_chunk(*b"eXIf", behind, true);
        let mut bytes = png(&[(b"tEXt", before), (b"IDAT", b""), (b"eXIf", behind)]);
        assert_eq!(of_png(&bytes).found, expected);
        let mut damaged = Found::default();
        damaged.add_chunk(*b"tEXt", before, true);
        damaged.add_chunk(*b"eXIf", behind, false);
        *bytes.last_mut().expect("there are bytes") ^= 1;
        assert_eq!(of_png(&bytes).found, damaged);
    }

    #[test]
    fn truncated_files_do_not_panic() {
        let bytes = png(&[(b"gAMA", &[1; 4]), (b"pHYs", &[1; 9])]);
        for length in 0..bytes.len() {
            of_png(&bytes[..length]);
            of_webp(&bytes[..length]);
        }
    }
}
