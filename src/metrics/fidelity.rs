//! The figures that are made from LPIPS: image fidelity (IF = 1 - LPIPS) of whole pictures and of the areas of a drag.
//!
//! DragDiffusion's script (arXiv 2306.14435) compares whole pictures at 224 x 224. DragNeXt (arXiv 2506.07611, equations 11 to 13) and DragFlow
//! compare areas and leave open how an area is selected. Here an area is compared at full size: both pictures, from -1 to 1, are multiplied by
//! its mask, so that the rest is mid-grey in both. The value then depends on the area's share of the picture; the cropped variants see only the
//! bounding rectangle, grown to 64 pixels where it is smaller. Values are comparable within this program, not with the papers' tables.

use super::case::Case;
use super::lpips::{Lpips, MIN_SIDE, Pixels};
use super::metric::{Better, Figure, MeanOver, Metric, Reading};
use super::select::{automatic_mask, crop, moved, outside};
use crate::error::Result;
use crate::geometry::Size;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::mask::Mask;

/// Side at which DragDiffusion's script compares pictures.
const SCRIPT_SIDE: usize = 224;

/// Name, better values, meaning.
type FigureEntry = (&'static str, Better, &'static str);

/// The figures, in the order of their readings.
const FIGURES: [FigureEntry; 9] = [
    (
        "IF(224)",
        Better::Higher,
        "1 - LPIPS of the pictures at 224 x 224, bilinear without antialiasing, as DragDiffusion's script",
    ),
    (
        "IF",
        Better::Higher,
        "1 - LPIPS of the pictures at their own size",
    ),
    (
        "IF_ed",
        Better::Higher,
        "1 - LPIPS in the editable area (DragNeXt, equation 11)",
    ),
    (
        "IF_hh (IF_s2s)",
        Better::Lower,
        "1 - LPIPS in the regions before the drag: their content must leave (DragNeXt, equation 12; DragFlow)",
    ),
    (
        "IF_th (IF_s2t)",
        Better::Higher,
        "1 - LPIPS of the original, moved by the whole drag, and the edit, in the regions after the drag (DragNeXt, equation 13; DragFlow)",
    ),
    (
        "IF_hh (cropped)",
        Better::Lower,
        "IF_hh in the bounding rectangle of each region",
    ),
    (
        "IF_th (cropped)",
        Better::Higher,
        "IF_th in the bounding rectangle of each moved region",
    ),
    (
        "IF_bg",
        Better::Higher,
        "1 - LPIPS outside the smallest rectangle, of any direction, around each region before and after the drag (DragFlow)",
    ),
    (
        "LPIPS outside",
        Better::Lower,
        "LPIPS outside the editable area",
    ),
];

/// IF and its relatives.
#[derive(Debug)]
pub(crate) struct Fidelity<B: Backend> {
    network: Lpips<B>,
    figures: Vec<Figure>,
}

impl<B: Backend> Fidelity<B> {
    /// Creates the metric with a network, whose weights have this SHA-256.
    pub(crate) fn new(network: Lpips<B>, sha256: &str) -> Self {
        let figure = |(name, better, meaning): FigureEntry| Figure {
            name: name.into(),
            meaning,
            better,
            mean_over: MeanOver::Edits,
            weights: Some(sha256.into()),
            digits: 4,
        };
        Self {
            network,
            figures: FIGURES.map(figure).to_vec(),
        }
    }

    /// Returns the names of the figures.
    pub(crate) fn names() -> Vec<String> {
        FIGURES.map(|(name, ..)| name.to_owned()).to_vec()
    }

    fn fidelity(&self, x: &Pixels, y: &Pixels) -> Result<f64> {
        Ok(1.0 - self.network.distance(x, y)?)
    }

    /// Returns IF within a mask, at full size.
    fn within(&self, x: &Pixels, y: &Pixels, mask: &Mask) -> Result<f64> {
        self.fidelity(&x.within(mask), &y.within(mask))
    }

    /// Returns IF within a mask, in its bounding rectangle; `None` for an empty mask.
    fn cropped(&self, x: &Pixels, y: &Pixels, mask: &Mask) -> Result<Option<f64>> {
        let Some((corner, size)) = crop(mask) else {
            return Ok(None);
        };
        let part = |pixels: &Pixels| pixels.within(mask).cropped(corner, size);
        self.fidelity(&part(x), &part(y)).map(Some)
    }
}

impl<B: Backend> Metric for Fidelity<B> {
    fn figures(&self) -> &[Figure] {
        &self.figures
    }

    fn measure(&mut self, case: &Case, interrupt: &Interrupt) -> Result<Vec<Reading>> {
        let Size { width, height } = case.original.size();
        if width < MIN_SIDE || height < MIN_SIDE {
            let reason = format!("the picture is narrower than {MIN_SIDE} pixels");
            return Ok(vec![Reading::Undefined(reason); FIGURES.len()]);
        }
        let (x, y) = (Pixels::of(case.original), Pixels::of(case.edited));
        let areas = case.areas;
        let script = Size::new(SCRIPT_SIDE, SCRIPT_SIDE);
        let at_224 = self.fidelity(&x.resized(script), &y.resized(script))?;
        interrupt.check()?;
        let whole = self.fidelity(&x, &y)?;
        let editable = match &areas.editable {
            None => whole,
            Some(mask) => self.within(&x, &y, mask)?,
        };

        let [mut before, mut after] = [Vec::new(), Vec::new()];
        let [mut before_cropped, mut after_cropped] = [Vec::new(), Vec::new()];
        for region in &areas.regions {
            interrupt.check()?;
            if region.mask.count() > 0 {
                before.push(self.within(&x, &y, &region.mask)?);
                before_cropped.extend(self.cropped(&x, &y, &region.mask)?);
            }
            let (moved, covered) = moved(&x, region);
            if covered.count() > 0 {
                after.push(self.within(&moved, &y, &covered)?);
                after_cropped.extend(self.cropped(&moved, &y, &covered)?);
            }
        }

        interrupt.check()?;
        let background = match outside(&automatic_mask(x.size, &areas.regions)) {
            Some(mask) => Reading::Value(self.within(&x, &y, &mask)?),
            None => Reading::Undefined("the regions' rectangles cover the picture".into()),
        };
        let distance_outside = match areas.editable.as_ref().and_then(outside) {
            Some(mask) => Reading::Value(1.0 - self.within(&x, &y, &mask)?),
            None => Reading::Undefined(super::outside::EVERYTHING.into()),
        };
        let regions = |samples| Reading::of_samples(samples, "no region covers a pixel");
        Ok(vec![
            Reading::Value(at_224),
            Reading::Value(whole),
            Reading::Value(editable),
            regions(before),
            regions(after),
            regions(before_cropped),
            regions(after_cropped),
            background,
            distance_outside,
        ])
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::drag_file::DragFile;
    use crate::metrics::lpips::tests::network;
    use crate::picture::Picture;
    use crate::plan::areas;

    const SIZE: Size = Size::new(120, 100);
    const DRAG: &str = r#"{"version": 1, "regions": [{"type": "translation", "region": {"rect": [10, 30, 40, 60]}, "handle": [20, 40], "target": [80, 50]}]}"#;

    /// Returns a grey picture with a chequered square whose top left corner is at (`x`, `y`).
    fn square([x, y]: [usize; 2]) -> Picture {
        let pixels = (0..SIZE.area()).flat_map(|place| {
            let (column, row) = (place % SIZE.width, place / SIZE.width);
            if (x..x + 30).contains(&column) && (y..y + 30).contains(&row) {
                let dark = ((column - x) / 5 + (row - y) / 7) % 2 == 0;
                if dark { [20, 40, 90] } else { [220, 180, 60] }
            } else {
                [128; 3]
            }
        });
        Picture::from_rgb(SIZE, pixels.collect())
    }

    /// Returns the value of each figure for an edit of the picture with the square at (10, 30).
    fn measured(drag: &str, edited: &Picture) -> Vec<(&'static str, Option<f64>)> {
        let drag = DragFile::parse(drag.as_bytes()).expect("a valid drag file");
        let case = Case {
            id: "",
            original: &square([10, 30]),
            edited,
            original_path: Path::new(""),
            edited_paths: &[],
            edit: 0,
            drag: &drag,
            areas: &areas(&drag, SIZE).expect("the drag fits"),
        };
        let mut metric = Fidelity::new(network(), "");
        let readings = metric
            .measure(&case, &Interrupt::never())
            .expect("finite features");
        let value = |reading: Reading| match reading {
            Reading::Value(value) => Some(value),
            Reading::Samples(samples) => Some(samples[0]),
            Reading::Undefined(_) => None,
        };
        let names = FIGURES.iter().map(|(name, ..)| *name);
        names.zip(readings.into_iter().map(value)).collect()
    }

    fn of(values: &[(&str, Option<f64>)], name: &str) -> f64 {
        let (_, value) = values
            .iter()
            .find(|(figure, _)| *figure == name)
            .expect(name);
        value.expect(name)
    }

    #[test]
    fn doing_nothing_keeps_everything() {
        let values = measured(DRAG, &square([10, 30]));
        for name in [
            "IF(224)",
            "IF",
            "IF_ed",
            "IF_hh (IF_s2s)",
            "IF_hh (cropped)",
            "IF_bg",
        ] {
            assert_eq!(of(&values, name), 1.0, "{name}");
        }
        assert_eq!(of(&values, "LPIPS outside"), 0.0);
        assert!(of(&values, "IF_th (IF_s2t)") < 1.0);
    }

    #[test]
    fn the_true_result_moves_the_content() {
        let (nothing, moved) = (
            measured(DRAG, &square([10, 30])),
            measured(DRAG, &square([70, 40])),
        );
        for name in ["IF_th (IF_s2t)", "IF_th (cropped)"] {
            assert_eq!(of(&moved, name), 1.0, "{name}");
            assert!(of(&nothing, name) < of(&moved, name), "{name}");
        }
        for name in ["IF_hh (IF_s2s)", "IF_hh (cropped)", "IF_ed"] {
            assert!(of(&moved, name) < 1.0, "{name}");
        }
        let crop = of(&moved, "IF_hh (cropped)");
        assert!(crop < of(&moved, "IF_hh (IF_s2s)"), "a crop has less grey");
        // The background of a square that moves is untouched.
        assert_eq!(of(&moved, "IF_bg"), 1.0);
    }

    #[test]
    fn nothing_lies_outside_an_area_that_covers_the_picture() {
        let drag = DRAG.replace("\"regions\"", "\"editable\": \"everything\", \"regions\"");
        let values = measured(&drag, &square([70, 40]));
        let outside = values.iter().find(|(name, _)| *name == "LPIPS outside");
        assert_eq!(outside, Some(&("LPIPS outside", None)));
        assert_eq!(of(&values, "IF"), of(&values, "IF_ed"));
    }
}
