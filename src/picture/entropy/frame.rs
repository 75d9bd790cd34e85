//! What the headers of a frame and of its scans say.

use super::{MAX_COMPONENTS, MAX_MCUS};

/// A component of the frame.
#[derive(Debug, Clone, Default)]
pub(super) struct Component {
    pub(super) id: u8,
    /// Blocks of an MCU, across and down.
    pub(super) blocks: [usize; 2],
    /// Blocks of the component in a scan of its own, across and down.
    pub(super) own: [usize; 2],
    /// Blocks across with the padding of interleaved scans.
    pub(super) stride: usize,
    /// For each block of a progressive frame, which coefficients are not zero.
    pub(super) nonzero: Vec<u64>,
    /// For each coefficient, the lowest bit that was received; 255 for none.
    pub(super) received: Vec<u8>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Frame {
    pub(super) is_progressive: bool,
    pub(super) height: usize,
    /// MCUs across and down.
    pub(super) mcus: [usize; 2],
    /// Rows of pixels in an MCU.
    pub(super) mcu_rows: usize,
    pub(super) components: Vec<Component>,
}

/// The parameters of a scan.
pub(super) struct Scan {
    /// For each component, its index in the frame and its tables for DC and AC.
    pub(super) components: Vec<(usize, usize, usize)>,
    /// First and last coefficient.
    pub(super) band: [usize; 2],
    /// Bit before and now.
    pub(super) bits: [u8; 2],
}

impl Frame {
    pub(super) fn parse(content: &[u8], is_progressive: bool) -> Option<Self> {
        let [8, _, _, _, _, count, list @ ..] = content else {
            return None;
        };
        let (height, width) = (
            usize::from(word(content, 1)?),
            usize::from(word(content, 3)?),
        );
        let (list, _) = list.as_chunks::<3>();
        let list = list.get(..usize::from(*count))?;
        if height == 0 || width == 0 || !(1..=MAX_COMPONENTS).contains(&list.len()) {
            return None;
        }
        let sampling =
            |[_, factors, _]: &[u8; 3]| [usize::from(factors >> 4), usize::from(factors & 15)];
        if list
            .iter()
            .flat_map(sampling)
            .any(|factor| !(1..=4).contains(&factor))
        {
            return None;
        }
        let largest = |axis: usize| list.iter().map(|one| sampling(one)[axis]).max();
        let most = [largest(0)?, largest(1)?];
        let mcus = [width.div_ceil(8 * most[0]), height.div_ceil(8 * most[1])];
        if mcus[0] * mcus[1] > MAX_MCUS {
            return None;
        }
        let components = list.iter().map(|one| {
            let blocks = sampling(one);
            let own =
                |size: usize, axis: usize| (size * blocks[axis]).div_ceil(most[axis]).div_ceil(8);
            let stride = mcus[0] * blocks[0];
            Component {
                id: one[0],
                blocks,
                own: [own(width, 0), own(height, 1)],
                stride,
                nonzero: if is_progressive {
                    vec![0; stride * mcus[1] * blocks[1]]
                } else {
                    Vec::new()
                },
                received: vec![u8::MAX; 64],
            }
        });
        Some(Self {
            is_progressive,
            height,
            mcus,
            mcu_rows: 8 * most[1],
            components: components.collect(),
        })
    }
}

impl Scan {
    pub(super) fn parse(content: &[u8], frame: &Frame) -> Option<Self> {
        let (count, rest) = content.split_first()?;
        let (list, rest) = rest.split_at_checked(2 * usize::from(*count))?;
        let [first, last, approximation] = *rest.first_chunk::<3>()?;
        let (list, _) = list.as_chunks::<2>();
        let components = list.iter().map(|[id, tables]| {
            let index = frame
                .components
                .iter()
                .position(|component| component.id == *id)?;
            let table = |bits: u8| usize::from(bits).min(3);
            Some((index, table(tables >> 4), table(tables & 15)))
        });
        let scan = Self {
            components: components.collect::<Option<Vec<_>>>()?,
            band: if frame.is_progressive {
                [usize::from(first), usize::from(last)]
            } else {
                [0, 63]
            },
            bits: if frame.is_progressive {
                [approximation >> 4, approximation & 15]
            } else {
                [0, 0]
            },
        };
        let is_valid = !scan.components.is_empty()
            && scan.band[0] <= scan.band[1]
            && scan.band[1] < 64
            && (!frame.is_progressive || (scan.band[0] == 0) == (scan.band[1] == 0))
            && (!frame.is_progressive || scan.band[0] == 0 || scan.components.len() == 1);
        is_valid.then_some(scan)
    }
}

pub(super) fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}
