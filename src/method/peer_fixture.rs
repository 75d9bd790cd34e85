//! Edits of PyTorch (`tests/peer`) for tests of a method's parts: their tensors, and the scene that a method gets, with the same random numbers.

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;

use super::parts::Cell;
use super::{Method, Scene};
use crate::diffusion::invert::Trajectory;
use crate::diffusion::noise::Draw;
use crate::diffusion::{Grid, NoiseSource, Schedule, Stream};
use crate::drag_file::DragFile;
use crate::interrupt::Interrupt;
use crate::kernels::cpu::Cpu;
use crate::model::unet::{AdapterPlace, Network, Prompt};
use crate::model::{Model, UNet, Vae};
use crate::nn::{Shape, Tensor};
use crate::picture;
use crate::plan::{Choice, Plan, Settings};
use crate::settings::Overrides;

/// Returns a path in `tests/fixtures`.
pub(super) fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(path)
}

/// Tensors of PyTorch.
pub(super) struct Dump(Vec<u8>);

impl Dump {
    pub(super) fn open(path: &str) -> Self {
        Self(std::fs::read(fixture(path)).expect("the fixture is there"))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        let file = SafeTensors::deserialize(&self.0).expect("the fixture is whole");
        file.tensor(name).is_ok()
    }

    /// Returns the shape and the values of a tensor.
    pub(super) fn read(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let file = SafeTensors::deserialize(&self.0).expect("the fixture is whole");
        let tensor = file.tensor(name).unwrap_or_else(|_| panic!("no {name}"));
        let values = tensor.data().chunks_exact(4);
        let values = values.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        (tensor.shape().to_vec(), values.collect())
    }

    pub(super) fn number(&self, name: &str) -> f64 {
        f64::from(self.read(name).1[0])
    }

    /// Returns (1, channels, height, width) as (1, height, width, channels).
    pub(super) fn latent(&self, name: &str) -> Tensor<Cpu> {
        let (shape, values) = self.read(name);
        let [_, channels, height, width] = shape[..] else {
            panic!("{name} is no latent")
        };
        let at = |at: usize| values[at % channels * height * width + at / channels];
        let values = (0..values.len()).map(at).collect();
        Tensor::from_host(&Cpu, Shape::new(1, height, width, channels), values)
    }

    /// Returns rows and columns of cells.
    pub(super) fn cells(&self, name: &str) -> Vec<Cell> {
        let (_, values) = self.read(name);
        let cell = |pair: &[f32]| Cell {
            row: pair[0] as usize,
            column: pair[1] as usize,
        };
        values.chunks_exact(2).map(cell).collect()
    }

    /// Asserts that a latent agrees with that of the peer, if the fixture has it; returns whether it has.
    pub(super) fn assert_latent(&self, name: &str, found: &Tensor<Cpu>, tolerance: f64) -> bool {
        let has = self.has(name);
        if has {
            assert_close(
                name,
                &found.to_host(),
                &self.latent(name).to_host(),
                tolerance,
            );
        }
        has
    }
}

/// Asserts that no number is off by more than `tolerance` of the largest.
pub(super) fn assert_close(what: &str, found: &[f32], expected: &[f32], tolerance: f64) {
    let pairs = || found.iter().zip(expected);
    let largest = expected.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    let error = pairs().fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
    assert_eq!(found.len(), expected.len(), "{what}");
    assert!(
        f64::from(error) <= tolerance * f64::from(largest),
        "{what}: off by {:.1e} of the largest",
        error / largest
    );
}

/// The peer's random numbers.
pub(super) struct Replayed<'a> {
    dump: &'a Dump,
    draws: usize,
}

impl NoiseSource for Replayed<'_> {
    fn adapters(&mut self, _: &[AdapterPlace]) -> Vec<f32> {
        panic!("the peer's edit has no LoRA")
    }

    fn fine_tuning(&mut self, _: usize, _: usize, _: usize) -> Draw {
        panic!("the peer's edit has no LoRA")
    }

    fn normal(&mut self, stream: Stream, len: usize) -> Vec<f32> {
        // A stream of several draws is numbered.
        let name = format!("{}_noise", stream.name());
        let numbered = format!("{name}.{}", self.draws);
        self.draws += 1;
        let has = self.dump.has(&numbered);
        let noise = self.dump.latent(if has { &numbered } else { &name });
        assert_eq!(noise.shape().len(), len);
        noise.to_host()
    }
}

/// Everything of a peer's edit that does not change.
pub(super) struct PeerEdit {
    pub(super) dump: Dump,
    pub(super) plan: Plan,
    pub(super) unet: UNet<Cpu>,
    pub(super) schedule: Schedule,
    pub(super) grid: Grid,
    vae: Vae<Cpu>,
    context: Tensor<Cpu>,
    unconditional: Tensor<Cpu>,
    words: usize,
    prompt: Prompt<Cpu>,
    trajectory: Trajectory<Cpu>,
    new: Vec<f32>,
}

impl PeerEdit {
    /// Opens the edit of `drag.json` in a folder of `tests/fixtures` with the tiny model and these settings, whose clean latent is the peer's.
    pub(super) fn open(folder: &str, dump: &str, method: Method, given: &Overrides) -> Self {
        let never = Interrupt::never();
        let dump = Dump::open(&format!("{folder}/{dump}"));
        let drag_path = fixture(folder).join("drag.json");
        let drag = DragFile::read(&drag_path).expect("a valid drag file");
        let mut values = given.over(&drag.settings);
        values.set("size", 80);
        let choice = Choice {
            method: Some(method),
            values,
        };
        let settings = Settings::resolve(&choice).expect("within bounds");
        let source = picture::read(&fixture(folder).join("input.png")).expect("a picture");
        let plan = Plan::new(&drag, &drag_path, source.picture.size(), &settings, 64)
            .expect("the drag fits the picture");
        let tiny = fixture("tiny");
        let model = Model::open(&tiny.to_string_lossy(), None).expect("the fixture is a model");
        let unet = model.unet(&Cpu, &never).expect("it has weights");
        let (tokenizer, text_encoder) = model.text(&never).expect("it has a text encoder");
        let tokens = tokenizer.encode(&plan.prompt, text_encoder.positions());
        let tokens = tokens.expect("a short prompt");
        let context = text_encoder.encode(&Cpu, &tokens).expect("it is finite");
        let empty = tokenizer.encode("", text_encoder.positions());
        let empty = empty.expect("it is no long prompt");
        let unconditional = text_encoder.encode(&Cpu, &empty).expect("it is finite");
        let schedule = Schedule::new(model.schedule());
        let grid = schedule.grid(
            settings.method.needs().spacing,
            settings.diffusion.steps,
            settings.executed_steps(),
        );
        Self {
            prompt: unet.prepare(&context),
            words: tokenizer.words(&tokens),
            vae: model.vae(&Cpu, &never).expect("it has weights"),
            trajectory: Trajectory::of_clean(dump.latent("z0")),
            new: vec![0.0; plan.frame.latent_grid().len()],
            dump,
            plan,
            unet,
            schedule,
            grid,
            context,
            unconditional,
        }
    }

    /// Returns the peer's random numbers, from the first on.
    pub(super) fn noise(&self) -> Replayed<'_> {
        Replayed {
            dump: &self.dump,
            draws: 0,
        }
    }

    /// Returns the scene that a method with an inversion of its own gets.
    pub(super) fn scene<'a>(&'a self, noise: &'a mut dyn NoiseSource) -> Scene<'a, Cpu, UNet<Cpu>> {
        Scene {
            network: &self.unet,
            vae: &self.vae,
            guide: None,
            prompt: &self.prompt,
            context: &self.context,
            unconditional: Some(&self.unconditional),
            words: self.words,
            schedule: &self.schedule,
            grid: &self.grid,
            diffusion: &self.plan.settings.diffusion,
            regions: &self.plan.regions,
            frame: self.plan.frame,
            editable: self.plan.editable.as_ref(),
            trajectory: &self.trajectory,
            original: &self.trajectory,
            new: &self.new,
            noise,
        }
    }
}
