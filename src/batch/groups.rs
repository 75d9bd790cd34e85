//! Forms groups of items that share each call of the network.

use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::Receiver;

use super::Item;
use super::handoff::ReadItem;
use crate::cache::Cache;

/// The groups of a list, in order.
pub(super) struct Groups<'a> {
    from_reader: Receiver<ReadItem<'a>>,
    /// An item that was received and did not fit its group.
    pending: Option<ReadItem<'a>>,
    /// How often each picture is in the list.
    uses: HashMap<&'a Path, usize>,
}

impl<'a> Groups<'a> {
    pub(super) fn new(items: &[&'a Item], from_reader: Receiver<ReadItem<'a>>) -> Self {
        let mut uses = HashMap::new();
        for item in items {
            *uses.entry(item.image.as_path()).or_default() += 1;
        }
        Self {
            from_reader,
            pending: None,
            uses,
        }
    }

    /// Returns the next group, of at most `size` items; `None` at the end of the list.
    ///
    /// With a cache, an item whose picture is in the list more than once forms its own group: later items reuse the LoRA and the inversion
    /// of the first. Only such items store results in the cache, because the pictures of a long list would evict everything else.
    pub(super) fn next(
        &mut self,
        size: usize,
        cache: Option<&mut Cache>,
    ) -> Option<Vec<ReadItem<'a>>> {
        let first = self
            .pending
            .take()
            .or_else(|| self.from_reader.recv().ok())?;
        let has_cache = cache.is_some();
        let uses = &self.uses;
        let is_single = |read: &ReadItem| {
            has_cache
                && uses
                    .get(read.item.image.as_path())
                    .is_some_and(|uses| *uses > 1)
        };
        let first_is_single = is_single(&first);
        if let Some(cache) = cache {
            cache.set_writable(first_is_single);
        }
        let mut group = vec![first];
        while !first_is_single && group.len() < size {
            match self.from_reader.recv() {
                Ok(item) if is_single(&item) => {
                    self.pending = Some(item);
                    break;
                }
                Ok(item) => group.push(item),
                Err(_) => break,
            }
        }
        Some(group)
    }

    /// Returns whether an item is left, waiting for the reader if necessary.
    pub(super) fn has_next(&mut self) -> bool {
        if self.pending.is_none() {
            self.pending = self.from_reader.recv().ok();
        }
        self.pending.is_some()
    }
}
