//! The networks of `dragnext eval`'s metrics that are models of their own: the one whose features MD compares, and a CLIP.

use std::cell::OnceCell;

use super::compute::{Compute, ComputeArguments};
use crate::correspondence::{STAGE, STAGES};
use crate::error::{Error, Result};
use crate::interrupt::Interrupt;
use crate::kernels::cpu::Cpu;
use crate::metrics::{ClipSimilarity, LpipsFile, MeanDistance, Metric};
use crate::model::{ClipModel, Model};
use crate::report::{self, Unavailable};

/// The model of MD in the papers, in short.
const PAPERS_MODEL: &str = "sd21";
/// The CLIP of the papers.
const PAPERS_CLIP: &str = "openai/clip-vit-base-patch32";

/// The arguments of both.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct MetricNetworks {
    /// The model whose features MD compares: `sd21` as in the papers, another model of the hub's cache, a folder, or `demo`. The names of figures
    /// by any model but Stable Diffusion 2.1 have its name.
    #[arg(long, value_name = "MODEL", env = "DRAGNEXT_MD_MODEL")]
    md_model: Option<String>,

    /// The decoder stage whose features MD compares, 1 the coarsest. The papers have 2.
    ///
    /// A match is as fine as the stage's cells: 16 x 16 pixels in stage 2 and 8 x 8 in stage 3 of the demo model, whose true results have a mean
    /// distance of about 17 and 4 pixels. With another stage than 2, the names of the figures say which.
    #[arg(long, value_name = "N", default_value_t = STAGE as u8, value_parser = clap::value_parser!(u8).range(1..=STAGES as i64))]
    md_stage: u8,

    /// The CLIP of CLIP-I and CLIP-T: a folder as transformers writes it, or `owner/name` in the hub's cache. The papers have ViT-B/32.
    #[arg(long, value_name = "CLIP", env = "DRAGNEXT_CLIP")]
    clip: Option<String>,

    #[command(flatten)]
    compute: ComputeArguments,

    /// The device, once it is opened.
    #[arg(skip)]
    opened: OnceCell<Compute>,
}

/// A metric, or why it cannot be measured.
pub(super) type Opened = std::result::Result<Box<dyn Metric>, Unavailable>;

impl MetricNetworks {
    /// Loads LPIPS.
    ///
    /// # Errors
    /// Those of the device.
    pub(super) fn fidelity(&self, file: LpipsFile) -> Result<Box<dyn Metric>> {
        self.device()?.load_fidelity(file)
    }

    /// Loads the model of MD. If MD `is_wanted` by name, the papers' model is the default.
    ///
    /// # Errors
    /// Those of a model that is given and cannot be loaded.
    pub(super) fn mean_distance(&self, is_wanted: bool, interrupt: &Interrupt) -> Result<Opened> {
        let default = is_wanted.then_some(PAPERS_MODEL);
        let Some(name) = self.md_model.as_deref().or(default) else {
            return Ok(Err(Unavailable {
                figures: MeanDistance::names(),
                reason: "no model is given whose features are compared".into(),
                hint: format!(
                    "`--md-model {PAPERS_MODEL}` measures as the papers do, after `dragnext fetch {PAPERS_MODEL}`; `--md-model demo` needs no download, and its figures have its name"
                ),
            }));
        };
        let model = Model::open(name, None)?;
        let (stage, stages) = (usize::from(self.md_stage), model.decoder_stages());
        if stage > stages {
            return Err(Error::Setting {
                name: "md-stage".into(),
                value: stage.to_string(),
                reason: format!("is no decoder stage of this model, which has {stages}"),
            });
        }
        let dift = self.device()?.load_dift(&model, stage, interrupt)?;
        Ok(Ok(Box::new(MeanDistance::new(dift))))
    }

    /// Loads the CLIP. If CLIP `is_wanted` by name, the papers' is the default.
    ///
    /// # Errors
    /// As [`MetricNetworks::mean_distance`].
    pub(super) fn clip_similarity(&self, is_wanted: bool, interrupt: &Interrupt) -> Result<Opened> {
        let default = is_wanted.then_some(PAPERS_CLIP);
        let Some(name) = self.clip.as_deref().or(default) else {
            return Ok(Err(Unavailable {
                figures: ClipSimilarity::<Cpu>::names(),
                reason: "no CLIP is given".into(),
                hint: format!(
                    "`--clip FOLDER` takes what transformers' `CLIPModel` and `CLIPTokenizer` write with `save_pretrained`; the papers have `{PAPERS_CLIP}`"
                ),
            }));
        };
        let model = ClipModel::open(name)?;
        self.device()?
            .load_clip_similarity(&model, interrupt)
            .map(Ok)
    }

    /// Opens the device, which all networks share.
    fn device(&self) -> Result<&Compute> {
        if let Some(device) = self.opened.get() {
            return Ok(device);
        }
        let device = self.compute.choose()?;
        report::print_warnings(&device.warnings);
        Ok(self.opened.get_or_init(|| device))
    }
}
