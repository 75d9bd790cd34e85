//! The backends of this build, by device, and whether candle's GPUs can be opened.

use super::Check;
use crate::kernels::candle::{Candle, Place};
use crate::kernels::{Backend, Format};

/// Reports which backends compute on which device.
pub(super) fn backends() -> Check {
    let own_cuda = cfg!(feature = "cuda").then_some("own");
    let candle_cuda = cfg!(feature = "candle-cuda").then_some("candle");
    let metal = cfg!(feature = "metal").then_some("candle");
    let devices = [
        ("cpu", vec!["own", "candle"]),
        ("cuda", own_cuda.into_iter().chain(candle_cuda).collect()),
        ("metal", metal.into_iter().collect()),
    ];
    let of_build = devices
        .iter()
        .filter(|(_, backends)| !backends.is_empty())
        .map(|(device, backends)| format!("{device}: {}", backends.join(", ")));
    let text = of_build.collect::<Vec<_>>().join("; ");
    let opened = [
        candle_cuda.map(|_| ("cuda:0", Place::Cuda(0))),
        metal.map(|_| ("metal", Place::Metal(0))),
    ];
    let (mut details, mut has_failed) = (Vec::new(), false);
    for (name, place) in opened.into_iter().flatten() {
        let found = Candle::open(place, Format::F16);
        has_failed |= found.is_err();
        details.push(match found {
            Ok(candle) => format!("candle on {name}: {}", candle.arithmetic()),
            Err(reason) => format!("candle on {name}: cannot be used: {reason}"),
        });
    }
    let check = Check {
        details,
        ..Check::new("backends", text)
    };
    if has_failed {
        check.with_note("a GPU of this build cannot be used with `--backend candle`")
    } else {
        check
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_backends_compute_on_the_cpu() {
        let check = backends();
        assert_eq!(check.name, "backends");
        assert!(check.text.starts_with("cpu: own, candle"), "{}", check.text);
    }
}
