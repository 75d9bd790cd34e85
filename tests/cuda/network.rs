//! The networks on the CUDA backend against the CPU backend, in every number format.

use dragnext::kernels::cpu::Cpu;
use dragnext::kernels::cuda::Cuda;
use dragnext::kernels::{Backend, Format};
use dragnext::model::Source;

use super::compiled::available;
use super::emulated::{ConvolutionSupport, Emulated};
use crate::bench::fixture::source;
use crate::parity::network::{FORMATS, compare, encode_and_decode, run};

#[test]
fn the_unet_forward_and_backward() {
    if !available("the_unet_forward_and_backward") {
        return;
    }
    // 9 x 11 is not divisible by any tile. Its deepest feature maps have two pixels, whose group
    // norm amplifies rounding, so 16-bit formats are tested with larger maps.
    for (size, formats) in [([9, 11], &FORMATS[..1]), ([8, 8], &FORMATS[..])] {
        let expected = run(&Cpu, &source("tiny"), size);
        for (format, output, gradient) in formats {
            for library in [
                ConvolutionSupport::Unsupported,
                ConvolutionSupport::Partial,
                ConvolutionSupport::Full,
            ] {
                let cuda = Cuda::new(Emulated::new(library), *format);
                compare(
                    &format!("tiny, {library:?}"),
                    *format,
                    &run(&cuda, &source("tiny"), size),
                    &expected,
                    [*output, *gradient],
                );
            }
        }
    }
}

/// The demo model's head size has a fused attention kernel.
#[test]
fn the_demo_model() {
    if !available("the_demo_model") {
        return;
    }
    let expected = run(&Cpu, &Source::Demo, [8, 8]);
    for (format, output, gradient) in [
        (Format::F32, 1e-5, 1.0 - 1e-9),
        (Format::F16, 5e-3, 0.9999),
        (Format::Bf16, 2e-2, 0.999),
    ] {
        let cuda = Cuda::new(Emulated::new(ConvolutionSupport::Full), format);
        compare(
            "demo",
            format,
            &run(&cuda, &Source::Demo, [8, 8]),
            &expected,
            [output, gradient],
        );
    }
}

#[test]
fn the_vae_encodes_and_decodes() {
    if !available("the_vae_encodes_and_decodes") {
        return;
    }
    let expected = encode_and_decode(&Cpu);
    for library in [ConvolutionSupport::Unsupported, ConvolutionSupport::Full] {
        for (format, output, gradient) in FORMATS {
            let cuda = Cuda::new(Emulated::new(library), format);
            compare(
                "pictures",
                format,
                &encode_and_decode(&cuda),
                &expected,
                [output, gradient],
            );
            // An edit encodes and decodes in f32 in every format.
            compare(
                "pictures",
                Format::F32,
                &encode_and_decode(&cuda.in_f32()),
                &expected,
                [FORMATS[0].1, FORMATS[0].2],
            );
        }
    }
}

#[test]
fn results_are_bitwise_reproducible() {
    if !available("results_are_bitwise_reproducible") {
        return;
    }
    let results = || {
        let results = run(
            &Cuda::new(Emulated::new(ConvolutionSupport::Full), Format::F16),
            &source("tiny"),
            [8, 8],
        );
        [results.outputs, results.gradients].concat()
    };
    assert_eq!(results(), results());
}
