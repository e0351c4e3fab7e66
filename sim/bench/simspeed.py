"""How fast the simulated device runs, in clock cycles a second."""

import time
from collections.abc import Iterator

import numpy as np

from ...hw.config import Config, preset
from ...hw.formats import FP16
from ...sw.compiler import packing
from ...sw.host import driver
from ...sw.host.open import open_device

ARRAYS = {
    "4x4": Config("fp16-4x4", 4, 4, FP16),
    "8x8": preset("small"),
    "16x16": preset("medium"),
    "32x32": preset("paper"),
}
LEAST = 5.0
"""Seconds that a measurement takes at least."""


def rows(only: str) -> Iterator[dict]:
    rng = np.random.default_rng(1)
    for array, config in ARRAYS.items():
        name = f"simspeed.{array}"
        if not name.startswith(only):
            continue
        x = rng.standard_normal((2 * config.rows, 512))
        weights = packing.pack(rng.standard_normal((512, 2 * config.columns)), FP16)
        begin = time.perf_counter()
        with open_device("sim", config=config) as opened:
            built = time.perf_counter() - begin
            first, begin = opened.transport.carrier.cycles, time.perf_counter()
            while (elapsed := time.perf_counter() - begin) < LEAST:
                driver.matmul(opened, x, weights)
            cycles = opened.transport.carrier.cycles - first
        yield {
            "name": name,
            "value": cycles / elapsed,
            "unit": "cycles/s",
            "target": None,
            "better": "higher",
            "note": f"dense FP16 product, driver included; opening the device took {built:.0f} s",
        }
