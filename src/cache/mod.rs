//! What an edit leaves for the next one of the same picture: the LoRA that was trained, and the inverted latent.
//!
//! Entries are known by all that decides their numbers, so a result has the same bytes with the cache and without it. The key holds
//! the program itself: one that was built anew finds nothing, because it might compute something else. The cache is a help and no
//! more: what is damaged in it is computed again, what cannot be written is told once, and nothing of it ends an edit.
//!
//! | room | what is in it |
//! |---|---|
//! | `place` | which folder, and how much may lie in it |
//! | `entry` | names of entries, and what stands in their files |
//! | `store` | reading, keeping, making room |
//! | `listing` | what is there, for people; removal |

mod entry;
mod listing;
mod place;
mod store;

pub use entry::{About, Kind, Name};
pub use listing::{Listed, clear, list};
pub use place::Place;
pub use store::Cache;
