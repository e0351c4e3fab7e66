"""The vector unit before a memory that lets it wait: random programs, and every word afterwards."""

import random

import cocotb
import numpy as np

from ...hw.isa.descriptors import Vector
from ...hw.isa.vector import BEATS, Op, program_words, sizes, span_groups, strip_spans
from ...hw.layouts.engines import VECTOR
from ...sw.compiler.vector import Assembly, bits, strip
from ..golden import vector
from .at_work import AtWork
from .common import configuration, generator, start
from .vector_traffic import program


class Bench(AtWork):
    """The memory, and what the unit does to it."""

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
        self.writable = [range(base, base + words) for base, words in command.streams]
        code = program_words(self.config, command.instructions)
        self.readable = [*self.writable, range(command.program, command.program + code)]
        self.offer(VECTOR(self.config), described(command))
        cycles = await self.until(self.finished + 1, 400_000)
        assert (self.memory == wanted).all(), f"words {np.argwhere(self.memory != wanted)[:6]}"
        assert self.flags == flags
        return cycles


def described(command: Vector) -> dict:
    """A VECTOR as `layouts.engines.VECTOR` has it."""
    names = ("program", "instructions", "spans", "rows")
    streams = [{"address": base, "count": words} for base, words in command.streams]
    return {name: getattr(command, name) for name in names} | {"streams": streams}


async def opened(dut) -> tuple[Bench, np.random.Generator]:
    config, rng = configuration(), generator()
    await start(dut, "vectors__valid", "port__ready", "port__there", "grant")
    return Bench(dut, config, rng, "vectors"), rng


@cocotb.test()
async def random_programs(dut):
    bench, rng = await opened(dut)
    for number in range(16):
        bench.pause = random.choice((0, 0.3, 0.8))
        command, content = program(bench.config, rng, most_rows=30, wrong=number % 3 == 2)
        bench.put(command, content)
        await bench.carried_out(command)


@cocotb.test()
async def at_full_speed(dut):
    """An instruction in 16 cycles, also from strip to strip, if its streams lie apart."""
    bench, _ = await opened(dut)
    config = bench.config
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
    config = bench.config
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
