"""What the package offers: its names, their page, its release, and one base of all its errors."""

import importlib.metadata
import re
import tomllib
from inspect import ismodule
from pathlib import Path

import numpy as np
import pytest

import heddle
from heddle.sim.golden.device import ModelTransport
from heddle.sw.nn import network

ROOT = Path(__file__).parents[2]


def test_every_public_name_is_on_the_page():
    page = (ROOT / "docs" / "api.md").read_text()
    for name in heddle.__all__:
        assert re.search(rf"^### `{name}\b", page, re.M), f"{name}: run `make docs`"
        assert getattr(heddle, name) is not None
    assert len(set(heddle.__all__)) == len(heddle.__all__)
    public = {n for n, v in vars(heddle).items() if n[0] != "_" and not ismodule(v)}
    assert public == set(heddle.__all__)


def test_the_release_is_said_once():
    """The package's metadata take it from `heddle.__version__`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" in project["project"]["dynamic"] and "version" not in project["project"]
    source = project["tool"]["setuptools"]["dynamic"]["version"]
    assert source == {"attr": "heddle.__version__"}
    assert importlib.metadata.version("heddle") == heddle.__version__
    assert re.search(
        rf"^## {re.escape(heddle.__version__)}$", (ROOT / "CHANGELOG.md").read_text(), re.M
    )


def test_every_error_is_heddles():
    errors = [v for v in vars(heddle).values() if isinstance(v, type) and issubclass(v, Exception)]
    errors.remove(heddle.PrecisionWarning)
    assert len(errors) >= 6 and all(issubclass(error, heddle.HeddleError) for error in errors)
    for mistake in (
        lambda: heddle.preset("huge"),
        lambda: heddle.Config("x", 0, 4),
        lambda: heddle.pack(np.ones((8, 1)), "fp12"),
        lambda: heddle.open("toaster"),
        lambda: heddle.load("nothing"),
        lambda: heddle.Network.load("nothing"),
    ):
        with pytest.raises(heddle.HeddleError):
            mistake()


def test_what_is_shown_of_a_device():
    with heddle.open("model", "tiny") as device:
        assert repr(device) == "<Device 'tiny': 4 x 4 int8, M = 8>"
    accumulation = {"accumulation": heddle.Accumulation.FP32, "interleave": 5}
    config = heddle.preset("small", **accumulation)
    with heddle.Device(ModelTransport(config), "x") as device:
        assert repr(device) == "<Device 'x': 8 x 8 fp16, M = 8, FP32 accumulation>"


@pytest.mark.parametrize(
    ("output", "dtype", "bits"),
    [("fp32", "f4", "u4"), ("FP16", "f2", "u2"), (heddle.OutputFormat.INT8, "i1", "u1")],
)
def test_results_are_numbers_and_bits_on_request(output, dtype, bits):
    x, w = [[3, 0], [-5, 1]], [[2], [-7]]
    with heddle.open("model", "tiny") as device:
        y, _ = device.matmul(x, w, output=output)
        assert y.dtype == dtype and y.tolist() == [[6], [-17]]
        raw, _ = device.matmul(x, w, output=output, raw=True)
    assert raw.dtype == bits and np.array_equal(raw.view(dtype), y)


@pytest.mark.parametrize("output", ["fp64", "", 7, None, 1.5])
def test_output_formats_that_are_none(output):
    with heddle.open("model", "tiny") as device:
        with pytest.raises(heddle.FormatError, match="no output format .*; there are fp32, fp16"):
            device.matmul([[1]], [[1]], output=output)


def test_networks_are_equal_by_content():
    assert network.Network.load() == network.Network.load()
    assert network.Network.load() != network.Network.load(network.SHIPPED[heddle.INT8])
