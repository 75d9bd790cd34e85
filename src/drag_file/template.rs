//! The drag file that `dragnext new` writes: a small translation, with a comment on every key.

use serde_json::Value;

use crate::geometry::Size;

/// The file's `$schema`: a file beside it, which `dragnext schema` can write.
pub const SCHEMA_FILE: &str = "drag.schema.json";

/// Maximum side of the box and maximum distance that it moves, in pixels. On a large photograph they fit a window that any model
/// sees in full resolution.
const BOX: usize = 72;
const DISTANCE: usize = 48;

/// Returns the text of a drag file for a picture of this name and size. Its region is a box in the middle that moves to the right,
/// which is a valid drag on a picture of any size.
pub fn template(picture: &str, size: Size) -> String {
    let Size { width, height } = size;
    let (across, down, distance) = (
        BOX.min(width / 4),
        BOX.min(height / 3),
        DISTANCE.min(width / 6),
    );
    let (left, top) = ((width - across - distance) / 2, (height - down) / 2);
    let (right, bottom) = (left + across, top + down);
    let (x, y) = (left.midpoint(right), top.midpoint(bottom));
    let to = x + distance;
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
      "target": [{to}, {y}]
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
            let text = template(name, Size::new(641, 427));
            let drag = DragFile::parse(text.as_bytes())
                .unwrap_or_else(|faults| panic!("{name:?}: {faults:?}"));
            assert_eq!(
                (drag.regions.len(), drag.regions[0].id.as_str()),
                (1, "box")
            );
            assert!(text.contains("641 x 427") && text.contains("[641, 427]"));
        }
    }
}
