"""Tests of SceneBench itself: python3 test.py   (needs numpy, Pillow; half a minute)"""
import json, pathlib, sys, tempfile
import numpy as np
from figures import FIGURES, Case, baseline, load, score, summary
from hard import HARD
from make import SUITES, make
from metrics import correlations, ranks, spearman
from paste import WRONG_SHARE, filled, paste
from regions import contains, covers, origin

HERE = pathlib.Path(__file__).resolve().parent
COMMITTED = {"plain": ("suite", 1, 8), "hard": ("hard", 11, 4), "motions": ("motions", 21, 3)}
cases = {}


def of(suite):
    if suite not in cases:
        cases[suite] = [Case(c) for c in sorted((HERE / COMMITTED[suite][0]).iterdir())]
    return cases[suite]


def test_committed_suites_are_what_make_writes():
    for suite, (folder, seed, count) in COMMITTED.items():
        with tempfile.TemporaryDirectory() as fresh:
            make(pathlib.Path(fresh), suite, seed, count)
            for case in of(suite):
                for name in ("input", "truth", "area", "empty"):
                    a, b = load(HERE / folder / case.name / f"{name}.png"), load(pathlib.Path(fresh) / case.name / f"{name}.png")
                    assert np.abs(a - b).max() * 255 < 1.5, f"{case.name}/{name}.png"
                a, b = (json.loads((p / case.name / "drag.json").read_text()) for p in (HERE / folder, pathlib.Path(fresh)))
                assert a == b, f"{case.name}/drag.json"


def test_figures_of_a_perfect_edit_the_paste_and_no_edit():
    for suite in SUITES:
        truth, pasted, unedited = (summary(baseline(of(suite), w)) for w in ("truth", "paste", "input"))
        for kind in truth:
            assert truth[kind]["gain"] == truth[kind]["hit"] == 1 and truth[kind]["harm"] == 0, (suite, kind)
            assert truth[kind]["repair"] in (1, None) and pasted[kind]["repair"] in (0, None), (suite, kind)
            assert unedited[kind]["gain"] == 0 and unedited[kind]["spill"] == 0, (suite, kind)
            assert pasted[kind]["harm"] < 1, (suite, kind)


def test_the_paste_is_right_on_plain_scenes_and_wrong_on_hard_ones():
    for suite in ("plain", "motions"):
        pasted = summary(baseline(of(suite), "paste"))["all"]
        assert pasted["gain"] > .98 and pasted["hit"] == 1, (suite, pasted)
    for case in of("hard"):
        assert case.wrong_share >= WRONG_SHARE, case.name
    assert {c.kind for c in of("hard")} == set(HARD)


def test_handles_move_to_targets():
    disc = {"ellipse": [50, 40, 20, 20]}
    for region in (
        {"type": "translation", "handle": [50, 40], "target": [81, 33]},
        {"type": "translation", "handle": [50, 40], "target": [81, 33], "angle": 30},
        {"type": "rotation", "handle": [60, 40], "target": [50, 50], "center": [50, 40]},
        {"type": "scale", "handle": [60, 40], "target": [74, 40], "center": [50, 40]},
        {"type": "affine", "handles": [[50, 40], [60, 40], [50, 50]], "targets": [[70, 41], [83, 43], [69, 52]]},
        {"type": "deformation", "handle": [60, 40], "target": [90, 44], "anchor": [40, 40]},
    ):
        region["region"] = disc
        pairs = zip(region.get("handles", [region.get("handle")]), region.get("targets", [region.get("target")]))
        for handle, target in pairs:
            assert np.allclose(origin(region, *map(float, target)), handle), region
            assert np.allclose(origin(region, *map(float, handle), 0), handle), region


def test_angles_are_counter_clockwise_on_the_screen():
    region = {"type": "translation", "region": {"ellipse": [50, 40, 20, 20]}, "handle": [50, 40], "target": [50, 40], "angle": 90}
    assert np.allclose(origin(region, 50.0, 30.0), [60, 40])            # what was to the right is now above


def test_an_anchor_stays_and_its_far_side_too():
    region = {"type": "deformation", "region": {"rect": [0, 0, 99, 99]}, "handle": [60, 40], "target": [90, 40], "anchor": [40, 40]}
    for x, came in ((40.0, 40), (30.0, 30), (65.0, 50), (100.0, 70)):
        assert np.allclose(origin(region, x, 44.0), [came, 44]), x


def test_a_shift_by_whole_pixels_is_exact():
    image = np.round(np.random.default_rng(0).random((64, 64, 3)) * 255) / 255
    region = {"type": "translation", "region": {"rect": [8, 10, 20, 30]}, "handle": [12, 15], "target": [42, 20]}
    out = paste(image, {"regions": [region]})
    assert np.array_equal(out[15:35, 38:50], image[10:30, 8:20])
    there = covers(region, (64, 64))[0]
    there[10:30, 8:20] = True
    assert np.array_equal(out[~there], image[~there])


def test_a_quarter_turn_is_exact():
    image = np.round(np.random.default_rng(1).random((64, 64, 3)) * 255) / 255
    region = {"type": "rotation", "region": {"rect": [16, 16, 48, 48]}, "handle": [40, 32], "target": [32, 24], "center": [32, 32]}
    assert np.abs(paste(image, {"regions": [region]})[16:48, 16:48] - np.rot90(image[16:48, 16:48])).max() < 1e-9


def test_a_fill_continues_a_gradient():
    yy, xx = np.mgrid[0:40, 0:50]
    image = np.stack([xx / 50, yy / 40, (xx + yy) / 90], -1)
    hole = contains({"ellipse": [25, 20, 12, 9]}, xx + .5, yy + .5)
    spoiled = np.where(hole[..., None], 7.0, image)
    assert np.abs(filled(spoiled, hole) - image).max() < 1e-4


def test_missing_edits_and_broken_records():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "records.jsonl").write_text('{"out": "x/tight-00.png", "seconds": {"load": 9, "drag": 2, "decode": 1}}\n{"out": "x/ti')
        rows = {r["case"]: r for r in score(of("hard"), folder)}
        assert rows["tight-00"]["seconds"] == 3 and rows["tight-01"]["seconds"] is None
        assert not any(r["edited"] for r in rows.values()) and all(set(FIGURES) <= set(r) for r in rows.values())


def test_rank_correlations_of_metrics():
    a = np.array([1., 5, 2, 9])
    assert list(ranks(np.array([3., 1, 3, 0]))) == [2.5, 1, 2.5, 0]
    assert abs(spearman(a, a ** 3) - 1) < 1e-12 and abs(spearman(a, -a) + 1) < 1e-12
    assert spearman(a, np.ones(4)) is None and abs(spearman(np.array([1., np.nan, 2, 3]), a) - 1) < 1e-12
    assert abs(spearman(np.array([1., 2, 2, 4]), np.array([1., 3, 2, 4])) - .9486832980505138) < 1e-12     # scipy.stats.spearmanr
    gain = np.array([[.1, .2, .3], [.5, .4, .6], [.9, .8, .7]])
    found = correlations(gain, 10 * gain)
    assert all(abs(v - 1) < 1e-12 for v in found.values()) and found["methods"] and correlations(gain, -gain)["cases"] < -.99


if __name__ == "__main__":
    for name, test in list(globals().items()):
        if name.startswith("test_") and (len(sys.argv) < 2 or any(a in name for a in sys.argv[1:])):
            test()
            print(f"{name}: passed", flush=True)
