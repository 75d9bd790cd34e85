//! Where `eval` finds edits: in a folder, beside a list of pictures, or in records; of one method or of several.

use std::path::{Path, PathBuf};

use super::Arguments;
use crate::batch::{self, ListOptions, ListSource};
use crate::drag_file::DragFile;
use crate::error::{Error, ErrorKind, RecordedKind, Result};
use crate::eval::{self, Edit, EditFailure, Items, RecordSide, Sides};
use crate::merge::Manifest;
use crate::method::Method;
use crate::report;

/// Extensions of the pictures that other programs write, where there is no PNG.
const OTHER_EXTENSIONS: [&str; 4] = ["jpg", "jpeg", "webp", "JPG"];

/// How a folder has the edits of a list.
#[derive(Debug, Clone, PartialEq)]
enum Layout {
    /// Under the outputs of the list.
    Plain,
    /// As `batch --methods` writes them: `cat.pbsi.png` for `cat.png`.
    Methods(Vec<Method>),
    /// It is the folder of the originals, which are edits that change nothing.
    Originals,
}

/// A folder of edits.
#[derive(Debug)]
struct Folder<'a> {
    path: &'a Path,
    layout: Layout,
}

impl Arguments {
    /// Returns the items with their edits.
    ///
    /// # Errors
    /// Those of a list or of records that cannot be read; [`Error::Given`] `eval.no_edits` for a folder that is none, or whose methods have to be chosen.
    pub(super) fn items(&self) -> Result<Items> {
        if self.records.is_empty() {
            self.items_of_list()
        } else {
            self.items_of_records()
        }
    }

    fn items_of_list(&self) -> Result<Items> {
        let edits = self.edits.as_deref().unwrap_or(Path::new(""));
        check_folder(edits, "`dragnext batch` writes one with `-o`")?;
        if let Some(drag) = &self.drag {
            DragFile::read(drag)?;
        }
        let source = match (&self.manifest, &self.folder) {
            (Some(manifest), _) => ListSource::Manifest(manifest.clone()),
            // clap requires a folder where there is no manifest.
            (None, folder) => ListSource::Folder(folder.clone().unwrap_or_default()),
        };
        let list = batch::List::read(
            &source,
            ListOptions {
                outputs: edits,
                drag: self.drag.as_deref(),
                seeds: &self.seeds.clone().unwrap_or_default(),
                methods: &[],
                allow_outside: self.allow_outside,
                keep_going: self.keep_going,
                only_reads: true,
            },
        )?;
        if !self.quiet {
            report::print_warnings(&list.warnings);
        }
        let folder = Folder::new(edits, edits, &list);
        let methods = match (&self.methods[..], &folder.layout) {
            ([], Layout::Methods(methods)) => methods.clone(),
            (named, _) => named.to_vec(),
        };
        let mut names: Vec<String> = if methods.is_empty() {
            vec![folder.name()]
        } else {
            methods.iter().map(|method| method.name().into()).collect()
        };
        let (mut reference, mut other) = (None, None);
        if let Some(compare) = &self.compare {
            reference = position(&methods, compare);
            if reference.is_none() {
                let hint = if methods.is_empty() {
                    "`--compare` takes a folder of edits, as `--edits` does"
                } else {
                    "`--compare` takes a method of `--edits`, or another folder of edits"
                };
                check_folder(compare, hint)?;
                let folder = Folder::new(compare, edits, &list);
                other = Some((folder.one_method(&self.methods)?, folder));
            }
        }
        if let Some((_, folder)) = &other {
            reference = Some(names.len());
            names.push(folder.name());
        }
        let sides = Sides {
            names,
            reference,
            methods: methods.len(),
        };
        let item = |item: batch::Item| {
            let relative = item.out.strip_prefix(edits).unwrap_or(&item.out);
            let of_methods = methods.iter().map(|method| Some(*method));
            let own = of_methods.chain(methods.is_empty().then_some(None));
            let own = own.map(|method| folder.file(&item.image, relative, method));
            let other = other
                .iter()
                .map(|(method, folder)| folder.file(&item.image, relative, *method));
            let files: Vec<PathBuf> = own.chain(other).collect();
            let fault = item.fault.map(|fault| {
                Edit::Failed(EditFailure {
                    kind: RecordedKind::Known(fault.kind),
                    message: format!("{}: {}", fault.place, fault.reason),
                })
            });
            eval::Item {
                id: item.id,
                category: item.category,
                image: item.image,
                drag: item.drag.or(self.drag.clone()).unwrap_or_default(),
                edits: files
                    .into_iter()
                    .map(|file| fault.clone().unwrap_or(Edit::File(file)))
                    .collect(),
            }
        };
        let items = list.items.into_iter().map(item).collect();
        Ok(Items::new(items, sides))
    }

    fn items_of_records(&self) -> Result<Items> {
        let manifest = self.manifest.as_deref().map(Manifest::read).transpose()?;
        let manifest = self.manifest.as_deref().zip(manifest.as_ref());
        let (mut records, merged) = eval::method_sides(&self.records, manifest)?;
        if !self.quiet {
            report::print_merge_warnings(&merged);
        }
        let name = |record: &RecordSide| {
            let method = record.method.map(Method::name);
            method.map_or_else(|| self.edits_name(), str::to_owned)
        };
        if !self.methods.is_empty() {
            records.retain(|record| record.method.is_some_and(|own| self.methods.contains(&own)));
            if records.is_empty() {
                return Err(no_edits(
                    &self.records[0],
                    "has no record of these methods".into(),
                    "`batch --methods` writes records whose ids end in the names of methods",
                ));
            }
        }
        let own: Vec<Method> = records.iter().filter_map(|record| record.method).collect();
        let methods = if own.is_empty() { 0 } else { records.len() };
        let mut names: Vec<String> = records.iter().map(name).collect();
        let mut reference = None;
        if let Some(compare) = &self.compare {
            reference = position(&own, compare);
            if reference.is_none() {
                let (others, _) = eval::method_sides(std::slice::from_ref(compare), manifest)?;
                let known: Vec<Method> = others.iter().filter_map(|other| other.method).collect();
                let wanted = one_method(compare, &known, &self.methods)?;
                let other = others.into_iter().find(|other| other.method == wanted);
                reference = Some(records.len());
                names.push(compare.display().to_string());
                records.extend(other);
            }
        }
        let sides = Sides {
            names,
            reference,
            methods,
        };
        Ok(eval::of_records(&records, sides))
    }

    /// Returns what the edits are called in reports.
    pub(super) fn edits_name(&self) -> String {
        let name = self
            .edits
            .as_deref()
            .or(self.records.first().map(PathBuf::as_path));
        name.map(|name| name.display().to_string())
            .unwrap_or_default()
    }
}

impl<'a> Folder<'a> {
    /// Finds out how a folder has the edits of a list whose outputs are in `outputs`.
    fn new(path: &'a Path, outputs: &Path, list: &batch::List) -> Self {
        let outs = || {
            let outs = list.items.iter().map(|item| &item.out);
            outs.map(|out| path.join(out.strip_prefix(outputs).unwrap_or(out)))
        };
        let real = |path: &Path| {
            let path = if path == Path::new("") {
                Path::new(".")
            } else {
                path
            };
            path.canonicalize().ok()
        };
        let is_edit =
            |(item, out): (&batch::Item, PathBuf)| out.is_file() && real(&out) != real(&item.image);
        let is_root = real(path).is_some_and(|path| Some(path) == real(&list.root));
        let layout = if is_root && !list.items.iter().zip(outs()).any(is_edit) {
            Layout::Originals
        } else if outs().any(|out| out.is_file()) {
            Layout::Plain
        } else {
            let has = |method: &&Method| outs().any(|out| of_method(&out, **method).is_file());
            let methods: Vec<Method> = Method::ALL.iter().filter(has).copied().collect();
            if methods.is_empty() {
                Layout::Plain
            } else {
                Layout::Methods(methods)
            }
        };
        Self { path, layout }
    }

    /// Returns the file of an edit: of a method's, where one is named.
    fn file(&self, image: &Path, relative: &Path, method: Option<Method>) -> PathBuf {
        if self.layout == Layout::Originals && method.is_none() {
            return image.to_path_buf();
        }
        let out = self.path.join(relative);
        let out = method.map_or(out.clone(), |method| of_method(&out, method));
        if out.is_file() {
            return out;
        }
        let mut others = OTHER_EXTENSIONS
            .iter()
            .map(|extension| out.with_extension(extension));
        others.find(|other| other.is_file()).unwrap_or(out)
    }

    /// Returns the method whose results are compared with; `None` for a folder whose results are not told apart by methods.
    fn one_method(&self, wanted: &[Method]) -> Result<Option<Method>> {
        match &self.layout {
            Layout::Plain | Layout::Originals => Ok(None),
            Layout::Methods(methods) => one_method(self.path, methods, wanted),
        }
    }

    fn name(&self) -> String {
        let path = self.path.display();
        match self.layout {
            Layout::Originals => format!("{path} (the originals)"),
            Layout::Plain | Layout::Methods(_) => path.to_string(),
        }
    }
}

/// Returns the only one of `methods`, or the one that is wanted; `None` without methods.
fn one_method(path: &Path, methods: &[Method], wanted: &[Method]) -> Result<Option<Method>> {
    match (methods, wanted) {
        ([], _) => Ok(None),
        ([method], []) => Ok(Some(*method)),
        (_, [method]) if methods.contains(method) => Ok(Some(*method)),
        _ => {
            let names: Vec<&str> = methods.iter().map(|method| method.name()).collect();
            Err(no_edits(
                path,
                format!("has the results of several methods: {}", names.join(", ")),
                "name the one to compare with `--methods`, or give a method to `--compare`",
            ))
        }
    }
}

/// Returns the position of the method that `--compare` names.
fn position(methods: &[Method], compare: &Path) -> Option<usize> {
    methods
        .iter()
        .position(|method| Path::new(method.name()) == compare)
}

/// Returns the file that `batch --methods` writes in place of an output.
fn of_method(out: &Path, method: Method) -> PathBuf {
    out.with_extension(format!("{}.png", method.name()))
}

fn check_folder(path: &Path, hint: &str) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    Err(no_edits(path, "is not a folder of edits".into(), hint))
}

fn no_edits(path: &Path, reason: String, hint: &str) -> Error {
    Error::Given {
        path: path.to_path_buf(),
        kind: ErrorKind::EvalNoEdits,
        reason,
        hint: hint.into(),
    }
}
