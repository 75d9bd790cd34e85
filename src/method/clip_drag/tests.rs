//! The drag's and the text's gradient, their fusion, and the tracked points, against PyTorch (`tests/peer/torch_clip.py`).

use crate::diffusion::Spacing;
use std::sync::{Arc, Mutex};

use super::*;
use crate::diffusion::{Grid, Schedule};
use crate::drag_file::DragFile;
use crate::geometry::Size;
use crate::kernels::cpu::Cpu;
use crate::method::Guide;
use crate::method::parts::{
    Cell, Frozen, MaskStep, MaskTerm, Outputs, PointDrag, PointLog, PointTimestep, Updates,
};
use crate::method::peer_fixture::{Dump, assert_close, fixture};
use crate::model::unet::{Input, NoiseAndFeatures, Prompt};
use crate::model::{ClipModel, Model, UNet, Vae};
use crate::nn::{Shape, Tensor};
use crate::plan::{Choice, Plan, Settings};
use crate::progress::Silent;

/// Everything of the peer's edit that does not change.
struct Bench {
    dump: Dump,
    plan: Plan,
    settings: ClipDragSettings,
    unet: UNet<Cpu>,
    vae: Vae<Cpu>,
    prompt: Prompt<Cpu>,
    schedule: Schedule,
    grid: Grid,
    guide: Guide<'static, Cpu>,
    drags: Vec<PointDrag>,
    frozen: Frozen<Cpu>,
    start: Tensor<Cpu>,
    next: Tensor<Cpu>,
    original: Vec<Tensor<Cpu>>,
}

static ALONE: Mutex<()> = Mutex::new(());

impl Bench {
    fn new() -> Self {
        let dump = Dump::open("clip/edit/dump.safetensors");
        let drag_path = fixture("clip/edit/drag.json");
        let drag = DragFile::read(&drag_path).expect("a valid drag file");
        let mut given = Overrides::from([("size", 80)]);
        given.set("strength", 0.08);
        let choice = Choice {
            method: Some(crate::method::Method::ClipDrag),
            ..Choice::of(given)
        };
        let settings = Settings::resolve(&choice).expect("within bounds");
        let plan = Plan::new(&drag, &drag_path, Size::new(80, 96), &settings, 64)
            .expect("the drag fits the picture");
        let never = Interrupt::never();
        let model =
            Model::open(&fixture("tiny").to_string_lossy(), None).expect("the fixture is a model");
        let unet = model.unet(&Cpu, &never).expect("it has weights");
        let (shape, context) = dump.read("context");
        let context = Tensor::from_host(&Cpu, Shape::new(1, 1, shape[1], shape[2]), context);
        let prompt = unet.prepare(&context);
        let schedule = Schedule::new(model.schedule());
        let grid = schedule.grid(Spacing::Leading, 50, 4);
        let clip = ClipModel::open(&fixture("clip/model").to_string_lossy())
            .and_then(|clip| clip.load(&Cpu, &never))
            .expect("the fixture is a CLIP");
        let text = clip.text(plan.goal()).expect("a short text");
        let clip = Arc::new(clip);
        let start = dump.latent("z_T");
        let t = grid.timesteps[0];
        let want = NoiseAndFeatures::of(&[3]);
        let (noise, original) = unet.forward(Input::at(&start, t as f64, &prompt), want);
        let editable = plan.editable.as_ref().expect("a part is editable");
        Self {
            settings: ClipDragSettings::default(),
            vae: model.vae(&Cpu, &never).expect("it has weights"),
            next: schedule.step(start.clone(), &noise, t, grid.after(t)),
            drags: PointDrag::of_regions(&plan.regions, &plan.frame),
            frozen: Frozen::new(&Cpu, editable, &plan.frame),
            guide: Guide {
                clip,
                text,
                alone: &ALONE,
            },
            dump,
            plan,
            unet,
            prompt,
            schedule,
            grid,
            start,
            original,
        }
    }

    fn timestep(&self) -> PointTimestep<'_, Cpu> {
        let t = self.grid.timesteps[0];
        PointTimestep {
            t,
            frame: &self.plan.frame,
            drags: &self.drags,
            motion: self.settings.motion(),
            source: MotionSource::Original,
            tracking: PointTracking {
                radius: self.settings.track_radius,
                candidates: Candidates::Nearer,
            },
            original: &self.original,
            mask: Some(MaskTerm {
                frozen: &self.frozen,
                step: MaskStep::new(
                    &Cpu,
                    &self.schedule,
                    [t, self.grid.after(t)],
                    self.settings.mask_weight,
                ),
                reference: &self.next,
            }),
            updates: Updates {
                held: Some((&self.frozen, &self.start)),
                lr: self.settings.lr,
                keeps_partial: false,
            },
        }
    }

    fn text_loss(&self) -> TextLoss<'_, Cpu> {
        let (frame, t) = (&self.plan.frame, self.grid.timesteps[0]);
        TextLoss::new(
            &self.guide,
            &self.vae,
            frame,
            &self.settings,
            &self.schedule,
            t,
        )
    }

    fn gradient<'a>(&'a self, never: &'a Interrupt) -> GuidedGradient<'a, Cpu, UNet<Cpu>> {
        GuidedGradient {
            network: &self.unet,
            prompt: &self.prompt,
            taps: &self.settings.taps.0,
            text: self.text_loss(),
            fusion: self.settings.fusion,
            weight: self.settings.fusion_weight,
            interrupt: never,
        }
    }
}

#[test]
fn points_and_the_text_are_those_of_the_peer() {
    let bench = Bench::new();
    let handles = PointDrag::handles(&bench.drags);
    assert_eq!(handles, bench.dump.cells("points.handles"));
    let targets: Vec<Cell> = bench.drags.iter().map(|drag| drag.target).collect();
    assert_eq!(targets, bench.dump.cells("points.targets"));
    let (_, text) = bench.dump.read("clip.text");
    assert_close("text", &bench.guide.text, &text, 1e-5);
}

#[test]
fn both_gradients_and_their_fusion_agree_with_the_peer() {
    let (bench, never) = (Bench::new(), Interrupt::never());
    let (gradient, timestep) = (bench.gradient(&never), bench.timestep());
    let points = PointDrag::handles(&bench.drags);
    let z = &bench.start;
    let mut loss =
        |z: &Tensor<Cpu>, outputs: &Outputs<Cpu>| Some(timestep.loss(z, outputs, &points));
    let both = gradient
        .both(z, timestep.t, 1, &mut loss)
        .expect("finite")
        .expect("the drag goes on");
    let dump = &bench.dump;
    let expected = dump.number("loss.0.0") + dump.number("clip_loss.0.0");
    assert!((both.loss / expected - 1.0).abs() < 1e-5, "{}", both.loss);
    for (name, found) in [
        ("local_gradient.0.0", &both.local),
        ("global_gradient.0.0", &both.global),
    ] {
        let expected = dump.latent(name).to_host();
        assert_close(name, &found.to_host(), &expected, 1e-4);
    }
    let [local, global] = [&both.local, &both.global].map(Tensor::to_host);
    let fused = bench.settings.fusion.fuse(&local, &global, 0.7);
    let cosine = dump.number("clip_cosine.0.0");
    assert!((fused.cosine - cosine).abs() < 1e-4, "{}", fused.cosine);
    let expected = dump.latent("gradient.0.0").to_host();
    // The sum of both gradients may have the errors of both.
    assert_close("gradient.0.0", &fused.gradient, &expected, 2e-4);
}

#[test]
fn the_text_loss_follows_the_peers_latents() {
    let (bench, never) = (Bench::new(), Interrupt::never());
    let text = bench.text_loss();
    let t = bench.grid.timesteps[0];
    for k in 1..12 {
        let z = bench.dump.latent(&format!("latent.0.{}", k - 1));
        let noise = bench.unet.predict(Input::at(&z, t as f64, &bench.prompt));
        let found = text.evaluate(&z, &noise, k, &never).expect("finite");
        let expected = bench.dump.number(&format!("clip_loss.0.{k}"));
        let error = (found.loss / expected - 1.0).abs();
        assert!(error < 1e-5, "{k}: {}, not {expected}", found.loss);
    }
}

/// No decision of the tracker is close: the nearest two features differ by a hundredth.
#[test]
fn latents_and_tracked_points_agree_with_the_peer() {
    let (bench, never) = (Bench::new(), Interrupt::never());
    for iterations in [1, 4, 12] {
        let mut log = PointLog::default();
        let (latent, diverged) = bench
            .timestep()
            .run(
                &bench.start,
                iterations,
                &mut bench.gradient(&never),
                &mut log,
                &mut Silent,
                &never,
            )
            .expect("finite");
        assert!(!diverged);
        let name = format!("latent.0.{}", iterations - 1);
        let expected = bench.dump.latent(&name).to_host();
        assert_close(&name, &latent.to_host(), &expected, 1e-4);
        let grid = bench.plan.frame.supervision_grid();
        let tracks = log.tracks(&bench.drags, &grid);
        for k in 0..iterations {
            let expected = bench.dump.cells(&format!("handles.0.{k}"));
            let expected: Vec<_> = expected.iter().map(|cell| cell.centre(&grid)).collect();
            let found: Vec<_> = tracks.iter().map(|track| track.points[k]).collect();
            assert_eq!(found, expected, "handles at iteration {k}");
        }
    }
}

#[test]
fn an_edit_without_a_text_is_refused_unless_it_has_no_share() {
    let bench = Bench::new();
    let misfits = |settings: &ClipDragSettings, goal: &str| {
        settings.misfits(&Subject {
            regions: &bench.plan.regions,
            frame: &bench.plan.frame,
            editable: None,
            diffusion: &bench.plan.settings.diffusion,
            goal,
            decoder_stages: Some(4),
        })
    };
    let settings = ClipDragSettings::default();
    assert_eq!(misfits(&settings, "a cat"), []);
    assert!(matches!(
        misfits(&settings, " ")[..],
        [Misfit::Prompt { .. }]
    ));
    let alone = ClipDragSettings {
        fusion_weight: 0.0,
        ..settings
    };
    assert_eq!(misfits(&alone, ""), []);
    assert!(!alone.needs().clip && !alone.needs().edit_prompt);
}

#[test]
fn cost_counts_two_backward_passes_for_each_iteration() {
    let settings = ClipDragSettings {
        iterations: 10,
        ..ClipDragSettings::default()
    };
    assert_eq!(
        settings.cost(&DiffusionSettings::default(), 35).passes,
        1 + 10 * 3
    );
    let alone = ClipDragSettings {
        clip_weight: 0.0,
        ..settings
    };
    assert_eq!(
        alone.cost(&DiffusionSettings::default(), 35).passes,
        1 + 10 * 2
    );
}
