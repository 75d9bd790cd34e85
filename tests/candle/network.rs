//! The networks on the candle backend against the CPU backend, in every number format.

use dragnext::kernels::candle::Candle;
use dragnext::kernels::cpu::Cpu;
use dragnext::kernels::{Backend, Format};
use dragnext::model::Source;

use crate::bench::fixture::source;
use crate::parity::network::{FORMATS, compare, encode_and_decode, run};

#[test]
fn the_unet_forward_and_backward() {
    // The deepest feature maps of 9 x 11 have two pixels, whose group norm amplifies rounding, so 16-bit formats are tested with larger maps.
    for (size, formats) in [([9, 11], &FORMATS[..1]), ([8, 8], &FORMATS[..])] {
        let expected = run(&Cpu, &source("tiny"), size);
        for (format, output, gradient) in formats {
            let got = run(&Candle::cpu(*format), &source("tiny"), size);
            compare("tiny", *format, &got, &expected, [*output, *gradient]);
        }
    }
}

#[test]
fn the_demo_model() {
    let expected = run(&Cpu, &Source::Demo, [8, 8]);
    for (format, output, gradient) in [
        (Format::F32, 1e-5, 1.0 - 1e-9),
        (Format::F16, 5e-3, 0.9999),
        (Format::Bf16, 2e-2, 0.999),
    ] {
        let got = run(&Candle::cpu(format), &Source::Demo, [8, 8]);
        compare("demo", format, &got, &expected, [output, gradient]);
    }
}

#[test]
fn the_vae_encodes_and_decodes() {
    let expected = encode_and_decode(&Cpu);
    for (format, output, gradient) in FORMATS {
        let candle = Candle::cpu(format);
        compare(
            "pictures",
            format,
            &encode_and_decode(&candle),
            &expected,
            [output, gradient],
        );
        // An edit encodes and decodes in f32 in every format.
        let bounds = [FORMATS[0].1, FORMATS[0].2];
        let got = encode_and_decode(&candle.in_f32());
        compare("pictures", Format::F32, &got, &expected, bounds);
    }
}

#[test]
fn results_are_bitwise_reproducible() {
    let results = || run(&Candle::cpu(Format::F16), &source("tiny"), [8, 8]);
    assert_eq!(results(), results());
}
