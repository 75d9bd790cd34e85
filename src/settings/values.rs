//! The settings that are neither numbers nor switches.

use serde::{Deserialize, Serialize};

/// How the drag starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// The object's own noise waits at its target, background noise where it leaves.
    Moved,
    /// The inverted latent, untouched.
    Paper,
}

/// What the network sees of a large picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum WindowChoice {
    /// A window around the editable area, where that gives a sharper result.
    Auto,
    /// The whole picture.
    Full,
}

/// Which form of the optimisation runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Absolute progress, features of the un-dragged reconstruction, mean loss, every update used.
    Pbsi,
    /// Algorithm 1 with its text's inclusive range of timesteps: sum loss over all decoder stages, source copied from the
    /// current features, last update dropped.
    Literal,
    /// The same with Algorithm 1's strict loop, which leaves out the first and the last timestep.
    LiteralStrict,
}

/// Timesteps over which the target moves to the goal; in files `"auto"` or their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum RampLength {
    /// 0 with the moved start, else 5.
    #[serde(serialize_with = "serialize_auto")]
    Auto,
    /// So many.
    Timesteps(usize),
}

fn serialize_auto<S: serde::Serializer>(serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str("auto")
}

/// Seed of a LoRA's training; in files `"auto"` or the seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum LoraSeed {
    /// The seed of all noise.
    #[serde(serialize_with = "serialize_auto")]
    Auto,
    /// This one.
    Of(u64),
}

/// A number, or the word `auto` for a choice that the program makes.
macro_rules! auto_or {
    ($type:ident, $number:ident, $expected:literal, $short:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(
                deserializer: D,
            ) -> std::result::Result<Self, D::Error> {
                struct Visitor;

                impl serde::de::Visitor<'_> for Visitor {
                    type Value = $type;

                    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_u64<E: serde::de::Error>(
                        self,
                        number: u64,
                    ) -> std::result::Result<$type, E> {
                        number.try_into().map($type::$number).map_err(|_| {
                            E::invalid_value(serde::de::Unexpected::Unsigned(number), &self)
                        })
                    }

                    fn visit_str<E: serde::de::Error>(
                        self,
                        word: &str,
                    ) -> std::result::Result<$type, E> {
                        if word == "auto" {
                            Ok($type::Auto)
                        } else {
                            Err(E::invalid_value(serde::de::Unexpected::Str(word), &self))
                        }
                    }
                }

                deserializer.deserialize_any(Visitor)
            }
        }

        impl std::str::FromStr for $type {
            type Err = &'static str;

            fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
                match text {
                    "auto" => Ok(Self::Auto),
                    _ => text.parse().map(Self::$number).map_err(|_| $short),
                }
            }
        }
    };
}

auto_or!(
    RampLength,
    Timesteps,
    "a number of timesteps or \"auto\"",
    "expected auto or a number of timesteps"
);
auto_or!(
    LoraSeed,
    Of,
    "a seed or \"auto\"",
    "expected auto or a seed"
);

/// Decoder stages, 1 (coarsest) to 4.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Taps(pub Vec<usize>);

impl std::str::FromStr for Taps {
    type Err = &'static str;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        let taps: Option<Vec<usize>> = text.split(',').map(|tap| tap.trim().parse().ok()).collect();
        taps.map(Self)
            .ok_or("expected numbers of decoder stages, separated by commas")
    }
}
