//! The `method` and the `settings` of a drag file. Each value is checked on its own, so that each fault has its place.

use jsonc_parser::common::Ranged;
use serde_json::Value;

use super::reader::{Node, Reader, quoted};
use super::suggestion::did_you_mean;
use crate::error::ErrorKind;
use crate::method::{Method, groups};
use crate::settings::{Description, Misfit, Overrides, either};

/// The hint of a fault in a setting.
const HINT: &str = "`dragnext settings` shows every setting with its bounds";

/// Reads the settings. Whether they belong to the method in force is checked where the method is known.
pub(super) fn overrides<'a>(reader: &mut Reader<'a>, node: &Node<'a>) -> Overrides {
    let groups = groups();
    let known: Vec<&str> = groups
        .iter()
        .flat_map(|group| group.settings.iter().map(|setting| setting.name))
        .collect();
    let fields = reader.fields(node, &known, "an object of settings");
    let mut overrides = Overrides::default();
    for (name, value) in fields.map(|fields| fields.entries).unwrap_or_default() {
        let Some(setting) = groups.iter().find_map(|group| group.find(name)) else {
            continue;
        };
        if let Some(value) = read(reader, setting, &value) {
            overrides.set(setting.name, value);
        }
    }
    overrides
}

fn read<'a>(reader: &mut Reader<'a>, setting: &Description, node: &Node<'a>) -> Option<Value> {
    let text = node.value.text(reader.source.text());
    // The text is well-formed JSON here; only a number may still exceed what a number can hold.
    let read = match serde_json::from_str::<Value>(text) {
        Ok(value) => setting.form.read(&value),
        Err(_) => Err(Misfit::Bounds(setting.form.bounds())),
    };
    match read {
        Ok(value) => Some(value),
        Err(misfit) => {
            refuse(reader, setting, node, misfit, text);
            None
        }
    }
}

/// Reads the name of a method.
pub(super) fn method<'a>(reader: &mut Reader<'a>, node: &Node<'a>) -> Option<Method> {
    let word = reader.string(node)?;
    let method = word.parse().ok();
    if method.is_none() {
        let names: Vec<&str> = Method::ALL.iter().map(|method| method.name()).collect();
        let hint = did_you_mean(word, names.iter().copied());
        let message = format!("expected {}, found {}", either(&names), quoted(word));
        reader.fault_with_hint(ErrorKind::InstructionRange, node, message, hint);
    }
    method
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
