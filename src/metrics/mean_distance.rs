//! The mean distance between where dragged content is found and where it should be ([`crate::correspondence`]), by every variant of the papers.

use super::case::Case;
use super::metric::{Better, Figure, MeanOver, Metric, Reading};
use crate::correspondence::{AnyDift, Dragged, Variant, centroid, distances};
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::mask::Mask;
use crate::picture::Picture;

/// Mean distances with the features of one model.
#[derive(Debug)]
pub(crate) struct MeanDistance {
    dift: Box<dyn AnyDift>,
    figures: Vec<Figure>,
}

impl MeanDistance {
    /// Returns the names of the figures with Stable Diffusion 2.1, with which papers compute them.
    pub(crate) fn names() -> Vec<String> {
        Variant::ALL.map(|variant| variant.name().into()).to_vec()
    }

    /// Measures with a model. With one of another form than Stable Diffusion 2.1, the figures' names say which.
    pub(crate) fn new(dift: Box<dyn AnyDift>) -> Self {
        let model = dift.model();
        let figure = |variant: Variant| Figure {
            name: if model.is_sd21 {
                variant.name().into()
            } else {
                format!("{} [{}]", variant.name(), model.name)
            },
            meaning: variant.description(),
            better: Better::Lower,
            mean_over: if variant.is_over_drags() {
                MeanOver::Samples
            } else {
                MeanOver::Edits
            },
            weights: Some(model.sha256.clone()),
            digits: if variant.is_over_drags() { 2 } else { 4 },
        };
        Self {
            figures: Variant::ALL.map(figure).to_vec(),
            dift,
        }
    }
}

impl Metric for MeanDistance {
    fn figures(&self) -> &[Figure] {
        &self.figures
    }

    fn measure(&mut self, case: &Case, interrupt: &Interrupt) -> Result<Vec<Reading>> {
        let size = case.original.size();
        let [source, edited] = [case.original, case.edited].map(Picture::rgb);
        let centroids: Vec<_> = case.areas.regions.iter().filter_map(centroid).collect();
        let everywhere = Mask::filled(size, true);
        let dragged = Dragged {
            size,
            source: &source,
            edited: &edited,
            prompt: &case.drag.prompt,
            points: &case.areas.pairs,
            centroids: &centroids,
            editable: case.areas.editable.as_ref().unwrap_or(&everywhere),
        };
        let found = distances(&*self.dift, &dragged, &Variant::ALL, interrupt)?;
        let reading = |(_, samples)| {
            Reading::of_samples(samples, "no drag, or no pixel where its match may lie")
        };
        Ok(found.into_iter().map(reading).collect())
    }
}
