//! Turns data sets of the field, and files of annotation tools, into drag files, masks and a manifest that `batch` runs.
//!
//! `sources` lists the samples of a source; one module for each kind reads a [`Sample`](sample::Sample) of it; `importer` checks and writes
//! them. Points move by half a pixel where a source counts pixels. What a source does not say is chosen, written as a comment into the drag
//! file, and reported ([`Choice`]). Only files inside the given folders are read.
//!
//! | module | source |
//! |---|---|
//! | `dragbench` | DragBench (arXiv 2306.14435); `region_pairs` DragBench-DR and -SR (arXiv 2407.18247); [`pickle`] their files |
//! | `point_folders` | Drag100 (arXiv 2404.07206), SDE-Drag's set, NextBench (arXiv 2506.07611) |
//! | `red_bench` | `ReD Bench` (arXiv 2510.02253) |
//! | `labelme`, `coco`, `via`, `label_studio`, `cvat` | annotation tools; `drawing` says how a drag is drawn in them |

mod coco;
mod cvat;
mod dragbench;
mod drawing;
mod importer;
mod json;
mod label_studio;
mod labelme;
mod list;
mod names;
mod outcome;
mod pickle;
mod pictures;
mod point_folders;
mod red_bench;
mod region_pairs;
mod root;
mod sample;
mod sources;
#[cfg(test)]
mod tests;
mod via;
mod written;

use std::path::PathBuf;

pub(crate) use importer::import;
pub(crate) use list::{list, list_data};
pub(crate) use outcome::{Import, SampleOutcome};
pub(crate) use sample::Choice;

/// How a source is imported.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// Folder of the pictures, for annotations that lie elsewhere.
    pub(crate) images: Option<PathBuf>,
    /// How far regions without a drawn motion move, in pixels.
    pub(crate) motion: Option<[f64; 2]>,
    /// Write the samples without faults although others have some.
    pub(crate) keep_going: bool,
    /// Replace files of other content.
    pub(crate) overwrite: bool,
}
