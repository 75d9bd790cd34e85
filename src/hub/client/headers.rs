//! Values of response headers.

use ureq::http::header::CONTENT_RANGE;
use ureq::http::{HeaderMap, HeaderName};

/// The hub's `ETag` of a file that is stored on another host.
pub(super) const LINKED_ETAG: HeaderName = HeaderName::from_static("x-linked-etag");
/// The length of such a file.
pub(super) const LINKED_SIZE: HeaderName = HeaderName::from_static("x-linked-size");
/// The hub's name of an error.
pub(super) const ERROR_CODE: HeaderName = HeaderName::from_static("x-error-code");

/// Reads the hub's name of a content, which becomes a file name; `None` if it contains other characters than letters, digits, `-` and `_`.
pub(super) fn content_name(headers: &HeaderMap, header: &HeaderName) -> Option<String> {
    let text = headers.get(header)?.to_str().ok()?.trim();
    let name = text.strip_prefix("W/").unwrap_or(text).trim_matches('"');
    let harmless = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    (harmless && !name.is_empty() && name.len() <= 128).then(|| name.to_owned())
}

pub(super) fn number(headers: &HeaderMap, header: &HeaderName) -> Option<u64> {
    headers.get(header)?.to_str().ok()?.trim().parse().ok()
}

/// Reads the offset of the first byte from the `Content-Range` of a 206 response.
pub(super) fn range_start(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(CONTENT_RANGE)?
        .to_str()
        .ok()?
        .trim()
        .strip_prefix("bytes ")?
        .split('-')
        .next()?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use ureq::http::header::ETAG;

    use super::*;

    fn headers(name: &HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name.clone(), value.parse().expect("a header"))])
    }

    #[test]
    fn content_names_cannot_leave_their_folder() {
        let read = |value| content_name(&headers(&ETAG, value), &ETAG);
        assert_eq!(read("\"abc-1\"").as_deref(), Some("abc-1"));
        assert_eq!(read("W/\"abc\"").as_deref(), Some("abc"));
        for hostile in ["\"../../x\"", "\"a/b\"", "\"\"", "\".\"", "a b"] {
            assert_eq!(read(hostile), None, "{hostile}");
        }
    }

    #[test]
    fn the_start_of_a_range_is_read() {
        let read = |value| range_start(&headers(&CONTENT_RANGE, value));
        assert_eq!(read("bytes 100-199/200"), Some(100));
        assert_eq!(read("bytes */200"), None);
    }
}
