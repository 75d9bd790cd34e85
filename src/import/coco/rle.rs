//! COCO's run lengths: of pixels outside and inside in turn, down the columns.

use crate::geometry::Size;
use crate::mask::Mask;

/// Decodes the text in which pycocotools writes run lengths: groups of five bits, from the lowest, each plus 48 and with 32 for "more";
/// from the third length on, the difference to the length before the last.
pub(super) fn lengths(text: &str) -> Option<Vec<u64>> {
    let mut lengths: Vec<i64> = Vec::new();
    let mut bytes = text.bytes();
    while let Some(first) = bytes.next() {
        let (mut value, mut shift, mut next) = (0_i64, 0_u32, first);
        loop {
            let digit = i64::from(next.checked_sub(48).filter(|digit| *digit < 64)?);
            value |= (digit & 31).checked_shl(shift).filter(|_| shift < 60)?;
            shift += 5;
            if digit & 32 == 0 {
                // The highest bit of the last group is the sign.
                if digit & 16 != 0 {
                    value -= 1_i64 << shift;
                }
                break;
            }
            next = bytes.next()?;
        }
        if lengths.len() > 2 {
            value = value.checked_add(lengths[lengths.len() - 2])?;
        }
        lengths.push(value);
    }
    lengths
        .into_iter()
        .map(|length| u64::try_from(length).ok())
        .collect()
}

/// Returns the mask of these run lengths; `None` if they do not cover the picture exactly.
pub(super) fn mask(lengths: &[u64], size: Size) -> Option<Mask> {
    let mut mask = Mask::filled(size, false);
    let (mut at, total) = (0_usize, size.area());
    for (index, length) in lengths.iter().enumerate() {
        let end = at.checked_add(usize::try_from(*length).ok()?)?;
        if end > total {
            return None;
        }
        if index % 2 == 1 {
            for place in at..end {
                mask.data[place % size.height * size.width + place / size.height] = true;
            }
        }
        at = end;
    }
    (at == total).then_some(mask)
}
