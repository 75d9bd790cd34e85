//! What a drag file says, once it is known to be well formed. Serialised, it is a drag file again, without comments and with every
//! `id` filled in.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{DragFileFault, ErrorKind, SourceText};
use crate::geometry::Point;
use crate::method::Method;
use crate::outline::Outline;
use crate::region::RegionKind;
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
    /// Where the picture may change.
    #[serde(skip_serializing_if = "Editable::is_swept")]
    pub editable: Editable,
    /// What is dragged; at least one.
    pub regions: Vec<DragRegion>,
    /// Settings that this file gives.
    pub settings: Overrides,
    /// The file's path, for messages; masks are found relative to its folder. Empty for a text that is no file.
    #[serde(skip)]
    pub path: PathBuf,
    #[serde(skip)]
    pub(super) source: SourceText,
    /// Bytes of values by their JSON pointer.
    #[serde(skip)]
    pub(super) places: HashMap<String, Range<usize>>,
}

/// Where the picture may change.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Editable {
    /// Not said: what the drag sweeps, and a margin.
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
    /// Given by a picture of the image's size.
    Mask {
        /// The picture; a relative path starts at the drag file's folder.
        mask: PathBuf,
    },
}

/// One region and its drag.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DragRegion {
    /// Given, or `region-` and its number from 1; unique in its file.
    pub id: String,
    /// What is asked for.
    #[serde(rename = "type")]
    pub kind: RegionKind,
    /// What is dragged.
    #[serde(rename = "region")]
    pub shape: Shape,
    /// Where to.
    #[serde(flatten)]
    pub movement: Movement,
}

/// Where a region is dragged to, in pixels of the image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Movement {
    /// By the way from the handle to the target: translation and deformation.
    Pull {
        /// Where the drag begins, inside the region.
        handle: Point,
        /// Where it ends.
        target: Point,
    },
    /// About a centre, from the handle's direction to the target's, the short way round.
    Turn {
        /// What stays in place.
        center: Point,
        /// Where the drag begins, inside the region.
        handle: Point,
        /// Where it ends.
        target: Point,
    },
    /// About a centre by so many degrees, counter-clockwise on the screen.
    TurnBy {
        /// What stays in place.
        center: Point,
        /// Degrees; more than a full turn is allowed.
        angle: f64,
    },
}

impl Movement {
    /// Where the drag begins and ends, when it was given by points.
    pub fn handle_and_target(&self) -> Option<(Point, Point)> {
        match *self {
            Self::Pull { handle, target } | Self::Turn { handle, target, .. } => {
                Some((handle, target))
            }
            Self::TurnBy { .. } => None,
        }
    }
}

impl DragFile {
    /// The file's text, without a byte order mark.
    pub fn text(&self) -> &str {
        self.source.text()
    }

    /// Returns every shape of the file with its JSON pointer: the regions' in their order, then the editable area's.
    pub(crate) fn shapes(&self) -> impl Iterator<Item = (String, &Shape)> {
        let regions = self
            .regions
            .iter()
            .enumerate()
            .map(|(index, region)| (format!("/regions/{index}/region"), &region.shape));
        let editable = match &self.editable {
            Editable::Shape(shape) => Some(("/editable".to_owned(), shape)),
            Editable::Swept | Editable::Everything => None,
        };
        regions.chain(editable)
    }

    /// Returns the paths of the mask pictures that the file names. A relative path starts at the folder of the drag file,
    /// `drag_path`.
    pub fn mask_paths(&self, drag_path: &Path) -> impl Iterator<Item = PathBuf> {
        let folder = drag_path.parent().unwrap_or(Path::new("")).to_path_buf();
        self.shapes().filter_map(move |(_, shape)| match shape {
            Shape::Mask { mask } => Some(folder.join(mask)),
            Shape::Outline(_) => None,
        })
    }

    /// A fault at a value of this file, found by somebody who knows more than its text. A value that the file does not have is
    /// placed at the closest one around it.
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

/// The number of the region that a JSON pointer leads into.
pub(super) fn region_index(pointer: &str) -> Option<usize> {
    pointer
        .strip_prefix("/regions/")?
        .split('/')
        .next()?
        .parse()
        .ok()
}
