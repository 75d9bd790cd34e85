//! Recognises data sets of the field and files of annotation tools, which `dragnext import` turns into drag files.
//!
//! Looks at names and at the first level of a file's content, and reads nothing in full that is larger than a drag file may be. It converts
//! nothing; [`crate::import`] does. Commands that are given such a file instead of a drag file or a picture use [`hint`].

#![expect(
    clippy::zero_sized_map_values,
    reason = "serde reads the keys of an object as a map"
)]

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;

/// Largest file in bytes that is read to be recognised.
const MAX_BYTES: u64 = 16 << 20;
/// Number of names in folders after which a folder counts as not recognised.
const MAX_NAMES: usize = 4_000;
/// Depth of folders below the given one that are looked at.
const MAX_DEPTH: usize = 4;

/// A kind of data set or annotation file that can be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// DragBench of DragDiffusion (arXiv 2306.14435).
    DragBench,
    /// DragBench-DR of RegionDrag (arXiv 2407.18247).
    DragBenchDr,
    /// DragBench-SR of RegionDrag, and the set of SDE-Drag that it derives from.
    DragBenchSr,
    /// Drag100 of GoodDrag (arXiv 2404.07206).
    Drag100,
    /// What DragNeXt's page saves (arXiv 2506.07611).
    NextBench,
    /// `ReD Bench` of DragFlow (arXiv 2510.02253).
    RedBench,
    /// labelme.
    Labelme,
    /// COCO annotations.
    Coco,
    /// VGG Image Annotator.
    Via,
    /// Label Studio.
    LabelStudio,
    /// CVAT for images 1.1.
    Cvat,
}

impl Kind {
    /// All kinds, in the order of lists.
    pub const ALL: [Self; 11] = [
        Self::DragBench,
        Self::DragBenchDr,
        Self::DragBenchSr,
        Self::Drag100,
        Self::NextBench,
        Self::RedBench,
        Self::Labelme,
        Self::Coco,
        Self::Via,
        Self::LabelStudio,
        Self::Cvat,
    ];

    /// Returns the name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DragBench => "dragbench",
            Self::DragBenchDr => "dragbench-dr",
            Self::DragBenchSr => "dragbench-sr",
            Self::Drag100 => "drag100",
            Self::NextBench => "nextbench",
            Self::RedBench => "red-bench",
            Self::Labelme => "labelme",
            Self::Coco => "coco",
            Self::Via => "via",
            Self::LabelStudio => "label-studio",
            Self::Cvat => "cvat",
        }
    }

    /// Returns the name in a sentence.
    pub const fn title(self) -> &'static str {
        match self {
            Self::DragBench => "DragBench",
            Self::DragBenchDr => "DragBench-DR",
            Self::DragBenchSr => "DragBench-SR",
            Self::Drag100 => "Drag100",
            Self::NextBench => "NextBench",
            Self::RedBench => "ReD Bench",
            Self::Labelme => "labelme",
            Self::Coco => "COCO",
            Self::Via => "VGG Image Annotator",
            Self::LabelStudio => "Label Studio",
            Self::Cvat => "CVAT",
        }
    }

    /// Returns the kind with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Returns whether one sample is a folder, so that its files cannot be imported alone.
    const fn has_sample_folders(self) -> bool {
        matches!(
            self,
            Self::DragBench
                | Self::DragBenchDr
                | Self::DragBenchSr
                | Self::Drag100
                | Self::NextBench
        )
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// Returns the hint for a file or folder that can be imported; `None` for any other.
pub fn hint(path: &Path) -> Option<String> {
    let kind = recognise(path)?;
    Some(format!(
        "this is {} data; {}",
        kind.title(),
        import_hint(kind, path)
    ))
}

/// Returns what to do with a file or folder of this kind.
pub fn import_hint(kind: Kind, path: &Path) -> String {
    let given = if kind.has_sample_folders() && path.is_file() {
        path.parent()
            .filter(|folder| *folder != Path::new(""))
            .unwrap_or(Path::new("."))
    } else {
        path
    };
    format!(
        "`dragnext import {kind} {} -o DIR` makes drag files of it",
        given.display()
    )
}

/// Returns the kind of a file or a folder, by names and content.
pub fn recognise(path: &Path) -> Option<Kind> {
    let metadata = fs::metadata(path).ok()?;
    if metadata.is_dir() {
        return folder(path);
    }
    if !metadata.is_file() || metadata.len() > MAX_BYTES {
        return None;
    }
    let mut bytes = Vec::new();
    let file = File::open(path).ok()?;
    file.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
    content(&bytes, path)
}

/// Returns the kind of a file with these bytes. The name tells apart what has the same content.
pub fn content(bytes: &[u8], name: &Path) -> Option<Kind> {
    let file_name = name.file_name().unwrap_or_default().to_string_lossy();
    let has_name = file_name.starts_with("meta_data")
        && name.extension().is_some_and(|extension| extension == "pkl");
    let is_pickle = has_name && bytes.last() == Some(&b'.');
    if is_pickle {
        return Some(match &*file_name {
            "meta_data_region.pkl" | "meta_data_mask.pkl" => Kind::DragBenchDr,
            _ => Kind::DragBench,
        });
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match text.trim_ascii_start().first()? {
        b'{' => object(text, name),
        b'[' => serde_json::from_slice::<Vec<Keys>>(text)
            .ok()?
            .first()
            .filter(|task| {
                task.contains_key("data")
                    && ["annotations", "completions"]
                        .iter()
                        .any(|key| task.contains_key(*key))
            })
            .map(|_| Kind::LabelStudio),
        b'<' => {
            let start = String::from_utf8_lossy(&text[..text.len().min(4096)]);
            start.contains("<annotations").then_some(Kind::Cvat)
        }
        b'f' | b'#' => {
            let name = text.strip_prefix(b"#").unwrap_or(text);
            let is_via = name.starts_with(b"filename,file_size,file_attributes,region_count");
            is_via.then_some(Kind::Via)
        }
        _ => None,
    }
}

type Keys = BTreeMap<String, IgnoredAny>;

/// A picture in the annotations of VGG Image Annotator.
#[derive(Deserialize)]
struct ViaPicture {
    #[serde(rename = "filename")]
    _filename: IgnoredAny,
    #[serde(rename = "regions")]
    _regions: IgnoredAny,
}

fn object(text: &[u8], name: &Path) -> Option<Kind> {
    let keys: Keys = serde_json::from_slice(text).ok()?;
    let has = |key: &str| keys.contains_key(key);
    if has("shapes") && (has("imagePath") || has("imageData")) {
        Some(Kind::Labelme)
    } else if has("annotations") && has("images") {
        Some(Kind::Coco)
    } else if has("_via_img_metadata") || has("_via_settings") {
        Some(Kind::Via)
    } else if has("region_operations") || has("point_operations") {
        Some(Kind::RedBench)
    } else if has("points") && !has("regions") {
        let beside = |file: &str| name.with_file_name(file).exists();
        let is_next = has("rotation") || beside("handle_region_mask.png");
        Some(if is_next {
            Kind::NextBench
        } else {
            Kind::Drag100
        })
    } else if has("source") && has("target") && has("prompt") {
        Some(Kind::DragBenchSr)
    } else {
        let pictures = serde_json::from_slice::<BTreeMap<String, ViaPicture>>(text);
        pictures
            .is_ok_and(|pictures| !pictures.is_empty())
            .then_some(Kind::Via)
    }
}

/// Returns the kind of a folder from the names in it and below it, breadth first.
fn folder(root: &Path) -> Option<Kind> {
    let (mut folders, mut seen) = (VecDeque::from([(root.to_path_buf(), 0)]), 0);
    while let Some((folder, depth)) = folders.pop_front() {
        let mut entries: Vec<PathBuf> = fs::read_dir(&folder)
            .ok()?
            .flatten()
            .map(|entry| entry.path())
            .take(MAX_NAMES)
            .collect();
        entries.sort();
        seen += entries.len();
        let has = |name: &str| entries.iter().any(|path| path.ends_with(name));
        if has("meta_data_region.pkl") || has("meta_data_mask.pkl") {
            let text = folder.to_string_lossy();
            return Some(if text.contains("-sr") {
                Kind::DragBenchSr
            } else {
                Kind::DragBenchDr
            });
        }
        if has("meta_data.pkl") {
            return Some(Kind::DragBench);
        }
        if has("origin_image.png") && has("prompt.json") {
            return Some(Kind::DragBenchSr);
        }
        let has_extension = |path: &&PathBuf, wanted: &str| {
            path.extension()
                .is_some_and(|extension| extension.eq_ignore_ascii_case(wanted))
        };
        let files = entries.iter().filter(|path| {
            ["json", "xml", "csv"]
                .iter()
                .any(|wanted| has_extension(path, wanted))
        });
        for file in files.take(3).filter(|path| path.is_file()) {
            if let Some(kind) = recognise(file) {
                return Some(kind);
            }
        }
        if seen > MAX_NAMES {
            return None;
        }
        let inner = entries
            .into_iter()
            .filter(|path| path.symlink_metadata().is_ok_and(|found| found.is_dir()));
        folders.extend(
            inner
                .filter(|_| depth < MAX_DEPTH)
                .map(|path| (path, depth + 1)),
        );
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_recognised_by_their_content() {
        for (text, kind) in [
            (
                r#"{"version": "5.0", "shapes": [], "imagePath": "a.png"}"#,
                Some(Kind::Labelme),
            ),
            (
                r#"{"images": [], "annotations": [], "categories": []}"#,
                Some(Kind::Coco),
            ),
            (
                r#"{"_via_settings": {}, "_via_img_metadata": {}}"#,
                Some(Kind::Via),
            ),
            (
                r#"{"a.png12": {"filename": "a.png", "size": 12, "regions": []}}"#,
                Some(Kind::Via),
            ),
            (
                r#"[{"id": 1, "data": {"image": "a"}, "annotations": []}]"#,
                Some(Kind::LabelStudio),
            ),
            (
                "<?xml version=\"1.0\"?>\n<annotations><version>1.1</version>",
                Some(Kind::Cvat),
            ),
            (
                "#filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes\n",
                Some(Kind::Via),
            ),
            ("filename,size\na.png,3\n", None),
            (r#"{"region_operations": {}}"#, Some(Kind::RedBench)),
            (r#"{"points": [[1, 2], [3, 4]]}"#, Some(Kind::Drag100)),
            (
                r#"{"points": [[1, 2], [3, 4]], "rotation": [false, false]}"#,
                Some(Kind::NextBench),
            ),
            (
                r#"{"prompt": "", "source": [1, 2], "target": [[3, 4]]}"#,
                Some(Kind::DragBenchSr),
            ),
            (r#"{"version": 1, "regions": []}"#, None),
            ("{}", None),
            ("[]", None),
            ("{", None),
            ("", None),
        ] {
            assert_eq!(
                content(text.as_bytes(), Path::new("a.json")),
                kind,
                "{text}"
            );
        }
        assert_eq!(
            content(b"\x80\x04N.", Path::new("meta_data.pkl")),
            Some(Kind::DragBench)
        );
        assert_eq!(
            content(b"\x80\x04N.", Path::new("meta_data_region.pkl")),
            Some(Kind::DragBenchDr)
        );
    }

    #[test]
    fn every_kind_has_its_own_name() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_name(kind.name()), Some(kind));
        }
        assert_eq!(Kind::from_name("lableme"), None);
    }
}
