//! The whole list is checked before anything runs.

use crate::folder::Folder;

/// Runs a manifest with these lines after one valid line, asserts that nothing was written, and returns stderr.
fn rejected(folder: &Folder, lines: &[&str]) -> String {
    folder.write(
        "list.jsonl",
        format!(
            "{{\"image\": \"in/p0.png\", \"drag\": \"in/p0.json\"}}\n{}\n",
            lines.join("\n")
        ),
    );
    let run = folder
        .run(&["--manifest", "list.jsonl", "-o", "out"])
        .assert(2);
    assert!(!folder.path("out").exists(), "nothing was written");
    run.stderr
}

#[test]
fn every_fault_of_a_manifest_is_reported_with_its_line() {
    let folder = Folder::new(2);
    let faults = [
        ("{\"image\": \"in/p1.png\"", "list.jsonl:2: column"),
        ("[]", "list.jsonl:3: column"),
        ("{\"drag\": \"in/p1.json\"}", "missing field `image`"),
        (
            "{\"image\": \"in/p1.png\", \"drga\": \"in/p1.json\"}",
            "unknown key `drga`",
        ),
        (
            "{\"image\": \"in/p1.png\", \"image\": \"in/p1.png\"}",
            "duplicate field `image`",
        ),
        (
            "{\"image\": \"in/p1.png\", \"drag\": \"in/p1.json\", \"settings\": {\"lr\": -1}}",
            "settings: lr: `-1` must be above 0",
        ),
        (
            "{\"image\": \"in/p1.png\", \"drag\": \"in/p1.json\", \"settings\": {\"lrr\": 1}}",
            "`lrr` is not a setting",
        ),
        (
            "{\"image\": \"in/p9.png\", \"drag\": \"in/p1.json\", \"id\": \"a\"}",
            "list.jsonl:9: `in/p9.png`: No such file",
        ),
        (
            "{\"image\": \"in/p1.png\", \"id\": \"b\"}",
            "list.jsonl:10: no drag file is given",
        ),
        (
            "{\"image\": \"in/p1.png\", \"drag\": \"in/p1.json\", \"id\": \"in/p0\"}",
            "list.jsonl:11: the id `in/p0` is also that of list.jsonl:1",
        ),
        (
            "{\"image\": \"in/p1.png\", \"drag\": \"in/p1.json\", \"id\": \"c\", \"out\": \"in/P0.PNG\"}",
            "list.jsonl:12: the output `out/in/P0.PNG` is also that of list.jsonl:1",
        ),
        (
            "{\"image\": \"in/p1.png\", \"drag\": \"in/p1.json\", \"id\": \"d\", \"out\": \"d.jpg\"}",
            "list.jsonl:13: the output `d.jpg` does not end in `.png`",
        ),
        (
            "{\"image\": \"in\", \"drag\": \"in/p1.json\", \"id\": \"e\"}",
            "list.jsonl:14: `in` is a folder",
        ),
        (
            "{\"image\": \"in/p1.png\", \"drag\": \"in/p1.json\", \"id\": \"\"}",
            "list.jsonl:15: the id is empty",
        ),
    ];
    let lines: Vec<&str> = faults.iter().map(|(line, _)| *line).collect();
    let stderr = rejected(&folder, &lines);
    for (line, expected) in faults {
        assert!(
            stderr.contains(expected),
            "{line}: `{expected}` is not in\n{stderr}"
        );
    }
    assert!(
        stderr.ends_with(&format!("\n{} items are wrong\n", faults.len()))
            && stderr.matches("error: ").count() == faults.len(),
        "{stderr}"
    );
    // The same faults as JSON.
    let run = folder
        .run(&["--manifest", "list.jsonl", "-o", "out", "--json", "--quiet"])
        .assert(2);
    let data: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let kinds: Vec<&str> = data["faults"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| fault["kind"].as_str().unwrap())
        .collect();
    let known = [
        "line",
        "missing",
        "no_drag",
        "duplicate_id",
        "same_output",
        "output",
        "not_a_file",
        "name",
    ];
    assert_eq!(kinds.len(), faults.len());
    assert!(
        known
            .iter()
            .all(|kind| kinds.contains(&format!("manifest.{kind}").as_str())),
        "{kinds:?}"
    );
}

/// Each of these outputs and inputs would be outside its folder.
#[test]
fn paths_outside_their_folders_are_rejected() {
    let folder = Folder::new(2);
    std::fs::create_dir(folder.path("lists")).unwrap();
    std::fs::copy(folder.path("in/p1.png"), folder.path("lists/p1.png")).unwrap();
    std::fs::copy(folder.path("in/p1.json"), folder.path("lists/p1.json")).unwrap();
    for out in [
        "../../etc/passwd",
        "/tmp/x.png",
        "C:\\\\x.png",
        "C:x.png",
        "",
        ".",
        "a/..",
        "a/../../b.png",
        "a/",
    ] {
        folder.write(
            "lists/l.jsonl",
            format!("{{\"image\": \"p1.png\", \"drag\": \"p1.json\", \"out\": \"{out}\"}}"),
        );
        folder
            .run(&["--manifest", "lists/l.jsonl", "-o", "out"])
            .assert(2)
            .stderr_has("lists/l.jsonl:1: the output `");
    }
    let absolute = folder.path("in/p0.png");
    for image in ["../in/p0.png", absolute.to_str().unwrap()] {
        folder.write("lists/l.jsonl", format!("{{\"id\": \"a\", \"image\": \"{image}\", \"drag\": \"p1.json\", \"out\": \"a.png\"}}"));
        folder
            .run(&["--manifest", "lists/l.jsonl", "-o", "out"])
            .assert(2)
            .stderr_has("is outside `lists`")
            .stderr_has("--allow-outside");
        folder
            .run(&[
                "--manifest",
                "lists/l.jsonl",
                "-o",
                "out",
                "--allow-outside",
            ])
            .assert(0);
    }
    assert_eq!(folder.results().len(), 1);
}

#[cfg(unix)]
#[test]
fn links_out_of_their_folders_are_rejected() {
    use std::os::unix::fs::symlink;
    let folder = Folder::new(1);
    folder.item("away/secret", 3);
    symlink(folder.path("away/secret.png"), folder.path("in/link.png")).unwrap();
    std::fs::copy(folder.path("in/p0.json"), folder.path("in/link.json")).unwrap();
    folder
        .whole(&[])
        .assert(2)
        .stderr_has("in/link.png: `link.png` is outside `in`");
    folder
        .whole(&["--allow-outside"])
        .assert(0)
        .stderr_has("2 items: 2 done");
    std::fs::remove_file(folder.path("in/link.png")).unwrap();

    // Links to files inside the folder are followed. Links to folders are not, so a loop ends.
    symlink("p0.png", folder.path("in/link.png")).unwrap();
    symlink(".", folder.path("in/loop")).unwrap();
    symlink(folder.path("away"), folder.path("in/folder")).unwrap();
    folder
        .run(&["in", "-o", "new"])
        .assert(0)
        .stderr_has("2 items: 2 done")
        .stderr_has("skipping 2 links to folders");

    // A folder inside the output folder that is a link to another folder.
    std::fs::create_dir_all(folder.path("there")).unwrap();
    std::fs::create_dir_all(folder.path("out2")).unwrap();
    symlink(folder.path("there"), folder.path("out2/in")).unwrap();
    folder.write(
        "l.jsonl",
        "{\"image\": \"in/p0.png\", \"drag\": \"in/p0.json\"}",
    );
    folder
        .run(&["--manifest", "l.jsonl", "-o", "out2"])
        .assert(2)
        .stderr_has("the output `in/p0.png` is outside `out2`");
    assert_eq!(std::fs::read_dir(folder.path("there")).unwrap().count(), 0);

    // The masks of drag files are inputs too.
    folder.item("masked/m", 4);
    let drag = r#"{"version": 1, "regions": [{"type": "translation", "region": {"mask": "../away/secret.png"}, "handle": [20, 20], "target": [40, 20]}]}"#;
    folder.write("masked/m.json", drag);
    folder
        .run(&["masked", "-o", "out3"])
        .assert(1)
        .stderr_has("the mask is outside the list's folder");
}

/// Pipes must not be opened, because reading one would block forever.
#[cfg(unix)]
#[test]
fn pipes_and_devices_are_rejected_without_opening_them() {
    let folder = Folder::new(1);
    assert!(
        std::process::Command::new("mkfifo")
            .arg(folder.path("in/pipe.png"))
            .status()
            .unwrap()
            .success()
    );
    std::fs::copy(folder.path("in/p0.json"), folder.path("in/pipe.json")).unwrap();
    folder
        .whole(&[])
        .assert(2)
        .stderr_has("in/pipe.png: is a pipe, a socket or a device, not a file");
    folder
        .whole(&["--keep-going"])
        .assert(1)
        .stderr_has("1 done, 1 failed");
    folder.write(
        "l.jsonl",
        "{\"image\": \"in/pipe.png\", \"drag\": \"in/p0.json\"}\n{\"image\": \"/dev/zero\", \"drag\": \"in/p0.json\", \"out\": \"z.png\"}",
    );
    let run = folder
        .run(&["--manifest", "l.jsonl", "-o", "out", "--allow-outside"])
        .assert(2);
    assert_eq!(
        run.stderr
            .matches("is a pipe, a socket or a device")
            .count(),
        2,
        "{}",
        run.stderr
    );
}

#[cfg(unix)]
#[test]
fn names_with_control_characters_are_rejected_and_escaped() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let folder = Folder::new(1);
    for name in ["a\nb", "a\u{1b}[2Jb", "a\u{202e}b"] {
        folder.item(&format!("in/{name}"), 1);
        let run = folder
            .whole(&[])
            .assert(2)
            .stderr_has("has control characters");
        assert!(
            !run.stderr.contains('\u{1b}')
                && !run.stderr.contains('\u{202e}')
                && !run.stderr.contains("a\nb"),
            "{:?}",
            run.stderr
        );
        std::fs::remove_file(folder.path(&format!("in/{name}.png"))).unwrap();
    }
    // A name that is not valid Unicode works, and its record has the bytes.
    let bytes = folder.bench.read("in/p0.png");
    std::fs::write(
        folder.path("in").join(OsStr::from_bytes(b"q\xff.png")),
        bytes,
    )
    .unwrap();
    std::fs::write(
        folder.path("in").join(OsStr::from_bytes(b"q\xff.json")),
        folder.bench.read("in/p0.json"),
    )
    .unwrap();
    folder.whole(&[]).assert(0).stderr_has("2 items: 2 done");
    assert_eq!(folder.records()[1]["image_bytes"], "696e2f71ff2e706e67");
    folder
        .whole(&[])
        .assert(0)
        .stderr_has("2 items: 2 done before");
}

#[test]
fn two_pictures_with_the_same_output_are_both_named() {
    let folder = Folder::new(1);
    folder.picture("in/p0.jpg", 2);
    folder
        .whole(&[])
        .assert(2)
        .stderr_has("in/p0.png: the output `out/p0.png` is also that of in/p0.jpg");
    folder.run(&["in", "-o", "in"]).assert(2);
    let folder = Folder::new(1);
    folder
        .run(&["in", "-o", "in"])
        .assert(2)
        .stderr_has("in/p0.png: the output `in/p0.png` is an input");
    assert!(!folder.path("in/records").exists());
}

#[test]
fn with_keep_going_faulty_entries_are_failed_items() {
    let folder = Folder::new(2);
    folder.write(
        "list.jsonl",
        "{\"image\": \"in/p0.png\", \"drag\": \"in/p0.json\", \"id\": \"a\"}\n{\"image\": \n{\"image\": \"in/p1.png\", \"drag\": \"in/p1.json\", \"id\": \"a\"}\n",
    );
    folder
        .run(&["--manifest", "list.jsonl", "-o", "out", "--keep-going"])
        .assert(1)
        .stderr_has("3 items: 1 done, 2 failed");
    let statuses = folder.statuses();
    assert_eq!(statuses[0], ("a".into(), "done".into(), String::new()));
    assert_eq!(
        statuses[1],
        ("line 2".into(), "failed".into(), "manifest.line".into())
    );
    assert_eq!(
        statuses[2],
        (
            "list.jsonl:3".into(),
            "failed".into(),
            "manifest.duplicate_id".into()
        )
    );
}

#[test]
fn a_list_without_items_is_rejected() {
    let folder = Folder::new(0);
    folder
        .whole(&[])
        .assert(2)
        .stderr_has("there is nothing to edit")
        .stderr_has("`--drag` gives one drag file for all");
    folder
        .run(&["nowhere", "-o", "out"])
        .assert(2)
        .stderr_has("nowhere");
    folder.write("l.jsonl", "\n");
    folder
        .run(&["--manifest", "l.jsonl", "-o", "out"])
        .assert(2)
        .stderr_has("l.jsonl: there is nothing to edit");
    folder.run(&["--manifest", "in", "-o", "out"]).assert(2);
    // The common drag file is checked first.
    folder.item("in/p", 1);
    folder.write("bad.json", "{}");
    folder
        .whole(&["--drag", "bad.json"])
        .assert(2)
        .stderr_has("bad.json");
    assert!(!folder.path("out").exists());
}
