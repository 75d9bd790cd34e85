//! What an edit leaves behind beside its pixels: the record of a run, the note inside the PNG, and messages.
//!
//! A record says what happened, with times and paths. The note inside the PNG says only what decides the pixels, so
//! that the same edit gives the same file.

mod account;
mod checked;
mod comparison;
mod diagnostics;
mod github;
mod job;
mod markdown;
mod merged;
mod messages;
mod note;
mod paths;
mod record;
mod screen;
mod settings_table;
mod summary;
mod verdict;

pub use checked::{CaseStatus, Checked, CheckedForm, print_checked, summarise_checked};
pub use comparison::{Compared, print_comparison};
pub use job::{Instruction, Job};
pub use merged::{MergedForm, print_merge_warnings, print_merged};
pub use messages::{
    describe, print_error, print_json, print_line, print_text, print_verdict, print_warnings,
    print_written, shell_word,
};
pub use note::{Made, Maker, Note};
pub use paths::Paths;
pub use record::{Failure, Loss, Moved, Place, Record, Status, peak_bytes};
pub use settings_table::print_settings;
pub use summary::{Summary, counted};
pub use verdict::{Verdict, VerdictStatus};

/// The version of this program, which decides pixels too.
const VERSION: &str = env!("CARGO_PKG_VERSION");
