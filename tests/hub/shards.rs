//! Repositories whose weights are in shards with an index.

use safetensors::SafeTensors;

use crate::bench::fixture::path as fixture;
use crate::hub_bench::{HubBench, MODEL, UNET};
use crate::server::COMMIT;

const INDEX: &str = "unet/diffusion_pytorch_model.safetensors.index.json";
const SHARDS: [&str; 2] = [
    "unet/diffusion_pytorch_model-00001-of-00002.safetensors",
    "unet/diffusion_pytorch_model-00002-of-00002.safetensors",
];

/// A hub whose model has the UNet in two shards.
fn sharded() -> HubBench {
    let bench = HubBench::new();
    let whole = bench.server.file(UNET);
    let file = SafeTensors::deserialize(&whole).unwrap();
    let mut names = file.names();
    names.sort_unstable();
    let mut map = serde_json::Map::new();
    let (first, second) = names.split_at(names.len() / 2);
    for (part, shard) in [first, second].into_iter().zip(SHARDS) {
        let views = part.iter().map(|name| (*name, file.tensor(name).unwrap()));
        bench
            .server
            .set(shard, Some(safetensors::serialize(views, None).unwrap()));
        let name = shard.rsplit_once('/').unwrap().1;
        map.extend(
            part.iter()
                .map(|tensor| ((*tensor).to_owned(), name.into())),
        );
    }
    let index = serde_json::json!({ "metadata": { "total_size": 1 }, "weight_map": map });
    bench
        .server
        .set(INDEX, Some(index.to_string().into_bytes()));
    bench.server.set(UNET, None);
    bench
}

#[test]
fn all_shards_are_fetched_and_used() {
    let bench = sharded();
    bench.fetch().assert(0);
    for name in SHARDS.into_iter().chain([INDEX]) {
        let found = std::fs::read(bench.snapshot().join(name)).unwrap();
        assert!(found == bench.server.file(name), "{name}");
    }
    bench.server.reset();
    let record = bench.edit(MODEL).ended().assert(0).record;
    assert_eq!(record["model"], format!("{MODEL}@{COMMIT}"));
    assert_eq!(bench.server.log().len(), 0, "the cache is enough");
    let pixels = || image::open(bench.path("out.png")).unwrap().into_rgba8();
    let from_shards = pixels();
    let whole = fixture("tiny");
    bench.edit(whole.to_str().unwrap()).ended().assert(0);
    assert!(from_shards == pixels());
}

#[test]
fn a_missing_or_damaged_shard_is_fetched_again() {
    let bench = sharded();
    bench.fetch().assert(0);
    std::fs::remove_file(bench.snapshot().join(SHARDS[1])).unwrap();
    let offline = bench.run(&["fetch", MODEL, "--offline"]);
    offline.assert(75).stderr_has(SHARDS[1]);
    bench.server.reset();
    bench.fetch().assert(0);
    assert!(bench.server.downloads(SHARDS[0]).is_empty());
    let found = std::fs::read(bench.snapshot().join(SHARDS[1])).unwrap();
    assert!(found == bench.server.file(SHARDS[1]));
}

#[test]
fn an_index_that_names_what_the_repository_lacks_is_refused() {
    let bench = sharded();
    bench.server.set(SHARDS[0], None);
    bench
        .fetch()
        .assert(2)
        .stderr_has_all(&["lacks required files", SHARDS[0]]);
    let other = HubBench::new();
    other.server.set(UNET, None);
    other.server.set(
        INDEX,
        Some(br#"{"weight_map": {"a": "../../x.safetensors"}}"#.to_vec()),
    );
    other.fetch().assert(2).stderr_has("is no name of a shard");
}
