//! How settings are read from a flag or from the environment: what is wrong is said in the words of their forms.

use std::str::FromStr;

use clap::builder::ValueParser;
use clap::value_parser;

use super::{Form, LoraSeed, Mode, RampLength, Start, Taps, WindowChoice};

/// A setting's type on the command line.
pub(super) trait Typed {
    /// Reads a value of this form. Bounds are checked later, where values of all origins come together.
    fn parser(form: Form) -> ValueParser;
}

fn by_text<T: FromStr + Clone + Send + Sync + 'static>(form: Form) -> ValueParser {
    let expected = move || match form {
        Form::Stages(_) => form.bounds(),
        form => format!("expected {}; it {}", form.expected(), form.bounds()),
    };
    ValueParser::new(move |text: &str| text.parse::<T>().map_err(|_| expected()))
}

macro_rules! typed {
    (by text: $($text:ty),+; by name: $($name:ty),+) => {
        $( impl Typed for $text { fn parser(form: Form) -> ValueParser { by_text::<Self>(form) } } )+
        // These have few values, which clap lists.
        $( impl Typed for $name { fn parser(_: Form) -> ValueParser { value_parser!($name).into() } } )+
    };
}

typed! { by text: f64, usize, u64, RampLength, LoraSeed, Taps; by name: bool, Mode, Start, WindowChoice }

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::settings::{Overrides, RampLength};

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        settings: Overrides,
    }

    #[test]
    fn wrong_flags_are_told_in_words_of_their_own() {
        for (flag, expected) in [
            (
                "--lr=fast",
                "expected a number; it must be above 0 and at most 100",
            ),
            (
                "--steps=1.5",
                "expected a whole number; it must be 1 to 1000",
            ),
            (
                "--seed=-1",
                "expected a whole number; it must be 0 to 18446744073709551615",
            ),
            (
                "--ramp=slow",
                "expected a whole number or `auto`; it must be auto or at most 1000",
            ),
            (
                "--taps=a",
                "must name decoder stages 1 to 4, each once, such as 3 or 2,3",
            ),
            (
                "--mode=fast",
                "[possible values: pbsi, literal, literal-strict]",
            ),
        ] {
            let error = Line::try_parse_from(["dragnext", flag])
                .expect_err("it is wrong")
                .to_string();
            assert!(error.contains(expected), "{flag}: {error}");
        }
    }

    #[test]
    fn flags_are_read() {
        let line = [
            "dragnext",
            "--lr=1e-3",
            "--taps=2, 3",
            "--ramp=auto",
            "--hard-background=false",
        ];
        let settings = Line::try_parse_from(line).expect("they are right").settings;
        assert_eq!(
            (settings.lr, settings.taps.map(|taps| taps.0)),
            (Some(1e-3), Some(vec![2, 3]))
        );
        assert_eq!(
            (settings.ramp, settings.hard_background),
            (Some(RampLength::Auto), Some(false))
        );
    }
}
