"""The dense-only processing element that ours is measured against computes what it should."""

import numpy as np
import pytest
from amaranth import Value
from amaranth.sim import Simulator

from heddle.hw.config import Config
from heddle.hw.formats import FP16, INT8, STEP_LOG2
from heddle.sim.bench.dense_pe import DenseArray
from heddle.sim.golden import dot, numbers


def operand(format, raw) -> int:
    """Packed bits of an operand: whole steps shifted out until the value fits."""
    dtype = np.uint16 if format.bits == 16 else np.uint8
    integer, step = int(numbers.significands(format, np.array([raw], dtype))[0]), 0
    while not -(1 << (format.value_bits - 1)) <= integer < 1 << (format.value_bits - 1):
        integer, step = integer >> (1 << STEP_LOG2), step + 1
    return (integer & ((1 << format.value_bits) - 1)) | step << format.value_bits


@pytest.mark.parametrize("format", [INT8, FP16], ids=lambda f: f.name)
def test_dense_array(format):
    config = Config("dense", 3, 2, format)
    rng = np.random.default_rng(3)
    array = DenseArray(config)
    tiles, inner = 4, 9
    dtype = np.uint16 if format.bits == 16 else np.uint8
    limit = 0x7C00 if format.is_float else 256  # finite codes only
    x = rng.integers(0, limit, (tiles, config.rows, inner)).astype(dtype)
    w = rng.integers(0, limit, (tiles, inner, config.columns)).astype(dtype)
    due = {}
    for tile in range(tiles):
        sums = dot.exact_matmul(format, x[tile], w[tile])
        for c in range(config.columns):
            for r in range(config.rows):
                when = tile * inner + inner - 1 + c + array.latency(config) + r
                due[when, c] = int(sums[config.rows - 1 - r, c])
    compared = []

    async def bench(ctx):
        for cycle in range(tiles * inner + array.latency(config) + 5):
            for r in range(config.rows):
                tile, k = divmod(cycle - r, inner)
                bits = operand(format, x[tile, r, k]) if 0 <= tile < tiles else 0
                ctx.set(Value.cast(array.west[r]), bits)
            for c in range(config.columns):
                tile, k = divmod(cycle - c, inner)
                inside = 0 <= tile < tiles
                bits = operand(format, w[tile, k, c]) if inside else 0
                ctx.set(Value.cast(array.north[c]), bits)
                ctx.set(array.last[c], inside and k == inner - 1)
            await ctx.tick()
            for c in range(config.columns):
                if (cycle + 1, c) in due:
                    mask = (1 << config.sum_bits) - 1
                    compared.append(ctx.get(array.sums[c]) == due[cycle + 1, c] & mask)

    simulator = Simulator(array)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert len(compared) == len(due) and all(compared)
