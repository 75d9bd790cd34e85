//! All methods, as a table and as JSON.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::messages::{print_json, print_text};
use super::screen::{stdout_width, wrapped};
use crate::error::Result;
use crate::method::{Figures, Method, Score};
use crate::pipeline;
use crate::plan::{Choice, Settings};
use crate::progress::Stage;

/// Indentation of what follows a method's line.
const INDENT: &str = "    ";

/// A method with what its defaults need and cost.
struct Entry {
    method: Method,
    needs: Vec<&'static str>,
    /// Steps of the LoRA's training.
    lora_steps: usize,
    /// Passes through the network in each stage.
    passes: Vec<(Stage, f64)>,
}

/// Prints all methods to stdout: a table, or one line of JSON.
///
/// # Errors
/// As [`super::print_text`]; [`crate::Error::Setting`] when a method's defaults are out of bounds, which a test excludes.
pub fn print_methods(as_json: bool) -> Result<()> {
    let entries: Vec<Entry> = Method::ALL
        .iter()
        .map(|method| Entry::new(*method))
        .collect::<Result<_>>()?;
    if as_json {
        let methods: Vec<Value> = entries.iter().map(Entry::to_json).collect();
        return print_json(&json!({ "v": 1, "methods": methods }));
    }
    print_text(&table(&entries, stdout_width()))
}

impl Entry {
    fn new(method: Method) -> Result<Self> {
        let settings = Settings::resolve(&Choice {
            method: Some(method),
            ..Choice::default()
        })?;
        let needs = settings.method.needs();
        Ok(Self {
            method,
            needs: needs.words(),
            lora_steps: if needs.lora { settings.lora.steps } else { 0 },
            passes: pipeline::passes_by_stage(&settings),
        })
    }

    fn all_passes(&self) -> f64 {
        self.passes.iter().map(|(_, passes)| passes).sum()
    }

    fn to_json(&self) -> Value {
        let profile = self.method.profile();
        let mut passes: Map<String, Value> = self
            .passes
            .iter()
            .map(|(stage, passes)| (stage.name().to_owned(), whole(*passes)))
            .collect();
        passes.insert("all".into(), whole(self.all_passes()));
        json!({
            "name": self.method.name(),
            "is_default": self.method == Method::default(),
            "description": self.method.about(),
            "paper": profile.paper,
            "needs": self.needs,
            "lora_steps": self.lora_steps,
            "passes": passes,
            "good_at": profile.good_at,
            "figures": profile.figures,
        })
    }

    /// Returns the cells of the method's line.
    fn cells(&self) -> [String; 4] {
        let lora = match self.lora_steps {
            0 => "none".to_owned(),
            steps => format!("{steps} steps"),
        };
        [
            self.method.name().to_owned(),
            self.needs.join(", "),
            lora,
            format!("{:.0}", self.all_passes()),
        ]
    }

    /// Returns what stands below the method's line; the description names the paper.
    fn paragraphs(&self) -> Vec<String> {
        let profile = self.method.profile();
        let stages: Vec<String> = self
            .passes
            .iter()
            .filter(|(_, passes)| *passes > 0.0)
            .map(|(stage, passes)| format!("{} {passes:.0}", stage.name()))
            .collect();
        let Figures { plain, hard } = profile.figures;
        vec![
            self.method.about().to_owned(),
            format!("Good at: {}", profile.good_at),
            format!("Passes: {}.", stages.join(", ")),
            format!("SceneBench: {}; hard scenes {}.", score(plain), score(hard)),
        ]
    }
}

fn whole(passes: f64) -> Value {
    Value::from(passes.round() as u64)
}

fn score(Score { gain, hit }: Score) -> String {
    format!("gain {gain:.3}, hit {hit:.2}")
}

fn table(entries: &[Entry], width: usize) -> String {
    let titles = ["method", "needs", "LoRA", "passes"].map(str::to_owned);
    let rows: Vec<[String; 4]> = std::iter::once(titles)
        .chain(entries.iter().map(Entry::cells))
        .collect();
    let column = |index: usize| {
        let widths = rows.iter().map(|row| row[index].chars().count());
        widths.max().unwrap_or_default()
    };
    let [names, needs, loras] = [0, 1, 2].map(column);
    let line = |[name, need, lora, passes]: &[String; 4]| {
        format!("{name:names$}  {need:needs$}  {lora:loras$}  {passes}\n")
    };
    let mut text = line(&rows[0]);
    for (entry, row) in entries.iter().zip(&rows[1..]) {
        text += &line(row);
        for paragraph in entry.paragraphs() {
            for line in wrapped(&paragraph, width.saturating_sub(INDENT.len())) {
                let _ = writeln!(text, "{INDENT}{line}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<Entry> {
        let entries = Method::ALL.iter().map(|method| Entry::new(*method));
        entries
            .collect::<Result<_>>()
            .expect("defaults are within bounds")
    }

    #[test]
    fn the_table_has_a_line_for_every_method_and_fits_its_width() {
        for width in [80, 100] {
            let text = table(&entries(), width);
            let longest = text.lines().map(|line| line.chars().count()).max();
            assert!(longest <= Some(width), "{longest:?}\n{text}");
            for method in Method::ALL {
                let start = format!("\n{} ", method.name());
                assert!(text.contains(&start), "{text}");
                assert!(
                    method.about().contains(method.profile().paper),
                    "{method:?}"
                );
            }
        }
    }

    #[test]
    fn passes_of_the_stages_add_up() {
        for entry in entries() {
            let json = entry.to_json();
            let passes = json["passes"].as_object().expect("an object");
            let of_stages = passes.iter().filter(|(stage, _)| *stage != "all");
            let sum: u64 = of_stages.filter_map(|(_, passes)| passes.as_u64()).sum();
            assert_eq!(passes["all"].as_u64(), Some(sum), "{json}");
            assert!(sum > 0, "{json}");
        }
    }
}
