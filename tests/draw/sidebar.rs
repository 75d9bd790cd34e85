//! The sidebar and the keys: values that are typed, the focus, and what is selected.

use serde_json::{Value, json};

use crate::page::{Kind, Shown, assert_near, disc};

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const RIGHT: &str = "\u{e014}";
const DELETE: &str = "\u{e017}";
const FOCUS: &str = "return document.activeElement.dataset.pointer ?? document.activeElement.id;";

fn drawn() -> Option<Shown> {
    let file = json!({
        "version": 1,
        "regions": [
            { "id": "one", "type": "translation", "region": { "rect": [20, 20, 60, 60] }, "handle": [40, 40], "target": [60, 40] },
            { "id": "two", "type": "translation", "region": { "rect": [120, 120, 160, 160] }, "handle": [140, 140], "target": [150, 140] },
        ],
    });
    Shown::new(Kind::Chromium(1), &disc(), Some(&file.to_string()))
}

fn focus(shown: &mut Shown, pointer: &str) {
    let script = "document.querySelector(`[data-pointer='${arguments[0]}']`).focus();";
    shown.browser.run_with(script, &pointer.into());
}

fn type_number(shown: &mut Shown, text: &str) {
    shown.keys("a", true);
    shown.keys(text, false);
}

fn region(shown: &mut Shown, index: usize) -> Value {
    let script = "return file.content.regions[arguments[0]];";
    shown.browser.run_with(script, &index.into())
}

/// Tab goes from a number that was changed to the next one, and both count.
#[test]
fn numbers_are_typed_one_after_the_other() {
    let Some(mut shown) = drawn() else { return };
    focus(&mut shown, "/regions/0/target/0");
    type_number(&mut shown, "66.3");
    shown.keys(TAB, false);
    assert_eq!(shown.browser.run(FOCUS), "/regions/0/target/1");
    // The whole number is selected, so that typing replaces it.
    shown.keys("47.7", false);
    shown.keys(TAB, false);
    assert_eq!(region(&mut shown, 0)["target"], json!([66.3, 47.7]));
    assert_eq!(shown.browser.run(FOCUS), "/regions/0/way/0");
    assert_near(&shown.save()["regions"][0]["target"], &[66.3, 47.7], 0.0);
}

/// The way to the target can be read and typed.
#[test]
fn the_way_is_a_number() {
    let Some(mut shown) = drawn() else { return };
    let way = "return [0, 1].map((axis) => document.querySelector(`[data-pointer='/regions/0/way/${axis}']`).value);";
    assert_eq!(shown.browser.run(way), json!(["20", "0"]));
    focus(&mut shown, "/regions/0/way/1");
    type_number(&mut shown, "-15");
    shown.keys(ENTER, false);
    assert_eq!(region(&mut shown, 0)["target"], json!([60, 25]));
    // What was typed is undone from the field, where nothing else was typed.
    shown.keys("z", true);
    assert_eq!(region(&mut shown, 0)["target"], json!([60, 40]));
}

/// A click right after a number was typed reaches what it is aimed at, and the number counts.
#[test]
fn a_click_after_a_number_is_not_lost() {
    let Some(mut shown) = drawn() else { return };
    focus(&mut shown, "/regions/0/target/0");
    type_number(&mut shown, "70");
    shown.click("[data-key=row-1]");
    assert_eq!(region(&mut shown, 0)["target"], json!([70, 40]));
    assert_eq!(shown.browser.run("return file.selected;"), 1);
}

/// Without a pointer: a shape is placed, moved, resized and dragged on a page on which nothing has been clicked.
#[test]
fn keys_are_enough() {
    let Some(mut shown) = Shown::new(Kind::Chromium(1), &disc(), None) else {
        return;
    };
    shown.keys("r", false);
    shown.keys(ENTER, false);
    let placed = region(&mut shown, 0)["region"]["rect"].clone();
    shown.keys("a", false);
    shown.keys("]", false);
    let grown = region(&mut shown, 0)["region"]["rect"].clone();
    let width = |rect: &Value| rect[2].as_f64().unwrap() - rect[0].as_f64().unwrap();
    assert!(
        (width(&grown) / width(&placed) - 1.05).abs() < 0.01,
        "{grown}"
    );
    shown.keys("v", false);
    shown.keys(&RIGHT.repeat(7), false);
    let region = shown.save()["regions"][0].clone();
    let way = region["target"][0].as_f64().unwrap() - region["handle"][0].as_f64().unwrap();
    assert!((way - 7.0).abs() < 1e-9, "{region}");
}

/// Deleting a region keeps another one selected. `Delete` also works on its row.
#[test]
fn a_region_is_deleted_beside_the_selected_one() {
    let Some(mut shown) = drawn() else { return };
    shown.click("[data-key=row-1]");
    shown.click("[data-key=remove-0]");
    let left = "return [file.content.regions.map((region) => region.id), file.selected];";
    assert_eq!(shown.browser.run(left), json!([["two"], 0]));
    shown
        .browser
        .run("document.querySelector('[data-key=row-0]').focus();");
    shown.keys(DELETE, false);
    assert_eq!(shown.browser.run(left), json!([[], null]));
}

/// A page without a region saves nothing, and says why.
#[test]
fn an_empty_page_is_not_saved() {
    let Some(mut shown) = Shown::new(Kind::Chromium(1), &disc(), None) else {
        return;
    };
    shown.click("#save");
    let message = shown
        .browser
        .run("return document.getElementById('message').textContent;");
    let message = message.as_str().unwrap();
    assert!(message.contains("needs a region"), "{message}");
    assert_eq!(shown.browser.run("return saves.count;"), 0);
}

/// A fault that appears does not move the fields under the pointer.
#[test]
fn fields_stay_where_they_are() {
    let Some(mut shown) = drawn() else { return };
    let place = "return document.querySelector(\"[data-pointer='/regions/0/handle/0']\").getBoundingClientRect().top;";
    let before = shown.browser.run(place);
    focus(&mut shown, "/regions/0/target/0");
    type_number(&mut shown, "9000");
    shown.keys(ENTER, false);
    let found = "return document.querySelectorAll('#findings li').length;";
    assert_ne!(shown.browser.run(found), 0);
    assert_eq!(shown.browser.run(place), before);
}
