"""Dense weights: a DENSE reads nothing but its words, and fills each slot of its columns once."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In

from ...hw.config import Config
from ...hw.layouts.tensor import DENSE
from ...hw.tensor.dense import DiagonalReader
from .claims import constant, reads_within, serve, stays

FEW, SMALL = 4, 2
"""Bits of the number of rows, and of those that say where they lie, so that the solver is done
soon."""


class DiagonalReaderProof(wiring.Component):
    """One DENSE after another, all alike: any that the judge lets pass. The memory takes reads when
    it likes, and gives the solver's words.

    A slot of one group of columns is watched, which the solver chooses: the claims hold for each.
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "offered": In(stream.Signature(DENSE(config))),
                "granted": In(1),
                "data": In(8 * config.stream_bytes),
                "slot": In(FEW),
                "column": In(range(config.columns // config.group)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, asked = self.config, self.offered.payload
        m.submodules.reader = reader = DiagonalReader(config)
        wiring.connect(m, wiring.flipped(self.offered), reader.rows)
        constant(m, asked, self.slot, self.column)
        size, together = config.group, config.dense_groups
        slots, words = Signal(FEW + 1), asked.words
        m.d.comb += [
            slots.eq((asked.count + size - 1) // size * size),
            Assume((asked.count != 0) & (asked.count < 1 << FEW)),
            Assume(asked.address % size == 0),
            Assume((asked.pitch < 1 << SMALL) & (asked.groups < 1 << SMALL)),
            Assume((words.count != 0) & (words.address + words.count <= config.tensor_words)),
            Assume(self.slot < slots),
            Assume(self.column < config.columns // size),
        ]
        stays(m, self.offered.valid, self.offered.ready, claim=Assume)
        port, write = reader.port, reader.write
        serve(m, port, self.granted, self.data)
        reads_within(m, port, words.address, words.count)
        # The slot comes once in each DENSE, from its lane, and from its word if it has one.
        lane = self.slot % config.lanes
        at = (self.slot // config.lanes) * asked.pitch[:SMALL] + self.column
        there = (self.slot < asked.count) & (self.column < asked.groups) & (at < words.count)
        where = [Signal.like(port.address[0], name=f"where_{n}") for n in range(2)]
        m.d.sync += where[0].eq(Cat(*port.address).word_select(lane, len(where[0])))
        m.d.sync += where[1].eq(where[0])
        mine, got = Signal(), Signal(8 * config.group_bytes)
        for n in range(together):
            slot = write.address + ((n - reader.skewed.turn) % together if together > 1 else 0)
            with m.If(
                write.valid
                & (slot == asked.address + self.slot)
                & (write.chunk * together + n == self.column)
            ):
                m.d.comb += [mine.eq(1), got.eq(write.data.word_select(n, len(got)))]
        wanted = self.data.word_select(lane, len(got))
        came, begun = Signal(2), Signal(4)
        begins = self.offered.valid & self.offered.ready
        m.d.sync += begun.eq(begun + begins - reader.finished)
        m.d.sync += came.eq(Mux(reader.finished, 0, came + mine))
        m.d.comb += [
            Assert(reader.skewed.skewed == write.valid),
            Assert(write.valid == port.there),
            Assert(~write.valid | (begun != 0)),
            Assert(~mine | (got == Mux(there, wanted, 0))),
            Assert(~(mine & there) | (where[1] == (words.address + at)[: len(where[1])])),
            Assert(~reader.finished | ((came + mine) == 1)),
            Assert(came + mine <= 1),
            Cover(mine & there & (got != 0) & (self.slot > config.lanes)),
            Cover(reader.finished & (begun == 2)),
            Cover(reader.fault),
        ]
        return m
