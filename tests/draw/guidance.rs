//! What the page says on the way to a first drag file: the state, the hints and the labels.

use serde_json::json;

use crate::page::{Kind, Shown, circle, disc};

const STATE: &str = "return [document.getElementById('state').textContent, document.getElementById('state').dataset.state, document.querySelectorAll('#findings li').length];";
const HINT: &str = "return document.getElementById('hint').textContent;";

/// A region that was drawn and not dragged is not called valid; the hint says how its type is dragged.
#[test]
fn what_does_not_move_is_not_called_valid() {
    let Some(mut shown) = Shown::new(Kind::Chromium(1), &disc(), None) else {
        return;
    };
    shown.drag(&circle([86.0, 112.0], 30.0));
    let state = shown.browser.run(STATE);
    assert_eq!(state, json!(["Nothing moves yet", "warning", 0]));
    let hint = |shown: &mut Shown| shown.browser.run(HINT).as_str().unwrap().to_owned();
    assert!(hint(&mut shown).contains("to where it should go"));
    for (kind, before, after) in [
        ("rotation", "around its centre", "turn it by a degree"),
        ("scale", "away from its centre", "change the factor"),
        ("affine", "three targets", "three targets"),
    ] {
        shown.choose("[data-key=type]", kind);
        let text = hint(&mut shown);
        assert!(
            text.starts_with("Now drag") && text.contains(before),
            "{kind}: {text}"
        );
        assert!(!text.contains("to where it should go"), "{kind}: {text}");
        shown
            .browser
            .run("document.getElementById('stage').focus();");
        shown.keys(&"\u{e014}".repeat(12), false);
        let text = hint(&mut shown);
        assert!(
            text.contains(after) && !text.starts_with("Now"),
            "{kind}: {text}"
        );
    }
    let state = shown.browser.run(STATE);
    assert_eq!(state, json!(["Valid", "valid", 0]));
    // With another method the page says what it does not check.
    let rules = "const rules = document.getElementById('other-rules'); return [rules.hidden, rules.textContent];";
    assert_eq!(shown.browser.run(rules), json!([true, ""]));
    shown.choose("[data-pointer='/method']", "fast-drag");
    let shown_rules = shown.browser.run(rules);
    assert_eq!(
        shown_rules,
        json!([
            false,
            "dragnext validate also checks the rules of fast-drag."
        ])
    );
}

/// Nothing on the page shows a raw backtick, and no two labels of the sidebar are the same.
#[test]
fn texts_are_ready_to_be_read() {
    let settings = [
        "fill",
        "start",
        "trajectory",
        "seed",
        "lora_steps",
        "window",
    ];
    let file = json!({
        "version": 1,
        "settings": { "iterations": 5, "noise_scale": 1 },
        "regions": [{ "type": "translation", "region": { "rect": [20, 20, 60, 60] }, "handle": [40, 40], "target": [60, 40] }],
    });
    let Some(mut shown) = Shown::new(Kind::Chromium(1), &disc(), Some(&file.to_string())) else {
        return;
    };
    shown.browser.run_with(
        "for (const name of arguments[0]) { const form = limits.settings.find((entry) => entry.name === name); if (form) file.content.settings[name] = form.default; } document.querySelectorAll('details').forEach((each) => (each.open = true)); refresh();",
        &json!(settings),
    );
    let texts = "return [document.body.innerText.includes('`'), document.querySelectorAll('aside code').length, [...document.querySelectorAll('aside label, aside summary, aside h2, aside .label')].map((each) => each.textContent)];";
    let texts = shown.browser.run(texts);
    assert_eq!(texts[0], false, "a raw backtick");
    assert!(
        texts[1].as_u64().unwrap() > 2,
        "code is shown as such: {texts}"
    );
    let labels: Vec<&str> = texts[2]
        .as_array()
        .unwrap()
        .iter()
        .map(|text| text.as_str().unwrap())
        .collect();
    let mut once = labels.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), labels.len(), "{labels:?}");
    // The setting of another method is a fault at its field.
    let fault = "return document.querySelector('[data-pointer=\"/settings/noise_scale\"]').hasAttribute('data-fault');";
    assert_eq!(shown.browser.run(fault), json!(true));
}
