"""The filler and the row mover on one memory: every word to its buffer, once, at full speed."""

import random
from collections import deque

import cocotb
from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from cocotb.triggers import RisingEdge

from ...hw.config import Config
from ...hw.isa.commands import Target
from ...hw.isa.maps import address_bits, chunks
from ...hw.layouts import (
    FILL,
    ROWS,
    WORDS,
    WRITE_PORT,
    beat,
    connect_checked,
    write_signature,
)
from ...hw.tensor.beats import BeatReader
from ...hw.tensor.filler import Filler
from ...hw.tensor.memory import TensorMemory
from ...hw.tensor.rows import RowMover
from ...hw.tensor.share import PortShare
from .common import Sink, Source, configuration, generator, join, start, until
from .traffic import payload_bits


class Movers(wiring.Component):
    """The device under test: as in the core, but that the test writes the memory."""

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "store": In(WRITE_PORT(config)),
                "fills": In(stream.Signature(FILL(config))),
                "rows": In(stream.Signature(ROWS(config))),
                "words": In(stream.Signature(WORDS(config))),
                "o": Out(stream.Signature(beat(config))),
                "write": Out(write_signature(config)),
                "row_write": Out(write_signature(config)),
                "index_write": Out(write_signature(config)),
                "finished": Out(2),
                "fault": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.memory = memory = TensorMemory(config)
        m.submodules.filler = filler = Filler(config)
        m.submodules.mover = mover = RowMover(config)
        m.submodules.reader = reader = BeatReader(config)
        m.submodules.share = share = PortShare(config)
        connect_checked(m, wiring.flipped(self.store), memory.write)
        connect_checked(m, wiring.flipped(self.fills), filler.fills)
        connect_checked(m, wiring.flipped(self.rows), mover.rows)
        connect_checked(m, wiring.flipped(self.words), reader.words)
        connect_checked(m, reader.o, wiring.flipped(self.o))
        connect_checked(m, reader.port, share.readers[0])
        connect_checked(m, mover.port, share.readers[1])
        connect_checked(m, share.port, memory.reads[0])
        connect_checked(m, filler.port, memory.reads[1])
        connect_checked(m, filler.write, wiring.flipped(self.write))
        connect_checked(m, mover.write, wiring.flipped(self.row_write))
        connect_checked(m, filler.indices, wiring.flipped(self.index_write))
        m.d.comb += [
            self.finished.eq(filler.finished | mover.finished << 1),
            self.fault.eq(filler.fault),
        ]
        return m


class Bench:
    """What the memory holds, and what must still come out of each mover."""

    def __init__(self, dut, config: Config):
        self.dut, self.config = dut, config
        self.bits = 8 * config.stream_bytes
        self.size = (config.tensor_words - 1).bit_length()
        self.held = [random.getrandbits(self.bits) for _ in range(config.tensor_words)]
        self.fills, self.rows = Source(dut, "fills"), Source(dut, "rows")
        self.words, self.o = Source(dut, "words"), Sink(dut, "o")
        self.writes: deque = deque()
        """(target, address, chunk, data) of the filler, True or False where a FILL ends: it had
        indices beside its values, or not."""
        self.row_writes: deque = deque()
        self.index_writes: deque = deque()
        self.faults = 0
        cocotb.start_soon(self._watch())

    async def stored(self):
        """The words are in the memory."""
        dut = self.dut
        for address, word in enumerate(self.held):
            dut.store__enable.value = (1 << len(dut.store__enable)) - 1
            dut.store__address.value = join([address] * self.config.lanes, self.size)
            dut.store__data.value = word
            await RisingEdge(dut.clk)
        dut.store__enable.value = 0

    def fill(
        self, target: Target, address: int, count: int, source: int, words: int, *indices: int
    ):
        """A FILL; with the first word of `indices` beside its values, and how many these are."""
        descriptor = int(target) | address << 2 | count << 18 | source << 34
        first, beside = indices or (0, 0)
        at = 34 + self.size
        descriptor |= words << at | first << at + self.size + 1 | beside << at + 2 * self.size + 1
        self.fills.queue.append(descriptor)
        self._deal(self.writes, target, address, count, source, words)
        if indices:
            self._deal(self.index_writes, Target.INDICES, address, count, first, beside)
        self.writes.append(bool(indices))

    def _deal(self, due: deque, target: Target, address: int, count: int, source: int, words: int):
        kind = chunks(self.config)[target]
        data = 0
        for word in reversed(self.held[source : source + words]):
            data = data << self.bits | word
        for i in range(min(count * kind.per_word, words * kind.per_beat)):
            piece = data >> i * kind.bits & (1 << kind.bits) - 1
            place = address + i // kind.per_word, i % kind.per_word
            due.append((int(target), *place, piece))
        if due is self.index_writes:
            due.append(None)

    def move(self, source: int, pitch: int, groups: int, rows: int, address: int):
        config = self.config
        size, lanes = (config.tensor_words - 1).bit_length(), config.lanes
        fields = ((pitch, 16), (groups, 16), (rows, config.rows.bit_length()), (address, 16))
        descriptor, at = source, size
        for value, width in fields:
            descriptor, at = descriptor | value << at, at + width
        self.rows.queue.append(descriptor)
        lane = self.bits // lanes
        for group in range(groups):
            for window in range(config.rows // lanes):
                word = self.held[source + window * pitch + group]
                there = max(0, min(lanes, rows - window * lanes))
                word &= (1 << there * lane) - 1
                self.row_writes.append((address + group, window, word))
        self.row_writes.append(None)

    async def _watch(self):
        dut = self.dut
        while True:
            await RisingEdge(dut.clk)
            for bus, due in (("write", self.writes), ("index_write", self.index_writes)):
                valid, *place, data = (
                    int(getattr(dut, f"{bus}__{name}").value)
                    for name in ("valid", "target", "address", "chunk", "data")
                )
                if valid:
                    target, address, chunk, wanted = due.popleft()
                    mask = (1 << chunks(self.config)[target].bits) - 1
                    assert (place, data & mask) == ([target, address, chunk], wanted)
            if int(dut.row_write__valid.value):
                assert int(dut.row_write__target.value) == Target.ACTIVATIONS
                bus = dut.row_write__address, dut.row_write__chunk, dut.row_write__data
                assert tuple(int(b.value) for b in bus) == self.row_writes.popleft()
            ended = int(dut.finished.value)
            if ended & 1:
                beside = self.writes.popleft()
                assert isinstance(beside, bool), "a FILL ends before its last chunk"
                if beside:
                    assert self.index_writes.popleft() is None, "a FILL ends before its last index"
            if ended & 2:
                assert self.row_writes.popleft() is None, "a ROWS ends before its last group"
            self.faults += int(dut.fault.value)

    async def done(self, cycles: int):
        await until(
            self.dut.clk,
            lambda: not (self.writes or self.row_writes or self.index_writes),
            cycles,
            "the end of all moves",
        )


async def opened(dut) -> Bench:
    config = configuration()
    generator()
    await start(dut, "store__enable")
    bench = Bench(dut, config)
    await bench.stored()
    return bench


@cocotb.test()
async def random_moves(dut):
    bench = await opened(dut)
    config, size = bench.config, bench.config.tensor_words
    windows, faults, asked = config.rows // config.lanes, 0, 0
    for _ in range(120):
        bench.fills.pause, bench.rows.pause = random.choice(((0, 0), (0.5, 0.5), (0, 0.9)))
        target = random.choice(list(Target)[1:])
        depth = 1 << address_bits(config)[target]
        count = random.randrange(1, 9)
        words = -(-count * payload_bits(config)[target] // bench.bits)
        if random.random() < 0.2:
            words = max(1, words + random.choice((-1, 1)))
        source = random.randrange(size - words + 1)
        beside = []
        if target is Target.VALUES and random.random() < 0.6:
            needed = -(-count * payload_bits(config)[Target.INDICES] // bench.bits)
            # Each of the two may have too few words, or too many.
            some = max(1, needed + random.choice((-1, 0, 0, 0, 1)))
            beside = [random.randrange(size - some + 1), some]
            faults += some != needed
        bench.fill(target, random.randrange(depth - count), count, source, words, *beside)
        # A record's count is in its lowest bits; more than a group has are a fault.
        records = []
        if target is Target.SCHEDULE:
            content = b"".join(
                word.to_bytes(config.stream_bytes, "little")
                for word in bench.held[source : source + words]
            )
            records = [r & (1 << config.count_bits) - 1 for r in content[:count]]
        needed = -(-count * payload_bits(config)[target] // bench.bits)
        faults += words != needed or any(r > config.group for r in records)
        groups, pitch = random.randrange(1, 9), random.randrange(9)
        room = size - (windows - 1) * pitch - groups
        rows, page = random.randrange(1, config.rows + 1), 2 * config.activation_groups
        bench.move(random.randrange(room + 1), pitch, groups, rows, random.randrange(page - groups))
        if random.random() < 0.3:
            count = random.randrange(1, 9)
            bench.words.queue.append(count << (size - 1).bit_length())
            asked += count
    await bench.done(40_000)
    assert bench.faults == faults
    await until(dut.clk, lambda: len(bench.o.received) == asked, 5_000, "what was read beside")
    mask = (1 << bench.bits) - 1
    assert {word & mask for word in bench.o.received} <= set(bench.held[:8])


@cocotb.test()
async def at_full_speed(dut):
    """A group of each lane a cycle, from one ROWS to the next; the other half is filled from."""
    bench = await opened(dut)
    config, size = bench.config, bench.config.tensor_words
    bench.fills.pause = bench.rows.pause = 0
    windows = config.rows // config.lanes
    groups, times = 16 // windows, 6
    kind = chunks(config)[Target.VALUES]
    words = 8
    slots = words * kind.per_beat // kind.per_word
    beside = -(-slots * payload_bits(config)[Target.INDICES] // bench.bits)
    for _ in range(times):
        bench.move(0, groups, groups, config.rows, 0)
        bench.fill(Target.VALUES, 0, slots, size // 2, words, size // 2, beside)
    began = len(bench.row_writes)
    cycles = 0
    while bench.row_writes:
        await RisingEdge(dut.clk)
        cycles += 1
    assert cycles <= began + 8
    await bench.done(2000)
    assert not bench.faults
