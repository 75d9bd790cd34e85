//! `dragnext doctor`.

use crate::hub_bench::{HubBench, MODEL};
use crate::server::COMMIT;

fn check<'a>(report: &'a serde_json::Value, name: &str) -> &'a serde_json::Value {
    report
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["name"] == name)
        .unwrap_or_else(|| panic!("no {name} in {report}"))
}

#[test]
fn doctor_reports_every_check_without_network() {
    let bench = HubBench::with_model();
    let report = bench.run(&["doctor", "--json"]).assert(0).record;
    for name in [
        "program",
        "processor",
        "memory",
        "devices",
        "backends",
        "models",
        "cache",
        "network",
        "environment",
    ] {
        assert!(!check(&report, name)["text"].as_str().unwrap().is_empty());
    }
    assert!(
        check(&report, "program")["text"]
            .as_str()
            .unwrap()
            .contains(env!("CARGO_PKG_VERSION"))
    );
    let models = check(&report, "models");
    assert_eq!(
        models["details"][0],
        format!("{MODEL}@{COMMIT} 1.5 MB, complete")
    );
    assert_eq!(models["state"], "note", "the default model is missing");
    assert!(models["hint"].as_str().unwrap().contains("dragnext fetch"));
    assert!(
        check(&report, "network")["text"]
            .as_str()
            .unwrap()
            .starts_with("not tested")
    );
    let endpoint = format!("HF_ENDPOINT={}", bench.server.endpoint());
    assert!(
        check(&report, "environment")["details"]
            .as_array()
            .unwrap()
            .iter()
            .any(|line| *line == endpoint.as_str())
    );
    assert_eq!(bench.server.log().len(), 0, "no request was sent");

    std::fs::remove_file(bench.snapshot().join("unet/config.json")).unwrap();
    let text = bench.run(&["doctor"]).assert(0).stdout;
    assert!(
        text.contains("lacks unet/config.json") && text.contains("  next  "),
        "{text}"
    );
}

#[test]
fn doctor_requests_the_default_model_with_network() {
    let bench = HubBench::new();
    let report = bench
        .run(&["doctor", "--network", "--json"])
        .assert(0)
        .record;
    assert_eq!(check(&report, "network")["state"], "good");
    assert!(
        bench.server.log()[0]
            .path
            .starts_with("/api/models/stable-diffusion-v1-5/")
    );
    bench.server.reset();
    let offline = bench
        .command(&["doctor", "--network"])
        .env("HF_HUB_OFFLINE", "1")
        .ended();
    assert!(offline.assert(0).stdout.contains("offline"));
    assert_eq!(bench.server.log().len(), 0);
}

#[test]
fn an_unusable_cache_is_reported() {
    let bench = HubBench::new();
    std::fs::write(bench.path("file"), "not a folder").unwrap();
    let finished = bench
        .command(&["doctor", "--json"])
        .env("HF_HUB_CACHE", "file/hub")
        .ended();
    let finished = finished
        .assert(75)
        .stderr_has_all(&["file/hub: the cache cannot be written to", "HF_HUB_CACHE"]);
    assert_eq!(check(&finished.record, "models")["state"], "bad");
    let fetched = bench
        .command(&["fetch", MODEL])
        .env("HF_HUB_CACHE", "file/hub")
        .ended();
    fetched
        .assert(75)
        .stderr_has_all(&["file/hub", "HF_HUB_CACHE"]);
}
