//! DragBench, released with DragDiffusion (arXiv 2306.14435): `CATEGORY/SAMPLE/{original_image.png, meta_data.pkl}`.
//!
//! `meta_data.pkl` is a dictionary of `prompt`, `points` (pixel indices `[x, y]`, handles and targets in turn) and `mask` (0 or 1 for each
//! pixel, 1 may change).

use std::path::Path;

use super::pickle::{self, PickleError, Value};
use super::root::{Folder, Root};
use super::sample::{PictureSource, Sample, pairs, point, wrong};
use crate::error::{Error, ErrorKind, Result};
use crate::geometry::{Point, Size};
use crate::mask::Mask;
use crate::picture;

/// The picture of a sample.
pub(super) const PICTURE: &str = "original_image.png";
/// The points and the mask of a sample.
pub(super) const META: &str = "meta_data.pkl";

/// Returns whether a folder is a sample, perhaps an incomplete one.
pub(super) fn is_sample(folder: &Folder) -> bool {
    folder.has(PICTURE) || folder.has(META)
}

/// Reads the sample in a folder.
pub(super) fn read(root: &Root, folder: &Path) -> Result<Sample> {
    let picture = root.file(&folder.join(PICTURE))?;
    let size = picture::size(&picture)?;
    let mut sample = Sample::new(PictureSource::File(picture), size);
    let meta = Meta::read(root, &folder.join(META))?;
    sample.prompt.clone_from(&meta.prompt);
    sample.add_points(&pairs(&meta.points, &root.folder().join(folder))?);
    meta.set_editable(&mut sample)?;
    Ok(sample)
}

/// The content of a pickle of this family of data sets.
pub(super) struct Meta {
    pub(super) prompt: String,
    /// As stored: pixel indices.
    pub(super) points: Vec<Point>,
    mask: Option<Mask>,
    place: std::path::PathBuf,
}

impl Meta {
    /// Reads a pickle.
    ///
    /// # Errors
    /// [`Error::Given`] `import.*`.
    pub(super) fn read(root: &Root, relative: &Path) -> Result<Self> {
        let bytes = root.read(relative, pickle::MAX_BYTES)?;
        let place = root.folder().join(relative);
        let loaded = pickle::load(&bytes).map_err(|error| refused(&error, &place))?;
        let value = loaded.root();
        if !value.is_dict() {
            return Err(wrong(
                &place,
                format!("holds {}, not a dictionary", value.kind()),
            ));
        }
        let prompt = value.get("prompt");
        let points = value
            .get("points")
            .ok_or_else(|| wrong(&place, "has no `points`"))?;
        Ok(Self {
            prompt: prompt.and_then(Value::text).unwrap_or_default(),
            points: points_of(points, &place)?,
            mask: value
                .get("mask")
                .map(|mask| mask_of(mask, &place))
                .transpose()?,
            place,
        })
    }

    /// Sets the editable area of a sample to the mask.
    pub(super) fn set_editable(self, sample: &mut Sample) -> Result<()> {
        let Some(mask) = self.mask else {
            return Ok(());
        };
        if mask.size() != sample.size {
            let reason = format!(
                "the mask is {} pixels, the picture is {}",
                mask.size(),
                sample.size
            );
            return Err(wrong(&self.place, reason));
        }
        sample.set_editable(mask);
        Ok(())
    }
}

/// Reads points from a list of pairs, or from an array of two columns.
fn points_of(value: Value, place: &Path) -> Result<Vec<Point>> {
    let is_no_point = || wrong(place, "`points` is not a list of points [x, y]");
    if let Some(array) = value.array() {
        let [rows, 2] = *array.shape() else {
            return Err(is_no_point());
        };
        return (0..rows)
            .map(|row| point(array.at(2 * row), array.at(2 * row + 1), place))
            .collect();
    }
    value
        .list()
        .ok_or_else(is_no_point)?
        .map(|entry| {
            let [x, y] = numbers(entry).ok_or_else(is_no_point)?;
            point(x, y, place)
        })
        .collect()
}

/// Returns the two numbers of a list, a tuple or an array.
fn numbers(value: Value) -> Option<[f64; 2]> {
    if let Some(array) = value.array() {
        return (array.shape() == [2]).then(|| [array.at(0), array.at(1)]);
    }
    let numbers: Vec<f64> = value
        .list()?
        .take(3)
        .map(Value::number)
        .collect::<Option<_>>()?;
    numbers.try_into().ok()
}

/// Reads a mask: every value above 0 is inside. Of several channels the first counts.
fn mask_of(value: Value, place: &Path) -> Result<Mask> {
    let array = value.array().ok_or_else(|| {
        wrong(
            place,
            format!("`mask` is {}, not a numpy array", value.kind()),
        )
    })?;
    let (height, width, channels) = match *array.shape() {
        [height, width] => (height, width, 1),
        [height, width, channels @ 1..=4] => (height, width, channels),
        _ => {
            return Err(wrong(
                place,
                format!("`mask` has the shape {:?}", array.shape()),
            ));
        }
    };
    let size = Size::new(width, height);
    if (0..size.area()).any(|pixel| array.at(pixel * channels).is_nan()) {
        return Err(wrong(place, "`mask` has values that are not numbers (NaN)"));
    }
    Ok(Mask {
        width,
        height,
        data: (0..size.area())
            .map(|pixel| array.at(pixel * channels) > 0.0)
            .collect(),
    })
}

fn refused(error: &PickleError, place: &Path) -> Error {
    let (kind, hint) = match error {
        PickleError::Damaged { .. } => (
            ErrorKind::ImportDamaged,
            "download or copy it again; `--keep-going` imports the other samples",
        ),
        PickleError::Refused(_) => (
            ErrorKind::ImportRefused,
            "nothing of the file was run; if you trust it, save `points` with `.tolist()` and `mask` as a numpy array in Python",
        ),
        PickleError::TooLarge(_) => (
            ErrorKind::ImportTooLarge,
            "no sample of the data set is that large; `--keep-going` imports the others",
        ),
    };
    Error::Given {
        path: place.to_path_buf(),
        kind,
        reason: error.to_string(),
        hint: hint.into(),
    }
}
