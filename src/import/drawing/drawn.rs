//! What an annotation tool says about one picture, before it is converted.

use std::collections::BTreeMap;
use std::path::Path;

use crate::drag_file::MAX_REGIONS;
use crate::error::Result;
use crate::geometry::Point;
use crate::import::sample::{Area, check_count};

/// Most lines and points of a region: an `affine` one has nine points.
pub(in crate::import) const MAX_PATHS: usize = 9;

/// What an annotation tool says about one picture.
#[derive(Debug, Default)]
pub(in crate::import) struct Drawing {
    pub(super) shapes: Vec<Drawn>,
    areas: usize,
    pub(in crate::import) prompt: String,
    pub(in crate::import) edit_prompt: Option<String>,
    /// What has no meaning for a drag, by what it is and its type, and how much there is of it.
    pub(super) left_out: BTreeMap<(&'static str, String), usize>,
    /// What else was left out.
    pub(in crate::import) notes: Vec<String>,
}

impl Drawing {
    /// Returns a drawing without shapes.
    pub(in crate::import) fn new(prompt: String, edit_prompt: Option<String>) -> Self {
        Self {
            prompt,
            edit_prompt,
            ..Self::default()
        }
    }

    /// Adds a shape. More than a drag file can have are refused before they are converted and drawn.
    ///
    /// # Errors
    /// [`Error::Given`] `import.too_large`.
    pub(in crate::import) fn push(&mut self, drawn: Drawn, place: &Path) -> Result<()> {
        self.areas += usize::from(matches!(drawn.geometry, Geometry::Area(_)));
        self.shapes.push(drawn);
        // The area that may change is one, but may be drawn in parts.
        check_count(self.areas.div_ceil(2), place)?;
        check_count((self.shapes.len() - self.areas) / MAX_PATHS, place)
    }

    /// Notes that something of this type, such as a shape, has no meaning for a drag.
    pub(in crate::import) fn leave_out(&mut self, what: &'static str, kind: &str) {
        let kind: String = kind.chars().take(40).collect();
        if self.left_out.len() < MAX_REGIONS {
            *self.left_out.entry((what, kind)).or_default() += 1;
        }
    }
}

/// A shape that someone drew.
#[derive(Debug, Clone)]
pub(in crate::import) struct Drawn {
    pub(in crate::import) label: String,
    /// Shapes of one group belong together.
    pub(in crate::import) group: Option<String>,
    pub(in crate::import) attributes: BTreeMap<String, String>,
    pub(in crate::import) geometry: Geometry,
}

#[derive(Debug, Clone)]
pub(in crate::import) enum Geometry {
    Area(Area),
    /// A line, or a single point.
    Path(Vec<Point>),
}
