//! What happens at which step of the denoising.

/// Steps of a denoising with energy guidance, in shares of all its steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::method) struct StepPlan {
    /// Share of the steps, from the first on, that are guided.
    pub(in crate::method) guided: f64,
    /// Of these, the share of all steps, from the first on, in which every step is guided; then every second one is.
    pub(in crate::method) guided_densely: f64,
    /// Share of the steps, from the first on, whose self-attention has no keys and values of the inversion.
    pub(in crate::method) own_keys: f64,
    /// Share of fresh noise of a stochastic step (eta of DDIM, arXiv 2010.02502).
    pub(in crate::method) sde_strength: f64,
    /// How often a step with time travel is made; 1 is no time travel.
    pub(in crate::method) repeats: usize,
}

/// `DiffEditor`: steps after the tenth and before the twentieth of fifty are stochastic.
const STOCHASTIC: [f64; 2] = [0.2, 0.4];
/// `DiffEditor`: even steps after the twentieth and before the thirtieth of fifty have time travel.
const TRAVELS: [f64; 2] = [0.4, 0.6];

impl StepPlan {
    /// Returns the plan of a denoising of `steps` steps.
    pub(super) fn of(self, steps: usize) -> PlannedSteps {
        let at = |share: f64| (share * steps as f64).round() as usize;
        PlannedSteps {
            guided: at(self.guided),
            guided_densely: at(self.guided_densely),
            own_keys: at(self.own_keys).min(steps),
            stochastic: STOCHASTIC.map(at),
            travels: TRAVELS.map(at),
            eta: self.sde_strength,
            repeats: self.repeats,
        }
    }
}

/// The steps, counted from 0, the noisiest first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct PlannedSteps {
    guided: usize,
    guided_densely: usize,
    /// The first steps, in which self-attention has no keys and values of the inversion.
    pub(super) own_keys: usize,
    stochastic: [usize; 2],
    travels: [usize; 2],
    eta: f64,
    repeats: usize,
}

fn is_between(step: usize, [after, before]: [usize; 2]) -> bool {
    step > after && step < before
}

impl PlannedSteps {
    /// Returns whether the energies guide a step.
    pub(super) fn is_guided(&self, step: usize) -> bool {
        step < self.guided && (step < self.guided_densely || step.is_multiple_of(2))
    }

    /// Returns the share of fresh noise in editable cells.
    pub(super) fn eta(&self, step: usize) -> f64 {
        if is_between(step, self.stochastic) {
            self.eta
        } else {
            0.0
        }
    }

    /// Returns how often a step is made.
    pub(super) fn repeats(&self, step: usize) -> usize {
        if is_between(step, self.travels) && step.is_multiple_of(2) {
            self.repeats
        } else {
            1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIFF_EDITOR: StepPlan = StepPlan {
        guided: 0.6,
        guided_densely: 0.2,
        own_keys: 0.1,
        sde_strength: 0.4,
        repeats: 3,
    };

    #[test]
    fn fifty_steps_are_the_papers() {
        let plan = DIFF_EDITOR.of(50);
        let steps =
            |is: &dyn Fn(usize) -> bool| (0..50).filter(|step| is(*step)).collect::<Vec<_>>();
        let guided: Vec<usize> = (0..10).chain((10..30).step_by(2)).collect();
        assert_eq!(steps(&|step| plan.is_guided(step)), guided);
        assert_eq!(
            steps(&|step| plan.eta(step) > 0.0),
            (11..20).collect::<Vec<_>>()
        );
        assert_eq!(steps(&|step| plan.repeats(step) == 3), [22, 24, 26, 28]);
        assert_eq!(plan.own_keys, 5);
        let without = StepPlan {
            guided_densely: 0.6,
            ..DIFF_EDITOR
        };
        let guided = (0..30).collect::<Vec<_>>();
        assert_eq!(steps(&|step| without.of(50).is_guided(step)), guided);
    }

    #[test]
    fn short_denoisings_have_their_share_of_everything() {
        let plan = DIFF_EDITOR.of(10);
        let guided: Vec<usize> = (0..10).filter(|step| plan.is_guided(*step)).collect();
        assert_eq!(guided, [0, 1, 2, 4]);
        assert_eq!((plan.eta(3), plan.eta(2), plan.eta(4)), (0.4, 0.0, 0.0));
        assert_eq!(DIFF_EDITOR.of(1).own_keys, 0);
    }
}
