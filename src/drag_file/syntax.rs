//! The JSON syntax of a drag file: from bytes to a tree of values with their places, or to the first syntax error.

use std::borrow::Cow;

use jsonc_parser::ast::Value;
use jsonc_parser::{CollectOptions, ParseOptions};
use serde::de::IgnoredAny;

use super::MAX_BYTES;
use crate::error::{DragFileFault, ErrorKind, SourceText};
use crate::files::content::{self, Content};

/// Maximum nesting of brackets, which protects the parsers' stack.
const MAX_DEPTH: usize = 128;

/// Returns the fault of a file with more than [`MAX_BYTES`].
pub(super) fn too_large() -> DragFileFault {
    let message = format!("the file has more than {} MiB", MAX_BYTES >> 20);
    let hint = Some("use mask pictures for large areas".into());
    SourceText::new("").fault(
        ErrorKind::InstructionTooLarge,
        String::new(),
        0..0,
        message,
        hint,
    )
}

/// Returns the text of a file, which may have a byte order mark or be UTF-16.
pub(super) fn text(bytes: &[u8]) -> Result<Cow<'_, str>, Vec<DragFileFault>> {
    if let Some(
        found @ (Content::Picture(_)
        | Content::LfsPointer
        | Content::WebPage
        | Content::Pickle
        | Content::Zip),
    ) = Content::of(bytes)
    {
        let hint = match found {
            Content::Picture(_) => {
                "the picture comes first and the drag file after `--drag`: `dragnext edit cat.png --drag cat.json`"
            }
            Content::LfsPointer => "`git lfs pull` in its folder gets the file itself",
            _ => "give the drag file, a JSON file",
        };
        let message = format!("not a drag file: the file is {}", found.phrase());
        let fault = SourceText::new("").fault(
            ErrorKind::InstructionSyntax,
            String::new(),
            0..0,
            message,
            Some(hint.into()),
        );
        return Err(vec![fault]);
    }
    content::text(bytes).map_err(|place| {
        let content = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let offset = place - (bytes.len() - content.len());
        let message = format!(
            "the file is not UTF-8: byte {place} is 0x{:02x}",
            bytes[place.min(bytes.len() - 1)]
        );
        // The shown text has a replacement character in place of the wrong byte.
        let shown = SourceText::new(&String::from_utf8_lossy(content));
        let span = if content.starts_with(b"\xff\xfe") || content.starts_with(b"\xfe\xff") {
            0..0
        } else {
            offset..offset + char::REPLACEMENT_CHARACTER.len_utf8()
        };
        vec![shown.fault(
            ErrorKind::InstructionNotUtf8,
            String::new(),
            span,
            message,
            Some("save the file as UTF-8".into()),
        )]
    })
}

/// Parses the text. `serde_json` checks it first, since its messages are better; `jsonc_parser` then keeps the places of values.
pub(super) fn syntax(source: &SourceText) -> Result<Value<'_>, Vec<DragFileFault>> {
    let fault = |offset, message: String| {
        let span = source.word(offset);
        let hint = hint(source.text().split_at(offset)).map(Into::into);
        vec![source.fault(
            ErrorKind::InstructionSyntax,
            String::new(),
            span,
            message,
            hint,
        )]
    };
    if let Some(offset) = too_deep(source.text()) {
        return Err(fault(
            offset,
            format!("recursion limit exceeded: more than {MAX_DEPTH} brackets are open"),
        ));
    }
    if let Err(error) = serde_json::from_str::<IgnoredAny>(source.text()) {
        let message = error.to_string();
        let reason = message
            .rsplit_once(" at line ")
            .map_or(&*message, |(reason, _)| reason);
        let end = source.text().trim_end().len();
        return Err(match reason.strip_prefix("EOF while parsing ") {
            Some("a value") if end == 0 => fault(source.text().len(), "the file is empty".into()),
            Some("a value") => fault(
                end,
                "not JSON: the file ends where a value is expected".into(),
            ),
            Some(inside) => fault(end, format!("not JSON: the file ends inside {inside}")),
            None => fault(
                source.offset(error.line(), error.column()),
                format!("not JSON: {reason}"),
            ),
        });
    }
    let strict = ParseOptions {
        allow_comments: false,
        allow_loose_object_property_names: false,
        allow_trailing_commas: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    match jsonc_parser::parse_to_ast(source.text(), &CollectOptions::default(), &strict) {
        Ok(parsed) => parsed
            .value
            .ok_or_else(|| fault(0, "the file is empty".into())),
        Err(error) => Err(fault(
            error.range().start,
            format!("not JSON: {}", error.kind().to_string().to_lowercase()),
        )),
    }
}

/// Returns a hint for common mistakes of writers who are used to more lenient formats.
fn hint((before, after): (&str, &str)) -> Option<&'static str> {
    match after.chars().next() {
        Some('/' | '#') => Some("JSON has no comments; use a key named `comment`"),
        Some('\'') => Some("JSON strings need double quotes"),
        Some('}' | ']') if before.trim_end().ends_with(',') => {
            Some("remove the comma before this bracket")
        }
        None if before.trim_end().is_empty() => {
            Some("`dragnext new IMAGE` writes a drag file to start from")
        }
        _ => None,
    }
}

/// Returns the offset of the first bracket that is nested too deeply.
fn too_deep(text: &str) -> Option<usize> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    text.bytes().position(|byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > MAX_DEPTH
    })
}
