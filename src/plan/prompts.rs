//! Whether the method uses the prompts of a drag file.

use crate::drag_file::DragFile;
use crate::warning::{Warning, WarningKind};

/// Returns a warning when the drag file has an `edit_prompt` that the method does not use.
pub fn unused_edit_prompt(drag: &DragFile) -> Option<Warning> {
    // The method pbsi, the only one, is guided by points and regions alone.
    drag.edit_prompt.as_ref().map(|_| Warning {
        kind: WarningKind::EditPromptUnused,
        message: "the method pbsi does not use `edit_prompt`".into(),
    })
}
