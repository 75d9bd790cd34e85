//! Scans the markers of a JPEG for what the decoder does not report: colour components, process, profile, metadata and signature.

use super::metadata::Found;

const START_OF_SCAN: u8 = 0xDA;
const COMMENT: u8 = 0xFE;
/// Application segments: 1 holds EXIF and XMP data; 2 holds colour profiles; 11 holds JUMBF boxes, in which C2PA manifests are stored.
const APP1: u8 = 0xE1;
const APP2: u8 = 0xE2;
const APP11: u8 = 0xEB;

/// What the markers of a JPEG show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Markers {
    /// Components of the frame: 1 grey, 3 colour, 4 CMYK; 0 without a frame header.
    pub(super) components: u8,
    /// The marker of the frame header, 0 without one, and its bits for each sample.
    process: [u8; 2],
    /// Whether there is a colour profile, readable or not.
    pub(super) has_profile: bool,
    /// Whether there is a C2PA manifest.
    pub(super) is_signed: bool,
    /// EXIF, XMP and comments.
    pub(super) found: Found,
}

/// Scans the segments up to the first scan. It stops at damaged segments without an error, since the decoder rejects them.
pub(super) fn markers(bytes: &[u8]) -> Markers {
    let mut found = Markers::default();
    let mut position = 2;
    while let Some(&[0xFF, marker]) = bytes.get(position..position + 2) {
        if marker == 0xFF {
            position += 1; // fill byte
            continue;
        }
        if has_no_length(marker) {
            position += 2;
            continue;
        }
        let Some(&[high, low]) = bytes.get(position + 2..position + 4) else {
            break;
        };
        if is_frame_header(marker) {
            found.process = [marker, bytes.get(position + 4).copied().unwrap_or(0)];
            found.components = bytes.get(position + 9).copied().unwrap_or(0);
        }
        let end = position + 2 + usize::from(u16::from_be_bytes([high, low]));
        let content = bytes.get(position + 4..end).unwrap_or_default();
        found.has_profile |= marker == APP2 && content.starts_with(b"ICC_PROFILE\0");
        match marker {
            APP1 => found.found.add_segment(content),
            COMMENT => found.found.add_comment(content),
            _ => {}
        }
        found.is_signed |= marker == APP11
            && content.starts_with(b"JP")
            && content.windows(4).any(|label| label == b"c2pa");
        position = end;
        if marker == START_OF_SCAN {
            break;
        }
    }
    found
}

impl Markers {
    /// Returns the process of a JPEG that no decoder here reads.
    pub(super) fn other_kind(&self) -> Option<&'static str> {
        match self.process {
            [0xC0..=0xC2, 12] => Some("12 bits for each sample"),
            [0xC3, _] => Some("lossless"),
            [0xC5..=0xC7, _] => Some("hierarchical"),
            [0xC9..=0xCF, _] => Some("arithmetic coding"),
            _ => None,
        }
    }
}

fn has_no_length(marker: u8) -> bool {
    matches!(marker, 0x01 | 0xD0..=0xD8)
}

/// Returns whether a marker is SOF0 to SOF15, whose range contains DHT (C4), JPG (C8) and DAC (CC) as well.
fn is_frame_header(marker: u8) -> bool {
    matches!(marker, 0xC0..=0xCF) && !matches!(marker, 0xC4 | 0xC8 | 0xCC)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME_WITH_FOUR: [u8; 12] = [
        0xFF, 0xD8, 0xFF, 0xC0, 0x00, 0x14, 0x08, 0x00, 0x40, 0x00, 0x40, 0x04,
    ];

    #[test]
    fn components_are_read_from_the_frame_header() {
        assert_eq!(
            markers(&FRAME_WITH_FOUR),
            Markers {
                components: 4,
                process: [0xC0, 8],
                ..Markers::default()
            }
        );
    }

    #[test]
    fn truncated_files_do_not_panic() {
        for length in 0..FRAME_WITH_FOUR.len() {
            markers(&FRAME_WITH_FOUR[..length]);
        }
    }
}
