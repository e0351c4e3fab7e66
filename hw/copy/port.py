"""The copy engine's port to external memory, which lives on when the engine is reset.

reads ───► ReadChannel ─► AR, R ─► came
writes ──► WriteChannel ─► AW, W, B ─► ended
goes ─► [queue] ─┘
"""

from dataclasses import replace

from amaranth import Module, Mux
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..bus.axi import Axi4
from ..bus.bursts import (
    BURST,
    LIMITS,
    READ_BEAT,
    WRITE_BEAT,
    Limits,
    ReadChannel,
    WriteChannel,
    width_of,
)
from ..config import Config
from ..lib.connect import connect_checked, connect_ports
from ..lib.fifo import Fifo

READ_ROOM = 256
"""Beats that are asked for ahead: for a burst's length and 150 cycles of a memory's latency."""
WRITES_AHEAD = 64
"""Bursts that are not acknowledged: of short rows one a beat."""
BEATS_AHEAD = 4


def limits_of(config: Config) -> Limits:
    """Of bursts on the port."""
    return replace(
        LIMITS,
        address_bits=config.external_bits,
        read_room=READ_ROOM,
        writes_ahead=WRITES_AHEAD,
    )


def TRAFFIC(config: Config, limits: Limits | None = None) -> wiring.Signature:
    """Bursts and their beats, seen from the engine; `ended` and `failed` as `WriteChannel` has
    them."""
    burst = stream.Signature(BURST(limits or limits_of(config)))
    return wiring.Signature(
        {
            "reads": Out(burst),
            "came": In(stream.Signature(READ_BEAT(config))),
            "writes": Out(burst),
            "goes": Out(stream.Signature(WRITE_BEAT(config))),
            "ended": In(1),
            "failed": In(1),
        }
    )


class ExternalPort(wiring.Component):
    """Both channels of the bus.

    Latency and throughput are the channels'. Stall rule: as theirs; while `flush` nothing is taken
    from the engine and nothing waits for it. What the memory owes is thrown away, then, and bursts
    that have begun end with beats without strobes, as the bus demands.

    Members
    -------
    traffic : In(TRAFFIC)
    flush : In(1), the engine is being reset; lasts until not `busy`
    busy : Out(1), something is under way
    m_axi : Out Axi4
    """

    def __init__(self, config: Config, limits: Limits | None = None):
        self.config = config
        limits = limits or limits_of(config)
        self.read, self.write = ReadChannel(config, limits), WriteChannel(config, limits)
        # Straight from a register, to the bus.
        self.queue = Fifo(WRITE_BEAT(config), BEATS_AHEAD, registered=True)
        super().__init__(
            {
                "traffic": In(TRAFFIC(config, limits)),
                "flush": In(1),
                "busy": Out(1),
                "m_axi": Out(Axi4(width_of(config), limits.address_bits)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        traffic, flush = self.traffic, self.flush
        m.submodules.read, m.submodules.write = read, write = self.read, self.write
        m.submodules.queue = queue = self.queue
        for channel in (read, write):
            connect_ports(m, self.m_axi, channel.m_axi)
        connect_checked(m, wiring.flipped(traffic.reads), read.bursts)
        connect_checked(m, wiring.flipped(traffic.writes), write.bursts)
        connect_checked(m, read.o, wiring.flipped(traffic.came))
        connect_checked(m, wiring.flipped(traffic.goes), queue.i)
        connect_checked(m, queue.o, write.i)
        with m.If(flush):
            m.d.comb += [
                read.bursts.valid.eq(0),
                write.bursts.valid.eq(0),
                queue.i.valid.eq(0),
                read.o.ready.eq(1),
                # First those that are there, also the one on its way through the queue.
                write.i.valid.eq(queue.o.valid | (queue.level == 0)),
                write.i.payload.strobe.eq(Mux(queue.o.valid, queue.o.payload.strobe, 0)),
                # Beats may have come before their burst.
                queue.o.ready.eq(write.i.ready | ~write.busy),
            ]
        m.d.comb += [
            traffic.ended.eq(write.ended),
            traffic.failed.eq(write.failed),
            self.busy.eq(read.busy | write.busy | (queue.level != 0)),
        ]
        return m
