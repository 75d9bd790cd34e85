//! Short edits by the methods that drag points, compared with the same edits in PyTorch and diffusers (`tests/peer/torch_points.py`):
//! DragDiffusion and `GoodDrag`, with and without `DragText`, `FreeDrag` and `DragNoise`. `tests/fixtures/points` contains PyTorch's tensors.

use crate::bench::fixture::short_edit::Scene;
use crate::bench::fixture::{Fixture, assert_close};
use dragnext::geometry::Point;
use dragnext::kernels::cpu::Cpu;
use dragnext::method::Method;
use dragnext::pipeline::{Latents, Outcome};
use dragnext::settings::Overrides;

/// Largest relative error of latents, losses and embeddings.
const TOLERANCE: f64 = 1e-4;

/// Settings of the short edits, as in `tests/peer/points_fixtures.py`.
fn short(method: Method) -> Overrides {
    let mut given = Overrides::from([("lora_steps", 0)]);
    given.set("strength", 0.08);
    let own: &[(&'static str, f64)] = match method {
        Method::DragDiffusion => &[("iterations", 10.0)],
        Method::GoodDrag => &[
            ("timesteps", 2.0),
            ("tracks", 3.0),
            ("iterations", 2.0),
            ("motion_radius", 2.0),
            ("track_radius", 4.0),
            ("reach", 2.0),
        ],
        Method::FreeDrag => &[
            ("iterations", 12.0),
            ("place_iterations", 3.0),
            ("template_radius", 2.0),
            ("longest_move", 3.0),
            ("expected_difference", 0.4),
        ],
        Method::DragNoise => &[("iterations", 8.0), ("free_steps", 1.0), ("lr", 0.03)],
        _ => panic!("{} has no fixture", method.name()),
    };
    for (name, value) in own {
        set(&mut given, name, *value);
    }
    given
}

/// Sets a whole number or another.
fn set(given: &mut Overrides, name: &'static str, value: f64) {
    if value.fract() == 0.0 {
        given.set(name, value as usize);
    } else {
        given.set(name, value);
    }
}

fn dump(method: Method) -> Fixture {
    Fixture::open(&format!(
        "points/{}.safetensors",
        method.name().replace('-', "_")
    ))
}

fn edit(method: Method, change: impl Fn(&mut Overrides)) -> (Outcome, Latents<Cpu>) {
    let scene = Scene::with_method("points", method, |given| {
        *given = given.over(&short(method));
        change(given);
    });
    let warped = scene.warped();
    scene.edit(Cpu, &dump(method), &warped).unwrap()
}

/// Asserts that an edit has the peer's losses, points and result, under the names of a variant such as `kept.`.
fn assert_peers(method: Method, variant: &str, outcome: &Outcome, latents: &Latents<Cpu>) {
    let dump = dump(method);
    let at = |name: &str| format!("{variant}{name}");
    let mut losses = Vec::new();
    for step in 0..2 {
        let names = (0..).map(|iteration| at(&format!("loss.{step}.{iteration}")));
        let known = names.take_while(|name| dump.has(name));
        losses.extend(known.flat_map(|name| dump.numbers(&name)));
    }
    let found: Vec<f32> = latents.losses.iter().map(|loss| *loss as f32).collect();
    assert_close(&at("losses"), &found, &losses, TOLERANCE);
    assert_points(method, variant, outcome, &dump);
    let expected = dump.picture(&at("z_end")).to_host();
    assert_close(
        &at("z_end"),
        &latents.denoised.to_host(),
        &expected,
        TOLERANCE,
    );
}

/// Asserts that all points were in the peer's cells after every tracking.
fn assert_points(method: Method, variant: &str, outcome: &Outcome, dump: &Fixture) {
    let mut places = Vec::new();
    let mut add = |name: String| {
        let is_known = dump.has(&name);
        if is_known {
            places.push(dump.numbers(&name));
        }
        is_known
    };
    if method == Method::FreeDrag {
        return assert_places(variant, outcome, dump);
    }
    if method == Method::GoodDrag {
        add("points.handles".into());
        for step in 0..2 {
            add(format!("{variant}handles.{step}.0"));
            for track in 0.. {
                if !add(format!("{variant}handles.{step}.track.{track}")) {
                    break;
                }
            }
        }
    } else {
        for iteration in 0.. {
            if !add(format!("{variant}handles.0.{iteration}")) {
                break;
            }
        }
    }
    let cells = |row: f32, column: f32| {
        Point::new(f64::from(column) * 2.0 + 1.0, f64::from(row) * 2.0 + 1.0)
    };
    for (index, track) in outcome.tracks.iter().enumerate() {
        let expected: Vec<Point> = places
            .iter()
            .map(|place| cells(place[2 * index], place[2 * index + 1]))
            .collect();
        assert_eq!(track.points, expected, "{variant}{}", track.region);
        let target = dump.numbers("points.targets");
        assert_eq!(
            track.target,
            cells(target[2 * index], target[2 * index + 1])
        );
    }
    assert_eq!(outcome.tracks.len(), 3);
}

/// Asserts that all points of free-drag were at the peer's places on their lines after every move.
fn assert_places(variant: &str, outcome: &Outcome, dump: &Fixture) {
    let moves = (0..).map(|index| format!("{variant}places.{index}"));
    let moves = moves.take_while(|name| dump.has(name));
    let mut places = vec![dump.numbers("points.handles")];
    places.extend(moves.map(|name| dump.numbers(&name)));
    assert!(places.len() > 2, "{variant}: several moves");
    for (index, track) in outcome.tracks.iter().enumerate() {
        assert_eq!(track.points.len(), places.len(), "{variant}moves");
        for (point, place) in track.points.iter().zip(&places) {
            let found = [point.y, point.x].map(|at| (at - 1.0) / 2.0);
            for (found, expected) in found.iter().zip(&place[2 * index..]) {
                let error = (found - f64::from(*expected)).abs();
                assert!(error < 1e-5, "{variant}{}: off by {error}", track.region);
            }
        }
    }
    assert_eq!(outcome.tracks.len(), 3);
}

/// Asserts that the text embedding ends as the peer's.
fn assert_text(method: Method, variant: &str, last: &str, latents: &Latents<Cpu>) {
    let prompts = latents
        .prompts
        .as_ref()
        .expect("the embedding was optimised");
    let dump = dump(method);
    let expected = dump.tokens(&format!("{variant}text.{last}")).to_host();
    let text = prompts.picture(1).to_host();
    assert_close(&format!("{variant}text"), &text, &expected, TOLERANCE);
    let moved = expected.iter().zip(prompts.picture(0).to_host());
    assert!(
        moved.into_iter().any(|(a, b)| (a - b).abs() > 1e-3),
        "it moved"
    );
}

#[test]
fn drag_diffusion_agrees_with_the_peer() {
    let method = Method::DragDiffusion;
    let (outcome, latents) = edit(method, |_| ());
    let dump = dump(method);
    for (name, latent) in [
        ("z0", &latents.clean),
        ("z_T", &latents.inverted),
        ("dragged.0", &latents.dragged),
    ] {
        let expected = dump.picture(name).to_host();
        assert_close(name, &latent.to_host(), &expected, TOLERANCE);
    }
    assert_peers(method, "", &outcome, &latents);
    assert_eq!(latents.losses.len(), 10);
}

#[test]
fn drag_diffusion_agrees_on_a_kept_trajectory_and_with_two_stages() {
    let method = Method::DragDiffusion;
    let (outcome, latents) = edit(method, |given| {
        given.set("iterations", 3);
        given.set("trajectory", "kept");
    });
    assert_peers(method, "kept.", &outcome, &latents);
    let (outcome, latents) = edit(method, |given| {
        given.set("iterations", 3);
        given.set("taps", vec![2, 3]);
    });
    assert_peers(method, "taps.", &outcome, &latents);
}

#[test]
fn good_drag_agrees_with_the_peer() {
    let method = Method::GoodDrag;
    let (outcome, latents) = edit(method, |_| ());
    assert_peers(method, "", &outcome, &latents);
    assert_eq!(latents.losses.len(), 12);
    let (outcome, latents) = edit(method, |given| {
        given.set("tracks", 1);
        given.set("trajectory", "kept");
    });
    assert_peers(method, "kept.", &outcome, &latents);
}

#[test]
fn a_stalled_drag_ends() {
    let method = Method::GoodDrag;
    let (outcome, latents) = edit(method, |given| {
        given.set("stall_limit", 1);
        given.set("lr", 1e-5);
    });
    assert_peers(method, "stall.", &outcome, &latents);
    assert_eq!(latents.losses.len(), 2, "one tracking, which moved nothing");
}

#[test]
fn optimised_embeddings_agree_with_the_peer() {
    for (method, iterations, last) in [
        (Method::DragDiffusion, ("iterations", 5), "0.4"),
        (Method::GoodDrag, ("tracks", 1), "1.1"),
    ] {
        for mode in ["clean", "code", "joint"] {
            let (outcome, latents) = edit(method, |given| {
                given.set(iterations.0, iterations.1);
                given.set("text_optimisation", mode);
            });
            let variant = format!("{mode}.");
            assert_peers(method, &variant, &outcome, &latents);
            assert_text(method, &variant, last, &latents);
        }
    }
}

/// The degree scales what the optimisation did, in the latent and in the embedding, and leaves the optimisation as it is.
#[test]
fn a_drag_of_another_degree_agrees_with_the_peer() {
    for (method, iterations, text, last) in [
        (Method::DragDiffusion, ("iterations", 5), "joint", "0.4"),
        (Method::GoodDrag, ("tracks", 1), "clean", "1.1"),
    ] {
        let at = |degree: f64| {
            edit(method, |given| {
                given.set(iterations.0, iterations.1);
                given.set("text_optimisation", text);
                given.set("degree", degree);
            })
        };
        let (outcome, latents) = at(1.5);
        assert_peers(method, "degree.", &outcome, &latents);
        let prompts = latents.prompts.expect("the embedding was optimised");
        let optimised = dump(method)
            .tokens(&format!("degree.text.{last}"))
            .to_host();
        let own = prompts.picture(0).to_host();
        let expected: Vec<f32> = own
            .iter()
            .zip(optimised)
            .map(|(own, optimised)| own + 1.5 * (optimised - own))
            .collect();
        let found = prompts.picture(1).to_host();
        assert_close("the embedding at degree 1.5", &found, &expected, TOLERANCE);
        // At 0 the two latents and their embeddings are the same.
        let (_, latents) = at(0.0);
        let [edited, reference] =
            [&latents.denoised, &latents.reference].map(dragnext::nn::Tensor::to_host);
        assert_close("no drag", &edited, &reference, TOLERANCE);
    }
}

#[test]
fn free_drag_agrees_with_the_peer() {
    let method = Method::FreeDrag;
    let (outcome, latents) = edit(method, |_| ());
    let expected = dump(method).picture("dragged.0").to_host();
    assert_close(
        "dragged.0",
        &latents.dragged.to_host(),
        &expected,
        TOLERANCE,
    );
    assert_peers(method, "", &outcome, &latents);
    assert_eq!(latents.losses.len(), 12);
    for (variant, name, value) in [
        ("kept.", "trajectory", serde_json::json!("kept")),
        ("taps.", "taps", serde_json::json!([2, 3])),
        ("degree.", "degree", serde_json::json!(1.5)),
    ] {
        let (outcome, latents) = edit(method, |given| {
            given.set("iterations", 4);
            given.set(name, value.clone());
        });
        assert_peers(method, variant, &outcome, &latents);
    }
}

/// One point goes back and searches anew, and when all have settled the drag ends.
#[test]
fn free_drag_goes_back_and_settles() {
    let method = Method::FreeDrag;
    let (outcome, latents) = edit(method, |given| {
        given.set("lr", 0.1);
        given.set("place_iterations", 1);
        given.set("iterations", 8);
        given.set("expected_difference", 0.8);
    });
    assert_peers(method, "back.", &outcome, &latents);
    assert_eq!(dump(method).numbers("back.settled"), [1.0; 3]);
    assert!(latents.losses.len() < 8, "it ends early");
    let left = |at: Point| {
        let target = outcome.tracks[1].target;
        (target.x - at.x).hypot(target.y - at.y)
    };
    let path = &outcome.tracks[1].points;
    assert!(path.windows(2).any(|two| left(two[1]) > left(two[0]) + 1.0));
}

#[test]
fn drag_noise_agrees_with_the_peer() {
    let method = Method::DragNoise;
    let (outcome, latents) = edit(method, |_| ());
    let dump = dump(method);
    for (name, found) in [
        ("z_T", Some(&latents.dragged)),
        ("bottleneck", latents.bottleneck.as_ref()),
    ] {
        let found = found.expect("the bottleneck was optimised").to_host();
        assert_close(name, &found, &dump.picture(name).to_host(), TOLERANCE);
    }
    assert_peers(method, "", &outcome, &latents);
    assert_eq!(latents.losses.len(), 8);
}

/// With attention to the reference on a kept trajectory, with two stages, injected to the end at another degree, and without any drag.
#[test]
fn variants_of_drag_noise_agree_with_the_peer() {
    let method = Method::DragNoise;
    let short = |change: &dyn Fn(&mut Overrides)| {
        edit(method, |given| {
            given.set("iterations", 3);
            change(given);
        })
    };
    let (outcome, latents) = short(&|given| {
        given.set("trajectory", "kept");
        given.set("start_layer", 10);
    });
    assert_peers(method, "kept.", &outcome, &latents);
    let (outcome, latents) = short(&|given| given.set("taps", vec![2, 3]));
    assert_peers(method, "taps.", &outcome, &latents);
    let (outcome, latents) = short(&|given| {
        given.set("degree", 1.5);
        given.set("free_steps", 0);
    });
    assert_peers(method, "degree.", &outcome, &latents);
    let (outcome, latents) = short(&|given| {
        given.set("iterations", 2);
        given.set("degree", 0.0);
    });
    assert_peers(method, "none.", &outcome, &latents);
    assert!(latents.bottleneck.is_none(), "nothing is injected");
    let [edited, reference] =
        [&latents.denoised, &latents.reference].map(dragnext::nn::Tensor::to_host);
    assert_close("no drag", &edited, &reference, TOLERANCE);
}
