"""`make bench ONLY=…` measures what was asked for, and no more."""

import json
import subprocess
import sys

import numpy as np

from heddle.hw.formats import FP16
from heddle.sim.bench import area
from heddle.sim.golden import dot


def bench(only, out):
    command = [sys.executable, "-m", "heddle.sim.bench", "--only", only, "--out", str(out)]
    return subprocess.run(command, capture_output=True, text=True)


def test_rows_by_prefix(tmp_path):
    done = bench("area.ecp5.pe.int8.", tmp_path / "bench.json")
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads((tmp_path / "bench.json").read_text())}
    prefix = "area.ecp5.pe.int8."
    assert set(rows) == {
        prefix + name
        for name in (
            *("lut", "ff", "dsp"),
            *("sparse_over_dense.lut", "sparse_over_dense.array3x3.lut"),
        )
    }
    for row in rows.values():
        assert {"name", "value", "unit", "target", "better"} <= set(row)
    assert rows[prefix + "lut"]["value"] <= rows[prefix + "lut"]["target"] == 160
    assert rows[prefix + "sparse_over_dense.lut"]["value"] > 1


def test_a_sparse_element_in_twelve_tenths_of_a_dense_one():
    (row,) = area.rows("area.ecp5.pe.fp16.sparse_over_dense.lut")
    assert 1.1 < row["value"] <= row["target"] == 1.2


def test_a_prefix_of_nothing_is_refused(tmp_path):
    done = bench("areas", tmp_path / "bench.json")
    assert done.returncode == 2 and "no row's name begins with 'areas'" in done.stderr
    assert not (tmp_path / "bench.json").exists()


def test_error_of_float32_sums():
    """2048 + 1/2 + … + 1/2: binary32 holds every step; with 2**-14 in place of 1/2 none counts."""
    ones = np.ones((1, 9), np.float16)
    for small, wrong in ((0.5, False), (2.0**-14, True)):
        w = np.full((9, 1), small, np.float16)
        w[0] = 2048
        x, w = ones.view(np.uint16), w.view(np.uint16)
        error = area._error(x, w)
        # The last place of 2048 in binary32 is 2**-12; eight times 2**-14 are two of them.
        exact = dot.exact_matmul(FP16, x, w)[0, 0]
        assert exact == (2048 + 8 * small) * 2**48
        assert error["max"] == error["mean"] == (2 if wrong else 0)
        assert error["wrong"] == wrong
