//! The `settings` of a drag file: each value is checked alone, so that each fault has its own place.

use jsonc_parser::common::Ranged;
use serde_json::{Map, Value};

use super::reader::{Node, Reader, quoted};
use crate::error::Error;
use crate::settings::{DESCRIPTIONS, Overrides, Settings};

pub(super) fn overrides<'a>(reader: &mut Reader<'a>, node: &Node<'a>) -> Overrides {
    let known: Vec<&str> = DESCRIPTIONS.iter().map(|setting| setting.name).collect();
    let fields = reader.fields(node, &known, "an object of settings");
    let entries = fields.map(|fields| fields.entries).unwrap_or_default();
    entries.iter().fold(Overrides::default(), |given, (name, value)| match one(reader, name, value) {
        Some(one) => one.over(&given),
        None => given,
    })
}

fn one<'a>(reader: &mut Reader<'a>, name: &str, node: &Node<'a>) -> Option<Overrides> {
    let text = node.value.text(reader.source.text());
    // The text is well-formed JSON by now; only a number can still be beyond what a number can hold.
    let Ok(value) = serde_json::from_str::<Value>(text) else {
        reader.fault("instruction.range", node, format!("{} is not a number that can be used", quoted(text)));
        return None;
    };
    let alone = Value::Object(Map::from_iter([(name.to_owned(), value)]));
    let given: Overrides = match serde_json::from_value(alone) {
        Ok(given) => given,
        Err(error) => {
            reader.fault("instruction.type", node, format!("`{name}`: {error}"));
            return None;
        }
    };
    match Settings::resolve(&given) {
        Ok(_) => Some(given),
        Err(Error::Setting { reason, .. }) => {
            reader.fault("instruction.range", node, format!("`{name}` {reason}"));
            None
        }
        Err(error) => {
            reader.fault("instruction.range", node, error.to_string());
            None
        }
    }
}
