//! One edit, fully resolved before any weight is read: sizes, regions in working coordinates, and where the picture may change.
//!
//! Planning knows the drag file and the image's size, and reads the masks that the file names; it needs neither the image's
//! pixels nor a model. What is wrong is reported like a fault of the file's text, with its place; what is merely doubtful
//! becomes a warning.

mod defaults;
mod editable;
mod findings;
mod in_force;
mod masks;
mod regions;
mod request;
mod settings;
mod shapes;
#[cfg(test)]
mod tests;
mod window;

use std::path::Path;

use crate::drag_file::{DragFile, Editable};
use crate::error::{DragFileFault, Error, Result};
use crate::geometry::{Frame, Size, Window};
use crate::mask::Mask;
use crate::method::{Misfit, Subject};
use crate::region::Region;
use crate::settings::WindowChoice;
use crate::warning::{Warning, WarningKind};

use editable::Area;
use findings::Findings;
use shapes::SourceShape;

pub use in_force::{InForce, Layer, Origin, in_force};
pub use masks::check_masks;
pub use request::{ModelFacts, Request, SD15_SIZE};
pub use settings::{Choice, Settings};

/// The result may be enlarged so many times before the user is told.
const MAX_ENLARGEMENT: f64 = 1.5;

/// What the drag file says of the editable area; a shape that could not be read is none.
enum Given<'a> {
    Nothing,
    Everything,
    Shape(Option<SourceShape<'a>>),
}

/// Everything that an edit needs to know beside the image's pixels and the weights.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How the image lies in the working picture.
    pub frame: Frame,
    /// What the picture shows.
    pub prompt: String,
    /// What moves; empty when nothing does, and then the output is the input.
    pub regions: Vec<Region>,
    /// What was asked to move by less than one can see; left out of the edit.
    pub still: Vec<Region>,
    /// Where the working picture may change, at its padded size; `None` is everywhere.
    pub editable: Option<Mask>,
    /// The same area on the image itself.
    pub editable_source: Option<Mask>,
    /// The numbers of the method.
    pub settings: Settings,
    /// What is doubtful.
    pub warnings: Vec<Warning>,
}

/// As much of a plan as a drag file allows for. With faults it is for showing, not for editing.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Without what could not be planned.
    pub plan: Plan,
    /// Everything in the drag file that does not fit the image.
    pub faults: Vec<DragFileFault>,
}

impl Plan {
    /// Plans the edit of an upright image of size `source`. Masks are looked for beside the drag file; `model_size` is the shorter
    /// side of the working picture unless the settings say another.
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
        let Draft { plan, faults } = Self::draft(drag, drag_path, source, settings, model_size);
        if faults.is_empty() {
            Ok(plan)
        } else {
            Err(Error::Instruction {
                path: drag_path.to_owned(),
                faults,
            })
        }
    }

    /// As [`Plan::new`], with what can be planned although something is wrong.
    pub fn draft(
        drag: &DragFile,
        drag_path: &Path,
        source: Size,
        settings: &Settings,
        model_size: usize,
    ) -> Draft {
        let size = settings.frame.working_size(model_size);
        let folder = drag_path.parent().unwrap_or(Path::new(""));
        let mut findings = Findings::new(drag);

        let shapes = drag.regions.iter().enumerate().map(|(index, region)| {
            (
                region,
                shapes::read(
                    &mut findings,
                    &region.shape,
                    folder,
                    &format!("/regions/{index}/region"),
                    source,
                ),
            )
        });
        let shapes: Vec<_> = shapes.collect();
        let given = match &drag.editable {
            Editable::Shape(shape) => Given::Shape(shapes::read(
                &mut findings,
                shape,
                folder,
                "/editable",
                source,
            )),
            Editable::Everything => Given::Everything,
            Editable::Swept => Given::Nothing,
        };
        let window = match (&given, settings.frame.window) {
            (Given::Nothing, WindowChoice::Auto) => {
                window::choose(&shapes, None, source, size, settings.frame.margin)
            }
            (Given::Shape(Some(shape)), WindowChoice::Auto) => {
                window::choose(&shapes, Some(shape), source, size, settings.frame.margin)
            }
            _ => Window::whole(source),
        };
        let frame = Frame::windowed(source, window, size);

        let all = shapes.iter().enumerate().filter_map(|(index, (_, shape))| {
            regions::region(&mut findings, index, shape.as_ref(), &frame)
        });
        let all: Vec<Region> = all.collect();
        let given = match given {
            Given::Shape(shape) => {
                shape.map(|shape| editable::given(&mut findings, &shape, &frame))
            }
            Given::Everything => Some(Area::Everything),
            Given::Nothing => None,
        };
        let (still, regions): (Vec<Region>, Vec<Region>) =
            all.into_iter().partition(Region::is_still);
        regions::compare(&mut findings, &regions, &still, &frame);
        let area =
            given.unwrap_or_else(|| editable::swept(&regions, &frame, settings.frame.margin));
        editable::compare(&mut findings, &area, &regions, &frame);
        if !regions.is_empty() {
            warn_of_enlargement(&mut findings, &frame);
        }
        let (editable, editable_source) = match area {
            Area::Everything => (None, None),
            Area::Part { working, source } => (Some(working), Some(source)),
        };
        let Findings {
            mut faults,
            warnings,
            ..
        } = findings;
        faults.sort_by_key(|fault| (fault.line, fault.column));
        let (prompt, settings) = (drag.prompt.clone(), settings.clone());
        Draft {
            plan: Self {
                frame,
                prompt,
                regions,
                still,
                editable,
                editable_source,
                settings,
                warnings,
            },
            faults,
        }
    }

    /// Returns everything of this plan that does not fit its method. The number of decoder stages is `None` while the model is not known.
    pub(crate) fn misfits(&self, decoder_stages: Option<usize>) -> Vec<Misfit> {
        self.settings.method.misfits(&Subject {
            regions: &self.regions,
            frame: &self.frame,
            decoder_stages,
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

    /// How much of the edited picture each pixel of the image takes, row by row: 0 outside the editable area, rising inside it to 1
    /// over `feather` working pixels. `None` takes all of it everywhere.
    pub fn blend(&self) -> Option<Vec<f32>> {
        let area = self.editable_source.as_ref()?;
        let feather = self.settings.frame.feather as f64 / self.frame.scale().mean();
        let step = 1.0 / (feather as f32 + 1.0);
        Some(
            area.depth()
                .into_iter()
                .map(|depth| (depth * step).min(1.0))
                .collect(),
        )
    }
}

/// A photograph's own detail is lost where the edit is pasted.
fn warn_of_enlargement(findings: &mut Findings, frame: &Frame) {
    let factor = 1.0 / frame.scale().mean();
    if factor > MAX_ENLARGEMENT {
        let message = format!(
            "the edited area is computed at {} and enlarged {factor:.1} times, so it is less sharp than the picture",
            frame.content
        );
        findings.warn(WarningKind::PictureEnlarged, message);
    }
}
