"""The loader: a strip of a stream from tensor memory, as beats of V words.

Addresses ─► read port ─► [queue of groups] ─► [span] ─► V elements a beat
"""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..isa.vector import BEATS
from ..layouts.tensor import READ_PORT
from ..lib.fifo import Fifo
from ..lib.pipeline import delay
from ..tensor.memory import TensorMemory
from .addresses import GROUP, SIZES
from .pieces import parts

AHEAD = 8
"""Groups that are read ahead: more than there are on their way when nobody waits."""


class Loader(wiring.Component):
    """Read the groups that are asked for, and deal their elements out: always a whole register's
    beats, of which those beyond the last span hold anything.

    Latency: 5 cycles from a group to its first beat. Throughput: a group a cycle, a beat a cycle,
    also from one strip to the next. Stall rule: waits for the memory, for `o`, and for `writing`.

    Members
    -------
    size : In(2), with `start`, log2 of the elements' bytes
    start : In(1), one more strip is asked for; only if `ready`
    ready : Out(1), no strip waits for the one before
    groups : In stream of addresses.GROUP
    writing : In(1), groups that wait for `writes` may not be read in this cycle
    port : Out(layouts.READ_PORT)
    o : Out stream of V words, elements without change: unsigned, but of 8 bits signed
    outside : Out(1), a group is not inside the stream's words: it reads as zeros
    """

    def __init__(self, config: Config):
        self.config = config
        self.queue = Fifo(
            data.StructLayout({"data": 8 * config.group_bytes, "last": 1, "end": 1}), AHEAD
        )
        super().__init__(
            {
                "size": In(range(SIZES)),
                "start": In(1),
                "ready": Out(1, init=1),
                "groups": In(stream.Signature(GROUP(config))),
                "writing": In(1),
                "port": Out(READ_PORT(config)),
                "o": Out(stream.Signature(data.ArrayLayout(32, config.vector_lanes))),
                "outside": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.queue = queue = self.queue
        self._read(m, queue)
        self._deal(m, queue)
        return m

    def _read(self, m: Module, queue: Fifo):
        """Groups from the memory into the queue, in order; none that it might have no room for."""
        groups, port, size = self.groups, self.port, 8 * self.config.group_bytes
        asked, room = groups.payload, Signal(range(AHEAD + 1), init=AHEAD)
        taken, held = Signal(), asked.writes & self.writing
        wanted = groups.valid & (room != 0) & ~held
        m.d.comb += [
            port.valid.eq(wanted & asked.inside),
            *(address.eq(asked.address) for address in port.address),
            taken.eq(wanted & (port.ready | ~asked.inside)),
            groups.ready.eq(taken),
            self.outside.eq(taken & ~asked.inside),
        ]
        token = Signal(data.StructLayout({"valid": 1, "group": GROUP(self.config)}))
        m.d.comb += [token.valid.eq(taken), token.group.eq(asked)]
        here = delay(m, "fetched", token, TensorMemory.LATENCY)
        word = port.data.word_select(here.group.lane, size)
        m.d.comb += [
            queue.i.valid.eq(here.valid),
            queue.i.payload.data.eq(Mux(here.group.inside, word, 0)),
            queue.i.payload.last.eq(here.group.last),
            queue.i.payload.end.eq(here.group.end),
        ]
        m.d.sync += room.eq(room - taken + (queue.o.valid & queue.o.ready))

    def _deal(self, m: Module, queue: Fifo):
        """Groups to a span, and its elements to beats; a group of the next span takes the place of
        one of this as soon as that has been dealt."""
        config, o = self.config, self.o
        width, beats = config.vector_lanes, config.group // config.vector_lanes
        size, most = 8 * config.group_bytes, 32 * config.group
        slots = most // size
        held, filled, ends = Signal(most, reset_less=True), Signal(slots), Signal(slots)
        slot, beat = Signal(range(slots)), Signal(range(beats))
        needed, dealt, free = Signal(slots), Signal(slots), Signal(slots)
        left, coming = Signal(range(BEATS + 1)), Signal.like(self.size)
        log2, deals, last, last_round = Signal.like(self.size), Signal(), Signal(), Signal()
        m.d.comb += [
            o.valid.eq(((filled & needed) == needed) & (left != 0)),
            deals.eq(o.valid & o.ready),
            last.eq(deals & (left == 1)),
            # What lies beyond the last span comes from it again.
            last_round.eq(left <= beats),
            free.eq(Mux(deals, dealt & (~ends | last_round.replicate(slots)), 0)),
            queue.o.ready.eq((~filled | free).bit_select(slot, 1)),
        ]
        came = queue.o.valid & queue.o.ready
        m.d.sync += filled.eq((filled & ~free) | (came << slot))
        with m.If(came):
            group = queue.o.payload
            m.d.sync += [
                held.word_select(slot, size).eq(group.data),
                slot.eq(Mux(group.last, 0, slot + 1)),
                ends.bit_select(slot, 1).eq(group.end),
            ]
        with m.If(deals):
            m.d.sync += [beat.eq(Mux(beat == beats - 1, 0, beat + 1)), left.eq(left - 1)]
        with m.If(((left == 0) | last) & ~self.ready):
            m.d.sync += [left.eq(BEATS), log2.eq(coming), self.ready.eq(1)]
        with m.If(self.start):
            m.d.sync += [self.ready.eq(0), coming.eq(self.size)]
        words = Signal(32 * width)
        with m.Switch(log2):
            for size_log2 in range(SIZES):
                bits = 8 << size_log2
                part = held[: bits * config.group].word_select(beat, bits * width)
                elements = [part.word_select(n, bits) for n in range(width)]
                signed = size_log2 == 0
                with m.Case(size_log2):
                    parts(m, beat, beats, bits * width, size, needed, dealt)
                    m.d.comb += words.eq(Cat(_word(element, signed) for element in elements))
        m.d.comb += o.payload.eq(words)


def _word(element, signed: bool):
    """An element as 32 bits."""
    top = element[-1] if signed else 0
    return Cat(element, *[top] * (32 - len(element)))
