//! Step by step against PyTorch (`tests/peer/torch_dragon.py`).

use serde_json::{Value, json};

use super::EnergyGuided;
use super::guided_denoising::{GuidedDenoising, GuidedRun};
use crate::interrupt::Interrupt;
use crate::method::peer_fixture::{PeerEdit, assert_close};
use crate::method::{Method, MethodSettings};
use crate::progress::Silent;
use crate::settings::Overrides;

const TOLERANCE: f64 = 1e-4;

/// Opens a peer's edit with other settings than the fixture's own.
fn open(method: Method, strength: f64, given: &[(&'static str, Value)]) -> PeerEdit {
    let mut values = Overrides::default();
    values.set("strength", strength);
    for (name, value) in given {
        values.set(name, value.clone());
    }
    let dump = format!("{}.safetensors", method.name().replace('-', "_"));
    PeerEdit::open("dragon", &dump, method, &values)
}

fn denoising(peer: &PeerEdit) -> GuidedDenoising<'_> {
    match &peer.plan.settings.method {
        MethodSettings::DragonDiffusion(settings) => settings.denoising(),
        MethodSettings::DiffEditor(settings) => settings.denoising(),
        other => panic!("{other:?} has no energies"),
    }
}

/// Asserts that every latent and energy of an edit is the peer's, under the names of a variant such as `kept.`. Returns how many latents and
/// energies were compared.
fn assert_peers(peer: &PeerEdit, variant: &str) -> [usize; 2] {
    let (dump, never) = (&peer.dump, Interrupt::never());
    let mut noise = peer.noise();
    let scene = peer.scene(&mut noise);
    let (mut run, mut z) =
        GuidedRun::begin(denoising(peer), scene, &mut Silent, &never).expect("it is finite");
    if variant.is_empty() {
        assert!(dump.assert_latent("trajectory.0", run.trajectory.inverted(), TOLERANCE));
        assert!(dump.assert_latent("prepared", &z, TOLERANCE));
    }
    let mut compared = [0; 2];
    for step in 0..peer.grid.timesteps.len() {
        let mut repetition = 0;
        let once = |energy: Option<f64>| {
            let name = format!("{variant}energies.{step}.{repetition}");
            assert_eq!(energy.is_some(), dump.has(&name), "{name}");
            if let Some(energy) = energy {
                let expected: f32 = dump.read(&name).1.iter().sum();
                assert_close(&name, &[energy as f32], &[expected], TOLERANCE);
                compared[1] += 1;
            }
            repetition += 1;
        };
        z = run.advance(z, step, once, &never).expect("it is finite");
        let name = format!("{variant}denoised.{step}");
        compared[0] += usize::from(dump.assert_latent(&name, &z, TOLERANCE));
    }
    assert!(dump.assert_latent(&format!("{variant}z_end"), &z, TOLERANCE));
    compared
}

#[test]
fn dragon_diffusion_agrees_with_the_peer() {
    let check = |variant: &str, given: &[(&'static str, Value)]| {
        let peer = open(Method::DragonDiffusion, 0.2, given);
        assert_eq!(assert_peers(&peer, variant), [4, 6], "{variant}");
    };
    check("", &[]);
    check(
        "kept.",
        &[
            ("trajectory", json!("kept")),
            ("hard_background", json!(true)),
        ],
    );
    check(
        "plain.",
        &[
            ("guidance_scale", json!(1)),
            ("own_keys_share", json!(1)),
            ("taps", json!([3])),
        ],
    );
}

/// Of twenty steps, 5 to 7 are stochastic, and step 10 is made three times.
#[test]
fn diff_editor_agrees_with_the_peer() {
    let peer = open(Method::DiffEditor, 0.4, &[]);
    assert_eq!(assert_peers(&peer, ""), [5, 4 + 3 + 3]);
    let kept = [
        ("trajectory", json!("kept")),
        ("sde_strength", json!(1)),
        ("dense_share", json!(0)),
    ];
    let peer = open(Method::DiffEditor, 0.4, &kept);
    assert_eq!(assert_peers(&peer, "kept."), [5, 5 + 3]);
}

#[test]
fn energies_and_their_gradients_agree_with_the_peer() {
    let peer = open(Method::DragonDiffusion, 0.2, &[]);
    let (dump, never) = (&peer.dump, Interrupt::never());
    let mut noise = peer.noise();
    let scene = peer.scene(&mut noise);
    let (run, start) =
        GuidedRun::begin(denoising(&peer), scene, &mut Silent, &never).expect("it is finite");
    for (step, z) in [(0, start), (1, dump.latent("denoised.0"))] {
        let original = run.original_features(step);
        let guidance = run.guidance(&z, &original, step).expect("it is finite");
        let name = format!("energies.{step}.0");
        let found = guidance.energies.map(|energy| energy as f32);
        assert_close(&name, &found, &dump.read(&name).1, TOLERANCE);
        let name = format!("guidance.{step}.0");
        assert!(dump.assert_latent(&name, &guidance.added, TOLERANCE));
    }
}
