//! The values that a setting takes. Its check, its messages and its JSON schema come from here alone.

use serde_json::{Value, json};

/// Whole numbers beyond this are not exact as floating point.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The values that a setting takes, as they stand in files.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Form {
    /// A whole number within bounds, both included.
    Whole(u64, u64),
    /// 0, which leaves the choice to the program, or a whole number within bounds, both included.
    ZeroOr(u64, u64),
    /// The word, or a whole number up to the bound.
    WordOr(&'static str, u64),
    /// A number within bounds, both included.
    Within(f64, f64),
    /// The word, or a number within bounds, both included.
    WordOrWithin(&'static str, f64, f64),
    /// A number above the first and at most the second.
    Above(f64, f64),
    /// `true` or `false`.
    Switch,
    /// One of the words.
    Words(&'static [&'static str]),
    /// A list of decoder stages from 1 to the bound, each at most once.
    Stages(u64),
}

/// Why a value is rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misfit {
    /// Its type is wrong. Contains what is expected.
    Type(String),
    /// It is an unknown word. Contains the known ones.
    Word(&'static [&'static str]),
    /// It is out of its bounds. Contains them, such as `must be 1 to 1000`.
    Bounds(String),
}

impl Form {
    /// Checks a value and returns it in normal form: as a whole number, `5e1` becomes `50`.
    ///
    /// # Errors
    /// Why it is rejected, without name and value.
    pub fn read(self, value: &Value) -> Result<Value, Misfit> {
        match self {
            Self::Whole(low, high) => self.whole(value, |number| (low..=high).contains(&number)),
            Self::ZeroOr(low, high) => self.whole(value, |number| {
                number == 0 || (low..=high).contains(&number)
            }),
            Self::WordOr(word, high) => match value {
                Value::String(text) if text == word => Ok(value.clone()),
                Value::Number(_) => self.whole(value, |number| number <= high),
                _ => Err(Misfit::Type(self.expected())),
            },
            Self::Within(low, high) => self.number(value, |number| (low..=high).contains(&number)),
            Self::WordOrWithin(word, low, high) => match value {
                Value::String(text) if text == word => Ok(value.clone()),
                _ => self.number(value, |number| (low..=high).contains(&number)),
            },
            Self::Above(low, high) => self.number(value, |number| number > low && number <= high),
            Self::Switch if value.is_boolean() => Ok(value.clone()),
            Self::Words(words) => match value {
                Value::String(text) if words.contains(&text.as_str()) => Ok(value.clone()),
                Value::String(_) => Err(Misfit::Word(words)),
                _ => Err(Misfit::Type(self.expected())),
            },
            Self::Stages(last) => self.stages(value, last),
            Self::Switch => Err(Misfit::Type(self.expected())),
        }
    }

    /// Reads a value as it is typed on the command line; `None` when the text is none of this form. Bounds are not checked.
    pub fn parse(self, text: &str) -> Option<Value> {
        match self {
            Self::WordOr(word, _) | Self::WordOrWithin(word, ..) if text == word => {
                Some(word.into())
            }
            Self::Whole(..) | Self::ZeroOr(..) | Self::WordOr(..) => {
                text.parse::<u64>().ok().map(Value::from)
            }
            // JSON has no infinity and no NaN; as text they fail the check of the bounds by their name.
            Self::Within(..) | Self::WordOrWithin(..) | Self::Above(..) => {
                let number = text.parse::<f64>().ok()?;
                let json = serde_json::Number::from_f64(number).map(Value::Number);
                Some(json.unwrap_or_else(|| format!("{number:?}").into()))
            }
            Self::Switch => text.parse::<bool>().ok().map(Value::from),
            Self::Words(words) => words.contains(&text).then(|| text.into()),
            Self::Stages(_) => {
                let stage = |stage: &str| stage.trim().parse::<u64>().ok().map(Value::from);
                text.split(',')
                    .map(stage)
                    .collect::<Option<Vec<Value>>>()
                    .map(Value::from)
            }
        }
    }

    fn whole(self, value: &Value, fits: impl Fn(u64) -> bool) -> Result<Value, Misfit> {
        let number = value
            .as_f64()
            .filter(|number| number.fract() == 0.0)
            .ok_or_else(|| Misfit::Type(self.expected()))?;
        let exact = value
            .as_u64()
            .or_else(|| (0.0..=EXACT).contains(&number).then_some(number as u64));
        match exact {
            Some(whole) if fits(whole) => Ok(whole.into()),
            _ => Err(Misfit::Bounds(self.bounds())),
        }
    }

    fn number(self, value: &Value, fits: impl Fn(f64) -> bool) -> Result<Value, Misfit> {
        let number = value
            .as_f64()
            .ok_or_else(|| Misfit::Type(self.expected()))?;
        if fits(number) {
            Ok(value.clone())
        } else {
            Err(Misfit::Bounds(self.bounds()))
        }
    }

    fn stages(self, value: &Value, last: u64) -> Result<Value, Misfit> {
        let list = value
            .as_array()
            .ok_or_else(|| Misfit::Type(self.expected()))?;
        let stages: Vec<Value> = list
            .iter()
            .map(|stage| self.whole(stage, |stage| (1..=last).contains(&stage)))
            .collect::<Result<_, _>>()?;
        let each_once = stages
            .iter()
            .enumerate()
            .all(|(index, stage)| !stages[..index].contains(stage));
        if each_once && !stages.is_empty() {
            Ok(stages.into())
        } else {
            Err(Misfit::Bounds(self.bounds()))
        }
    }

    /// Returns the expected type, such as `a whole number`.
    pub fn expected(self) -> String {
        match self {
            Self::Whole(..) | Self::ZeroOr(..) => "a whole number".into(),
            Self::WordOr(word, _) => format!("a whole number or `{word}`"),
            Self::Within(..) | Self::Above(..) => "a number".into(),
            Self::WordOrWithin(word, ..) => format!("a number or `{word}`"),
            Self::Switch => "true or false".into(),
            Self::Words(words) => either(words),
            Self::Stages(_) => "a list of decoder stages, such as [2, 3]".into(),
        }
    }

    /// Returns the bounds, such as `must be 1 to 1000`.
    pub fn bounds(self) -> String {
        match self {
            Self::Whole(low, high) => format!("must be {low} to {high}"),
            Self::ZeroOr(low, high) => format!("must be 0 or {low} to {high}"),
            Self::WordOr(word, u64::MAX) => format!("must be {word} or a whole number"),
            Self::WordOr(word, high) => format!("must be {word} or 0 to {high}"),
            Self::Within(low, high) => format!("must be {} to {}", short(low), short(high)),
            Self::WordOrWithin(word, low, high) => {
                format!("must be {word} or {} to {}", short(low), short(high))
            }
            Self::Above(low, high) => {
                format!("must be above {} and at most {}", short(low), short(high))
            }
            Self::Switch | Self::Words(_) => format!("must be {}", self.expected()),
            Self::Stages(last) => {
                format!("must name decoder stages 1 to {last}, each once, such as 3 or 2,3")
            }
        }
    }

    /// Returns the JSON schema.
    pub fn schema(self) -> Value {
        match self {
            Self::Whole(low, high) => json!({ "type": "integer", "minimum": low, "maximum": high }),
            Self::ZeroOr(low, high) => {
                json!({ "anyOf": [{ "const": 0 }, Self::Whole(low, high).schema()] })
            }
            Self::WordOr(word, high) => {
                json!({ "anyOf": [{ "const": word }, Self::Whole(0, high).schema()] })
            }
            Self::Within(low, high) => json!({ "type": "number", "minimum": low, "maximum": high }),
            Self::WordOrWithin(word, low, high) => {
                json!({ "anyOf": [{ "const": word }, Self::Within(low, high).schema()] })
            }
            Self::Above(low, high) => {
                json!({ "type": "number", "exclusiveMinimum": low, "maximum": high })
            }
            Self::Switch => json!({ "type": "boolean" }),
            Self::Words(words) => json!({ "enum": words }),
            Self::Stages(last) => {
                json!({ "type": "array", "items": Self::Whole(1, last).schema(), "minItems": 1, "uniqueItems": true })
            }
        }
    }
}

/// Returns the words in backticks, with `or` before the last.
pub fn either(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// Formats a bound, large ones with an exponent.
fn short(bound: f64) -> String {
    if bound >= 1e6 {
        format!("{bound:e}")
    } else {
        bound.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(form: Form, text: &str) -> Result<Value, Misfit> {
        form.read(&serde_json::from_str(text).expect("JSON"))
    }

    #[test]
    fn whole_numbers_may_have_a_point_or_an_exponent() {
        let form = Form::Whole(1, 1000);
        for text in ["50", "50.0", "5e1"] {
            assert_eq!(read(form, text), Ok(json!(50)), "{text}");
        }
        assert_eq!(
            read(Form::Whole(0, u64::MAX), "18446744073709551615"),
            Ok(json!(u64::MAX))
        );
        let bounds = Misfit::Bounds("must be 1 to 1000".into());
        for text in ["0", "-1", "-50.0", "1001", "1e300"] {
            assert_eq!(read(form, text), Err(bounds.clone()), "{text}");
        }
        for text in ["1.5", "\"50\"", "null", "[50]", "true"] {
            assert_eq!(
                read(form, text),
                Err(Misfit::Type("a whole number".into())),
                "{text}"
            );
        }
    }

    #[test]
    fn bounds_are_inclusive_or_exclusive() {
        assert!(
            read(Form::Within(0.0, 1e6), "0").is_ok()
                && read(Form::Within(0.0, 1e6), "1e6").is_ok()
        );
        assert!(
            read(Form::Above(0.0, 1.0), "1").is_ok()
                && read(Form::Above(0.0, 1.0), "5e-324").is_ok()
        );
        assert_eq!(
            read(Form::Above(0.0, 1.0), "0"),
            Err(Misfit::Bounds("must be above 0 and at most 1".into()))
        );
        assert_eq!(
            read(Form::Within(0.0, 1e6), "1000001"),
            Err(Misfit::Bounds("must be 0 to 1e6".into()))
        );
        assert!(
            read(Form::ZeroOr(64, 2048), "0").is_ok()
                && read(Form::ZeroOr(64, 2048), "63").is_err()
        );
    }

    #[test]
    fn unknown_words_are_rejected_with_the_known_ones() {
        let form = Form::Words(&["pbsi", "literal", "literal-strict"]);
        assert_eq!(form.expected(), "`pbsi`, `literal` or `literal-strict`");
        assert!(matches!(read(form, "\"other\""), Err(Misfit::Word(words)) if words.len() == 3));
        assert_eq!(read(form, "3"), Err(Misfit::Type(form.expected())));
        let form = Form::WordOr("auto", 1000);
        assert_eq!(
            read(form, "\"slow\""),
            Err(Misfit::Type("a whole number or `auto`".into()))
        );
        assert!(
            read(form, "\"auto\"").is_ok()
                && read(form, "0").is_ok()
                && read(form, "1001").is_err()
        );
    }

    #[test]
    fn a_word_may_stand_for_a_number_within_bounds() {
        let form = Form::WordOrWithin("auto", 0.0, 1.0);
        for text in ["\"auto\"", "0", "0.5", "1"] {
            assert!(read(form, text).is_ok(), "{text}");
        }
        assert_eq!(
            read(form, "1.5"),
            Err(Misfit::Bounds("must be auto or 0 to 1".into()))
        );
        assert_eq!(
            read(form, "\"some\""),
            Err(Misfit::Type("a number or `auto`".into()))
        );
        assert_eq!(form.parse("auto"), Some(json!("auto")));
        assert_eq!(form.parse("0.5"), Some(json!(0.5)));
        assert_eq!(form.parse("some"), None);
    }

    #[test]
    fn stages_are_listed_once() {
        assert_eq!(read(Form::Stages(4), "[2, 3.0]"), Ok(json!([2, 3])));
        for text in ["[]", "[5]", "[0]", "[2, 2]", "[2, 2.0]"] {
            assert!(
                matches!(read(Form::Stages(4), text), Err(Misfit::Bounds(_))),
                "{text}"
            );
        }
        for text in ["3", "\"2,3\"", "[\"3\"]"] {
            assert!(
                matches!(read(Form::Stages(4), text), Err(Misfit::Type(_))),
                "{text}"
            );
        }
    }
}
