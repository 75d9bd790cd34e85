//! One short edit beside the same edit in PyTorch and diffusers (`tests/peer/torch_edit.py`), with the same random numbers:
//! two LoRA steps, four of fifty timesteps, two iterations of the drag. The numbers of the other program stand in
//! `tests/fixtures/edit/dump.safetensors`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test ends where something is not as it should be")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor as Dumped};
use dragnext::diffusion::NoiseSource;
use dragnext::diffusion::noise::Draw;
use dragnext::drag_file::DragFile;
use dragnext::geometry::Frame;
use dragnext::interrupt::Interrupt;
use dragnext::kernels::cpu::Cpu;
use dragnext::model::Model;
use dragnext::model::unet::AdapterPlace;
use dragnext::nn::Tensor;
use dragnext::picture;
use dragnext::pipeline::{Editor, Job, Latents, Outcome};
use dragnext::plan::Plan;
use dragnext::progress::Silent;
use dragnext::settings::{Overrides, Settings, Start};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

struct Dump(HashMap<String, Dumped>);

impl Dump {
    fn read() -> Self {
        Self(candle_core::safetensors::load(fixture("edit/dump.safetensors"), &Device::Cpu).unwrap())
    }

    fn flat(&self, name: &str) -> Vec<f32> {
        let tensor = self.0.get(name).unwrap_or_else(|| panic!("the dump has no `{name}`"));
        tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    /// Pictures stored (b, c, h, w), as (b, h, w, c).
    fn pictures(&self, name: &str) -> Vec<f32> {
        self.0[name].permute((0, 2, 3, 1)).unwrap().contiguous().unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }
}

/// The other program's random numbers.
struct Replayed<'a> {
    dump: &'a Dump,
    step: usize,
}

impl NoiseSource for Replayed<'_> {
    fn adapters(&mut self, places: &[AdapterPlace]) -> Vec<f32> {
        let of = |place: &AdapterPlace, part: &str| self.dump.flat(&format!("lora.start.{}.{part}.weight", place.name));
        places.iter().flat_map(|place| [of(place, "lora_A"), of(place, "lora_B")].concat()).collect()
    }

    fn fine_tuning(&mut self, batch: usize, len: usize, _: usize) -> Draw {
        let timesteps: Vec<usize> = self.dump.flat(&format!("lora.t.{}", self.step)).into_iter().map(|t| t as usize).collect();
        let noise = self.dump.pictures(&format!("lora.noise.{}", self.step));
        assert_eq!((timesteps.len(), noise.len()), (batch, batch * len));
        self.step += 1;
        Draw { timesteps, noise }
    }

    fn vacated(&mut self, len: usize) -> Vec<f32> {
        let noise = self.dump.pictures("vacated_noise");
        assert_eq!(noise.len(), len);
        noise
    }
}

fn edit(dump: &Dump, change: impl Fn(&mut Overrides)) -> (Outcome, Latents<Cpu>) {
    let drag_path = fixture("edit/drag.json");
    let drag = DragFile::read(&drag_path).unwrap();
    let source = picture::read(&fixture("edit/input.png")).unwrap().picture;
    let mut given = Overrides { size: Some(80), ..drag.settings.clone() };
    change(&mut given);
    let settings = Settings::resolve(&given).unwrap();
    let model = Model::open(&fixture("tiny").to_string_lossy(), None).unwrap();
    let plan = Plan::new(&drag, &drag_path, source.size(), &settings, model.native_size()).unwrap();
    assert_eq!(plan.frame, Frame { source: source.size(), content: source.size(), padded: source.size() }, "nothing is resized");
    let mut editor = Editor::load(Cpu, model, &mut Silent).unwrap();
    let job = Job { plan: &plan, picture: source.working(&plan.frame), lora: None };
    editor.edit_with_latents(job, &mut Replayed { dump, step: 0 }, &mut Silent, &Interrupt::never()).unwrap()
}

/// Largest difference over the largest number.
fn distance(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    let largest = theirs.iter().fold(0f32, |largest, x| largest.max(x.abs()));
    ours.iter().zip(theirs).fold(0f32, |most, (a, b)| most.max((a - b).abs())) / largest
}

fn latent_distance(ours: &Tensor<Cpu>, dump: &Dump, name: &str) -> f32 {
    distance(&ours.to_host(), &dump.pictures(name))
}

#[test]
fn a_short_edit_agrees_with_the_peer() {
    let dump = Dump::read();
    let (outcome, latents) = edit(&dump, |_| ());

    let trained = outcome.lora.expect("a LoRA was trained");
    let of = |place: &AdapterPlace, part: &str| dump.flat(&format!("lora.end.{}.{part}.weight", place.name));
    let expected: Vec<f32> = trained.places.iter().flat_map(|place| [of(place, "lora_A"), of(place, "lora_B")].concat()).collect();
    let lora = distance(&trained.parameters, &expected);
    let loss = latents.losses.iter().zip([dump.flat("drag.loss.0.0")[0], dump.flat("drag.loss.0.1")[0]]);
    let loss: Vec<f64> = loss.map(|(ours, theirs)| (ours / f64::from(theirs) - 1.0).abs()).collect();
    let stages = [
        ("z0", latent_distance(&latents.clean, &dump, "z0"), 1e-4),
        ("z_T", latent_distance(&latents.inverted, &dump, "z_T"), 1e-3),
        ("prepared", latent_distance(&latents.prepared, &dump, "prepared"), 1e-3),
        ("z_end", latent_distance(&latents.denoised, &dump, "z_end"), 1e-2),
        ("LoRA", lora, 1e-2),
        ("first loss", loss[0] as f32, 1e-3),
        ("second loss", loss[1] as f32, 1e-2),
    ];
    println!("{stages:?}");
    for (what, distance, bound) in stages {
        assert!(distance <= bound, "{what} is {distance} away, allowed is {bound}");
    }
    let decoded: Vec<f32> = dump.pictures("decoded").iter().map(|value| value * 0.5 + 0.5).collect();
    assert!(distance(&outcome.picture, &decoded) <= 1e-2);
}

/// Without an optimisation and with the paper's start nothing tells the edit from its reference: mutual self-attention between
/// equal latents is plain self-attention, and the hard background keeps equal what is equal.
#[test]
fn without_a_drag_the_edit_is_its_reference() {
    let dump = Dump::read();
    let (_, latents) = edit(&dump, |given| {
        given.timesteps = Some(0);
        given.start = Some(Start::Paper);
    });
    assert_eq!(latents.inverted.to_host(), latents.prepared.to_host(), "the paper's start is the inverted latent");
    let (_, again) = edit(&dump, |given| {
        given.timesteps = Some(0);
        given.start = Some(Start::Paper);
        given.start_layer = Some(1000);
    });
    assert!(distance(&latents.denoised.to_host(), &again.denoised.to_host()) < 1e-5);
}

/// The paper's own form runs: a sum over all decoder stages, and one intervened timestep more, because its range is inclusive.
#[test]
fn the_literal_mode_runs_to_its_end() {
    let dump = Dump::read();
    let (outcome, latents) = edit(&dump, |given| {
        given.mode = Some(dragnext::settings::Mode::Literal);
        given.timesteps = Some(1);
    });
    assert_eq!(outcome.steps.drag, 2 * 2, "timesteps 0 and 1, two iterations each");
    assert_eq!(latents.losses.len(), 4);
    assert_eq!(latents.losses[0], 0.0, "eta is 0 at first, and the source is the current latent's own features");
    assert!(latents.losses[1] > 100.0, "a sum, not a mean: {:?}", latents.losses);
}
