//! The bounds and tables that the page's rules and fields use, from the same constants as the parser's.

use serde_json::{Map, Value, json};

use crate::drag_file::{
    FACTORS, MAX_COORDINATE, MAX_EMBEDDED, MAX_ID, MAX_POINTS, MAX_PROMPT, MAX_REGIONS,
};
use crate::method::{Method, groups};
use crate::model::POSITIONS;
use crate::plan::SD15_SIZE;
use crate::settings::{Description, Form, Overrides};

/// Returns the bounds of drag files, the methods, and every setting with its form.
pub(super) fn limits() -> Value {
    let mut settings: Vec<&Description> = Vec::new();
    for setting in groups().iter().flat_map(|group| group.settings) {
        // A setting of several methods is one key of the file.
        if settings.iter().all(|known| known.name != setting.name) {
            settings.push(setting);
        }
    }
    let defaults: Map<String, Value> = settings
        .iter()
        .map(|setting| (setting.name.to_owned(), setting.default()))
        .collect();
    let methods: Vec<&str> = Method::ALL.iter().map(|method| method.name()).collect();
    let follows_text = |method: &&Method| {
        let resolved = method.resolve(&Overrides::default());
        resolved.is_ok_and(|settings| settings.needs().clip)
    };
    let texts: Vec<&str> = Method::ALL
        .iter()
        .filter(follows_text)
        .map(|method| method.name())
        .collect();
    // Of each method, the settings that it does not use, each with the reason.
    let unused = |method: &Method| -> Map<String, Value> {
        let reason = |name: &str| method.why_unused(name).map(Value::from);
        settings
            .iter()
            .filter_map(|setting| Some((setting.name.to_owned(), reason(setting.name)?)))
            .collect()
    };
    let unused: Map<String, Value> = Method::ALL
        .iter()
        .map(|method| (method.name().to_owned(), unused(method).into()))
        .collect();
    json!({
        "unused": unused,
        "regions": MAX_REGIONS,
        "points": MAX_POINTS,
        "id": MAX_ID,
        "prompt": MAX_PROMPT,
        "tokens": POSITIONS,
        "coordinate": MAX_COORDINATE,
        "embedded": MAX_EMBEDDED,
        "factors": FACTORS,
        "size": SD15_SIZE,
        "method": Method::default().name(),
        "methods": methods,
        "texts": texts,
        "defaults": defaults,
        "settings": settings.iter().map(|setting| described(setting)).collect::<Vec<Value>>(),
    })
}

/// Describes a setting to the page. `kind` is `whole`, `number`, `words`, `switch` or `stages`; `numeric` says that a number may stand
/// instead of the words.
fn described(setting: &Description) -> Value {
    let number =
        |kind: &str, low: f64, high: f64| json!({ "kind": kind, "low": low, "high": high });
    let with = |mut form: Value, key: &str, value: Value| {
        form[key] = value;
        form
    };
    let mut form = match setting.form {
        Form::Whole(low, high) => number("whole", low as f64, high as f64),
        Form::ZeroOr(low, high) => with(
            number("whole", low as f64, high as f64),
            "zero",
            true.into(),
        ),
        Form::WordOr(word, high) => {
            let form = with(number("whole", 0.0, high as f64), "words", json!([word]));
            with(form, "numeric", true.into())
        }
        Form::Within(low, high) => number("number", low, high),
        Form::WordOrWithin(word, low, high) => {
            let form = with(number("number", low, high), "words", json!([word]));
            with(form, "numeric", true.into())
        }
        Form::Above(low, high) => with(number("number", low, high), "exclusive", true.into()),
        Form::Switch => json!({ "kind": "switch" }),
        Form::Words(words) => json!({ "kind": "words", "words": words }),
        Form::Stages(last) => json!({ "kind": "stages", "high": last }),
    };
    form["name"] = setting.name.into();
    form["text"] = setting.text().into();
    form["bounds"] = setting.form.bounds().into();
    form["expected"] = setting.form.expected().into();
    form["default"] = setting.default();
    form
}
