use super::*;
use crate::error::{DragFileFault, Error, SourceText};
use crate::warning::WarningKind;

/// All kinds of errors with their exit statuses. Scripts depend on both, so a change here breaks them.
const ERRORS: &[(&str, u8)] = &[
    ("instruction.syntax", 2),
    ("instruction.not_utf8", 2),
    ("instruction.too_large", 2),
    ("instruction.version", 2),
    ("instruction.type", 2),
    ("instruction.range", 2),
    ("instruction.unknown_field", 2),
    ("instruction.missing_field", 2),
    ("instruction.duplicate_field", 2),
    ("instruction.duplicate_id", 2),
    ("instruction.conflict", 2),
    ("instruction.no_regions", 2),
    ("instruction.point_outside", 2),
    ("instruction.prompt_missing", 2),
    ("instruction.prompt_too_long", 2),
    ("region.handle_outside", 2),
    ("region.leaves", 2),
    ("region.outside", 2),
    ("region.rotation_centre", 2),
    ("region.method", 2),
    ("region.vanishes", 2),
    ("editable.empty", 2),
    ("mask.missing", 2),
    ("mask.decode", 2),
    ("mask.size", 2),
    ("mask.empty", 2),
    ("mask.shape", 2),
    ("setting", 2),
    ("file", 2),
    ("image.missing", 2),
    ("image.decode", 2),
    ("image.unsupported", 2),
    ("image.too_large", 2),
    ("image.too_small", 2),
    ("image.size", 2),
    ("output.exists", 2),
    ("output.is_input", 2),
    ("output.is_link", 2),
    ("output.not_a_file", 2),
    ("output.not_distinct", 2),
    ("output.folder", 2),
    ("output.name", 2),
    ("output.format", 2),
    ("output.appeared", 1),
    ("output.write", 1),
    ("output.verify", 1),
    ("output.disk_full", 75),
    ("weights.missing", 2),
    ("weights.damaged", 2),
    ("weights.hash", 75),
    ("weights.mismatch", 2),
    ("weights.format", 2),
    ("weights.unsupported", 2),
    ("lora.mismatch", 2),
    ("hub.unreachable", 75),
    ("hub.refused", 2),
    ("hub.not_found", 2),
    ("hub.endpoint", 2),
    ("hub.answer", 75),
    ("hub.cache", 75),
    ("hub.disk_full", 75),
    ("device.none", 2),
    ("device.dtype", 2),
    ("device.check", 2),
    ("device.refused", 1),
    ("device.lost", 75),
    ("compute.out_of_memory", 1),
    ("compute.not_finite", 1),
    ("compute.diverged", 1),
    ("show.not_png", 2),
    ("show.no_report", 2),
    ("show.damaged", 2),
    ("show.version", 2),
    ("check.no_cases", 2),
    ("check.case", 2),
    ("check.limits", 2),
    ("check.no_expected", 2),
    ("check.failed", 1),
    ("check.blessed", 1),
    ("methods.failed", 1),
    ("compare.differs", 1),
    ("manifest.line", 2),
    ("manifest.empty", 2),
    ("manifest.name", 2),
    ("manifest.duplicate_id", 2),
    ("manifest.same_output", 2),
    ("manifest.output", 2),
    ("manifest.path_escapes", 2),
    ("manifest.missing", 2),
    ("manifest.not_a_file", 2),
    ("manifest.no_drag", 2),
    ("manifest.elsewhere", 2),
    ("item.gone", 1),
    ("batch.failed", 1),
    ("batch.failures", 1),
    ("batch.time_over", 75),
    ("batch.locked", 75),
    ("batch.unknown_id", 2),
    ("batch.interrupted", 130),
    ("records.unreadable", 2),
    ("import.nothing", 2),
    ("import.damaged", 2),
    ("import.refused", 2),
    ("import.too_large", 2),
    ("import.missing", 2),
    ("import.outside", 2),
    ("import.value", 2),
    ("import.no_motion", 2),
    ("import.failed", 1),
    ("merge.incomplete", 1),
    ("eval.no_edits", 2),
    ("eval.unavailable", 2),
    ("eval.failed", 1),
    ("interrupted", 130),
    ("bug", 101),
];

#[test]
fn every_error_kind_keeps_its_name_and_exit_status() {
    let kinds: Vec<(&str, u8)> = ErrorKind::ALL
        .iter()
        .map(|kind| (kind.name(), kind.exit_status()))
        .collect();
    assert_eq!(kinds, ERRORS);
}

#[test]
fn names_are_unique_and_parse_to_their_kind() {
    for kind in ErrorKind::ALL {
        assert_eq!(ErrorKind::from_name(kind.name()), Some(*kind));
        assert_eq!(WarningKind::from_name(kind.name()), None);
    }
    for kind in WarningKind::ALL {
        assert_eq!(WarningKind::from_name(kind.name()), Some(*kind));
    }
    assert_eq!(ErrorKind::from_name("of.another_version"), None);
}

#[test]
fn output_kinds_are_those_with_the_prefix() {
    for kind in ErrorKind::ALL {
        assert_eq!(
            kind.is_output(),
            kind.name().starts_with("output."),
            "{kind}"
        );
    }
}

#[test]
fn an_unknown_kind_of_a_record_keeps_its_name() {
    for (name, expected) in [
        ("bug", RecordedKind::Known(ErrorKind::Bug)),
        ("a.b", RecordedKind::Unknown("a.b".into())),
    ] {
        let json = serde_json::to_string(name).expect("a string");
        let kind: RecordedKind = serde_json::from_str(&json).expect("a name");
        assert_eq!(kind, expected);
        assert_eq!(kind.name(), name);
        assert_eq!(serde_json::to_string(&kind).expect("a name"), json);
    }
}

/// One error of each variant, with its kind and exit status.
#[expect(clippy::too_many_lines, reason = "one entry for each variant")]
fn examples() -> Vec<(Error, &'static str, u8)> {
    let text = String::new;
    let fault: DragFileFault =
        SourceText::new("{}").fault(ErrorKind::RegionVanishes, text(), 0..1, text(), None);
    let interrupted = |signal| Error::Interrupted { signal };
    let hub = |kind| Error::Hub {
        place: text(),
        kind,
        reason: text(),
        hint: text(),
    };
    let weights = |kind| Error::Weights {
        path: text(),
        kind,
        reason: text(),
        hint: text(),
    };
    let image = |kind| Error::Image {
        path: "a".into(),
        kind,
        reason: text(),
        hint: text(),
    };
    let output = |kind| Error::Output {
        path: "a".into(),
        kind,
        reason: text(),
        hint: text(),
    };
    let report = |kind| Error::Report {
        path: "a".into(),
        kind,
        reason: text(),
        hint: text(),
    };
    let given = |kind| Error::Given {
        path: "a".into(),
        kind,
        reason: text(),
        hint: text(),
    };
    let device = |kind| Error::Device {
        kind,
        reason: text(),
        hint: text(),
    };
    let finding = |kind| Error::Finding {
        kind,
        reason: text(),
        hint: text(),
    };
    let batch = |kind| Error::Batch {
        kind,
        reason: text(),
        hint: text(),
    };
    let stopped = |signal| Error::BatchInterrupted {
        signal,
        reason: text(),
        hint: text(),
    };
    let file = std::io::ErrorKind::NotFound;
    vec![
        (
            Error::Instruction {
                path: "a".into(),
                faults: vec![fault],
            },
            "region.vanishes",
            2,
        ),
        (
            Error::Setting {
                name: text(),
                value: text(),
                reason: text(),
            },
            "setting",
            2,
        ),
        (image(ErrorKind::MaskSize), "mask.size", 2),
        (output(ErrorKind::OutputExists), "output.exists", 2),
        (output(ErrorKind::OutputVerify), "output.verify", 1),
        (output(ErrorKind::OutputDiskFull), "output.disk_full", 75),
        (weights(ErrorKind::WeightsMissing), "weights.missing", 2),
        (hub(ErrorKind::WeightsMissing), "weights.missing", 75),
        (hub(ErrorKind::HubRefused), "hub.refused", 2),
        (hub(ErrorKind::HubNotFound), "hub.not_found", 2),
        (
            Error::PromptTooLong {
                tokens: 90,
                limit: 77,
            },
            "instruction.prompt_too_long",
            2,
        ),
        (
            Error::NotFinite {
                stage: "decode",
                step: 1,
                what: "a",
            },
            "compute.not_finite",
            1,
        ),
        (
            Error::Diverged {
                stage: "drag",
                step: 1,
                lr: 1.0,
            },
            "compute.diverged",
            1,
        ),
        (device(ErrorKind::DeviceLost), "device.lost", 75),
        (device(ErrorKind::DeviceNone), "device.none", 2),
        (interrupted(2), "interrupted", 130),
        (interrupted(15), "interrupted", 143),
        (
            Error::File {
                path: "a".into(),
                source: file.into(),
            },
            "file",
            2,
        ),
        (report(ErrorKind::ShowVersion), "show.version", 2),
        (given(ErrorKind::CheckLimits), "check.limits", 2),
        (finding(ErrorKind::CheckFailed), "check.failed", 1),
        (batch(ErrorKind::BatchTimeOver), "batch.time_over", 75),
        (stopped(15), "batch.interrupted", 143),
        (Error::Bug(text()), "bug", 101),
        (candle_core::Error::Msg(text()).into(), "bug", 101),
        (
            Error::Several {
                errors: vec![output(ErrorKind::OutputExists), interrupted(2)],
            },
            "output.exists",
            130,
        ),
    ]
}

#[test]
fn every_variant_has_its_kind_and_exit_status() {
    for (error, kind, status) in examples() {
        assert_eq!(
            (error.kind().name(), error.exit_status()),
            (kind, status),
            "{error:?}"
        );
    }
}
