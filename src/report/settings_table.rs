//! The settings of a method, as a table and as JSON.

use std::fmt::Write;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::messages::{print_json, print_text};
use super::screen::{stdout_width, wrapped};
use crate::error::Error;
use crate::method::Method;
use crate::plan::InForce;
use crate::settings::{Form, typed};

/// Indentation of a setting's description.
const INDENT: &str = "    ";

/// Prints all settings to stdout: a table for each group, or one line of JSON.
///
/// # Errors
/// As [`super::print_text`].
pub fn print_settings(method: Method, settings: &[InForce], as_json: bool) -> Result<(), Error> {
    if as_json {
        return print_json(&Settings(settings));
    }
    print_text(&table(method, settings, stdout_width()))
}

fn table(method: Method, settings: &[InForce], width: usize) -> String {
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
    let titles = ["setting", "value", "from", "bounds"].map(str::to_owned);
    let rows: Vec<[String; 4]> = std::iter::once(titles).chain(rows).collect();
    let column = |index: usize| {
        let widths = rows.iter().map(|row| row[index].chars().count());
        widths.max().unwrap_or_default()
    };
    let (names, values, origins) = (column(0), column(1), column(2));
    let line = |[name, value, origin, bounds]: &[String; 4]| {
        let line = format!("{name:names$}  {value:values$}  {origin:origins$}  {bounds}");
        line.trim_end().to_owned()
    };

    let mut text = String::new();
    for about in wrapped(
        &format!("Method {}: {}", method.name(), method.about()),
        width,
    ) {
        let _ = writeln!(text, "{about}");
    }
    let mut heading = "";
    for (entry, row) in settings.iter().zip(&rows[1..]) {
        if entry.group.heading != heading {
            heading = entry.group.heading;
            let _ = writeln!(text, "\n{heading}\n\n{}", line(&rows[0]));
        }
        let whole = line(row);
        let [name, value, origin, bounds] = row;
        if whole.chars().count() <= width {
            let _ = writeln!(text, "{whole}");
        } else {
            let _ = writeln!(text, "{name:names$}  {value:values$}  {origin}");
            let _ = writeln!(text, "{INDENT}{bounds}");
        }
        let about = format!("{} Source: {}.", entry.setting.text(), entry.setting.source);
        for line in wrapped(&about, width.saturating_sub(INDENT.len())) {
            let _ = writeln!(text, "{INDENT}{line}");
        }
    }
    text
}

/// Returns the bounds without "must be".
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
    object.insert("group".into(), entry.group.heading.into());
    object.insert("default".into(), setting.default());
    object.insert("schema".into(), setting.form.schema());
    object.insert("description".into(), setting.text().into());
    object.insert("source".into(), setting.source.into());
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::in_force;

    #[test]
    fn the_table_fits_its_width() {
        let (method, settings) = in_force(&[], 256).expect("defaults are within bounds");
        for width in [60, 80, 100] {
            let text = table(method, &settings, width);
            let longest = text.lines().map(|line| line.chars().count()).max();
            let limit = if width == 60 { 72 } else { width };
            assert!(longest <= Some(limit), "{width}: {longest:?}\n{text}");
            for entry in &settings {
                let start = format!("\n{} ", entry.setting.name);
                assert!(text.contains(&start), "{text}");
            }
        }
        let text = table(method, &settings, 80);
        for expected in [
            "Method pbsi: ",
            "\n\nSettings of the method pbsi\n\nsetting            value     from     bounds\ntimesteps ",
            "\n\nSettings of the LoRA\n\n",
            "\nsize               0 (256)   default  0 or 64 to 2048\n",
            "\n    Number of timesteps of the denoising grid. Source: DragNeXt, arXiv",
        ] {
            assert!(
                text.contains(expected),
                "{expected:?} is missing in\n{text}"
            );
        }
    }
}
