//! One edit, fully resolved before any weight is read: sizes, regions in working coordinates, and where the picture may change.
//!
//! Planning takes the drag file, the image's size and the settings, and reads the masks that the drag file names. It needs
//! neither the image's pixels nor a model. Faults have places in the drag file, like the parser's; doubtful conditions become
//! warnings.

mod amount;
mod areas;
mod checks;
mod defaults;
mod degree;
mod editable;
mod findings;
mod in_force;
mod masks;
mod motion;
mod prompts;
mod regions;
mod request;
mod series;
mod settings;
mod several;
mod shapes;
#[cfg(test)]
mod tests;
mod window;

use std::path::Path;

use crate::drag_file::DragFile;
use crate::error::{DragFileFault, Error, Result};
use crate::geometry::{Frame, Size, Window};
use crate::mask::Mask;
use crate::method::{Misfit, Subject, Targets};
use crate::model::Model;
use crate::region::{Region, RegionKind};
use crate::settings::WindowChoice;
use crate::warning::{Warning, WarningKind};

use editable::{EditableArea, SourceEditable};
use findings::Findings;
use window::Needed;

pub use amount::Amount;
pub(crate) use areas::{Areas, areas};
pub use degree::Degree;
pub use in_force::{InForce, Layer, Origin, in_force};
pub use masks::check_masks;
pub(crate) use masks::read_masks;
pub use prompts::{absent_embedding, cut_prompt, long_prompts, unused_edit_prompt};
pub use request::{ModelFacts, Request, SD15_SIZE};
pub use settings::{Choice, Settings};
pub use several::check_methods;
pub(crate) use shapes::POINT_RADIUS;

/// A result that is enlarged by more than this gets a warning.
const MAX_ENLARGEMENT: f64 = 1.5;

/// Everything that decides an edit except the image's pixels and the weights.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How the image lies in the working picture.
    pub frame: Frame,
    /// What the picture shows.
    pub prompt: String,
    /// What the edited picture shows, for methods that follow a text.
    pub edit_prompt: Option<String>,
    /// The regions that move. When there are none, the output is the input.
    pub regions: Vec<Region>,
    /// The same regions at the picture's own resolution, in the coordinates of the frame's window ([`Frame::native`]).
    pub native_regions: Vec<Region>,
    /// The regions that move by less than is visible, which the edit leaves out.
    pub still: Vec<Region>,
    /// Where the working picture may change, at its padded size; `None` means everywhere.
    pub editable: Option<Mask>,
    /// The same area at the image's size.
    pub editable_source: Option<Mask>,
    /// How far the drag is carried out.
    pub amount: Amount,
    /// The resolved settings.
    pub settings: Settings,
    /// The doubtful conditions.
    pub warnings: Vec<Warning>,
}

/// A plan of all that fits the image, and the faults of the rest. With faults it can be shown, but not edited.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The plan without what has faults.
    pub plan: Plan,
    /// Everything in the drag file that does not fit the image, in the order of its places.
    pub faults: Vec<DragFileFault>,
}

impl Plan {
    /// Plans the edit of an upright image of size `source`. Relative paths of masks start at the folder of `drag_path`. The shorter
    /// side of the working picture is `model_size` unless the settings give another.
    ///
    /// # Errors
    /// [`Error::Instruction`] with everything in the drag file that does not fit the image.
    pub fn new(
        drag: &DragFile,
        drag_path: &Path,
        source: Size,
        settings: &Settings,
        model_size: usize,
    ) -> Result<Self> {
        let amount = Amount::WHOLE;
        let Draft { plan, faults } =
            Self::draft(drag, drag_path, source, settings, model_size, amount);
        if faults.is_empty() {
            Ok(plan)
        } else {
            Err(Error::Instruction {
                path: drag_path.to_owned(),
                faults,
            })
        }
    }

    /// Plans as much as the faults of the drag file allow, with the drag carried out to `amount`; other arguments as in [`Plan::new`].
    pub fn draft(
        drag: &DragFile,
        drag_path: &Path,
        source: Size,
        settings: &Settings,
        model_size: usize,
        amount: Amount,
    ) -> Draft {
        let size = settings.frame.working_size(model_size);
        let folder = drag_path.parent().unwrap_or(Path::new(""));
        let mut findings = Findings::new(drag);
        findings
            .warnings
            .extend(unused_edit_prompt(drag, &settings.method));

        let areas = drag.regions.iter().enumerate().map(|(index, region)| {
            let pointer = format!("/regions/{index}/region");
            shapes::read_area(&mut findings, &region.drag, folder, &pointer, source)
        });
        let areas: Vec<_> = areas.collect();
        let editable = SourceEditable::read(&mut findings, folder, source);
        let window = match settings.frame.window {
            WindowChoice::Auto => {
                let needed = Needed::new(drag, &areas, &editable, settings.frame.margin, amount);
                window::choose(needed, source, size)
            }
            WindowChoice::Full => Window::whole(source),
        };
        let frame = Frame::windowed(source, window, size);

        let regions = areas.iter().enumerate().filter_map(|(index, area)| {
            regions::region(&mut findings, index, area.as_ref(), &frame)
        });
        let regions: Vec<Region> = regions.collect();
        let amount = regions::checked(&mut findings, &regions, amount, &frame);
        let reaching = carried_out(&regions, amount.largest());
        let is_still = |region: &Region| settings.method.is_still(region, &frame);
        let (_, reaching): (Vec<_>, Vec<_>) = reaching.into_iter().partition(is_still);
        let regions = carried_out(&regions, amount.value());
        let (still, regions): (Vec<_>, Vec<_>) = regions.into_iter().partition(is_still);
        // With nothing carried out, it is no surprise that nothing moves.
        let noticed = if amount.value() > 0.0 {
            &still[..]
        } else {
            &[]
        };
        regions::compare(&mut findings, &regions, noticed, &frame);
        let moving = drag
            .regions
            .iter()
            .zip(&areas)
            .filter_map(|(region, area)| {
                let moves = regions.iter().any(|moving| moving.id == region.id);
                area.as_ref().filter(|_| moves).map(|area| (region, area))
            });
        let native_regions = moving
            .map(|(region, area)| regions::native(region, area, &frame).carried_out(amount.value()))
            .collect();
        let area = editable.area(&mut findings, &reaching, &frame, settings.frame.margin);
        editable::compare(&mut findings, &area, &regions, &frame);
        if !regions.is_empty() && !keeps_pixels(settings) {
            warn_of_enlargement(&mut findings, &frame);
        }
        warn_of_points(&mut findings, &regions, settings);
        let (editable, editable_source) = match area {
            EditableArea::Everything => (None, None),
            EditableArea::Part { working, source } => (Some(working), Some(source)),
        };
        let Findings {
            mut faults,
            warnings,
            ..
        } = findings;
        faults.sort_by_key(|fault| (fault.line, fault.column));
        let plan = Self {
            frame,
            prompt: drag.prompt.clone(),
            edit_prompt: drag.edit_prompt.clone(),
            regions,
            native_regions,
            still,
            editable,
            editable_source,
            amount,
            settings: settings.clone(),
            warnings,
        };
        Draft { plan, faults }
    }

    /// Returns what the edited picture shows: the edit prompt, else the prompt.
    pub fn goal(&self) -> &str {
        self.edit_prompt.as_deref().unwrap_or(&self.prompt)
    }

    /// Checks, before any weight is read, that the model has what the method needs. Returns warnings about prompts that are longer than it reads, and about
    /// embeddings that the prompt does not name.
    ///
    /// # Errors
    /// [`Error::Weights`] and [`Error::Hub`] when the method needs a CLIP and it is missing or of another kind, and for a damaged tokenizer.
    pub fn check_model(&self, model: &Model) -> Result<Vec<Warning>> {
        let excess = model.excess(&self.prompt)?;
        let mut warnings: Vec<Warning> = excess
            .map(|excess| cut_prompt("prompt", &excess))
            .into_iter()
            .collect();
        let absent = model.absent_embeddings(&self.prompt)?;
        warnings.extend(absent.iter().map(|word| absent_embedding(word)));
        if self.settings.method.needs().clip && !self.regions.is_empty() {
            let excess = model.clip()?.excess(self.goal())?;
            warnings.extend(excess.map(|excess| cut_prompt(self.goal_key(), &excess)));
        }
        Ok(warnings)
    }

    /// Returns the key of the drag file that [`Plan::goal`] is from.
    pub(crate) fn goal_key(&self) -> &'static str {
        if self.edit_prompt.is_some() {
            "edit_prompt"
        } else {
            "prompt"
        }
    }

    /// Returns everything of this plan that does not fit its method. `decoder_stages` is `None` while the model is not known.
    pub(crate) fn misfits(&self, decoder_stages: Option<usize>) -> Vec<Misfit> {
        self.settings.method.misfits(&Subject {
            regions: &self.regions,
            frame: &self.frame,
            goal: self.goal(),
            decoder_stages,
            diffusion: &self.settings.diffusion,
            editable: self.editable.as_ref(),
        })
    }

    /// Checks that the method's settings fit the model.
    ///
    /// # Errors
    /// [`Error::Setting`] for the first one that does not.
    pub fn check_settings(&self, decoder_stages: Option<usize>) -> Result<()> {
        for misfit in self.misfits(decoder_stages) {
            if let Misfit::Setting {
                name,
                value,
                reason,
            } = misfit
            {
                let name = name.replace('_', "-");
                return Err(Error::Setting {
                    name,
                    value,
                    reason,
                });
            }
        }
        Ok(())
    }

    /// Returns the weight of the edited picture at each pixel of the image, row by row: 0 outside the editable area, rising inside
    /// it to 1 over `feather` working pixels. `None` means 1 everywhere.
    pub fn blend(&self) -> Option<Vec<f32>> {
        let area = self.editable_source.as_ref()?;
        let feather = self.settings.frame.feather as f64 / self.frame.scale().mean();
        let step = 1.0 / (feather as f32 + 1.0);
        Some(
            area.depth()
                .0
                .into_iter()
                .map(|depth| (depth * step).min(1.0))
                .collect(),
        )
    }
}

fn carried_out(regions: &[Region], amount: f64) -> Vec<Region> {
    regions
        .iter()
        .map(|region| region.clone().carried_out(amount))
        .collect()
}

/// Returns whether the result has the pixels of the warped picture, so that the network's resolution plays no part.
fn keeps_pixels(settings: &Settings) -> bool {
    let has_new = true;
    settings.warp.detail >= 1.0 && settings.method.keeps_warped(&settings.diffusion, has_new)
}

/// Warns of single points where the method moves what a region encloses.
fn warn_of_points(findings: &mut Findings, regions: &[Region], settings: &Settings) {
    if settings.method.needs().targets != Targets::Regions {
        return;
    }
    let points = regions
        .iter()
        .filter(|region| region.kind == RegionKind::Point);
    for point in points {
        let message = format!(
            "region `{}` is a point, and `{}` moves only the spot around it; `--method drag-diffusion` pulls what it stands on, and a region moves an object",
            point.id,
            settings.method.method().name()
        );
        findings.warn(WarningKind::RegionPoint, message);
    }
}

/// Warns when the edited area is pasted much larger than it was computed, which loses the photograph's detail.
fn warn_of_enlargement(findings: &mut Findings, frame: &Frame) {
    let factor = 1.0 / frame.scale().mean();
    if factor > MAX_ENLARGEMENT {
        let message = format!(
            "what the model paints is computed at {} and enlarged {factor:.1} times, so it is less sharp than the picture",
            frame.content
        );
        findings.warn(WarningKind::PictureEnlarged, message);
    }
}
