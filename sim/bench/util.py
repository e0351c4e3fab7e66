"""Utilisation and speed-up of matrix products, by the hardware's counters."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ...hw.config import Config, preset
from ...hw.formats import FP16, INT8, OutputFormat
from ...sw.compiler import nm, packing
from ...sw.host import driver
from ...sw.host.open import open_device
from .named import row, wanted
from .plan import causes

PATTERNS = (4, 2, 1)
SHAPES = {
    "8x8.gemm64": (64, 64, 64),
    "16x16.gemm128": (128, 128, 128),
    "16x16.gemm256x512x256": (256, 512, 256),
    "8x8.gemm1x64x8": (1, 64, 8),
    "8x8.gemm13x27x9": (13, 27, 9),
}
TARGETS = {
    "8x8.gemm64.dense": 0.98,
    "16x16.gemm128.dense": 0.99,
    "16x16.gemm256x512x256.4of8.speedup": 1.97,
    "16x16.gemm256x512x256.2of8.speedup": 3.9,
    "16x16.gemm256x512x256.1of8.speedup": 7.7,
}
REASONS = {
    "8x8.gemm1x64x8": "one row of eight is used, and one tile is mostly filling and draining",
    "8x8.gemm13x27x9": "the second row and column blocks run nearly empty; K is padded to 32",
}


def configuration(array: str, format) -> Config:
    config = preset({"8x8": "small", "16x16": "medium"}[array])
    if format == FP16:
        return config
    # As wide a stream as FP16's has bytes for: twice the lanes.
    return replace(config, name=f"{config.name}-int8", format=INT8, lanes=2 * config.lanes)


def rows(only: str) -> Iterator[dict]:
    rng = np.random.default_rng(1)
    for format in (FP16, INT8):
        for name, shape in SHAPES.items():
            prefix = f"util.{format.name}.{name}"
            if not wanted(prefix, only):
                continue
            config = configuration(name.partition(".")[0], format)
            output = OutputFormat.FP16 if format == FP16 else OutputFormat.INT8
            x, w = rng.standard_normal(shape[:2]) * 20, rng.standard_normal(shape[1:]) * 20
            if format == INT8:
                x, w = np.rint(x), np.rint(w)
            with open_device("sim", config=config) as opened:
                dense = 0.0, 0
                for n in (8, *PATTERNS):
                    weights = packing.pack(nm.prune(w, n, 8), format, n, 8)
                    _, stats = driver.matmul(opened, x, weights, output=output, scale=2.0**-12)
                    if n == 8:
                        dense = stats.utilisation, stats.cycles
                        target, note = _target(name, "dense"), _note(name, stats)
                        yield row(prefix, "dense", stats.utilisation, target, note)
                        continue
                    what, gain = f"{n}of8.speedup", dense[1] / stats.cycles
                    note = _note(name, stats, gain > 8 / n)
                    yield row(prefix, what, gain, _target(name, what), note)
                    yield row(prefix, f"{n}of8.dense_utilisation", dense[0])


def _note(name: str, stats: driver.Stats, beyond: bool = False) -> str:
    """Why a row is what it is."""
    parts = [
        "more than the ideal: the dense run wastes cycles" if beyond else "",
        REASONS.get(name, ""),
        causes(stats),
    ]
    return "; ".join(part for part in parts if part)


def _target(name: str, what: str) -> float | None:
    return TARGETS.get(f"{name}.{what}")
