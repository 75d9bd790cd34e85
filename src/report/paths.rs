//! The paths of an edit's files in its record.

use std::path::PathBuf;

use serde::{Serialize, Serializer};

use crate::digest::hexadecimal;

/// The paths of an edit's files, as they were given.
///
/// A path is written as text. If it is not valid Unicode, its bytes are added in hexadecimal: `image_bytes` beside `image`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paths {
    /// The picture.
    pub image: PathBuf,
    /// The drag file.
    pub drag: Option<PathBuf>,
    /// The picture whose report is used instead of a drag file.
    pub like: Option<PathBuf>,
    /// The result.
    pub out: PathBuf,
}

impl Serialize for Paths {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let given = [
            ("image", Some(&self.image)),
            ("drag", self.drag.as_ref()),
            ("like", self.like.as_ref()),
            ("out", Some(&self.out)),
        ];
        let entries = given
            .into_iter()
            .filter_map(|(name, path)| Some((name, path?)))
            .flat_map(|(name, path)| {
                let bytes = path.to_str().is_none().then(|| {
                    (
                        format!("{name}_bytes"),
                        hexadecimal(path.as_os_str().as_encoded_bytes()),
                    )
                });
                [
                    Some((name.to_owned(), path.to_string_lossy().into_owned())),
                    bytes,
                ]
                .into_iter()
                .flatten()
            });
        serializer.collect_map(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unicode_path_is_written_as_text() {
        let paths = Paths {
            image: "é.png".into(),
            drag: Some("d.json".into()),
            like: None,
            out: "o.png".into(),
        };
        let json = serde_json::to_string(&paths).expect("paths are text");
        assert_eq!(json, r#"{"image":"é.png","drag":"d.json","out":"o.png"}"#);
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_is_not_unicode_keeps_its_bytes() {
        use std::os::unix::ffi::OsStringExt;
        let name = PathBuf::from(std::ffi::OsString::from_vec(b"a\xff.png".to_vec()));
        let paths = Paths {
            image: name,
            like: Some("l.png".into()),
            out: "o.png".into(),
            ..Paths::default()
        };
        let json = serde_json::to_string(&paths).expect("paths are text");
        assert_eq!(
            json,
            "{\"image\":\"a\u{fffd}.png\",\"image_bytes\":\"61ff2e706e67\",\"like\":\"l.png\",\"out\":\"o.png\"}"
        );
    }
}
