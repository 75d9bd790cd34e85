//! `dragnext new`: writes a commented drag file as a starting point.

use std::path::{Path, PathBuf};

use crate::drag_file::{DragFile, SCHEMA_FILE, template};
use crate::error::Result;
use crate::{files, picture, report};

/// Writes a commented drag file for a picture, as a starting point.
///
/// It fits the picture's size and drags a box to the right. Only the header of IMAGE is read.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The picture to edit.
    image: PathBuf,

    /// Path of the drag file [default: the picture's name with `.json`, beside it].
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Replace an existing drag file.
    #[arg(long)]
    overwrite: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let Arguments {
        image,
        output,
        overwrite,
    } = arguments;
    let size = picture::size(image)?;
    let output = output
        .clone()
        .unwrap_or_else(|| image.with_extension("json"));
    files::check_output(std::slice::from_ref(image), &output, *overwrite)?;
    let name = image
        .file_name()
        .unwrap_or(image.as_os_str())
        .to_string_lossy();
    let text = template(&name, size);
    let check = |written: &[u8]| {
        DragFile::parse(written)
            .map(|_| ())
            .map_err(|faults| format!("it has {} faults", faults.len()))
    };
    files::write_verified(&output, text.as_bytes(), *overwrite, check)?;
    report::print_text(&next_steps(image, &output))
}

fn next_steps(image: &Path, output: &Path) -> String {
    let schema = output.with_file_name(SCHEMA_FILE);
    let [image, output, schema] = [image, output, &schema].map(report::shell_word);
    format!(
        "wrote {output}\n\n\
         Open it in an editor and set which part moves where. Then look at the preview and edit the picture:\n\n  \
         dragnext preview {image} --drag {output}\n  \
         dragnext edit {image} --drag {output}\n\n\
         For completion in an editor:\n\n  \
         dragnext schema > {schema}\n"
    )
}
