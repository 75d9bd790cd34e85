//! The JSON schema of drag files, from the same tables as their reader. An editor completes a drag file from it; what a schema cannot
//! say (equal names, an order of edges, points on one line) only the reader knows.

use serde_json::{Map, Value, json};

use super::parse::{MAX_DEGREES, MAX_ID, VERSION};
use super::reader::MAX_COORDINATE;
use super::{MAX_POINTS, MAX_REGIONS};
use crate::method::{Method, groups, methods_with};
use crate::region::RegionKind;

/// The schema's name; it stays the same as long as the version of the format does.
const ID: &str = "urn:dragnext:drag-file:1";

/// The schema, draft 2020-12.
pub fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": ID,
        "title": "dragnext drag file",
        "description": "Which regions of a picture are dragged, and where to. Coordinates are pixels [x, y] of the upright picture, from its top left corner, x to the right and y down.",
        "type": "object",
        "required": ["version", "regions"],
        "properties": {
            "$schema": { "type": "string", "description": "Where an editor finds this schema." },
            "version": { "const": VERSION, "description": "Version of the format." },
            "comment": { "$ref": "#/$defs/comment" },
            "prompt": {
                "type": "string",
                "default": "",
                "description": "What the picture shows, in a few words; may be empty.",
            },
            "editable": {
                "description": "Where the picture may change: a shape or \"everything\". By default what the drag sweeps and a margin around it.",
                "anyOf": [{ "const": "everything", "description": "All of the picture may change." }, { "$ref": "#/$defs/shape" }],
            },
            "regions": {
                "type": "array",
                "description": "What is dragged.",
                "items": { "$ref": "#/$defs/region" },
                "minItems": 1,
                "maxItems": MAX_REGIONS,
            },
            "method": method(),
            "settings": settings(),
        },
        "patternProperties": ignored(),
        "additionalProperties": false,
        "$defs": {
            "comment": { "description": "Anything; it is ignored." },
            "coordinate": { "type": "number", "minimum": -MAX_COORDINATE, "maximum": MAX_COORDINATE },
            "point": list_of(2, "A point [x, y].", &json!({ "$ref": "#/$defs/coordinate" })),
            "shape": shape(),
            "region": region(),
        },
    })
}

/// Keys that are anybody's.
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
        "description": "Corners [[x, y], ...]; what the outline encloses an odd number of times is inside.",
        "items": { "$ref": "#/$defs/point" },
        "minItems": 3,
        "maxItems": MAX_POINTS,
    });
    let mask = json!({
        "type": "string",
        "description": "Path of a picture of the same size, from the drag file's folder; what is brighter than 127 is inside.",
        "minLength": 1,
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
        },
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
    let by_points = json!({ "required": ["handle", "target"], "not": { "required": ["angle"] } });
    let by_angle = json!({ "required": ["angle"], "not": { "anyOf": [{ "required": ["handle"] }, { "required": ["target"] }] } });
    let no_turn = json!({ "anyOf": [{ "required": ["center"] }, { "required": ["angle"] }] });
    json!({
        "type": "object",
        "title": "region",
        "required": ["type", "region"],
        "properties": {
            "comment": { "$ref": "#/$defs/comment" },
            "id": {
                "type": "string",
                "description": "The name in messages and records; no two regions share one.",
                "minLength": 1,
                "maxLength": MAX_ID,
            },
            "type": { "description": "How the region moves.", "oneOf": kinds },
            "region": { "$ref": "#/$defs/shape", "description": "What is dragged." },
            "handle": { "$ref": "#/$defs/point", "description": "Where the drag begins [x, y], inside the region." },
            "target": { "$ref": "#/$defs/point", "description": "Where the drag ends [x, y]." },
            "center": { "$ref": "#/$defs/point", "description": "What stays in place when the region turns [x, y]; it may lie outside the picture." },
            "angle": {
                "type": "number",
                "description": "How far the region turns, in degrees, counter-clockwise positive; instead of handle and target.",
                "minimum": -MAX_DEGREES,
                "maximum": MAX_DEGREES,
            },
        },
        "if": { "properties": { "type": { "const": RegionKind::Rotation.name() } }, "required": ["type"] },
        "then": { "required": ["center"], "oneOf": [by_points, by_angle] },
        "else": { "required": ["handle", "target"], "not": no_turn },
        "patternProperties": ignored(),
        "additionalProperties": false,
    })
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
