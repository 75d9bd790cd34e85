//! Drag files that exist already, and names and texts of any content.

use serde_json::{Value, json};

use crate::bench::Bench;
use crate::page::{Kind, Shown, disc};

const RIGHT: &str = "\u{e014}";

/// A file with every key that a page must keep: comments, keys of other programs, settings, a seed that JavaScript's numbers do not hold,
/// and a mask in a file.
const FULL: &str = r#"{
  "$schema": "drag.schema.json",
  "comment": ["by hand, [1, 2]", { "any": "value" }],
  "version": 1,
  "prompt": "a disc </script><script>window.broken = true</script>",
  "x-tool": { "b": [1, null, true], "a": 1.5 },
  "editable": { "comment": "all of it", "rect": [0, 0, 256, 256] },
  "regions": [
    { "x-note": "kept", "id": "<img src=x onerror=alert(1)>", "type": "translation", "region": { "x-by": "hand", "mask": "disc.png" }, "handle": [86, 112], "target": [118, 136] },
    { "id": "turn", "type": "rotation", "region": { "ellipse": [200, 60, 30, 20] }, "center": [200, 60], "angle": 400.5 },
    { "id": "grow", "type": "scale", "region": { "ellipse": [60, 210, 20, 20] }, "center": [60, 210], "factor": 1.25 }
  ],
  "settings": { "comment": "of the method", "seed": 18446744073709551615, "margin": 16 }
}"#;

/// Returns a page of a drag file with the mask `disc.png` beside it.
fn page(kind: Kind, drag: &str) -> Option<Shown> {
    let bench = Bench::new();
    bench.write("cat.png", std::fs::read(disc()).unwrap());
    let mask = image::GrayImage::from_fn(256, 256, |x, y| {
        let inside = (f64::from(x) - 86.0).hypot(f64::from(y) - 112.0) < 28.0;
        image::Luma([if inside { 255 } else { 0 }])
    });
    mask.save(bench.path("disc.png")).unwrap();
    bench.write("cat.json", drag);
    let arguments = ["draw", "cat.png", "--drag", "cat.json"];
    bench.dragnext(arguments).any_stderr().run();
    Shown::open(bench, kind, "cat.draw.html")
}

/// Saving without a change gives the same values. Digits are compared as text, so that a large seed counts.
fn keep_everything(kind: Kind) {
    let Some(mut shown) = page(kind, FULL) else {
        return;
    };
    let saved = shown.save();
    let expected: Value = serde_json::from_str(FULL).unwrap();
    assert_eq!(saved, expected);
    let text = std::fs::read_to_string(shown.bench.path("cat.json")).unwrap();
    assert!(text.contains("18446744073709551615"), "{text}");
    let keys = |value: &str| -> Vec<usize> {
        [
            "$schema", "comment", "version", "prompt", "x-tool", "regions",
        ]
        .map(|key| value.find(&format!("\"{key}\"")).unwrap())
        .to_vec()
    };
    assert!(keys(&text).is_sorted(), "keys keep their order: {text}");
    let run = shown.browser.run("return [window.broken ?? null, document.querySelectorAll('img').length, document.querySelector('#regions .name').textContent];");
    assert_eq!(run, json!([null, 0, "<img src=x onerror=alert(1)>"]));
}

#[test]
fn a_drag_file_is_kept_in_chromium() {
    keep_everything(Kind::Chromium(1));
}

#[test]
fn a_drag_file_is_kept_in_firefox() {
    keep_everything(Kind::Firefox);
}

/// A change of one region keeps everything else; painting on a mask of a file puts it into the drag file.
#[test]
fn a_change_keeps_the_rest() {
    let Some(mut shown) = page(Kind::Chromium(1), FULL) else {
        return;
    };
    shown.drag(&[[118.0, 136.0], [120.0, 130.0], [110.0, 120.0]]);
    let moved = shown.save();
    let mut expected: Value = serde_json::from_str(FULL).unwrap();
    assert_ne!(moved, expected);
    expected["regions"][0]["target"] = moved["regions"][0]["target"].clone();
    assert_eq!(moved, expected);

    shown.keys("b", false);
    shown.drag(&[[86.0, 140.0], [100.0, 140.0]]);
    let painted = shown.save();
    let region = &painted["regions"][0]["region"];
    assert!(
        region["mask"]
            .as_str()
            .unwrap()
            .starts_with("data:image/png;base64,")
    );
    assert_eq!(region["x-by"], "hand");
    expected["regions"][0]["region"]["mask"] = region["mask"].clone();
    assert_eq!(painted, expected);
}

/// A picture's name is data, and the command can be pasted into a shell.
#[test]
fn a_hostile_name() {
    let bench = Bench::new();
    let name = "it's \"a\" <b>&amp;<script>cat.png";
    bench.write(name, std::fs::read(disc()).unwrap());
    let arguments = ["draw", name, "-o", "page.html"];
    bench.dragnext(arguments).any_stderr().run();
    let Some(mut shown) = Shown::open(bench, Kind::Chromium(1), "page.html") else {
        return;
    };
    let texts = shown.browser.run("return [document.title, document.getElementById('picture-name').textContent, document.getElementById('command').textContent, document.querySelectorAll('b, script').length];");
    assert_eq!(texts[0], format!("{name} – dragnext"));
    assert_eq!(texts[1], name);
    let folder = shown.bench.folder().display();
    let quoted = name.replace('\'', r"'\''");
    let file = quoted.replace(".png", ".json");
    assert_eq!(
        texts[2],
        format!("dragnext edit '{folder}/{quoted}' --drag '{file}'")
    );
    assert_eq!(texts[3], 3, "one `b` and two scripts are the page's own");
}

/// Saving again gives a file of another name, since browsers keep the first one, and the command names it and a result of its own; also after the page was
/// opened again. Going on with a drag file gives a file of another name, too. What has changed since is not called saved.
#[test]
fn the_command_names_the_file_that_was_saved_last() {
    let Some(mut shown) = page(Kind::Chromium(1), FULL) else {
        return;
    };
    let command = "return document.getElementById('command').textContent;";
    let mut names = Vec::new();
    for _ in 0..2 {
        shown.save();
        let text = shown.browser.run(command).as_str().unwrap().to_owned();
        names.push(text.split_once(" --drag ").unwrap().1.to_owned());
    }
    let folder = shown.bench.folder().canonicalize().unwrap();
    let expected = |number: u32| {
        let result = folder.join(format!("cat-{number}.edited.png"));
        format!("cat-{number}.json -o {}", result.display())
    };
    assert_eq!(names, [expected(2), expected(3)]);
    let foot = "return document.querySelector('footer p').textContent;";
    assert_eq!(
        shown.browser.run(foot),
        "Saved as cat-3.json; then, in its folder:"
    );
    shown
        .browser
        .run("document.getElementById('stage').focus();");
    shown.keys(RIGHT, false);
    assert_eq!(
        shown.browser.run(foot),
        "Save cat-4.json; then, in its folder:"
    );
    let page = shown.bench.path("cat.draw.html");
    shown.browser.open(&page);
    let text = shown.browser.run(command);
    assert!(text.as_str().unwrap().ends_with(&expected(4)), "{text}");
}

/// The model is the one that was given; a page can change it, and the command is one that a shell understands.
#[test]
fn the_command_names_the_model() {
    let bench = Bench::new();
    bench.write("cat.png", std::fs::read(disc()).unwrap());
    let arguments = ["draw", "cat.png", "--model", "demo"];
    bench.dragnext(arguments).any_stderr().run();
    let Some(mut shown) = Shown::open(bench, Kind::Chromium(1), "cat.draw.html") else {
        return;
    };
    let command = "return document.getElementById('command').textContent;";
    let text = shown.browser.run(command);
    assert!(
        text.as_str()
            .unwrap()
            .ends_with(" --drag cat.json --model demo"),
        "{text}"
    );
    let set = "const input = document.getElementById('model'); input.value = arguments[0]; input.dispatchEvent(new Event('input'));";
    for (model, end) in [
        ("", " --drag cat.json"),
        ("it's a model", r" --model 'it'\''s a model'"),
        ("owner/name@main", " --model owner/name@main"),
    ] {
        shown.browser.run_with(set, &model.into());
        let text = shown.browser.run(command);
        assert!(text.as_str().unwrap().ends_with(end), "{text}");
    }
}

/// Faults on the picture are shown at their place, and disappear when they are mended.
#[test]
fn faults_are_shown_in_place() {
    let faulty = FULL
        .replace("\"target\": [118, 136]", "\"target\": [300, 136]")
        .replace("disc.png", "none.png");
    let Some(mut shown) = page(Kind::Chromium(1), &faulty) else {
        return;
    };
    let list = "return [...document.querySelectorAll('#findings .fault')].map((fault) => fault.textContent).join('\\n');";
    let found = shown.browser.run(list);
    let found = found.as_str().unwrap();
    assert!(found.contains("none.png"), "{found}");
    assert!(
        found.contains("point (300, 136) lies outside the picture"),
        "{found}"
    );
    let invalid = "return document.querySelector('[data-pointer=\"/regions/0/target\"]').hasAttribute('data-fault');";
    assert_eq!(shown.browser.run(invalid), json!(true));
    shown.browser.run("const input = document.querySelector('[data-pointer=\"/regions/0/target/0\"]'); input.value = '118'; input.dispatchEvent(new Event('change')); checkNow();");
    assert_eq!(shown.browser.run(invalid), json!(false));
    let found = shown.browser.run(list);
    assert!(!found.as_str().unwrap().contains("300"), "{found}");
}
