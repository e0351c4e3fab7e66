"""The copy engine between two memories and a host: every byte where it belongs, no others."""

import random
from dataclasses import fields
from functools import partial
from itertools import repeat

import cocotb
import numpy as np
from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiBus, AxiRam, AxiResp

from ...hw.bus.axi import Axi4
from ...hw.bus.bursts import WRITE_BEAT
from ...hw.config import Config
from ...hw.copy.engine import CopyEngine
from ...hw.copy.port import ExternalPort
from ...hw.isa.descriptors import Copy
from ...hw.layouts.engines import COPY
from ...hw.layouts.stream import beat
from ...hw.layouts.tensor import WORDS, WRITE_PORT
from ...hw.lib.connect import connect_checked
from ...hw.tensor.beats import BeatReader
from ...hw.tensor.memory import TensorMemory
from ..golden import external
from .axi_rules import AxiRules
from .common import Sink, Source, configuration, generator, join, start, until


class Copies(wiring.Component):
    """The device under test: as in the core, but that the test writes the memory, and reads it."""

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "store": In(WRITE_PORT(config)),
                "copies": In(stream.Signature(COPY(config))),
                "given": In(stream.Signature(WRITE_BEAT(config))),
                "taken": Out(stream.Signature(beat(config))),
                "words": In(stream.Signature(WORDS(config))),
                "o": Out(stream.Signature(beat(config))),
                "busy": In(1),
                "finished": Out(1),
                "fault": Out(1),
                "m_axi": Out(Axi4(8 * config.stream_bytes, config.external_bits)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.memory = memory = TensorMemory(config)
        m.submodules.engine = engine = CopyEngine(config)
        m.submodules.port = port = ExternalPort(config)
        m.submodules.reader = reader = BeatReader(config)
        connect_checked(m, wiring.flipped(self.copies), engine.copies)
        connect_checked(m, wiring.flipped(self.given), engine.given)
        connect_checked(m, engine.taken, wiring.flipped(self.taken))
        connect_checked(m, engine.traffic, port.traffic)
        connect_checked(m, port.m_axi, wiring.flipped(self.m_axi))
        connect_checked(m, wiring.flipped(self.words), reader.words)
        connect_checked(m, reader.o, wiring.flipped(self.o))
        connect_checked(m, engine.reads, memory.reads[0])
        connect_checked(m, reader.port, memory.reads[1])
        connect_checked(m, engine.writes, memory.write)
        with m.If(self.store.enable.any()):
            connect = ("enable", "address", "data")
            m.d.comb += [getattr(memory.write, n).eq(getattr(self.store, n)) for n in connect]
        m.d.comb += [
            engine.granted.eq(~self.busy & ~self.store.enable.any()),
            self.finished.eq(engine.finished),
            self.fault.eq(engine.fault),
        ]
        return m


class Bench:
    """Both memories, what they must hold, and what the host must get."""

    def __init__(self, dut, config: Config, rng: np.random.Generator):
        self.dut, self.config, self.rng = dut, config, rng
        self.size = 1 << config.external_bits
        self.bits = 8 * config.stream_bytes
        self.rules = AxiRules(dut, config)
        self.ram = AxiRam(AxiBus.from_prefix(dut, "m_axi"), dut.clk, dut.rst, size=self.size)
        self.copies, self.given = Source(dut, "copies"), Source(dut, "given", 0)
        self.words, self.o = Source(dut, "words", 0), Sink(dut, "o", 0)
        self.taken = Sink(dut, "taken")
        self.tensor = rng.integers(0, 256, (config.tensor_words, config.stream_bytes), np.uint8)
        self.memory = external.ExternalMemory()
        content = rng.integers(0, 256, self.size, np.uint8)
        self.memory.write(0, content)
        self.ram.write(0, content.tobytes())
        self.expected: list[int] = []
        self.asked = self.finished = self.faults = 0
        self.occupied = 0.0
        """Probability that others write to tensor memory."""
        cocotb.start_soon(self._watch())

    async def _watch(self):
        while True:
            await RisingEdge(self.dut.clk)
            self.finished += int(self.dut.finished.value)
            self.faults += int(self.dut.fault.value)
            self.dut.busy.value = random.random() < self.occupied

    async def stored(self):
        """The words are in tensor memory."""
        dut, bits = self.dut, (self.config.tensor_words - 1).bit_length()
        for address, word in enumerate(self.tensor):
            dut.store__enable.value = (1 << len(dut.store__enable)) - 1
            dut.store__address.value = join([address] * self.config.lanes, bits)
            dut.store__data.value = int.from_bytes(word.tobytes(), "little")
            await RisingEdge(dut.clk)
        dut.store__enable.value = 0

    def pauses(self):
        read, write = self.ram.read_if, self.ram.write_if
        for channel in (
            *(read.ar_channel, read.r_channel),
            *(write.aw_channel, write.w_channel, write.b_channel),
        ):
            often = random.choice((0, 0, 0.3, 0.8))
            channel.set_pause_generator(random.random() < often for _ in repeat(None))
        self.copies.pause, self.given.pause = random.choice(((0, 0), (0.5, 0.3), (0.9, 0.8)))
        self.taken.pause = random.choice((0, 0.4))
        self.occupied = random.choice((0, 0.3, 0.8))

    def copy(self, copy: Copy, host: bool = False):
        """A COPY; of `host` its row is the host's."""
        config = self.config
        value, at = 0, 0
        given = {f.name: getattr(copy, f.name) for f in fields(copy)} | {"host": host}
        for name, field in COPY(config):
            value |= given[name] << at
            at += field.width
        self.copies.queue.append(value)
        self.asked += 1
        if not host:
            return external.run(config, copy, self.memory, self.tensor)
        count = copy.row_bytes // config.stream_bytes
        if not copy.outward:
            words = self.memory.read(copy.external, copy.row_bytes).tobytes()
            last = 1 << self.bits
            self.expected += _beats(words, config.stream_bytes)
            self.expected[-1] |= last
            return True
        data = self.rng.integers(0, 256, copy.row_bytes, np.uint8)
        # Of some words nothing is written.
        there = self.rng.random(count) < 0.8
        for number, word in enumerate(_beats(data.tobytes(), config.stream_bytes)):
            strobe = (1 << config.stream_bytes) - 1 if there[number] else 0
            self.given.queue.append(word | strobe << self.bits)
            if there[number]:
                first = number * config.stream_bytes
                some = data[first : first + config.stream_bytes]
                self.memory.write(copy.external + first, some)
        return True

    async def done(self, cycles: int = 20_000):
        await until(self.dut.clk, lambda: self.finished == self.asked, cycles, "the end of COPYs")
        for _ in range(6):
            await RisingEdge(self.dut.clk)
        assert self.finished == self.asked

    async def check(self):
        """Both memories as they must be, whole."""
        assert self.taken.received == self.expected
        assert self.ram.read(0, self.size) == self.memory.read(0, self.size).tobytes()
        config = self.config
        self.o.received.clear()
        self.words.queue.append(config.tensor_words << (config.tensor_words - 1).bit_length())
        count = config.tensor_words
        await until(self.dut.clk, lambda: len(self.o.received) == count, 4 * count, "the words")
        mask = (1 << self.bits) - 1
        held = [word & mask for word in self.o.received]
        assert held == _beats(self.tensor.tobytes(), config.stream_bytes)


def _beats(data: bytes, size: int) -> list[int]:
    return [int.from_bytes(data[i : i + size], "little") for i in range(0, len(data), size)]


async def opened(dut) -> Bench:
    config, rng = configuration(), generator()
    await start(dut, "store__enable", "busy")
    bench = Bench(dut, config, rng)
    await bench.stored()
    return bench


def some_copy(bench: Bench) -> Copy:
    """Rows of any size at any byte, in lines or not; the last ones sometimes beyond an end."""
    config, pick = bench.config, random.choice
    whole = random.randrange(2)
    beat = config.stream_bytes
    row_bytes = pick((1, 2, 3, beat - 1, beat, beat + 1, 3 * beat, random.randrange(1, 700)))
    units = -(-row_bytes // (beat if whole else config.group_bytes))
    row_bytes, units = (row_bytes, units) if units <= config.tensor_words else (beat, 1)
    return Copy(
        outward=random.randrange(2),
        whole=whole,
        line=pick((0, 0, 1, 2, 5)),
        external=random.randrange(bench.size - row_bytes + 1),
        row_bytes=row_bytes,
        stride=pick((0, 1, row_bytes, row_bytes + 3, 4 * row_bytes)),
        line_stride=pick((0, 7, 100, 5000)),
        rows=random.randrange(1, 14),
        tensor=random.randrange(config.tensor_words - max(units, 1) + 1),
        pitch=units + random.randrange(3),
    )


@cocotb.test()
async def random_copies(dut):
    bench = await opened(dut)
    for _ in range(15):
        bench.pauses()
        before = bench.faults
        whole = True
        for _ in range(random.randrange(1, 7)):
            if random.random() < 0.25:
                beat = bench.config.stream_bytes
                count = random.randrange(1, 90)
                word = random.randrange(bench.size // beat - count)
                outward, row_bytes = random.randrange(2), count * beat
                host = Copy(
                    outward=outward, whole=1, external=word * beat, row_bytes=row_bytes, tensor=0
                )
                bench.copy(host, host=True)
            else:
                whole &= bench.copy(some_copy(bench))
        await bench.done()
        assert whole == (bench.faults == before)
    bench.occupied = 0
    await bench.check()


@cocotb.test()
async def boundaries_of_pages(dut):
    """No burst leaves its page (`AxiRules`), and none is shorter than it need be."""
    bench = await opened(dut)
    beat = bench.config.stream_bytes
    for outward, channel in enumerate(("ar", "aw")):
        bench.rules.bursts[channel].clear()
        first = 4096 - 3 * beat
        words = bench.config.tensor_words
        bench.copy(Copy(outward=outward, whole=1, external=first, row_bytes=words * beat, tensor=0))
        await bench.done()
        lengths = [beats for _, beats in bench.rules.bursts[channel]]
        assert lengths == [3, *[64] * ((words - 3) // 64), *filter(None, [(words - 3) % 64])]
    await bench.check()


@cocotb.test()
async def errors_of_the_memory(dut):
    """Every COPY ends, what failed is told, and what was read of a bad beat is not written."""
    bench = await opened(dut)
    config, beat = bench.config, bench.config.stream_bytes
    read, write = bench.ram.read_if.r_channel, bench.ram.write_if.b_channel
    for _ in range(12):
        bench.pauses()
        count = random.randrange(2, 20)
        bad = random.randrange(count)
        first = beat * random.randrange(100)
        before, tensor = bench.faults, bench.tensor.copy()
        bench.copy(Copy(whole=1, external=first, row_bytes=count * beat, tensor=5))
        bench.tensor[5 + bad] = tensor[5 + bad]
        send, beats = read.send, iter(range(count))
        read.send = partial(_fail, send, lambda beats=beats, bad=bad: next(beats) == bad, "rresp")
        await bench.done()
        read.send = send
        assert bench.faults == before + 1
        # The memory has taken what it says to have failed.
        bench.copy(
            Copy(outward=1, external=first + 3, row_bytes=config.group_bytes, rows=1, tensor=0)
        )
        send = write.send
        write.send = partial(_fail, send, lambda: True, "bresp")
        await bench.done()
        write.send = send
        assert bench.faults > before + 1
    bench.occupied = 0
    await bench.check()


async def _fail(send, fails, name: str, response):
    """Send a response of the memory, as an error if it `fails`."""
    if fails():
        setattr(response, name, random.choice((AxiResp.SLVERR, AxiResp.DECERR)))
    await send(response)


@cocotb.test()
async def at_full_speed(dut):
    """A beat a cycle each way, also from one COPY to the next; of rows on lanes a group a cycle."""
    bench = await opened(dut)
    config = bench.config
    bench.copies.pause, beat = 0, config.stream_bytes
    for outward in (0, 1):
        for whole in (1, 0):
            rows, groups = config.lanes, config.tensor_words
            copies, began = 3, bench.finished
            size = beat if whole else config.group_bytes
            for _ in range(copies):
                bench.copy(
                    Copy(
                        outward=outward,
                        whole=whole,
                        external=5,
                        row_bytes=groups * size,
                        rows=1 if whole else rows,
                        stride=groups * size,
                        tensor=0,
                        pitch=groups,
                    )
                )
            cycles = 0
            while bench.finished < began + copies:
                await RisingEdge(dut.clk)
                cycles += 1
            least = copies * groups * (1 if whole else rows)
            # Bursts of the memory's model begin some cycles after each other.
            assert cycles <= 1.15 * least + 60, f"{cycles} cycles for {least}"
    await bench.check()
