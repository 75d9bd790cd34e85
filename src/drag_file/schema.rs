//! The JSON schema of drag files, built from the same tables as the parser, for editors that complete and check a drag file.
//!
//! The parser checks more than a schema can express: repeated names, the order of edges, corners on one line,
//! motions that fold or mirror.

use serde_json::{Map, Value, json};

use super::parse::{FACTORS, KEYS, MAX_DEGREES, MAX_ID, VERSION, keys};
use super::reader::MAX_COORDINATE;
use super::{MAX_AREAS, MAX_POINTS, MAX_PROMPT, MAX_REGIONS};
use crate::mask::MaskChannel;
use crate::method::{Method, groups, methods_with};
use crate::region::RegionKind;

/// The schema's identifier; it changes only with the version of the format.
const ID: &str = "urn:dragnext:drag-file:1";

/// Returns the schema (draft 2020-12).
pub fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": ID,
        "title": "dragnext drag file",
        "description": "Which regions or points of a picture are dragged, and where to. Coordinates are pixels [x, y] of the upright picture, from its top left corner, x to the right and y down.",
        "type": "object",
        "required": ["version", "regions"],
        "properties": {
            "$schema": { "type": "string", "description": "Path or address of this schema, for editors." },
            "version": { "const": VERSION, "description": "Version of the format." },
            "comment": { "$ref": "#/$defs/comment" },
            "prompt": {
                "type": "string",
                "default": "",
                "maxLength": MAX_PROMPT,
                "description": "What the picture shows, in a few words; may be empty.",
            },
            "edit_prompt": {
                "type": "string",
                "maxLength": MAX_PROMPT,
                "description": "What the edited picture shows, for methods that follow a text.",
            },
            "editable": {
                "description": "Where the picture may change: a shape or \"everything\". By default the area that the drag sweeps, with a margin.",
                "anyOf": [{ "const": "everything", "description": "All of the picture may change." }, { "$ref": "#/$defs/shape" }],
            },
            "regions": {
                "type": "array",
                "description": format!("The regions and points that are dragged; at most {MAX_AREAS} of them may have an area."),
                "items": { "$ref": "#/$defs/region" },
                "minItems": 1,
                "maxItems": MAX_REGIONS,
                "contains": { "properties": { "type": { "not": { "const": "point" } } } },
                "minContains": 0,
                "maxContains": MAX_AREAS,
            },
            "method": method(),
            "settings": settings(),
        },
        "patternProperties": ignored(),
        "additionalProperties": false,
        "$defs": {
            "comment": { "description": "Any value; it is ignored." },
            "coordinate": { "type": "number", "minimum": -MAX_COORDINATE, "maximum": MAX_COORDINATE },
            "point": list_of(2, "A point [x, y].", &json!({ "$ref": "#/$defs/coordinate" })),
            "triangle": list_of(3, "Three points [[x, y], [x, y], [x, y]] that do not lie on one line.", &json!({ "$ref": "#/$defs/point" })),
            "shape": shape(),
            "region": region(),
        },
    })
}

/// Keys that are ignored.
fn ignored() -> Value {
    json!({ "^x-": { "$ref": "#/$defs/comment" } })
}

fn list_of(count: usize, description: &str, items: &Value) -> Value {
    json!({ "type": "array", "description": description, "items": items, "minItems": count, "maxItems": count })
}

fn shape() -> Value {
    let coordinate = json!({ "$ref": "#/$defs/coordinate" });
    let radius = json!({ "type": "number", "exclusiveMinimum": 0, "maximum": MAX_COORDINATE });
    let ellipse = json!({
        "type": "array",
        "description": "Centre and radii [cx, cy, rx, ry].",
        "prefixItems": [coordinate, coordinate, radius, radius],
        "minItems": 4,
        "maxItems": 4,
    });
    let polygon = json!({
        "type": "array",
        "description": "Corners [[x, y], ...]; inside by the even-odd rule.",
        "items": { "$ref": "#/$defs/point" },
        "minItems": 3,
        "maxItems": MAX_POINTS,
    });
    let mask = json!({
        "type": "string",
        "description": "A picture of the same size: its path, relative to the drag file's folder, or a PNG as data:image/png;base64,...; pixels brighter than 127 are inside.",
        "minLength": 1,
    });
    let channel = json!({
        "enum": MaskChannel::ALL.map(MaskChannel::name),
        "description": "What of the mask's picture is its shape: its opacity, or the brightness of its colours. Without it, the picture tells.",
    });
    let invert = json!({
        "type": "boolean",
        "description": "Whether the inside of the mask is outside, and the reverse.",
    });
    let kinds = ["rect", "ellipse", "polygon", "mask"];
    json!({
        "type": "object",
        "title": "shape",
        "description": "One of rect, ellipse, polygon and mask.",
        "properties": {
            "comment": { "$ref": "#/$defs/comment" },
            "rect": list_of(4, "Left, top, right and bottom edge [x0, y0, x1, y1].", &coordinate),
            "ellipse": ellipse,
            "polygon": polygon,
            "mask": mask,
            "channel": channel,
            "invert": invert,
        },
        "dependentRequired": { "channel": ["mask"], "invert": ["mask"] },
        "oneOf": kinds.map(|kind| json!({ "title": kind, "required": [kind] })),
        "patternProperties": ignored(),
        "additionalProperties": false,
    })
}

fn region() -> Value {
    let kinds: Vec<Value> = RegionKind::ALL
        .iter()
        .map(|kind| json!({ "const": kind.name(), "description": kind.description() }))
        .collect();
    let rules = RegionKind::ALL.map(|kind| json!({ "if": has_type(kind), "then": rule(kind) }));
    let [least, most] = FACTORS;
    json!({
        "type": "object",
        "title": "region",
        "required": ["type"],
        "properties": {
            "comment": { "$ref": "#/$defs/comment" },
            "id": {
                "type": "string",
                "description": "The name in messages and records; unique in the file.",
                "minLength": 1,
                "maxLength": MAX_ID,
            },
            "type": { "description": "How the region moves.", "oneOf": kinds },
            "region": { "$ref": "#/$defs/shape", "description": "The area that is dragged; a `point` has none." },
            "handle": { "$ref": "#/$defs/point", "description": "Where the drag begins [x, y], inside the region." },
            "target": { "$ref": "#/$defs/point", "description": "Where the drag ends [x, y]." },
            "center": { "$ref": "#/$defs/point", "description": "Centre [x, y] of a rotation or a scale; it may lie outside the picture." },
            "angle": {
                "type": "number",
                "description": "Angle in degrees, counter-clockwise positive: of a rotation, instead of handle and target; of a translation, about the moving handle.",
                "minimum": -MAX_DEGREES,
                "maximum": MAX_DEGREES,
            },
            "factor": {
                "type": "number",
                "description": "Factor of all lengths of a scale, instead of handle and target.",
                "minimum": least,
                "maximum": most,
            },
            "handles": { "$ref": "#/$defs/triangle", "description": "Where the drag of an affine region begins: three points [x, y] around it." },
            "targets": { "$ref": "#/$defs/triangle", "description": "Where the drag of an affine region ends: the target [x, y] of each handle." },
            "anchor": { "$ref": "#/$defs/point", "description": "A point [x, y] of a deformation that stays; the region stretches between it and the handle." },
        },
        "allOf": rules,
        "patternProperties": ignored(),
        "additionalProperties": false,
    })
}

/// Matches the keys that a region of a type must and may have.
fn rule(kind: RegionKind) -> Value {
    let one_of = |key: &str| {
        json!([
            { "required": ["handle", "target"], "not": any_of(&[key]) },
            { "required": [key], "not": any_of(&["handle", "target"]) },
        ])
    };
    let mut rule = match kind {
        RegionKind::Translation | RegionKind::Deformation => {
            json!({ "required": ["region", "handle", "target"] })
        }
        RegionKind::Rotation => {
            json!({ "required": ["region", "center"], "oneOf": one_of("angle") })
        }
        RegionKind::Scale => json!({ "required": ["region", "center"], "oneOf": one_of("factor") }),
        RegionKind::Affine => json!({ "required": ["region", "handles", "targets"] }),
        RegionKind::Point => json!({ "required": ["handle", "target"] }),
    };
    let others: Vec<&str> = KEYS
        .into_iter()
        .filter(|key| !["id", "type"].contains(key) && !keys(kind).contains(key))
        .collect();
    rule["not"] = any_of(&others);
    rule
}

/// Matches a region of one type.
fn has_type(kind: RegionKind) -> Value {
    json!({ "properties": { "type": { "const": kind.name() } }, "required": ["type"] })
}

/// Matches an object that has any of these keys.
fn any_of(keys: &[&str]) -> Value {
    let required: Vec<Value> = keys
        .iter()
        .map(|key| json!({ "required": [key] }))
        .collect();
    json!({ "anyOf": required })
}

fn method() -> Value {
    let methods = Method::ALL
        .iter()
        .map(|method| json!({ "const": method.name(), "description": method.about() }));
    json!({
        "description": "The drag method; its settings, and those that every method shares, may stand in `settings`.",
        "default": Method::default().name(),
        "oneOf": methods.collect::<Vec<Value>>(),
    })
}

/// Every setting of every method, under the headings of their groups. A value is checked against the method in force by the reader alone.
fn settings() -> Value {
    let mut properties =
        Map::from_iter([("comment".to_owned(), json!({ "$ref": "#/$defs/comment" }))]);
    for group in groups() {
        for setting in group.settings {
            let text = format!(
                "{}: {} Source: {}.",
                group.heading,
                setting.text(),
                setting.source
            );
            if let Some(known) = properties.get_mut(setting.name) {
                let before = known["description"].as_str().unwrap_or_default();
                known["description"] = format!("{before} {text}").into();
                continue;
            }
            let mut schema = setting.form.schema();
            schema["description"] = text.into();
            // A setting of several methods has several defaults.
            if methods_with(setting.name).len() < 2 {
                schema["default"] = setting.default();
            }
            properties.insert(setting.name.to_owned(), schema);
        }
    }
    json!({
        "type": "object",
        "description": "Settings of the method and of what all methods share; flags of the command line and the environment take precedence.",
        "properties": properties,
        "patternProperties": ignored(),
        "additionalProperties": false,
    })
}
