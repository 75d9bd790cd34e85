//! Reads the blocks of MCUs, sequential and progressive, without keeping their values.

use super::bits::{Bits, Codes};
use super::frame::{Frame, Scan};

/// Reads the blocks of one MCU. `run` is the number of blocks whose band has ended.
pub(super) fn read_mcu(
    frame: &mut Frame,
    scan: &Scan,
    tables: &[[Option<Codes>; 4]; 2],
    bits: &mut Bits,
    mcu: usize,
    across: usize,
    run: &mut u32,
) -> Option<()> {
    let is_alone = scan.components.len() == 1;
    for (index, dc, ac) in &scan.components {
        let component = &mut frame.components[*index];
        let [wide, high] = if is_alone { [1, 1] } else { component.blocks };
        for block in 0..wide * high {
            let (column, row) = (
                mcu % across * wide + block % wide,
                mcu / across * high + block / wide,
            );
            if !frame.is_progressive {
                read_sequential(bits, tables[0][*dc].as_ref()?, tables[1][*ac].as_ref()?)?;
                continue;
            }
            match (scan.band[0], scan.bits[0]) {
                (0, 0) => {
                    let size = bits.symbol(tables[0][*dc].as_ref()?)?;
                    skip(bits, size)?;
                }
                (0, _) => {
                    bits.take(1)?;
                }
                (_, before) => {
                    let known = component.nonzero.get_mut(row * component.stride + column)?;
                    let codes = tables[1][*ac].as_ref()?;
                    if before == 0 {
                        read_band(bits, codes, scan.band, known, run)?;
                    } else {
                        refine_band(bits, codes, scan.band, known, run)?;
                    }
                }
            }
        }
    }
    Some(())
}

/// Takes the bits of a value of this size.
pub(super) fn skip(bits: &mut Bits, size: u8) -> Option<()> {
    (size <= 16)
        .then(|| bits.take(u32::from(size)))?
        .map(|_| ())
}

/// Reads a block of a sequential frame.
pub(super) fn read_sequential(bits: &mut Bits, dc: &Codes, ac: &Codes) -> Option<()> {
    let size = bits.symbol(dc)?;
    skip(bits, size)?;
    let mut at = 1;
    while at < 64 {
        let symbol = bits.symbol(ac)?;
        match (symbol >> 4, symbol & 15) {
            (15, 0) => at += 16,
            (_, 0) => break,
            (zeros, size) => {
                at += usize::from(zeros) + 1;
                skip(bits, size)?;
            }
        }
    }
    Some(())
}

/// Reads the first bits of a band of coefficients.
pub(super) fn read_band(
    bits: &mut Bits,
    ac: &Codes,
    band: [usize; 2],
    known: &mut u64,
    run: &mut u32,
) -> Option<()> {
    if *run > 0 {
        *run -= 1;
        return Some(());
    }
    let mut at = band[0];
    while at <= band[1] {
        let symbol = bits.symbol(ac)?;
        match (symbol >> 4, symbol & 15) {
            (15, 0) => at += 16,
            (exponent, 0) => {
                *run = (1 << exponent) - 1 + bits.take(u32::from(exponent))?;
                break;
            }
            (zeros, size) => {
                at += usize::from(zeros);
                skip(bits, size)?;
                *known |= 1_u64.checked_shl(at as u32).unwrap_or(0);
                at += 1;
            }
        }
    }
    Some(())
}

/// Reads one more bit of a band of coefficients.
pub(super) fn refine_band(
    bits: &mut Bits,
    ac: &Codes,
    band: [usize; 2],
    known: &mut u64,
    run: &mut u32,
) -> Option<()> {
    let mut at = band[0];
    if *run == 0 {
        while at <= band[1] {
            let symbol = bits.symbol(ac)?;
            let (mut zeros, is_new) = (symbol >> 4, symbol & 15 != 0);
            if is_new {
                bits.take(1)?;
            } else if zeros < 15 {
                *run = (1 << zeros) + bits.take(u32::from(zeros))?;
                break;
            }
            while at <= band[1] {
                if *known >> at & 1 == 1 {
                    bits.take(1)?;
                } else if zeros == 0 {
                    if is_new {
                        *known |= 1 << at;
                    }
                    at += 1;
                    break;
                } else {
                    zeros -= 1;
                }
                at += 1;
            }
        }
    }
    if *run > 0 {
        for coefficient in at..=band[1] {
            if *known >> coefficient & 1 == 1 {
                bits.take(1)?;
            }
        }
        *run -= 1;
    }
    Some(())
}
