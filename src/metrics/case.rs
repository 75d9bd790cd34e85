//! One edit with everything that metrics read of it.

use std::path::{Path, PathBuf};

use crate::drag_file::DragFile;
use crate::geometry::PointPair;
use crate::mask::Mask;
use crate::picture::Picture;
use crate::region::Region;

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

/// A drag on its picture, at the picture's own resolution.
#[derive(Debug, Clone)]
pub(crate) struct Areas {
    /// All regions of the drag file, in its order, also those that hardly move. A point is a disc.
    pub regions: Vec<Region>,
    /// Handles and targets: those of the drag file; where it gives an angle or a factor, the region's pixel that moves most.
    pub pairs: Vec<PointPair>,
    /// Where the picture may change; `None` means everywhere.
    pub editable: Option<Mask>,
}
