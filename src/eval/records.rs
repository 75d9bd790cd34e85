//! The items of record files. What `batch --methods` wrote is told apart by its methods: its ids end in `.METHOD`.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::{Edit, EditFailure, Item, Items, Sides};
use crate::error::{Error, ErrorKind, RecordedKind, Result};
use crate::merge::{Manifest, Merged, MergedItem, MergedState, RecordedError, folders, found};
use crate::method::Method;

/// Records of one side.
#[derive(Debug)]
pub(crate) struct RecordSide {
    /// The method; `None` for records that are not told apart by methods.
    pub method: Option<Method>,
    /// In the order of the manifest, or of the records.
    pub items: Vec<MergedItem>,
    /// The folders that their paths may be relative to.
    pub roots: Vec<PathBuf>,
}

/// Reads record files, one side for each method. Also returns what was read, for its warnings.
///
/// # Errors
/// As [`Merged::read`]; `records.unreadable` for files without a record.
pub(crate) fn method_sides(
    files: &[PathBuf],
    manifest: Option<(&Path, &Manifest)>,
) -> Result<(Vec<RecordSide>, Merged)> {
    let mut merged = Merged::read(files, None)?;
    if merged.items.is_empty() {
        return Err(Error::Given {
            path: files.first().cloned().unwrap_or_default(),
            kind: ErrorKind::RecordsUnreadable,
            reason: "contains no records".into(),
            hint: "`dragnext batch` writes records to the folder `records` of its output folder"
                .into(),
        });
    }
    let roots = folders(manifest.map(|(path, _)| path), files);
    // The manifest of `batch --methods --dry-run` has the ids of the records, any other those of the pictures.
    let manifest = manifest.map(|(_, manifest)| manifest);
    let has_ids = |manifest: &&Manifest| {
        let ids = manifest.ids();
        merged.items.iter().any(|item| ids.contains(&*item.id))
    };
    let (with_ids, without) = match manifest.filter(has_ids) {
        Some(manifest) => (Some(manifest), None),
        None => (None, manifest),
    };
    let mut unknown_ids = Vec::new();
    let mut order = |manifest: Option<&Manifest>, items: Vec<MergedItem>| match manifest {
        Some(manifest) => {
            let (items, unknown) = manifest.order(items);
            unknown_ids.extend(unknown);
            items
        }
        None => items,
    };
    let items = order(with_ids, std::mem::take(&mut merged.items));
    let sides = by_method(items)
        .into_iter()
        .map(|(method, items)| RecordSide {
            method,
            items: order(without, items),
            roots: roots.clone(),
        })
        .collect();
    merged.unknown_ids = unknown_ids;
    Ok((sides, merged))
}

/// Returns the items of each method, in the order of the methods' first records, with the ids that their list has; last, those that are not told
/// apart by methods.
///
/// A method counts when the id of one of its records ends in its name. A failed item whose record does not name a method is recognised by its id.
fn by_method(items: Vec<MergedItem>) -> Vec<(Option<Method>, Vec<MergedItem>)> {
    let mut methods: Vec<Method> = Vec::new();
    for item in &items {
        if let Some((_, method)) = split(&item.id)
            && item.method.as_deref() == Some(method.name())
            && !methods.contains(&method)
        {
            methods.push(method);
        }
    }
    let mut groups: Vec<(Option<Method>, Vec<MergedItem>)> = methods
        .iter()
        .map(|method| (Some(*method), Vec::new()))
        .chain([(None, Vec::new())])
        .collect();
    for mut item in items {
        let found = split(&item.id).and_then(|(id, method)| {
            let place = methods.iter().position(|known| *known == method)?;
            Some((id.to_owned(), place))
        });
        let place = found.map_or(methods.len(), |(id, place)| {
            item.id = id;
            place
        });
        groups[place].1.push(item);
    }
    groups.retain(|(_, items)| !items.is_empty());
    groups
}

/// Splits an id such as `cat.pbsi`.
fn split(id: &str) -> Option<(&str, Method)> {
    let (id, method) = id.rsplit_once('.')?;
    let method = method.parse().ok()?;
    (!id.is_empty()).then_some((id, method))
}

/// Returns the items of records: every id that any side has, in the order in which the sides first name them.
pub(crate) fn of_records(records: &[RecordSide], sides: Sides) -> Items {
    let mut order: Vec<&str> = Vec::new();
    let mut by_id: BTreeMap<&str, HashMap<usize, &MergedItem>> = BTreeMap::new();
    for (side, record) in records.iter().enumerate() {
        for item in &record.items {
            // What is only compared with adds no items of its own.
            if sides.reference == Some(side)
                && side >= sides.methods
                && !by_id.contains_key(&*item.id)
            {
                continue;
            }
            let edits = by_id.entry(&item.id).or_insert_with(|| {
                order.push(&item.id);
                HashMap::new()
            });
            edits.insert(side, item);
        }
    }
    let items = order.into_iter().map(|id| {
        let edits = &by_id[id];
        // A missing or early failed edit has neither; another side may.
        let path = |path: fn(&MergedItem) -> &Option<PathBuf>| {
            let mut known = (0..records.len()).filter_map(|side| {
                let file = path(edits.get(&side)?).as_ref()?;
                Some(found(file, &records[side].roots).unwrap_or_else(|| file.clone()))
            });
            known.next().unwrap_or_default()
        };
        Item {
            id: id.to_owned(),
            category: None,
            image: path(|item| &item.image),
            drag: path(|item| &item.drag),
            edits: (0..records.len())
                .map(|side| {
                    edits
                        .get(&side)
                        .map_or_else(no_record, |item| edit(item, &records[side].roots))
                })
                .collect(),
        }
    });
    Items::new(items.collect(), sides)
}

fn edit(item: &MergedItem, roots: &[PathBuf]) -> Edit {
    match (item.state, &item.out, &item.error) {
        (MergedState::Done, Some(out), _) => {
            Edit::File(found(out, roots).unwrap_or_else(|| out.clone()))
        }
        (_, _, Some(RecordedError { kind, message })) => Edit::Failed(EditFailure {
            kind: kind.clone(),
            message: message.clone(),
        }),
        (MergedState::Interrupted, ..) => Edit::Failed(EditFailure {
            kind: RecordedKind::Known(ErrorKind::Interrupted),
            message: "the edit was interrupted".into(),
        }),
        _ => no_record(),
    }
}

fn no_record() -> Edit {
    Edit::Failed(EditFailure {
        kind: RecordedKind::Known(ErrorKind::ImageMissing),
        message: "there is no record of a result".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(id: &str, method: Option<&str>) -> MergedItem {
        MergedItem {
            method: method.map(str::to_owned),
            ..MergedItem::missing(id.into())
        }
    }

    #[test]
    fn methods_are_told_apart_by_the_ends_of_ids() {
        let items = vec![
            item("a/cat.pbsi", Some("pbsi")),
            item("a/cat.region-drag", Some("region-drag")),
            // Failed before its method was known.
            item("dog.pbsi", None),
            item("old", Some("pbsi")),
            // An id of the user's, whose method is another one.
            item("x.fast-drag", Some("pbsi")),
        ];
        let groups: Vec<(Option<&str>, Vec<String>)> = by_method(items)
            .into_iter()
            .map(|(method, items)| {
                let ids = items.into_iter().map(|item| item.id).collect();
                (method.map(Method::name), ids)
            })
            .collect();
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            groups,
            [
                (Some("pbsi"), ids(&["a/cat", "dog"])),
                (Some("region-drag"), ids(&["a/cat"])),
                (None, ids(&["old", "x.fast-drag"])),
            ]
        );
        let plain = by_method(vec![item("cat.pbsi", None), item("dog", None)]);
        assert_eq!((plain.len(), plain[0].0, plain[0].1.len()), (1, None, 2));
    }
}
