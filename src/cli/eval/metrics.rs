//! What `eval` measures: opens every metric that is wanted, and says what is missing for the others.

use std::time::Duration;

use super::Arguments;
use crate::cli::metric_networks::Opened;
use crate::error::{Error, ErrorKind, Result};
use crate::interrupt::Interrupt;
use crate::kernels::cpu::Cpu;
use crate::metrics::{CONVERT, Dai, Family, Fidelity, Judge, LpipsFile, Metric, Outside};
use crate::report::Unavailable;

/// Everything that is measured.
pub(super) type Metrics = Vec<Box<dyn Metric>>;

/// Figures that edits are sorted by, unless another is named: the first of these that is measured.
const SORTED_BY: [&str; 3] = ["IF_th (cropped)", "MD-A", "DAI(10)"];

impl Arguments {
    /// Opens everything that can be measured. Also returns what cannot.
    pub(super) fn metrics(&self, interrupt: &Interrupt) -> Result<(Metrics, Vec<Unavailable>)> {
        let mut opened: Vec<Opened> = Vec::new();
        let is_named = |family| self.metrics.contains(&family);
        if self.wants(Family::Lpips) {
            opened.push(self.fidelity()?);
        }
        if self.wants(Family::Dai) {
            opened.push(Ok(Box::new(Dai::new())));
        }
        if self.wants(Family::Outside) {
            opened.push(Ok(Box::new(Outside::new())));
        }
        if self.wants(Family::Md) {
            let is_named = is_named(Family::Md);
            opened.push(self.networks.mean_distance(is_named, interrupt)?);
        }
        if self.wants(Family::Clip) {
            let is_named = is_named(Family::Clip);
            opened.push(self.networks.clip_similarity(is_named, interrupt)?);
        }
        if self.wants(Family::Gscore) {
            opened.push(self.gscore()?);
        }
        let (mut metrics, mut unavailable): (Metrics, _) = (Vec::new(), Vec::new());
        for metric in opened {
            match metric {
                Ok(metric) => metrics.push(metric),
                Err(missing) => unavailable.push(missing),
            }
        }
        // What was asked for by name must be there.
        if let (false, Some(missing)) = (self.metrics.is_empty(), unavailable.first()) {
            return Err(Error::Finding {
                kind: ErrorKind::EvalUnavailable,
                reason: format!("{}: {}", missing.figures.join(", "), missing.reason),
                hint: missing.hint.clone(),
            });
        }
        Ok((metrics, unavailable))
    }

    fn fidelity(&self) -> Result<Opened> {
        let Some(path) = &self.lpips else {
            return Ok(Err(Unavailable {
                figures: Fidelity::<Cpu>::names(),
                reason: "the weights of LPIPS are not given".into(),
                hint: format!("`--lpips FILE` gives them; this writes the file: {CONVERT}"),
            }));
        };
        self.networks.fidelity(LpipsFile::read(path)?).map(Ok)
    }

    fn gscore(&self) -> Result<Opened> {
        let Some(command) = &self.judge else {
            return Ok(Err(Unavailable {
                figures: vec!["GScore".into()],
                reason: "no judge is given".into(),
                hint: "`--judge COMMAND` gives a program that rates edits".into(),
            }));
        };
        let limit = Duration::from_secs_f64(self.judge_seconds);
        Ok(Ok(Box::new(Judge::new(command, limit)?)))
    }

    /// Returns whether a family is to be measured.
    fn wants(&self, family: Family) -> bool {
        self.metrics.is_empty() || self.metrics.contains(&family)
    }

    /// Returns the figure that edits are sorted by.
    ///
    /// # Errors
    /// [`Error::Finding`] `eval.unavailable` for one that is not measured.
    pub(super) fn sort(&self, metrics: &[Box<dyn Metric>]) -> Result<String> {
        let names: Vec<&str> = metrics
            .iter()
            .flat_map(|metric| metric.figures())
            .map(|figure| figure.name.as_str())
            .collect();
        match &self.sort {
            Some(name) if names.contains(&name.as_str()) => Ok(name.clone()),
            Some(name) => Err(Error::Finding {
                kind: ErrorKind::EvalUnavailable,
                reason: format!("--sort: `{name}` is not measured"),
                hint: format!("these figures are: {}", names.join(", ")),
            }),
            None => {
                let known = SORTED_BY.iter().find(|name| names.contains(name));
                Ok(known
                    .or(names.first())
                    .copied()
                    .unwrap_or_default()
                    .to_owned())
            }
        }
    }
}
