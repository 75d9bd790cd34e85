//! Keeps what one edit computed for the next edit of the same picture: the trained LoRA and the inverted latent.
//!
//! The key of an entry is the SHA-256 of everything that decides its values, including the program itself, so an edit with the
//! cache gives the same bytes as one without it. A new build starts with an empty cache, because it might compute something else.
//! Several edits of one picture in one run can share them in memory, with and without a folder on the disk.
//! The cache never fails an edit: damaged entries are computed again, and a failed write gives one warning.
//!
//! | module | contents |
//! |---|---|
//! | `location` | folder and size limit, from the environment |
//! | `entry` | names and file format of entries |
//! | `folder` | files of entries: reading, listing and eviction |
//! | `store` | looking up and writing entries, on the disk and in memory |
//! | `listing` | listing for users, and removal |
//!
//! The folder also has the checks of devices ([`crate::device::check`]), in a folder of their own.

mod entry;
mod folder;
mod listing;
mod location;
mod store;

/// The folder, in the folder of the cache, of what is remembered of devices.
pub(crate) const CHECKS_FOLDER: &str = "checks";

pub use entry::{EntryInfo, EntryKind, EntryName};
pub(crate) use folder::make as make_folder;
pub use listing::{ListedEntry, clear, list};
pub use location::CacheLocation;
pub use store::Cache;
