//! Every format says the same.

use super::{eval, originals, save, square};
use crate::bench::Bench;

fn printed(bench: &Bench, format: &str) -> String {
    let run = eval(bench, "out", &["--format", format]);
    run.any_stdout().any_stderr().status(1).run().stdout
}

#[test]
fn every_format_has_every_figure_with_its_counts() {
    let bench = Bench::new();
    originals(&bench, &["a_1", "b", "c"]);
    save(&bench, "out/a_1.png", &square(60));
    save(&bench, "out/b.png", &square(10));

    let text = printed(&bench, "text");
    assert!(text.starts_with("out: 3 edits, 1 failed\n"), "{text}");
    let line = text.lines().find(|line| line.starts_with("DAI(5) "));
    assert!(
        line.is_some_and(|line| line.contains("2, 1 failed  0.1399")),
        "{text}"
    );
    // Every drag has one point, so that the further division changes nothing.
    assert!(
        !text.contains("DAI(5)/n") && text.contains("(/n) are left out"),
        "{text}"
    );
    assert!(
        text.contains("DAI(1), DAI(5), DAI(10), DAI(20): squared difference"),
        "{text}"
    );
    assert!(text.contains("\nc            -  image.missing\n"), "{text}");
    assert!(text.contains("not measured: IF(224), IF, IF_ed"), "{text}");

    let markdown = printed(&bench, "markdown");
    assert!(
        markdown.contains("| DAI(5) | 2, 1 failed | 0.1399 |"),
        "{markdown}"
    );
    assert!(markdown.contains("| a\\_1 |"), "{markdown}");

    let latex = printed(&bench, "latex");
    assert!(latex.contains("DAI(5) & 2, 1 failed & 0.1399 &"), "{latex}");
    assert!(latex.contains("a\\_1 & "), "{latex}");
    assert_eq!(
        latex.matches("\\begin{table}").count(),
        latex.matches("\\end{table}").count()
    );

    let csv = printed(&bench, "csv");
    let lines: Vec<&str> = csv.lines().collect();
    let columns = lines[0].split(',').count();
    // Ten figures of three edits and of all, and the header.
    assert_eq!(lines.len(), 1 + 10 * 4, "{csv}");
    assert!(lines.iter().all(|line| line.split(',').count() == columns));
    assert!(
        csv.contains("out,edit,c,,DAI(5),,image.missing,0,0,1,0,,,,\n"),
        "{csv}"
    );
}

#[test]
fn the_interval_depends_on_the_seed_only() {
    let bench = Bench::new();
    originals(&bench, &["a", "b", "c", "d"]);
    for (index, name) in ["a", "b", "c", "d"].into_iter().enumerate() {
        save(
            &bench,
            &format!("out/{name}.png"),
            &square(50 + 3 * index as u32),
        );
    }
    let printed = |seed| {
        eval(&bench, "out", &["--seed", seed])
            .any_stdout()
            .run()
            .stdout
    };
    assert_eq!(printed("1"), printed("1"));
    assert_ne!(printed("1"), printed("2"));
}
