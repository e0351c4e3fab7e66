"""The pruner: random tensors, N, shapes and stalls; every byte that it writes as the golden model
has it, and nothing read or written outside."""

import random

import cocotb
import numpy as np

from ...hw.config import Config
from ...hw.isa.descriptors import Prune
from ...hw.layouts.engines import PRUNE
from ..golden import prune as golden
from .at_work import AtWork
from .common import configuration, generator, start
from .descriptor_traffic import weights_to_prune


def described(config: Config, prune: Prune) -> dict:
    """A PRUNE as `layouts.engines.PRUNE` has it."""
    values = {
        "words": {"address": prune.source, "count": prune.words},
        "region": {"address": prune.address, "count": prune.room},
    }
    names = PRUNE(config).members
    return {name: getattr(prune, name) for name in names if name not in values} | values


def weights(rng: np.random.Generator, count: int) -> np.ndarray:
    """Binary32 of many magnitudes, equal ones among them, and some that are not finite."""
    values = rng.normal(size=count) * 2.0 ** rng.integers(-30, 18, count)
    if rng.random() < 0.4:
        values = np.round(rng.normal(size=count) * 2) / 4
    values = values.astype(np.float32)
    if rng.random() < 0.2:
        values[rng.integers(count)] = rng.choice([np.inf, -np.inf, np.nan, 1e30])
    return values


@cocotb.test()
async def everything_that_is_kept(dut):
    config, rng = configuration(), generator()
    await start(dut, "prunes__valid", "port__ready", "port__there", "grant")
    bench = AtWork(dut, config, rng, "prunes")
    for number in range(30):
        prune = weights_to_prune(config, rng)
        there = weights(rng, prune.words * config.stream_bytes // 4).view(np.uint8)
        bench.memory[prune.source :][: prune.words] = there.reshape(prune.words, -1)
        wanted, bench.flags = bench.memory.copy(), set()
        flags = golden.run(config, wanted, prune)
        bench.pause = random.choice((0.0, 0.0, 0.2, 0.6))
        region = range(prune.address, prune.address + prune.room)
        bench.readable = [range(prune.source, prune.source + prune.words)]
        bench.readable += [region] if prune.held else []
        bench.writable = [region]
        bench.offer(PRUNE(config), described(config, prune))
        cycles = await bench.until(number + 1, 10_000)
        assert np.array_equal(bench.memory, wanted), f"{prune}"
        assert bench.flags == flags
        if not bench.pause:
            # A square takes as many cycles as it has weights, all squares but for the first.
            squares, size = prune.inputs * prune.outputs, config.group
            fill, each = size**2 + 4 * size + 40, size**2
            if prune.held:
                # As its elements leave, or as they are read, if that takes longer.
                read = prune.kept * (1 + 32 // config.format.bits) + 12
                each = max(size * prune.kept + size, read)
            assert cycles <= squares * each + fill
    assert bench.finished == 30
