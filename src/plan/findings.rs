//! The faults and warnings that planning collects.

use crate::drag_file::DragFile;
use crate::error::{DragFileFault, ErrorKind};
use crate::mask::MaskError;
use crate::warning::{Warning, WarningKind};

/// The faults and warnings about one drag file.
pub(super) struct Findings<'a> {
    pub(super) drag: &'a DragFile,
    pub(super) faults: Vec<DragFileFault>,
    pub(super) warnings: Vec<Warning>,
}

impl<'a> Findings<'a> {
    pub(super) fn new(drag: &'a DragFile) -> Self {
        Self {
            drag,
            faults: Vec::new(),
            warnings: Vec::new(),
        }
    }

    pub(super) fn fault(
        &mut self,
        kind: ErrorKind,
        pointer: &str,
        message: String,
        hint: impl Into<String>,
    ) {
        self.faults
            .push(self.drag.fault(kind, pointer, message, Some(hint.into())));
    }

    pub(super) fn mask_fault(&mut self, pointer: &str, error: &MaskError) {
        let (kind, hint) = match error {
            MaskError::File { .. } => (
                ErrorKind::MaskMissing,
                "a relative path starts at the drag file's folder",
            ),
            MaskError::Decode { .. } => (
                ErrorKind::MaskDecode,
                "a mask is a PNG, JPEG or WebP picture; white is inside",
            ),
            MaskError::Size { .. } => (
                ErrorKind::MaskSize,
                "draw the mask on the upright image at its full size",
            ),
            MaskError::Dark { .. } => (
                ErrorKind::MaskShape,
                "white is inside; save the mask in black and white, or with two levels only",
            ),
            MaskError::Ambiguous { .. } => (
                ErrorKind::MaskShape,
                "add `\"channel\": \"alpha\"` or `\"channel\": \"luma\"` beside `mask`; `\"invert\": true` turns inside and outside round",
            ),
            MaskError::NoAlpha { .. } => (
                ErrorKind::MaskShape,
                "leave out `channel`: white is then inside",
            ),
        };
        self.fault(kind, pointer, error.to_string(), hint);
    }

    pub(super) fn warn(&mut self, kind: WarningKind, message: String) {
        self.warnings.push(Warning { kind, message });
    }
}
