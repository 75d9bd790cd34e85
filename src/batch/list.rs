//! The list of items, checked as a whole before anything runs: every fault is found at once, because a list that is fixed one fault at a
//! time costs a run per fault.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::roots::Root;
use super::{Seeds, folder, manifest};
use crate::error::{Error, ErrorKind, Result};
use crate::files;
use crate::plan::Choice;
use crate::unprintable::is_unprintable;
use crate::warning::Warning;

/// Where a list comes from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// Pictures in a folder and the folders in it.
    Folder(PathBuf),
    /// The lines of a file.
    Manifest(PathBuf),
}

/// What the folder or a line says, before it is checked.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// How messages name it.
    pub(super) place: String,
    /// Line, or place among the pictures, from 1.
    pub(super) number: usize,
    pub(super) id: Option<String>,
    /// Relative to the list's root.
    pub(super) image: PathBuf,
    pub(super) drag: Option<PathBuf>,
    pub(super) out: Option<PathBuf>,
    pub(super) choice: Option<Box<Choice>>,
    pub(super) fault: Option<Fault>,
}

impl Entry {
    pub(super) fn of(place: String, number: usize, image: PathBuf) -> Self {
        Self {
            place,
            number,
            id: None,
            image,
            drag: None,
            out: None,
            choice: None,
            fault: None,
        }
    }
}

/// Why an item cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// How messages name the item: a line of the manifest, or a picture.
    pub place: String,
    /// `manifest.line`, `manifest.duplicate_id`, `manifest.same_output`, `manifest.path_escapes`, `manifest.name`,
    /// `manifest.not_a_file`, `manifest.missing`, `manifest.no_drag` or `manifest.output`.
    pub kind: ErrorKind,
    /// What is wrong.
    pub reason: String,
    /// What to do.
    pub hint: &'static str,
}

impl Fault {
    /// Returns the fault as an error.
    pub fn error(&self) -> Error {
        Error::Batch {
            kind: self.kind,
            reason: format!("{}: {}", self.place, self.reason),
            hint: self.hint.to_owned(),
        }
    }
}

/// One edit of many.
#[derive(Debug)]
pub struct Item {
    /// Its place in the list, from 0, which decides its shard.
    pub index: usize,
    /// Its name in records.
    pub id: String,
    /// The picture.
    pub image: PathBuf,
    /// The drag file; `None` where one is for all.
    pub drag: Option<PathBuf>,
    /// The result.
    pub out: PathBuf,
    /// Method and settings that take precedence over those of the drag file.
    pub choice: Option<Box<Choice>>,
    /// Why it cannot be done, in a run that goes on without it.
    pub fault: Option<Box<Fault>>,
}

/// All items, and what was noticed.
#[derive(Debug)]
pub struct List {
    /// In the order of the manifest, or of the paths in the folder.
    pub items: Vec<Item>,
    /// What was left out.
    pub warnings: Vec<Warning>,
    /// The folder that paths are relative to.
    pub root: PathBuf,
}

/// How a list is read.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// Where results go.
    pub outputs: &'a Path,
    /// A drag file that is for all.
    pub drag: Option<&'a Path>,
    /// Each item once with each of these.
    pub seeds: &'a Seeds,
    /// Whether inputs may lie outside the list's folder.
    pub allow_outside: bool,
    /// Whether faults become failed items.
    pub keep_going: bool,
}

impl List {
    /// Reads and checks all of it.
    ///
    /// # Errors
    /// [`Error::Several`] with every fault, unless the rules say to keep going; [`Error::File`] when folder or manifest cannot be read.
    pub fn read(origin: &Origin, rules: Rules) -> Result<Self> {
        let (root, entries, warnings) = match origin {
            Origin::Folder(root) => {
                let (entries, warnings) = folder::read(root, rules.outputs, rules.drag.is_some())?;
                (root.clone(), entries, warnings)
            }
            Origin::Manifest(path) => {
                let root = path.parent().unwrap_or(Path::new("")).to_path_buf();
                (root, manifest::read(path)?, Vec::new())
            }
        };
        let entries: Vec<Entry> = entries
            .into_iter()
            .flat_map(|entry| rules.seeds.variants(entry))
            .collect();
        let mut check = Check {
            root: Root::new(&root),
            outputs: Root::new(rules.outputs),
            rules,
        };
        let places: Vec<String> = entries.iter().map(|entry| entry.place.clone()).collect();
        let mut items: Vec<Item> = entries
            .into_iter()
            .enumerate()
            .map(|(index, entry)| check.item(index, entry))
            .collect();
        distinct(&mut items, &places);
        // Variants of one entry have its faults in common.
        let mut faults: Vec<&Fault> = items
            .iter()
            .filter_map(|item| item.fault.as_deref())
            .collect();
        faults.dedup();
        let faults: Vec<Error> = faults.into_iter().map(|fault| fault.error()).collect();
        match faults.len() {
            0 => {}
            _ if rules.keep_going => {}
            1 => {
                return Err(faults
                    .into_iter()
                    .next()
                    .unwrap_or_else(|| unreachable!("there is one")));
            }
            _ => return Err(Error::Several { errors: faults }),
        }
        Ok(Self {
            items,
            warnings,
            root,
        })
    }
}

struct Check<'a> {
    root: Root,
    outputs: Root,
    rules: Rules<'a>,
}

/// What is wrong with an entry: kind, reason, hint.
type Wrong = (ErrorKind, String, &'static str);

impl Check<'_> {
    fn item(&mut self, index: usize, entry: Entry) -> Item {
        let Entry {
            place,
            number,
            id,
            image,
            drag,
            out,
            choice,
            fault,
        } = entry;
        let out_name = out.unwrap_or_else(|| image.with_extension("png"));
        let id = id.unwrap_or_else(|| {
            let stem = image.with_extension("").to_string_lossy().into_owned();
            if stem.is_empty() {
                format!("line {number}")
            } else {
                stem
            }
        });
        let fault = fault.or_else(|| {
            let wrong = self.wrong(&id, &image, drag.as_deref(), &out_name).err()?;
            let (kind, reason, hint) = wrong;
            Some(Fault {
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
            // A name that writes to the terminal is none; its place serves.
            id: if id.chars().any(is_unprintable) {
                format!("line {number}")
            } else {
                id
            },
            image: join(image),
            drag: drag.map(join),
            out: self.rules.outputs.join(clean(&out_name)),
            choice,
            fault: fault.map(Box::new),
        }
    }

    fn wrong(
        &mut self,
        id: &str,
        image: &Path,
        drag: Option<&Path>,
        out: &Path,
    ) -> std::result::Result<(), Wrong> {
        let names = [
            Some(id.into()),
            Some(image.to_string_lossy()),
            drag.map(Path::to_string_lossy),
            Some(out.to_string_lossy()),
        ];
        for name in names.into_iter().flatten() {
            if name.chars().any(is_unprintable) {
                let reason = format!(
                    "`{name}` has control characters, or characters that turn the direction of text"
                );
                return Err((ErrorKind::ManifestName, reason, "rename it"));
            }
        }
        if id.is_empty() {
            return Err((
                ErrorKind::ManifestName,
                "the id is empty".into(),
                "give each item a name of its own, or none",
            ));
        }
        if drag.is_none() && self.rules.drag.is_none() {
            return Err((
                ErrorKind::ManifestNoDrag,
                "no drag file is named".into(),
                "name one in the line, or give one for all with --drag",
            ));
        }
        self.output(out)?;
        [Some(image), drag]
            .into_iter()
            .flatten()
            .try_for_each(|path| self.input(path))
    }

    fn output(&mut self, out: &Path) -> std::result::Result<(), Wrong> {
        let text = out.to_string_lossy();
        let has_drive = text.contains('\\') || text.as_bytes().get(1) == Some(&b':');
        if clean(out).as_os_str().is_empty() || text.ends_with(std::path::is_separator) {
            return Err((
                ErrorKind::ManifestPathEscapes,
                format!("the output `{text}` names no file"),
                "give the path of a file",
            ));
        }
        let path = self.rules.outputs.join(out);
        if !Root::is_plain(out) || has_drive || !self.outputs.holds(&path, false) {
            let reason = format!(
                "the output `{text}` leads out of `{}`",
                self.rules.outputs.display()
            );
            return Err((
                ErrorKind::ManifestPathEscapes,
                reason,
                "outputs are paths inside the output folder",
            ));
        }
        files::check_png_name(out).map_err(|_| {
            (
                ErrorKind::ManifestOutput,
                format!("the output `{text}` is no PNG by its name"),
                "let its name end in .png",
            )
        })
    }

    fn input(&mut self, path: &Path) -> std::result::Result<(), Wrong> {
        let shown = path.display();
        let full = self.root.folder().join(path);
        let escapes = |root: &Root| {
            let reason = format!("`{shown}` leads out of `{}`", root.folder().display());
            (
                ErrorKind::ManifestPathEscapes,
                reason,
                "--allow-outside reads inputs from anywhere",
            )
        };
        if path.as_os_str().is_empty() {
            return Err((
                ErrorKind::ManifestPathEscapes,
                "the path of an input is empty".into(),
                "give the path of a file",
            ));
        }
        if !self.rules.allow_outside && !Root::is_plain(path) {
            return Err(escapes(&self.root));
        }
        let missing = |error: std::io::Error| {
            (
                ErrorKind::ManifestMissing,
                format!("`{shown}`: {error}"),
                "paths are relative to the manifest",
            )
        };
        let there = fs::symlink_metadata(&full).map_err(missing)?;
        let is_link = there.is_symlink();
        if !self.rules.allow_outside && !self.root.holds(&full, is_link) {
            return Err(if is_link && !full.exists() {
                (
                    ErrorKind::ManifestMissing,
                    format!("`{shown}` is a link to nothing"),
                    "paths are relative to the manifest",
                )
            } else {
                escapes(&self.root)
            });
        }
        let there = if is_link {
            fs::metadata(&full).map_err(missing)?
        } else {
            there
        };
        if there.is_file() {
            return Ok(());
        }
        let what = if there.is_dir() {
            "a folder"
        } else {
            "no file, but a pipe, a socket or a device"
        };
        Err((
            ErrorKind::ManifestNotAFile,
            format!("`{shown}` is {what}"),
            "give the path of a file",
        ))
    }
}

/// Without `.` in it.
fn clean(path: &Path) -> PathBuf {
    path.components()
        .filter(|part| *part != Component::CurDir)
        .collect()
}

/// Ids and outputs are each other's and the inputs' none. Of two that share one, the later is at fault, and both are named.
fn distinct(items: &mut [Item], places: &[String]) {
    let mut real = Real::default();
    let sound = |item: &&mut Item| item.fault.is_none();
    let inputs = real.shared(items);
    let mut ids: HashMap<String, usize> = HashMap::new();
    let mut outputs: HashMap<String, usize> = HashMap::new();
    for item in items.iter_mut().filter(sound) {
        // Disks that do not tell upper case from lower would give two items one file.
        let out = item.out.to_string_lossy().to_lowercase();
        let shown = item.out.display();
        let wrong = if let Some(other) = outputs.get(&out) {
            let reason = format!("the output `{shown}` is that of {}", places[*other]);
            Some((
                ErrorKind::ManifestSameOutput,
                reason,
                "give each item its own output, in a manifest; upper and lower case count as the same",
            ))
        } else if let Some(other) = ids.get(&item.id) {
            let reason = format!("the id `{}` is taken by {}", item.id, places[*other]);
            Some((
                ErrorKind::ManifestDuplicateId,
                reason,
                "give each item an id of its own",
            ))
        } else if real
            .path(&item.out)
            .is_some_and(|out| inputs.contains(&out))
        {
            let hint = "inputs are never written; choose another output folder";
            Some((
                ErrorKind::ManifestOutput,
                format!("the output `{shown}` is an input"),
                hint,
            ))
        } else {
            None
        };
        if let Some((kind, reason, hint)) = wrong {
            let place = places[item.index].clone();
            if ids.contains_key(&item.id) {
                // What is said about this one is not to be taken for the other's.
                item.id.clone_from(&place);
            }
            item.fault = Some(Box::new(Fault {
                place,
                kind,
                reason,
                hint,
            }));
        } else {
            ids.insert(item.id.clone(), item.index);
            outputs.insert(out, item.index);
        }
    }
}

/// Paths whose folders are without links. That a file itself is a link is seen when it is written.
#[derive(Default)]
struct Real {
    /// By their text: paths take their time to be compared.
    folders: HashMap<OsString, Option<PathBuf>>,
}

impl Real {
    /// `None` in a folder that is not there.
    fn path(&mut self, path: &Path) -> Option<PathBuf> {
        Some(self.folder(path)?.join(path.file_name()?))
    }

    /// The folder that holds `path`.
    fn folder(&mut self, path: &Path) -> Option<&PathBuf> {
        let folder = path
            .parent()
            .filter(|folder| *folder != Path::new(""))
            .unwrap_or(Path::new("."));
        if !self.folders.contains_key(folder.as_os_str()) {
            self.folders
                .insert(folder.as_os_str().to_owned(), fs::canonicalize(folder).ok());
        }
        self.folders.get(folder.as_os_str())?.as_ref()
    }

    /// All inputs, when one of them lies in a folder that outputs go to; else none of them can be an output.
    fn shared(&mut self, items: &[Item]) -> HashSet<PathBuf> {
        let inputs = || {
            items
                .iter()
                .flat_map(|item| std::iter::once(&item.image).chain(&item.drag))
        };
        let mut outputs = HashSet::new();
        for item in items {
            if let Some(folder) = self.folder(&item.out)
                && !outputs.contains(folder.as_os_str())
            {
                outputs.insert(folder.as_os_str().to_owned());
            }
        }
        let is_shared = !outputs.is_empty()
            && inputs().any(|input| {
                self.folder(input)
                    .is_some_and(|folder| outputs.contains(folder.as_os_str()))
            });
        if is_shared {
            inputs().filter_map(|input| self.path(input)).collect()
        } else {
            HashSet::new()
        }
    }
}
