//! The contact sheet of `eval`: edits before and after, worst first.

use std::path::{Path, PathBuf};

use super::Arguments;
use crate::error::Result;
use crate::eval::{Evaluation, Item, Items, Row};
use crate::files;
use crate::picture;
use crate::preview::{Exhibit, MOST_EXHIBITS};

impl Arguments {
    /// Rejects a sheet that would replace something that is read.
    pub(super) fn check_sheet(&self, items: &Items) -> Result<()> {
        let Some(sheet) = &self.sheet else {
            return Ok(());
        };
        let inputs: Vec<PathBuf> = [&self.manifest, &self.drag, &self.lpips]
            .into_iter()
            .flatten()
            .chain(&self.records)
            .chain(items.items.iter().flat_map(Item::files))
            .cloned()
            .collect();
        files::check_output(&inputs, sheet, self.overwrite)?;
        files::check_png_name(sheet)
    }
}

/// Returns the worst edits with their pictures, of all sides but the one that they are compared with.
pub(super) fn exhibits(evaluation: &Evaluation, sort: &str) -> Vec<Exhibit> {
    let figure = evaluation
        .figures
        .iter()
        .enumerate()
        .find(|(_, figure)| figure.name == sort);
    let sides = &evaluation.sides;
    let worst = evaluation.worst_first(sort, sides.judged()).into_iter();
    let read = |path: &Path| Some(picture::read_any(path).ok()?.picture);
    let exhibit = |(side, row): (usize, &Row)| {
        let edit = &row.edits[side];
        let value = figure.and_then(|(index, figure)| {
            let digits = figure.digits;
            Some(format!("{:.digits$}  ", edit.outcomes[index].value()?))
        });
        let method = if sides.are_methods() {
            format!("  {}", sides.names[side])
        } else {
            String::new()
        };
        let problem = edit
            .failure
            .as_ref()
            .map(|failure| failure.kind.name().to_owned());
        let after = edit.path.as_deref().and_then(read);
        Exhibit::new(
            format!("{}{}{method}", value.unwrap_or_default(), row.id),
            problem,
            read(&row.image).as_ref(),
            after.as_ref(),
        )
    };
    worst.take(MOST_EXHIBITS).map(exhibit).collect()
}
