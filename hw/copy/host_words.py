"""A WRITE's payload as words for external memory."""

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..bus.bursts import WRITE_BEAT
from ..config import Config
from ..layouts.stream import beat


class HostWords(wiring.Component):
    """Give `count` words: a packet's next beats, and if it ends early, words without strobes.

    Latency: none. Throughput: a beat a cycle. Stall rule: waits for `o`; takes beats only while
    words are to be given, and never one that follows a packet's last.

    Members
    -------
    start : In(1), with `count`, In(32), at least 1; only while `free`, Out(1)
    i : In stream of layouts.beat
    o : Out stream of bursts.WRITE_BEAT
    done, ended, bad_length : Out(1), as of `tensor.beats.BeatWriter`; what is given after an early
        end needs no packet
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "start": In(1),
                "count": In(32),
                "free": Out(1),
                "i": In(stream.Signature(beat(config))),
                "o": Out(stream.Signature(WRITE_BEAT(config))),
                "done": Out(1),
                "ended": Out(1),
                "bad_length": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        count, over = Signal.like(self.count), Signal()
        beat, last_word, active = self.i.payload, count == 1, count != 0
        gone = self.o.valid & self.o.ready
        m.d.comb += [
            self.free.eq(~active),
            self.o.valid.eq(active & (over | self.i.valid)),
            self.o.payload.data.eq(beat.data),
            self.o.payload.strobe.eq((~over).replicate(len(self.o.payload.strobe))),
            self.i.ready.eq(active & ~over & self.o.ready),
            self.done.eq(gone & ~over & (last_word | beat.last)),
            self.ended.eq(beat.last),
            self.bad_length.eq(~(last_word & beat.last)),
        ]
        with m.If(gone):
            m.d.sync += [count.eq(count - 1), over.eq((over | beat.last) & ~last_word)]
        with m.If(self.start):
            m.d.sync += count.eq(self.count)
        return m
