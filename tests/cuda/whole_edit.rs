//! Whole edits on the CUDA backend: against PyTorch and diffusers, from the cache, and side by
//! side.

use dragnext::cache::{Cache, CacheLocation};
use dragnext::diffusion::Seeded;
use dragnext::drag_file::DragFile;
use dragnext::interrupt::Interrupt;
use dragnext::kernels::cuda::Cuda;
use dragnext::kernels::cuda::driver::Format;
use dragnext::model::Model;
use dragnext::picture::{self, Picture};
use dragnext::pipeline::{EditRequest, Pipeline, WarpedWork, Work};
use dragnext::plan::Plan;
use dragnext::plan::{Choice, Settings};
use dragnext::progress::{Silent, Stage};
use dragnext::settings::Overrides;
use dragnext::warp::Warped;

use super::compiled::available;
use super::emulated::{ConvolutionSupport, Emulated};
use crate::bench::fixture::short_edit::{assert_peers, try_edit};
use crate::bench::fixture::{Fixture, assert_close, path};

#[test]
fn a_short_edit_agrees_with_pytorch() {
    if !available("a_short_edit_agrees_with_pytorch") {
        return;
    }
    let dump = Fixture::open("edit/dump.safetensors");
    // Tolerances of LoRA and final latent, of the encoded latent, of the inverted latent, and of
    // the losses.
    for (format, tolerances) in [
        (Format::F32, [1e-2, 1e-4, 1e-3, 1e-3]),
        (Format::F16, [5e-2, 1e-4, 1e-2, 1e-2]),
    ] {
        let cuda = Cuda::new(Emulated::new(ConvolutionSupport::Full), format);
        let (outcome, latents) = try_edit(cuda, &dump, |_| ()).expect("the edit succeeds");
        assert_peers(&dump, &outcome, &latents, tolerances);
    }
}

/// A picture and a drag file.
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
        let settings =
            Settings::resolve(&Choice::of(given.over(&few))).expect("the settings are valid");
        Plan::new(
            &self.drag,
            &path("edit/drag.json"),
            self.source.size(),
            &settings,
            model().native_size(),
        )
        .expect("the plan is valid")
    }

    fn work<'a>(&self, plan: &'a Plan) -> Work<'a> {
        Work {
            plan,
            picture: self.source.working(&plan.frame),
            warped: Some(WarpedWork::new(
                &Warped::new(&self.source, plan),
                &plan.frame,
            )),
            lora: None,
        }
    }
}

fn model() -> Model {
    Model::open(&path("tiny").to_string_lossy(), None).expect("the fixture is a model")
}

fn editor(format: Format) -> Pipeline<Cuda> {
    let cuda = Cuda::new(Emulated::new(ConvolutionSupport::Full), format);
    Pipeline::load(cuda, model(), &mut Silent, &Interrupt::never())
        .expect("the fixture has weights")
}

/// Cached results are uploaded again, and the loss scale of the next stage does not depend on
/// whether the LoRA was trained in this run.
#[test]
fn an_edit_from_the_cache_is_bitwise_equal() {
    if !available("an_edit_from_the_cache_is_bitwise_equal") {
        return;
    }
    let scene = Scene::read();
    let plan = scene.plan(&Overrides::from([("lora_steps", 2.0), ("strength", 0.06)]));
    let folder = tempfile::tempdir().expect("a temporary folder can be created");
    let edit = |cached: bool| {
        let mut editor = editor(Format::F16);
        if cached {
            editor
                .use_cache(Cache::new(CacheLocation {
                    folder: folder.path().into(),
                    limit: 1 << 30,
                }))
                .expect("the model has a configuration");
        }
        editor
            .edit(
                scene.work(&plan),
                &mut Seeded::of(&plan.settings.diffusion, &plan.settings.lora),
                &mut Silent,
                &Interrupt::never(),
            )
            .expect("the edit succeeds")
    };
    let uncached = edit(false);
    for expected in [&[][..], &[Stage::Lora, Stage::Invert]] {
        let outcome = edit(true);
        assert_eq!(
            (outcome.cached.as_slice(), outcome.warnings.len()),
            (expected, 0)
        );
        assert!(
            outcome.picture == uncached.picture,
            "with {expected:?} from the cache"
        );
    }
}

/// Network requests of two pictures are batched, each with its own LoRA merged into the weights.
#[test]
fn edits_side_by_side_agree_with_single_edits() {
    if !available("edits_side_by_side_agree_with_single_edits") {
        return;
    }
    let scene = Scene::read();
    let given = |seed: u32| {
        let seed = f64::from(seed);
        Overrides::from([("seed", seed), ("lora_steps", 1.0), ("strength", 0.04)])
    };
    let plans = [3, 4].map(|seed| scene.plan(&given(seed)));
    // In f16 all pictures share one loss scale, and the first steps of Adam amplify rounding. The
    // difference between f16 and f32 for one picture is as large.
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
                .expect("the edit succeeds")
                .picture
        });
        assert!(alone[0] != alone[1], "the seeds give different pictures");
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
                &outcome.expect("the edit succeeds").picture,
                alone,
                tolerance,
            );
        }
    }
}
