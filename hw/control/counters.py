"""What the device counts about itself: the source of every figure in a report."""

from amaranth import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..isa.codes import Flag
from ..isa.engine_counters import engine_counters
from ..isa.registers import NARROW, STALLS, WIDE
from ..lib.pipeline import times


def EVENTS(config: Config) -> data.StructLayout:
    """What happens in one cycle: a bit each, but `nonzero`, the weights fed that are not zero."""
    return data.StructLayout(
        {
            "busy": 1,
            "issue": 1,
            "nonzero": range(config.columns + 1),
            "tile": 1,
            **{stall: 1 for stall in STALLS},
            "answered": 1,
            "errored": 1,
            "last_output": 1,
            "overlap": 1,
            "flag_set": len(Flag),
            **dict.fromkeys(engine_counters(config), 1),
        }
    )


class Counters(wiring.Component):
    """Count events; `cycles` runs from the first issue to the latest output, both included.

    Waiting for the host or the schedule counts only between two issues: neither the time before
    the first nor after the last is the array's loss.

    Latency: an event shows two cycles later.

    Members
    -------
    events : In(EVENTS(config))
    clear : In(1), all counters to zero
    one member a counter : Out(64) or Out(32)
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "events": In(EVENTS(config)),
                "clear": In(1),
                **{name: Out(64) for name in WIDE},
                **{name: Out(32) for name in NARROW},
            }
        )

    def elaborate(self, platform):
        m = Module()
        events = Signal.like(self.events)
        m.d.sync += events.eq(self.events)
        started = Signal()
        elapsed = Signal(64)
        # Waiting that counts once something is issued after it.
        waiting = {stall: Signal(32, name=f"{stall}_waiting") for stall in STALLS[2:]}
        with m.If(self.clear):
            m.d.sync += [
                counter.eq(0)
                for counter in (
                    *(getattr(self, name) for name in (*WIDE, *NARROW)),
                    *waiting.values(),
                    started,
                    elapsed,
                )
            ]
        with m.Else():
            m.d.sync += [
                self.total.eq(self.total + 1),
                self.macs.eq(self.macs + times(events.nonzero, self.config.rows)),
                self.slots.eq(self.slots + events.issue),
                self.commands.eq(self.commands + events.answered),
                self.errors.eq(self.errors + events.errored),
                self.tiles.eq(self.tiles + events.tile),
                self.stall_drain.eq(self.stall_drain + events.stall_drain),
                self.stall_output.eq(self.stall_output + events.stall_output),
                self.overlap.eq(self.overlap + events.overlap),
            ]
            with m.If(events.issue):
                m.d.sync += started.eq(1)
            with m.If(started | events.issue):
                m.d.sync += elapsed.eq(elapsed + 1)
                with m.If(events.last_output):
                    m.d.sync += self.cycles.eq(elapsed + 1)
            for name, count in waiting.items():
                with m.If(events.issue):
                    m.d.sync += [
                        getattr(self, name).eq(getattr(self, name) + count),
                        count.eq(0),
                    ]
                with m.Elif(started & events[name]):
                    m.d.sync += count.eq(count + 1)
        return m
