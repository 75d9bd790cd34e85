//! The `settings` of a drag file: each value is checked alone, so that each fault has its own place.

use jsonc_parser::common::Ranged;
use serde_json::{Map, Value};

use super::reader::{Node, Reader, quoted};
use super::suggestion::did_you_mean;
use crate::error::ErrorKind;
use crate::settings::{DESCRIPTIONS, Description, Misfit, Overrides, either};

/// What a fault of a setting's value is followed by.
const HINT: &str = "`dragnext settings` shows every setting with its bounds";

pub(super) fn overrides<'a>(reader: &mut Reader<'a>, node: &Node<'a>) -> Overrides {
    let known: Vec<&str> = DESCRIPTIONS.iter().map(|setting| setting.name).collect();
    let fields = reader.fields(node, &known, "an object of settings");
    let entries = fields.map(|fields| fields.entries).unwrap_or_default();
    entries
        .iter()
        .fold(Overrides::default(), |given, (name, value)| {
            match one(reader, name, value) {
                Some(one) => one.over(&given),
                None => given,
            }
        })
}

fn one<'a>(reader: &mut Reader<'a>, name: &str, node: &Node<'a>) -> Option<Overrides> {
    let setting = DESCRIPTIONS.iter().find(|setting| setting.name == name)?;
    let text = node.value.text(reader.source.text());
    // The text is well-formed JSON by now; only a number can still be beyond what a number can hold.
    let read = match serde_json::from_str::<Value>(text) {
        Ok(value) => setting.form.read(&value),
        Err(_) => Err(Misfit::Bounds(setting.form.bounds())),
    };
    let fits = match read {
        Ok(value) => value,
        Err(misfit) => {
            refuse(reader, setting, node, misfit, text);
            return None;
        }
    };
    let alone = Value::Object(Map::from_iter([(name.to_owned(), fits)]));
    let given = serde_json::from_value(alone);
    if given.is_err() {
        reader.fault(
            ErrorKind::InstructionRange,
            node,
            format!("{} is beyond what this machine counts", quoted(text)),
        );
    }
    given.ok()
}

fn refuse<'a>(
    reader: &mut Reader<'a>,
    setting: &Description,
    node: &Node<'a>,
    misfit: Misfit,
    text: &str,
) {
    let (kind, message, hint) = match misfit {
        Misfit::Type(expected) => {
            let found = if node.value.as_number_lit().is_some() {
                quoted(text)
            } else {
                node.kind().to_owned()
            };
            (
                ErrorKind::InstructionType,
                format!("expected {expected}, found {found}"),
                None,
            )
        }
        Misfit::Word(words) => {
            let word = node
                .value
                .as_string_lit()
                .map(|literal| &*literal.value)
                .unwrap_or_default();
            let hint = did_you_mean(word, words.iter().copied());
            (
                ErrorKind::InstructionRange,
                format!("expected {}, found {}", either(words), quoted(word)),
                hint,
            )
        }
        Misfit::Bounds(bounds) => (
            ErrorKind::InstructionRange,
            format!("`{}` {bounds}, found {}", setting.name, quoted(text)),
            None,
        ),
    };
    reader.fault_with_hint(kind, node, message, hint.or_else(|| Some(HINT.to_owned())));
}
