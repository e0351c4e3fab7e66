"""Column settings from tensor memory: an entry of sixteen bytes for each column.

words ─► BeatReader ─► [beats of an entry, or entries of a beat] ─► settings bus
"""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..isa.descriptors import SETTING_BYTES
from ..layouts.array import settings_signature
from ..layouts.tensor import DEAL, READ_PORT, SETTING
from ..lib.connect import connect_checked
from .beats import BeatReader


def dealer_members(config: Config) -> dict:
    """Of a component that sets the entry of one column after another from words of memory."""
    return {
        "deals": In(stream.Signature(DEAL(config))),
        "port": Out(READ_PORT(config)),
        "settings": Out(settings_signature(config)),
        "finished": Out(1),
        "fault": Out(1),
    }


class SettingsDealer(wiring.Component):
    """Set the entry of one column after another, from column 0 on.

    Latency: 5 cycles from `deals` to the first column of a stream as wide as an entry. Throughput:
    a column a cycle, or as long as its beats take. Stall rule: waits for the memory alone.

    Members
    -------
    deals : In stream of layouts.DEAL: its address is the entry, its count that of the columns
    port : Out(layouts.READ_PORT)
    settings : Out, the settings bus
    finished : Out(1), the last word has come and the last column is set
    fault : Out(1), with it: the words were not as many as the columns take
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(dealer_members(config))

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.reader = reader = BeatReader(config)
        connect_checked(m, reader.port, wiring.flipped(self.port))
        per_beat = max(1, config.stream_bytes // SETTING_BYTES)
        beats = max(1, SETTING_BYTES // config.stream_bytes)
        asked, column = Signal(DEAL(config), reset_less=True), Signal(8)
        # The entries of a beat leave from its low bits; those of several come in at the top.
        held, left = Signal(per_beat * 8 * SETTING_BYTES), Signal(range(per_beat + 1))
        came, active, ended = Signal(range(beats)), Signal(), Signal()
        beat = reader.o.payload
        wanted = column != asked.count
        last = left <= 1 if per_beat > 1 else Const(1)
        m.d.comb += [
            self.deals.ready.eq(~active),
            reader.words.valid.eq(self.deals.valid & ~active),
            reader.words.payload.eq(self.deals.payload.words),
            reader.o.ready.eq(active & last),
            self.settings.valid.eq((left != 0) & wanted),
            self.settings.column.eq(column),
            self.settings.entry.eq(asked.address),
        ]
        setting = data.View(SETTING, held[: 8 * SETTING_BYTES])
        m.d.comb += [
            getattr(self.settings, name).eq(setting[name]) for name in ("scale", "exponent", "bias")
        ]
        with m.If(left != 0):
            m.d.sync += [left.eq(left - 1), held.eq(held >> 8 * SETTING_BYTES)]
            with m.If(wanted):
                m.d.sync += column.eq(column + 1)
        with m.If(reader.o.valid & reader.o.ready):
            whole = came == beats - 1
            m.d.sync += [
                held.eq(Cat(held, beat.data)[len(beat.data) :] if beats > 1 else beat.data),
                came.eq(Mux(whole, 0, came + 1)),
                left.eq(Mux(whole, per_beat, 0)),
                ended.eq(beat.last),
            ]
        # The entries of the last beat that no column takes are not a beat too many.
        after = Signal.like(column)
        m.d.comb += after.eq(column + self.settings.valid)
        beyond = Signal()
        with m.If((left == per_beat) & ~wanted):
            m.d.sync += beyond.eq(1)
        with m.If(active & ended & last):
            m.d.comb += [
                self.finished.eq(1),
                self.fault.eq(
                    (after != asked.count)
                    | beyond
                    | ((left == per_beat) & ~wanted)
                    | ((left == 0) & (came != 0))
                ),
            ]
            m.d.sync += [active.eq(0), ended.eq(0), came.eq(0)]
        with m.If(self.deals.valid & self.deals.ready):
            m.d.sync += [active.eq(1), asked.eq(self.deals.payload), column.eq(0), beyond.eq(0)]
        return m
