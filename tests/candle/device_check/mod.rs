//! The check of devices: right backends pass in every format, and a backend that is wrong in one operation is caught, and the operation is named.

mod faulty;

use dragnext::device::check::{Extent, check};
use dragnext::kernels::candle::Candle;
use dragnext::kernels::comparison::{Case, compare, small, stable_diffusion};
use dragnext::kernels::cpu::Cpu;
use dragnext::kernels::{Backend, Format};

use crate::bench::report;
use faulty::{COMBINED, Fault, Faulty, OPERATIONS, OTHERS};

const FORMATS: [Format; 3] = [Format::F32, Format::F16, Format::Bf16];

#[test]
fn candle_passes_in_every_format() {
    let found = check(
        &FORMATS.map(|format| (format, Candle::cpu(format))),
        Extent::Small,
    )
    .unwrap();
    report(&format!("{found:#?}"));
    for format in FORMATS {
        assert!(found.passes_in(format), "{}", found.summary(format));
    }
    let results = found.of_format(Format::F16).map(|found| found.compared);
    assert!(results.is_some_and(|results| results > 200), "{results:?}");
}

/// The share of its bound that the result next to it reaches.
#[test]
fn bounds_are_not_close() {
    for (format, candle) in FORMATS.map(|format| (format, Candle::cpu(format))) {
        let findings = compare(&[(format, candle)], &small()).unwrap();
        let (share, name) = findings[0].closest.clone().unwrap();
        report(&format!(
            "{}: {share:.2} of its bound: {name}",
            format.name()
        ));
        assert!(share < 0.6, "{name}, {}: {share}", format.name());
    }
}

/// Returns the multiplications of a case, as far as they decide its time.
fn multiplications(case: &Case) -> usize {
    match case {
        Case::Conv { shape, .. } => {
            let patch = shape.kernel * shape.kernel * shape.input[2];
            patch * shape.output.iter().product::<usize>()
        }
        Case::Attention { shape, .. } => 10 * shape.queries * shape.keys * shape.channels(),
        _ => 0,
    }
}

/// Where a part of the results is compared, it is the same as in the whole.
#[test]
fn the_cpu_agrees_with_itself_at_the_sizes_of_stable_diffusion() {
    let quick = |case: &Case| multiplications(case) < 1_200_000_000;
    let cases: Vec<Case> = stable_diffusion().into_iter().filter(quick).collect();
    let findings = compare(&[(Format::F32, Cpu)], &cases).unwrap();
    assert_eq!(findings[0].differences, []);
    assert!(findings[0].compared > 80, "{}", findings[0].compared);
}

#[test]
fn every_operation_of_the_trait_is_spoiled() {
    let source = include_str!("../../../src/kernels/backend.rs");
    let methods = source.lines().filter_map(|line| {
        let name = line.trim_start().strip_prefix("fn ")?;
        Some(&name[..name.find(['(', '<'])?])
    });
    let methods: Vec<&str> = methods.collect();
    assert!(methods.len() > 40, "{methods:?}");
    for method in &methods {
        let is_spoiled = OPERATIONS.iter().any(|(operation, _)| operation == method);
        assert!(
            is_spoiled || OTHERS.contains(method) || COMBINED.contains(method),
            "{method}"
        );
    }
    for (operation, _) in OPERATIONS {
        let method = operation.split(' ').next().unwrap();
        assert!(methods.contains(&method), "{operation}");
    }
}

/// Returns whether a fault changes nothing: a factor of zeros, and the loss scale of a format that has none.
fn is_harmless<B: Backend>(backend: &B, operation: &str, fault: Fault) -> bool {
    match operation {
        "zeros" => matches!(fault, Fault::Percent | Fault::Row),
        "loss_scale" | "restore_loss_scale" => backend.loss_scale().is_none(),
        _ => false,
    }
}

/// Asserts that each fault is caught, and that the first difference names the operation.
fn assert_caught<B: Backend>(format: Format, backend: &B) {
    for (operation, name) in OPERATIONS {
        for fault in Fault::ALL {
            if is_harmless(backend, operation, fault) {
                continue;
            }
            backend.restore_loss_scale();
            let faulty = Faulty {
                inner: backend.clone(),
                operation,
                fault,
            };
            let findings = compare(&[(format, faulty)], &small()).unwrap();
            let what = format!("{fault:?} in {operation}, {}", format.name());
            let Some(first) = findings[0].differences.first() else {
                panic!("{what} is not caught")
            };
            assert!(first.operation.starts_with(name), "{what}: {first}");
            assert_eq!(
                first.error.is_none(),
                first.to_string().contains("not finite")
            );
        }
    }
}

#[test]
fn every_fault_is_caught_and_named_in_f32() {
    assert_caught(Format::F32, &Cpu);
}

#[test]
fn every_fault_is_caught_and_named_in_f16() {
    assert_caught(Format::F16, &Candle::cpu(Format::F16));
}

#[test]
fn every_fault_is_caught_and_named_in_bf16() {
    assert_caught(Format::Bf16, &Candle::cpu(Format::Bf16));
}

/// In a whole check a wrong operation stands first, and only it differs.
#[test]
fn a_wrong_operation_is_named_by_a_whole_check() {
    for (operation, name) in [
        ("conv", "convolution"),
        ("attention_backward keys", "attention backward, keys"),
        ("scatter", "scatter"),
    ] {
        let backends = [Format::F32, Format::F16].map(|format| {
            let faulty = Faulty {
                inner: Candle::cpu(format),
                operation,
                fault: Fault::Percent,
            };
            (format, faulty)
        });
        let found = check(&backends, Extent::Small).unwrap();
        for format in [Format::F32, Format::F16] {
            assert!(!found.passes_in(format));
            let summary = found.summary(format);
            assert!(summary.starts_with(name), "{summary}");
        }
        let differences: Vec<String> = found.differences().map(ToString::to_string).collect();
        report(&format!("{operation}: {differences:#?}"));
    }
}
