//! One edit with everything that metrics read of it.

use std::path::{Path, PathBuf};

use crate::drag_file::DragFile;
use crate::picture::Picture;
use crate::plan::Areas;

/// An original picture, its edit, and the drag between them, all in the original's pixels.
#[derive(Debug)]
pub(crate) struct Case<'a> {
    /// The item's id.
    pub id: &'a str,
    /// The picture before the edit.
    pub original: &'a Picture,
    /// The picture after the edit, of the original's size.
    pub edited: &'a Picture,
    /// The file of the original.
    pub original_path: &'a Path,
    /// The files of this edit and, in a comparison, of the other edit of the same drag; always in the same order.
    pub edited_paths: &'a [PathBuf],
    /// Position of this edit among `edited_paths`.
    pub edit: usize,
    /// The drag file; its prompt is the caption.
    pub drag: &'a DragFile,
    /// Where the picture may change and what moves.
    pub areas: &'a Areas,
}
