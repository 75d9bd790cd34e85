//! `dragnext show`: the report that an edit left inside its PNG.

use std::path::PathBuf;

use serde_json::Value;

use crate::drag_file::{Drag, DragFile, DragRegion, Editable, Shape, Turn};
use crate::edit::{NoteHeader, ParsedNote};
use crate::error::Result;
use crate::geometry::{Point, PointPair};
use crate::outline::Outline;
use crate::picture;
use crate::report;
use crate::settings::{DESCRIPTIONS, Settings};

/// Shows how a picture was made: the report that `dragnext edit` leaves inside its PNG.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A PNG that `dragnext edit` wrote.
    #[arg(value_name = "OUT.png")]
    picture: PathBuf,

    /// Print the report as it stands in the picture, as JSON.
    #[arg(long)]
    json: bool,

    /// Print a drag file that asks for the same again, with all settings; masks are named by their paths.
    #[arg(long, conflicts_with = "json")]
    drag: bool,
}

/// Prints the report.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let note = picture::read_note(&arguments.picture)?;
    let made = ParsedNote::parse(&note, &arguments.picture)?;
    if arguments.json {
        report::print_text(&(note.trim().to_owned() + "\n"))
    } else if arguments.drag {
        report::print_text(&(made.drag.text().to_owned() + "\n"))
    } else {
        let place = arguments.picture.display().to_string();
        report::print_text(&summary(&place, &made))
    }
}

/// What people want to know, a line for each thing. Whatever comes from the file stays on its line.
fn summary(place: &str, made: &ParsedNote) -> String {
    let ParsedNote { header: by, drag } = made;
    let mut lines = vec![(
        "",
        format!(
            "{place}: edited by dragnext {} with the model {}",
            by.version, by.model
        ),
    )];
    if !drag.prompt.is_empty() {
        lines.push(("prompt", drag.prompt.clone()));
    }
    if let Some(prompt) = &drag.edit_prompt {
        lines.push(("edited", prompt.clone()));
    }
    lines.extend(
        drag.regions
            .iter()
            .map(|region| ("region", describe(region))),
    );
    lines.push(("editable", editable(&drag.editable)));
    if !by.composite {
        lines.push((
            "",
            "every pixel comes from the model (--no-composite)".into(),
        ));
    }
    lines.push(("seed", by.seed.to_string()));
    lines.push(("settings", settings(drag)));
    lines.extend(origin(by));
    let write = |(name, text): &(&str, String)| match *name {
        "" => report::on_one_line(text) + "\n",
        name => format!("  {name:<9} {}\n", report::on_one_line(text)),
    };
    lines.iter().map(write).collect()
}

/// Where the picture and its pixels come from.
fn origin(by: &NoteHeader) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some([width, height]) = by.size {
        let hash = by
            .image
            .as_ref()
            .map(|hash| format!(", SHA-256 {hash}"))
            .unwrap_or_default();
        lines.push(("original", format!("{width} x {height}{hash}")));
    }
    lines.extend(
        by.lora
            .as_ref()
            .map(|hash| ("lora", format!("SHA-256 {hash}"))),
    );
    if let (Some(device), Some(dtype)) = (&by.device, &by.dtype) {
        lines.push(("device", format!("{device}, {dtype}")));
    }
    lines.push(("job", by.job.clone()));
    lines
}

fn describe(region: &DragRegion) -> String {
    let point = |point: Point| format!("({}, {})", point.x, point.y);
    let from_to = |PointPair { handle, target }: &PointPair| {
        format!("from {} to {}", point(*handle), point(*target))
    };
    let moves = match &region.drag {
        Drag::Translation { points, .. }
        | Drag::Deformation { points, .. }
        | Drag::Point { points } => from_to(points),
        Drag::Rotation { center, turn, .. } => {
            let turns = match turn {
                Turn::Points(points) => from_to(points),
                Turn::Angle { angle } => format!("by {angle} degrees"),
            };
            format!("about {}, {turns}", point(*center))
        }
    };
    let of = region
        .drag
        .shape()
        .map(|inside| format!(" of {}", shape(inside)))
        .unwrap_or_default();
    format!("{}: {}{of}, {moves}", region.id, region.drag.kind().name())
}

fn shape(shape: &Shape) -> String {
    match shape {
        Shape::Mask { mask } => format!("the mask `{}`", mask.display()),
        Shape::Outline(Outline::Rect(numbers)) => format!("the rect {numbers:?}"),
        Shape::Outline(Outline::Ellipse(numbers)) => format!("the ellipse {numbers:?}"),
        Shape::Outline(Outline::Polygon(corners)) => {
            format!("a polygon of {} points", corners.len())
        }
    }
}

fn editable(editable: &Editable) -> String {
    match editable {
        Editable::Swept => "what the drag sweeps, and a margin".into(),
        Editable::Everything => "everything".into(),
        Editable::Shape(inside) => shape(inside),
    }
}

/// The settings that differ from the program's defaults, as one types them.
fn settings(drag: &DragFile) -> String {
    let as_map = |value: serde_json::Result<Value>| match value {
        Ok(Value::Object(map)) => map,
        _ => serde_json::Map::new(),
    };
    let (given, default) = (
        as_map(serde_json::to_value(&drag.settings)),
        as_map(serde_json::to_value(Settings::default())),
    );
    let changed = DESCRIPTIONS
        .iter()
        .filter(|setting| setting.name != "seed")
        .filter_map(|setting| {
            let value = given
                .get(setting.name)
                .filter(|value| default.get(setting.name) != Some(*value))?;
            let usual = default.get(setting.name).map(typed).unwrap_or_default();
            Some(format!(
                "{} {} (default {usual})",
                setting.name.replace('_', "-"),
                typed(value)
            ))
        });
    let changed: Vec<String> = changed.collect();
    if changed.is_empty() {
        "all at their defaults".into()
    } else {
        changed.join(", ")
    }
}

fn typed(value: &Value) -> String {
    value.to_string().trim_matches(['"', '[', ']']).to_owned()
}
