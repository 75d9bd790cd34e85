//! The drag file that `dragnext new` writes: a small translation, with a comment on every key.

use serde_json::Value;

use crate::geometry::{Point, Size};

/// The file's `$schema`: a file beside it, which `dragnext schema` can write.
pub const SCHEMA_FILE: &str = "drag.schema.json";

/// Maximum side of the box and maximum distance that it moves, in pixels. On a large photograph they fit a window that any model
/// sees in full resolution.
const BOX: usize = 72;
const DISTANCE: usize = 48;

/// The drag of a template: a box, and how far it moves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TemplateDrag {
    /// Left, top, right and bottom edge in pixels, with `left < right` and `top < bottom`.
    pub edges: [f64; 4],
    /// Pixels to the right and down.
    pub by: [f64; 2],
}

impl TemplateDrag {
    /// Returns a placeholder for a picture of this size: a box in the middle that moves to the right, which is a valid drag on any picture.
    pub fn placeholder(size: Size) -> Self {
        let Size { width, height } = size;
        let (across, down, distance) = (
            BOX.min(width / 4),
            BOX.min(height / 3),
            DISTANCE.min(width / 6),
        );
        let (left, top) = ((width - across - distance) / 2, (height - down) / 2);
        let edges = [left, top, left + across, top + down];
        Self {
            edges: edges.map(|edge| edge as f64),
            by: [distance as f64, 0.0],
        }
    }

    /// Returns the drag of a box to the side where the picture has more space, by as much as the placeholder moves or fits.
    pub fn of_box(edges: [f64; 4], size: Size) -> Self {
        let [left, _, right, _] = edges;
        let before = left;
        let behind = size.width as f64 - right;
        let [most, _] = Self::placeholder(size).by;
        let distance = most.min(before.max(behind)).floor();
        let by = [
            if behind >= before {
                distance
            } else {
                -distance
            },
            0.0,
        ];
        Self { edges, by }
    }

    /// Returns the middle of the box, its handle.
    pub fn handle(&self) -> Point {
        let [left, top, right, bottom] = self.edges;
        Point::new(left.midpoint(right).round(), top.midpoint(bottom).round())
    }

    /// Returns where the handle goes.
    pub fn target(&self) -> Point {
        let handle = self.handle();
        Point::new(handle.x + self.by[0], handle.y + self.by[1])
    }
}

/// Returns the text of a drag file for a picture of this name and size, with a drag of a box or else the placeholder, which its comment then
/// says to change.
pub fn template(picture: &str, size: Size, drag: Option<TemplateDrag>) -> String {
    let Size { width, height } = size;
    let is_placeholder = drag.is_none();
    let drag = drag.unwrap_or_else(|| TemplateDrag::placeholder(size));
    let ([left, top, right, bottom], handle, to) = (drag.edges, drag.handle(), drag.target());
    let (x, y) = (handle.x, handle.y);
    let (to_x, to_y) = (to.x, to.y);
    let first = if is_placeholder {
        "CHANGE `region`, `handle` and `target`: this box lies in the middle of the picture, whatever is there."
    } else {
        "This box moves as far as `target` lies from `handle`."
    };
    // Escapes the characters of the name that JSON requires.
    let about = Value::from(format!(
        "A drag file for `{picture}`, {width} x {height} pixels."
    ));
    format!(
        r#"{{
  "$schema": "{SCHEMA_FILE}",
  "comment": [
    {about},
    "Coordinates are pixels [x, y] of the upright picture: [0, 0] is its top left corner, [{width}, {height}] its bottom right one.",
    "Keys named `comment` and keys that start with `x-` are ignored; any other unknown key is an error."
  ],
  "version": 1,
  "x-prompt": "What the picture shows, in a few words, such as `a cat on a sofa`; it may stay empty.",
  "prompt": "",
  "x-edit_prompt": "A method that follows a text also takes `edit_prompt`: what the edited picture shows.",
  "x-editable": [
    "Where the picture may change. Without `editable`, it is the area that the drag sweeps, with a margin.",
    "To set it: \"editable\": \"everything\", or a shape as for a region below."
  ],
  "regions": [
    {{
      "comment": [
        "{first}",
        "The box must enclose the whole object, with a few pixels to spare: what lies outside stays where it is.",
        "`id`: any name; messages use it.",
        "`type`: `translation` moves an object and fills where it was; with `angle`, the object turns as well,",
        "  `deformation` moves a part of an object and stretches the rest, from `anchor` on if there is one,",
        "  `rotation` turns an object about `center`, from `handle` to `target` or by `angle` degrees (counter-clockwise positive),",
        "  `scale` grows or shrinks an object about `center`, from `handle` to `target` or by `factor`,",
        "  `affine` moves, turns and stretches an object, so that three `handles` go to three `targets`,",
        "  `point` moves a single point, without `region`.",
        "`region`: the area that is dragged, as one of these shapes:",
        "  {{ \"rect\": [left, top, right, bottom] }}, {{ \"ellipse\": [center x, center y, radius x, radius y] }},",
        "  {{ \"polygon\": [[x, y], [x, y], [x, y]] }}, {{ \"mask\": \"a picture of the same size, white is inside\" }}.",
        "`handle`: a point inside the region; `target`: where that point should go."
      ],
      "id": "box",
      "type": "translation",
      "region": {{ "rect": [{left}, {top}, {right}, {bottom}] }},
      "handle": [{x}, {y}],
      "target": [{to_x}, {to_y}]
    }}
  ],
  "settings": {{
    "comment": "Settings of the method; `dragnext settings` lists them with their bounds and sources.",
    "seed": 0
  }}
}}
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drag_file::DragFile;

    #[test]
    fn the_template_is_valid_for_any_picture_name() {
        for name in ["cat.png", "a \"quoted\"\\\n\u{1b}name.png"] {
            let text = template(name, Size::new(641, 427), None);
            let drag = DragFile::parse(text.as_bytes())
                .unwrap_or_else(|faults| panic!("{name:?}: {faults:?}"));
            assert_eq!(
                (drag.regions.len(), drag.regions[0].id.as_str()),
                (1, "box")
            );
            assert!(text.contains("641 x 427") && text.contains("[641, 427]"));
            assert!(text.contains("CHANGE `region`"));
        }
    }

    #[test]
    fn a_box_moves_to_where_there_is_space() {
        let size = Size::new(256, 200);
        let right = TemplateDrag::of_box([10.0, 20.0, 60.5, 80.0], size);
        assert_eq!(
            (right.by, right.handle()),
            ([42.0, 0.0], Point::new(35.0, 50.0))
        );
        let left = TemplateDrag::of_box([30.0, 20.0, 250.0, 80.0], size);
        assert_eq!(
            (left.by, left.target()),
            ([-30.0, 0.0], Point::new(110.0, 50.0))
        );
        let text = template("cat.png", size, Some(left));
        assert!(!text.contains("CHANGE"));
        let drag = DragFile::parse(text.as_bytes()).expect("a valid drag file");
        assert_eq!(drag.regions.len(), 1);
        assert!(
            text.contains("\"rect\": [30, 20, 250, 80]") && text.contains("\"target\": [110, 50]")
        );
    }
}
