"""The whole accelerator behind independent AXI masters: products and registers, byte for byte."""

import random

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiStreamBus, AxiStreamSink, AxiStreamSource

from ...hw.core import Core
from ...hw.formats import OutputFormat
from ...hw.isa.codes import Flag
from ...hw.isa.commands import Sync
from ...hw.isa.host_stream import packet_of
from ...hw.isa.registers import ADDRESS, CONTROL_CLEAR_FLAGS, CONTROL_RESET, constants
from ...sw.compiler import nm, packing
from ...sw.compiler.elements import to_raw
from ...sw.compiler.scaling import fitted
from ...sw.compiler.settings import settings_of
from ...sw.host import driver
from ..golden.device import ModelTransport
from . import traffic
from .common import configuration, generator, stable, start, until

EXACT = ("commands", "errors", "macs", "tiles")
"""Counters that the model predicts: those that have nothing to do with time."""


class Bench:
    """The device's three buses, and the model that gets the same packets."""

    def __init__(self, dut, config):
        self.dut, self.config = dut, config
        self.model = ModelTransport(config)
        self.source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), dut.clk, dut.rst)
        self.sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), dut.clk, dut.rst)
        self.axi = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst)
        self.watch()

    def watch(self):
        """See that responses wait unchanged, from now on until `watching` is cancelled."""
        names = ("tvalid", "tready", "tdata", "tlast")
        signals = [getattr(self.dut, f"m_axis_{name}") for name in names]
        self.watching = cocotb.start_soon(stable(self.dut.clk, *signals))

    def pauses(self):
        for side in (self.source, self.sink):
            probability = random.choice((0, 0.3, 0.8))
            side.set_pause_generator(iter(lambda p=probability: random.random() < p, None))

    async def exchange(self, packets: list[bytes]) -> list[bytes]:
        """The responses, each of whole beats."""
        for packet in packets:
            # No byte lanes are told apart: a packet is whole beats.
            await self.source.send(packet + bytes(-len(packet) % self.config.stream_bytes))
        return [bytes((await self.sink.recv()).tdata) for _ in packets]

    async def same(self, packets: list[bytes]):
        """Every byte of every response is the model's."""
        got = await self.exchange(packets)
        for number, (a, b) in enumerate(zip(got, self.model.exchange(packets), strict=True)):
            assert a == b, f"response {number}: {a.hex()}, not {b.hex()}"

    async def read(self, name: str) -> int:
        return int.from_bytes((await self.axi.read(ADDRESS[name], 4)).data, "little")

    async def control(self, value: int):
        await self.axi.write(ADDRESS["control"], value.to_bytes(4, "little"))
        self.model.write_register(ADDRESS["control"], value)


def product(config, rng, output: OutputFormat, scale: float) -> list[bytes]:
    """The packets of a product of random shape, sparsity and settings."""
    batch, inner, outputs = (int(n) for n in rng.integers((1, 1, 1), (9, 40, 9)))
    x, w = rng.standard_normal((batch, inner)), rng.standard_normal((inner, outputs))
    if not config.format.is_float:
        x, w = (fitted(40 * v, config.format) for v in (x, w))
    n = int(rng.integers(config.group + 1))
    weights = packing.pack(nm.prune(w, n, config.group), config.format, n, config.group)
    bias = rng.standard_normal(outputs) if rng.random() < 0.5 else None
    settings = settings_of(config, outputs, bias, scale * (1 + rng.random(outputs)))
    plan = driver.Plan(
        config, to_raw(x, config.format), weights, settings, bool(rng.integers(2)), output
    )
    return plan.packets()[0]


async def opened(dut) -> Bench:
    config = configuration()
    await start(dut)
    bench = Bench(dut, config)
    for _ in range(2):
        await RisingEdge(dut.clk)
    return bench


@cocotb.test()
async def products(dut):
    rng = generator()
    bench = await opened(dut)
    config = bench.config
    for name, value in constants(config).items():
        assert await bench.read(name) == value, name
    for _ in range(20):
        bench.pauses()
        output = OutputFormat(int(rng.integers(3)))
        # Small enough that nothing is clipped: the sticky flags in a response come with time.
        await bench.same(product(config, rng, output, 2.0**-14))
    bench.pauses()
    await bench.same([traffic.command(config, rng, faults=1, ordered=True) for _ in range(40)])
    for name in EXACT:
        assert await bench.read(name) == bench.model.read_register(ADDRESS[name]), name
    assert await bench.read("flags") == 0

    # Clipped outputs raise the flag, and the host clears it.
    if not config.format.is_float:
        await bench.exchange(product(config, np.random.default_rng(3), OutputFormat.INT8, 1.0))
        assert await bench.read("flags") == 1 << Flag.SATURATED
        await bench.control(CONTROL_CLEAR_FLAGS)
        assert await bench.read("flags") == 0


@cocotb.test()
async def reset_under_way(dut):
    """A reset with RUNs under way empties the device; the next product is as after power-up."""
    rng = generator()
    bench = await opened(dut)
    config = bench.config
    settle = Core.settle(config) + 4
    for _ in range(6):
        # What it loads stays loaded, in the model too.
        packets = product(config, rng, OutputFormat.FP32, 1.0)
        bench.model.exchange(packets)
        for packet in packets:
            await bench.source.send(packet)
        bench.source.set_pause_generator(None)
        bench.source.pause = False
        bench.sink.set_pause_generator(iter(lambda: random.random() < 0.9, None))
        await until(dut.clk, bench.source.idle, 50_000, "the end of the commands")
        bench.watching.cancel()  # what a reset takes back was offered
        await bench.control(CONTROL_RESET)
        bench.sink.set_pause_generator(None)
        bench.sink.pause = False
        for _ in range(settle):
            await RisingEdge(dut.clk)
        bench.watch()
        # A response that was cut short ends with the first one after the reset: drop both.
        bench.sink.clear()
        await bench.exchange([packet_of(config, Sync())])
        bench.pauses()
        await bench.same(product(config, rng, OutputFormat.FP16, 2.0**-14))
