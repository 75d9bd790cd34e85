//! Settings that are a number, or the word `auto` for a choice that the program makes.

use serde::Serializer;

/// Serialises the variant `Auto`.
pub(crate) fn serialize<S: Serializer>(serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str("auto")
}

/// Implements `Deserialize` for an enum with the variants `Auto` and `$number(integer)`.
macro_rules! auto_or_number {
    ($type:ident, $number:ident, $expected:literal) => {
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
    };
}
pub(crate) use auto_or_number;
