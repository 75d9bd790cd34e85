//! `dragnext methods`: what methods there are, and which one is good for what.

use crate::error::Result;
use crate::report;

/// Lists the drag methods: paper, needs, cost, what each is good at, and what it reaches on SceneBench.
///
/// Needs and costs are those of the method's defaults. A pass is one picture through the network; a forward and a backward pass count alike.
/// The figures are means over two suites of SceneBench with the built-in model: gain is 1 for a perfect edit and 0 for none, hit is the share of
/// scenes with a gain of at least 0.75. On hard scenes, carrying the region along is wrong somewhere.
///
/// `dragnext settings --method METHOD` shows a method's settings. `dragnext edit --method A,B -o DIR` compares methods on one picture.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    report::print_methods(arguments.json)
}
