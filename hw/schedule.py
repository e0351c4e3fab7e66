"""From the group records of a RUN to the groups that the issuer issues.

A record is one byte: how many weights a group keeps (`count`) and how many empty groups lie before
it (`skip`). One list of records serves every column of a column block and all its tiles.
"""

from amaranth import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .commands import Target
from .config import Config
from .feeders import Bank
from .fifo import Fifo
from .layouts import RECORD, RUN, address_bits, connect_checked, write_signature

AHEAD = 4
"""Records read ahead: covers the memory's latency and a hand-over between RUNs."""


class ScheduleReader(wiring.Component):
    """Read a RUN's records for each of its tiles, and turn skips into addresses.

    Latency: 4 cycles from a RUN to its first record. Throughput: one record a cycle (a record
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
        super().__init__(
            {
                "write": In(write_signature(config)),
                "run": In(stream.Signature(RUN)),
                "records": Out(stream.Signature(RECORD)),
                "active": Out(1),
            }
        )

    def _page(self, target: Target) -> int:
        """The address bit that tells a buffer's two pages apart."""
        return address_bits(self.config)[target] - 1

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.bank = bank = Bank(8, 2 * config.schedule_records)
        m.submodules.ahead = ahead = Fifo(RECORD, AHEAD)
        connect_checked(m, ahead.o, wiring.flipped(self.records))
        m.d.comb += [
            bank.write_en.eq(self.write.valid & (self.write.target == Target.SCHEDULE)),
            bank.write_address.eq(self.write.address),
            bank.write_data.eq(self.write.data),
        ]

        run = Signal(RUN)
        tile_base = Signal.like(run.activation_base)
        record = Signal(16)
        tile = Signal(16)

        # Read side: one record a cycle while there is room for all that is on its way.
        room = Signal(range(AHEAD + 1), init=AHEAD)
        fetch = Signal()
        dropped = Signal()
        last_record = Signal()
        last_tile = Signal()
        m.d.comb += [
            fetch.eq(self.active & (room != 0)),
            last_record.eq(record == run.schedule_count - 1),
            last_tile.eq(tile == run.row_blocks - 1),
            bank.read_en.eq(fetch),
            bank.read_address.eq(run.schedule_base + record),
            self.run.ready.eq(~self.active | (fetch & last_record & last_tile)),
        ]
        m.d.sync += room.eq(room - fetch + dropped + (ahead.o.valid & ahead.o.ready))
        with m.If(fetch):
            m.d.sync += record.eq(record + 1)
            with m.If(last_record):
                m.d.sync += [
                    record.eq(0),
                    tile.eq(tile + 1),
                    tile_base.eq(tile_base + run.activation_stride),
                ]
        with m.If(self.run.ready):
            m.d.sync += [
                self.active.eq(self.run.valid),
                run.eq(self.run.payload),
                tile_base.eq(self.run.payload.activation_base),
                record.eq(0),
                tile.eq(0),
            ]

        page = self._page(Target.ACTIVATIONS)
        # A cycle later the record is here; what belongs to it comes along.
        fetched = Signal(RECORD)
        fetched_valid = Signal()
        base = Signal(page + 1)
        m.d.sync += [
            fetched_valid.eq(fetch),
            fetched.first.eq(record == 0),
            fetched.last.eq(last_record),
            fetched.end.eq(last_record & last_tile),
            fetched.mode.eq(run.mode),
            fetched.slot_base.eq(run.slot_base),
            fetched.schedule_page.eq(run.schedule_base[self._page(Target.SCHEDULE)]),
            # A stride may run out of the page; the RUN stays in the one that it holds.
            base.eq(Cat(tile_base[:page], run.activation_base[page])),
        ]
        group = Signal(16)
        """Groups of this tile up to the record before."""
        here = Signal(16)
        count = bank.read_data[: config.count_bits]
        skip = bank.read_data[config.count_bits :]
        m.d.comb += [
            here.eq(skip),
            dropped.eq(fetched_valid & (count == 0) & ~fetched.last),
        ]
        with m.If(~fetched.first):
            m.d.comb += here.eq(group + skip)

        issued = Signal(RECORD)
        issued_valid = Signal()
        pending_first = Signal()
        m.d.sync += [
            issued.eq(fetched),
            issued.count.eq(count),
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
