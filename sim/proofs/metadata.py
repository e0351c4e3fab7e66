"""MetadataReader: every record of a RUN that issues anything, once, in order, where it belongs."""

from amaranth import Array, Const, Module, Mux, Signal
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...hw.config import Config
from ...hw.control.metadata import MetadataReader
from ...hw.isa.codes import Target
from ...hw.isa.maps import address_bits
from ...hw.layouts.array import RUN
from .claims import constant, ends_within, stays

RECORDS, TILES = 2, 2
"""Most of a RUN."""
SILENCE = 8
"""Cycles without a record while a RUN is under way."""


class AnyBank(wiring.Component):
    """In the place of the reader's bank: any four bytes, again and again."""

    def __init__(self, addresses: int):
        super().__init__(
            {
                "table": In(8).array(4),
                "write_en": In(1),
                "write_address": In(range(addresses)),
                "write_data": In(8),
                "read_en": In(1),
                "read_address": In(range(addresses)),
                "read_data": Out(8),
            }
        )

    def elaborate(self, platform):
        m = Module()
        with m.If(self.read_en):
            m.d.sync += self.read_data.eq(Array(self.table)[self.read_address[:2]])
        return m


class MetadataReaderProof(wiring.Component):
    """Any RUNs and pauses; one of the RUNs, `chosen`, is followed record by record."""

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "table": In(8).array(4),
                "chosen": In(1),
                "offered": In(1),
                "run": In(RUN(config)),
                "ready": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        reader = MetadataReader(config)
        reader.bank = AnyBank(2 * config.schedule_records)
        m.submodules.reader = reader
        constant(m, *self.table, self.chosen)
        m.d.comb += [
            Assume((self.run.schedule_count != 0) & (self.run.schedule_count <= RECORDS)),
            Assume((self.run.row_blocks != 0) & (self.run.row_blocks <= TILES)),
            reader.run.valid.eq(self.offered),
            reader.run.payload.eq(self.run),
            reader.records.ready.eq(self.ready),
            *(to.eq(byte) for to, byte in zip(reader.bank.table, self.table, strict=True)),
        ]
        record = reader.records.payload
        accepted = self.offered & reader.run.ready
        taken = reader.records.valid & self.ready

        # RUNs that were accepted, and that have ended.
        begun, ended = Signal(8), Signal(8)
        m.d.sync += [begun.eq(begun + accepted), ended.eq(ended + (taken & record.end))]
        mine = Signal(RUN(config))
        with m.If(accepted & (begun == self.chosen)):
            m.d.sync += mine.eq(self.run)
        m.d.comb += Assert(~reader.records.valid | (begun != ended))
        with m.If(taken & (ended == self.chosen)):
            self._compare(m, mine, record)

        stays(m, reader.records.valid, self.ready, record)
        # No deadlock.
        ends_within(m, (begun != ended) & ~reader.records.valid, SILENCE)
        m.d.comb += Cover(ended == 2)
        return m

    def _compare(self, m: Module, run, record):
        """`record` must be the next one of `run` that issues anything."""
        config = self.config
        page = address_bits(config)[Target.ACTIVATIONS] - 1
        schedule_page = address_bits(config)[Target.SCHEDULE] - 1
        index, tile, issued = Signal(range(RECORDS + 1)), Signal(range(TILES + 1)), Signal()
        group = Signal(16)  # of the record at `index`, without its own skip
        place, position, there = index, group, Signal(16)
        count, found = Signal(config.count_bits), Const(0)
        for _ in range(RECORDS):
            raw = Array(self.table)[(run.schedule_base + place)[:2]]
            here = (position + raw[config.count_bits :])[:16]
            final = place == run.schedule_count - 1
            hit = ~found & ((raw[: config.count_bits] != 0) | final)
            with m.If(hit):
                m.d.comb += [there.eq(here), count.eq(raw[: config.count_bits])]
                m.d.comb += Assert(record.last == final)
                m.d.sync += [index.eq(place + 1), group.eq(here + 1)]
            found = found | hit
            place, position = (place + 1)[: len(index)], (here + 1)[:16]
        base = (run.activation_base + Mux(tile == 0, 0, run.activation_stride))[:16]
        m.d.comb += [
            Assert(record.empty == (count == 0)),
            Assert(record.more_rounds == Mux(count == 0, 0, count - 1)),
            Assert(record.first == ~issued),
            Assert(record.end == (record.last & (tile == run.row_blocks - 1))),
            Assert(record.address[:page] == (base + there)[:page]),
            Assert(record.address[page] == run.activation_base[page]),
            Assert(record.mode == run.mode),
            Assert(record.slot_base == run.slot_base),
            Assert(record.schedule_page == run.schedule_base[schedule_page]),
            Cover(issued & (tile == 1) & record.end),
        ]
        m.d.sync += issued.eq(1)
        with m.If(record.last):
            m.d.sync += [index.eq(0), group.eq(0), tile.eq(tile + 1), issued.eq(0)]
