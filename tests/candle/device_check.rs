//! The check of devices: right backends pass in every format, and a backend that is wrong in one operation is caught, and the operation is named.

use dragnext::device::check::{Extent, check};
use dragnext::kernels::Format;
use dragnext::kernels::candle::Candle;
use dragnext::kernels::comparison::{Case, compare, small, stable_diffusion};
use dragnext::kernels::cpu::Cpu;

use crate::bench::report;
use crate::faulty::{Fault, Faulty, OPERATIONS, assert_caught};

const FORMATS: [Format; 3] = [Format::F32, Format::F16, Format::Bf16];

/// Methods of the trait that have no case of their own, each with the reason.
const OTHERS: &[(&str, &str)] = &[
    ("run", "calls other methods"),
    ("pass", "calls other methods"),
    (
        "copied_together",
        "returns copies for a pass that is repeated, whose results are compared",
    ),
    ("graphs", "returns figures and a text"),
    ("sampled_l1_sum", "`sampled_l1` returns its value"),
    ("weighted_l1_sum", "`weighted_l1` returns its value"),
    ("all_finite", "`non_finite` is 0"),
    (
        "sum_value",
        "`sampled_l1`, `weighted_l1` and `squared_error_sum` return what it reads",
    ),
    ("trim", "frees memory"),
    ("arithmetic", "returns a text"),
    ("description", "returns a text"),
    ("cells_at_once", "returns the size of batches"),
    ("wait", "returns nothing"),
    ("launches", "returns a count for benchmarks"),
    ("in_f32", "returns a backend, which is compared in f32"),
    (
        "fuses_shift",
        "chooses between two terms of a convolution, both of which are compared",
    ),
    ("rounds_factors", "chooses the bounds of a comparison"),
    (
        "prefers_large_calls",
        "chooses between methods that are compared",
    ),
    ("refused_convolutions", "returns texts"),
    ("peak_bytes", "returns a count for benchmarks"),
    ("uninit", "returns no values"),
    ("uninit_like", "returns no values"),
    ("uninit_planes", "returns no values"),
];

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

/// A method that a case does not compare has a reason, and no method has both.
#[test]
fn every_method_of_the_trait_has_a_case_or_a_reason() {
    let source = include_str!("../../src/kernels/backend.rs");
    let methods = source.lines().filter_map(|line| {
        let name = line.trim_start().strip_prefix("fn ")?;
        Some(&name[..name.find(['(', '<'])?])
    });
    let methods: Vec<&str> = methods.collect();
    assert!(methods.len() > 60, "{methods:?}");
    let of_operation = |operation: &'static str| operation.split(' ').next().unwrap();
    for method in &methods {
        let has_case = OPERATIONS
            .iter()
            .any(|(operation, _)| of_operation(operation) == *method);
        let has_reason = OTHERS.iter().any(|(other, _)| other == method);
        assert!(
            has_case || has_reason,
            "`{method}` needs a case in src/kernels/comparison and a fault in tests/faulty, or a reason to have none"
        );
        assert!(!(has_case && has_reason), "`{method}` has a case");
    }
    let listed = OPERATIONS
        .iter()
        .map(|(operation, _)| of_operation(operation));
    for method in listed.chain(OTHERS.iter().map(|(method, _)| *method)) {
        assert!(methods.contains(&method), "the trait has no `{method}`");
    }
}

#[test]
fn every_fault_is_caught_and_named_in_f32() {
    assert_caught(Format::F32, &Cpu, OPERATIONS, &small());
}

#[test]
fn every_fault_is_caught_and_named_in_f16() {
    let candle = Candle::cpu(Format::F16);
    assert_caught(Format::F16, &candle, OPERATIONS, &small());
}

#[test]
fn every_fault_is_caught_and_named_in_bf16() {
    let candle = Candle::cpu(Format::Bf16);
    assert_caught(Format::Bf16, &candle, OPERATIONS, &small());
}

/// In a whole check a wrong operation stands first, and only it differs.
#[test]
fn a_wrong_operation_is_named_by_a_whole_check() {
    for (operation, name) in [
        ("conv", "convolution"),
        ("attention_backward keys", "attention backward, keys"),
        ("scatter", "scatter"),
        ("linears", "layers of one shape"),
        ("group_norm_joined", "joined group norm"),
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
