//! Reads the arguments of a pickle's instructions.

use super::PickleError;

/// The bytes of a pickle, and the place in them.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where the current instruction starts, for messages.
    start: usize,
}

type Result<T> = std::result::Result<T, PickleError>;

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            start: 0,
        }
    }

    /// Returns an error at the current instruction.
    pub(super) fn damaged(&self, what: impl Into<String>) -> PickleError {
        PickleError::Damaged {
            at: self.start,
            what: what.into(),
        }
    }

    /// Reads the code of the next instruction.
    pub(super) fn instruction(&mut self) -> Result<u8> {
        self.start = self.at;
        self.byte()
    }

    pub(super) fn byte(&mut self) -> Result<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64)?);
        Ok(array)
    }

    /// Reads this many bytes.
    pub(super) fn take(&mut self, count: u64) -> Result<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let count = usize::try_from(count)
            .ok()
            .filter(|count| *count <= rest.len());
        let Some(count) = count else {
            return Err(self.damaged("the file ends inside a value"));
        };
        self.at += count;
        Ok(&rest[..count])
    }

    /// Reads a length of one byte and this many bytes.
    pub(super) fn short(&mut self) -> Result<&'a [u8]> {
        let count = self.byte()?;
        self.take(count.into())
    }

    /// Reads a length of four bytes and this many bytes.
    pub(super) fn long(&mut self) -> Result<&'a [u8]> {
        let count = u32::from_le_bytes(self.array()?);
        self.take(count.into())
    }

    /// Reads a length of eight bytes and this many bytes.
    pub(super) fn huge(&mut self) -> Result<&'a [u8]> {
        let count = u64::from_le_bytes(self.array()?);
        self.take(count)
    }

    /// Reads to the end of the line, without the line break.
    pub(super) fn line(&mut self) -> Result<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            return Err(self.damaged("the file ends inside a line"));
        };
        self.at += end + 1;
        Ok(&rest[..end])
    }

    /// Reads a line of ASCII.
    pub(super) fn word(&mut self) -> Result<&'a str> {
        let line = self.line()?;
        let word = std::str::from_utf8(line)
            .ok()
            .map(|word| word.trim_end_matches('\r'));
        word.ok_or_else(|| self.damaged("a line is not text"))
    }

    /// Reads a number of a line.
    pub(super) fn parsed<T: std::str::FromStr>(&mut self) -> Result<T> {
        let word = self.word()?;
        word.parse()
            .map_err(|_| self.damaged("a number cannot be read"))
    }
}

/// Decodes the quoted text of protocol 0: Python's `repr` of a byte string.
pub(super) fn unquoted(line: &[u8]) -> Option<Vec<u8>> {
    let line = line.trim_ascii();
    let (first, last) = (line.first()?, line.last()?);
    if line.len() < 2 || first != last || !b"'\"".contains(first) {
        return None;
    }
    let (mut rest, mut text) = (&line[1..line.len() - 1], Vec::new());
    while let [byte, more @ ..] = rest {
        rest = more;
        if *byte != b'\\' {
            text.push(*byte);
            continue;
        }
        let [escape, more @ ..] = rest else {
            return None;
        };
        rest = more;
        match escape {
            b'n' => text.push(b'\n'),
            b'r' => text.push(b'\r'),
            b't' => text.push(b'\t'),
            b'x' => {
                let code = std::str::from_utf8(rest.get(..2)?).ok()?;
                text.push(u8::from_str_radix(code, 16).ok()?);
                rest = &rest[2..];
            }
            b'\\' | b'\'' | b'"' => text.push(*escape),
            _ => return None,
        }
    }
    Some(text)
}

/// Decodes Python's `raw-unicode-escape`: Latin-1 with `\uXXXX` and `\UXXXXXXXX`.
pub(super) fn unescaped(line: &[u8]) -> Option<String> {
    let (mut rest, mut text) = (line, String::new());
    while let [byte, more @ ..] = rest {
        let digits = match (byte, more.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => {
                text.push(char::from(*byte));
                rest = more;
                continue;
            }
        };
        let code = std::str::from_utf8(more.get(1..=digits)?).ok()?;
        // A lone surrogate is no character; nothing that is imported needs one.
        text.push(char::from_u32(u32::from_str_radix(code, 16).ok()?)?);
        rest = &more[1 + digits..];
    }
    Some(text)
}
