//! Progress schedule of a drag: eta is 0 where the regions are and 1 at their targets.

use super::settings::{Mode, PbsiSettings};

/// Progress at every iteration. It counts over all optimised timesteps and does not start anew at each (DragNeXt, beside Eq. 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProgressSchedule {
    mode: Mode,
    timesteps: usize,
    iterations: usize,
    length: usize,
}

impl ProgressSchedule {
    /// The schedule that the settings ask for.
    pub fn new(settings: &PbsiSettings) -> Self {
        Self {
            mode: settings.mode,
            timesteps: settings.timesteps,
            iterations: settings.iterations,
            length: settings.ramp_length(),
        }
    }

    /// Returns whether the latent is optimised at executed step `index`. Algorithm 1's strict loop leaves the first timestep out.
    pub fn intervenes(&self, index: usize) -> bool {
        match self.mode {
            Mode::Pbsi => index < self.timesteps,
            Mode::Literal => index <= self.timesteps,
            Mode::LiteralStrict => (1..self.timesteps).contains(&index),
        }
    }

    /// Returns the number of steps of a grid of `timesteps` up to and with the last optimised one.
    pub fn steps(&self, timesteps: usize) -> usize {
        let last = (0..timesteps).filter(|index| self.intervenes(*index)).max();
        last.map_or(0, |last| last + 1)
    }

    /// Returns the iterations of the whole drag on a grid of `timesteps`.
    pub fn iterations(&self, timesteps: usize) -> usize {
        self.optimised(timesteps) * self.iterations
    }

    /// Returns how many steps of a grid of `timesteps` are optimised.
    pub fn optimised(&self, timesteps: usize) -> usize {
        (0..timesteps)
            .filter(|index| self.intervenes(*index))
            .count()
    }

    /// Returns whether eta is the same at all iterations.
    pub fn is_constant(&self) -> bool {
        self.mode == Mode::Pbsi && self.length == 0
    }

    /// Returns eta at executed step `index` and iteration `iteration`, both from 0.
    pub fn eta(&self, index: usize, iteration: usize) -> f64 {
        let done = (self.iterations * index + iteration) as f64;
        match self.mode {
            Mode::Pbsi if self.length == 0 => 1.0,
            Mode::Pbsi => ((done + 1.0) / (self.iterations * self.length) as f64).min(1.0),
            // eta(t, k) = (K (T - t) + k) / (K (T - T' + 1)), printed beside Eq. 5.
            Mode::Literal | Mode::LiteralStrict => {
                done / (self.iterations * (self.timesteps + 1)) as f64
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::pbsi::settings::RampLength;
    use crate::settings::Overrides;

    /// Executed steps of the paper: T = 38.
    const EXECUTED: usize = 38;

    /// The settings of a drag from the paper's start.
    fn drag() -> PbsiSettings {
        PbsiSettings::with_start_of(&Overrides::from([("start", "paper")]))
    }

    fn sequence(settings: &PbsiSettings) -> Vec<f64> {
        let ramp = ProgressSchedule::new(settings);
        let steps = (0..EXECUTED).filter(|index| ramp.intervenes(*index));
        steps
            .flat_map(|index| {
                (0..settings.iterations).map(move |iteration| ramp.eta(index, iteration))
            })
            .collect()
    }

    #[test]
    fn a_ramp_of_five_timesteps_rises_to_exactly_one() {
        let etas = sequence(&PbsiSettings {
            ramp: RampLength::Timesteps(5),
            ..drag()
        });
        assert_eq!(etas.len(), 50);
        assert!(etas.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(etas[49], 1.0);
    }

    #[test]
    fn without_a_ramp_eta_is_one_from_the_start() {
        assert!(
            sequence(&PbsiSettings {
                ramp: RampLength::Timesteps(0),
                ..drag()
            })
            .iter()
            .all(|eta| *eta == 1.0)
        );
    }

    #[test]
    fn a_short_ramp_holds_one() {
        let etas = sequence(&PbsiSettings {
            ramp: RampLength::Timesteps(3),
            ..drag()
        });
        assert!(
            etas[..30].windows(2).all(|pair| pair[0] < pair[1])
                && etas[29..].iter().all(|eta| *eta == 1.0)
        );
        assert_eq!(etas.len(), 50);
    }

    #[test]
    fn the_papers_strict_loop_ends_at_49_of_60() {
        let etas = sequence(&PbsiSettings {
            mode: Mode::LiteralStrict,
            ..drag()
        });
        assert_eq!(
            (etas.len(), etas[0], etas[39]),
            (40, 10.0 / 60.0, 49.0 / 60.0)
        );
        let etas = sequence(&PbsiSettings {
            mode: Mode::Literal,
            ..drag()
        });
        assert_eq!((etas.len(), etas[0], etas[59]), (60, 0.0, 59.0 / 60.0));
    }
}
