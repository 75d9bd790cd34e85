//! The text of messages.

use super::{MOVE, Scene, file};

/// Text of the file never moves a terminal's cursor, reverses its text or starts an escape code.
#[test]
fn hostile_text() {
    let scene = Scene::new();
    let hostile = "\u{9b}31m\u{202e}\u{2028}\u{7f}\u{200f}";
    let content =
        format!("{{ \"version\": 1, \"{hostile}\": \"{hostile}\", \"regions\": [{{ {MOVE} }}] }}");
    let (faults, stderr) = scene.faults(content);
    assert!(
        faults[0].starts_with("instruction.unknown_field /"),
        "{faults:?}"
    );
    let bad: Vec<char> = stderr
        .chars()
        .filter(|c| (c.is_control() && *c != '\n') || hostile.replace("31m", "").contains(*c))
        .collect();
    assert!(bad.is_empty(), "{stderr:?}");
    assert!(
        stderr.contains('\u{fffd}'),
        "the line is shown, with marks: {stderr}"
    );
}

/// All faults of a file, in the order of their places.
#[test]
fn everything_at_once() {
    let content = r#"{
  "version": 1,
  "promt": "a cat",
  "regions": [
    { "id": "tail", "type": "translation", "region": { "rect": [20, 20, 60, 60] },
      "handle": [40, 40], "target": [812, "40"] },
    { "type": "rotaton", "region": { "rect": [60, 20, 20, 60] }, "handle": [1, 1] }
  ],
  "settings": { "lr": "fast", "mode": "litral", "seed": -1 }
}
"#;
    let (_, stderr) = Scene::new().faults(content);
    let expected = r#"error: drag.json: /promt: unknown key `promt`
 --> drag.json:3:3
  |
3 |   "promt": "a cat",
  |   ^^^^^^^
  |
  = hint: did you mean `prompt`?

error: drag.json: region `tail` at /regions/0/target/1: expected a number, found a string
 --> drag.json:6:43
  |
6 |       "handle": [40, 40], "target": [812, "40"] },
  |                                           ^^^^

error: drag.json: /regions/1/type: expected `translation`, `deformation`, `rotation`, `scale`, `affine` or `point`, found `rotaton`
 --> drag.json:7:15
  |
7 |     { "type": "rotaton", "region": { "rect": [60, 20, 20, 60] }, "handle": [1, 1] }
  |               ^^^^^^^^^
  |
  = hint: did you mean `rotation`?

error: drag.json: /regions/1/region/rect: a rectangle [x0, y0, x1, y1] needs x0 < x1 and y0 < y1
 --> drag.json:7:46
  |
7 |     { "type": "rotaton", "region": { "rect": [60, 20, 20, 60] }, "handle": [1, 1] }
  |                                              ^^^^^^^^^^^^^^^^

error: drag.json: /settings/lr: expected a number, found a string
 --> drag.json:9:23
  |
9 |   "settings": { "lr": "fast", "mode": "litral", "seed": -1 }
  |                       ^^^^^^
  |
  = hint: `dragnext settings` shows every setting with its bounds

error: drag.json: /settings/mode: expected `pbsi`, `literal` or `literal-strict`, found `litral`
 --> drag.json:9:39
  |
9 |   "settings": { "lr": "fast", "mode": "litral", "seed": -1 }
  |                                       ^^^^^^^^
  |
  = hint: did you mean `literal`?

error: drag.json: /settings/seed: `seed` must be 0 to 18446744073709551615, found `-1`
 --> drag.json:9:57
  |
9 |   "settings": { "lr": "fast", "mode": "litral", "seed": -1 }
  |                                                         ^^
  |
  = hint: `dragnext settings` shows every setting with its bounds

7 faults in drag.json
"#;
    assert_eq!(stderr, expected);
}

/// Two faults that only the picture reveals.
#[test]
fn faults_on_the_picture() {
    let content = r#"{
  "version": 1,
  "regions": [
    { "id": "tail", "type": "translation", "region": { "rect": [20, 20, 60, 60] },
      "handle": [40, 40], "target": [812, 40] },
    { "type": "rotation", "region": { "mask": "head.png" }, "center": [40, 40], "angle": 30 }
  ]
}
"#;
    let (_, stderr) = Scene::new().faults(content);
    let expected = r#"error: drag.json: region `tail` at /regions/0/target: point (812, 40) lies outside the image (128 x 96)
 --> drag.json:5:37
  |
5 |       "handle": [40, 40], "target": [812, 40] },
  |                                     ^^^^^^^^^
  |
  = hint: coordinates are pixels of the upright image, from its top left corner; `dragnext preview` shows where they lie

error: drag.json: /regions/1/region/mask: cannot read the mask `head.png`: No such file or directory (os error 2)
 --> drag.json:6:47
  |
6 |     { "type": "rotation", "region": { "mask": "head.png" }, "center": [40, 40], "angle": 30 }
  |                                               ^^^^^^^^^^
  |
  = hint: a relative path starts at the drag file's folder

2 faults in drag.json
"#;
    assert_eq!(stderr, expected);
}

/// In a file of one line of a megabyte, the message shows the place and not the whole line.
#[test]
fn one_long_line() {
    let corners: Vec<String> = (0..9_000)
        .map(|x| format!("[{}.{:080}, {}]", x % 100, x, x % 90))
        .collect();
    let region = MOVE
        .replace(
            "\"rect\": [20, 20, 60, 60]",
            &format!("\"polygon\": [{}]", corners.join(",")),
        )
        .replace("[70, 45]", "[70, \"45\"]");
    let content = file(&region).replace('\n', "");
    assert!(content.len() > 800_000);
    let (faults, stderr) = Scene::new().faults(&content);
    let column = content[..content.find("\"45\"").unwrap()].len() + 1;
    assert_eq!(
        faults,
        [format!("instruction.type /regions/0/target/1 1:{column}")]
    );
    assert!(
        stderr.lines().all(|line| line.chars().count() <= 140) && stderr.contains("^^^^\n"),
        "{stderr}"
    );
}
