//! The samples of a source, in the order of their paths.

use std::path::Path;
use std::sync::Arc;

use super::pictures::Pictures;
use super::root::{Folder, Root};
use super::sample::{Entry, Sample};
use super::{
    Options, coco, cvat, dragbench, json, label_studio, labelme, point_folders, red_bench,
    region_pairs, via,
};
use crate::error::Result;
use crate::foreign::Kind;
use crate::warning::{Warning, WarningKind};

/// The samples of a source, and what was left out.
pub(super) struct Listing {
    pub(super) entries: Vec<Entry>,
    pub(super) warnings: Vec<Warning>,
}

/// Reads the sample in a folder.
type FolderReader = fn(&Root, &Folder) -> Result<Sample>;
/// Lists the samples of a file of annotations.
type FileLister = fn(&Root, &Path, &Arc<Pictures>) -> Result<Vec<Entry>>;

/// Lists the samples of a source.
///
/// # Errors
/// [`crate::Error::File`] and [`crate::Error::Given`] for a source that cannot be listed.
pub(super) fn list(kind: Kind, path: &Path, options: &Options) -> Result<Listing> {
    let root = Root::of(path)?;
    match kind {
        Kind::DragBench => folders(&root, dragbench::is_sample, |root, folder| {
            dragbench::read(root, &folder.path)
        }),
        Kind::DragBenchDr => folders(&root, region_pairs::is_sample, |root, folder| {
            region_pairs::read(root, &folder.path, folder)
        }),
        Kind::DragBenchSr => folders(
            &root,
            |folder| region_pairs::is_sample(folder) || point_folders::is_sde_drag(folder),
            |root, folder| {
                if region_pairs::is_sample(folder) {
                    region_pairs::read(root, &folder.path, folder)
                } else {
                    point_folders::sde_drag(root, &folder.path, folder)
                }
            },
        ),
        Kind::Drag100 => folders(&root, point_folders::is_drag100, |root, folder| {
            point_folders::drag100(root, &folder.path, folder)
        }),
        Kind::NextBench => folders(&root, point_folders::is_next_bench, |root, folder| {
            point_folders::next_bench(root, &folder.path, folder)
        }),
        Kind::RedBench => red(&root, path),
        Kind::Labelme => label_files(&root, path, options),
        Kind::Coco => files(&root, path, kind, options, coco::list),
        Kind::Via => files(&root, path, kind, options, via::list),
        Kind::LabelStudio => files(&root, path, kind, options, label_studio::list),
        Kind::Cvat => files(&root, path, kind, options, cvat::list),
    }
}

/// Lists the folders that are samples. The category of a sample is the first folder of its path, if it is not the only one.
fn folders(root: &Root, is_sample: fn(&Folder) -> bool, read: FolderReader) -> Result<Listing> {
    let (folders, links) = root.folders()?;
    let entries = folders.into_iter().filter(is_sample).map(|folder| {
        let root = root.clone();
        let id = if folder.path == Path::new("") {
            std::fs::canonicalize(root.folder())
                .ok()
                .and_then(|real| Some(real.file_name()?.to_string_lossy().into_owned()))
                .unwrap_or_default()
        } else {
            slashed(&folder.path)
        };
        Entry {
            category: category(&folder.path),
            id,
            place: root.folder().join(&folder.path),
            read: Box::new(move || read(&root, &folder)),
        }
    });
    Ok(Listing {
        entries: entries.collect(),
        warnings: warnings(&links),
    })
}

/// Returns the category in a relative path: its first folder, when a sample lies below it. The folders in which DragNeXt's page saves are none.
fn category(path: &Path) -> Option<String> {
    let parts: Vec<String> = path
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .filter(|part| !["trans_deform", "rot", "hybrid"].contains(&&**part))
        .collect();
    (parts.len() > 1).then(|| parts[0].clone())
}

fn slashed(path: &Path) -> String {
    let parts: Vec<String> = path
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    parts.join("/")
}

fn warnings(links: &[std::path::PathBuf]) -> Vec<Warning> {
    let warning = links.first().map(|first| Warning {
        kind: WarningKind::BatchLinks,
        message: format!(
            "links to folders are not followed: {}, such as `{}`",
            links.len(),
            first.display()
        ),
    });
    warning.into_iter().collect()
}

/// Returns the files with this extension: the given one, or all of a folder.
fn with_extension(
    root: &Root,
    path: &Path,
    extension: &str,
) -> Result<(Vec<Folder>, Vec<std::path::PathBuf>)> {
    if !path.is_dir() {
        let name = path.file_name().unwrap_or_default().to_owned();
        let files = std::fs::read_dir(root.folder())
            .into_iter()
            .flatten()
            .flatten();
        let beside = Folder {
            path: "".into(),
            files: files.map(|entry| entry.file_name()).collect(),
        };
        return Ok((vec![beside], vec![name.into()]));
    }
    let (folders, _) = root.folders()?;
    let has_extension = |name: &&std::ffi::OsString| {
        Path::new(name)
            .extension()
            .is_some_and(|found| found.eq_ignore_ascii_case(extension))
    };
    let paths = folders
        .iter()
        .flat_map(|folder| {
            folder
                .files
                .iter()
                .filter(has_extension)
                .map(|name| folder.path.join(name))
        })
        .collect();
    Ok((folders, paths))
}

fn red(root: &Root, path: &Path) -> Result<Listing> {
    let (folders, files) = with_extension(root, path, "json")?;
    let folders = Arc::new(folders);
    let is_own = |file: &std::path::PathBuf| {
        !path.is_dir()
            || !matches!(crate::foreign::recognise(&root.folder().join(file)), Some(kind) if kind != Kind::RedBench)
    };
    let entries = files.into_iter().filter(is_own).map(|file| {
        let (root, folders) = (root.clone(), Arc::clone(&folders));
        Entry {
            id: slashed(&file.with_extension("")),
            category: category(file.parent().unwrap_or(Path::new(""))),
            place: root.folder().join(&file),
            read: Box::new(move || {
                let holder = file.parent().unwrap_or(Path::new(""));
                let name = file.file_name().unwrap_or_default();
                let folder = folders.iter().find(|folder| folder.path == holder);
                let folder = folder.ok_or_else(|| json::damaged(&file, "its folder is gone"))?;
                red_bench::read(&root, folder, name, &folders)
            }),
        }
    });
    Ok(Listing {
        entries: entries.collect(),
        warnings: Vec::new(),
    })
}

fn label_files(root: &Root, path: &Path, options: &Options) -> Result<Listing> {
    let pictures = Arc::new(Pictures::new(root, path, options)?);
    let (_, files) = with_extension(root, path, "json")?;
    let entries = files.into_iter().filter_map(|file| {
        let (root, pictures) = (root.clone(), Arc::clone(&pictures));
        let labelme::Glance { is_other, category } = labelme::glance(&root, &file);
        (!is_other || !path.is_dir()).then(|| Entry {
            id: slashed(&file.with_extension("")),
            category,
            place: root.folder().join(&file),
            read: Box::new(move || labelme::read(&root, &file, &pictures)),
        })
    });
    Ok(Listing {
        entries: entries.collect(),
        warnings: Vec::new(),
    })
}

/// Lists the samples of a file of annotations, or of all files of the kind in a folder.
fn files(
    root: &Root,
    path: &Path,
    kind: Kind,
    options: &Options,
    list: FileLister,
) -> Result<Listing> {
    let pictures = Arc::new(Pictures::new(root, path, options)?);
    let extensions: &[&str] = match kind {
        Kind::Cvat => &["xml"],
        Kind::Via if path.is_dir() => &["json", "csv"],
        _ => &["json"],
    };
    let mut files = Vec::new();
    for extension in extensions {
        let (_, found) = with_extension(root, path, extension)?;
        files.extend(found);
    }
    let mut entries = Vec::new();
    for file in files {
        let is_own = || match crate::foreign::recognise(&root.folder().join(&file)) {
            Some(found) => found == kind,
            // Tables of other programs may lie beside annotations.
            None => file.extension().is_none_or(|extension| extension != "csv"),
        };
        if !path.is_dir() || is_own() {
            entries.extend(list(root, &file, &pictures)?);
        }
    }
    Ok(Listing {
        entries,
        warnings: Vec::new(),
    })
}
