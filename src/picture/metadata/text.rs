//! Text chunks of PNGs, and the EXIF and XMP data that programs store in them (PNG, third edition, 11.3.3).

use std::io::Read;

use flate2::read::ZlibDecoder;

use super::MAX_BYTES;
use crate::picture::KEYWORD;
use crate::picture::chunks::Chunk;

/// Keyword of an XMP packet (XMP specification, part 3, 1.1.5).
pub(super) const XMP: &str = "XML:com.adobe.xmp";
/// Start of the keywords of profiles as hexadecimal digits, as `ImageMagick` and `ExifTool` write them.
const RAW_PROFILE: &[u8] = b"Raw profile type ";
/// What XMP data in a JPEG begins with, and in a raw profile of the type APP1.
pub(super) const XMP_IN_APP1: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";

/// What a text chunk contains.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// EXIF data.
    Exif(Vec<u8>),
    /// An XMP packet.
    Xmp(Vec<u8>),
    /// Text that the result keeps, with its bytes unpacked. It is copied as it is, so nothing is kept that unpacks to very much.
    Kept(usize),
    /// What holds for the file only: a report of this program, or a colour profile.
    OfFile,
    /// Not a valid chunk, or too large.
    Damaged(&'static str),
}

impl Text {
    /// Reads the content of a `tEXt`, `zTXt` or `iTXt` chunk.
    pub(super) fn of(name: [u8; 4], content: &[u8]) -> Self {
        let Some(end) = content.iter().take(80).position(|byte| *byte == 0) else {
            return Self::Damaged("text");
        };
        let (keyword, rest) = (&content[..end], &content[end + 1..]);
        match keyword {
            b"" => Self::Damaged("text"),
            _ if keyword == KEYWORD.as_bytes() => Self::OfFile,
            _ if keyword == XMP.as_bytes() => {
                text(name, rest).map_or(Self::Damaged("XMP data"), Self::Xmp)
            }
            _ => match keyword.strip_prefix(RAW_PROFILE) {
                Some(kind) => Self::of_profile(kind, name, rest),
                None => {
                    text(name, rest).map_or(Self::Damaged("text"), |text| Self::Kept(text.len()))
                }
            },
        }
    }

    fn of_profile(kind: &[u8], name: [u8; 4], rest: &[u8]) -> Self {
        let what = match kind {
            b"exif" | b"EXIF" | b"APP1" | b"app1" => "EXIF data",
            b"xmp" | b"XMP" => "XMP data",
            b"icc" | b"icm" | b"ICC" => return Self::OfFile,
            _ => {
                return text(name, rest)
                    .map_or(Self::Damaged("text"), |text| Self::Kept(text.len()));
            }
        };
        let Some(profile) = text(name, rest).and_then(|text| hexadecimal(&text)) else {
            return Self::Damaged(what);
        };
        match profile.strip_prefix(XMP_IN_APP1) {
            Some(packet) => Self::Xmp(packet.to_vec()),
            None if what == "XMP data" => Self::Xmp(profile),
            None => Self::Exif(profile),
        }
    }
}

/// Returns whether what follows a keyword has the form of its chunk.
fn has_header(name: [u8; 4], rest: &[u8]) -> bool {
    match &name {
        b"zTXt" => rest.first() == Some(&0),
        b"iTXt" => {
            matches!(rest, [0, _, ..] | [1, 0, ..])
                && rest[2..].splitn(3, |byte| *byte == 0).nth(2).is_some()
        }
        _ => true,
    }
}

/// Returns the text of a chunk, decompressed, from what follows its keyword; `None` when it is damaged or too large.
fn text(name: [u8; 4], rest: &[u8]) -> Option<Vec<u8>> {
    if !has_header(name, rest) {
        return None;
    }
    let (is_compressed, text) = match &name {
        b"zTXt" => (true, &rest[1..]),
        b"iTXt" => (rest[0] == 1, rest[2..].splitn(3, |byte| *byte == 0).nth(2)?),
        _ => (false, rest),
    };
    let mut bytes = Vec::new();
    if is_compressed {
        let limited = &mut ZlibDecoder::new(text).take(MAX_BYTES as u64 + 1);
        limited.read_to_end(&mut bytes).ok()?;
    } else {
        bytes.extend(text);
    }
    (bytes.len() <= MAX_BYTES).then_some(bytes)
}

/// Returns the bytes of a raw profile: a line break, a name, its length in bytes, and its hexadecimal digits in lines.
fn hexadecimal(text: &[u8]) -> Option<Vec<u8>> {
    let mut words = text
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    let _name = words.next()?;
    let length: usize = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
    let digit = |byte: &u8| char::from(*byte).to_digit(16).map(|digit| digit as u8);
    let digits: Option<Vec<u8>> = words.flatten().map(digit).collect();
    let bytes: Vec<u8> = digits?
        .chunks_exact(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect();
    (bytes.len() == length).then_some(bytes)
}

/// Returns an `iTXt` chunk, which is not compressed.
pub(super) fn international(keyword: &str, text: &str) -> Chunk {
    let content = [keyword.as_bytes(), b"\0\0\0\0\0", text.as_bytes()].concat();
    (*b"iTXt", content)
}

/// Returns the chunk of a JPEG's comment: `iTXt` for UTF-8, else `tEXt` in Latin-1. Zero bytes, which end some comments, are left out.
pub(super) fn comment(text: &[u8]) -> Option<Chunk> {
    let text: Vec<u8> = text.iter().copied().filter(|byte| *byte != 0).collect();
    if text.is_empty() {
        return None;
    }
    Some(match std::str::from_utf8(&text) {
        Ok(text) if !text.is_ascii() => international("Comment", text),
        _ => (*b"tEXt", [&b"Comment\0"[..], &text].concat()),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;

    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder
            .write_all(bytes)
            .expect("writing to a vector succeeds");
        encoder.finish().expect("writing to a vector succeeds")
    }

    #[test]
    fn raw_profiles_are_read_in_every_chunk() {
        let profile = b"\nexif\n       8\n4d4d\n002a00\n000008\n";
        let keyword = b"Raw profile type exif\0";
        let exif = Text::Exif(b"MM\0\x2A\0\0\0\x08".to_vec());
        for (name, head, text) in [
            (b"tEXt", &b""[..], profile.to_vec()),
            (b"zTXt", b"\0", packed(profile)),
            (b"iTXt", b"\0\0\0\0", profile.to_vec()),
            (b"iTXt", b"\x01\0en\0\0", packed(profile)),
        ] {
            let content = [keyword, head, &text].concat();
            assert_eq!(Text::of(*name, &content), exif);
        }
        let xmp = [XMP_IN_APP1, b"<x/>"].concat();
        let digits: Vec<String> = xmp.iter().map(|byte| format!("{byte:02X}")).collect();
        let content = format!(
            "Raw profile type APP1\0\nAPP1\n{}\n{}",
            xmp.len(),
            digits.concat()
        );
        assert_eq!(
            Text::of(*b"tEXt", content.as_bytes()),
            Text::Xmp(b"<x/>".to_vec())
        );
    }

    #[test]
    fn chunks_are_told_apart() {
        for (name, content, expected) in [
            (b"tEXt", &b"Comment\0hello"[..], Text::Kept(5)),
            (b"tEXt", b"parameters\0a cat", Text::Kept(5)),
            (
                b"iTXt",
                b"XML:com.adobe.xmp\0\0\0\0\0<x/>",
                Text::Xmp(b"<x/>".to_vec()),
            ),
            (b"iTXt", b"dragnext\0\0\0\0\0{}", Text::OfFile),
            (b"zTXt", b"Raw profile type icc\0\0x", Text::OfFile),
            (b"tEXt", b"\0no keyword", Text::Damaged("text")),
            (b"tEXt", b"no end", Text::Damaged("text")),
            (b"zTXt", b"Title\0\x07x", Text::Damaged("text")),
            (b"iTXt", b"Title\0\0\0en", Text::Damaged("text")),
            (
                b"zTXt",
                b"Raw profile type exif\0\0x",
                Text::Damaged("EXIF data"),
            ),
            (
                b"tEXt",
                b"Raw profile type exif\0\nexif\n9\n4d4d",
                Text::Damaged("EXIF data"),
            ),
        ] {
            assert_eq!(
                Text::of(*name, content),
                expected,
                "{}",
                content.escape_ascii()
            );
        }
    }

    #[test]
    fn a_small_chunk_cannot_become_much_memory() {
        let content = [
            &b"XML:com.adobe.xmp\0\x01\0\0\0"[..],
            &packed(&vec![b' '; MAX_BYTES + 1]),
        ]
        .concat();
        assert!(content.len() < 1 << 17);
        assert_eq!(Text::of(*b"iTXt", &content), Text::Damaged("XMP data"));
    }

    #[test]
    fn comments_keep_their_characters() {
        assert_eq!(
            comment(b"plain\0"),
            Some((*b"tEXt", b"Comment\0plain".to_vec()))
        );
        assert_eq!(
            comment(b"caf\xE9"),
            Some((*b"tEXt", b"Comment\0caf\xE9".to_vec()))
        );
        let (name, content) = comment("café".as_bytes()).expect("there is text");
        assert_eq!(
            (&name, content.ends_with("café".as_bytes())),
            (b"iTXt", true)
        );
        assert_eq!(comment(b"\0"), None);
    }
}
