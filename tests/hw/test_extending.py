"""docs/extending.md does what it says: its code is taken from the page and run."""

import re
from pathlib import Path

import numpy as np
import pytest

from heddle.hw.array.mac import UNITS
from heddle.hw.array.pe import ProcessingElement
from heddle.hw.config import Accumulation, Config
from heddle.hw.formats import BF16, FORMATS, INT4, INT8
from heddle.sim.engines.amaranth_simulator import AmaranthTransport
from heddle.sim.golden.accumulation import ARITHMETIC
from heddle.sw.compiler import packing
from heddle.sw.host.device import Device
from heddle.sw.report.cross_coverage import compare

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "extending.md").read_text()
FORMAT, USE, HALF_BYTES, WINDOW, UNIT = re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)
"""The page's pieces of code, in their order."""


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    """The tables that the page's code changes, as they were."""
    for table in (FORMATS, UNITS):
        for key, value in dict(table).items():
            monkeypatch.setitem(table, key, value)
    monkeypatch.setitem(FORMATS, "e3m2", None)
    monkeypatch.delitem(FORMATS, "e3m2")


def test_the_format_is_added_and_used():
    exec(FORMAT + USE, {})


def test_the_formats_that_landed_are_those_of_the_page():
    names: dict = {}
    exec(FORMAT + HALF_BYTES + WINDOW, names)
    assert names["INT4"] == INT4 == FORMATS["int4"] and names["BF16"] == BF16 == FORMATS["bf16"]


def test_the_unit_is_built_and_multiplies():
    sizes = {"activation_groups": 16, "weight_slots": 16, "schedule_records": 16}
    config = Config("registered", 2, 2, INT8, **sizes)
    before = ProcessingElement.latency(config)
    exec(UNIT, {})
    assert ProcessingElement.latency(config) == before + 1
    rng = np.random.default_rng(1)
    x, w = (rng.integers(-128, 128, shape).astype(np.int8) for shape in ((3, 11), (11, 3)))
    with Device(AmaranthTransport(config)) as device:
        compare(device, x, packing.pack(w, INT8))


def test_every_accumulation_is_in_both_tables():
    assert set(UNITS) == set(ARITHMETIC) == set(Accumulation)
