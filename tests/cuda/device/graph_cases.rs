//! The cases of the graph API of cuDNN, with those of other modules that it runs too.

use super::Case;

/// Selects the graph API.
pub(crate) const GRAPHS: (&str, &str) = ("DRAGNEXT_CUDNN", "graph");

/// The cases.
pub(crate) const CASES: &[Case] = &[
    // The legacy functions refuse, so the graph API computes.
    (
        "convolutions::forward",
        &[GRAPHS, ("FAKE_REFUSE", "convolution")],
    ),
    (
        "convolutions::backward",
        &[GRAPHS, ("FAKE_REFUSE", "convolution")],
    ),
    (
        "convolutions::forward",
        &[
            GRAPHS,
            ("FAKE_REFUSE", "convolution"),
            ("FAKE_RANKING", "1"),
        ],
    ),
    (
        "convolutions::backward",
        &[
            GRAPHS,
            ("FAKE_REFUSE", "convolution"),
            ("FAKE_RANKING", "2"),
        ],
    ),
    (
        "convolutions::forward",
        &[
            GRAPHS,
            ("FAKE_REFUSE", "convolution"),
            ("FAKE_MEMORY", "4294967296"),
            ("FAKE_WORKSPACE", "large"),
        ],
    ),
    (
        "convolutions::forward",
        &[GRAPHS, ("FAKE_REFUSE", "graph-all")],
    ),
    (
        "convolutions::forward",
        &[GRAPHS, ("FAKE_REFUSE", "graph-run")],
    ),
    (
        "convolutions::forward",
        &[GRAPHS, ("FAKE_REFUSE", "graph-terms")],
    ),
    (
        "convolutions::backward",
        &[GRAPHS, ("FAKE_REFUSE", "graph-all")],
    ),
    (
        "convolutions::backward",
        &[GRAPHS, ("FAKE_REFUSE", "graph-run")],
    ),
    ("graphs::padding_on_one_side", &[GRAPHS]),
    (
        "graphs::addresses_that_a_plan_cannot_take",
        &[GRAPHS, ("FAKE_REFUSE", "convolution")],
    ),
    (
        "graphs::what_is_refused_is_said",
        &[
            GRAPHS,
            ("FAKE_REFUSE", "graph-all"),
            ("FAKE_REASON", "CUDNN_STATUS_NOT_SUPPORTED"),
        ],
    ),
    (
        "graphs::what_is_refused_is_said",
        &[
            GRAPHS,
            ("FAKE_RANKING", "0"),
            ("FAKE_REASON", "cuDNN has no deterministic engine"),
        ],
    ),
    // A cuDNN for CUDA 12 where only cuBLASLt of CUDA 13 is installed.
    (
        "graphs::what_is_refused_is_said",
        &[
            GRAPHS,
            ("FAKE_CUDART", "12090"),
            ("FAKE_REASON", "libcublasLt.so.12"),
        ],
    ),
    (
        "graphs::a_failure_to_plan_is_not_remembered",
        &[
            GRAPHS,
            ("FAKE_MEMORY", "400000000"),
            ("FAKE_SHORT", "cudnnBackendFinalize:4000:340000000"),
        ],
    ),
    (
        "graphs::a_gpu_that_is_lost_while_planning",
        &[
            GRAPHS,
            ("FAKE_SHORT", "cudnnBackendFinalize:4000:2000000000"),
            ("FAKE_FAIL", "cuStreamQuery:700:1"),
        ],
    ),
    ("graphs::plans_are_counted", &[GRAPHS]),
    (
        "graphs::plans_are_counted",
        &[GRAPHS, ("FAKE_REFUSE", "graph-terms")],
    ),
    (
        "graphs::plans_are_counted",
        &[GRAPHS, ("FAKE_REFUSE", "graph-all")],
    ),
    (
        "graphs::the_interface_is_a_part_of_the_description",
        &[GRAPHS],
    ),
    ("graphs::the_interface_is_a_part_of_the_description", &[]),
    (
        "graphs::an_unknown_interface",
        &[("DRAGNEXT_CUDNN", "quick")],
    ),
    (
        "captures::a_graph_computes_what_its_operations_do",
        &[GRAPHS, ("FAKE_REFUSE", "convolution")],
    ),
    (
        "captures::a_graph_keeps_the_workspace_that_it_uses",
        &[GRAPHS, ("FAKE_REFUSE", "convolution")],
    ),
    (
        "captures::after_a_failed_capture_operations_are_submitted",
        &[GRAPHS, ("FAKE_CAPTURE", "cuStreamSynchronize")],
    ),
    (
        "captures::after_a_failed_capture_operations_are_submitted",
        &[GRAPHS, ("FAKE_CAPTURE", "cuMemAlloc_v2")],
    ),
    (
        "captures::after_a_failed_capture_operations_are_submitted",
        &[GRAPHS, ("FAKE_CAPTURE", "refuse")],
    ),
    ("attributes::wrong_attributes_are_rejected", &[]),
    (
        "shortage::a_failure_with_free_memory_is_a_lost_gpu",
        &[
            GRAPHS,
            ("FAKE_SHORT", "cudnnBackendExecute:5000:2000000000"),
        ],
    ),
];
