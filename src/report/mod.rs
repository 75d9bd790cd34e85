//! Everything that is printed or recorded beside pixels: records of edits, summaries, tables and messages.
//!
//! stdout gets data and tables, stderr gets messages and progress. Text from files is escaped before it reaches a terminal.

mod batch_progress;
mod case;
mod comparison;
mod diagnostics;
mod evaluation;
mod failure;
mod github;
mod import;
mod markdown;
mod memory;
mod merged;
mod messages;
mod methods_table;
mod paths;
mod record;
mod screen;
mod settings_table;
mod summary;
mod table;
mod validation;

pub use batch_progress::{BatchProgress, ItemStages};
pub use case::{CaseFormat, print_case, summarise_cases};
pub use comparison::{ComparisonReport, print_comparison};
pub use evaluation::EvalFormat;
pub(crate) use evaluation::{EvalLines, EvalReport, Unavailable, print_evaluation};
pub use failure::{DragFilePlace, Failure};
pub(crate) use import::print_import;
pub use memory::peak_bytes;
pub use merged::{MergeFormat, print_merge_warnings, print_merged};
pub use messages::{
    describe, print_error, print_json, print_line, print_text, print_validation, print_warnings,
    print_written, shell_word,
};
pub use methods_table::print_methods;
pub use paths::Paths;
pub use record::{LeftOut, Loss, Record, RegionMotion, Status};
pub use settings_table::print_settings;
pub use summary::{Summary, counted};
pub use validation::{Validation, ValidationStatus};
