//! Finds the note that an edit left inside a PNG.
//!
//! The file comes from anywhere. Its chunks are walked without decoding any pixel, and only the note's own chunk is kept: it
//! may have 16 MiB, packed or not, and its checksum must hold.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::Crc;
use flate2::read::ZlibDecoder;

use super::KEYWORD;
use crate::error::{Error, ErrorKind, Result};

/// The first bytes of every PNG.
const SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";
/// Longest note that is read; a drag file may have as much.
const MAX_NOTE: u64 = 16 << 20;

const DAMAGED: &str =
    "the picture is cut or was changed by another program; its pixels may still be good";

/// The note inside the PNG at `path`, as the text that stands there.
///
/// # Errors
/// [`Error::File`] when it cannot be read; [`Error::Report`] `show.not_png`, `show.no_report` or `show.damaged`.
pub fn read_note(path: &Path) -> Result<String> {
    let failed = |source| Error::File {
        path: path.to_path_buf(),
        source,
    };
    // Opening a pipe would wait for somebody to write into it.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(failed(std::io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        )));
    }
    let mut file = BufReader::new(File::open(path).map_err(failed)?);
    find(&mut file).map_err(|missing| match missing {
        Missing::File(source) => failed(source),
        Missing::Report { kind, reason, hint } => Error::Report {
            path: path.to_path_buf(),
            kind,
            reason,
            hint: hint.into(),
        },
    })
}

/// Why there is no note.
#[derive(Debug)]
enum Missing {
    File(std::io::Error),
    Report {
        kind: ErrorKind,
        reason: String,
        hint: &'static str,
    },
}

impl Missing {
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
            reason: "says nothing about how it was made".into(),
            hint: "`dragnext edit` leaves a report in the PNGs it writes, unless `--no-metadata` is given; other programs may drop it",
        }
    }
}

impl From<std::io::Error> for Missing {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            Self::damaged("the file ends before the picture does")
        } else {
            Self::File(error)
        }
    }
}

fn find(file: &mut (impl Read + Seek)) -> std::result::Result<String, Missing> {
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
            return Err(Missing::damaged("the file ends before the picture does"));
        }
        match &kind {
            b"IEND" => return Err(Missing::no_report()),
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
                        return Err(Missing::damaged("the report's checksum does not hold"));
                    }
                    return text(note);
                }
            }
            _ => {}
        }
        file.seek(SeekFrom::Start(place))?;
    }
}

fn check_signature(file: &mut impl Read) -> std::result::Result<(), Missing> {
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
        Err(_) => "is no PNG".into(),
    };
    Err(Missing::Report {
        kind: ErrorKind::ShowNotPng,
        reason,
        hint: "only the PNGs that `dragnext edit` writes say how they were made",
    })
}

/// The text of an iTXt chunk, from behind its keyword: two bytes about its packing, two words about its language, the text.
fn text(chunk: &[u8]) -> std::result::Result<String, Missing> {
    let not_a_text = || Missing::damaged("the report is no text chunk");
    let [packed, method, rest @ ..] = chunk else {
        return Err(not_a_text());
    };
    let mut parts = rest.splitn(3, |byte| *byte == 0);
    let (Some(_), Some(_), Some(text)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(not_a_text());
    };
    let mut bytes = Vec::new();
    match (packed, method) {
        (0, _) => bytes.extend_from_slice(text),
        (1, 0) => {
            let read = ZlibDecoder::new(text)
                .take(MAX_NOTE + 1)
                .read_to_end(&mut bytes);
            read.map_err(|error| {
                Missing::damaged(format!("the report cannot be unpacked: {error}"))
            })?;
        }
        _ => return Err(not_a_text()),
    }
    if bytes.len() as u64 > MAX_NOTE {
        return Err(too_long());
    }
    String::from_utf8(bytes).map_err(|_| Missing::damaged("the report is not UTF-8"))
}

fn too_long() -> Missing {
    Missing::damaged(format!("the report is longer than {} MiB", MAX_NOTE >> 20))
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
        find(&mut Cursor::new(bytes)).map_err(|missing| match missing {
            Missing::File(error) => panic!("bytes in memory can be read: {error}"),
            Missing::Report { kind, reason, .. } => (kind, reason),
        })
    }

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut packer = ZlibEncoder::new(b"dragnext\0\x01\0\0\0".to_vec(), Compression::best());
        packer.write_all(text).expect("a vector takes everything");
        packer.finish().expect("a vector takes everything")
    }

    #[test]
    fn the_note_is_found_plain_and_packed() {
        assert_eq!(find_in(&file(b"dragnext\0\0\0\0\0{}")).as_deref(), Ok("{}"));
        assert_eq!(
            find_in(&file("dragnext\0\0\0en\0édition\0{ }".as_bytes())).as_deref(),
            Ok("{ }")
        );
        assert_eq!(
            find_in(&file(&packed(b"{\"v\":1}"))).as_deref(),
            Ok("{\"v\":1}")
        );
    }

    #[test]
    fn what_is_no_note_of_ours_says_so() {
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
            "it says that it is packed, and is not"
        );
    }

    /// A small chunk that unpacks to a lot, and a chunk that claims a lot: neither takes the memory it asks for.
    #[test]
    fn a_note_cannot_be_a_bomb() {
        let bomb = file(&packed(&vec![b' '; (MAX_NOTE + 1) as usize]));
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
        /// Whatever happens to the file, a note that is found is the one that was written: its checksum says so.
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
