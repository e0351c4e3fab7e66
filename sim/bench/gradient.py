"""Weight gradients in tensor memory: the share of the multipliers' cycles that they use, and how
fast their operands come, by the hardware's counters."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ...hw.config import PRESETS, Config
from ...hw.isa.registers import STALLS
from ...sw.compiler.backward import TrainingBuilder
from ...sw.compiler.elements import to_raw
from ...sw.compiler.walks import Images, Kernel
from ...sw.host.open import open_device
from ...sw.nn import stages
from .mem import ROOM, ran
from .named import row, wanted

ARRAYS = {"8x8": "small", "16x16": "medium", "32x32": "paper"}
"""With one lane, four and four: operands come as fast as a tile takes them."""
MATRIX = (512, 64, 64)
"""Rows that are summed over, columns of both operands."""
IMAGES = (28, 16, Kernel((3, 3), padding=(1, 1)))
"""Pixels of a side, channels in and out, window."""
TARGET = 0.95


def rows(only: str) -> Iterator[dict]:
    for array, name in ARRAYS.items():
        prefix = f"gradient.fp16.{array}"
        if not wanted(prefix, only):
            continue
        words = ROOM // PRESETS[name].lanes
        config = replace(PRESETS[name], name=f"{name}-training", tensor_words=words, training=True)
        with open_device("sim", config=config) as opened:
            for name, measure in (("matrix512", _matrix), ("conv3x3_16_28x28", _convolution)):
                useful, counters = measure(opened, config)
                share = useful / (config.macs_per_cycle * counters["cycles"])
                stalls = {stall: counters[stall] for stall in STALLS if counters[stall]}
                note = ", ".join(f"{name} {count}" for name, count in stalls.items())
                yield row(prefix, name, share, TARGET, note)


def _matrix(opened, config: Config) -> tuple[int, dict]:
    count, inner, outputs = MATRIX
    rng = np.random.default_rng(1)
    x, dy = (rng.integers(-9, 10, (count, n)).astype(float) for n in (inner, outputs))
    builder = TrainingBuilder(config)
    left = builder.tensor(count, inner)
    right = builder.tensor(count, outputs, apart=left)
    dw = builder.tensor(inner, outputs, 32)
    builder.gradient(left, right, dw)
    held = {left: to_raw(x, config.format), right: to_raw(dy, config.format)}
    got, counters = ran(opened, builder, held, dw)
    assert (got.view("<f4") == x.T @ dy).all()
    return count * inner * outputs, counters


def _convolution(opened, config: Config) -> tuple[int, dict]:
    side, channels, kernel = IMAGES
    rng, pixels = np.random.default_rng(1), side * side
    x = rng.integers(-9, 10, (1, side, side, channels)).astype(float)
    dy = rng.integers(-9, 10, (pixels, channels)).astype(float)
    builder = TrainingBuilder(config)
    left = builder.tensor(pixels, channels)
    right = builder.tensor(pixels, channels, apart=left)
    taps = kernel.taps
    dw = builder.tensor(taps * channels, channels, 32)
    builder.gradient(Images(left, side, side), Images(right, side, side), dw, kernel)
    held = {left: to_raw(x.reshape(pixels, -1), config.format), right: to_raw(dy, config.format)}
    got, counters = ran(opened, builder, held, dw)
    assert (got.view("<f4") == stages.rows(x, kernel).T @ dy).all()
    return pixels * taps * channels * channels, counters
