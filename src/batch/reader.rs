//! The reader thread of a run: reads, decodes and plans items ahead of the network.

use std::fs;
use std::sync::mpsc::SyncSender;

use super::existing::names_job;
use super::handoff::{PreparedItem, ReadItem};
use super::{History, Item, Resolver};
use crate::digest::sha256;
use crate::edit::Provenance;
use crate::error::Result;
use crate::files;
use crate::panics;
use crate::report::{Paths, Record};

pub(super) struct Reader<'a> {
    pub(super) resolver: &'a Resolver,
    pub(super) history: &'a History,
    pub(super) provenance: Provenance<'a>,
    pub(super) overwrite: bool,
}

impl Reader<'_> {
    /// Reads the items in order and sends each to the network thread, until that thread accepts no more.
    pub(super) fn read_all<'a>(&self, items: &[&'a Item], to_network: &SyncSender<ReadItem<'a>>) {
        for item in items {
            if to_network.send(self.read(item)).is_err() {
                return;
            }
        }
    }

    fn read<'a>(&self, item: &'a Item) -> ReadItem<'a> {
        let mut record = Record::new(Paths {
            image: item.image.clone(),
            drag: self.resolver.drag_path(item).map(Into::into),
            like: None,
            out: item.out.clone(),
        });
        record.id.clone_from(&item.id);
        record.left_out = self.resolver.left_out;
        let prepared = panics::catch(|| self.prepare(item, &mut record));
        ReadItem {
            item,
            record,
            prepared,
        }
    }

    fn prepare(&self, item: &Item, record: &mut Record) -> Result<PreparedItem> {
        let (prepared, inputs) = self.resolver.prepare(item, self.provenance)?;
        record.inputs = Some(inputs);
        let identity = prepared.identity(self.provenance);
        let may_replace = self.may_replace(item);
        // Refused here, before the network spends time on it.
        if !may_replace
            && !self.resolver.left_out.unreported
            && !names_job(&item.out, &identity.job)
        {
            return Err(files::exists_already(&item.out));
        }
        Ok(PreparedItem {
            prepared,
            identity,
            may_replace,
        })
    }

    /// Returns whether the output may be replaced: it does not exist, has the bytes that an earlier run recorded, or overwriting was requested.
    /// Otherwise the writer accepts an existing file only if it already is the result.
    fn may_replace(&self, item: &Item) -> bool {
        self.overwrite
            || fs::symlink_metadata(&item.out).is_err()
            || fs::read(&item.out).is_ok_and(|bytes| self.history.wrote(item, &sha256(&bytes)))
    }
}
