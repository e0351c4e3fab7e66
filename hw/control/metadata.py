"""From the group records of a RUN to the groups that the issuer issues.

A record is one byte: how many weights a group keeps (`count`) and how many empty groups lie before
it (`skip`). One list of records serves every column of a column block and all its tiles.
"""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..buffers.bank import Bank
from ..config import Config
from ..isa.codes import Target
from ..isa.maps import address_bits
from ..layouts.array import RECORD, RUN, write_signature
from ..lib.connect import connect_checked
from ..lib.fifo import Fifo
from ..lib.pipeline import delay

AHEAD = 6
"""Records read ahead: covers the memory's latency and a hand-over between RUNs."""


class MetadataReader(wiring.Component):
    """Read a RUN's records for each of its tiles, and turn skips into addresses.

    Latency: 6 cycles from a RUN to its first record. Throughput: one record a cycle (a record
    without weights costs its cycle and gives nothing), RUN after RUN without a gap. Stalls when
    `records` does; never drops one.

    Members
    -------
    write : the write bus
    run : In stream of layouts.RUN
    records : Out stream of layouts.RECORD
    active : Out(1), a RUN is being read
    """

    def __init__(self, config: Config):
        self.config = config
        self.bank = Bank(8, 2 * config.schedule_records)
        super().__init__(
            {
                "write": In(write_signature(config)),
                "run": In(stream.Signature(RUN(config))),
                "records": Out(stream.Signature(RECORD(config))),
                "active": Out(1),
            }
        )

    def _page(self, target: Target) -> int:
        """The address bit that tells a buffer's two pages apart."""
        return address_bits(self.config)[target] - 1

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.bank = bank = self.bank
        depth = 2 if config.compact else AHEAD
        m.submodules.ahead = ahead = Fifo(RECORD(config), depth, registered=not config.compact)
        connect_checked(m, ahead.o, wiring.flipped(self.records))
        m.d.comb += [
            bank.write_en.eq(self.write.valid & (self.write.target == Target.SCHEDULE)),
            bank.write_address.eq(self.write.address),
            bank.write_data.eq(self.write.data),
        ]

        run = Signal(RUN(config), reset_less=True)
        tile_base = Signal.like(run.activation_base)
        address = Signal.like(run.schedule_base)
        # What comes after the record, and after the tile.
        records_left, tiles_left = Signal(16), Signal(16)
        first_record = Signal()

        # Read side: one record a cycle while there is room for all that is on its way.
        room = Signal(range(depth + 1), init=depth)
        fetch = Signal()
        dropped = Signal()
        last_record = Signal()
        last_tile = Signal()
        m.d.comb += [
            fetch.eq(self.active & (room != 0)),
            last_record.eq(records_left == 0),
            last_tile.eq(tiles_left == 0),
            bank.read_en.eq(fetch),
            bank.read_address.eq(address),
            self.run.ready.eq(~self.active | (fetch & last_record & last_tile)),
        ]
        m.d.sync += room.eq(room - fetch + dropped + (ahead.o.valid & ahead.o.ready))
        with m.If(fetch):
            m.d.sync += [
                address.eq(address + 1),
                records_left.eq(records_left - 1),
                first_record.eq(last_record),
            ]
            with m.If(last_record):
                m.d.sync += [
                    address.eq(run.schedule_base),
                    records_left.eq(run.schedule_count - 1),
                    tiles_left.eq(tiles_left - 1),
                    tile_base.eq(tile_base + run.activation_stride),
                ]
        with m.If(self.run.ready):
            m.d.sync += [
                self.active.eq(self.run.valid),
                run.eq(self.run.payload),
                tile_base.eq(self.run.payload.activation_base),
                address.eq(self.run.payload.schedule_base),
                records_left.eq(self.run.payload.schedule_count - 1),
                tiles_left.eq(self.run.payload.row_blocks - 1),
                first_record.eq(1),
            ]

        page = self._page(Target.ACTIVATIONS)
        # Two cycles later the record is here, out of the block RAM and into a register; what
        # belongs to it comes along.
        token = Signal(data.StructLayout({"valid": 1, "record": RECORD(config), "base": page + 1}))
        m.d.comb += [
            token.valid.eq(fetch),
            token.record.first.eq(first_record),
            token.record.last.eq(last_record),
            token.record.end.eq(last_record & last_tile),
            token.record.mode.eq(run.mode),
            token.record.slot_base.eq(run.slot_base),
            *([token.record.hold.eq(run.hold)] if config.training else []),
            token.record.schedule_page.eq(run.schedule_base[self._page(Target.SCHEDULE)]),
            # A stride may run out of the page; the RUN stays in the one that it holds.
            token.base.eq(Cat(tile_base[:page], run.activation_base[page])),
        ]
        token = delay(m, "fetched", token, 2)
        fetched, fetched_valid, base = token.record, token.valid, token.base
        raw = Signal(8, reset_less=True)
        m.d.sync += raw.eq(bank.read_data)
        group = Signal(16)
        """Groups of this tile up to the record before."""
        here = Signal(16)
        count = raw[: config.count_bits]
        skip = raw[config.count_bits :]
        m.d.comb += [
            here.eq(skip),
            dropped.eq(fetched_valid & (count == 0) & ~fetched.last),
        ]
        with m.If(~fetched.first):
            m.d.comb += here.eq(group + skip)

        issued = Signal(RECORD(config), reset_less=True)
        issued_valid = Signal()
        pending_first = Signal()
        m.d.sync += [
            issued.eq(fetched),
            issued.more_rounds.eq(Mux(count == 0, 0, count - 1)),
            issued.empty.eq(count == 0),
            issued.address.eq(base),
            issued.address[:page].eq(base + here),
            # `first` belongs to the first record that issues anything.
            issued.first.eq(fetched.first | pending_first),
            issued_valid.eq(fetched_valid & ~dropped),
        ]
        with m.If(fetched_valid):
            m.d.sync += group.eq(here + 1)
            m.d.sync += pending_first.eq(dropped & (fetched.first | pending_first))
        m.d.comb += [ahead.i.payload.eq(issued), ahead.i.valid.eq(issued_valid)]
        return m
