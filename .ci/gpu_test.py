#!/usr/bin/env python3
"""Tests of .ci/gpu that need Python alone: python3 .ci/gpu_test.py"""
import argparse, contextlib, importlib.machinery, importlib.util, io, json, os, pathlib, sys, tempfile, unittest, zipfile

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader("gpu", str(HERE / "gpu"))
gpu = importlib.util.module_from_spec(importlib.util.spec_from_loader("gpu", loader))
loader.exec_module(gpu)


def session(folder, budget):
    arguments = argparse.Namespace(out=pathlib.Path(folder) / "out", rehearse=True, budget=budget, programs=None, packages=None)
    return gpu.Session(arguments)


class Iteration(unittest.TestCase):
    def calls(self, stage=None, forward=None):
        return {"edit without": {"seconds": 9.0, "stages": {"drag": stage} if stage else {}}, "unet_prepared": {"seconds": forward}, "unet_b1": {"seconds": 70.0}}

    def test_two_forward_passes_of_each_timestep_are_subtracted(self):
        stage = 5 * (2 * 0.25 + 10 * 0.5)
        self.assertAlmostEqual(gpu.iteration_seconds(self.calls(stage, 0.25), 5, 10), 0.5)
        self.assertAlmostEqual(gpu.iteration_seconds(self.calls(2 * 0.25 + 0.5, 0.25), 1, 1), 0.5)

    def test_without_a_figure_there_is_no_result(self):
        for calls in ({}, self.calls(None, 0.25), self.calls(27.5, None)):
            self.assertIsNone(gpu.iteration_seconds(calls, 5, 10))

    def test_figures_that_contradict_each_other_pass_no_gate(self):
        self.assertIsNone(gpu.iteration_seconds(self.calls(2.4, 0.25), 5, 10))


class Graphs(unittest.TestCase):
    def calls(self, stage, step, launches):
        return {"edit": {"median": 9.0, "launches": 40000, "stages": {"drag": {"median": stage}}}, "unet_prepared": {"median": 0.25}, "lora": {"median": step, "launches": launches}}

    def test_an_iteration_and_a_step_are_compared(self):
        found = gpu.graph_gains(self.calls(5 * (2 * 0.25 + 10 * 0.75), 0.5, 1339), self.calls(5 * (2 * 0.25 + 10 * 0.25), 0.125, 5), 5, 10)
        self.assertEqual(list(found), ["iteration", "lora"])
        self.assertAlmostEqual(found["iteration"]["plain"], 0.75)
        self.assertAlmostEqual(found["iteration"]["graphs"], 0.25)
        self.assertAlmostEqual(found["iteration"]["gain"], 3)
        self.assertEqual(found["lora"], {"plain": 0.5, "graphs": 0.125, "gain": 4, "launches": [1339, 5]})

    def test_what_one_report_lacks_is_left_out(self):
        calls = self.calls(40.0, 0.5, 1339)
        for plain, graphs in [({}, calls), (calls, {}), ({}, {})]:
            self.assertEqual(gpu.graph_gains(plain, graphs, 5, 10), {})
        # A stage that is shorter than its forward passes has no iteration.
        self.assertEqual(list(gpu.graph_gains(calls, self.calls(2.4, 0.5, 5), 5, 10)), ["lora"])

    def test_the_figures_stand_in_the_report(self):
        with tempfile.TemporaryDirectory() as folder:
            temporary, tempfile.tempdir = tempfile.tempdir, folder
            self.addCleanup(lambda: setattr(tempfile, "tempdir", temporary))
            s = session(folder, 60)
            s.keep("cuda-graphs", {"calls": gpu.graph_gains(self.calls(40.0, 0.5, 1339), self.calls(20.0, 0.25, 5), 5, 10)})
            with contextlib.redirect_stdout(io.StringIO()):
                gpu.report(s)
            self.assertIn("- lora: 500.00 ms, 250.00 ms with CUDA graphs, launches [1339, 5]", (s.final / "report.md").read_text())


class Budget(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        temporary = tempfile.tempdir
        tempfile.tempdir = self.folder.name
        self.addCleanup(lambda: setattr(tempfile, "tempdir", temporary))

    def quietly(self, work):
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return work()

    def test_the_parts_fill_the_budget_in_their_order(self):
        self.assertEqual(sum(gpu.SHARES.values()), 420)
        whole = gpu.ends(list(gpu.SHARES), 420)
        self.assertEqual(list(whole), list(gpu.SHARES))
        self.assertEqual(whole["environment"], gpu.SHARES["environment"])
        self.assertEqual(whole["others"], 420)
        few = gpu.ends(["speed", "others"], 100)
        self.assertEqual((few["speed"], few["others"]), (90, 100))

    def test_a_command_ends_with_its_part_and_the_next_part_runs(self):
        s = session(self.folder.name, 60)
        sleeper = [sys.executable, "-c", "import subprocess; subprocess.run(['sleep', '600'])"]
        seen = []
        work = {"speed": lambda: (seen.append(s.run("speed", sleeper)), s.run("speed", sleeper)), "others": lambda: seen.append(s.run("others", [sys.executable, "-c", "print(7)"]))}
        # The first part has 1.5 of 60 seconds.
        shares, gpu.SHARES = gpu.SHARES, {"speed": 1.5, "others": 58.5}
        self.addCleanup(lambda: setattr(gpu, "SHARES", shares))
        status = self.quietly(lambda: gpu.run_parts(s, ["speed", "others"], work))
        self.assertEqual(status, 1)
        self.assertEqual(seen, [("time", ""), (0, "7\n")])
        self.assertEqual(s.skipped, {"speed": "no time is left for speed"})
        self.assertEqual(len(s.stopped), 1)
        report = (s.final / "report.md").read_text()
        self.assertIn("skipped: speed: no time is left for speed", report)
        self.assertIn("stopped: speed after", report)
        self.assertEqual(json.loads((s.final / "results.json").read_text())["skipped"], s.skipped)

    def test_after_the_budget_nothing_starts(self):
        s = session(self.folder.name, 0)
        started = lambda: s.run("demo", [sys.executable, "-c", f"open({str(self.folder.name + '/started')!r}, 'w')"])
        status = self.quietly(lambda: gpu.run_parts(s, list(gpu.SHARES), {part: started for part in gpu.SHARES}))
        self.assertEqual(status, 1)
        self.assertEqual(list(s.skipped), list(gpu.SHARES))
        self.assertFalse(os.path.exists(self.folder.name + "/started"))

    def test_a_part_that_fails_does_not_stop_the_others(self):
        s = session(self.folder.name, 60)
        def fails():
            raise ValueError("broken")
        status = self.quietly(lambda: gpu.run_parts(s, ["demo", "speed"], {"demo": fails, "speed": lambda: s.gate("fast", 1, lambda v: v < 2)}))
        self.assertEqual(status, 1)
        self.assertIn("broken", s.results["failed: demo"])
        self.assertTrue(s.gates["fast"]["holds"])

    def test_a_command_that_fails_is_reported_with_its_error(self):
        s = session(self.folder.name, 60)
        broken = [sys.executable, "-c", "import sys; print('{}'); print('a warning', file=sys.stderr); sys.exit('no such package')"]
        self.quietly(lambda: gpu.run_parts(s, ["others"], {"others": lambda: self.assertIsNone(s.json("peer", broken))}))
        self.assertEqual(s.failed, ["peer: exit status 1: no such package"])
        self.assertIn("failed: peer: exit status 1: no such package", (s.final / "report.md").read_text())
        self.assertEqual(json.loads((s.final / "results.json").read_text())["failed"], s.failed)

    def test_a_gate_without_a_value_fails(self):
        s = session(self.folder.name, 60)
        self.assertEqual(self.quietly(lambda: gpu.run_parts(s, ["demo"], {"demo": lambda: s.gate("measured", None, lambda v: True)})), 1)
        self.assertEqual(self.quietly(lambda: gpu.run_parts(session(self.folder.name, 60), ["demo"], {"demo": lambda: None})), 0)


class Packages(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def metadata(self, name):
        return f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 1.0\n"

    def wheel(self, name):
        with zipfile.ZipFile(self.folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}.py", "")
            wheel.writestr(*self.metadata(name))

    def test_only_packages_that_the_machine_lacks_are_unpacked(self):
        installed = self.folder / "installed"
        path, text = self.metadata("dragnext_present_package")
        (installed / path).parent.mkdir(parents=True)
        (installed / path).write_text(text)
        sys.path.insert(0, str(installed))
        self.addCleanup(sys.path.remove, str(installed))
        self.wheel("dragnext_present_package")
        self.wheel("dragnext_absent_package")
        target = self.folder / "unpacked"
        (target / "of_an_earlier_run").mkdir(parents=True)
        self.assertEqual(gpu.unpack(self.folder, target), target)
        self.assertEqual(sorted(p.name for p in target.iterdir()), ["dragnext_absent_package-1.0.dist-info", "dragnext_absent_package.py"])

    def test_a_folder_without_wheels_is_an_error(self):
        with self.assertRaises(SystemExit):
            gpu.unpack(self.folder, self.folder / "unpacked")


if __name__ == "__main__":
    unittest.main()
