"""How fast the simulated device runs, in clock cycles a second of the processor's time."""

import time
from collections.abc import Iterator

import numpy as np

from ...hw.config import Config, preset
from ...hw.formats import FP16
from ...sw.compiler import packing
from ...sw.host import driver
from ...sw.host.open import open_device

ARRAYS = {
    "4x4": (Config("fp16-4x4", 4, 4, FP16), None),
    "8x8": (preset("small"), 20e6),
    "16x16": (preset("medium"), 30e6),
    "32x32": (preset("paper"), 30e6),
}
"""Configurations, and how many element-cycles a second an idle core is to do."""
PARTS, PART = 5, 1.0
"""Measurements, of which the best counts, and the seconds of the processor that each takes at least
(the machine may be busy with other things too)."""


def rows(only: str) -> Iterator[dict]:
    for array, (config, target) in ARRAYS.items():
        name = f"simspeed.{array}"
        if name.startswith(only) or only.startswith(f"{name}."):
            yield from _rows(name, config, target)


def _rows(name: str, config: Config, target: float | None) -> Iterator[dict]:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2 * config.rows, 512))
    weights = packing.pack(rng.standard_normal((512, 2 * config.columns)), FP16)
    begin = time.perf_counter()
    with open_device("sim", config=config) as opened:
        built = time.perf_counter() - begin
        carrier = opened.transport.carrier
        idle = _best(carrier, lambda: carrier.wait(1000))
        busy = _best(carrier, lambda: driver.matmul(opened, x, weights))
    elements = config.rows * config.columns
    yield {
        "name": name,
        "value": busy,
        "unit": "cycles/s",
        "target": None,
        "better": "higher",
        "note": f"dense FP16 product, driver included, {elements * busy / 1e6:.0f} million "
        f"element-cycles/s; opening the device took {built:.0f} s",
    }
    yield {
        "name": f"{name}.idle",
        "value": elements * idle,
        "unit": "element-cycles/s",
        "target": target,
        "better": "higher",
        "note": f"{idle:.0f} cycles/s of a core that does nothing",
    }


def _best(carrier, work) -> float:
    """Cycles a second of the processor's time, while `work` is done again and again."""
    best = 0.0
    for _ in range(PARTS):
        first, begin = carrier.cycles, time.process_time()
        while (elapsed := time.process_time() - begin) < PART:
            work()
        best = max(best, (carrier.cycles - first) / elapsed)
    return best
