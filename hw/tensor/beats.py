"""Words of tensor memory that follow each other, as beats of a stream, out of it and into it."""

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..layouts.stream import beat
from ..layouts.tensor import READ_PORT, WORDS, WRITE_PORT
from ..lib.connect import connect_checked
from ..lib.fifo import Fifo
from ..lib.pipeline import delay
from .memory import TensorMemory

AHEAD = 8
"""Words that are read ahead: more than there are on their way when nobody waits."""


class BeatReader(wiring.Component):
    """Read `count` words from `address` on.

    Latency: 4 cycles from `words` to the first beat. Throughput: a beat a cycle. Stall rule: waits
    for the memory and for `o`, and asks for nothing that `o` might have no room for.

    Members
    -------
    words : In stream of layouts.WORDS, the next one taken when all words of the last were asked for
    port : Out(layouts.READ_PORT)
    o : Out stream of layouts.beat, `last` with the last word
    asked : Out(1), pulses with the last word's request
    """

    def __init__(self, config: Config):
        self.config = config
        self.queue = Fifo(beat(config), AHEAD)
        self.room = Signal(range(AHEAD + 1), init=AHEAD)
        super().__init__(
            {
                "words": In(stream.Signature(WORDS(config))),
                "port": Out(READ_PORT(config)),
                "o": Out(stream.Signature(beat(config))),
                "asked": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.queue = queue = self.queue
        connect_checked(m, queue.o, wiring.flipped(self.o))
        port, words = self.port, Signal(WORDS(self.config), reset_less=True)
        active, taken = Signal(), Signal()
        m.d.comb += [
            port.valid.eq(active & (self.room != 0)),
            *(address.eq(words.address) for address in port.address),
            taken.eq(port.valid & port.ready),
            self.asked.eq(taken & (words.count == 1)),
            self.words.ready.eq(~active),
        ]
        last = delay(m, "last", self.asked, TensorMemory.LATENCY)
        m.d.comb += [
            queue.i.valid.eq(port.there),
            queue.i.payload.data.eq(port.data),
            queue.i.payload.last.eq(last),
        ]
        m.d.sync += self.room.eq(self.room - taken + (queue.o.valid & queue.o.ready))
        with m.If(taken):
            m.d.sync += [words.address.eq(words.address + 1), words.count.eq(words.count - 1)]
        with m.If(self.asked):
            m.d.sync += active.eq(0)
        with m.If(self.words.valid & self.words.ready):
            m.d.sync += [active.eq(1), words.eq(self.words.payload)]
        return m


class BeatWriter(wiring.Component):
    """Write a packet's next `count` beats to the words from `address` on.

    Latency: a beat is on the port the cycle after it was taken. Throughput: a beat a cycle. Stall
    rule: takes beats only while words are to be written, and never one that follows a packet's
    last.

    Members
    -------
    start : In(1), with `words`, In(layouts.WORDS)
    i : In stream of layouts.beat
    port : Out(layouts.WRITE_PORT)
    done : Out(1), with the last word's beat, or the packet's if that comes earlier; with it
    ended : Out(1), the packet ends with that beat
    bad_length : Out(1), the packet does not end with the last word
    """

    def __init__(self, config: Config):
        self.config = config
        self.active = Signal()
        super().__init__(
            {
                "start": In(1),
                "words": In(WORDS(config)),
                "i": In(stream.Signature(beat(config))),
                "port": Out(WRITE_PORT(config)),
                "done": Out(1),
                "ended": Out(1),
                "bad_length": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        words, active = Signal(WORDS(self.config), reset_less=True), self.active
        beat, last_word = self.i.payload, words.count == 1
        taken = active & self.i.valid
        m.d.comb += [
            self.i.ready.eq(active),
            self.done.eq(taken & (last_word | beat.last)),
            self.ended.eq(beat.last),
            self.bad_length.eq(~(last_word & beat.last)),
        ]
        m.d.sync += [
            self.port.enable.eq(taken.replicate(len(self.port.enable))),
            *(address.eq(words.address) for address in self.port.address),
            self.port.data.eq(beat.data),
        ]
        with m.If(taken):
            m.d.sync += [words.address.eq(words.address + 1), words.count.eq(words.count - 1)]
        with m.If(self.done):
            m.d.sync += active.eq(0)
        with m.If(self.start):
            m.d.sync += [active.eq(1), words.eq(self.words)]
        return m
