//! One short edit beside the same edit in PyTorch and diffusers (`tests/peer/torch_edit.py`), with the same random numbers:
//! two LoRA steps, four of fifty timesteps, two iterations of the drag. The numbers of the other program stand in
//! `tests/fixtures/edit/dump.safetensors`.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod fixture;

use dragnext::diffusion::NoiseSource;
use dragnext::diffusion::noise::Draw;
use dragnext::drag_file::DragFile;
use dragnext::geometry::{Frame, Window};
use dragnext::interrupt::Interrupt;
use dragnext::kernels::cpu::Cpu;
use dragnext::model::Model;
use dragnext::model::unet::AdapterPlace;
use dragnext::picture;
use dragnext::pipeline::{Editor, Latents, Outcome, Work};
use dragnext::plan::Plan;
use dragnext::progress::Silent;
use dragnext::settings::{Mode, Overrides, Settings, Start};
use fixture::{Fixture, assert_close, path};

/// The other program's random numbers.
struct Replayed<'a> {
    dump: &'a Fixture,
    step: usize,
}

impl NoiseSource for Replayed<'_> {
    fn adapters(&mut self, places: &[AdapterPlace]) -> Vec<f32> {
        let of = |place: &AdapterPlace, part: &str| self.dump.numbers(&format!("lora.start.{}.{part}.weight", place.name));
        places.iter().flat_map(|place| [of(place, "lora_A"), of(place, "lora_B")].concat()).collect()
    }

    fn fine_tuning(&mut self, batch: usize, len: usize, _: usize) -> Draw {
        let timesteps: Vec<usize> = self.dump.integers(&format!("lora.t.{}", self.step)).into_iter().map(|t| t as usize).collect();
        let noise = self.dump.picture(&format!("lora.noise.{}", self.step)).to_host();
        assert_eq!((timesteps.len(), noise.len()), (batch, batch * len));
        self.step += 1;
        Draw { timesteps, noise }
    }

    fn vacated(&mut self, len: usize) -> Vec<f32> {
        let noise = self.dump.picture("vacated_noise").to_host();
        assert_eq!(noise.len(), len);
        noise
    }
}

fn edit(dump: &Fixture, change: impl Fn(&mut Overrides)) -> (Outcome, Latents<Cpu>) {
    let drag_path = path("edit/drag.json");
    let drag = DragFile::read(&drag_path).unwrap();
    let source = picture::read(&path("edit/input.png")).unwrap().picture;
    let mut given = Overrides { size: Some(80), ..drag.settings.clone() };
    change(&mut given);
    let settings = Settings::resolve(&given).unwrap();
    let model = Model::open(&path("tiny").to_string_lossy(), None).unwrap();
    let plan = Plan::new(&drag, &drag_path, source.size(), &settings, model.native_size()).unwrap();
    let size = source.size();
    assert_eq!(plan.frame, Frame { source: size, window: Window::whole(size), content: size, padded: size }, "nothing is resized");
    let mut editor = Editor::load(Cpu, model, &mut Silent, &Interrupt::never()).unwrap();
    let work = Work { plan: &plan, picture: source.working(&plan.frame), lora: None };
    editor.edit_with_latents(work, &mut Replayed { dump, step: 0 }, &mut Silent, &Interrupt::never()).unwrap()
}

#[test]
fn a_short_edit_agrees_with_the_peer() {
    let dump = Fixture::open("edit/dump.safetensors");
    let (outcome, latents) = edit(&dump, |_| ());

    let trained = outcome.lora.expect("a LoRA was trained");
    let of = |place: &AdapterPlace, part: &str| dump.numbers(&format!("lora.end.{}.{part}.weight", place.name));
    let expected: Vec<f32> = trained.places.iter().flat_map(|place| [of(place, "lora_A"), of(place, "lora_B")].concat()).collect();
    assert_close("LoRA", &trained.parameters, &expected, 1e-2);
    for (name, latent, tolerance) in [
        ("z0", &latents.clean, 1e-4),
        ("z_T", &latents.inverted, 1e-3),
        ("prepared", &latents.prepared, 1e-3),
        ("z_end", &latents.denoised, 1e-2),
    ] {
        assert_close(name, &latent.to_host(), &dump.picture(name).to_host(), tolerance);
    }
    for (iteration, loss) in latents.losses.iter().enumerate() {
        assert_close("loss", &[*loss as f32], &dump.numbers(&format!("drag.loss.0.{iteration}")), 1e-3);
    }
    let decoded: Vec<f32> = dump.picture("decoded").to_host().iter().map(|value| value * 0.5 + 0.5).collect();
    assert_close("picture", &outcome.picture, &decoded, 1e-2);
}

/// Without an optimisation and with the paper's start nothing tells the edit from its reference, and mutual self-attention between
/// equal latents is plain self-attention.
#[test]
fn without_a_drag_the_edit_is_its_reference() {
    let dump = Fixture::open("edit/dump.safetensors");
    let still = |start_layer| {
        let (_, latents) = edit(&dump, |given| {
            given.timesteps = Some(0);
            given.start = Some(Start::Paper);
            given.start_layer = Some(start_layer);
        });
        latents
    };
    let (mutual, plain) = (still(10), still(1000));
    assert_eq!(mutual.inverted.to_host(), mutual.prepared.to_host(), "the paper's start is the inverted latent");
    // Rows of a batch are rounded alike but for where they lie in a tile of a matrix product.
    assert_close("both branches", &mutual.denoised.to_host(), &mutual.reference.to_host(), 1e-5);
    assert_close("with and without mutual attention", &mutual.denoised.to_host(), &plain.denoised.to_host(), 1e-5);
}

/// The paper's own form runs: a sum over all decoder stages, and one intervened timestep more, because its range is inclusive.
#[test]
fn the_literal_mode_runs_to_its_end() {
    let dump = Fixture::open("edit/dump.safetensors");
    let (outcome, latents) = edit(&dump, |given| {
        given.mode = Some(Mode::Literal);
        given.timesteps = Some(1);
    });
    assert_eq!(outcome.steps.drag, 2 * 2, "timesteps 0 and 1, two iterations each");
    assert_eq!(latents.losses.len(), 4);
    assert_eq!(latents.losses[0], 0.0, "eta is 0 at first, and the source is the current latent's own features");
    assert!(latents.losses[1] > 100.0, "a sum, not a mean: {:?}", latents.losses);
}
