//! What an edit leaves behind beside its pixels: the record of a run, the note inside the PNG, and messages.
//!
//! A record says what happened, with times and paths. The note inside the PNG says only what decides the pixels, so
//! that the same edit gives the same file.

mod job;
mod messages;
mod note;
mod paths;
mod record;

pub use job::{Instruction, Job};
pub(crate) use messages::on_one_line;
pub use messages::{print_error, print_json, print_text, print_warnings};
pub use note::{Made, Maker, Note};
pub use paths::Paths;
pub use record::{Failure, Loss, Moved, Record, Status, peak_bytes};

/// The version of this program, which decides pixels too.
const VERSION: &str = env!("CARGO_PKG_VERSION");
