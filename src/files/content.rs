//! What a file really is, whatever its name says, and the text of files that programs of other systems wrote.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Bytes that are enough to recognise a file.
pub(crate) const RECOGNISABLE: usize = 512;

/// A kind of file that is often given in place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// The place holder that Git LFS leaves for a large file.
    LfsPointer,
    /// A web page, such as an error page that was saved under the name of a download.
    WebPage,
    /// A pickle of PyTorch, plain or in a zip archive.
    Pickle,
    /// Any other zip archive.
    Zip,
    /// A JSON object or list.
    Json,
    /// A picture in a format of this name; `video` and `camera raw` stand for several.
    Picture(&'static str),
    /// Only zeros, as a download that reserves its place before it begins.
    Zeros,
}

impl Content {
    /// Recognises a file by its first bytes, of which [`RECOGNISABLE`] are enough; `None` for any other file.
    pub(crate) fn of(start: &[u8]) -> Option<Self> {
        let start = &start[..start.len().min(RECOGNISABLE)];
        if start.starts_with(b"version https://git-lfs.github.com/spec/") {
            return Some(Self::LfsPointer);
        }
        if let Some(name) = picture(start) {
            return Some(Self::Picture(name));
        }
        if start.starts_with(b"PK\x03\x04") {
            // PyTorch's archives begin with the pickle, or with a file that describes them.
            let is_pickle = [
                &b"data.pkl"[..],
                b".format_version",
                b".data/",
                b"byteorder",
            ]
            .iter()
            .any(|part| start.windows(part.len()).any(|found| found == *part));
            return Some(if is_pickle { Self::Pickle } else { Self::Zip });
        }
        // The protocol mark of a pickle.
        if matches!(start, [0x80, 2..=5, ..]) {
            return Some(Self::Pickle);
        }
        if start.len() >= 16 && start.iter().all(|byte| *byte == 0) {
            return Some(Self::Zeros);
        }
        let text = decode_start(start);
        let text = text.trim_start();
        if text.starts_with('{') || text.starts_with('[') {
            return Some(Self::Json);
        }
        if text.starts_with('<') && text.contains("<svg") {
            return Some(Self::Picture("SVG"));
        }
        let tag = text.get(..15).unwrap_or(text).to_ascii_lowercase();
        let is_page = ["<!doctype html", "<html", "<head", "<?xml"]
            .iter()
            .any(|mark| tag.starts_with(mark));
        is_page.then_some(Self::WebPage)
    }

    /// Returns a phrase that completes "the file is".
    pub(crate) fn phrase(self) -> String {
        match self {
            Self::LfsPointer => "a Git LFS pointer, not the file itself".into(),
            Self::WebPage => "a web page, not the file itself".into(),
            Self::Pickle => "a pickle".into(),
            Self::Zip => "a zip archive".into(),
            Self::Json => "JSON".into(),
            Self::Picture("video") => "a video".into(),
            Self::Picture("camera raw") => "a camera's raw picture".into(),
            Self::Picture(name) => format!("a picture ({name})"),
            Self::Zeros => "only zeros, as of a download that did not begin".into(),
        }
    }
}

/// Recognises the file at `path` by its first bytes; `None` also for one that cannot be read.
pub(crate) fn of_file(path: &Path) -> Option<Content> {
    let mut start = Vec::new();
    let file = File::open(path).ok()?;
    file.take(RECOGNISABLE as u64)
        .read_to_end(&mut start)
        .ok()?;
    Content::of(&start)
}

/// Returns the name of the picture format that starts with these bytes.
fn picture(start: &[u8]) -> Option<&'static str> {
    const SIGNATURES: [(&[u8], &str); 24] = [
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"\xff\xd8\xff", "JPEG"),
        (b"GIF8", "GIF"),
        (b"II*\0", "TIFF"),
        (b"MM\0*", "TIFF"),
        (b"\xff\x0a", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\xff\x4f\xff\x51", "JPEG 2000"),
        (b"8BPS", "PSD"),
        (b"gimp xcf", "XCF"),
        (b"v/1\x01", "OpenEXR"),
        (b"#?RADIANCE", "Radiance HDR"),
        (b"#?RGBE", "Radiance HDR"),
        (b"%PDF-", "PDF"),
        (b"%!PS", "PostScript"),
        (b"DDS ", "DDS"),
        (b"qoif", "QOI"),
        (b"\0\0\x01\0", "ICO"),
        (b"FUJIFILMCCD-RAW", "camera raw"),
        (b"IIRO", "camera raw"),
        (b"IIU\0", "camera raw"),
        (b"FOVb", "camera raw"),
        (b"\x1aE\xdf\xa3", "video"),
    ];
    // Canon's raw files are TIFF with a mark of their own. Others are told from TIFF by their tags only.
    if start.starts_with(b"II*\0") && start.get(8..10) == Some(b"CR") {
        return Some("camera raw");
    }
    if let [b'P', b'1'..=b'7', space, ..] = start
        && space.is_ascii_whitespace()
    {
        return Some("PNM");
    }
    let known = SIGNATURES
        .iter()
        .find(|(bytes, _)| start.starts_with(bytes));
    if let Some((_, name)) = known {
        return Some(name);
    }
    if start.starts_with(b"RIFF") && start.get(8..12) == Some(b"WEBP") {
        return Some("WebP");
    }
    // The archives of Krita and of OpenRaster begin with a file that names their type.
    if start.starts_with(b"PK\x03\x04") && start.get(30..38) == Some(b"mimetype") {
        let names = |mime: &[u8]| start.windows(mime.len()).any(|found| found == mime);
        if names(b"application/x-krita") {
            return Some("KRA");
        }
        if names(b"image/openraster") {
            return Some("ORA");
        }
    }
    // ISO base media files name their brand after the word `ftyp`.
    let brand = (start.get(4..8) == Some(b"ftyp")).then(|| start.get(8..12))??;
    match brand {
        b"avif" | b"avis" => Some("AVIF"),
        b"heic" | b"heix" | b"hevc" | b"hevx" | b"heim" | b"heis" | b"mif1" | b"msf1" => {
            Some("HEIC")
        }
        b"crx " => Some("camera raw"),
        b"isom" | b"iso2" | b"mp41" | b"mp42" | b"avc1" | b"qt  " | b"M4V " | b"3gp4" | b"3gp5" => {
            Some("video")
        }
        _ => None,
    }
}

/// Decodes the text of a file: UTF-8, or UTF-16 with its byte order mark, as PowerShell writes it. A byte order mark is left out.
///
/// # Errors
/// The offset of the first byte that is no text.
pub(crate) fn text(bytes: &[u8]) -> Result<Cow<'_, str>, usize> {
    match bytes {
        [0xEF, 0xBB, 0xBF, rest @ ..] => std::str::from_utf8(rest)
            .map(Cow::Borrowed)
            .map_err(|error| error.valid_up_to() + 3),
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
        _ => std::str::from_utf8(bytes)
            .map(Cow::Borrowed)
            .map_err(|error| error.valid_up_to()),
    }
}

fn utf16(bytes: &[u8], unit: impl Fn([u8; 2]) -> u16) -> Result<Cow<'_, str>, usize> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let units = pairs.iter().map(|pair| unit(*pair));
    let mut text = String::with_capacity(pairs.len());
    for letter in char::decode_utf16(units) {
        match letter {
            Ok(letter) => text.push(letter),
            Err(_) => return Err(2 + 2 * text.encode_utf16().count()),
        }
    }
    if rest.is_empty() {
        Ok(Cow::Owned(text))
    } else {
        Err(2 + 2 * pairs.len())
    }
}

/// Decodes the start of a file, which may end inside a letter.
fn decode_start(start: &[u8]) -> Cow<'_, str> {
    let even = &start[..start.len() & !1];
    text(
        if start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") {
            even
        } else {
            start
        },
    )
    .unwrap_or_else(|_| String::from_utf8_lossy(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_recognised_by_their_first_bytes() {
        let cases: [(&[u8], Option<Content>); 24] = [
            (
                b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
                Some(Content::LfsPointer),
            ),
            (b"\n <!DOCTYPE html><html>", Some(Content::WebPage)),
            (b"<html><body>404", Some(Content::WebPage)),
            (b"PK\x03\x04archive/data.pkl", Some(Content::Pickle)),
            (b"PK\x03\x04photos/cat.png", Some(Content::Zip)),
            (
                b"PK\x03\x0412345678901234567890123456mimetypeapplication/x-krita",
                Some(Content::Picture("KRA")),
            ),
            (
                b"<?xml version=\"1.0\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\">",
                Some(Content::Picture("SVG")),
            ),
            (
                b"<?xml version=\"1.0\"?>\n<Error><Code>AccessDenied",
                Some(Content::WebPage),
            ),
            (
                b"II*\0\x10\0\0\0CR\x02\0",
                Some(Content::Picture("camera raw")),
            ),
            (b"II*\0\x08\0\0\0\0\0\0\0", Some(Content::Picture("TIFF"))),
            (b"P6\n3 2\n255\n", Some(Content::Picture("PNM"))),
            (b"\0\0\0\x18ftypmp42", Some(Content::Picture("video"))),
            (b"8BPS\0\x01", Some(Content::Picture("PSD"))),
            (b"Photo P6", None),
            (b"\x80\x02}q\0.", Some(Content::Pickle)),
            (b"\xef\xbb\xbf {\"version\": 1}", Some(Content::Json)),
            (b"\xff\xfe{\0\"\0", Some(Content::Json)),
            (b"\x89PNG\r\n\x1a\n", Some(Content::Picture("PNG"))),
            (b"\0\0\0\x18ftypheic", Some(Content::Picture("HEIC"))),
            (b"\0\0\0\x1cftypavif", Some(Content::Picture("AVIF"))),
            (&[0; 64], Some(Content::Zeros)),
            (b"\x10\x02\0\0\0\0\0\0{\"__metadata__\"", None),
            (b"", None),
            (b"#EXTM3U", None),
        ];
        for (start, expected) in cases {
            assert_eq!(Content::of(start), expected, "{start:?}");
        }
    }

    #[test]
    fn text_of_other_systems_is_decoded() {
        let utf16 = |mark: [u8; 2], bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            mark.into_iter()
                .chain("é {}".encode_utf16().flat_map(bytes))
                .collect()
        };
        for bytes in [
            "é {}".into(),
            "\u{feff}é {}".into(),
            utf16([0xFF, 0xFE], u16::to_le_bytes),
            utf16([0xFE, 0xFF], u16::to_be_bytes),
        ] {
            let bytes: Vec<u8> = bytes;
            assert_eq!(text(&bytes).as_deref(), Ok("é {}"), "{bytes:?}");
        }
        assert_eq!(text(b"ab\xff"), Err(2));
        assert_eq!(text(b"\xef\xbb\xbfa\xff"), Err(4));
        assert_eq!(text(b"\xff\xfea\0\x00\xd8"), Err(4));
        assert_eq!(text(b"\xff\xfea\0b"), Err(4));
    }

    #[test]
    fn no_start_of_a_file_causes_a_panic() {
        for length in 0..40 {
            for first in [
                &b"\xff\xfe"[..],
                b"\xfe\xff",
                b"RIFF1234WEBP",
                b"\0\0\0\x20ftyp",
                b"<!",
            ] {
                let mut bytes = first.to_vec();
                bytes.resize(length, 0xD8);
                let _ = (Content::of(&bytes), text(&bytes));
            }
        }
    }
}
