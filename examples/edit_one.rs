//! A single edit through the library: read, plan, load, edit, save.
//!
//!     cargo run --release --example edit_one -- PICTURE DRAG.json OUT.png

use std::path::Path;

use anyhow::{Context, Result};
use dragnext::diffusion::Seeded;
use dragnext::drag_file::DragFile;
use dragnext::interrupt::Interrupt;
use dragnext::kernels::cpu::Cpu;
use dragnext::model::Model;
use dragnext::picture;
use dragnext::pipeline::{Editor, Work};
use dragnext::plan::Plan;
use dragnext::progress::Silent;
use dragnext::settings::Settings;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [image, drag_file, out] = arguments.as_slice() else {
        anyhow::bail!("usage: edit_one PICTURE DRAG.json OUT.png")
    };

    // Faults in the drag file or the settings are found before any weight is read.
    let source = picture::read(Path::new(image))?.picture;
    let drag = DragFile::read(Path::new(drag_file))?;
    let model = Model::open("demo", None)?;
    let settings = Settings::resolve(&drag.settings.over(model.defaults()))?;
    let plan = Plan::new(
        &drag,
        Path::new(drag_file),
        source.size(),
        &settings,
        model.native_size(),
    )?;

    // The editor holds the weights, and can run any number of edits.
    let mut editor = Editor::load(Cpu, model, &mut Silent, &Interrupt::never())?;
    let work = Work {
        plan: &plan,
        picture: source.working(&plan.frame),
        lora: None,
    };
    let outcome = editor.edit(
        work,
        &mut Seeded::of(&settings),
        &mut Silent,
        &Interrupt::never(),
    )?;

    // Outside the editable area, the result has the pixels of the original.
    let edited = source.composite(&plan.frame, &outcome.picture, plan.blend().as_deref());
    std::fs::write(out, edited.png(None)?).with_context(|| format!("cannot write {out}"))
}
