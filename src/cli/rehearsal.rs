//! `dragnext batch --dry-run`: what would be done, without doing it.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::batch::{History, Item, Line, List, Terms};
use crate::error::{Error, ErrorKind, Result};
use crate::pipeline;
use crate::plan::Plan;
use crate::progress::clock;
use crate::report::{self, counted, on_one_line};

/// So many items are shown one by one; the estimate for more is taken from them.
const SHOWN: usize = 200;

/// Prints the items as a manifest, with paths relative to the list's own folder: written there, it is the same list.
pub(super) fn print_manifest(list: &List, items: &[&Item], outputs: &Path) -> Result<()> {
    let relative =
        |path: &PathBuf, root: &Path| path.strip_prefix(root).unwrap_or(path).to_path_buf();
    let mut text = String::new();
    for item in items.iter().filter(|item| item.fault.is_none()) {
        let mut line = Line::default();
        line.id = Some(item.id.clone());
        line.image = relative(&item.image, &list.root);
        line.drag = item.drag.as_ref().map(|drag| relative(drag, &list.root));
        line.out = Some(relative(&item.out, outputs));
        if let Some(choice) = item.choice.as_deref() {
            line.method = choice.method;
            line.settings = Some(choice.values.to_map());
        }
        let Ok(line) = serde_json::to_string(&line) else {
            let reason = format!(
                "{}: a path that is no text cannot stand in a manifest",
                item.image.display()
            );
            return Err(Error::Batch {
                kind: ErrorKind::ManifestName,
                reason,
                hint: "rename it".into(),
            });
        };
        text += &line;
        text.push('\n');
    }
    report::print_text(&text)
}

/// Prints a line for each item, with sizes and passes through the network, and an estimate of all.
pub(super) fn print(items: &[&Item], terms: &Terms, history: &History) -> Result<()> {
    let shown = &items[..items.len().min(SHOWN)];
    let plans: Vec<Result<Plan>> = shown
        .par_iter()
        .map(|item| {
            item.fault
                .as_ref()
                .map_or_else(|| terms.draft(item), |fault| Err(fault.error()))
        })
        .collect();
    // Writing to a String cannot fail.
    let mut text = String::new();
    let (mut passes, mut planned, mut wrong) = (0.0, 0, 0);
    for (item, plan) in shown.iter().zip(&plans) {
        text += &on_one_line(&match plan {
            Ok(plan) => {
                let own = pipeline::passes_of(&plan.settings);
                passes += if plan.regions.is_empty() { 0.0 } else { own };
                planned += 1;
                describe(item, plan, own)
            }
            Err(error) => {
                wrong += 1;
                let message = error.to_string();
                format!(
                    "{}: cannot be done: {}",
                    item.id,
                    message.lines().next().unwrap_or_default()
                )
            }
        });
        text.push('\n');
    }
    if items.len() > shown.len() {
        let _ = writeln!(text, "and {} more", items.len() - shown.len());
    }
    let share = items.len() as f64 / shown.len().max(1) as f64;
    let _ = write!(
        text,
        "{}, about {:.0} passes through the network",
        counted(items.len()),
        passes * share
    );
    if let Some(pace) = history.pace() {
        let _ = write!(
            text,
            ", about {} at the pace of what is done",
            clock(pace * f64::from(planned) * share)
        );
    }
    text.push('\n');
    report::print_text(&text)?;
    if wrong == 0 {
        return Ok(());
    }
    Err(Error::Batch {
        kind: ErrorKind::BatchFailed,
        reason: format!("{wrong} of {} cannot be done", counted(items.len())),
        hint: "`dragnext validate` says everything that is wrong with a drag file".into(),
    })
}

fn describe(item: &Item, plan: &Plan, passes: f64) -> String {
    let frame = &plan.frame;
    let what = if plan.regions.is_empty() {
        "nothing moves, so it is copied".to_owned()
    } else {
        format!("works at {}, {passes:.0} passes", frame.content)
    };
    format!(
        "{}: {} {}, {what}, to {}",
        item.id,
        item.image.display(),
        frame.source,
        item.out.display()
    )
}
