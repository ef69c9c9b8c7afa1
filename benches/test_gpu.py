"""Tests of `gpu.py`'s table, arguments and messages: `python3 -m unittest discover benches`.

`fixtures/gpu.json` has the form of what `gpu.py --json` writes; its numbers are made up.
"""

import contextlib
import io
import json
import pathlib
import stat
import tempfile
import unittest

import gpu

ROWS = json.loads((pathlib.Path(__file__).parent / "fixtures/gpu.json").read_text())


class Table(unittest.TestCase):
    def test_ratios_are_peer_over_ours(self):
        lines = gpu.table(ROWS, gpu.PEERS).splitlines()
        self.assertEqual(len(lines), 2 + len(ROWS))
        self.assertEqual(lines[2], "| yolox_nano_416 | 1 | f32 | 2.00 | 3.00 | 1.50 | 1.00 | 0.50 | – | – |")
        self.assertEqual(len({line.count("|") for line in lines}), 1)

    def test_without_ours_there_is_no_ratio(self):
        last = gpu.table(ROWS, gpu.PEERS).splitlines()[-1]
        self.assertEqual(last, "| yolox_nano_416 | 8 | f16 | – | 0.75 | – | – | – | – | – |")

    def test_gaps_are_listed_once_with_their_reason(self):
        gaps = gpu.missing(ROWS, gpu.PEERS)
        compiled = [gap for gap in gaps if gap.startswith("- compiled: out of memory")]
        self.assertEqual(len(compiled), 1)
        self.assertIn("yolox_nano_416 at 1, f32; yolox_nano_416 at 8, f16", compiled[0])


class CommandLine(unittest.TestCase):
    def refused(self, argv):
        said = io.StringIO()
        with contextlib.redirect_stderr(said), self.assertRaises(SystemExit) as end:
            gpu.arguments(argv)
        self.assertEqual(end.exception.code, 2)
        return said.getvalue()

    def test_mistakes(self):
        self.assertIn("--ocellus", self.refused([]))
        self.assertIn("/no/such", self.refused(["--ocellus", "x", "--models", "/no/such"]))
        self.assertIn("from 1 to 64", self.refused(["--ocellus", "x", "--models", "/tmp", "--batches", "0"]))
        self.assertIn("invalid choice", self.refused(["--ocellus", "x", "--models", "/tmp", "--peers", "jax"]))

    def test_without_a_gpu_it_says_what_is_missing(self):
        with tempfile.TemporaryDirectory() as folder:
            binary = pathlib.Path(folder) / "ocellus"
            binary.write_text("#!/bin/sh\n[ \"$2\" = --help ] && exit 0\necho 'error: GPU: no adapter' >&2\nexit 1\n")
            binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
            said = io.StringIO()
            with contextlib.redirect_stderr(said):
                code = gpu.main(["--ocellus", str(binary), "--models", folder])
        self.assertEqual(code, 1)
        self.assertIn("Vulkan", said.getvalue())
        self.assertIn("no adapter", said.getvalue())

    def test_a_missing_binary_is_named(self):
        with tempfile.TemporaryDirectory() as folder:
            said = io.StringIO()
            with contextlib.redirect_stderr(said):
                code = gpu.main(["--ocellus", f"{folder}/ocellus", "--models", folder])
        self.assertEqual(code, 1)
        self.assertIn(f"{folder}/ocellus", said.getvalue())


if __name__ == "__main__":
    unittest.main()
