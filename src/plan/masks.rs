//! Checks of a drag file's masks without its image.

use std::collections::HashSet;
use std::path::Path;

use super::findings::Findings;
use super::shapes::{SourceShape, read_shape};
use crate::drag_file::{DragFile, Shape};
use crate::error::{DragFileFault, Error, ErrorKind, Result};
use crate::geometry::Size;
use crate::mask::{Mask, MaskSource, NotedMask};

/// Reads the masks that a drag file names. Each must be a picture with white pixels, and all must have one size.
///
/// # Errors
/// [`Error::Instruction`] with the faults of all masks.
pub fn check_masks(drag: &DragFile, drag_path: &Path) -> Result<()> {
    let folder = drag_path.parent().unwrap_or(Path::new(""));
    let mut findings = Findings::new(drag);
    let mut first: Option<(&MaskSource, Size)> = None;
    let mut seen = HashSet::new();
    for (pointer, shape) in drag.shapes() {
        let Shape::Mask {
            mask: name,
            reading,
        } = shape
        else {
            continue;
        };
        if !seen.insert((name, reading)) {
            continue;
        }
        let pointer = format!("{pointer}/mask");
        match Mask::read_any(&name.seen_from(folder), *reading) {
            Err(error) => findings.mask_fault(&pointer, &error),
            Ok(NotedMask { mask, .. }) => {
                let (size, (other, expected)) =
                    (mask.size(), *first.get_or_insert((name, mask.size())));
                if size != expected {
                    let message =
                        format!("the mask is {size} pixels, the mask `{other}` is {expected}");
                    findings.fault(
                        ErrorKind::MaskSize,
                        &pointer,
                        message,
                        "all masks have the size of the upright image",
                    );
                } else if mask.count() == 0 {
                    findings.fault(
                        ErrorKind::MaskEmpty,
                        &pointer,
                        "no pixel of the mask is inside".into(),
                        "white is inside",
                    );
                }
            }
        }
    }
    if findings.faults.is_empty() {
        Ok(())
    } else {
        Err(Error::Instruction {
            path: drag_path.to_owned(),
            faults: findings.faults,
        })
    }
}

/// Reads the masks that a drag file names or contains, for an image of size `image`. Returns each with the JSON pointer to it, and the faults
/// of those that cannot be read.
pub(crate) fn read_masks(
    drag: &DragFile,
    drag_path: &Path,
    image: Size,
) -> (Vec<(String, Mask)>, Vec<DragFileFault>) {
    let folder = drag_path.parent().unwrap_or(Path::new(""));
    let mut findings = Findings::new(drag);
    let mut masks = Vec::new();
    for (pointer, shape) in drag.shapes() {
        if let Some(SourceShape::Mask(mask)) =
            read_shape(&mut findings, shape, folder, &pointer, image)
        {
            masks.push((format!("{pointer}/mask"), mask));
        }
    }
    (masks, findings.faults)
}
