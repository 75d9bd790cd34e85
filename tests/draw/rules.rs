//! The rules of the page and those of the program: both find the same faults at the same places, in a table of cases and in random files.

use std::path::Path;

use image::RgbImage;
use serde_json::{Value, json};

use crate::bench::Bench;
use crate::bench::numbers::Numbers;
use crate::page::{Kind, Shown};

/// Cases with the faults that both must find: `size` of the picture, `file` and `faults` as `kind pointer`.
const CASES: &str = include_str!("cases.json");

/// Returns the sorted faults that `dragnext validate` finds in each file.
fn found_by_program(bench: &Bench, files: &[Value]) -> Vec<Vec<String>> {
    let names: Vec<String> = files
        .iter()
        .enumerate()
        .map(|(index, file)| {
            let name = format!("{index}.json");
            bench.write(&name, file.to_string());
            name
        })
        .collect();
    let ended = bench
        .dragnext(["validate", "--image", "cat.png", "--json"])
        .args(&names)
        .any_stdout()
        .any_stderr()
        .ended();
    let verdicts: Vec<Value> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(verdicts.len(), files.len());
    verdicts
        .iter()
        .map(|verdict| match verdict["faults"].as_array() {
            Some(faults) => sorted(faults),
            None => Vec::new(),
        })
        .collect()
}

/// Returns the sorted faults that the page's rules find in each file.
fn found_by_page(shown: &mut Shown, files: &[Value]) -> Vec<Vec<String>> {
    let script = "return arguments[0].map((content) => check(content).faults);";
    let mut found = Vec::new();
    // A script may take half a minute.
    for files in files.chunks(25) {
        let faults = shown.browser.run_with(script, &json!(files));
        let faults = faults.as_array().unwrap();
        found.extend(
            faults
                .iter()
                .map(|faults| sorted(faults.as_array().unwrap())),
        );
    }
    found
}

fn sorted(faults: &[Value]) -> Vec<String> {
    let word = |fault: &Value, key: &str| fault[key].as_str().unwrap().to_owned();
    let mut faults: Vec<String> = faults
        .iter()
        .map(|fault| format!("{} {}", word(fault, "kind"), word(fault, "pointer")))
        .collect();
    faults.sort();
    faults
}

/// Returns a bench with a picture `cat.png` of this size.
fn bench_with(width: u32, height: u32) -> Bench {
    let bench = Bench::new();
    save(&bench.path("cat.png"), width, height);
    bench
}

fn save(path: &Path, width: u32, height: u32) {
    RgbImage::from_pixel(width, height, image::Rgb([90, 120, 150]))
        .save(path)
        .unwrap();
}

/// A size with the files and the faults of its cases.
type Cases = ((u32, u32), Vec<Value>, Vec<Vec<String>>);

fn cases() -> Vec<Cases> {
    let cases: Vec<Value> = serde_json::from_str(CASES).unwrap();
    let mut sizes: Vec<Cases> = Vec::new();
    for case in cases {
        let size: (u32, u32) = serde_json::from_value(case["size"].clone()).unwrap();
        let mut file = case["file"].clone();
        file["version"] = 1.into();
        let mut faults: Vec<String> = serde_json::from_value(case["faults"].clone()).unwrap();
        faults.sort();
        let index = sizes.iter().position(|(known, ..)| *known == size);
        let index = index.unwrap_or_else(|| {
            sizes.push((size, Vec::new(), Vec::new()));
            sizes.len() - 1
        });
        sizes[index].1.push(file);
        sizes[index].2.push(faults);
    }
    sizes
}

#[test]
fn the_program_finds_the_faults_of_the_table() {
    for ((width, height), files, expected) in cases() {
        let found = found_by_program(&bench_with(width, height), &files);
        for ((file, found), expected) in files.iter().zip(found).zip(expected) {
            assert_eq!(found, expected, "{file}");
        }
    }
}

#[test]
fn the_page_finds_the_faults_of_the_table() {
    for ((width, height), files, expected) in cases() {
        let bench = bench_with(width, height);
        bench.dragnext(["draw", "cat.png"]).any_stderr().run();
        let Some(mut shown) = Shown::open(bench, Kind::Chromium(1), "cat.draw.html") else {
            return;
        };
        let found = found_by_page(&mut shown, &files);
        for ((file, found), expected) in files.iter().zip(found).zip(expected) {
            assert_eq!(found, expected, "{file}");
        }
    }
}

/// Prompts of which the text encoder does not read the end have the same warning on the page as from the program, which counts no tokens without a model.
#[test]
fn long_prompts_have_the_same_warning() {
    let bench = bench_with(128, 96);
    let region = json!({ "type": "translation", "region": { "rect": [20, 20, 60, 60] }, "handle": [40, 40], "target": [70, 45] });
    let mut files = Vec::new();
    for (prompt, edit_prompt, method) in [
        ("a cat on a sofa".to_owned(), None, None),
        ("cat ".repeat(75), None, None),
        ("cat ".repeat(76), None, None),
        ("It's 2026, l'\u{e9}t\u{e9}! ".repeat(12), None, None),
        (
            "cafe\u{301} \u{732b}\u{304c} \u{1f408} ".repeat(40),
            None,
            None,
        ),
        ("a cat".to_owned(), Some("dog ".repeat(90)), None),
        (
            "cat ".repeat(80),
            Some("dog ".repeat(90)),
            Some("clip-drag"),
        ),
        ("x".repeat(10_000), None, None),
        ("x".repeat(10_001), Some("y".repeat(10_001)), None),
    ] {
        let mut file = json!({ "version": 1, "prompt": prompt, "regions": [region] });
        if let Some(edit_prompt) = edit_prompt {
            file["edit_prompt"] = edit_prompt.into();
        }
        if let Some(method) = method {
            file["method"] = method.into();
        }
        files.push(file);
    }
    let names: Vec<String> = (0..files.len())
        .map(|index| format!("p{index}.json"))
        .collect();
    for (name, file) in names.iter().zip(&files) {
        bench.write(name, file.to_string());
    }
    let is_cut = |warning: &&Value| warning["kind"] == "prompt.cut";
    let messages = |warnings: &Value| -> Vec<String> {
        let warnings = warnings.as_array().into_iter().flatten().filter(is_cut);
        let messages = warnings.map(|warning| warning["message"].as_str().unwrap().to_owned());
        messages.collect()
    };
    let ended = bench
        .dragnext(["validate", "--image", "cat.png", "--json"])
        .args(&names)
        .any_stdout()
        .any_stderr()
        .ended();
    let by_program: Vec<Vec<String>> = ended
        .stdout
        .lines()
        .map(|line| messages(&serde_json::from_str::<Value>(line).unwrap()["warnings"]))
        .collect();
    let counts: Vec<usize> = by_program.iter().map(Vec::len).collect();
    assert_eq!(counts, [0, 0, 1, 1, 1, 0, 2, 0, 0]);
    assert!(by_program[2][0].contains("at least 78 tokens"));
    let faults = found_by_program(&bench, &files);
    assert_eq!(
        faults[8],
        [
            "instruction.prompt_too_long /edit_prompt",
            "instruction.prompt_too_long /prompt"
        ]
    );
    bench.dragnext(["draw", "cat.png"]).any_stderr().run();
    let Some(mut shown) = Shown::open(bench, Kind::Chromium(1), "cat.draw.html") else {
        return;
    };
    assert_eq!(found_by_page(&mut shown, &files), faults);
    let script = "return arguments[0].map((content) => check(content).warnings);";
    let found = shown.browser.run_with(script, &json!(files));
    let by_page: Vec<Vec<String>> = found.as_array().unwrap().iter().map(messages).collect();
    assert_eq!(by_page, by_program);
}

/// Every setting with every method: the page refuses those that the program refuses, and its menu offers the others.
#[test]
fn settings_of_other_methods_are_refused_and_not_offered() {
    let bench = bench_with(128, 96);
    bench.dragnext(["draw", "cat.png"]).any_stderr().run();
    let Some(mut shown) = Shown::open(bench, Kind::Chromium(1), "cat.draw.html") else {
        return;
    };
    let known = "return [limits.methods, limits.settings.map(({ name }) => [name, limits.defaults[name]])];";
    let known = shown.browser.run(known);
    let methods_of_page = known[0].as_array().unwrap();
    assert!(methods_of_page.len() >= 6, "{methods_of_page:?}");
    let (mut files, mut names) = (Vec::new(), Vec::new());
    for method in methods_of_page {
        for setting in known[1].as_array().unwrap() {
            let name = setting[0].as_str().unwrap();
            names.push((method.as_str().unwrap().to_owned(), name.to_owned()));
            files.push(json!({
                "version": 1,
                "method": method,
                "settings": { name: setting[1] },
                "regions": [{ "type": "translation", "region": { "rect": [30, 20, 80, 70] }, "handle": [50, 40], "target": [70, 50] }],
            }));
        }
    }
    let by_program = refused_by_program(&shown.bench, &files);
    let by_page = found_by_page(&mut shown, &files);
    let mut refused = 0;
    for ((by_program, by_page), name) in by_program.iter().zip(&by_page).zip(&names) {
        let is_unused = by_page.iter().any(|fault| fault.starts_with("setting "));
        assert_eq!(is_unused, *by_program, "{name:?}: {by_page:?}");
        refused += usize::from(is_unused);
    }
    assert!(refused > 40 && refused < files.len(), "{refused}");

    let offered = "file.content.method = arguments[0]; refresh(); return [...document.querySelectorAll('[data-key=add-setting] option')].map((option) => option.value);";
    for method in methods_of_page {
        let offered = shown.browser.run_with(offered, method);
        let offered = offered.as_array().unwrap();
        for ((name, setting), is_refused) in names.iter().zip(&by_program) {
            if name == method {
                let is_offered = offered.contains(&setting.as_str().into());
                assert_eq!(is_offered, !is_refused, "{name}: {setting}");
            }
        }
    }
}

/// Returns of each file whether the program refuses a setting because its method does not use it.
fn refused_by_program(bench: &Bench, files: &[Value]) -> Vec<bool> {
    let names: Vec<String> = (0..files.len())
        .map(|index| format!("s{index}.json"))
        .collect();
    for (name, file) in names.iter().zip(files) {
        bench.write(name, file.to_string());
    }
    let ended = bench
        .dragnext(["validate", "--json", "--model", "demo"])
        .args(&names)
        .any_stdout()
        .any_stderr()
        .ended();
    let verdicts = ended.stdout.lines().map(|line| {
        let verdict: Value = serde_json::from_str(line).unwrap();
        let faults = verdict["faults"].as_array().cloned().unwrap_or_default();
        let is_unused = |fault: &Value| {
            let message = fault["message"].as_str().unwrap_or_default();
            fault["kind"] == "setting"
                && (message.contains("is a setting of") || message.contains("has no effect with"))
        };
        faults.iter().any(is_unused)
    });
    let verdicts: Vec<bool> = verdicts.collect();
    assert_eq!(verdicts.len(), files.len());
    verdicts
}

#[test]
fn page_and_program_agree_on_random_files() {
    for (width, height, count) in [(128, 96, 200), (1700, 1100, 40)] {
        let bench = bench_with(width, height);
        let mut numbers = Numbers::new(u64::from(width));
        let files: Vec<Value> = (0..count)
            .map(|_| random_file(&mut numbers, f64::from(width), f64::from(height)))
            .collect();
        let expected = found_by_program(&bench, &files);
        let faulty = expected.iter().filter(|faults| !faults.is_empty()).count();
        assert!(
            faulty > count / 5 && faulty < count,
            "{faulty} of {count} are faulty"
        );
        bench.dragnext(["draw", "cat.png"]).any_stderr().run();
        let Some(mut shown) = Shown::open(bench, Kind::Chromium(1), "cat.draw.html") else {
            return;
        };
        let found = found_by_page(&mut shown, &files);
        for ((file, found), expected) in files.iter().zip(found).zip(expected) {
            assert_eq!(found, expected, "{file}");
        }
    }
}

/// Returns a file with one or two regions of any type, mostly inside the picture.
fn random_file(numbers: &mut Numbers, width: f64, height: f64) -> Value {
    let count = 1 + usize::from(numbers.uniform() < 0.3);
    let regions: Vec<Value> = (0..count)
        .map(|_| random_region(numbers, width, height))
        .collect();
    let mut file = json!({ "version": 1, "regions": regions });
    match (numbers.uniform() * 8.0) as usize {
        0 => file["editable"] = "everything".into(),
        1 => file["editable"] = random_shape(numbers, width, height),
        2 => file["settings"] = json!({ "size": 64 + (numbers.uniform() * 300.0) as u64 }),
        3 => file["settings"] = json!({ "window": "full", "margin": 4 }),
        _ => {}
    }
    file
}

fn random_point(numbers: &mut Numbers, width: f64, height: f64) -> [f64; 2] {
    let mut along = |side: f64| ((numbers.uniform() * 1.1 - 0.05) * side * 10.0).round() / 10.0;
    [along(width), along(height)]
}

fn random_shape(numbers: &mut Numbers, width: f64, height: f64) -> Value {
    let [x, y] = random_point(numbers, width, height);
    let mut side = |limit: f64| (numbers.uniform() * limit * 10.0).round() / 10.0 - 0.5;
    let (across, down) = (side(width / 2.0), side(height / 2.0));
    match (numbers.uniform() * 3.0) as usize {
        0 => json!({ "rect": [x, y, x + across, y + down] }),
        1 => json!({ "ellipse": [x, y, across / 2.0, down / 2.0] }),
        _ => {
            let corners = 2 + (numbers.uniform() * 5.0) as usize;
            let corners = (0..corners).map(|_| {
                let [dx, dy] = random_point(numbers, across.abs() + 1.0, down.abs() + 1.0);
                [x + dx, y + dy]
            });
            json!({ "polygon": corners.collect::<Vec<_>>() })
        }
    }
}

fn random_region(numbers: &mut Numbers, width: f64, height: f64) -> Value {
    let shape = random_shape(numbers, width, height);
    // Mostly a handle in the shape's box, so that most of what follows is reached.
    let low: Vec<f64> = match &shape {
        Value::Object(shape) => {
            let (kind, value) = shape.iter().next().unwrap();
            let list = if kind == "polygon" { &value[0] } else { value };
            let list = list.as_array().unwrap();
            list.iter()
                .take(2)
                .map(|number| number.as_f64().unwrap())
                .collect()
        }
        _ => vec![0.0, 0.0],
    };
    let inside = numbers.uniform() < 0.8;
    let handle = if inside {
        [low[0] + 1.0, low[1] + 1.0]
    } else {
        random_point(numbers, width, height)
    };
    let point = random_point(numbers, width, height);
    let target = random_point(numbers, width, height);
    let number = (numbers.uniform() * 40.0).round() / 10.0 - 1.0;
    let is_given = numbers.uniform() < 0.4;
    match (numbers.uniform() * 6.0) as usize {
        0 if is_given => {
            json!({ "type": "translation", "region": shape, "handle": handle, "target": target, "angle": number * 40.0 })
        }
        0 => json!({ "type": "translation", "region": shape, "handle": handle, "target": target }),
        1 if is_given => {
            json!({ "type": "deformation", "region": shape, "handle": handle, "target": target, "anchor": point })
        }
        1 => json!({ "type": "deformation", "region": shape, "handle": handle, "target": target }),
        2 if is_given => {
            json!({ "type": "rotation", "region": shape, "center": point, "angle": number * 100.0 })
        }
        2 => {
            json!({ "type": "rotation", "region": shape, "center": point, "handle": handle, "target": target })
        }
        3 if is_given => {
            json!({ "type": "scale", "region": shape, "center": handle, "factor": number })
        }
        3 => {
            json!({ "type": "scale", "region": shape, "center": point, "handle": handle, "target": target })
        }
        4 => {
            let triple =
                |numbers: &mut Numbers| [(); 3].map(|()| random_point(numbers, width, height));
            json!({ "type": "affine", "region": shape, "handles": triple(numbers), "targets": triple(numbers) })
        }
        _ => json!({ "type": "point", "handle": handle, "target": target }),
    }
}
