//! The calls that are measured, and what they work on.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use dragnext::diffusion::finetune::{Subject, gradient};
use dragnext::diffusion::{NoiseSource, Schedule, Seeded};
use dragnext::interrupt::Interrupt;
use dragnext::kernels::Backend;
use dragnext::model::config::UNetConfig;
use dragnext::model::unet::{
    AdapterPlace, Context as PromptContext, Features, Input, Network, Noise, NoiseAndFeatures,
};
use dragnext::model::vae::DOWNSCALE;
use dragnext::model::{Model, Source, UNet, Vae};
use dragnext::nn::{Mutual, Shape, Tensor};
use serde::{Serialize, Serializer};

use crate::cost::{Cost, Meter};
use crate::edit::Edit;
use crate::reference::{Agreement, Reference};

/// The decoder stage that the drag looks at.
const TAP: usize = 3;
/// The self-attention from which on one picture reads the other's keys and values.
const MUTUAL_START: usize = 10;
/// Pictures of a step of the fine-tuning, and the adapters' rank where no reference says it.
const LORA_BATCH: usize = 4;
const LORA_RANK: usize = 16;

/// One call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Call {
    /// The noise of one latent.
    UnetB1,
    /// The noise of two latents.
    UnetB2,
    /// The same with mutual self-attention.
    UnetMutualB2,
    /// To decoder stage 3 and back to the latent.
    Drag,
    /// To decoder stage 3 and the noise, and back from both.
    DragNoise,
    /// As `unet_b1`, with the prompt's keys and values known.
    UnetPrepared,
    /// The prompt's keys and values.
    Prompt,
    /// Loss and adapters' gradient of a step of the fine-tuning, four latents.
    Lora,
    /// The adapters' gradient from one latent.
    AdaptersB1,
    /// Picture to latent.
    VaeEncode,
    /// Latent to picture.
    VaeDecode,
    /// A whole edit.
    Edit,
}

impl Call {
    /// Its name on the command line and in reports.
    pub(crate) fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

impl Serialize for Call {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name())
    }
}

/// What one run of a call cost and gave.
pub(crate) struct Run {
    pub(crate) cost: Cost,
    /// Costs of an edit's stages.
    pub(crate) stages: Vec<(&'static str, Cost)>,
    outputs: Vec<(&'static str, Vec<f32>)>,
}

impl Run {
    /// What it gave, under the names of a reference.
    pub(crate) fn results(&self, call: Call) -> impl Iterator<Item = (String, Vec<f32>)> {
        self.outputs
            .iter()
            .map(move |(output, numbers)| (format!("{}.{output}", call.name()), numbers.clone()))
    }
}

/// What a step of the fine-tuning starts from.
struct LoraInput<B: Backend> {
    latent: Tensor<B>,
    timesteps: Vec<usize>,
    noise: Vec<f32>,
}

/// A batch of two for the network, the gradients that come back to it, and what the others take. Numbers that the reference does not
/// hold are random.
struct Inputs<B: Backend> {
    latents: Tensor<B>,
    timesteps: Vec<f64>,
    context: Tensor<B>,
    d_tap: Tensor<B>,
    d_noise: Tensor<B>,
    lora: LoraInput<B>,
    picture: Tensor<B>,
    latent: Tensor<B>,
}

fn random<B: Backend>(backend: &B, seed: u64, shape: Shape) -> Tensor<B> {
    Tensor::from_host(backend, shape, Seeded::new(seed).vacated(shape.len()))
}

impl<B: Backend> Inputs<B> {
    fn new(backend: &B, config: &UNetConfig, size: usize, given: &Reference) -> Result<Self> {
        let side = size / DOWNSCALE;
        let stored =
            |(shape, numbers): (Shape, Vec<f32>)| Tensor::from_host(backend, shape, numbers);
        let picture = |name: &str, seed: u64, shape: Shape| {
            Ok::<_, anyhow::Error>(
                given
                    .picture(name)?
                    .map_or_else(|| random(backend, seed, shape), stored),
            )
        };
        let latents = picture("z", 1, Shape::new(2, side, side, 4))?;
        let one = Shape {
            batch: 1,
            ..latents.shape()
        };
        let levels = config.channels.len();
        ensure!(
            levels >= TAP,
            "the model has {levels} decoder stages, the drag looks at stage {TAP}"
        );
        // The encoder halves the sides between two levels and rounds up; every decoder stage but the last goes back by one.
        let tap_side = |side: usize| side.div_ceil(1 << (levels - 1 - TAP.min(levels - 1)));
        let tap = Shape::new(
            1,
            tap_side(one.height),
            tap_side(one.width),
            config.channels[levels - TAP],
        );
        let draw = Seeded::new(6).fine_tuning(LORA_BATCH, one.len(), 1000);
        Ok(Self {
            timesteps: given.numbers("t").map_or_else(
                || vec![741.0, 21.0],
                |t| t.iter().map(|t| f64::from(*t)).collect(),
            ),
            context: given.tokens("context")?.map_or_else(
                || random(backend, 2, Shape::new(2, 1, 77, config.cross_attention_dim)),
                stored,
            ),
            d_tap: picture("d_tap", 3, tap)?,
            d_noise: picture("d_noise", 4, one)?,
            lora: LoraInput {
                latent: picture("lora.latent", 5, one)?,
                timesteps: given
                    .numbers("lora.t")
                    .map_or(draw.timesteps, |t| t.iter().map(|t| *t as usize).collect()),
                noise: given
                    .picture("lora.noise")?
                    .map_or(draw.noise, |(_, noise)| noise),
            },
            picture: picture(
                "image",
                7,
                Shape::new(1, DOWNSCALE * one.height, DOWNSCALE * one.width, 3),
            )?,
            latent: picture("latent", 8, one)?,
            latents,
        })
    }
}

/// The part of the model that is loaded; one at a time, so that two programs with a model of full size fit into memory beside each other.
enum Part<B: Backend> {
    Nothing,
    UNet(Box<UNet<B>>),
    Vae(Box<Vae<B>>),
    Edit(Box<Edit<B>>),
}

/// A model, and all that its calls need.
pub(crate) struct Calls<B: Backend> {
    backend: B,
    name: String,
    model: Model,
    inputs: Inputs<B>,
    reference: Reference,
    edit: Option<[PathBuf; 2]>,
    part: Part<B>,
    last: Option<Call>,
}

impl<B: Backend> Calls<B> {
    /// `name` is a model as the command line has it, `edit` a picture and its drag file.
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
            part: Part::Nothing,
            last: None,
        })
    }

    /// Width and height of the picture that the calls' latents stand for.
    pub(crate) fn size(&self) -> [usize; 2] {
        let latents = self.inputs.latents.shape();
        [latents.width, latents.height].map(|cells| DOWNSCALE * cells)
    }

    /// Floating-point operations of a call, if the reference knows them.
    pub(crate) fn flop(&self, call: Call) -> Option<f64> {
        self.reference.flop(&call.name())
    }

    /// Does a call once. Loading and preparing are not counted.
    pub(crate) fn run(&mut self, call: Call) -> Result<Run> {
        if self.last.replace(call) != Some(call) {
            // What another call needed is not this one's memory.
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
        if !matches!(self.part, Part::UNet(_)) {
            self.part = Part::Nothing;
            self.part = Part::UNet(Box::new(
                self.model.unet(&self.backend, &Interrupt::never())?,
            ));
        }
        match &mut self.part {
            Part::UNet(unet) => Ok((unet, &self.inputs)),
            _ => unreachable!("it was just loaded"),
        }
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
        let given = self.reference.numbers("lora.start").map(<[f32]>::to_vec);
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
        let subject = Subject {
            latent,
            context: &context,
        };
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
                ("loss", vec![loss as f32]),
                ("gradient", gradient.to_host()),
            ],
        })
    }

    fn run_vae(&mut self, call: Call) -> Result<Run> {
        let backend = self.backend.clone();
        let never = Interrupt::never();
        if !matches!(self.part, Part::Vae(_)) {
            self.part = Part::Nothing;
            self.part = Part::Vae(Box::new(self.model.vae(&self.backend.in_f32(), &never)?));
        }
        let Part::Vae(vae) = &self.part else {
            unreachable!("it was just loaded")
        };
        let meter = Meter::start(&backend);
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
        if !matches!(self.part, Part::Edit(_)) {
            self.part = Part::Nothing;
            self.part = Part::Edit(Box::new(Edit::new(
                self.backend.clone(),
                &self.name,
                picture,
                drag,
            )?));
        }
        let Part::Edit(edit) = &mut self.part else {
            unreachable!("it was just loaded")
        };
        let (cost, stages) = edit.run()?;
        Ok(Run {
            cost,
            stages,
            outputs: Vec::new(),
        })
    }

    /// How near what a run gave is to the reference.
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
