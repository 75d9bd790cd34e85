//! Reads the note on how a picture was made from its PNG.
//!
//! The file is not trusted. Its chunks are scanned without decoding pixels, and only the chunk of the note is read: it may have
//! up to 16 MiB, compressed or not, and its checksum must be correct.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::Crc;
use flate2::read::ZlibDecoder;

use super::KEYWORD;
use crate::error::{Error, ErrorKind, Result};

/// The first bytes of every PNG.
const SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";
/// Largest note in bytes, as large as the largest drag file.
const MAX_NOTE: u64 = 16 << 20;

const DAMAGED: &str =
    "the picture is truncated or was changed by another program; its pixels may still be valid";

/// Returns the text of the note inside the PNG at `path`.
///
/// # Errors
/// [`Error::File`] if the file cannot be read; [`Error::Report`] `show.not_png`, `show.no_report` or `show.damaged`.
pub fn read_note(path: &Path) -> Result<String> {
    let failed = |source| Error::File {
        path: path.to_path_buf(),
        source,
    };
    // Opening a pipe would block until another program writes to it.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(failed(std::io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        )));
    }
    let mut file = BufReader::new(File::open(path).map_err(failed)?);
    find(&mut file).map_err(|error| match error {
        NoteError::File(source) => failed(source),
        NoteError::Report { kind, reason, hint } => Error::Report {
            path: path.to_path_buf(),
            kind,
            reason,
            hint: hint.into(),
        },
    })
}

/// Why the note cannot be read.
#[derive(Debug)]
enum NoteError {
    File(std::io::Error),
    Report {
        kind: ErrorKind,
        reason: String,
        hint: &'static str,
    },
}

impl NoteError {
    fn damaged(reason: impl Into<String>) -> Self {
        Self::Report {
            kind: ErrorKind::ShowDamaged,
            reason: reason.into(),
            hint: DAMAGED,
        }
    }

    fn no_report() -> Self {
        Self::Report {
            kind: ErrorKind::ShowNoReport,
            reason: "has no report of how it was made".into(),
            hint: "`dragnext edit` writes a report into its PNGs, unless `--no-metadata` is given; other programs may remove it",
        }
    }
}

impl From<std::io::Error> for NoteError {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            Self::damaged("the file ends before the picture does")
        } else {
            Self::File(error)
        }
    }
}

fn find(file: &mut (impl Read + Seek)) -> std::result::Result<String, NoteError> {
    check_signature(file)?;
    let end = file.seek(SeekFrom::End(0))?;
    let mut place = file.seek(SeekFrom::Start(SIGNATURE.len() as u64))?;
    loop {
        let mut header = [0; 8];
        file.read_exact(&mut header)?;
        let [length, kind] =
            [0, 4].map(|at| [header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let length = u64::from(u32::from_be_bytes(length));
        place += 12 + length;
        if place > end {
            return Err(NoteError::damaged("the file ends before the picture does"));
        }
        match &kind {
            b"IEND" => return Err(NoteError::no_report()),
            b"iTXt" => {
                let mut data = vec![0; length.min(MAX_NOTE) as usize];
                file.read_exact(&mut data)?;
                if let Some(note) = data
                    .strip_prefix(KEYWORD.as_bytes())
                    .and_then(|rest| rest.strip_prefix(b"\0"))
                {
                    if length > MAX_NOTE {
                        return Err(too_long());
                    }
                    let mut checksum = [0; 4];
                    file.read_exact(&mut checksum)?;
                    let mut crc = Crc::new();
                    crc.update(&kind);
                    crc.update(&data);
                    if crc.sum() != u32::from_be_bytes(checksum) {
                        return Err(NoteError::damaged("the report has a wrong checksum"));
                    }
                    return text(note);
                }
            }
            _ => {}
        }
        file.seek(SeekFrom::Start(place))?;
    }
}

fn check_signature(file: &mut impl Read) -> std::result::Result<(), NoteError> {
    let mut start = Vec::new();
    file.take(64).read_to_end(&mut start)?;
    if start.starts_with(&SIGNATURE) {
        return Ok(());
    }
    let reason = match image::guess_format(&start) {
        Ok(format) => format!(
            "is a {} file",
            format
                .extensions_str()
                .first()
                .unwrap_or(&"picture")
                .to_uppercase()
        ),
        Err(_) => "is not a PNG".into(),
    };
    Err(NoteError::Report {
        kind: ErrorKind::ShowNotPng,
        reason,
        hint: "only PNGs written by `dragnext edit` have a report of how they were made",
    })
}

/// Returns the text of an iTXt chunk, given the bytes after its keyword: two bytes for the compression, two strings for the
/// language, and the text.
fn text(chunk: &[u8]) -> std::result::Result<String, NoteError> {
    let not_a_text = || NoteError::damaged("the report is not a text chunk");
    let [is_compressed, method, rest @ ..] = chunk else {
        return Err(not_a_text());
    };
    let mut parts = rest.splitn(3, |byte| *byte == 0);
    let (Some(_), Some(_), Some(text)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(not_a_text());
    };
    let mut bytes = Vec::new();
    match (is_compressed, method) {
        (0, _) => bytes.extend_from_slice(text),
        (1, 0) => {
            let read = ZlibDecoder::new(text)
                .take(MAX_NOTE + 1)
                .read_to_end(&mut bytes);
            read.map_err(|error| {
                NoteError::damaged(format!("the report cannot be decompressed: {error}"))
            })?;
        }
        _ => return Err(not_a_text()),
    }
    if bytes.len() as u64 > MAX_NOTE {
        return Err(too_long());
    }
    String::from_utf8(bytes).map_err(|_| NoteError::damaged("the report is not UTF-8"))
}

fn too_long() -> NoteError {
    NoteError::damaged(format!("the report is longer than {} MiB", MAX_NOTE >> 20))
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use flate2::Compression;
    use flate2::write::ZlibEncoder;
    use proptest::prelude::*;

    use super::*;

    fn chunk(kind: [u8; 4], data: &[u8]) -> Vec<u8> {
        let mut crc = Crc::new();
        crc.update(&kind);
        crc.update(data);
        [
            &(data.len() as u32).to_be_bytes(),
            kind.as_slice(),
            data,
            &crc.sum().to_be_bytes(),
        ]
        .concat()
    }

    /// A file of chunks with `data` as its text chunk.
    fn file(data: &[u8]) -> Vec<u8> {
        let text = chunk(*b"iTXt", data);
        [
            &SIGNATURE,
            &*chunk(*b"IHDR", &[0; 13]),
            &*chunk(*b"iTXt", b"Comment\0\0\0\0\0dragnext"),
            &*text,
            &*chunk(*b"IEND", b""),
        ]
        .concat()
    }

    fn find_in(bytes: &[u8]) -> std::result::Result<String, (ErrorKind, String)> {
        find(&mut Cursor::new(bytes)).map_err(|error| match error {
            NoteError::File(error) => panic!("bytes in memory can be read: {error}"),
            NoteError::Report { kind, reason, .. } => (kind, reason),
        })
    }

    fn compressed(text: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(b"dragnext\0\x01\0\0\0".to_vec(), Compression::best());
        encoder
            .write_all(text)
            .expect("writing to a vector succeeds");
        encoder.finish().expect("writing to a vector succeeds")
    }

    #[test]
    fn the_note_is_found_plain_and_compressed() {
        assert_eq!(find_in(&file(b"dragnext\0\0\0\0\0{}")).as_deref(), Ok("{}"));
        assert_eq!(
            find_in(&file("dragnext\0\0\0en\0édition\0{ }".as_bytes())).as_deref(),
            Ok("{ }")
        );
        assert_eq!(
            find_in(&file(&compressed(b"{\"v\":1}"))).as_deref(),
            Ok("{\"v\":1}")
        );
    }

    #[test]
    fn files_without_a_valid_note_have_the_right_kind() {
        let kind = |bytes: &[u8]| find_in(bytes).expect_err("there is no note").0;
        assert_eq!(
            kind(&file(b"dragnextra\0\0\0\0\0{}")),
            ErrorKind::ShowNoReport
        );
        assert_eq!(kind(b"\xff\xd8\xff\xe0\0\x10JFIF\0"), ErrorKind::ShowNotPng);
        assert_eq!(kind(b""), ErrorKind::ShowNotPng);
        assert_eq!(
            find_in(b"\xff\xd8\xff\xe0\0\x10JFIF\0")
                .expect_err("a JPEG")
                .1,
            "is a JPG file"
        );
        for data in [
            &b"dragnext\0"[..],
            b"dragnext\0\0",
            b"dragnext\0\0\0en",
            b"dragnext\0\x02\0\0\0{}",
            b"dragnext\0\0\0\0\0\xff",
        ] {
            assert_eq!(kind(&file(data)), ErrorKind::ShowDamaged, "{data:?}");
        }
        assert_eq!(
            kind(&file(b"dragnext\0\x01\0\0\0{}")),
            ErrorKind::ShowDamaged,
            "it claims to be compressed, and is not"
        );
    }

    /// Neither a small chunk that decompresses to much data nor a chunk with a huge length takes much memory.
    #[test]
    fn a_note_cannot_be_a_decompression_bomb() {
        let bomb = file(&compressed(&vec![b' '; (MAX_NOTE + 1) as usize]));
        assert!(bomb.len() < 1 << 17, "{} bytes", bomb.len());
        assert_eq!(
            find_in(&bomb),
            Err((
                ErrorKind::ShowDamaged,
                "the report is longer than 16 MiB".into()
            ))
        );
        let mut claim = file(b"dragnext\0\0\0\0\0{}");
        let text = claim
            .windows(12)
            .position(|window| window == b"iTXtdragnext")
            .expect("the chunk is there");
        claim[text - 4..text].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(
            find_in(&claim),
            Err((
                ErrorKind::ShowDamaged,
                "the file ends before the picture does".into()
            ))
        );
    }

    proptest! {
        /// A note that is found in a damaged file is the one that was written, because its checksum is correct.
        #[test]
        fn a_damaged_file_gives_the_note_or_an_error(place in 0_usize..200, value: u8, cut in 0_usize..400) {
            let note = "{\"v\":1,\"job\":\"0123456789abcdef\"}";
            let whole = file(format!("dragnext\0\0\0\0\0{note}").as_bytes());
            let mut changed = whole.clone();
            let place = place % whole.len();
            changed[place] = value;
            changed.truncate(cut.max(1));
            if let Ok(found) = find_in(&changed) {
                prop_assert_eq!(found, note);
            }
        }
    }
}
