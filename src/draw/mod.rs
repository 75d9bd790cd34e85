//! The page to draw on: one HTML file with a picture inside, in which a browser draws regions and saves a drag file.
//!
//! Takes a picture and, optionally, a drag file to go on with. Returns the page's text. Style and script stand in `page/`, several small files
//! that are joined here. The page loads nothing from elsewhere and its policy forbids it to; text of the picture's name and of the drag file
//! reaches it as data, never as markup.
//!
//! The page knows the rules of drag files on the picture, and which settings each method uses; what else methods other than the default require is
//! left to `dragnext validate`, which the page then names.

mod copy;
mod limits;

use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::drag_file::DragFile;
use crate::mask::Mask;
use crate::picture::Picture;
use crate::plan::read_masks;

/// Marks a page near its beginning.
const MARK: &str = r#"<meta name="generator" content="dragnext draw">"#;
/// The document, with places for the policy, the style, the data and the script.
const DOCUMENT: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/style.css");
/// The script's files in the order in which they are joined.
const SCRIPTS: [&str; 18] = [
    include_str!("page/start.js"),
    include_str!("page/geometry.js"),
    include_str!("page/shape.js"),
    include_str!("page/mask.js"),
    include_str!("page/document.js"),
    include_str!("page/frame.js"),
    include_str!("page/rules.js"),
    include_str!("page/picture_rules.js"),
    include_str!("page/warp.js"),
    include_str!("page/view.js"),
    include_str!("page/grips.js"),
    include_str!("page/paint.js"),
    include_str!("page/gestures.js"),
    include_str!("page/brush.js"),
    include_str!("page/keyboard.js"),
    include_str!("page/element.js"),
    include_str!("page/inspector.js"),
    include_str!("page/output.js"),
];
/// Starts the page; it comes last.
const MAIN: &str = include_str!("page/main.js");

/// What a page is made of.
pub(crate) struct DrawPage<'a> {
    /// The picture's name, as it is shown.
    pub(crate) name: &'a str,
    /// The picture.
    pub(crate) picture: &'a Picture,
    /// The drag file to go on with.
    pub(crate) drag: Option<&'a DragFile>,
    /// The name under which the page saves the drag file first.
    pub(crate) file: &'a str,
    /// The command that edits the picture, to which the page adds the saved drag file, the model and the result.
    pub(crate) command: &'a str,
    /// The result of that command with a drag file named like the picture. Those of others have their number.
    pub(crate) result: &'a str,
    /// The model that the command names.
    pub(crate) model: Option<&'a str>,
}

impl DrawPage<'_> {
    /// Returns the page.
    ///
    /// # Errors
    /// Those of the encoders; a picture that was read can always be encoded.
    pub(crate) fn html(&self) -> Result<String, image::ImageError> {
        let script = ["\"use strict\";\n", &SCRIPTS.concat(), MAIN].concat();
        let policy = format!(
            "default-src 'none'; script-src '{}'; style-src '{}'; img-src data: blob:; base-uri 'none'; form-action 'none'",
            policy_hash(&script),
            policy_hash(STYLE)
        );
        // The places are filled from the end, so that no text is searched that was filled in.
        let mut page = DOCUMENT.to_owned();
        for (place, text) in [
            ("{{script}}", script),
            ("{{start}}", script_data(&self.start()?)),
            ("{{style}}", STYLE.to_owned()),
            ("{{policy}}", policy),
        ] {
            if let Some(at) = page.find(place) {
                page.replace_range(at..at + place.len(), &text);
            }
        }
        Ok(page)
    }

    /// Returns the data that the script starts with.
    fn start(&self) -> Result<Value, image::ImageError> {
        let size = self.picture.size();
        let (mut masks, mut faults) = (Map::new(), Vec::new());
        if let Some(drag) = self.drag {
            let (read, refused) = read_masks(drag, &drag.path, size);
            for (pointer, mask) in read {
                masks.insert(pointer, mask_url(&mask)?.into());
            }
            for fault in refused {
                let source: Value = serde_json::from_str(drag.text()).unwrap_or_default();
                faults.push(json!({
                    "pointer": fault.pointer,
                    "kind": fault.kind.name(),
                    "message": fault.message,
                    "hint": fault.hint,
                    "mask": source.pointer(&fault.pointer),
                }));
            }
        }
        Ok(json!({
            "picture": {
                "name": self.name,
                "size": [size.width, size.height],
                "url": copy::url(self.picture)?,
            },
            "file": self.file,
            "first": file_name(Path::new(self.name)),
            "command": self.command,
            "result": self.result,
            "model": self.model,
            "drag": self.drag.map(DragFile::text),
            "masks": masks,
            "faults": faults,
            "limits": limits::limits(),
        }))
    }
}

/// Returns whether a file is a page of this module.
pub(crate) fn is_page(path: &Path) -> bool {
    let mut head = [0; 400];
    let read = std::fs::File::open(path).and_then(|mut file| file.read(&mut head));
    read.is_ok_and(|length| String::from_utf8_lossy(&head[..length]).contains(MARK))
}

/// Returns a mask as the data URL of a grey PNG, white inside.
fn mask_url(mask: &Mask) -> Result<String, image::ImageError> {
    let grey = mask.data.iter().map(|inside| u8::from(*inside) * 255);
    let picture = Picture::from_grey(mask.size(), grey.collect());
    copy::png_url(&picture)
}

/// Returns JSON that can stand in a `script` element: no text in it ends the element or begins a comment.
fn script_data(data: &Value) -> String {
    data.to_string().replace('<', "\\u003c")
}

/// Returns the hash by which the policy admits an inline script or style.
fn policy_hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

/// Returns the name of a picture's first drag file.
fn file_name(image: &Path) -> String {
    let stem = image.file_stem().unwrap_or(image.as_os_str());
    format!("{}.json", stem.to_string_lossy())
}

/// Returns the name under which a page saves the drag file of a picture, after `drag` where it goes on with a drag file: `cat.json`, `cat-2.json`, and so
/// on, the first one that is not beside the picture or that drag file. A browser does not replace files, and an edit with one of that name would be another's.
pub(crate) fn saved_name(image: &Path, drag: Option<&Path>) -> String {
    let first = drag.and_then(Path::file_name).map_or_else(
        || file_name(image),
        |name| name.to_string_lossy().into_owned(),
    );
    let folder = drag.unwrap_or(image).parent().unwrap_or(Path::new(""));
    let (stem, number, extension) = numbered(&first);
    let next = |index: u32| match index {
        0 => first.clone(),
        _ => format!("{stem}-{}{extension}", number + index),
    };
    let mut names = (u32::from(drag.is_some())..MOST_NAMES).map(next);
    let free = names.find(|name| folder.join(name).symlink_metadata().is_err());
    free.unwrap_or(first)
}

/// Names that are tried.
const MOST_NAMES: u32 = 10_000;

/// Splits a file's name into stem, number and extension: `cat-2.json` is `cat`, 2 and `.json`; a name without number is the first.
fn numbered(name: &str) -> (&str, u32, &str) {
    let (stem, extension) = name.rfind('.').map_or((name, ""), |at| name.split_at(at));
    let number = stem.rsplit_once('-').filter(|(_, digits)| {
        (1..=6).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit())
    });
    match number {
        Some((stem, digits)) => (stem, digits.parse().unwrap_or(1), extension),
        None => (stem, 1, extension),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Size;

    fn page(name: &str, drag: Option<&DragFile>) -> String {
        let size = Size::new(64, 64);
        let picture = Picture::from_rgb(size, vec![90; size.area() * 3]);
        let command = format!("dragnext edit '{name}'");
        let page = DrawPage {
            name,
            picture: &picture,
            drag,
            file: "a.json",
            command: &command,
            result: "a.edited.png",
            model: None,
        };
        page.html().expect("a page")
    }

    #[test]
    fn a_name_that_exists_is_not_taken() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let image = at("cat.png");
        assert_eq!(saved_name(&image, None), "cat.json");
        std::fs::write(at("cat.json"), "").expect("written");
        assert_eq!(saved_name(&image, None), "cat-2.json");
        assert_eq!(saved_name(&image, Some(&at("cat.json"))), "cat-2.json");
        std::fs::write(at("cat-3.json"), "").expect("written");
        assert_eq!(saved_name(&image, Some(&at("cat-2.json"))), "cat-4.json");
        assert_eq!(saved_name(&image, Some(&at("turned"))), "turned-2");
        let odd = at("cat-1234567.json");
        assert_eq!(saved_name(&image, Some(&odd)), "cat-1234567-2.json");
    }

    #[test]
    fn hostile_text_is_data() {
        let hostile = "</script><script>alert(1)</script><!-- {{script}} \" ' &amp;";
        let text = json!({
            "version": 1,
            "prompt": hostile,
            "x-note": hostile,
            "regions": [{ "id": hostile, "type": "point", "handle": [9, 9], "target": [20, 9] }],
        });
        let drag = DragFile::parse(text.to_string().as_bytes()).expect("valid");
        let (plain, made) = (page("cat.png", None), page(hostile, Some(&drag)));
        for mark in ["<script", "</script", "<!--"] {
            assert_eq!(
                made.matches(mark).count(),
                plain.matches(mark).count(),
                "{mark}"
            );
        }
        let data = made
            .split_once("id=\"start\">")
            .and_then(|(_, rest)| rest.split_once("</script>"))
            .expect("the data")
            .0;
        let data: Value = serde_json::from_str(data).expect("JSON");
        assert_eq!(data["picture"]["name"], hostile);
        assert_eq!(data["drag"], drag.text());
    }

    #[test]
    fn the_page_refers_to_nothing_elsewhere() {
        let page = page("cat.png", None);
        for word in [
            "http:",
            "https:",
            "//cdn",
            "@import",
            "fetch(",
            "XMLHttpRequest",
            "innerHTML",
            "eval(",
        ] {
            assert!(!page.contains(word), "{word}");
        }
        assert_eq!(page.matches("</script>").count(), 2);
        for place in ["{{policy}}", "{{style}}", "{{start}}", "{{script}}"] {
            assert!(!page.contains(place), "{place}");
        }
    }
}
