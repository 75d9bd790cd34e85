//! Which files of a folder and which paths of a manifest become items, and that nothing else is skipped silently.

use super::folder::Folder;

#[test]
fn drag_files_find_their_pictures_whatever_their_endings() {
    let folder = Folder::new(1);
    for (picture, drag) in [
        ("jfif.jfif", "jfif.json"),
        ("jpe.JPE", "jpe.json"),
        ("capitals.png", "capitals.JSON"),
        ("cafe\u{301}.png", "caf\u{e9}.json"),
    ] {
        folder.picture(&format!("in/{picture}"), 1);
        std::fs::copy(
            folder.path("in/p0.json"),
            folder.path(&format!("in/{drag}")),
        )
        .unwrap();
    }
    for name in ["phone.heic", "lost.json", "phone.json", "notes.json"] {
        folder.write(&format!("in/{name}"), "{\"x-note\": 1}");
    }
    for name in ["lost.json", "p0.png.json", "JPE.json"] {
        std::fs::copy(
            folder.path("in/p0.json"),
            folder.path(&format!("in/{name}")),
        )
        .unwrap();
    }
    folder
        .whole(&[])
        .assert(0)
        .stderr_has("skipping the drag file `in/lost.json`: no picture has its name")
        .stderr_has(
            "skipping the drag file `in/phone.json`: `phone.heic` is not a PNG, JPEG or WebP",
        )
        .stderr_has("skipping 1 picture that is not a PNG, JPEG or WebP, such as `in/phone.heic`")
        .stderr_has(
            "skipping the drag file `in/p0.png.json`: the drag file of `p0.png` is named `p0.json`",
        )
        .stderr_has("skipping the drag file `in/JPE.json`: the name of `jpe.JPE` differs in case")
        .stderr_has("5 items: 5 done")
        .stderr_lacks("notes.json");
    // With one drag file for all, pictures in other formats are reported too.
    folder
        .run(&["in", "--drag", "in/p0.json", "-o", "common", "--dry-run"])
        .assert(0)
        .stderr_has("such as `in/phone.heic`")
        .stderr_lacks("the drag file");
}

#[test]
fn what_this_and_other_programs_made_is_not_edited() {
    let folder = Folder::new(1);
    folder.picture("in/p0.edited.png", 1);
    folder.picture("in/p0.preview.png", 1);
    folder.picture("in/other.edited.png", 1);
    folder.picture("in/@eaDir/p0.png", 1);
    folder.picture("in/.ipynb_checkpoints/p0.png", 1);
    folder.picture("in/__MACOSX/p0.png", 1);
    folder
        .whole(&["--drag", "in/p0.json"])
        .assert(0)
        .stderr_has("skipping 2 pictures that this program made from others beside them, such as `in/p0.edited.png`")
        .stderr_has("skipping 2 folders in which other programs keep their files, such as `in/@eaDir`")
        .stderr_has("2 items: 2 done");
    // A drag file of its own asks for the edit of a result.
    std::fs::copy(folder.path("in/p0.json"), folder.path("in/p0.edited.json")).unwrap();
    folder
        .run(&["in", "-o", "again"])
        .assert(0)
        .stderr_has("2 items: 2 done");
}

#[test]
fn an_absolute_path_inside_the_manifests_folder_is_inside() {
    let folder = Folder::new(1);
    let absolute = folder.path("in/p0.png");
    folder.write(
        "list.jsonl",
        format!(
            "{{\"image\": \"{}\", \"drag\": \"in/../in/p0.json\"}}",
            absolute.display()
        ),
    );
    folder
        .run(&["--manifest", "list.jsonl", "-o", "out"])
        .assert(0);
    assert!(folder.path("out/in/p0.png").is_file());
    assert_eq!(folder.done(), ["in/p0"]);

    // Outside, the name alone is left.
    folder.write(
        "lists/list.jsonl",
        "{\"image\": \"../in/p0.png\", \"drag\": \"../in/p0.json\"}",
    );
    folder
        .run(&[
            "--manifest",
            "lists/list.jsonl",
            "-o",
            "away",
            "--allow-outside",
        ])
        .assert(0);
    assert!(folder.path("away/p0.png").is_file());
}

#[cfg(unix)]
#[test]
fn paths_of_windows_are_named_as_such() {
    let folder = Folder::new(1);
    folder.write(
        "list.jsonl",
        r#"{"image": "in\\p0.png", "drag": "in\\p0.json"}"#,
    );
    folder
        .run(&["--manifest", "list.jsonl", "-o", "out"])
        .assert(2)
        .stderr_has("the path has backslashes");
    folder.write(
        "list.jsonl",
        r#"{"image": "in/p0.png", "drag": "in/p0.json", "out": "a\\b.png"}"#,
    );
    folder
        .run(&["--manifest", "list.jsonl", "-o", "out"])
        .assert(2)
        .stderr_has("is a path of Windows");
    let utf16: Vec<u8> = "\u{feff}{}"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    folder.write("list.jsonl", utf16);
    folder
        .run(&["--manifest", "list.jsonl", "-o", "out"])
        .assert(2)
        .stderr_has("the file is UTF-16; save it as UTF-8");
}

#[cfg(target_os = "linux")]
#[test]
fn outputs_whose_names_are_too_long_are_faults_of_the_list() {
    let folder = Folder::new(1);
    folder.item(&format!("in/{}", "n".repeat(248)), 1);
    folder
        .whole(&["--seeds", "1"])
        .assert(2)
        .stderr_has("cannot be created")
        .stderr_has("give it a shorter `out`");
    assert_eq!(folder.results().len(), 0);
}
