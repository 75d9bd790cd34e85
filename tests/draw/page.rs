//! A page under test: a picture, the page that `dragnext draw` makes of it, and the browser that shows it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::bench::{Bench, report};
use crate::webdriver::Browser;

/// Space around a fitted picture on the stage, as in the page's `view.js`.
const BORDER: [f64; 3] = [24.0, 56.0, 24.0];

/// The picture of a golden edit: a disc on a plain background, 256 x 256 pixels.
pub(crate) fn disc() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/edits/translation-07/input.png")
}

/// Which browser shows a page.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// Chromium with so many pixels of the screen for each pixel of the page.
    Chromium(u32),
    Firefox,
}

/// A page in a browser.
pub(crate) struct Shown {
    pub(crate) bench: Bench,
    pub(crate) browser: Browser,
    /// Left and top edge of the stage, its width and height, in pixels of the page.
    stage: [f64; 4],
    size: [f64; 2],
}

impl Shown {
    /// Makes a page of a picture, which is copied to the bench as `cat.png`, and opens it. `None` with a message when the browser is missing.
    pub(crate) fn new(kind: Kind, picture: &Path, drag: Option<&str>) -> Option<Self> {
        let bench = Bench::new();
        bench.write("cat.png", std::fs::read(picture).unwrap());
        let mut arguments = vec!["draw", "cat.png"];
        if let Some(drag) = drag {
            bench.write("cat.json", drag);
            arguments.extend(["--drag", "cat.json"]);
        }
        bench.dragnext(&arguments).any_stderr().run();
        Self::open(bench, kind, "cat.draw.html")
    }

    /// Opens a page of the bench.
    pub(crate) fn open(bench: Bench, kind: Kind, page: &str) -> Option<Self> {
        let browser = match kind {
            Kind::Chromium(ratio) => Browser::chromium(bench.folder(), ratio),
            Kind::Firefox => Browser::firefox(bench.folder()),
        };
        let Some(mut browser) = browser else {
            let name = match kind {
                Kind::Chromium(_) => "chromium and chromedriver are",
                Kind::Firefox => "firefox is",
            };
            report(&format!("skipped: {name} not installed"));
            return None;
        };
        browser.open(&bench.path(page));
        let numbers = browser.run(
            "const box = document.getElementById('stage').getBoundingClientRect();\
             const size = document.getElementById('picture-size').textContent.split(' × ').map(Number);\
             return [box.left, box.top, box.width, box.height, ...size];",
        );
        let numbers: Vec<f64> = serde_json::from_value(numbers).unwrap();
        let mut shown = Self {
            bench,
            browser,
            stage: [numbers[0], numbers[1], numbers[2], numbers[3]],
            size: [numbers[4], numbers[5]],
        };
        // The page must report no error of its own while it is used.
        shown.browser.run("window.errors = []; addEventListener('error', (event) => errors.push(event.message)); addEventListener('unhandledrejection', (event) => errors.push(String(event.reason))); addEventListener('securitypolicyviolation', (event) => errors.push(event.violatedDirective));");
        Some(shown)
    }

    /// Returns where a point of the fitted picture lies in the page.
    pub(crate) fn place(&self, [x, y]: [f64; 2]) -> [i64; 2] {
        let [left, top, width, height] = self.stage;
        let [side, above, below] = BORDER;
        let space = [width - 2.0 * side, height - above - below];
        let zoom = (space[0] / self.size[0]).min(space[1] / self.size[1]);
        let at = |edge: f64, border: f64, space: f64, size: f64, value: f64| {
            (edge + border + (space - size * zoom) / 2.0 + value * zoom).round() as i64
        };
        [
            at(left, side, space[0], self.size[0], x),
            at(top, above, space[1], self.size[1], y),
        ]
    }

    /// Presses a pointer at the first point of the picture, moves it along the others, and releases it.
    pub(crate) fn stroke(&mut self, pointer: &str, points: &[[f64; 2]]) {
        let mut actions = Vec::new();
        for (index, point) in points.iter().enumerate() {
            let [x, y] = self.place(*point);
            actions.push(json!({ "type": "pointerMove", "duration": 15, "x": x, "y": y }));
            if index == 0 {
                actions.push(json!({ "type": "pointerDown", "button": 0 }));
            }
        }
        actions.push(json!({ "type": "pointerUp", "button": 0 }));
        self.browser.perform(&json!([{
            "type": "pointer",
            "id": pointer,
            "parameters": { "pointerType": pointer },
            "actions": actions,
        }]));
    }

    /// Drags with the mouse.
    pub(crate) fn drag(&mut self, points: &[[f64; 2]]) {
        self.stroke("mouse", points);
    }

    /// Presses keys one after the other, with Control held or not.
    pub(crate) fn keys(&mut self, keys: &str, control: bool) {
        let mut actions = Vec::new();
        let held = "\u{e009}";
        if control {
            actions.push(json!({ "type": "keyDown", "value": held }));
        }
        for key in keys.chars() {
            actions.push(json!({ "type": "keyDown", "value": key }));
            actions.push(json!({ "type": "keyUp", "value": key }));
        }
        if control {
            actions.push(json!({ "type": "keyUp", "value": held }));
        }
        self.browser
            .perform(&json!([{ "type": "key", "id": "keyboard", "actions": actions }]));
    }

    /// Clicks the element that a selector finds.
    pub(crate) fn click(&mut self, selector: &str) {
        let script = "const box = document.querySelector(arguments[0]).getBoundingClientRect(); return [box.left + box.width / 2, box.top + box.height / 2];";
        let at: [f64; 2] =
            serde_json::from_value(self.browser.run_with(script, &selector.into())).unwrap();
        self.browser.perform(&json!([{
            "type": "pointer",
            "id": "mouse",
            "parameters": { "pointerType": "mouse" },
            "actions": [
                { "type": "pointerMove", "duration": 10, "x": at[0].round() as i64, "y": at[1].round() as i64 },
                { "type": "pointerDown", "button": 0 },
                { "type": "pointerUp", "button": 0 },
            ],
        }]));
    }

    /// Chooses an option of a select in the sidebar.
    pub(crate) fn choose(&mut self, selector: &str, value: &str) {
        let script = "const [selector, value] = arguments[0]; const select = document.querySelector(selector); select.value = value; select.dispatchEvent(new Event('change', { bubbles: true }));";
        self.browser.run_with(script, &json!([selector, value]));
    }

    /// Saves the drag file by the button, and returns it after `dragnext validate` found it right. The page must have had no error.
    pub(crate) fn save(&mut self) -> Value {
        let title = self
            .browser
            .run("return document.getElementById('save').title;");
        let name = title.as_str().unwrap().strip_prefix("Save ").unwrap();
        let name = name.strip_suffix(" (Ctrl+S)").unwrap().to_owned();
        self.click("#save");
        let text = self.browser.saved(&name);
        let errors = self.browser.run("return window.errors;");
        assert_eq!(errors, json!([]), "errors of the page");
        self.bench.write("cat.json", &text);
        self.bench
            .dragnext([
                "validate", "cat.json", "--image", "cat.png", "--model", "demo",
            ])
            .any_stdout()
            .any_stderr()
            .run();
        serde_json::from_str(&text).unwrap()
    }
}

/// Returns points on a circle, the first one again at the end.
pub(crate) fn circle([x, y]: [f64; 2], radius: f64) -> Vec<[f64; 2]> {
    (0..=24)
        .map(|step| {
            let (sin, cos) = (std::f64::consts::TAU * f64::from(step) / 24.0).sin_cos();
            [x + radius * cos, y + radius * sin]
        })
        .collect()
}

/// Asserts that numbers of a drag file lie within `tolerance` of the expected ones.
pub(crate) fn assert_near(found: &Value, expected: &[f64], tolerance: f64) {
    let numbers: Vec<f64> = serde_json::from_value(found.clone()).unwrap();
    let is_near = numbers.len() == expected.len()
        && numbers
            .iter()
            .zip(expected)
            .all(|(found, expected)| (found - expected).abs() <= tolerance);
    assert!(is_near, "{found} is not within {tolerance} of {expected:?}");
}
