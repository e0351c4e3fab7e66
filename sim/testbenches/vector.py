"""The vector unit before a memory that lets it wait: random programs, and every word afterwards."""

import random

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from ...hw.config import Config
from ...hw.isa.codes import Flag
from ...hw.isa.descriptors import Vector
from ...hw.isa.vector import BEATS, Op, sizes, span_groups, strip_spans
from ...sw.compiler.vector import Assembly, bits, strip
from ..golden import vector
from .common import configuration, generator, start
from .vector_traffic import program


class Bench:
    """The memory, and what the unit does to it."""

    def __init__(self, dut, config: Config, rng: np.random.Generator):
        self.dut, self.config = dut, config
        shape = config.tensor_words, config.stream_bytes
        self.memory = rng.integers(0, 256, shape, np.uint8)
        self.wait = 0.3
        """Probability that a read, or a write, must wait in a cycle."""
        self.finished = self.reads = self.writes = 0
        self.flags: set[Flag] = set()
        self.allowed: list[range] = []
        self.readable: list[range] = []
        """Words that a program may write, and read."""
        cocotb.start_soon(self._run())

    def put(self, command: Vector, content: bytes):
        """The program into the memory."""
        words = np.frombuffer(content, np.uint8).reshape(-1, self.config.stream_bytes)
        self.memory[command.program : command.program + len(words)] = words

    async def carried_out(self, command: Vector) -> int:
        """Let the unit run it; every word and flag as the golden model has them. Returns the
        cycles that it took."""
        wanted = self.memory.copy()
        flags = vector.run(self.config, wanted, command)
        self.flags.clear()
        self.allowed = [range(base, base + words) for base, words in command.streams]
        code = -(-command.instructions * 8 // self.config.stream_bytes)
        self.readable = [*self.allowed, range(command.program, command.program + code)]
        dut, done = self.dut, self.finished + 1
        dut.vectors__payload.value = self._descriptor(command)
        dut.vectors__valid.value = 1
        cycles = 0
        while not int(dut.vectors__ready.value) or not cycles:
            await RisingEdge(dut.clk)
            cycles += 1
        dut.vectors__valid.value = 0
        dut.vectors__payload.value = random.getrandbits(len(dut.vectors__payload))
        while self.finished < done:
            await RisingEdge(dut.clk)
            cycles += 1
            assert cycles < 400_000, "no end of a program"
        await RisingEdge(dut.clk)
        assert (self.memory == wanted).all(), f"words {np.argwhere(self.memory != wanted)[:6]}"
        assert self.flags == flags
        return cycles

    def _descriptor(self, command: Vector) -> int:
        words = self.config.tensor_words
        fields = [(command.program, (words - 1).bit_length()), (command.instructions, 9)]
        fields += [(command.spans, 16), (command.rows, 16)]
        for base, count in command.streams:
            fields += [(base, (words - 1).bit_length()), (count, words.bit_length())]
        descriptor = at = 0
        for value, width in fields:
            descriptor, at = descriptor | value << at, at + width
        return descriptor

    async def _run(self):
        """The memory's side: words two cycles after they were asked for."""
        dut, config, asked = self.dut, self.config, None
        units = config.stream_bytes // config.write_bytes
        bits = (config.tensor_words - 1).bit_length()
        while True:
            await RisingEdge(dut.clk)
            if int(dut.finished.value):
                self.finished += 1
            for name in ("fault", "overflow", "saturated"):
                if int(getattr(dut, name).value):
                    self.flags.add(Flag[name.upper()])
            enable = int(dut.write__enable.value)
            if enable:
                assert int(dut.grant.value), "written without leave"
                self.writes += 1
                for unit in range(units):
                    if enable >> unit & 1:
                        lane = unit * config.lanes // units
                        address = int(dut.write__address.value) >> bits * lane & (1 << bits) - 1
                        assert any(address in words for words in self.allowed)
                        part = slice(unit * config.write_bytes, (unit + 1) * config.write_bytes)
                        data = int(dut.write__data.value).to_bytes(config.stream_bytes, "little")
                        self.memory[address, part] = np.frombuffer(data[part], np.uint8)
            dut.port__there.value = asked is not None
            dut.port__data.value = random.getrandbits(64) if asked is None else asked
            asked = None
            if int(dut.port__valid.value) and int(dut.port__ready.value):
                address = int(dut.port__address.value) & (1 << bits) - 1
                assert any(address in words for words in self.readable), "read elsewhere"
                asked = int.from_bytes(self.memory[address].tobytes(), "little")
                self.reads += 1
            dut.port__ready.value = random.random() >= self.wait
            dut.grant.value = random.random() >= self.wait


async def opened(dut) -> tuple[Bench, np.random.Generator]:
    config, rng = configuration(), generator()
    await start(dut, "vectors__valid", "port__ready", "port__there", "grant")
    return Bench(dut, config, rng), rng


@cocotb.test()
async def random_programs(dut):
    bench, rng = await opened(dut)
    for number in range(16):
        bench.wait = random.choice((0, 0.3, 0.8))
        command, content = program(bench.config, rng, most_rows=30, wrong=number % 3 == 2)
        bench.put(command, content)
        await bench.carried_out(command)


@cocotb.test()
async def at_full_speed(dut):
    """An instruction in 16 cycles, also from strip to strip, if its streams lie apart."""
    bench, _ = await opened(dut)
    config, bench.wait = bench.config, 0
    size = 2 if config.format.bits == 16 else 1
    code = Assembly(config)
    for stream in range(3):
        code.stream(stream, size, 1)
    code.load(0, 0)
    code.load(1, 1)
    code.work(Op.ADD, 0, 0, 1)
    code.work(Op.MAX, 0, 0, 0.0)
    code.store(2, 0)
    strips = 4
    rows = strips * strip_spans(config)
    words = rows // config.lanes
    place = config.tensor_words - 16
    bench.put(code.command(place, 1, 1, []), code.content())
    streams = [(n * words, words) for n in range(3)]
    cycles = await bench.carried_out(code.command(place, 1, rows, streams))
    assert cycles <= strips * 5 * BEATS + 75, cycles


@cocotb.test()
async def streams_at_full_speed(dut):
    """An operation on a strip of a stream, or to one, takes no other time than one between
    registers, if a strip has no more groups than beats."""
    bench, _ = await opened(dut)
    config, bench.wait = bench.config, 0
    groups = config.vector_lanes * BEATS * 8 // (config.format.bits * config.group)
    size = max(size for size in sizes(config) if size * groups <= BEATS)
    code = Assembly(config)
    for stream in range(3):
        code.stream(stream, size, span_groups(config, size))
    code.work(Op.OR, 0, strip(0), bits(0))
    code.work(Op.XOR, 0, strip(1), 0)
    code.work(Op.AND, 0, 0, bits(0x7FFF), to=2)
    strips = 4
    rows = strips * strip_spans(config)
    words = rows // config.lanes * span_groups(config, size)
    place = config.tensor_words - 16
    streams = [(n * words, words) for n in range(3)]
    command = code.command(place, 1, rows, streams)
    bench.put(command, code.content())
    cycles = await bench.carried_out(command)
    assert cycles <= strips * 3 * BEATS + 75, cycles
