//! Mutations of valid drag files: none makes the parser, the plan or the messages panic or take long.
//!
//! `PROPTEST_CASES=100000 cargo test --release --features failpoints,cuda --test cli drag_file_mutations -- --nocapture` tries more of them and prints the times.

use std::cell::Cell;
use std::io::Cursor;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dragnext::Error;
use dragnext::drag_file::{DragFile, template};
use dragnext::geometry::Size;
use dragnext::plan::{Choice, Settings};
use dragnext::plan::{Plan, check_masks};
use dragnext::report;
use image::{GrayImage, ImageFormat, Luma};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

const RICH: &str = r#"{
  "$schema": "drag.schema.json", "version": 1, "comment": ["anything"],
  "prompt": "a cat on a sofa", "edit_prompt": "a cat that looks up",
  "editable": { "rect": [10, 10, 180, 120] },
  "regions": [
    { "id": "head", "type": "rotation", "x-tool": {"taget": 1},
      "region": { "polygon": [[40, 30], [80, 32], [78, 70], [41, 66]] },
      "handle": [70, 40], "target": [60, 60], "center": [55, 50] },
    { "type": "translation", "region": { "ellipse": [120, 80, 30, 20] }, "handle": [120, 80], "target": [140, 70.5] },
    { "id": "lid", "type": "deformation", "region": { "rect": [10, 10, 60.5, 4e1] }, "handle": [20, 20], "target": [30, 20] },
    { "id": "lever", "type": "rotation", "region": { "mask": "nowhere.png" }, "center": [10, 10], "angle": -720 },
    { "id": "nose", "type": "point", "handle": [30, 100.5], "target": [50, 110] },
    { "id": "ball", "type": "scale", "region": { "ellipse": [150, 60, 20, 20] }, "center": [150, 60], "factor": 1.4 },
    { "id": "moon", "type": "scale", "region": { "ellipse": [40, 110, 15, 15] }, "center": [40, 110], "handle": [50, 110], "target": [46, 110] },
    { "id": "sign", "type": "affine", "region": { "rect": [100, 20, 140, 50] },
      "handles": [[100, 20], [140, 20], [100, 50]], "targets": [[110, 25], [148, 30], [105, 60]] },
    { "id": "bar", "type": "deformation", "region": { "rect": [20, 80, 90, 95] }, "handle": [80, 88], "target": [95, 84], "anchor": [30, 88] },
    { "id": "coin", "type": "translation", "region": { "ellipse": [160, 100, 12, 12] }, "handle": [160, 100], "target": [150, 90], "angle": 200 }
  ],
  "settings": { "seed": 7, "taps": [2, 3], "start": "paper", "ramp": "auto", "lr": 0.02, "hard_background": false, "margin": 8 }
}
"#;

/// Replacements of a value or a key.
const HOSTILE: &[&str] = &[
    "null",
    "true",
    "-0.0",
    "1e999",
    "-1e999",
    "9223372036854775808",
    "18446744073709551616",
    "1e-999",
    "1000000",
    "-1000000",
    "0.5",
    "NaN",
    "\"\"",
    "\"\\ud800\"",
    "\"\\u001b[2J\"",
    "\"\u{202e}\u{9b}\u{0}\"",
    "\"everything\"",
    "\"translation\"",
    "\"rotation\"",
    "\"point\"",
    "\"scale\"",
    "\"affine\"",
    "[[1, 2], [30, 4], [5, 60]]",
    "[]",
    "{}",
    "[[]]",
    "{\"\": {}}",
    "[1, 2]",
    "[1, 2, 3, 4]",
    "{\"rect\": [0, 0, 64, 64]}",
    "{\"mask\": \".\"}",
    "{\"mask\": \"data:image/png;base64,iVBORw0KGgo=\"}",
    "\"data:image/png;base64,%\"",
    "//",
    "\r",
    "\u{feff}",
    ",",
    ":",
    "}",
    "]",
];

#[derive(Debug, Clone)]
enum Damage {
    /// Bytes are removed, inserted, replaced or repeated.
    Bytes {
        place: usize,
        how: u8,
        byte: u8,
        length: usize,
    },
    /// Two tokens are swapped.
    Swap(usize, usize),
    /// A token is removed.
    Lose(usize),
    /// Tokens, such as a key and its value, are repeated.
    Repeat { place: usize, count: usize },
    /// A token is replaced.
    Replace { place: usize, by: &'static str },
    /// A number is replaced.
    Number { place: usize, number: f64 },
    /// Brackets are opened before a token, and may be closed.
    Nest {
        place: usize,
        depth: usize,
        object: bool,
        closed: bool,
    },
    /// The file is truncated.
    Truncate(usize),
    /// A token becomes very long.
    Lengthen { place: usize, count: usize },
}

fn damage() -> impl Strategy<Value = Damage> {
    let place = || any::<usize>();
    prop_oneof![
        1 => (place(), 0..4_u8, any::<u8>(), 0..40_usize).prop_map(|(place, how, byte, length)| Damage::Bytes { place, how, byte, length }),
        1 => (place(), place()).prop_map(|(first, second)| Damage::Swap(first, second)),
        1 => place().prop_map(Damage::Lose),
        1 => (place(), 1..9_usize).prop_map(|(place, count)| Damage::Repeat { place, count }),
        1 => (place(), prop::sample::select(HOSTILE)).prop_map(|(place, by)| Damage::Replace { place, by }),
        // In place of a number, this gives a valid file again, which the plan then checks.
        6 => (place(), prop_oneof![-20.0..200.0_f64, -200.0..400.0_f64, any::<f64>()]).prop_map(|(place, number)| Damage::Number { place, number }),
        1 => (place(), 1..3000_usize, any::<bool>(), any::<bool>()).prop_map(|(place, depth, object, closed)| Damage::Nest {
            place,
            depth,
            object,
            closed
        }),
        1 => place().prop_map(Damage::Truncate),
        1 => (place(), 1..20_000_usize).prop_map(|(place, count)| Damage::Lengthen { place, count }),
    ]
}

/// Splits a text into strings, numbers, words, single characters of punctuation, and the spaces between them.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let (mut inside, mut escaped) = (false, false);
    let word = |c: char| c.is_alphanumeric() || "+-._$".contains(c);
    for c in text.chars() {
        let joins = inside
            || tokens
                .last()
                .is_some_and(|token| word(c) && token.chars().all(word));
        match tokens.last_mut() {
            Some(token) if joins => token.push(c),
            _ => tokens.push(c.to_string()),
        }
        if c == '"' && !escaped {
            inside = !inside;
        }
        escaped = inside && c == '\\' && !escaped;
    }
    tokens
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if let Self::Bytes {
            place,
            how,
            byte,
            length,
        } = *self
        {
            let place = place % (bytes.len() + 1);
            let end = (place + length).min(bytes.len());
            match how {
                0 => drop(bytes.drain(place..end)),
                1 => bytes.insert(place, byte),
                2 => bytes.get_mut(place).into_iter().for_each(|old| *old = byte),
                _ => drop(bytes.splice(place..place, bytes[place..end].to_vec())),
            }
            return;
        }
        let mut tokens = tokens(&String::from_utf8_lossy(bytes));
        let count = tokens.len().max(1);
        if tokens.is_empty() {
            tokens.push(String::new());
        }
        match *self {
            Self::Swap(first, second) => tokens.swap(first % count, second % count),
            Self::Lose(place) => drop(tokens.remove(place % count)),
            Self::Repeat {
                place,
                count: length,
            } => {
                let place = place % count;
                let copy = tokens[place..(place + length).min(count)].to_vec();
                drop(tokens.splice(place..place, copy));
            }
            Self::Replace { place, by } => by.clone_into(&mut tokens[place % count]),
            Self::Number { place, number } => {
                let numbers: Vec<usize> = (0..count)
                    .filter(|index| tokens[*index].parse::<f64>().is_ok())
                    .collect();
                let place = numbers
                    .get(place % numbers.len().max(1))
                    .copied()
                    .unwrap_or(place % count);
                tokens[place] = number.to_string();
            }
            Self::Nest {
                place,
                depth,
                object,
                closed,
            } => {
                let token = &mut tokens[place % count];
                let (open, close) = if object { ("{\"a\":", "}") } else { ("[", "]") };
                *token = open.repeat(depth) + token + &close.repeat(if closed { depth } else { 0 });
            }
            Self::Truncate(place) => tokens.truncate(place % count),
            Self::Lengthen {
                place,
                count: times,
            } => {
                let token = &mut tokens[place % count];
                *token = token.repeat(times / token.len().max(1) + 1);
            }
            Self::Bytes { .. } => {}
        }
        *bytes = tokens.concat().into_bytes();
    }
}

/// Parses, plans and formats the faults of a file as the program does; returns the outcome.
fn judge(bytes: &[u8], size: Size, width: Option<usize>) -> &'static str {
    let path = Path::new("/nonexistent/drag.json");
    let check_message = |error: Error, outcome| {
        let shown = report::describe(&error, width);
        assert!(
            shown.starts_with("error: ") && shown.ends_with('\n'),
            "{shown:?}"
        );
        assert!(
            shown.chars().all(|c| c == '\n' || !c.is_control()),
            "{shown:?}"
        );
        assert!(
            !shown.contains(['\u{202e}', '\u{2066}', '\u{2028}']),
            "{shown:?}"
        );
        outcome
    };
    match DragFile::parse(bytes) {
        Err(faults) => {
            assert!(
                !faults.is_empty()
                    && faults
                        .iter()
                        .all(|fault| fault.line > 0 && fault.column > 0)
            );
            check_message(
                Error::Instruction {
                    path: path.into(),
                    faults,
                },
                "rejected by the parser",
            )
        }
        Ok(drag) => {
            let masks = check_masks(&drag, path);
            let settings = Settings::resolve(&Choice::from(&drag)).unwrap();
            match (Plan::new(&drag, path, size, &settings, 64), masks) {
                (Err(error), _) | (_, Err(error)) => check_message(error, "rejected by the plan"),
                (Ok(plan), Ok(())) => {
                    assert!(
                        plan.blend()
                            .is_none_or(|blend| blend.iter().all(|weight| weight.is_finite()))
                    );
                    "planned"
                }
            }
        }
    }
}

/// Returns a file whose mask stands in the file itself.
fn embedded(size: Size) -> String {
    let mask = GrayImage::from_fn(size.width as u32, size.height as u32, |x, y| {
        Luma([if (20..60).contains(&x) && (20..60).contains(&y) {
            255
        } else {
            0
        }])
    });
    let mut png = Cursor::new(Vec::new());
    mask.write_to(&mut png, ImageFormat::Png).unwrap();
    let encoded = STANDARD.encode(png.into_inner());
    format!(
        r#"{{ "version": 1, "regions": [{{ "type": "translation", "region": {{ "mask": "data:image/png;base64,{encoded}" }}, "handle": [40, 40], "target": [70, 45] }}] }}"#
    )
}

#[test]
fn no_mutation_of_a_valid_file_panics() {
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(2000);
    let size = Size::new(200, 150);
    // The mask does not exist; a file without it can be planned.
    let rich = RICH
        .replace("\"mask\": \"nowhere.png\"", "\"rect\": [5, 5, 40, 40]")
        .replace("-720", "30");
    let seeds = [
        RICH.to_owned(),
        rich,
        template("cat.png", size, None),
        embedded(size),
    ];
    for seed in &seeds {
        assert_eq!(tokens(seed).concat(), *seed);
    }
    assert_eq!(
        [
            judge(seeds[0].as_bytes(), size, None),
            judge(seeds[2].as_bytes(), size, None),
            judge(seeds[3].as_bytes(), size, None)
        ],
        ["rejected by the plan", "planned", "planned"]
    );

    let (slowest, outcomes) = (Cell::new(Duration::ZERO), Cell::new([0_usize; 3]));
    let begin = Instant::now();
    let strategy = (
        prop::sample::select(seeds.to_vec()),
        prop_oneof![
            prop::collection::vec(damage(), 1),
            prop::collection::vec(damage(), 1..6)
        ],
        (64..300_usize, 64..300_usize),
        prop::option::of(1..200_usize),
    );
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    });
    let run = runner.run(&strategy, |(seed, damages, (width, height), columns)| {
        let mut bytes = seed.into_bytes();
        for damage in &damages {
            damage.apply(&mut bytes);
        }
        let start = Instant::now();
        let outcome = judge(&bytes, Size::new(width, height), columns);
        slowest.set(slowest.get().max(start.elapsed()));
        let mut counts = outcomes.get();
        counts[["rejected by the parser", "rejected by the plan", "planned"]
            .iter()
            .position(|name| *name == outcome)
            .unwrap()] += 1;
        outcomes.set(counts);
        Ok(())
    });
    run.unwrap();
    let [parser, plan, planned] = outcomes.get();
    println!(
        "{cases} files in {:.1?}: {parser} rejected by the parser, {plan} by the plan, {planned} planned",
        begin.elapsed()
    );
    println!("the slowest took {:.1?}", slowest.get());
    // A loaded machine takes seconds; only a file that hangs takes as long as this.
    assert!(
        slowest.get() < Duration::from_secs(20),
        "{:?}",
        slowest.get()
    );
    assert!(
        cases < 1000 || [parser, plan, planned].iter().all(|count| *count > 0),
        "every outcome is among them"
    );
}
