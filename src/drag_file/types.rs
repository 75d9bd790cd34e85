//! The content of a well-formed drag file. Serialised, it is a drag file again, without comments and with every `id` filled in.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Drag;
use crate::error::{DragFileFault, ErrorKind, SourceText};
use crate::mask::{MaskReading, MaskSource};
use crate::method::Method;
use crate::outline::Outline;
use crate::settings::Overrides;

/// A drag file of version 1.
#[derive(Debug, Clone, Serialize)]
pub struct DragFile {
    /// Always 1.
    pub version: u32,
    /// The drag method; `None` leaves it to the command line, else it is the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// What the picture shows; may be empty.
    pub prompt: String,
    /// What the edited picture shows, for methods that follow a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edit_prompt: Option<String>,
    /// Where the picture may change.
    #[serde(skip_serializing_if = "Editable::is_swept")]
    pub editable: Editable,
    /// The regions and points that are dragged; at least one.
    pub regions: Vec<DragRegion>,
    /// The settings that the file contains.
    pub settings: Overrides,
    /// The file's path, for messages; relative paths of masks start at its folder. Empty for a text that is not a file.
    #[serde(skip)]
    pub path: PathBuf,
    #[serde(skip)]
    pub(super) source: SourceText,
    /// The byte range of every value, by its JSON pointer.
    #[serde(skip)]
    pub(super) places: HashMap<String, Range<usize>>,
}

/// Where the picture may change.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Editable {
    /// Not given: the area that the drag sweeps, with a margin.
    Swept,
    /// Everywhere.
    Everything,
    /// In this shape.
    #[serde(untagged)]
    Shape(Shape),
}

impl Editable {
    fn is_swept(&self) -> bool {
        *self == Self::Swept
    }
}

/// An area of the image.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Shape {
    /// Given by numbers, in pixels of the image.
    Outline(Outline),
    /// Given by a mask picture of the image's size.
    Mask {
        /// The picture; a relative path starts at the drag file's folder.
        mask: MaskSource,
        /// How the picture is read.
        #[serde(flatten)]
        reading: MaskReading,
    },
}

/// An entry of `regions`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DragRegion {
    /// The given name, or `region-` and the entry's number from 1; unique in its file.
    pub id: String,
    /// What is dragged, and how.
    #[serde(flatten)]
    pub drag: Drag,
}

impl DragFile {
    /// Returns the file's text, without a byte order mark.
    pub fn text(&self) -> &str {
        self.source.text()
    }

    /// Returns every shape of the file with its JSON pointer: the regions' in their order, then the editable area's.
    pub(crate) fn shapes(&self) -> impl Iterator<Item = (String, &Shape)> {
        let regions = self
            .regions
            .iter()
            .enumerate()
            .filter_map(|(index, region)| {
                let shape = region.drag.shape()?;
                Some((format!("/regions/{index}/region"), shape))
            });
        let editable = match &self.editable {
            Editable::Shape(shape) => Some(("/editable".to_owned(), shape)),
            Editable::Swept | Editable::Everything => None,
        };
        regions.chain(editable)
    }

    /// Returns the paths of the mask pictures that the file names, without those that it contains. A relative path starts at the folder of the drag file,
    /// `drag_path`.
    pub fn mask_paths(&self, drag_path: &Path) -> impl Iterator<Item = PathBuf> {
        let folder = drag_path.parent().unwrap_or(Path::new("")).to_path_buf();
        self.shapes().filter_map(move |(_, shape)| match shape {
            Shape::Mask { mask, .. } => mask.path().map(|path| folder.join(path)),
            Shape::Outline(_) => None,
        })
    }

    /// Returns a fault at a value of this file that a later check found. The place of a value that the file does not contain is
    /// that of the closest value around it.
    pub fn fault(
        &self,
        kind: ErrorKind,
        pointer: &str,
        message: String,
        hint: Option<String>,
    ) -> DragFileFault {
        let mut known = pointer;
        let span = loop {
            match (self.places.get(known), known.rfind('/')) {
                (Some(span), _) => break span.clone(),
                (None, Some(parent)) => known = &known[..parent],
                (None, None) => break 0..0,
            }
        };
        let given = |index: &usize| self.places.contains_key(&format!("/regions/{index}/id"));
        let region = region_index(pointer)
            .filter(given)
            .and_then(|index| self.regions.get(index));
        let mut fault = self
            .source
            .fault(kind, pointer.to_owned(), span, message, hint);
        fault.region = region.map(|region| region.id.clone());
        fault
    }
}

/// Returns the index of the region that a JSON pointer leads into.
pub(super) fn region_index(pointer: &str) -> Option<usize> {
    pointer
        .strip_prefix("/regions/")?
        .split('/')
        .next()?
        .parse()
        .ok()
}
