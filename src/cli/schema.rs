//! `dragnext schema`: the JSON schema of drag files.

use crate::drag_file::schema;
use crate::error::Result;
use crate::report;

/// Prints the JSON schema of drag files, for completion and checks in an editor.
///
/// `dragnext schema > drag.schema.json` writes it to where the files of `dragnext new` refer to.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}

pub(super) fn run(_: &Arguments) -> Result<()> {
    report::print_text(&format!("{:#}\n", schema()))
}
