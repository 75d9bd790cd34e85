//! `dragnext new`: writes a commented drag file as a starting point.

use std::path::{Path, PathBuf};

use crate::drag_file::{DragFile, SCHEMA_FILE, TemplateDrag, template};
use crate::error::{Error, ErrorKind, Result};
use crate::geometry::Size;
use crate::{files, picture, report};

/// Writes a commented drag file for a picture, as a starting point.
///
/// With --box it drags what the box encloses. Without, it has a box in the middle of the picture, which has to be changed. `dragnext draw`
/// makes a drag file in a browser. Only the header of IMAGE is read.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Arguments {
    /// The picture to edit.
    image: PathBuf,

    /// Box around the object that moves, in pixels from the top left corner. It must enclose the whole object, with a few pixels to spare.
    #[arg(long = "box", value_name = "LEFT,TOP,RIGHT,BOTTOM", value_parser = edges, allow_hyphen_values = true)]
    edges: Option<[f64; 4]>,

    /// How far the box moves, in pixels to the right and down [default: to the side, where there is more space].
    #[arg(long, value_name = "RIGHT,DOWN", value_parser = numbers::<2>, requires = "edges", allow_hyphen_values = true)]
    by: Option<[f64; 2]>,

    /// Path of the drag file [default: the picture's name with `.json`, beside it].
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Replace an existing drag file.
    #[arg(long)]
    overwrite: bool,
}

const EXAMPLE: &str = "Example: what is in a box moves 60 pixels to the right.

  dragnext new cat.png --box 40,80,120,160 --by 60,0     writes cat.json";

/// Reads numbers that are separated by commas.
fn numbers<const N: usize>(text: &str) -> std::result::Result<[f64; N], String> {
    let numbers: Option<Vec<f64>> = text
        .split(',')
        .map(|number| {
            number
                .trim()
                .parse()
                .ok()
                .filter(|number: &f64| number.is_finite())
        })
        .collect();
    numbers
        .and_then(|numbers| numbers.try_into().ok())
        .ok_or_else(|| format!("expected {N} numbers with commas between them"))
}

fn edges(text: &str) -> std::result::Result<[f64; 4], String> {
    let [left, top, right, bottom] = numbers(text)?;
    if left < right && top < bottom {
        Ok([left, top, right, bottom])
    } else {
        Err("expected LEFT,TOP,RIGHT,BOTTOM with LEFT < RIGHT and TOP < BOTTOM".into())
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let Arguments {
        image,
        edges,
        by,
        output,
        overwrite,
    } = arguments;
    let size = picture::size(image)?;
    let drag = edges.map(|edges| {
        let drag = TemplateDrag::of_box(edges, size);
        TemplateDrag {
            by: by.unwrap_or(drag.by),
            ..drag
        }
    });
    if let Some(drag) = &drag {
        check_inside(image, drag, size)?;
    }
    let output = output
        .clone()
        .unwrap_or_else(|| image.with_extension("json"));
    files::check_output(std::slice::from_ref(image), &output, *overwrite)?;
    let name = image
        .file_name()
        .unwrap_or(image.as_os_str())
        .to_string_lossy();
    let text = template(&name, size, drag);
    let check = |written: &[u8]| {
        DragFile::parse(written)
            .map(|_| ())
            .map_err(|faults| format!("it has {} faults", faults.len()))
    };
    files::write_verified(&output, text.as_bytes(), *overwrite, check)?;
    report::print_text(&next_steps(image, &output, drag.is_some()))
}

/// Rejects a box whose middle is not in the picture, before or after it moved.
fn check_inside(image: &Path, drag: &TemplateDrag, size: Size) -> Result<()> {
    for (name, point, hint) in [
        (
            "the middle of the box",
            drag.handle(),
            "coordinates are pixels of the upright picture, from its top left corner",
        ),
        ("the box's target", drag.target(), "choose a shorter `--by`"),
    ] {
        if !size.contains(point) {
            return Err(Error::Given {
                path: image.to_path_buf(),
                kind: ErrorKind::InstructionPointOutside,
                reason: format!(
                    "{name}, ({}, {}), lies outside the picture ({size})",
                    point.x, point.y
                ),
                hint: hint.into(),
            });
        }
    }
    Ok(())
}

fn next_steps(image: &Path, output: &Path, has_box: bool) -> String {
    let schema = output.with_file_name(SCHEMA_FILE);
    let [image, output, schema] = [image, output, &schema].map(report::shell_word);
    let first = if has_box {
        String::new()
    } else {
        format!(
            "Its box lies in the middle of the picture, whatever is there. Put it around the whole object, with a few pixels to spare:\n\n  \
             dragnext draw {image} --drag {output} --open    in a browser, or in an editor\n  \
             dragnext new {image} -o {output} --overwrite --box LEFT,TOP,RIGHT,BOTTOM --by RIGHT,DOWN\n\n"
        )
    };
    format!(
        "wrote {output}\n\n\
         {first}Look at the preview and edit the picture:\n\n  \
         dragnext preview {image} --drag {output}\n  \
         dragnext edit {image} --drag {output}\n\n\
         For completion in an editor:\n\n  \
         dragnext schema > {schema}\n"
    )
}
