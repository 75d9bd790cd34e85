//! The areas of a drag at the picture's own resolution, for metrics. No model and no method is involved.

use std::path::Path;

use super::findings::Findings;
use super::{Amount, Choice, Draft, Plan, SD15_SIZE, Settings, regions, shapes};
use crate::drag_file::DragFile;
use crate::error::{Error, Result};
use crate::geometry::{Frame, PointPair, Size};
use crate::mask::Mask;
use crate::region::Region;
use crate::settings::Overrides;

/// A drag on its picture, at the picture's own resolution.
#[derive(Debug, Clone)]
pub(crate) struct Areas {
    /// All regions of the drag file, in its order, also those that hardly move. A point is a disc.
    pub regions: Vec<Region>,
    /// Handles and targets: those of the drag file; where it gives an angle or a factor, the region's pixel that moves most.
    pub pairs: Vec<PointPair>,
    /// Where the picture may change; `None` means everywhere.
    pub editable: Option<Mask>,
}

/// Returns the regions, points and editable area of a drag on an upright picture of size `source`.
///
/// A drag file without `editable` gets the area that the drag sweeps with the default margin, measured on a picture whose shorter side is 512,
/// or less if the picture is smaller: the area belongs to the drag, not to the method or the model that carried it out.
///
/// # Errors
/// [`Error::Instruction`] with everything in the drag file that does not fit the picture.
pub(crate) fn areas(drag: &DragFile, source: Size) -> Result<Areas> {
    let settings = Settings::resolve(&Choice::of(Overrides::from([("window", "full")])))?;
    let size = source.width.min(source.height).min(SD15_SIZE);
    let Draft { plan, faults } =
        Plan::draft(drag, &drag.path, source, &settings, size, Amount::WHOLE);
    if !faults.is_empty() {
        let path = drag.path.clone();
        return Err(Error::Instruction { path, faults });
    }
    let folder = drag.path.parent().unwrap_or(Path::new(""));
    let (mut findings, frame) = (Findings::new(drag), Frame::new(source, size));
    let regions = drag
        .regions
        .iter()
        .enumerate()
        .filter_map(|(index, entry)| {
            let pointer = format!("/regions/{index}/region");
            let area = shapes::read_area(&mut findings, &entry.drag, folder, &pointer, source)?;
            Some(regions::native(entry, &area, &frame))
        });
    let regions: Vec<_> = regions.collect();
    let pairs = drag
        .regions
        .iter()
        .zip(&regions)
        .flat_map(|(entry, region)| {
            let given = entry.drag.pairs();
            if given.is_empty() {
                vec![region.points]
            } else {
                given
            }
        });
    Ok(Areas {
        pairs: pairs.collect(),
        editable: plan.editable_source,
        regions,
    })
}
