//! What an edit is planned to cost is what it costs: a network that counts its passes, in edits of every method.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use super::cost::passes_by_stage;
use super::{Pipeline, WarpedWork, Work, edit};
use crate::diffusion::Seeded;
use crate::drag_file::DragFile;
use crate::interrupt::Interrupt;
use crate::kernels::cpu::Cpu;
use crate::method::Method;
use crate::model::Model;
use crate::model::unet::Counted;
use crate::picture;
use crate::plan::{Choice, Plan, Settings};
use crate::progress::{Progress, Silent, Stage};
use crate::settings::Overrides;
use crate::warp::Warped;

/// Passes of each stage, from a counter.
struct PassesByStage<'a> {
    passes: &'a AtomicUsize,
    before: usize,
    stages: Vec<(Stage, usize)>,
}

impl Progress for PassesByStage<'_> {
    fn begin(&mut self, stage: Stage, _: usize) {
        self.before = self.passes.load(Ordering::Relaxed);
        self.stages.push((stage, 0));
    }

    fn step(&mut self, _: Option<f64>) {}

    fn end(&mut self) {
        let passes = self.passes.load(Ordering::Relaxed) - self.before;
        self.stages.last_mut().expect("a stage began").1 += passes;
    }
}

/// Edits the picture of `tests/fixtures/points`, whose points do not arrive in so few iterations, with the tiny model, and compares the passes of each stage
/// with the planned ones.
fn check(method: Method, given: &[(&'static str, Value)]) {
    let folder = Path::new("tests/fixtures/points");
    let drag_path = folder.join("drag.json");
    let drag = DragFile::read(&drag_path).expect("a valid file");
    let source = picture::read(&folder.join("input.png")).expect("a picture");
    let mut values = Overrides::from([("size", 80), ("steps", 50), ("lora_steps", 0)]);
    values.set("strength", 0.08);
    for (name, value) in given {
        values.set(name, value.clone());
    }
    let name = format!("{} {given:?}", method.name());
    let choice = Choice {
        method: Some(method),
        values,
    };
    let settings = Settings::resolve(&choice).unwrap_or_else(|error| panic!("{name}: {error}"));
    let source = source.picture;
    let plan = Plan::new(&drag, &drag_path, source.size(), &settings, 64).expect("it fits");
    let model = Model::open("tests/fixtures/tiny", None).expect("the tiny model");
    let model = model.with_clip(Some("tests/fixtures/clip/model".into()));
    let interrupt = &Interrupt::never();
    let Pipeline {
        unet, components, ..
    } = Pipeline::load(Cpu, model, &mut Silent, interrupt).expect("it loads");
    let warped = Warped::new(&source, &plan);
    let work = Work {
        plan: &plan,
        picture: source.working(&plan.frame),
        warped: Some(WarpedWork::new(&warped, &plan.frame)),
        lora: None,
    };
    let passes = &AtomicUsize::new(0);
    let mut network = Counted {
        network: unet,
        passes,
    };
    let mut progress = PassesByStage {
        passes,
        before: 0,
        stages: Vec::new(),
    };
    let noise = &mut Seeded::new(3);
    let ended = edit::run(
        &components,
        &mut network,
        work,
        &[1.0],
        None,
        noise,
        &mut progress,
        interrupt,
        &mut |_, _| Ok(()),
    );
    ended.unwrap_or_else(|error| panic!("{name}: {error}"));
    for (stage, planned) in passes_by_stage(&settings) {
        let made = progress.stages.iter().filter(|(other, _)| *other == stage);
        let made: usize = made.map(|(_, passes)| passes).sum();
        assert_eq!(made as f64, planned, "passes of {stage:?}, {name}");
    }
    let outside: usize = (progress.stages.iter())
        .filter(|(stage, _)| [Stage::Encode, Stage::Decode].contains(stage))
        .map(|(_, passes)| passes)
        .sum();
    assert_eq!(outside, 0, "{name}");
}

#[test]
fn pbsi_costs_what_it_plans() {
    let short = [("timesteps", 2.into()), ("iterations", 2.into())];
    let with = |name, value: &str| [&short[..], &[(name, value.into())]].concat();
    check(Method::Pbsi, &short);
    check(Method::Pbsi, &with("features", "original"));
    check(Method::Pbsi, &with("start", "moved"));
    check(Method::Pbsi, &with("start", "paper"));
    check(Method::Pbsi, &with("mode", "literal"));
    check(Method::Pbsi, &with("mode", "literal-strict"));
    check(Method::Pbsi, &with("trajectory", "denoised"));
    for text in ["clean", "code", "joint"] {
        check(Method::Pbsi, &with("text_optimisation", text));
    }
    let trained = [
        ("lora_steps", 2.into()),
        ("lora_batch", 3.into()),
        ("lora_rank", 1.into()),
    ];
    check(Method::Pbsi, &[&short[..], &trained].concat());
    // More timesteps than the grid has.
    check(
        Method::Pbsi,
        &[("timesteps", 9.into()), ("iterations", 1.into())],
    );
}

#[test]
fn methods_that_drag_points_cost_what_they_plan() {
    for text in ["off", "clean", "code", "joint"] {
        let text = ("text_optimisation", text.into());
        let short = [text.clone(), ("iterations", 3.into())];
        check(Method::DragDiffusion, &short);
        let short = [
            text,
            ("iterations", 2.into()),
            ("tracks", 2.into()),
            ("timesteps", 2.into()),
        ];
        check(Method::GoodDrag, &short);
    }
    check(
        Method::DragDiffusion,
        &[("iterations", 2.into()), ("trajectory", "kept".into())],
    );
    check(
        Method::GoodDrag,
        &[
            ("iterations", 1.into()),
            ("tracks", 1.into()),
            ("trajectory", "kept".into()),
        ],
    );
    check(Method::ClipDrag, &[("iterations", 3.into())]);
    check(Method::FreeDrag, &[("iterations", 4.into())]);
    let places = [("iterations", 4.into()), ("place_iterations", 1.into())];
    check(Method::FreeDrag, &places);
    let short = [("iterations", 3.into()), ("free_steps", 1.into())];
    check(Method::DragNoise, &short);
    let kept = [("trajectory", "kept".into()), ("start_layer", 10.into())];
    check(Method::DragNoise, &[&short[..], &kept].concat());
    check(
        Method::ClipDrag,
        &[("iterations", 3.into()), ("fusion_weight", 0.0.into())],
    );
}

#[test]
fn methods_without_an_optimisation_cost_what_they_plan() {
    check(Method::RegionDrag, &[]);
    check(Method::RegionDrag, &[("copies", "picture".into())]);
    check(Method::RegionDrag, &[("detail", 1.0.into())]);
    check(Method::FastDrag, &[]);
    check(Method::FastDrag, &[("trajectory", "kept".into())]);
    check(Method::FastDrag, &[("empty_cells", "noise".into())]);
}

#[test]
fn methods_with_energy_guidance_cost_what_they_plan() {
    for method in [Method::DragonDiffusion, Method::DiffEditor] {
        // Twenty steps: enough for time travel.
        let short = ("strength", 0.4.into());
        let with = |name, value: Value| [short.clone(), (name, value)];
        check(method, std::slice::from_ref(&short));
        check(method, &with("trajectory", "kept".into()));
        check(method, &with("guidance_scale", 1.into()));
        check(method, &with("energy_scale", 0.into()));
        check(method, &with("content_weight", 0.into()));
        check(method, &with("guided_share", 0.3.into()));
    }
    let travels = ("travels", 5.into());
    check(Method::DiffEditor, &[("strength", 0.4.into()), travels]);
}

/// The cost of the papers' own settings. A backward pass counts as a forward pass, and a LoRA step has four pictures.
#[test]
fn the_defaults_cost_what_the_papers_do() {
    for (method, [lora, invert, drag, denoise]) in [
        // Section 4.1: 80 LoRA steps, 35 of 50 steps, 80 iterations at one timestep, a batch of two.
        (Method::DragDiffusion, [640, 35, 1 + 80 * 2, 35 * 2]),
        // 70 LoRA steps, 38 of 50 steps, of which 7 have 10 trackings of 3 iterations each.
        (
            Method::GoodDrag,
            [560, 38, 7 * 2 + 7 * 10 * 3 * 2, (38 - 7) * 2],
        ),
        // 200 LoRA steps, 35 of 50 steps, 300 iterations at one timestep.
        (Method::FreeDrag, [1600, 35, 1 + 300 * 2, 35 * 2]),
        // 60 LoRA steps, 35 of 50 steps, 60 iterations at one timestep.
        (Method::DragNoise, [480, 35, 1 + 60 * 2, 35 * 2]),
        // 10 of 20 steps up and down again.
        (Method::RegionDrag, [0, 0, 20, 0]),
        // 7 of 10 steps.
        (Method::FastDrag, [0, 0, 14, 0]),
        // 50 steps up and, with an empty and a full prompt, down again; 30 of them guided.
        (
            Method::DragonDiffusion,
            [0, 0, 50 + 50 * 2 + 30 * (1 + 1 + 2), 0],
        ),
        // 20 steps guided, 4 of them made three times, with a step back between.
        (
            Method::DiffEditor,
            [0, 0, 50 + 58 * 2 + 8 + 20 + 28 * (1 + 2), 0],
        ),
    ] {
        let choice = Choice {
            method: Some(method),
            values: Overrides::default(),
        };
        let settings = Settings::resolve(&choice).expect("the defaults are within bounds");
        let passes: Vec<f64> = passes_by_stage(&settings)
            .into_iter()
            .map(|(_, passes)| passes)
            .collect();
        let expected = [lora, invert, drag, denoise].map(f64::from);
        assert_eq!(passes, expected, "{}", method.name());
    }
}
