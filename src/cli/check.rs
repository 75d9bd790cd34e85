//! `dragnext check`: repeats golden edits and compares the results.

use std::path::{Path, PathBuf};

use super::compute::ComputeArguments;
use super::limits::LimitArguments;
use super::model::ModelArguments;
use super::setting_flags::SettingFlags;
use crate::error::Result;
use crate::golden::{self, CaseReader, Checker, OutputRules, Thresholds};
use crate::interrupt::Interrupt;
use crate::progress;
use crate::report::{self, CaseFormat};

/// Repeats edits with known results and compares the new results with them.
#[derive(Debug, clap::Args)]
#[command(
    long_about = ABOUT,
    after_help = "Examples:\n\n  dragnext check golden --model demo\n  dragnext check golden --model demo --only cat,dog\n  dragnext check golden --model demo --bless          accepts the results that differ"
)]
pub(super) struct Arguments {
    /// The folder that contains a folder for each case, or a single case.
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    /// Check only these cases, given by the names of their folders.
    #[arg(long, value_name = "CASE", value_delimiter = ',')]
    only: Vec<String>,

    /// Replace the expected pictures of cases that differ. The exit status is then 1, so that updates never pass silently.
    #[arg(long)]
    bless: bool,

    /// Folder for the pictures of cases that differ; replaces those of earlier runs [default: dragnext-check].
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,

    #[command(flatten)]
    model: ModelArguments,

    #[command(flatten)]
    compute: ComputeArguments,

    /// Print one line of JSON for each case.
    #[arg(long)]
    json: bool,

    /// Show neither progress nor warnings.
    #[arg(long, short)]
    quiet: bool,

    #[command(flatten)]
    limits: LimitArguments,

    #[command(flatten)]
    settings: SettingFlags,
}

const ABOUT: &str = "Repeats edits with known results and compares the new results with them.

DIR contains a folder for each case:

- `input.png`, `input.jpg` or `input.webp`: the picture
- `drag.json`: the drag file
- `expected.png`: the expected result
- `check.json`, optional: the case's own limits, such as {\"min_psnr\": 30}

Each case is edited as by `dragnext edit`, but the weights are loaded only once. Inside the editable area the result must be within limits; outside it must be equal. Limits of the command line take precedence over those of `check.json`. The defaults hold across processors: a PSNR of 40 dB, an SSIM of 0.995 and a mean difference of 0.5.

For each case that differs, `CASE.actual.png` and `CASE.triptych.png` (expected, difference, actual) are written to the folder of `--output`. A GitHub Actions job gets annotations and a table in its summary.

The exit status is 1 when a case differs, was blessed, or failed. It is 2 when a case is invalid; all cases are checked before the first edit.";

/// The default of `--output`.
const OUTPUT: &str = "dragnext-check";

/// Checks the cases one by one and prints how each one ended.
pub(super) fn run(arguments: &Arguments, interrupt: &Interrupt) -> Result<()> {
    let compute = arguments.compute.choose()?;
    if !arguments.quiet {
        report::print_warnings(&compute.warnings);
    }
    let cases = golden::find(&arguments.folder, &arguments.only)?;
    let reader = CaseReader {
        flags: &arguments.settings.choice,
    };
    let outputs = OutputRules {
        folder: arguments.output.as_deref(),
        bless: arguments.bless,
    };
    let needs_network = reader.check(&cases, arguments.model.open_present()?.as_ref(), &outputs)?;
    let model = arguments.model.open(arguments.quiet, interrupt)?;
    let mut progress = progress::for_terminal(arguments.quiet);
    let editor = if needs_network {
        let model = arguments.model.open_cached()?;
        Some(compute.load(model, &mut *progress, interrupt)?)
    } else {
        None
    };
    let mut checker = Checker {
        reader,
        thresholds: arguments.thresholds(),
        model,
        editor,
        numerics: compute.numerics,
        output: arguments.output(),
        bless: arguments.bless,
        interrupt,
    };

    let format = if arguments.json {
        CaseFormat::Json
    } else {
        CaseFormat::Text
    };
    let mut results = Vec::new();
    for case in &cases {
        let result = checker
            .check(case, &mut *progress)
            .inspect_err(|_| report::summarise_cases(&results))?;
        if !arguments.quiet {
            report::print_warnings(&result.warnings);
        }
        report::print_case(&result, format)?;
        results.push(result);
    }
    report::summarise_cases(&results);
    golden::check_result(&results, arguments.output())
}

impl Arguments {
    fn output(&self) -> &Path {
        self.output.as_deref().unwrap_or(Path::new(OUTPUT))
    }

    fn thresholds(&self) -> Thresholds {
        Thresholds {
            inside: self.limits.limits(),
            outside_max_diff: self.limits.outside_max_diff(),
        }
    }
}
