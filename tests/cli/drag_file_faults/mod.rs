//! Faults of drag files through the binary: each is reported with its kind, its place and exit status 2 before anything is computed.
//! Unusual but valid files are accepted.

mod files;
mod masks;
mod messages;
mod regions;

use std::path::PathBuf;

use image::{DynamicImage, ImageBuffer, Rgba};
use serde_json::Value;

use crate::bench::{Bench, Ended, Run};

pub(super) const MOVE: &str = r#""type": "translation", "region": { "rect": [20, 20, 60, 60] }, "handle": [40, 40], "target": [70, 45]"#;

/// A bench with a picture of 128 x 96 pixels.
pub(super) struct Scene(pub(super) Bench);

impl Scene {
    pub(super) fn new() -> Self {
        let scene = Self(Bench::new());
        let picture =
            ImageBuffer::from_fn(128, 96, |x, y| Rgba([x as u8 * 2, y as u8 * 2, 90, 255]));
        DynamicImage::ImageRgba8(picture)
            .save(scene.path("in.png"))
            .unwrap();
        scene
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }

    /// `dragnext` with the demo model. What it prints is for the test to check.
    pub(super) fn dragnext(&self, arguments: &[&str]) -> Run {
        self.0
            .dragnext(arguments)
            .env("DRAGNEXT_MODEL", "demo")
            .any_stdout()
            .any_stderr()
    }

    /// Runs `validate` on a drag file with this content and the picture.
    pub(super) fn validate(&self, content: impl AsRef<[u8]>) -> Ended {
        self.0.write("drag.json", content);
        let arguments = ["validate", "drag.json", "--image", "in.png", "--json"];
        self.dragnext(&arguments).ended()
    }

    /// Returns the faults as `kind pointer line:column`, and the messages. The status must be 2, and `edit` must reject the file with
    /// the same messages.
    pub(super) fn faults(&self, content: impl AsRef<[u8]>) -> (Vec<String>, String) {
        let validated = self.validate(content);
        let verdict = &validated.record;
        assert_eq!(
            (validated.status, &verdict["status"]),
            (Some(2), &Value::from("wrong")),
            "{validated}"
        );
        let edit = ["edit", "in.png", "--drag", "drag.json", "--json"];
        let edited = self
            .dragnext(&edit)
            .status(2)
            .stderr(&validated.stderr)
            .run();
        assert_eq!(edited.record["error"]["kind"], verdict["faults"][0]["kind"]);
        assert!(!self.path("in.edited.png").exists());
        let shown = |fault: &Value| {
            let word = |key: &str| fault[key].as_str().unwrap().to_owned();
            format!(
                "{} {} {}:{}",
                word("kind"),
                word("pointer"),
                fault["line"],
                fault["column"]
            )
        };
        let faults = verdict["faults"].as_array().unwrap();
        (faults.iter().map(shown).collect(), validated.stderr)
    }

    /// Returns the kinds and messages of the warnings on a valid file.
    pub(super) fn warnings(&self, content: impl AsRef<[u8]>) -> (Vec<String>, String) {
        let validated = self.validate(content);
        let verdict = &validated.record;
        assert_eq!(
            (validated.status, &verdict["status"]),
            (Some(0), &Value::from("ok")),
            "{validated}"
        );
        let list = verdict["warnings"].as_array().unwrap();
        let texts = |key: &'static str| {
            list.iter()
                .map(move |warning| warning[key].as_str().unwrap())
        };
        let kinds = texts("kind").map(str::to_owned).collect();
        (kinds, texts("message").collect::<Vec<_>>().join("\n"))
    }
}

/// Returns a file with one region on its second line.
pub(super) fn file(region: &str) -> String {
    format!("{{ \"version\": 1, \"regions\": [\n{{ {region} }} ] }}")
}
