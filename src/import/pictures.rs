//! Finds the pictures that annotations name. Annotation tools store paths of the machine that they ran on, or addresses of their server.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::Options;
use super::drawing::{self, Drawing};
use super::root::{Root, is_picture};
use super::sample::{Entry, PictureSource, wrong};
use crate::error::{Error, ErrorKind, Result};
use crate::geometry::Size;
use crate::picture;

/// Folders in which pictures are searched.
#[derive(Debug)]
pub(super) struct Pictures {
    roots: Vec<Root>,
    /// Whether folders below the roots are searched for names too.
    is_deep: bool,
    /// The paths of all pictures below the roots, by their names.
    index: OnceLock<HashMap<String, Vec<PathBuf>>>,
    motion: Option<[f64; 2]>,
}

/// A picture that annotations name.
pub(super) struct Named {
    /// Its path or address, as the annotations give it.
    pub(super) name: String,
    /// Width and height, as the annotations give them.
    pub(super) size: Option<[f64; 2]>,
    pub(super) category: Option<String>,
}

impl Pictures {
    /// Searches the folder of the option `images`, then the source's own.
    pub(super) fn new(root: &Root, path: &Path, options: &Options) -> Result<Self> {
        let images = options.images.as_deref().map(Root::of).transpose()?;
        Ok(Self {
            is_deep: images.is_some() || path.is_dir(),
            roots: images.into_iter().chain([root.clone()]).collect(),
            index: OnceLock::new(),
            motion: options.motion,
        })
    }

    /// Returns how far regions without a line move.
    pub(super) fn motion(&self) -> Option<[f64; 2]> {
        self.motion
    }

    /// Returns the sample of a picture with annotations. `file` is their path relative to the source's folder; `draw` converts them for a
    /// picture of a size.
    pub(super) fn entry(
        self: &Arc<Self>,
        file: &Path,
        picture: Named,
        draw: impl Fn(Size) -> Result<Drawing> + Send + Sync + 'static,
    ) -> Entry {
        let pictures = Arc::clone(self);
        let Named {
            name,
            size: declared,
            category,
        } = picture;
        let shown: String = name.chars().take(200).collect();
        let place = PathBuf::from(format!("{} (`{shown}`)", file.display()));
        let id = id(&local(&name));
        let (at, folder) = (
            place.clone(),
            file.parent().unwrap_or(Path::new("")).to_path_buf(),
        );
        Entry {
            id,
            category,
            place,
            read: Box::new(move || {
                let picture = pictures.find(&name, &folder, &at)?;
                let size = picture::size(&picture)?;
                check_size(size, declared, &at)?;
                let drawing = draw(size)?;
                let motion = pictures.motion();
                drawing::sample(drawing, PictureSource::File(picture), size, motion, &at)
            }),
        }
    }

    /// Returns the path of the picture with this name, for annotations in `folder` of the source.
    pub(super) fn find(&self, name: &str, folder: &Path, place: &Path) -> Result<PathBuf> {
        let name = local(name);
        let path = Path::new(&name);
        let mut outside = None;
        if !name.is_empty() && path.is_relative() {
            let relative = [
                folder.join(path),
                path.to_path_buf(),
                Path::new("images").join(path),
            ];
            for (root, path) in self
                .roots
                .iter()
                .flat_map(|root| relative.iter().map(move |path| (root, path)))
            {
                match root.file(path) {
                    Ok(found) => return Ok(found),
                    Err(error) if error.kind() == ErrorKind::ImportOutside => outside = Some(error),
                    Err(_) => {}
                }
            }
        }
        let base = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let uploaded = uploaded(&base).map(str::to_owned);
        // CVAT names a video's frames by their numbers, and writes them in the format of the export.
        let frame = base
            .strip_suffix(".PNG")
            .filter(|stem| stem.starts_with("frame_"));
        let frames: Vec<String> = frame.map_or_else(Vec::new, |stem| {
            ["png", "jpg", "jpeg"]
                .map(|extension| format!("{stem}.{extension}"))
                .to_vec()
        });
        for name in std::iter::once(base).chain(uploaded).chain(frames) {
            match self.index()?.get(&name).map(Vec::as_slice) {
                None | Some([]) => {}
                Some([path]) => return Ok(path.clone()),
                Some([first, second, ..]) => {
                    let reason = format!(
                        "`{name}` is the name of `{}` and of `{}`",
                        first.display(),
                        second.display()
                    );
                    return Err(wrong(place, reason));
                }
            }
        }
        Err(outside.unwrap_or_else(|| Error::Given {
            path: place.to_path_buf(),
            kind: ErrorKind::ImportMissing,
            reason: "the picture cannot be found".into(),
            hint: "`--images DIR` says in which folder the pictures are".into(),
        }))
    }

    fn index(&self) -> Result<&HashMap<String, Vec<PathBuf>>> {
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        let mut index: HashMap<String, Vec<PathBuf>> = HashMap::new();
        for root in &self.roots {
            let (folders, _) = root.folders()?;
            let is_near =
                |path: &Path| self.is_deep || path == Path::new("") || path == Path::new("images");
            for folder in folders.iter().filter(|folder| is_near(&folder.path)) {
                for name in folder.files.iter().filter(|name| is_picture(name)) {
                    if let (Some(name), Ok(path)) =
                        (name.to_str(), root.file(&folder.path.join(name)))
                    {
                        let paths = index.entry(name.to_owned()).or_default();
                        if !paths.contains(&path) {
                            paths.push(path);
                        }
                    }
                }
            }
        }
        Ok(self.index.get_or_init(|| index))
    }
}

/// Checks that annotations are for a picture of this size.
pub(super) fn check_size(found: Size, declared: Option<[f64; 2]>, place: &Path) -> Result<()> {
    let Some([width, height]) = declared else {
        return Ok(());
    };
    if width == found.width as f64 && height == found.height as f64 {
        return Ok(());
    }
    let is_turned = width == found.height as f64 && height == found.width as f64;
    Err(Error::Given {
        path: place.to_path_buf(),
        kind: ErrorKind::ImportValue,
        reason: format!(
            "the annotations are for a picture of {width} x {height}, the picture is {found}"
        ),
        hint: if is_turned {
            "the tool ignored the picture's EXIF orientation; turn the picture and draw again"
                .into()
        } else {
            "use the pictures that were annotated, in their own size".into()
        },
    })
}

/// Returns the name of a sample: the picture's path without its extension. Of a path of another machine, only the last part counts.
fn id(path: &str) -> String {
    let is_elsewhere = path.starts_with('/') || path.as_bytes().get(1) == Some(&b':');
    let last = path.rsplit('/').next().unwrap_or(path);
    let path = if is_elsewhere {
        uploaded(last).unwrap_or(last)
    } else {
        path
    };
    let path = Path::new(path).with_extension("");
    path.to_string_lossy().into_owned()
}

/// Returns a name without the eight digits that Label Studio puts before the names of uploads.
fn uploaded(name: &str) -> Option<&str> {
    let (digits, name) = name.split_once('-')?;
    let is_prefix = digits.len() == 8 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_prefix.then_some(name)
}

/// Returns the path in a name that may be an address, percent-encoded, or written on Windows.
fn local(name: &str) -> String {
    let path = match name.split_once("?d=") {
        Some((_, path)) => path,
        None => name.split_once("://").map_or(name, |(_, rest)| {
            let path = rest.split(['?', '#']).next().unwrap_or(rest);
            path.rsplit('/').next().unwrap_or(path)
        }),
    };
    let path = path.replace('\\', "/");
    let (mut bytes, mut rest) = (Vec::new(), path.as_bytes());
    while let [byte, more @ ..] = rest {
        rest = more;
        let code = more
            .get(..2)
            .filter(|_| *byte == b'%')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code {
            Some(code) => {
                bytes.push(code);
                rest = &more[2..];
            }
            None => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_local_paths() {
        for (name, path) in [
            ("a/b.png", "a/b.png"),
            ("C:\\pictures\\b.png", "C:/pictures/b.png"),
            ("https://host/x/b%20c.png?width=3", "b c.png"),
            ("/data/local-files/?d=set/b.png", "set/b.png"),
            ("100%.png", "100%.png"),
        ] {
            assert_eq!(local(name), path);
        }
        for (path, name) in [
            ("a/b.png", "a/b"),
            ("C:/pictures/b.png", "b"),
            ("/data/upload/1/0a1b2c3d-cup.png", "cup"),
        ] {
            assert_eq!(id(path), name);
        }
    }
}
