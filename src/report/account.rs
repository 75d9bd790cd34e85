//! How plan and outcome of an edit stand in its record.

use super::{Loss, Moved, Record};
use crate::pipeline::Outcome;
use crate::plan::Plan;
use crate::warning::{Warning, WarningKind};

impl Record {
    /// What is known once the edit is planned: sizes, regions, doubts, and with what it will be computed.
    pub fn planned(&mut self, plan: &Plan, [device, dtype]: [&str; 2], model: &str) {
        let size = plan.frame.source;
        self.method = Some(plan.settings.method.method().name());
        self.seed = Some(plan.settings.diffusion.seed);
        self.size = Some([size.width, size.height]);
        if !plan.regions.is_empty() {
            let content = plan.frame.content;
            self.window = Some(plan.frame.window);
            self.working = Some([content.width, content.height]);
            self.scale = Some((plan.frame.scale().mean() * 1e4).round() / 1e4);
        }
        self.device = Some(device.to_owned());
        self.dtype = Some(dtype.to_owned());
        self.model = Some(model.to_owned());
        self.regions = plan
            .regions
            .iter()
            .chain(&plan.still)
            .map(|region| Moved {
                id: region.id.clone(),
                moved_px: region.moved_px(),
            })
            .collect();
        self.warnings.extend(plan.warnings.iter().cloned());
    }

    /// What the network's work was.
    pub fn computed(&mut self, outcome: &Outcome) {
        self.peak_bytes = outcome.device_peak_bytes;
        self.loss = outcome.loss.map(|(first, last)| Loss { first, last });
        self.steps = Some(outcome.steps);
        self.seconds.clone_from(&outcome.seconds);
        self.cached = outcome.cached.iter().map(|stage| stage.name()).collect();
        self.warnings.extend(outcome.warnings.iter().cloned());
        if outcome.diverged > 0 {
            let message = format!(
                "the drag diverged at {} of its timesteps and went on with the best latents there were",
                outcome.diverged
            );
            self.warnings.push(Warning {
                kind: WarningKind::DragDiverged,
                message,
            });
        }
        if let Some(first) = outcome.lora_absent.first() {
            let count = outcome.lora_absent.len();
            let message = format!(
                "the LoRA file says nothing about {count} of the model's attentions, such as `{first}`"
            );
            self.warnings.push(Warning {
                kind: WarningKind::LoraPartial,
                message,
            });
        }
    }
}
