//! `dragnext draw`: writes a page on which a drag file is drawn in a browser.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::instruction::{STDIN, read_drag_file};
use crate::draw::{DrawPage, is_page, saved_name};
use crate::error::{Error, ErrorKind, Result};
use crate::{files, picture, report};

/// Writes a page on which a drag file is drawn in a browser.
///
/// The page is one HTML file with the picture inside. It needs no server and no network: open it in Chromium or Firefox, draw around what
/// should move, drag it to where it should go, and save the drag file. The page shows the faults that `validate` would report, and the command
/// that edits the picture. With --drag, it goes on with an existing drag file; keys that it does not know, such as `comment`, are kept.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n\n  dragnext draw cat.png --open          writes cat.draw.html and opens it"
)]
pub(super) struct Arguments {
    /// The picture to draw on.
    image: PathBuf,

    /// A drag file to go on with; `-` reads stdin.
    #[arg(long, short, value_name = "FILE")]
    drag: Option<PathBuf>,

    /// Path of the page [default: the picture's name with `.draw.html`, beside it].
    #[arg(long, short, value_name = "PAGE")]
    output: Option<PathBuf>,

    /// Replace an existing file; a page of this command is always replaced.
    #[arg(long)]
    overwrite: bool,

    /// The model in the command that the page shows, as for `edit`, such as `demo`; it can be changed on the page.
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,

    /// Open the page in the browser.
    #[arg(long)]
    open: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let image = &arguments.image;
    let drag = arguments.drag.as_deref().map(read_drag_file).transpose()?;
    let output = arguments
        .output
        .clone()
        .unwrap_or_else(|| image.with_extension("draw.html"));
    let mut inputs = vec![image.clone()];
    let in_file = drag.as_ref().filter(|drag| drag.path != Path::new(STDIN));
    if let Some(drag) = in_file {
        inputs.push(drag.path.clone());
        inputs.extend(drag.mask_paths(&drag.path));
    }
    let may_replace = arguments.overwrite || is_page(&output);
    files::check_output(&inputs, &output, may_replace)?;
    let original = picture::read(image)?;
    report::print_warnings(&original.warnings);

    let file = saved_name(image, in_file.map(|drag| drag.path.as_path()));
    let model = arguments.model.as_deref().map(anywhere);
    let result = absolute(image).with_extension("edited.png");
    let page = DrawPage {
        name: &named(image).unwrap_or_default(),
        picture: &original.picture,
        drag: drag.as_ref(),
        file: &file,
        command: &command(image),
        result: &result.to_string_lossy(),
        model: model.as_deref(),
    };
    let html = page.html().map_err(|error| Error::Output {
        path: output.clone(),
        kind: ErrorKind::OutputWrite,
        reason: error.to_string(),
        hint: String::new(),
    })?;
    files::write_verified(&output, html.as_bytes(), may_replace, |_| Ok(()))?;
    report::print_written(&output);
    if arguments.open {
        open(&output);
    } else {
        report::print_line("open it in a browser");
    }
    Ok(())
}

fn named(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_string_lossy().into_owned())
}

/// Returns the command that edits the picture, without the drag file. The browser chooses the folder of the drag file, where the command is run,
/// so the picture's path is absolute.
fn command(image: &Path) -> String {
    format!("dragnext edit {}", report::shell_word(&absolute(image)))
}

/// Returns a path from the root, without `..` where the folder exists.
fn absolute(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    // On Windows, a canonical path has a form that other programs do not read.
    let folder = path.parent().filter(|_| cfg!(unix));
    match (
        folder.and_then(|folder| folder.canonicalize().ok()),
        path.file_name(),
    ) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => path,
    }
}

/// Returns a model's name as it holds in any folder: that of a file or folder as an absolute path.
fn anywhere(model: &str) -> String {
    match std::path::absolute(model) {
        // `demo` is the built-in model, also beside a folder of that name.
        Ok(path) if model != "demo" && path.exists() => path.display().to_string(),
        _ => model.to_owned(),
    }
}

/// Opens a page in the desktop's browser. A failure is reported, and the page can still be opened by hand.
fn open(page: &Path) {
    let mut opener = if cfg!(target_os = "macos") {
        Command::new("open")
    } else if cfg!(windows) {
        Command::new("explorer")
    } else {
        Command::new("xdg-open")
    };
    if cfg!(target_os = "linux")
        && ["DISPLAY", "WAYLAND_DISPLAY"]
            .iter()
            .all(|name| std::env::var_os(name).is_none_or(|value| value.is_empty()))
    {
        return report::print_line(
            "there is no display here to open it on; open it in a browser yourself",
        );
    }
    // An absolute path cannot be taken for an option.
    let page = std::path::absolute(page).unwrap_or_else(|_| page.to_owned());
    let opened = opener
        .arg(&page)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    if let Err(error) = opened {
        let program = opener.get_program().to_string_lossy().into_owned();
        report::print_line(&format!(
            "cannot open the page with `{program}` ({error}); open it in a browser yourself"
        ));
    }
}
