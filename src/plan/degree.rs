//! Degrees of one drag: several results of one optimisation.

use super::series;
use super::{Choice, Settings};
use crate::error::{Error, Result};

/// How far a result takes what the drag optimised ([`crate::method::Dragged::at_degree`]), in place of the setting `degree`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Degree(f64);

impl Degree {
    /// Returns the degrees of a list, in the order of `values`.
    ///
    /// # Errors
    /// [`Error::Setting`] for a value outside 0 to 4, a value that occurs twice, no value, and more than 16 values.
    pub fn series(values: &[f64]) -> Result<Vec<Self>> {
        series::check("degrees", values)?;
        // Adding zero turns -0.0 into 0.0.
        Ok(values.iter().map(|value| Self(value + 0.0)).collect())
    }

    /// Returns the number: 0 is no drag, 1 is where the optimisation led.
    pub const fn value(self) -> f64 {
        self.0
    }

    /// Returns `choice` with the setting `degree` of the first of `degrees`, so that a method without an optimisation refuses it.
    pub fn first_of(degrees: &[Self], choice: &Choice) -> Choice {
        let mut choice = choice.clone();
        if let Some(first) = degrees.first() {
            choice.values.set("degree", first.0);
        }
        choice
    }

    /// Checks that the settings optimise anything, so that the results of several degrees can differ.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn check(degrees: &[Self], settings: &Settings) -> Result<()> {
        let (method, diffusion) = (&settings.method, &settings.diffusion);
        let cost = method.cost(diffusion, settings.executed_steps());
        if degrees.is_empty() || cost.iterations > 0 {
            return Ok(());
        }
        let values: Vec<String> = degrees.iter().map(Self::to_string).collect();
        Err(Error::Setting {
            name: "degrees".into(),
            value: values.join(","),
            reason: format!(
                "have no effect: with these settings `{}` optimises nothing, so all results would be the same; `--amounts` carries the drag itself out to several amounts",
                method.method().name()
            ),
        })
    }
}

/// Writes the number with two decimals, or with as many as it has.
impl std::fmt::Display for Degree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        series::write(self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::Method;
    use crate::settings::Overrides;

    #[test]
    fn a_series_keeps_its_order() {
        let degrees = Degree::series(&[1.5, -0.0, 0.125]).expect("within bounds");
        let written: Vec<String> = degrees.iter().map(Degree::to_string).collect();
        assert_eq!(written, ["1.50", "0.00", "0.125"]);
        for (values, expected) in [
            (&[][..], "degrees: `0 degrees` must be 1 to 16"),
            (&[1.0, 4.5], "degrees: `4.5` must be 0 to 4"),
            (&[f64::NAN], "degrees: `NaN` must be 0 to 4"),
            (&[1.0, 1.0], "degrees: `1` is given twice"),
        ] {
            let error = Degree::series(values).expect_err("it is no series");
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn degrees_need_an_optimisation() {
        let degrees = Degree::series(&[0.0, 1.0]).expect("within bounds");
        let check = |iterations: usize| {
            let choice = Choice {
                method: Some(Method::DragDiffusion),
                values: Overrides::from([("iterations", iterations)]),
            };
            let choice = Degree::first_of(&degrees, &choice);
            let settings = Settings::resolve(&choice).expect("within bounds");
            assert_eq!(settings.diffusion.degree, 0.0);
            Degree::check(&degrees, &settings)
        };
        check(1).expect("one iteration changes the latent");
        let choice = Choice {
            method: Some(Method::Pbsi),
            values: Overrides::from([("timesteps", 0)]),
        };
        let settings = Settings::resolve(&choice).expect("within bounds");
        assert!(Degree::check(&[], &settings).is_ok());
        let error = Degree::check(&degrees, &settings).expect_err("nothing is optimised");
        let expected =
            "degrees: `0.00,1.00` have no effect: with these settings `pbsi` optimises nothing";
        assert!(error.to_string().starts_with(expected), "{error}");
    }
}
