"""Tensor memory, and what reads it word after word."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In

from ...hw.config import Config
from ...hw.layouts.tensor import WORDS, WRITE_PORT
from ...hw.tensor.beats import BeatReader
from ...hw.tensor.memory import TensorMemory
from ...hw.tensor.share import PortShare
from .claims import constant, ends_within, serve, stays


class TensorMemoryProof(wiring.Component):
    """Any reads and writes, but none of a word in the cycle in which it is written.

    One unit of one word is watched, which the solver chooses: the claims hold for each.
    """

    def __init__(self, config: Config):
        self.config = config
        words = range(config.tensor_words)
        super().__init__(
            {
                "valid": In(1).array(2),
                "address": In(data.ArrayLayout(words, config.lanes)).array(2),
                "write": In(WRITE_PORT(config)),
                "watched": In(words),
                "unit": In(range(config.stream_bytes // config.write_bytes)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = TensorMemory(self.config)
        wiring.connect(m, wiring.flipped(self.write), memory.write)
        constant(m, self.watched, self.unit)
        size, units, lanes = 8 * self.config.write_bytes, len(self.write.enable), self.config.lanes
        written, word, writes = Signal(), Signal(size), Signal()
        """Of the unit that is watched."""
        lane = Signal(range(lanes))
        m.d.comb += lane.eq(self.unit // (units // lanes))
        for unit in range(units):
            mine = self.write.enable[unit] & (self.unit == unit)
            with m.If(mine & (self.write.address[unit * lanes // units] == self.watched)):
                m.d.comb += writes.eq(1)
                m.d.sync += [written.eq(1), word.eq(self.write.data.word_select(unit, size))]
        taken = Signal(2)
        for n, port in enumerate(memory.reads):
            m.d.comb += [
                port.valid.eq(self.valid[n]),
                port.address.eq(self.address[n]),
                taken[n].eq(port.valid & port.ready),
            ]
            reads = Signal(name=f"reads_{n}")
            m.d.comb += [
                reads.eq(taken[n] & (port.address[lane] == self.watched)),
                # Who reads what is written in the same cycle must not look at it.
                Assume(~(reads & writes)),
            ]
            # Two cycles later the word is there, and it is what was last written.
            asked, known = Signal(2, name=f"asked_{n}"), Signal(2, name=f"known_{n}")
            early, late = Signal.like(word, name=f"early_{n}"), Signal.like(word, name=f"late_{n}")
            m.d.sync += [
                asked.eq(asked << 1 | taken[n]),
                known.eq(known << 1 | (reads & written)),
                early.eq(word),
                late.eq(early),
            ]
            m.d.comb += [
                Assert(port.there == asked[1]),
                Assert(~known[1] | (port.data.word_select(self.unit, size) == late)),
                Cover(known[1] & (port.data != 0)),
            ]
            # Nobody waits twice.
            stays(m, port.valid, port.ready, port.address, claim=Assume)
            ends_within(m, port.valid & ~port.ready, 1)
        one, two = memory.reads
        # A port waits for nothing but the other one's read of the same half.
        same = (a[-1] == b[-1] for a, b in zip(one.address, two.address, strict=True))
        clash = self.valid[0] & self.valid[1] & Cat(same).any()
        m.d.comb += [
            Assert((one.ready & two.ready) | clash),
            Assert(~clash | (one.ready ^ two.ready)),
            Cover(taken == 3),
            *(Cover((taken == 3) & (a[-1] != one.address[0][-1])) for a in one.address[1:]),
        ]
        return m


class BeatReaderProof(wiring.Component):
    """Any memory that answers in `TensorMemory.LATENCY` cycles what it has taken, as it likes."""

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "words": In(stream.Signature(WORDS(config))),
                "granted": In(1),
                "data": In(8 * config.stream_bytes),
                "ready": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.reader = reader = BeatReader(self.config)
        wiring.connect(m, wiring.flipped(self.words), reader.words)
        port = reader.port
        taken = serve(m, port, self.granted, self.data)
        m.d.comb += reader.o.ready.eq(self.ready)
        # What is asked for, in order; and how many beats must come, some of them with `last`.
        active, next_word, left = Signal(), Signal.like(port.address[0]), Signal(16)
        begun = self.words.valid & self.words.ready
        with m.If(begun):
            m.d.comb += [Assume(self.words.payload.count != 0), Assert(~active)]
            m.d.sync += [
                active.eq(1),
                next_word.eq(self.words.payload.address),
                left.eq(self.words.payload.count),
            ]
        with m.If(taken):
            m.d.comb += [
                Assert(active),
                *(Assert(address == next_word) for address in port.address),
            ]
            m.d.sync += [next_word.eq(next_word + 1), left.eq(left - 1), active.eq(left != 1)]
        m.d.comb += [
            Assert(reader.asked == (taken & (left == 1))),
            Assert(~active | (left != 0)),
            # Nothing that comes is lost: the queue itself has a proof.
            Assert(~port.there | reader.queue.i.ready),
        ]
        lasts = Signal(TensorMemory.LATENCY)
        m.d.sync += lasts.eq(lasts << 1 | reader.asked)
        beat = reader.queue.i.payload
        with m.If(port.there):
            m.d.comb += [Assert(beat.data == self.data), Assert(beat.last == lasts[-1])]
        m.d.comb += [
            Assert(reader.queue.i.valid == port.there),
            Cover(port.there & beat.last & (reader.queue.level == 3)),
        ]
        # No deadlock: what is wanted is asked for as soon as there is room.
        room = Signal(range(32), init=reader.queue.depth)
        m.d.sync += room.eq(room - taken + (reader.o.valid & reader.o.ready))
        m.d.comb += Assert(port.valid == (active & (room != 0)))
        idle = Signal(range(4))
        m.d.sync += idle.eq(Mux(active | begun, 0, idle + (idle != 3)))
        m.d.comb += Assert((idle != 3) | self.words.ready)
        return m


class PortShareProof(wiring.Component):
    """Any reads of two readers, on a port that takes them and answers as it likes."""

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "valid": In(1).array(2),
                "address": In(data.ArrayLayout(range(config.tensor_words), config.lanes)).array(2),
                "granted": In(1),
                "data": In(8 * config.stream_bytes),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.share = share = PortShare(self.config)
        port = share.port
        serve(m, port, self.granted, self.data)
        taken = Signal(2)
        for n, reader in enumerate(share.readers):
            asked = Signal(TensorMemory.LATENCY, name=f"asked_{n}")
            m.d.comb += [
                reader.valid.eq(self.valid[n]),
                reader.address.eq(self.address[n]),
                taken[n].eq(reader.valid & reader.ready),
                Assert(~taken[n] | (port.valid & port.ready & (port.address == reader.address))),
                Assert(reader.there == asked[-1]),
                Assert(~reader.there | (reader.data == self.data)),
            ]
            m.d.sync += asked.eq(asked << 1 | taken[n])
            stays(m, reader.valid, reader.ready, reader.address, claim=Assume)
        # While the port takes reads, nobody waits twice, and no cycle is lost.
        waits = Signal(2)
        for n in range(2):
            passed = self.granted & self.valid[n] & ~taken[n]
            m.d.sync += waits[n].eq(waits[n] & ~taken[n] | passed)
            m.d.comb += Assert(~(waits[n] & passed))
        m.d.comb += [
            Assert(taken != 3),
            Assert(taken.any() == (self.granted & (self.valid[0] | self.valid[1]))),
            Cover(taken[1] & waits[1]),
        ]
        return m
