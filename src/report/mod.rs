//! Everything that is printed or recorded beside pixels: records of edits, summaries, tables and messages.
//!
//! stdout gets data and tables, stderr gets messages and progress. Text from files is escaped before it reaches a terminal.

mod account;
mod batch_progress;
mod checked;
mod comparison;
mod diagnostics;
mod github;
mod markdown;
mod merged;
mod messages;
mod paths;
mod record;
mod screen;
mod settings_table;
mod summary;
mod verdict;

pub use batch_progress::{BatchProgress, ItemStages};
pub use checked::{CaseStatus, Checked, CheckedForm, print_checked, summarise_checked};
pub use comparison::{Compared, print_comparison};
pub use merged::{MergedForm, print_merge_warnings, print_merged};
pub(crate) use messages::on_one_line;
pub use messages::{
    describe, print_error, print_json, print_line, print_text, print_verdict, print_warnings,
    print_written, shell_word,
};
pub use paths::Paths;
pub use record::{Failure, Loss, Moved, Place, Record, Status, peak_bytes};
pub use settings_table::print_settings;
pub use summary::{Summary, counted};
pub use verdict::{Verdict, VerdictStatus};
