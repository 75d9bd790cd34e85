//! The numbers of the method, for people and for scripts.

use std::fmt::Write;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::messages::{print_json, print_text};
use super::screen::{stdout_width, wrapped};
use crate::error::Error;
use crate::settings::{Form, InForce, typed};

/// Columns before a setting's description.
const INDENT: &str = "    ";

/// Prints all settings to stdout: a table, or one line of JSON.
///
/// # Errors
/// As [`super::print_text`].
pub fn print_settings(settings: &[InForce], as_json: bool) -> Result<(), Error> {
    if as_json {
        return print_json(&Settings(settings));
    }
    print_text(&table(settings, stdout_width()))
}

fn table(settings: &[InForce], width: usize) -> String {
    let rows = settings.iter().map(|entry| {
        let value = match &entry.resolved {
            Some(resolved) => format!("{} ({})", typed(&entry.value), typed(resolved)),
            None => typed(&entry.value),
        };
        [
            entry.setting.name.to_owned(),
            value,
            entry.origin.name().to_owned(),
            short_bounds(entry.setting.form),
        ]
    });
    let heading = ["setting", "value", "from", "bounds"].map(str::to_owned);
    let rows: Vec<[String; 4]> = std::iter::once(heading).chain(rows).collect();
    let column = |index: usize| {
        rows.iter()
            .map(|row| row[index].chars().count())
            .max()
            .unwrap_or_default()
    };
    let (names, values, origins) = (column(0), column(1), column(2));

    let mut text = String::new();
    for (index, [name, value, origin, bounds]) in rows.iter().enumerate() {
        let line = format!("{name:names$}  {value:values$}  {origin:origins$}  {bounds}");
        let _ = writeln!(text, "{}", line.trim_end());
        let Some(entry) = index.checked_sub(1).and_then(|index| settings.get(index)) else {
            continue;
        };
        let about = format!("{} Source: {}.", entry.setting.text(), entry.setting.source);
        for line in wrapped(&about, width.saturating_sub(INDENT.len())) {
            let _ = writeln!(text, "{INDENT}{line}");
        }
    }
    text
}

/// The bounds without the words around them.
fn short_bounds(form: Form) -> String {
    match form {
        Form::Whole(0, u64::MAX) => "any whole number".into(),
        Form::Stages(last) => format!("stages 1 to {last}"),
        Form::Switch => "true, false".into(),
        Form::Words(words) => words.join("|"),
        form => form.bounds().trim_start_matches("must be ").to_owned(),
    }
}

struct Settings<'a>(&'a [InForce]);

impl Serialize for Settings<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(
            self.0
                .iter()
                .map(|entry| (entry.setting.name, described(entry))),
        )
    }
}

fn described(entry: &InForce) -> Map<String, Value> {
    let setting = entry.setting;
    let mut object = Map::new();
    object.insert("value".into(), entry.value.clone());
    if let Some(resolved) = &entry.resolved {
        object.insert("resolved".into(), resolved.clone());
    }
    object.insert(
        "origin".into(),
        serde_json::to_value(entry.origin).unwrap_or_default(),
    );
    object.insert("default".into(), setting.default());
    object.insert("schema".into(), setting.form.schema());
    object.insert("description".into(), setting.text().into());
    object.insert("source".into(), setting.source.into());
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{DESCRIPTIONS, in_force};

    #[test]
    fn the_table_fits_its_width() {
        let settings = in_force(&[], 256).expect("defaults are within bounds");
        for width in [60, 80, 100] {
            let text = table(&settings, width);
            let longest = text.lines().map(|line| line.chars().count()).max();
            assert!(
                longest <= Some(if width == 60 { 72 } else { width }),
                "{width}: {longest:?}\n{text}"
            );
            assert!(
                DESCRIPTIONS
                    .iter()
                    .all(|setting| text.contains(&format!("\n{} ", setting.name))),
                "{text}"
            );
        }
        let text = table(&settings, 80);
        assert!(
            text.starts_with("setting          value     from     bounds\n"),
            "{text}"
        );
        assert!(
            text.contains("\nsize             0 (256)   default  0 or 64 to 2048\n"),
            "{text}"
        );
        assert!(
            text.contains(
                "\n    Number of timesteps of the denoising grid. Source: DragNeXt, arXiv"
            ),
            "{text}"
        );
    }
}
