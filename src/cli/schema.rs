//! `dragnext schema`: the JSON schema of drag files.

use crate::drag_file::schema;
use crate::error::Result;
use crate::report;

/// Prints the JSON schema of drag files, from which an editor completes them.
///
/// `dragnext schema > drag.schema.json` puts it where a file of `dragnext new` looks for it.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}

pub(super) fn run(_: &Arguments) -> Result<()> {
    report::print_text(&format!("{:#}\n", schema()))
}
