//! Changes of the parts of a file and of its bytes, and strategies that choose them.

use proptest::prelude::*;
use proptest::sample::Index;

use super::File;

/// A change of the parts. Positions are fractions of the length.
#[derive(Debug, Clone)]
pub(super) enum PartChange {
    Swap(Index, Index),
    Repeat(Index),
    Remove(Index),
    Cut(Index, Index),
    Byte(Index, Index, u8),
    /// A boundary value in two or four bytes of either byte order.
    Number(Index, Index, u32, bool, bool),
    Name(Index, Index, u8),
    Grow(Index, Vec<u8>),
}

/// A change of the bytes.
#[derive(Debug, Clone)]
pub(super) enum ByteChange {
    Flip(Index, u8),
    Set(Index, u8),
    Remove(Index, usize),
    Insert(Index, Vec<u8>),
    Repeat(Index, usize),
    Truncate(Index),
}

pub(super) fn part_change() -> impl Strategy<Value = PartChange> {
    let edges = prop::sample::select(vec![
        0,
        1,
        63,
        64,
        255,
        256,
        16_383,
        16_384,
        32_768,
        32_769,
        65_535,
        1 << 24,
        i32::MAX as u32,
        1 << 31,
        u32::MAX,
    ]);
    prop_oneof![
        1 => any::<(Index, Index)>().prop_map(|(a, b)| PartChange::Swap(a, b)),
        1 => any::<Index>().prop_map(PartChange::Repeat),
        1 => any::<Index>().prop_map(PartChange::Remove),
        1 => any::<(Index, Index)>().prop_map(|(part, length)| PartChange::Cut(part, length)),
        4 => any::<(Index, Index, u8)>().prop_map(|(part, at, value)| PartChange::Byte(part, at, value)),
        4 => (any::<(Index, Index, bool, bool)>(), edges).prop_map(|((part, at, wide, big), number)| PartChange::Number(part, at, number, wide, big)),
        1 => any::<(Index, Index, u8)>().prop_map(|(part, at, value)| PartChange::Name(part, at, value)),
        1 => (any::<Index>(), prop::collection::vec(any::<u8>(), 1..300)).prop_map(|(part, bytes)| PartChange::Grow(part, bytes)),
    ]
}

pub(super) fn byte_change() -> impl Strategy<Value = ByteChange> {
    prop_oneof![
        4 => (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| ByteChange::Flip(at, bit)),
        2 => any::<(Index, u8)>().prop_map(|(at, value)| ByteChange::Set(at, value)),
        1 => (any::<Index>(), 1..64_usize).prop_map(|(at, length)| ByteChange::Remove(at, length)),
        1 => (any::<Index>(), prop::collection::vec(any::<u8>(), 1..32)).prop_map(|(at, bytes)| ByteChange::Insert(at, bytes)),
        1 => (any::<Index>(), 1..256_usize).prop_map(|(at, length)| ByteChange::Repeat(at, length)),
        1 => any::<Index>().prop_map(ByteChange::Truncate),
    ]
}

pub(super) fn change_parts(file: &mut File, change: &PartChange) {
    let parts = &mut file.parts;
    if parts.is_empty() {
        return;
    }
    let count = parts.len();
    match change {
        PartChange::Swap(a, b) => parts.swap(a.index(count), b.index(count)),
        PartChange::Repeat(part) => {
            let part = parts[part.index(count)].clone();
            parts.push(part);
        }
        PartChange::Remove(part) => drop(parts.remove(part.index(count))),
        PartChange::Cut(part, length) => {
            let content = &mut parts[part.index(count)].1;
            content.truncate(length.index(content.len() + 1));
        }
        PartChange::Byte(part, at, value) => {
            let content = &mut parts[part.index(count)].1;
            if !content.is_empty() {
                let at = at.index(content.len());
                content[at] = *value;
            }
        }
        PartChange::Number(part, at, number, wide, big) => {
            let content = &mut parts[part.index(count)].1;
            let bytes = match (wide, big) {
                (true, true) => number.to_be_bytes().to_vec(),
                (true, false) => number.to_le_bytes().to_vec(),
                (false, true) => (*number as u16).to_be_bytes().to_vec(),
                (false, false) => (*number as u16).to_le_bytes().to_vec(),
            };
            if content.len() >= bytes.len() {
                // Most changes go to the short headers, which have the greatest effect.
                let at = at.index((content.len() - bytes.len() + 1).min(40));
                content[at..at + bytes.len()].copy_from_slice(&bytes);
            }
        }
        PartChange::Name(part, at, value) => {
            let name = &mut parts[part.index(count)].0;
            let at = at.index(name.len());
            name[at] = *value;
        }
        PartChange::Grow(part, bytes) => parts[part.index(count)].1.extend(bytes),
    }
}

pub(super) fn change_bytes(bytes: &mut Vec<u8>, change: &ByteChange) {
    if bytes.is_empty() {
        return;
    }
    let length = bytes.len();
    match change {
        ByteChange::Flip(at, bit) => bytes[at.index(length)] ^= 1 << bit,
        ByteChange::Set(at, value) => bytes[at.index(length)] = *value,
        ByteChange::Remove(at, count) => {
            drop(bytes.drain(at.index(length)..(at.index(length) + count).min(length)));
        }
        ByteChange::Insert(at, more) => {
            drop(bytes.splice(at.index(length)..at.index(length), more.iter().copied()));
        }
        ByteChange::Repeat(at, count) => {
            let range = at.index(length)..(at.index(length) + count).min(length);
            let again = bytes[range.clone()].to_vec();
            bytes.splice(range.end..range.end, again);
        }
        ByteChange::Truncate(at) => bytes.truncate(at.index(length)),
    }
}
