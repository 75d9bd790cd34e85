//! A single edit through the library: open a model, read, edit, save.
//!
//!     cargo run --release --example edit_one -- PICTURE DRAG.json OUT.png

use std::path::Path;

use anyhow::{Context, Result};
use dragnext::drag_file::DragFile;
use dragnext::plan::Choice;
use dragnext::{Editor, picture};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [image, drag_file, out] = arguments.as_slice() else {
        anyhow::bail!("usage: edit_one PICTURE DRAG.json OUT.png")
    };
    let picture = picture::read(Path::new(image))?.picture;
    let drag = DragFile::read(Path::new(drag_file))?;

    // The editor holds the weights, and can run any number of edits.
    let mut editor = Editor::open("demo")?;
    let edited = editor.edit(&picture, &drag, &Choice::default())?;
    std::fs::write(out, edited.png(None)?).with_context(|| format!("cannot write {out}"))
}
