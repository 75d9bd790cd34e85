//! `dragnext show`: the report that an edit left inside its PNG.

use std::path::PathBuf;

use crate::drag_file::{DragFile, DragRegion, Editable, Movement, Shape};
use crate::edit::{NoteHeader, ParsedNote};
use crate::error::Result;
use crate::escape;
use crate::geometry::Point;
use crate::method::groups;
use crate::outline::Outline;
use crate::picture;
use crate::plan::{Choice, Settings};
use crate::report;
use crate::settings::typed;

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
    let method = drag.method.unwrap_or_default();
    lines.push(("method", method.name().to_owned()));
    lines.push(("settings", settings(drag)));
    lines.extend(origin(by));
    let write = |(name, text): &(&str, String)| match *name {
        "" => escape::one_line(text) + "\n",
        name => format!("  {name:<9} {}\n", escape::one_line(text)),
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
    let way = match region.movement {
        Movement::Pull { handle, target } => format!("from {} to {}", point(handle), point(target)),
        Movement::Turn {
            center,
            handle,
            target,
        } => format!(
            "about {}, from {} to {}",
            point(center),
            point(handle),
            point(target)
        ),
        Movement::TurnBy { center, angle } => {
            format!("about {}, by {angle} degrees", point(center))
        }
    };
    format!(
        "{}: {} of {}, {way}",
        region.id,
        region.kind.name(),
        shape(&region.shape)
    )
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

/// Returns the settings that differ from their defaults, as one types them.
fn settings(drag: &DragFile) -> String {
    let method = Choice {
        method: drag.method,
        ..Choice::default()
    };
    let default = Settings::resolve(&method)
        .map(|settings| settings.values())
        .unwrap_or_default();
    let groups = groups();
    let changed = groups
        .iter()
        .flat_map(|group| drag.settings.in_group(group))
        .filter(|(setting, value)| {
            setting.name != "seed" && default.get(setting.name) != Some(*value)
        })
        .map(|(setting, value)| {
            let usual = default.get(setting.name).map(typed).unwrap_or_default();
            let name = setting.name.replace('_', "-");
            format!("{name} {} (default {usual})", typed(value))
        });
    let changed: Vec<String> = changed.collect();
    if changed.is_empty() {
        "all at their defaults".into()
    } else {
        changed.join(", ")
    }
}
