"""The pruner: random tensors, N, shapes and stalls; every byte that it writes as the golden model
has it, and nothing read or written outside."""

import random

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from ...hw.config import Config
from ...hw.isa.codes import Flag
from ...hw.isa.descriptors import Prune
from ...hw.layouts.engines import PRUNE
from ..golden import prune as golden
from .common import configuration, generator, start
from .descriptor_traffic import weights_to_prune


class Bench:
    """A pruner and its memory, which takes reads and lets write when it likes."""

    def __init__(self, dut, config: Config, rng: np.random.Generator):
        self.dut, self.config = dut, config
        self.memory = rng.integers(0, 256, (config.tensor_words, config.stream_bytes), np.uint8)
        self.pause = 0.0
        self.finished = self.cycles = 0
        self.flags: set[Flag] = set()
        self.reads = self.writes = range(0)
        """Words that may be read, and written."""
        cocotb.start_soon(self._run())

    def offer(self, prune: Prune) -> None:
        """Offer a PRUNE until it is taken."""
        self.reads = range(prune.source, prune.source + prune.words)
        self.writes = range(prune.address, prune.address + prune.room)
        values = {
            "words": {"address": prune.source, "count": prune.words},
            "region": {"address": prune.address, "count": prune.room},
        }
        for name in PRUNE(self.config).members:
            values.setdefault(name, getattr(prune, name, None))
        self.dut.prunes__payload.value = PRUNE(self.config).const(values).as_value().value
        self.dut.prunes__valid.value = 1

    async def _run(self):
        """The memory's side: words two cycles after they were asked for."""
        dut, asked = self.dut, None
        ready = grant = False
        while True:
            await RisingEdge(dut.clk)
            self.cycles += 1
            self.finished += int(dut.finished.value)
            if int(dut.prunes__valid.value) and int(dut.prunes__ready.value):
                dut.prunes__valid.value = 0
            if int(dut.fault.value):
                self.flags.add(Flag.FAULT)
            self._written(int(dut.write__enable.value), grant)
            dut.port__there.value = asked is not None
            dut.port__data.value = random.getrandbits(64) if asked is None else asked
            asked = self._word() if int(dut.port__valid.value) and ready else None
            ready, grant = (random.random() >= self.pause for _ in range(2))
            dut.port__ready.value, dut.grant.value = ready, grant

    def _addresses(self, port: str) -> list[int]:
        bits = (self.config.tensor_words - 1).bit_length()
        packed = int(getattr(self.dut, f"{port}__address").value)
        return [packed >> bits * n & (1 << bits) - 1 for n in range(self.config.lanes)]

    def _word(self) -> int:
        size, addresses = self.config.group_bytes, self._addresses("port")
        assert all(address in self.reads for address in addresses), "read outside"
        groups = (
            self.memory[a, n * size : (n + 1) * size].tobytes() for n, a in enumerate(addresses)
        )
        return int.from_bytes(b"".join(groups), "little")

    def _written(self, enable: int, grant: bool):
        config, unit = self.config, self.config.write_bytes
        if not enable:
            return
        assert grant, "written without leave"
        data = int(self.dut.write__data.value).to_bytes(config.stream_bytes, "little")
        addresses = self._addresses("write")
        for n in range(config.stream_bytes // unit):
            if enable >> n & 1:
                address, part = (
                    addresses[n * unit // config.group_bytes],
                    slice(n * unit, n * unit + unit),
                )
                assert address in self.writes, "written outside"
                self.memory[address, part] = np.frombuffer(data[part], np.uint8)


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
    bench = Bench(dut, config, rng)
    for number in range(30):
        prune = weights_to_prune(config, rng)
        there = weights(rng, prune.words * config.stream_bytes // 4).view(np.uint8)
        bench.memory[prune.source :][: prune.words] = there.reshape(prune.words, -1)
        wanted, bench.flags = bench.memory.copy(), set()
        flags = golden.run(config, wanted, prune)
        bench.pause = random.choice((0.0, 0.0, 0.2, 0.6))
        began = bench.cycles
        bench.offer(prune)
        while bench.finished == number:
            await RisingEdge(dut.clk)
            assert bench.cycles - began < 10000, "never finished"
        await RisingEdge(dut.clk)
        assert np.array_equal(bench.memory, wanted), f"{prune}"
        assert bench.flags == flags
        if not bench.pause:
            # A square takes as many cycles as it has weights, all squares but for the first.
            squares = prune.inputs * prune.outputs
            fill = config.group**2 + 4 * config.group + 40
            assert bench.cycles - began <= squares * config.group**2 + fill
    assert bench.finished == 30
