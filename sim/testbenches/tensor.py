"""Tensor memory behind its readers and its writer: every word as it was last written."""

import random

import cocotb
from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from cocotb.triggers import RisingEdge

from ...hw.config import Config
from ...hw.layouts.stream import beat
from ...hw.layouts.tensor import WORDS
from ...hw.lib.connect import connect_checked
from ...hw.tensor.beats import BeatReader, BeatWriter
from ...hw.tensor.memory import TensorMemory
from .common import Sink, Source, configuration, generator, start, until


class Tensors(wiring.Component):
    """The device under test: the memory, a reader on each port, and a writer."""

    def __init__(self, config: Config):
        self.config = config
        words, beats = stream.Signature(WORDS(config)), stream.Signature(beat(config))
        super().__init__(
            {
                "words_0": In(words),
                "words_1": In(words),
                "o_0": Out(beats),
                "o_1": Out(beats),
                "start": In(1),
                "target": In(WORDS(config)),
                "i": In(beats),
                "done": Out(1),
                "ended": Out(1),
                "bad_length": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = TensorMemory(self.config)
        m.submodules.writer = writer = BeatWriter(self.config)
        for n in range(2):
            m.submodules[f"reader_{n}"] = reader = BeatReader(self.config)
            connect_checked(m, wiring.flipped(getattr(self, f"words_{n}")), reader.words)
            connect_checked(m, reader.o, wiring.flipped(getattr(self, f"o_{n}")))
            connect_checked(m, reader.port, memory.reads[n])
        connect_checked(m, writer.port, memory.write)
        connect_checked(m, wiring.flipped(self.i), writer.i)
        m.d.comb += [
            writer.start.eq(self.start),
            writer.words.eq(self.target),
            self.done.eq(writer.done),
            self.ended.eq(writer.ended),
            self.bad_length.eq(writer.bad_length),
        ]
        return m


class Bench:
    """The ports, and the words that the memory must hold."""

    def __init__(self, dut, config: Config):
        self.dut, self.config = dut, config
        self.held: dict[int, int] = {}
        self.bits = 8 * config.stream_bytes
        self.source = Source(dut, "i")
        self.asked = [Source(dut, f"words_{n}") for n in range(2)]
        self.sinks = [Sink(dut, f"o_{n}") for n in range(2)]

    def words(self, address: int, count: int) -> int:
        return address | count << (self.config.tensor_words - 1).bit_length()

    async def write(self, address: int, count: int, beats: int):
        """A packet of so many beats to `count` words; what comes of it by the docstring."""
        dut, clock = self.dut, self.dut.clk
        dut.start.value, dut.target.value = 1, self.words(address, count)
        await RisingEdge(clock)
        dut.start.value = 0
        data = [random.getrandbits(self.bits) for _ in range(beats)]
        for number, word in enumerate(data):
            self.source.queue.append(word | (number == beats - 1) << self.bits)
            if number < count:
                self.held[address + number] = word
        await until(clock, lambda: int(dut.done.value), 20 * beats + 20, "the end of a write")
        assert int(dut.ended.value) == (beats <= count)
        assert int(dut.bad_length.value) == (beats != count)
        await RisingEdge(clock)
        # What goes beyond the words is not the writer's.
        taken = len(self.source.queue)
        for _ in range(5):
            await RisingEdge(clock)
        assert len(self.source.queue) == taken == max(0, beats - count)
        self.source.queue.clear()


@cocotb.test()
async def writes_and_reads(dut):
    config = configuration()
    generator()
    await start(dut, "start", "target")
    bench = Bench(dut, config)
    size = config.tensor_words
    for half in range(2):
        await bench.write(half * size // 2, size // 2, size // 2)
    for round in range(30):
        bench.source.pause = random.choice((0, 0.5))
        count = random.randrange(1, 20)
        address = random.choice((0, size // 2 - 1, size - count, random.randrange(size - count)))
        await bench.write(address, count, max(1, count + random.choice((0, 0, -1))))
        expected = [[], []]
        for n in range(2):
            bench.sinks[n].received.clear()
            bench.sinks[n].pause, bench.asked[n].pause = random.choice(((0, 0), (0.4, 0.4)))
            for _ in range(4):
                count = random.choice((1, 2, random.randrange(1, 40)))
                address = random.choice((0, random.randrange(size - count + 1)))
                bench.asked[n].queue.append(bench.words(address, count))
                expected[n] += [
                    bench.held[address + i] | (i == count - 1) << bench.bits for i in range(count)
                ]
        await until(
            dut.clk,
            lambda e=expected: all(
                len(s.received) >= len(wanted) for s, wanted in zip(bench.sinks, e, strict=True)
            ),
            5_000,
            "the words that were asked for",
        )
        assert [sink.received for sink in bench.sinks] == expected, f"round {round}"


@cocotb.test()
async def a_word_a_cycle(dut):
    """Both readers at full speed, in halves of their own; in one half, half as fast."""
    config = configuration()
    generator()
    await start(dut, "start", "target")
    bench = Bench(dut, config)
    size = config.tensor_words
    await bench.write(0, size, size)
    for second, rate in ((size // 2, 1), (0, 2)):
        for n, address in enumerate((0, second)):
            bench.sinks[n].received.clear()
            bench.sinks[n].pause = bench.asked[n].pause = 0
            bench.asked[n].queue.append(bench.words(address, size // 2))
        cycles = 0
        while any(len(sink.received) < size // 2 for sink in bench.sinks):
            await RisingEdge(dut.clk)
            cycles += 1
            assert cycles <= rate * size // 2 + 10
