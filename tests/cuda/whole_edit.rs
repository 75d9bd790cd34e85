//! A short edit on a GPU beside the same edit in PyTorch and diffusers.

use dragnext::cache::{Cache, CacheLocation};
use dragnext::diffusion::Seeded;
use dragnext::drag_file::DragFile;
use dragnext::interrupt::Interrupt;
use dragnext::kernels::cuda::Cuda;
use dragnext::kernels::cuda::driver::Format;
use dragnext::model::Model;
use dragnext::picture::{self, Picture};
use dragnext::pipeline::{EditRequest, Pipeline, Work};
use dragnext::plan::Plan;
use dragnext::plan::{Choice, Settings};
use dragnext::progress::{Silent, Stage};
use dragnext::settings::Overrides;

use super::compiled::available;
use super::emulated::{Emulated, Library};
use crate::bench::fixture::short_edit::{assert_peers, try_edit};
use crate::bench::fixture::{Fixture, assert_close, path};

#[test]
fn a_short_edit_agrees_with_the_peer() {
    if !available("a_short_edit_agrees_with_the_peer") {
        return;
    }
    let dump = Fixture::open("edit/dump.safetensors");
    // Of the LoRA and the end, of the picture's latent, of the inverted one, and of the losses.
    for (format, tolerances) in [
        (Format::F32, [1e-2, 1e-4, 1e-3, 1e-3]),
        (Format::F16, [5e-2, 1e-4, 1e-2, 1e-2]),
    ] {
        let cuda = Cuda::new(Emulated::new(Library::Whole), format);
        let (outcome, latents) = try_edit(cuda, &dump, |_| ()).expect("the edit is done");
        assert_peers(&dump, &outcome, &latents, tolerances);
    }
}

/// A picture with a drag, and a short edit of it.
struct Scene {
    drag: DragFile,
    source: Picture,
}

impl Scene {
    fn read() -> Self {
        let drag = DragFile::read(&path("edit/drag.json")).expect("the fixture is a drag file");
        Self {
            drag,
            source: picture::read(&path("edit/input.png"))
                .expect("the fixture is a picture")
                .picture,
        }
    }

    fn plan(&self, given: &Overrides) -> Plan {
        let few = Overrides::from([("size", 64), ("timesteps", 1), ("iterations", 2)]);
        let settings = Settings::resolve(&Choice::of(given.over(&few))).expect("within bounds");
        Plan::new(
            &self.drag,
            &path("edit/drag.json"),
            self.source.size(),
            &settings,
            model().native_size(),
        )
        .expect("a good plan")
    }

    fn work<'a>(&self, plan: &'a Plan) -> Work<'a> {
        Work {
            plan,
            picture: self.source.working(&plan.frame),
            lora: None,
        }
    }
}

fn model() -> Model {
    Model::open(&path("tiny").to_string_lossy(), None).expect("the fixture is a model")
}

fn editor(format: Format) -> Pipeline<Cuda> {
    let cuda = Cuda::new(Emulated::new(Library::Whole), format);
    Pipeline::load(cuda, model(), &mut Silent, &Interrupt::never()).expect("it has weights")
}

/// What comes from the cache is uploaded again, and the next stage starts with gradients as large as if the LoRA had been trained.
#[test]
fn an_edit_from_the_cache_has_the_same_bits() {
    if !available("an_edit_from_the_cache_has_the_same_bits") {
        return;
    }
    let scene = Scene::read();
    let plan = scene.plan(&Overrides::from([("lora_steps", 2.0), ("strength", 0.06)]));
    let folder = tempfile::tempdir().expect("room for a folder");
    let edit = |cached: bool| {
        let mut editor = editor(Format::F16);
        if cached {
            editor
                .use_cache(Cache::new(CacheLocation {
                    folder: folder.path().into(),
                    limit: 1 << 30,
                }))
                .expect("it has a configuration");
        }
        editor
            .edit(
                scene.work(&plan),
                &mut Seeded::of(&plan.settings.diffusion, &plan.settings.lora),
                &mut Silent,
                &Interrupt::never(),
            )
            .expect("the edit is done")
    };
    let anew = edit(false);
    for expected in [&[][..], &[Stage::Lora, Stage::Invert]] {
        let outcome = edit(true);
        assert_eq!(
            (outcome.cached.as_slice(), outcome.warnings.len()),
            (expected, 0)
        );
        assert!(
            outcome.picture == anew.picture,
            "with {expected:?} from the cache"
        );
    }
}

/// What two pictures ask of the network is computed in one call, each with its own LoRA in the weights.
#[test]
fn edits_side_by_side_are_those_of_each_alone() {
    if !available("edits_side_by_side_are_those_of_each_alone") {
        return;
    }
    let scene = Scene::read();
    let given = |seed: u32| {
        let seed = f64::from(seed);
        Overrides::from([("seed", seed), ("lora_steps", 1.0), ("strength", 0.04)])
    };
    let plans = [3, 4].map(|seed| scene.plan(&given(seed)));
    // In f16 all share one gradient scale, and the first steps of Adam make much of roundings: f16 alone is as far from f32.
    for (format, tolerance) in [(Format::F32, 1e-4), (Format::F16, 2e-2)] {
        let alone = plans.each_ref().map(|plan| {
            let mut noise = Seeded::of(&plan.settings.diffusion, &plan.settings.lora);
            editor(format)
                .edit(
                    scene.work(plan),
                    &mut noise,
                    &mut Silent,
                    &Interrupt::never(),
                )
                .expect("the edit is done")
                .picture
        });
        assert!(alone[0] != alone[1], "each has a LoRA of its own");
        let (mut noise, mut progress) = (
            plans
                .each_ref()
                .map(|plan| Seeded::of(&plan.settings.diffusion, &plan.settings.lora)),
            [Silent, Silent],
        );
        let edits = plans.iter().zip(&mut noise).zip(&mut progress);
        let edits = edits
            .map(|((plan, noise), progress)| EditRequest {
                work: scene.work(plan),
                noise,
                progress,
            })
            .collect();
        for (outcome, alone) in editor(format)
            .edit_many(edits, &Interrupt::never())
            .into_iter()
            .zip(&alone)
        {
            assert_close(
                &format!("{format:?}, side by side"),
                &outcome.expect("the edit is done").picture,
                alone,
                tolerance,
            );
        }
    }
}
