//! Progress of a drag: eta is 0 where the regions are, 1 where they shall be.

use crate::settings::{Mode, Settings};

/// When eta is what. It counts over all timesteps, never anew within one (DragNeXt, beside Eq. 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ramp {
    mode: Mode,
    timesteps: usize,
    iterations: usize,
    length: usize,
}

impl Ramp {
    /// The progress that the settings ask for.
    pub fn new(settings: &Settings) -> Self {
        Self {
            mode: settings.mode,
            timesteps: settings.timesteps,
            iterations: settings.iterations,
            length: settings.ramp_length(),
        }
    }

    /// Is the latent optimised at executed step `index`? Algorithm 1's strict loop leaves the first timestep out.
    pub fn intervenes(&self, index: usize) -> bool {
        match self.mode {
            Mode::Pbsi => index < self.timesteps,
            Mode::Literal => index <= self.timesteps,
            Mode::LiteralStrict => (1..self.timesteps).contains(&index),
        }
    }

    /// eta at executed step `index` and iteration `iteration` (from 0).
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
    use crate::settings::RampLength;

    fn sequence(settings: &Settings) -> Vec<f64> {
        let ramp = Ramp::new(settings);
        let steps = (0..settings.executed_steps()).filter(|index| ramp.intervenes(*index));
        steps
            .flat_map(|index| {
                (0..settings.iterations).map(move |iteration| ramp.eta(index, iteration))
            })
            .collect()
    }

    #[test]
    fn a_ramp_of_five_timesteps_rises_to_exactly_one() {
        let etas = sequence(&Settings {
            ramp: RampLength::Timesteps(5),
            ..Settings::default()
        });
        assert_eq!(etas.len(), 50);
        assert!(etas.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(etas[49], 1.0);
    }

    #[test]
    fn without_a_ramp_eta_is_one_from_the_start() {
        assert!(
            sequence(&Settings {
                ramp: RampLength::Timesteps(0),
                ..Settings::default()
            })
            .iter()
            .all(|eta| *eta == 1.0)
        );
    }

    #[test]
    fn a_short_ramp_holds_one() {
        let etas = sequence(&Settings {
            ramp: RampLength::Timesteps(3),
            ..Settings::default()
        });
        assert!(
            etas[..30].windows(2).all(|pair| pair[0] < pair[1])
                && etas[29..].iter().all(|eta| *eta == 1.0)
        );
        assert_eq!(etas.len(), 50);
    }

    #[test]
    fn the_papers_strict_loop_ends_at_49_of_60() {
        let etas = sequence(&Settings {
            mode: Mode::LiteralStrict,
            ..Settings::default()
        });
        assert_eq!(
            (etas.len(), etas[0], etas[39]),
            (40, 10.0 / 60.0, 49.0 / 60.0)
        );
        let etas = sequence(&Settings {
            mode: Mode::Literal,
            ..Settings::default()
        });
        assert_eq!((etas.len(), etas[0], etas[59]), (60, 0.0, 59.0 / 60.0));
    }
}
