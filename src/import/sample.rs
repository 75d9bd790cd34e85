//! One sample of a data set: a picture and its drag, in the terms of drag files, whatever its source.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::drag_file::{Drag, DragRegion, Editable, MAX_POINTS, MAX_REGIONS, Shape};
use crate::error::{Error, ErrorKind, Result};
use crate::escape::is_unprintable;
use crate::geometry::{Point, PointPair, Size};
use crate::mask::{Mask, MaskReading, MaskSource};
use crate::method::Method;
use crate::outline::Outline;
use crate::warning::WarningKind;

/// Most characters of a region's name; a drag file permits 64.
const MAX_ID: usize = 56;
/// A polygon with more corners becomes a mask, so that a drag file with several stays below its limit.
const MAX_CORNERS: usize = MAX_POINTS / 10;

/// The method of samples that have points and no region: that of the benchmark whose points they are.
const OF_POINTS: Method = Method::DragDiffusion;

/// A sample of a source, before it is read.
pub(super) struct Entry {
    /// Its name in the source: names separated by `/`. Unique names for files are made of it.
    pub(super) id: String,
    /// Its category, if the source has one.
    pub(super) category: Option<String>,
    /// How messages name it.
    pub(super) place: PathBuf,
    /// Reads and converts it.
    pub(super) read: Box<Reading>,
}

/// Reads one sample. It is called twice: to check, and to write.
pub(super) type Reading = dyn Fn() -> Result<Sample> + Send + Sync;

/// A picture and its drag.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) picture: PictureSource,
    pub(super) size: Size,
    pub(super) prompt: String,
    pub(super) edit_prompt: Option<String>,
    pub(super) editable: Editable,
    /// The drag method, where the default one does not fit what the source has.
    pub(super) method: Option<Method>,
    pub(super) regions: Vec<DragRegion>,
    /// Mask pictures that the shapes name, beside the drag file.
    pub(super) masks: Vec<(String, Mask)>,
    /// Points that a metric compares and that are not handles of regions.
    pub(super) points: Vec<PointPair>,
    pub(super) choices: Vec<Choice>,
}

/// Where the bytes of a picture are.
#[derive(Debug, Clone)]
pub(super) enum PictureSource {
    File(PathBuf),
    Embedded(Vec<u8>),
}

/// Something that the source does not say, and what was chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Choice {
    /// What was chosen.
    pub(crate) kind: WarningKind,
    /// The region, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) region: Option<String>,
    /// The choice, and why.
    pub(crate) message: String,
}

/// An area of the picture.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Area {
    Outline(Outline),
    Mask(Mask),
}

impl Area {
    /// Returns the pixels of the area.
    pub(super) fn mask(&self, size: Size) -> Mask {
        match self {
            Self::Outline(outline) => outline.raster(size),
            Self::Mask(mask) => mask.clone(),
        }
    }

    /// Returns the union of several areas; one alone stays what it is.
    pub(super) fn union(mut areas: Vec<Self>, size: Size) -> Option<Self> {
        if areas.len() < 2 {
            return areas.pop();
        }
        let mut all = Mask::filled(size, false);
        for area in areas {
            for (pixel, inside) in all.data.iter_mut().zip(area.mask(size).data) {
                *pixel |= inside;
            }
        }
        Some(Self::Mask(all))
    }
}

impl Sample {
    /// Returns a sample without regions.
    pub(super) fn new(picture: PictureSource, size: Size) -> Self {
        Self {
            picture,
            size,
            prompt: String::new(),
            edit_prompt: None,
            editable: Editable::Swept,
            method: None,
            regions: Vec::new(),
            masks: Vec::new(),
            points: Vec::new(),
            choices: Vec::new(),
        }
    }

    /// Returns the area as a shape of the drag file. A mask, or an outline with very many corners, gets the file `NAME.png`.
    pub(super) fn shape(&mut self, area: Area, name: &str) -> Shape {
        let mask = match area {
            Area::Outline(Outline::Polygon(corners)) if corners.len() > MAX_CORNERS => {
                Outline::Polygon(corners).raster(self.size)
            }
            Area::Outline(outline) => return Shape::Outline(outline),
            Area::Mask(mask) => mask,
        };
        let file = format!("{name}.png");
        self.masks.push((file.clone(), mask));
        Shape::Mask {
            mask: MaskSource::File(file.into()),
            reading: MaskReading::default(),
        }
    }

    /// Sets the editable area to the pixels of a mask. One without any pixel means no limit in DragDiffusion's code, so that everything may
    /// change then.
    pub(super) fn set_editable(&mut self, mask: Mask) {
        let count = mask.count();
        if count == mask.data.len() {
            self.editable = Editable::Everything;
        } else if count == 0 {
            self.editable = Editable::Everything;
            self.choose(
                WarningKind::ImportEditable,
                None,
                "the source's mask of the editable area is empty, which means no limit: everything may change",
            );
        } else {
            self.editable = Editable::Shape(self.shape(Area::Mask(mask), "editable"));
        }
    }

    /// Adds a region, with a unique name like the given one, and returns that name.
    pub(super) fn add(&mut self, name: &str, drag: Drag) -> String {
        let id = self.free_id(name);
        self.regions.push(DragRegion {
            id: id.clone(),
            drag,
        });
        id
    }

    /// Adds a point drag for every pair. The source knows no region.
    pub(super) fn add_points(&mut self, pairs: &[PointPair]) {
        for points in pairs {
            self.add("", Drag::Point { points: *points });
        }
        self.choose(
            WarningKind::ImportType,
            None,
            "the source has points without regions: each is a `point`; give one a `type` and a `region` to drag an object",
        );
        self.method = Some(OF_POINTS);
        self.choose(
            WarningKind::ImportMethod,
            None,
            "the source has points without regions: the method `drag-diffusion` was chosen, which drags points; the default method barely moves what they stand on",
        );
    }

    /// Records a choice.
    pub(super) fn choose(&mut self, kind: WarningKind, region: Option<&str>, message: &str) {
        self.choices.push(Choice {
            kind,
            region: region.map(str::to_owned),
            message: message.to_owned(),
        });
    }

    /// Returns a name like this one that no region has: visible characters, not too many, else a number.
    fn free_id(&self, name: &str) -> String {
        let name: String = name
            .trim()
            .chars()
            .filter(|c| !is_unprintable(*c))
            .take(MAX_ID)
            .collect();
        let name = if name.is_empty() {
            format!("region-{}", self.regions.len() + 1)
        } else {
            name
        };
        let is_free = |id: &str| self.regions.iter().all(|region| region.id != id);
        let numbered = (2..).map(|number| format!("{name}-{number}"));
        std::iter::once(name.clone())
            .chain(numbered)
            .find(|id| is_free(id))
            .unwrap_or(name)
    }
}

/// Turns a list of points into pairs of handle and target, and pixel indices into coordinates: a pixel's centre lies half a pixel from its
/// index.
///
/// # Errors
/// [`Error::Given`] `import.value` for an odd or an empty list.
pub(super) fn pairs(points: &[Point], place: &Path) -> Result<Vec<PointPair>> {
    let (pairs, rest) = points.as_chunks::<2>();
    if pairs.is_empty() || !rest.is_empty() {
        let reason = format!(
            "`points` has {} points; handles and targets alternate, so it must be an even number above 0",
            points.len()
        );
        return Err(wrong(place, reason));
    }
    check_count(pairs.len(), place)?;
    Ok(pairs
        .iter()
        .map(|[handle, target]| PointPair {
            handle: centre(*handle),
            target: centre(*target),
        })
        .collect())
}

/// Returns the coordinates of the centre of the pixel with these indices.
pub(super) fn centre(index: Point) -> Point {
    Point::new(index.x + 0.5, index.y + 0.5)
}

/// Returns a point of a file, whose numbers must be finite.
pub(super) fn point(x: f64, y: f64, place: &Path) -> Result<Point> {
    if x.is_finite() && y.is_finite() {
        return Ok(Point::new(x, y));
    }
    Err(wrong(place, format!("a point has the value {x}, {y}")))
}

/// Checks that a sample has no more drags than a drag file may have, before any of them is converted.
///
/// # Errors
/// [`Error::Given`] `import.too_large`.
pub(super) fn check_count(drags: usize, place: &Path) -> Result<()> {
    if drags <= MAX_REGIONS {
        return Ok(());
    }
    Err(Error::Given {
        path: place.to_path_buf(),
        kind: ErrorKind::ImportTooLarge,
        reason: format!("has more than {MAX_REGIONS} drags for one picture"),
        hint: "a drag file holds at most that many regions and points; leave the others out of the source".into(),
    })
}

/// Returns the error of a file that a sample lacks.
pub(super) fn missing(path: PathBuf, reason: impl Into<String>) -> Error {
    Error::Given {
        path,
        kind: ErrorKind::ImportMissing,
        reason: reason.into(),
        hint: "`dragnext import --list` shows which files a sample has; `--keep-going` imports the other samples".into(),
    }
}

/// Returns the error of a value that cannot be used.
pub(super) fn wrong(place: &Path, reason: impl Into<String>) -> Error {
    Error::Given {
        path: place.to_path_buf(),
        kind: ErrorKind::ImportValue,
        reason: reason.into(),
        hint: "correct it in the source; `--keep-going` imports the other samples".into(),
    }
}
