//! Checks the entries of a list one by one: names, paths, and whether the files exist.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::entry::{Item, ListEntry, ListFault};
use super::list::ListOptions;
use super::roots::Root;
use crate::error::ErrorKind;
use crate::escape::is_unprintable;
use crate::files;

const RELATIVE: &str = "paths are relative to the manifest";
const SLASHES: &str = "the path has backslashes, which separate folders on Windows only; write `/`";
const GIVE_A_FILE: &str = "give the path of a file";

pub(super) struct EntryChecker<'a> {
    root: Root,
    outputs: Root,
    options: ListOptions<'a>,
}

/// A [`ListFault`] without its place.
struct Defect {
    kind: ErrorKind,
    reason: String,
    hint: &'static str,
}

impl Defect {
    fn new(kind: ErrorKind, reason: impl Into<String>, hint: &'static str) -> Self {
        Self {
            kind,
            reason: reason.into(),
            hint,
        }
    }
}

impl<'a> EntryChecker<'a> {
    /// Returns a checker of entries whose paths are relative to `root`.
    pub(super) fn new(root: &Path, options: ListOptions<'a>) -> Self {
        Self {
            root: Root::new(root),
            outputs: Root::new(options.outputs),
            options,
        }
    }

    /// Turns the entry at this position of the list into an item, with a fault if something is wrong with it.
    pub(super) fn check(&mut self, index: usize, entry: ListEntry) -> Item {
        let id = entry.id();
        let ListEntry {
            place,
            number,
            id: _,
            image,
            drag,
            out,
            category,
            choice,
            sheet,
            fault,
        } = entry;
        let out = out.unwrap_or_else(|| image.with_extension("png"));
        let fault = fault.or_else(|| {
            let Defect { kind, reason, hint } =
                self.check_parts(&id, &image, drag.as_deref(), &out).err()?;
            Some(ListFault {
                place,
                kind,
                reason,
                hint,
            })
        });
        let join = |path: PathBuf| {
            if self.root.folder() == Path::new(".") {
                path
            } else {
                self.root.folder().join(path)
            }
        };
        Item {
            index,
            // An id with control characters must not reach the records.
            id: if id.chars().any(is_unprintable) {
                format!("line {number}")
            } else {
                id
            },
            image: join(image),
            drag: drag.map(join),
            sheet: sheet.map(|sheet| self.options.outputs.join(without_dots(&sheet))),
            out: self.options.outputs.join(without_dots(&out)),
            category,
            choice,
            fault: fault.map(Box::new),
        }
    }

    fn check_parts(
        &mut self,
        id: &str,
        image: &Path,
        drag: Option<&Path>,
        out: &Path,
    ) -> Result<(), Defect> {
        let names = [
            Some(id.into()),
            Some(image.to_string_lossy()),
            drag.map(Path::to_string_lossy),
            Some(out.to_string_lossy()),
        ];
        if let Some(name) = names
            .into_iter()
            .flatten()
            .find(|name| name.chars().any(is_unprintable))
        {
            let reason = format!(
                "`{name}` has control characters or characters that change the text direction"
            );
            return Err(Defect::new(ErrorKind::ManifestName, reason, "rename it"));
        }
        if id.is_empty() {
            let hint = "give each item an id, or leave `id` out";
            return Err(Defect::new(
                ErrorKind::ManifestName,
                "the id is empty",
                hint,
            ));
        }
        if drag.is_none() && self.options.drag.is_none() {
            let hint = "add `drag` to the line, or give one drag file for all with `--drag`";
            return Err(Defect::new(
                ErrorKind::ManifestNoDrag,
                "no drag file is given",
                hint,
            ));
        }
        self.check_input(image)?;
        drag.map_or(Ok(()), |drag| self.check_input(drag))?;
        self.check_output(out)
    }

    fn check_output(&mut self, out: &Path) -> Result<(), Defect> {
        let text = out.to_string_lossy();
        let has_drive = text.contains('\\') || text.as_bytes().get(1) == Some(&b':');
        if without_dots(out).as_os_str().is_empty() || text.ends_with(std::path::is_separator) {
            return Err(Defect::new(
                ErrorKind::ManifestPathEscapes,
                format!("the output `{text}` is not the path of a file"),
                GIVE_A_FILE,
            ));
        }
        let path = self.options.outputs.join(out);
        if has_drive && !cfg!(windows) {
            return Err(Defect::new(
                ErrorKind::ManifestPathEscapes,
                format!("the output `{text}` is a path of Windows"),
                "separate folders by `/`, and give paths relative to the output folder",
            ));
        }
        if !Root::is_plain(out) || has_drive || !self.outputs.holds(&path, false) {
            return Err(Defect::new(
                ErrorKind::ManifestPathEscapes,
                format!(
                    "the output `{text}` is outside `{}`",
                    self.options.outputs.display()
                ),
                "outputs must be inside the output folder",
            ));
        }
        if let Err(error) = files::check_name(&path) {
            return Err(Defect::new(
                ErrorKind::ManifestOutput,
                error.to_string(),
                "give it a shorter `out`, in a manifest",
            ));
        }
        files::check_png_name(out).map_err(|_| {
            Defect::new(
                ErrorKind::ManifestOutput,
                format!("the output `{text}` does not end in `.png`"),
                "results are PNG files",
            )
        })
    }

    fn check_input(&mut self, path: &Path) -> Result<(), Defect> {
        let shown = path.display();
        let full = self.root.folder().join(path);
        if path.as_os_str().is_empty() {
            return Err(Defect::new(
                ErrorKind::ManifestPathEscapes,
                "the path of an input is empty",
                GIVE_A_FILE,
            ));
        }
        let is_windows = !cfg!(windows) && path.to_string_lossy().contains('\\');
        let missing = |error: io::Error| {
            let hint = if is_windows { SLASHES } else { RELATIVE };
            Defect::new(
                ErrorKind::ManifestMissing,
                format!("`{shown}`: {error}"),
                hint,
            )
        };
        // What lies outside is not looked at, so that the message does not tell whether it exists.
        if !self.options.allow_outside && !Root::is_plain(path) && !self.root.holds(&full, false) {
            return Err(self.escapes(path));
        }
        let mut found = fs::symlink_metadata(&full).map_err(missing)?;
        let is_link = found.is_symlink();
        if !self.options.allow_outside && !self.root.holds(&full, is_link) {
            if is_link && !full.exists() {
                let reason = format!("`{shown}` is a broken link");
                let hint = "restore what the link leads to, or remove the link";
                return Err(Defect::new(ErrorKind::ManifestMissing, reason, hint));
            }
            return Err(self.escapes(path));
        }
        if is_link {
            found = fs::metadata(&full).map_err(missing)?;
        }
        if found.is_file() {
            return Ok(());
        }
        let what = if found.is_dir() {
            "a folder"
        } else {
            "a pipe, a socket or a device"
        };
        Err(Defect::new(
            ErrorKind::ManifestNotAFile,
            format!("`{shown}` is {what}, not a file"),
            GIVE_A_FILE,
        ))
    }

    fn escapes(&self, path: &Path) -> Defect {
        let root = self.root.folder();
        Defect::new(
            ErrorKind::ManifestPathEscapes,
            format!("`{}` is outside `{}`", path.display(), root.display()),
            "`--allow-outside` permits inputs anywhere",
        )
    }
}

/// Returns the path without its `.` components.
fn without_dots(path: &Path) -> PathBuf {
    path.components()
        .filter(|part| *part != Component::CurDir)
        .collect()
}
