//! `config.json` of transformers' `CLIPModel`. Absent keys have the defaults of transformers' `CLIPConfig`.

use crate::error::Result;
use crate::model::config::ConfigFile;
use crate::model::source::Source;
use crate::model::text_transformer::TextConfig;

/// Sizes of both towers.
#[derive(Debug, Clone)]
pub(super) struct ClipConfig {
    pub(super) text: TextConfig,
    pub(super) image: ImageConfig,
    /// Numbers of a feature.
    pub(super) features: usize,
}

/// Sizes of the image tower.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ImageConfig {
    /// Channels of a token.
    pub(super) channels: usize,
    /// Channels inside the MLPs.
    pub(super) wide: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    /// Width and height of a picture in pixels.
    pub(super) side: usize,
    /// Width and height of a patch in pixels.
    pub(super) patch: usize,
}

impl ImageConfig {
    /// Returns the number of patches of a picture.
    pub(super) fn patches(&self) -> usize {
        (self.side / self.patch).pow(2)
    }

    fn read(file: &ConfigFile) -> Result<Self> {
        file.check_values(&[
            ("hidden_act", "quick_gelu".into()),
            ("layer_norm_eps", super::EPS.into()),
            ("num_channels", 3.into()),
        ])?;
        let channels = file.size("hidden_size", Some(768), 16384)?;
        let heads = file.size("num_attention_heads", Some(12), 1024)?;
        file.divides("num_attention_heads", heads, &[channels])?;
        let side = file.size("image_size", Some(224), 4096)?;
        let patch = file.size("patch_size", Some(32), 4096)?;
        if !side.is_multiple_of(patch) {
            let supported = format!("divisors of `image_size`, which is {side}");
            return Err(file.unsupported("patch_size", &supported));
        }
        Ok(Self {
            channels,
            wide: file.size("intermediate_size", Some(3072), 65536)?,
            layers: file.size("num_hidden_layers", Some(12), 256)?,
            heads,
            side,
            patch,
        })
    }
}

impl ClipConfig {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// [`crate::Error::Weights`] when it is missing or has an unsupported value.
    pub(super) fn read(source: &Source) -> Result<Self> {
        let file = ConfigFile::read(source, "config.json")?;
        // Every model of transformers names its kind. Without the check, one of another kind would fail by the names of its tensors.
        if file.get("model_type").and_then(serde_json::Value::as_str) != Some("clip") {
            return Err(file.unsupported("model_type", "only \"clip\" here"));
        }
        Ok(Self {
            text: TextConfig::read(&file.part("text_config")?)?,
            image: ImageConfig::read(&file.part("vision_config")?)?,
            features: file.size("projection_dim", Some(512), 16384)?,
        })
    }
}
