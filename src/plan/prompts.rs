//! Whether the method uses the prompts of a drag file.

use crate::drag_file::DragFile;
use crate::method::MethodSettings;
use crate::warning::{Warning, WarningKind};

/// Returns a warning when the drag file has an `edit_prompt` that the method does not use.
pub fn unused_edit_prompt(drag: &DragFile, method: &MethodSettings) -> Option<Warning> {
    (drag.edit_prompt.is_some() && !method.needs().edit_prompt).then(|| Warning {
        kind: WarningKind::EditPromptUnused,
        message: format!(
            "the method {} does not use `edit_prompt`",
            method.method().name()
        ),
    })
}
