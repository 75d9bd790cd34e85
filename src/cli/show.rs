//! `dragnext show`: prints the report inside a PNG that `dragnext edit` wrote.

use std::path::PathBuf;

use crate::drag_file::{Drag, DragFile, DragRegion, Editable, Growth, Shape, Turn};
use crate::edit::{NoteHeader, ParsedNote};
use crate::error::Result;
use crate::escape;
use crate::geometry::{Point, PointPair};
use crate::mask::MaskSource;
use crate::outline::Outline;
use crate::picture;
use crate::plan::{Choice, Settings};
use crate::report;
use crate::settings::{Group, SHARED, typed};
use crate::warning::{Warning, WarningKind};

/// Shows how a picture was made, from the report in its PNG.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A PNG written by `dragnext edit` or `dragnext batch`.
    #[arg(value_name = "OUT.png")]
    picture: PathBuf,

    /// Print the report as JSON, exactly as it is in the picture.
    #[arg(long)]
    json: bool,

    /// Print a drag file that repeats the edit, with all settings. Masks are named by their paths. It describes the whole drag, whatever the amount.
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
        report::print_warnings(amount_is_missing(&made).as_slice());
        report::print_text(&(made.drag.text().to_owned() + "\n"))
    } else {
        let path = arguments.picture.display().to_string();
        report::print_text(&summary(&path, &made))
    }
}

/// Returns a warning when the picture does not show the whole drag, since a drag file cannot say so.
fn amount_is_missing(made: &ParsedNote) -> Option<Warning> {
    let amount = made.header.amount?;
    let message = format!(
        "the picture shows the drag at amount {}, and the drag file describes the whole drag; `edit --like` repeats the amount",
        amount.value()
    );
    Some(Warning {
        kind: WarningKind::ShowAmount,
        message,
    })
}

/// Summarises the report, one line per item. Line breaks in the file are escaped.
fn summary(path: &str, made: &ParsedNote) -> String {
    let ParsedNote { header: by, drag } = made;
    let mut lines = vec![(
        "",
        format!(
            "{path}: edited by dragnext {} with the model {}",
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
    if let Some(amount) = by.amount {
        let (value, largest) = (amount.value(), amount.largest());
        lines.push((
            "amount",
            format!("{value} of the drag, in a series up to {largest}"),
        ));
    }
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
    lines.extend(provenance(by));
    let write = |(name, text): &(&str, String)| match *name {
        "" => escape::one_line(text) + "\n",
        name => format!("  {name:<9} {}\n", escape::one_line(text)),
    };
    lines.iter().map(write).collect()
}

/// Describes the original, the LoRA, the device and the job.
fn provenance(by: &NoteHeader) -> Vec<(&'static str, String)> {
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
        Drag::Translation { points, angle, .. } => {
            let turns = angle
                .map(|angle| format!(", turned by {angle} degrees"))
                .unwrap_or_default();
            from_to(points) + &turns
        }
        Drag::Deformation { points, anchor, .. } => {
            let stays = anchor
                .map(|anchor| format!(", anchored at {}", point(anchor)))
                .unwrap_or_default();
            from_to(points) + &stays
        }
        Drag::Point { points } => from_to(points),
        Drag::Scale { center, growth, .. } => {
            let grows = match growth {
                Growth::Points(points) => from_to(points),
                Growth::Factor { factor } => format!("by a factor of {factor}"),
            };
            format!("about {}, {grows}", point(*center))
        }
        Drag::Affine { .. } => {
            let pairs: Vec<String> = region.drag.pairs().iter().map(from_to).collect();
            pairs.join(", ")
        }
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
        Shape::Mask {
            mask: MaskSource::File(path),
            ..
        } => format!("the mask `{}`", path.display()),
        Shape::Mask {
            mask: MaskSource::Embedded(_),
            ..
        } => "a mask in the drag file".into(),
        Shape::Outline(Outline::Rect(corners)) => format!("the rect {corners:?}"),
        Shape::Outline(Outline::Ellipse(numbers)) => format!("the ellipse {numbers:?}"),
        Shape::Outline(Outline::Polygon(corners)) => {
            format!("a polygon of {} points", corners.len())
        }
    }
}

fn editable(editable: &Editable) -> String {
    match editable {
        Editable::Swept => "the swept area and a margin".into(),
        Editable::Everything => "everything".into(),
        Editable::Shape(inside) => shape(inside),
    }
}

/// Lists the settings that differ from their defaults, as on the command line.
fn settings(drag: &DragFile) -> String {
    let choice = Choice {
        method: drag.method,
        ..Choice::default()
    };
    let default = Settings::resolve(&choice)
        .map(|settings| settings.values())
        .unwrap_or_default();
    let method = drag.method.unwrap_or_default();
    let groups = std::iter::once(method.group()).chain(SHARED);
    let groups: Vec<Group> = groups.collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_motion_is_described() {
        for (motion, expected) in [
            (
                r#""type": "translation", "handle": [1, 1], "target": [5, 1], "angle": -30"#,
                "it: translation of the rect [0.0, 0.0, 9.0, 9.0], from (1, 1) to (5, 1), turned by -30 degrees",
            ),
            (
                r#""type": "deformation", "handle": [8, 4], "target": [5, 4], "anchor": [1, 4]"#,
                "it: deformation of the rect [0.0, 0.0, 9.0, 9.0], from (8, 4) to (5, 4), anchored at (1, 4)",
            ),
            (
                r#""type": "rotation", "center": [4, 4], "angle": 30"#,
                "it: rotation of the rect [0.0, 0.0, 9.0, 9.0], about (4, 4), by 30 degrees",
            ),
            (
                r#""type": "scale", "center": [4, 4], "factor": 1.5"#,
                "it: scale of the rect [0.0, 0.0, 9.0, 9.0], about (4, 4), by a factor of 1.5",
            ),
            (
                r#""type": "scale", "center": [4, 4], "handle": [8, 4], "target": [6, 4]"#,
                "it: scale of the rect [0.0, 0.0, 9.0, 9.0], about (4, 4), from (8, 4) to (6, 4)",
            ),
            (
                r#""type": "affine", "handles": [[0, 0], [9, 0], [0, 9]], "targets": [[1, 0], [9, 1], [0, 8]]"#,
                "it: affine of the rect [0.0, 0.0, 9.0, 9.0], from (0, 0) to (1, 0), from (9, 0) to (9, 1), from (0, 9) to (0, 8)",
            ),
        ] {
            let text = format!(
                r#"{{"version": 1, "regions": [{{"id": "it", "region": {{"rect": [0, 0, 9, 9]}}, {motion}}}]}}"#
            );
            let drag = DragFile::parse(text.as_bytes()).expect("a valid file");
            assert_eq!(describe(&drag.regions[0]), expected);
        }
    }
}
