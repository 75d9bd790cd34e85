//! Reads pickles of plain data without running anything.
//!
//! A pickle is a program for a stack machine that can call any function of Python. [`load`] runs the instructions that build dictionaries,
//! lists, tuples, texts, bytes, numbers and numpy arrays, in the forms in which protocols 0 to 5 and numpy write them, and refuses every
//! other instruction and every other function by its name. Functions are never called: the few that numpy's pickles name are known here.
//!
//! Nothing here recurses, and what a file can make it allocate is bounded by [`MAX_BYTES`] and [`MAX_NODES`].

mod array;
mod cursor;
mod functions;
mod machine;
#[cfg(test)]
mod tests;
mod value;

pub(super) use machine::load;
pub(super) use value::Value;

/// Largest pickle in bytes; a mask of 32 million pixels as 64-bit integers fits.
pub(super) const MAX_BYTES: u64 = 256 << 20;
/// Maximum number of values in a pickle.
const MAX_NODES: usize = 4_000_000;

/// Why a pickle is not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum PickleError {
    /// It is not a pickle, or truncated.
    #[error("the pickle is damaged at byte {at}: {what}")]
    Damaged {
        /// Offset of the instruction.
        at: usize,
        /// What is wrong.
        what: String,
    },
    /// It holds more than data.
    #[error("the pickle is refused: {0}")]
    Refused(
        /// What it asks for.
        String,
    ),
    /// It would need too much memory.
    #[error("the pickle is too large: {0}")]
    TooLarge(
        /// What there is too much of.
        String,
    ),
}
