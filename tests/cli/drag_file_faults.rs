//! Faults of drag files through the binary: each is reported with its kind, its place and exit status 2 before anything is computed.
//! Unusual but valid files are accepted.

use std::path::{Path, PathBuf};

use image::{DynamicImage, GrayImage, ImageBuffer, Luma, Rgba};
use serde_json::{Value, json};

use crate::bench::tiny::model;
use crate::bench::{Bench, Ended, Run};

const MOVE: &str = r#""type": "translation", "region": { "rect": [20, 20, 60, 60] }, "handle": [40, 40], "target": [70, 45]"#;

/// A bench with a picture of 128 x 96 pixels.
struct Scene(Bench);

impl Scene {
    fn new() -> Self {
        let scene = Self(Bench::new());
        let picture =
            ImageBuffer::from_fn(128, 96, |x, y| Rgba([x as u8 * 2, y as u8 * 2, 90, 255]));
        DynamicImage::ImageRgba8(picture)
            .save(scene.path("in.png"))
            .unwrap();
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }

    /// `dragnext` with the demo model. What it prints is for the test to check.
    fn dragnext(&self, arguments: &[&str]) -> Run {
        self.0
            .dragnext(arguments)
            .env("DRAGNEXT_MODEL", "demo")
            .any_stdout()
            .any_stderr()
    }

    /// Runs `validate` on a drag file with this content and the picture.
    fn validate(&self, content: impl AsRef<[u8]>) -> Ended {
        self.0.write("drag.json", content);
        let arguments = ["validate", "drag.json", "--image", "in.png", "--json"];
        self.dragnext(&arguments).ended()
    }

    /// Returns the faults as `kind pointer line:column`, and the messages. The status must be 2, and `edit` must reject the file with
    /// the same messages.
    fn faults(&self, content: impl AsRef<[u8]>) -> (Vec<String>, String) {
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
    fn warnings(&self, content: impl AsRef<[u8]>) -> (Vec<String>, String) {
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
fn file(region: &str) -> String {
    format!("{{ \"version\": 1, \"regions\": [\n{{ {region} }} ] }}")
}

#[test]
fn a_text_that_is_not_a_json_object() {
    let scene = Scene::new();
    for (content, place, message) in [
        ("", "1:1", "the file is empty"),
        ("null", "1:1", "a drag file is a JSON object"),
        ("[]", "1:1", "a drag file is a JSON object"),
        ("plain text", "1:1", "not JSON: expected value"),
        (
            "{\n  \"version\": 1,\n}",
            "3:1",
            "not JSON: key must be a string",
        ),
        ("[1, ]", "1:5", "not JSON: expected value"),
        (
            "{\n  \"version\": NaN\n}",
            "2:14",
            "not JSON: expected value",
        ),
        (
            "{\n  // a comment\n}",
            "2:3",
            "not JSON: key must be a string",
        ),
        (
            "{ \"version\": 1",
            "1:15",
            "not JSON: the file ends inside an object",
        ),
    ] {
        let (faults, stderr) = scene.faults(content);
        assert_eq!(
            faults,
            [format!("instruction.syntax  {place}")],
            "{content}: {stderr}"
        );
        assert!(
            stderr.starts_with(&format!("error: drag.json: {message}")),
            "{stderr}"
        );
    }
}

/// Twenty times the parser's limit, and far more than its stack would hold.
#[test]
fn deep_nesting() {
    let scene = Scene::new();
    for count in [10_000, 1_000_000] {
        for content in [
            "[".repeat(count),
            "[".repeat(count) + &"]".repeat(count),
            "{\"comment\":".repeat(count),
        ] {
            let (faults, stderr) = scene.faults(content);
            assert!(
                faults.len() == 1 && faults[0].starts_with("instruction.syntax  1:"),
                "{faults:?}"
            );
            assert!(
                stderr.contains("recursion limit exceeded") && stderr.len() < 1000,
                "{stderr}"
            );
        }
    }
}

/// The memory in the record shows that the file was not read.
#[test]
fn three_hundred_megabytes() {
    const MEGABYTE: u64 = 1 << 20;
    let scene = Scene::new();
    let memory = |drag: &str, kind: &str| {
        let edit = ["edit", "in.png", "--drag", drag, "--json"];
        let record = scene.dragnext(&edit).status(2).record();
        assert_eq!(record.kind(), kind);
        record["peak_bytes"].as_u64()
    };
    scene.0.write("small.json", "{}");
    let large = std::fs::File::create(scene.path("large.json")).unwrap();
    large.set_len(300 * MEGABYTE).unwrap();
    assert_eq!(large.metadata().unwrap().len(), 300 * MEGABYTE);
    let (small, large) = (
        memory("small.json", "instruction.missing_field"),
        memory("large.json", "instruction.too_large"),
    );
    if let (Some(small), Some(large)) = (small, large) {
        assert!(
            large < small + 8 * MEGABYTE,
            "{large} bytes for a large file, {small} for a small one"
        );
    }
    // The length of stdin is unknown, so it is read up to the limit.
    let verdict = scene
        .dragnext(&["validate", "-", "--json"])
        .stdin(vec![b' '; 17 << 20])
        .status(2)
        .record();
    assert_eq!(verdict["faults"][0]["kind"], "instruction.too_large");
}

#[test]
fn unknown_keys() {
    let scene = Scene::new();
    let (faults, stderr) = scene.faults(file(&MOVE.replace("target", "taget")));
    assert_eq!(
        faults,
        [
            "instruction.missing_field /regions/0 2:1",
            "instruction.unknown_field /regions/0/taget 2:86"
        ]
    );
    assert!(
        stderr.contains("unknown key `taget`") && stderr.contains("= hint: did you mean `target`?"),
        "{stderr}"
    );
    assert!(stderr.ends_with("\n2 faults in drag.json\n"), "{stderr}");
    let (faults, stderr) = scene
        .faults("{ \"version\": 1, \"colour\": 1, \"regions\": [{ ".to_owned() + MOVE + " }] }");
    assert_eq!(faults, ["instruction.unknown_field /colour 1:17"]);
    assert!(
        stderr.contains(
            "= hint: known keys are `$schema`, `version`, `method`, `prompt`, `edit_prompt`,"
        ),
        "{stderr}"
    );
}

#[test]
fn a_key_twice() {
    let (faults, stderr) = Scene::new().faults(file(&format!("\"handle\": [1, 1], {MOVE}")));
    assert_eq!(
        faults,
        ["instruction.duplicate_field /regions/0/handle 2:84"]
    );
    assert!(stderr.contains("`handle` is given twice"), "{stderr}");
}

#[test]
fn another_version() {
    let (faults, stderr) = Scene::new().faults("{ \"version\": 99, \"nodes\": [] }");
    assert_eq!(faults, ["instruction.version /version 1:14"]);
    assert!(
        stderr.contains("this program reads version 1")
            && stderr.contains("hint: a newer program may read this file"),
        "{stderr}"
    );
}

#[test]
fn numbers_at_their_limits() {
    let scene = Scene::new();
    for (value, kind) in [
        ("\"70\"", "instruction.type"),
        ("null", "instruction.type"),
        ("1e999", "instruction.range"),
        ("-1e999", "instruction.range"),
        ("9223372036854775808", "instruction.range"),
        ("1000000.5", "instruction.range"),
    ] {
        let (faults, stderr) = scene.faults(file(&MOVE.replace("[70,", &format!("[{value},"))));
        assert_eq!(
            faults,
            [format!("{kind} /regions/0/target/0 2:97")],
            "{value}: {stderr}"
        );
    }
    for value in ["NaN", "+1", "01", ".5", "0x10", "Infinity"] {
        let (faults, _) = scene.faults(file(&MOVE.replace("[70,", &format!("[{value},"))));
        assert!(
            faults.len() == 1 && faults[0].starts_with("instruction.syntax  2:9"),
            "{value}: {faults:?}"
        );
    }
    for value in ["-0.0", "0", "7e1", "70.000000000000000000001", "1e-400"] {
        let validated = scene.validate(file(&MOVE.replace("[70,", &format!("[{value},"))));
        assert_eq!(
            validated.record["faults"],
            json!([]),
            "{value}: {validated}"
        );
    }
}

/// All four edges belong to the image.
#[test]
fn points_outside() {
    let scene = Scene::new();
    for (target, outside) in [
        ("[128, 96]", false),
        ("[128.001, 45]", true),
        ("[70, 96.001]", true),
        ("[-0.001, 45]", true),
        ("[-0.0, 0]", false),
        ("[0, 96]", false),
    ] {
        // A large region, so that none of these drags it out of the image.
        let region = MOVE
            .replace("[20, 20, 60, 60]", "[1, 1, 127, 95]")
            .replace("[70, 45]", target);
        if outside {
            let (faults, stderr) = scene.faults(file(&region));
            assert_eq!(
                faults,
                ["instruction.point_outside /regions/0/target 2:95"],
                "{target}"
            );
            assert!(
                stderr.contains("lies outside the image (128 x 96)"),
                "{stderr}"
            );
        } else {
            scene.warnings(file(&region));
        }
    }
}

#[test]
fn regions_that_vanish() {
    let region = MOVE.replace("[20, 20, 60, 60]", "[39, 39, 41, 41]");
    let (faults, stderr) = Scene::new().faults(file(&region));
    assert_eq!(faults, ["region.vanishes /regions/0/region 2:36"]);
    assert!(
        stderr.contains("less than one cell of the latent")
            && stderr.contains("at least 8 x 8 pixels, which is 4 x 4 pixels"),
        "{stderr}"
    );
}

#[test]
fn polygons() {
    let scene = Scene::new();
    let with = |corners: &str| {
        file(&MOVE.replace(
            "\"rect\": [20, 20, 60, 60]",
            &format!("\"polygon\": {corners}"),
        ))
    };
    for (corners, message) in [
        (
            "[[20, 20], [60, 60]]",
            "a polygon needs at least 3 points, found 2",
        ),
        (
            "[[20, 20], [60, 60], [40, 40]]",
            "the polygon's points lie on one line",
        ),
        (
            "[[20, 20], [20, 20], [20, 20]]",
            "the polygon's points lie on one line",
        ),
    ] {
        let (faults, stderr) = scene.faults(with(corners));
        assert_eq!(
            faults,
            ["instruction.range /regions/0/region/polygon 2:49"],
            "{corners}"
        );
        assert!(stderr.contains(message), "{stderr}");
    }
    let (kinds, _) = scene.warnings(with("[[20, 20], [60, 60], [60, 20], [20, 60]]"));
    assert!(kinds.is_empty(), "an outline may cross itself: {kinds:?}");
}

#[test]
fn rotations_without_an_angle() {
    let scene = Scene::new();
    let with = |movement: &str| {
        file(&format!(
            "\"type\": \"rotation\", \"region\": {{ \"rect\": [20, 20, 60, 60] }}, {movement}"
        ))
    };
    for (movement, place) in [
        (
            "\"handle\": [50, 40], \"target\": [40, 50]",
            "/regions/0 2:1",
        ),
        (
            "\"center\": [40, 40], \"handle\": [40, 40], \"target\": [40, 50]",
            "/regions/0/handle 2:93",
        ),
        (
            "\"center\": [40, 40], \"handle\": [50, 40], \"target\": [40, 40.3]",
            "/regions/0/target 2:113",
        ),
    ] {
        let (faults, stderr) = scene.faults(with(movement));
        assert_eq!(
            faults,
            [format!("region.rotation_centre {place}")],
            "{movement}: {stderr}"
        );
    }
    scene.warnings(with("\"center\": [40, 40], \"angle\": 30"));
}

/// When nothing moves, the output has the input's pixels.
#[test]
fn no_motion() {
    let scene = Scene::new();
    scene
        .0
        .write("drag.json", file(&MOVE.replace("[70, 45]", "[40, 40]")));
    let record = scene
        .dragnext(&["edit", "in.png", "--drag", "drag.json", "--json", "--model"])
        .arg(model())
        .record();
    assert_eq!(record["status"], "done");
    assert_eq!(record.warnings()[0], "region.no_motion");
    let open = |name: &str| image::open(scene.path(name)).unwrap();
    assert_eq!(open("in.edited.png"), open("in.png"));
}

#[test]
fn no_regions_and_too_many() {
    let scene = Scene::new();
    let many = |count: usize| {
        format!(
            "{{ \"version\": 1, \"regions\": [{}] }}",
            vec![format!("{{ {MOVE} }}"); count].join(",")
        )
    };
    assert_eq!(
        scene.faults(many(0)).0,
        ["instruction.no_regions /regions 1:28"]
    );
    let (faults, stderr) = scene.faults(many(1001));
    assert_eq!(faults, ["instruction.too_large /regions 1:28"]);
    assert!(
        stderr.contains("there are 1001 regions; at most 64 are allowed"),
        "{stderr}"
    );
    assert_eq!(scene.validate(many(64)).record["count"], 64);
    let corners: Vec<String> = (0..10_001)
        .map(|x| format!("[{}, {}]", x % 100, x % 90))
        .collect();
    let polygon = MOVE.replace(
        "\"rect\": [20, 20, 60, 60]",
        &format!("\"polygon\": [{}]", corners.join(",")),
    );
    let (faults, stderr) = scene.faults(file(&polygon));
    assert_eq!(
        faults,
        ["instruction.too_large /regions/0/region/polygon 2:49"]
    );
    assert!(stderr.contains("more than 10000 points"), "{stderr}");
}

#[test]
fn drags_onto_each_other() {
    let other = MOVE.replace("[70, 45]", "[60, 60]");
    let content = format!(
        "{{ \"version\": 1, \"regions\": [{{ \"id\": \"a\", {MOVE} }}, {{ \"id\": \"b\", {other} }}] }}"
    );
    let (kinds, messages) = Scene::new().warnings(content);
    assert_eq!(kinds, ["region.overlap"]);
    assert!(
        messages.contains("regions `a` and `b` are dragged onto each other"),
        "{messages}"
    );
}

#[test]
fn masks_of_every_format() {
    let scene = Scene::new();
    let with = |mask: &str| {
        file(&MOVE.replace(
            "\"rect\": [20, 20, 60, 60]",
            &format!("\"mask\": \"{mask}\""),
        ))
    };
    let white = |x: u32, y: u32| (20..60).contains(&x) && (20..60).contains(&y);
    let save = |name: &str, picture: DynamicImage| picture.save(scene.path(name)).unwrap();
    save(
        "small.png",
        GrayImage::from_pixel(64, 48, Luma([255])).into(),
    );
    save("black.png", GrayImage::new(128, 96).into());
    save(
        "white.png",
        GrayImage::from_pixel(128, 96, Luma([255])).into(),
    );
    save(
        "sixteen.png",
        ImageBuffer::from_fn(128, 96, |x, y| {
            Luma([if white(x, y) { 0x8000_u16 } else { 0x7f00 }])
        })
        .into(),
    );
    save(
        "colour.png",
        ImageBuffer::from_fn(128, 96, |x, y| {
            Rgba([if white(x, y) { 255 } else { 0_u8 }; 4])
        })
        .into(),
    );
    palette(&scene.path("palette.png"), white);

    let (faults, stderr) = scene.faults(with("small.png"));
    assert_eq!(faults, ["mask.size /regions/0/region/mask 2:46"]);
    assert!(
        stderr.contains("is 64 x 48 pixels, the image is 128 x 96"),
        "{stderr}"
    );
    assert_eq!(
        scene.faults(with("black.png")).0,
        ["mask.empty /regions/0/region 2:36"]
    );
    assert_eq!(
        scene.faults(with("none.png")).0,
        ["mask.missing /regions/0/region/mask 2:46"]
    );
    let editable = file(MOVE).replace(
        "\"regions\"",
        "\"editable\": { \"mask\": \"black.png\" }, \"regions\"",
    );
    assert_eq!(scene.faults(editable).0, ["editable.empty /editable 1:29"]);
    for mask in ["sixteen.png", "colour.png", "palette.png"] {
        assert!(scene.warnings(with(mask)).0.is_empty(), "{mask}");
    }
    let (kinds, _) = scene.warnings(with("white.png"));
    assert_eq!(
        kinds,
        ["region.partly_leaves"],
        "all of the picture may be a region"
    );
}

/// Writes a mask with a palette.
fn palette(path: &Path, white: impl Fn(u32, u32) -> bool) {
    let mut encoder = png::Encoder::new(std::fs::File::create(path).unwrap(), 128, 96);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_palette(vec![0, 0, 0, 255, 255, 255]);
    let pixels: Vec<u8> = (0..96)
        .flat_map(|y| (0..128).map(move |x| (x, y)))
        .map(|(x, y)| u8::from(white(x, y)))
        .collect();
    encoder
        .write_header()
        .unwrap()
        .write_image_data(&pixels)
        .unwrap();
}

#[test]
fn encodings() {
    let scene = Scene::new();
    let text = file(MOVE);
    for content in [
        format!("\u{feff}{text}"),
        text.replace('\n', "\r\n"),
        format!("\u{feff}{}", text.replace('\n', "\r\n")),
    ] {
        assert!(scene.warnings(content).0.is_empty());
    }
    for (mark, byte) in [(&b""[..], 17), (b"\xef\xbb\xbf", 20)] {
        let latin = [mark, b"{\n  \"prompt\": \"caf\xe9\" }"].concat();
        let (faults, stderr) = scene.faults(&latin);
        assert_eq!(latin[byte + 1], 0xe9);
        assert_eq!(faults, ["instruction.not_utf8  2:17"]);
        assert!(
            stderr.contains(&format!("the file is not UTF-8: byte {} is 0xe9", byte + 1)),
            "{stderr}"
        );
    }
}

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

error: drag.json: /regions/1/type: expected `translation`, `deformation`, `rotation` or `point`, found `rotaton`
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
