//! Runs the calls on a model.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use dragnext::diffusion::finetune::{Subject, gradient};
use dragnext::diffusion::{NoiseSource, Schedule, Seeded};
use dragnext::interrupt::Interrupt;
use dragnext::kernels::{Backend, GraphFigures};
use dragnext::model::config::UNetConfig;
use dragnext::model::unet::{
    AdapterPlace, Context as PromptContext, Features, Input, Network, Noise, NoiseAndFeatures,
};
use dragnext::model::vae::DOWNSCALE;
use dragnext::model::{Model, Source, UNet, Vae};
use dragnext::nn::{Mutual, Tensor};

use crate::call::{Call, Run};
use crate::cost::Meter;
use crate::edit::Edit;
use crate::inputs::{Inputs, LoraInput, TAP};
use crate::reference::{Agreement, Reference};

/// The first self-attention layer in which one picture reads the keys and values of the other.
const MUTUAL_START: usize = 10;
/// Rank of the LoRA, if there is no reference.
const LORA_RANK: usize = 16;

/// The part of the model that is loaded. Only one is loaded at a time, so that two programs with a model of full size fit into memory.
struct Loaded<B: Backend> {
    unet: Option<Box<UNet<B>>>,
    vae: Option<Box<Vae<B>>>,
    edit: Option<Box<Edit<B>>>,
}

impl<B: Backend> Loaded<B> {
    fn none() -> Self {
        Self {
            unet: None,
            vae: None,
            edit: None,
        }
    }
}

/// A model, and the inputs of its calls.
pub(crate) struct Calls<B: Backend> {
    backend: B,
    name: String,
    model: Model,
    inputs: Inputs<B>,
    reference: Reference,
    edit: Option<[PathBuf; 2]>,
    loaded: Loaded<B>,
    last: Option<Call>,
}

impl<B: Backend> Calls<B> {
    /// `name` is a model as on the command line, `edit` a picture and its drag file.
    pub(crate) fn new(
        backend: B,
        name: &str,
        size: usize,
        reference: Reference,
        edit: Option<[PathBuf; 2]>,
    ) -> Result<Self> {
        let config = UNetConfig::read(&Source::parse(name)?)?;
        let inputs = Inputs::new(&backend, &config, size, &reference)?;
        let model = Model::open(name, None)?;
        Ok(Self {
            backend,
            name: name.to_owned(),
            model,
            inputs,
            reference,
            edit,
            loaded: Loaded::none(),
            last: None,
        })
    }

    /// Returns width and height of the pictures of the latents.
    pub(crate) fn size(&self) -> [usize; 2] {
        let latents = self.inputs.latents.shape();
        [latents.width, latents.height].map(|cells| DOWNSCALE * cells)
    }

    /// Returns the floating-point operations of a call, if the reference has them.
    pub(crate) fn flop(&self, call: Call) -> Option<f64> {
        self.reference.flop(&call.name())
    }

    /// Returns the convolutions that a library of the device refused so far.
    pub(crate) fn refused_convolutions(&self) -> Vec<String> {
        self.backend.refused_convolutions()
    }

    /// Returns what became of repeated passes, if graphs of them are requested.
    pub(crate) fn graphs(&self) -> Option<GraphFigures> {
        self.backend.graphs()
    }

    /// Runs a call once. Loading and preparation are not measured.
    pub(crate) fn run(&mut self, call: Call) -> Result<Run> {
        if self.last.replace(call) != Some(call) {
            // Memory that another call used does not count as memory of this one.
            self.backend.trim();
        }
        match call {
            Call::VaeEncode | Call::VaeDecode => self.run_vae(call),
            Call::Edit => self.run_edit(),
            Call::Lora => self.run_lora(),
            Call::AdaptersB1 => self.run_adapters(),
            Call::Prompt => self.run_prompt(),
            _ => self.run_unet(call),
        }
    }

    fn unet(&mut self) -> Result<(&mut UNet<B>, &Inputs<B>)> {
        let unet = if let Some(unet) = self.loaded.unet.take() {
            unet
        } else {
            self.loaded = Loaded::none();
            let unet = self.model.unet(&self.backend, &Interrupt::never())?;
            Box::new(unet)
        };
        Ok((self.loaded.unet.insert(unet), &self.inputs))
    }

    fn run_unet(&mut self, call: Call) -> Result<Run> {
        let backend = self.backend.clone();
        let (unet, inputs) = self.unet()?;
        let batch = if matches!(call, Call::UnetB2 | Call::UnetMutualB2) {
            2
        } else {
            1
        };
        let part = |x: &Tensor<B>| if batch == 2 { x.clone() } else { x.picture(0) };
        let (z, context, timesteps) = (
            part(&inputs.latents),
            part(&inputs.context),
            &inputs.timesteps[..batch],
        );
        let prompt = (call == Call::UnetPrepared).then(|| unet.prepare(&context));
        let context = prompt
            .as_ref()
            .map_or_else(|| PromptContext::from(&context), PromptContext::from);
        let mut input = Input::new(&z, timesteps, context);
        if call == Call::UnetMutualB2 {
            input = input.with_mutual(Mutual {
                start_layer: MUTUAL_START,
                sources: vec![0, 0],
            });
        }
        let meter = Meter::start(&backend);
        let outputs = match call {
            Call::Drag => {
                let pass = unet.record(input, Features::of(&[TAP]));
                let features = pass.outputs().clone();
                let gradient = pass.backward(vec![inputs.d_tap.clone()], 1.0);
                vec![("tap", features[0].clone()), ("gradient", gradient)]
            }
            Call::DragNoise => {
                let pass = unet.record(input, NoiseAndFeatures::of(&[TAP]));
                let (noise, features) = pass.outputs().clone();
                let gradients = (inputs.d_noise.clone(), vec![inputs.d_tap.clone()]);
                let gradient = pass.backward(gradients, 1.0);
                let tap = features[0].clone();
                vec![("noise", noise), ("tap", tap), ("gradient", gradient)]
            }
            _ => vec![("noise", unet.predict(input))],
        };
        let cost = meter.stop();
        Ok(Run {
            cost,
            stages: Vec::new(),
            outputs: outputs
                .into_iter()
                .map(|(name, x)| (name, x.to_host()))
                .collect(),
        })
    }

    fn run_prompt(&mut self) -> Result<Run> {
        let backend = self.backend.clone();
        let (unet, inputs) = self.unet()?;
        let tokens = inputs.context.picture(0);
        let meter = Meter::start(&backend);
        unet.prepare(&tokens);
        Ok(Run {
            cost: meter.stop(),
            stages: Vec::new(),
            outputs: Vec::new(),
        })
    }

    fn run_adapters(&mut self) -> Result<Run> {
        let backend = self.backend.clone();
        let (unet, _) = self.unet()?;
        let parameters = Tensor::vector(
            &backend,
            Seeded::new(9).adapters(&unet.attach_adapters(LORA_RANK)),
        );
        let (unet, inputs) = self.unet()?;
        let (z, context) = (inputs.latents.picture(0), inputs.context.picture(0));
        let mut gradient = Tensor::zeros(&backend, parameters.shape());
        let meter = Meter::start(&backend);
        let input = Input::new(&z, &inputs.timesteps[..1], &context);
        unet.record_adapters(input, Noise, &parameters, &mut gradient)
            .backward(inputs.d_noise.clone(), 1.0);
        let cost = meter.stop();
        unet.detach_adapters();
        Ok(Run {
            cost,
            stages: Vec::new(),
            outputs: Vec::new(),
        })
    }

    fn run_lora(&mut self) -> Result<Run> {
        let backend = self.backend.clone();
        let schedule = Schedule::new(self.model.schedule());
        let given = self.reference.values("lora.start").map(<[f32]>::to_vec);
        let (unet, _) = self.unet()?;
        let per_rank: usize = unet.attach_adapters(1).iter().map(AdapterPlace::len).sum();
        let places = unet.attach_adapters(
            given
                .as_ref()
                .map_or(LORA_RANK, |given| given.len() / per_rank),
        );
        let parameters = Tensor::vector(
            &backend,
            given.unwrap_or_else(|| Seeded::new(9).adapters(&places)),
        );
        let (unet, inputs) = self.unet()?;
        let LoraInput {
            latent,
            timesteps,
            noise,
        } = &inputs.lora;
        let context = inputs.context.picture(0);
        let subject = Subject::new(latent, &context);
        let meter = Meter::start(&backend);
        unet.merge_adapters(&parameters);
        let (loss, gradient) = gradient(
            unet,
            &schedule,
            &subject,
            &parameters,
            timesteps,
            noise,
            &Interrupt::never(),
        )?;
        let cost = meter.stop();
        unet.detach_adapters();
        Ok(Run {
            cost,
            stages: Vec::new(),
            outputs: vec![
                ("loss", vec![loss.value() as f32]),
                ("gradient", gradient.to_host()),
            ],
        })
    }

    fn run_vae(&mut self, call: Call) -> Result<Run> {
        let never = Interrupt::never();
        let vae = if let Some(vae) = self.loaded.vae.take() {
            vae
        } else {
            self.loaded = Loaded::none();
            Box::new(self.model.vae(&self.backend.in_f32(), &never)?)
        };
        let vae = self.loaded.vae.insert(vae);
        let meter = Meter::start(&self.backend);
        let output = if call == Call::VaeEncode {
            ("mean", vae.encode(&self.inputs.picture, &never)?)
        } else {
            ("picture", vae.decode(&self.inputs.latent, &never)?)
        };
        let cost = meter.stop();
        Ok(Run {
            cost,
            stages: Vec::new(),
            outputs: vec![(output.0, output.1.to_host())],
        })
    }

    fn run_edit(&mut self) -> Result<Run> {
        let [picture, drag] = self
            .edit
            .as_ref()
            .context("an edit needs a picture and a drag file: `--edit PICTURE DRAG.json`")?;
        let edit = if let Some(edit) = self.loaded.edit.take() {
            edit
        } else {
            self.loaded = Loaded::none();
            let edit = Edit::new(self.backend.clone(), &self.name, picture, drag)?;
            Box::new(edit)
        };
        let (cost, stages) = self.loaded.edit.insert(edit).run()?;
        Ok(Run {
            cost,
            stages,
            outputs: Vec::new(),
        })
    }

    /// Compares the results of a run with the reference.
    pub(crate) fn agreement(&self, call: Call, run: &Run) -> Result<BTreeMap<String, Agreement>> {
        let mut found = BTreeMap::new();
        for (name, got) in run.results(call) {
            found.extend(
                self.reference
                    .agreement(&name, &got)?
                    .map(|agreement| (name, agreement)),
            );
        }
        Ok(found)
    }
}
