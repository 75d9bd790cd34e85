//! The labels of a drag: its name with how it moves, and the angle of a turn in place.

use super::super::bounds::Bounds;
use super::super::labels::{Label, Subject};
use super::DragDrawing;
use crate::drag_file::Drag;
use crate::region::Region;

/// Maximum number of characters of a region's name.
const LONGEST_NAME: usize = 24;

impl DragDrawing<'_> {
    /// Returns the labels of the drag and of its angle.
    pub(in super::super) fn labels(&self) -> Vec<Label> {
        let mut labels = Vec::new();
        if let Some((beside, angle)) = self.paths.turn {
            labels.push(Label {
                text: degrees(angle),
                short: None,
                about: Bounds::around(beside, self.sheet.unit),
                subject: Subject::Detail,
            });
        }
        let id = short(&self.entry.id);
        let moves = self.region.map(|region| self.moves(region));
        let moves = moves.unwrap_or_default();
        let outline = Bounds::of(self.before.iter().flatten().copied(), self.sheet.size);
        let mark = || {
            self.first_mark()
                .map(|mark| Bounds::around(mark, self.radius))
        };
        if let Some(about) = outline.or_else(mark) {
            labels.push(Label {
                text: format!("{id}{moves}"),
                short: Some(id),
                about,
                subject: Subject::Region,
            });
        }
        labels
    }

    /// Describes the motion of the planned region.
    fn moves(&self, region: &Region) -> String {
        if region.is_still() {
            return " stays".into();
        }
        if self.paths.turn.is_some() {
            return " turns".into();
        }
        let pixels = rounded(region.moved_px());
        match &self.entry.drag {
            Drag::Translation {
                points,
                angle: Some(angle),
                ..
            } => {
                let distance = rounded(points.handle.distance(points.target));
                format!(
                    " moves {distance} px, turns {}",
                    degrees(angle.to_radians())
                )
            }
            Drag::Translation { angle: None, .. }
            | Drag::Rotation { .. }
            | Drag::Affine { .. }
            | Drag::Point { .. } => {
                format!(" moves {pixels} px")
            }
            Drag::Deformation { .. } => format!(" stretches {pixels} px"),
            Drag::Scale { center, growth, .. } => {
                format!(" scales to {:.0} %", 100.0 * growth.factor(*center))
            }
        }
    }
}

/// Returns a region's name, truncated where it is long.
fn short(id: &str) -> String {
    let rest = if id.chars().nth(LONGEST_NAME).is_some() {
        ".."
    } else {
        ""
    };
    id.chars().take(LONGEST_NAME).chain(rest.chars()).collect()
}

/// Formats an angle in radians, such as `-35°`.
fn degrees(angle: f64) -> String {
    format!("{}\u{b0}", rounded(angle.to_degrees()))
}

/// Formats a number without decimals, or with one below ten.
pub(super) fn rounded(number: f64) -> String {
    let tenths = (number * 10.0).round() / 10.0 + 0.0;
    if tenths.abs() >= 10.0 {
        format!("{number:.0}")
    } else {
        format!("{tenths}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_numbers_have_a_decimal() {
        let shown = [-35.2_f64, 400.0, 0.26, -0.04, 9.96, 5.0, -179.6]
            .map(|angle| degrees(angle.to_radians()));
        assert_eq!(shown, ["-35°", "400°", "0.3°", "0°", "10°", "5°", "-180°"]);
    }

    #[test]
    fn long_names_are_truncated() {
        assert_eq!(short("tail"), "tail");
        assert_eq!(short(&"x".repeat(24)), "x".repeat(24));
        assert_eq!(short(&"\u{732b}".repeat(25)), "\u{732b}".repeat(24) + "..");
    }
}
