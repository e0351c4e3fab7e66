"""The vector unit: microprograms over spans of tensors, strip by strip.

    VECTOR ─► Program ─► control ─┬─► Addresses ─► Loader ─► V words ─┐
                                  ├───────── beats ─────────► Datapath ◄┘
                                  └─► Addresses ─► Writer ◄─────┘

One instruction is at work at a time, a beat of V elements a cycle. A register has more beats than
an operation takes cycles, so the next instruction finds its operands there without looking.
"""

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..isa.vector import (
    BEATS,
    INSTRUCTION_BYTES,
    MOST_INSTRUCTIONS,
    MOVES_BIT,
    STREAMS,
    Op,
    strip_spans,
)
from ..layouts.engines import VECTOR
from ..layouts.tensor import WORDS, at_work, meet
from ..lib.connect import connect_checked
from ..lib.library import Library
from ..tensor.share import PortShare
from .addresses import CURSOR, SIZES, Addresses
from .datapath import Datapath
from .loader import Loader
from .program import INSTRUCTION, Program
from .walk import PLACE, next_place, next_row
from .writer import Writer

LOADS = (Op.FROM_INT, Op.FROM_HALF, Op.OR)
"""What a lane does with loaded elements, by log2 of their bytes: make a binary32, or nothing."""
STORES = (Op.TO_BYTE, Op.TO_HALF, Op.OR)

assert Datapath.latency < BEATS


class VectorUnit(wiring.Component):
    """Carry out one VECTOR after another.

    Latency: some 12 cycles and a program's instructions before its first strip. Throughput: an
    instruction in 16 cycles, for 16 V elements, also from strip to strip; one that loads or stores
    takes as many as it has groups, if these are more. Stall rule: waits for the memory, and for
    `grant` to write; what loads waits until what was stored before has been written, if the two
    streams have words in common, and what stores for the one before that did.

    Members
    -------
    vectors : In stream of layouts.VECTOR
    port : Out(layouts.READ_PORT)
    write : Out(layouts.WRITE_PORT)
    grant : In(1), nobody else writes in this cycle
    waits : Out(1), for the memory to take a read or a write
    finished : Out(1), all that a VECTOR writes has been written
    fault : Out(1), a program had an unknown instruction, or went beyond a stream's words
    overflow, saturated : Out(1), so was an element that was written
    """

    def __init__(self, config: Config, library: Library | None = None):
        self.config, self.library = config, library
        self.program = Program(config)
        self.from_memory, self.to_memory = Addresses(config), Addresses(config)
        self.loader, self.writer = Loader(config), Writer(config)
        self.asked = Signal(VECTOR(config), reset_less=True)
        where = data.StructLayout({"place": PLACE, "rows": data.ArrayLayout(16, STREAMS)})
        self.here, self.ahead = Signal(where), Signal(where)
        """Where the strip begins, and where the next one will once all spans are `counted`."""
        self.counted = Signal(range(strip_spans(config) + 1))
        self.cursors = Signal(data.ArrayLayout(CURSOR, STREAMS))
        self.address, self.there = Signal(range(MOST_INSTRUCTIONS + 1)), Signal()
        """Of the instruction after `next`; whether the memory has answered with it."""
        self.next, self.ready = Signal(INSTRUCTION, reset_less=True), Signal()
        """The instruction that is looked at, if there is one."""
        self.now, self.active = Signal(INSTRUCTION, reset_less=True), Signal()
        """The one that is at work, likewise."""
        self.beat, self.rest = Signal(range(BEATS)), Signal(range(config.group))
        self.requested, self.looked = Signal(), Signal()
        """What a LOAD that is looked at needs is on its way; it has been looked at for a cycle."""
        self.loads, self.stores = Signal(), Signal()
        """What is looked at begins to move a strip; whether it may."""
        self.may_load, self.may_store = Signal(), Signal()
        self.size = Signal(range(SIZES))
        """log2 of the bytes of the elements that the instruction at work loads or stores."""
        self.written, self.apart = Signal(WORDS(config)), Signal()
        """The words of the stream that was last stored to; the one looked at has none of them."""
        self._last_beat = Signal()
        self.begin, self.running, self.over = Signal(), Signal(), Signal()
        """A strip begins, is under way, and has nothing more to begin."""
        super().__init__(
            {
                "vectors": In(stream.Signature(VECTOR(config))),
                **at_work(config),
                "overflow": Out(1),
                "saturated": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, loader, writer = self.config, self.loader, self.writer
        m.submodules.program = program = self.program
        m.submodules.from_memory, m.submodules.to_memory = self.from_memory, self.to_memory
        m.submodules.loader, m.submodules.writer = loader, writer
        m.submodules.share = share = PortShare(config)
        m.submodules.datapath = datapath = Datapath(config, self.library)
        connect_checked(m, loader.port, share.readers[0])
        connect_checked(m, program.port, share.readers[1])
        connect_checked(m, share.port, wiring.flipped(self.port))
        connect_checked(m, writer.port, wiring.flipped(self.write))
        connect_checked(m, datapath.stored, writer.i)
        connect_checked(m, self.from_memory.o, loader.groups)
        connect_checked(m, self.to_memory.o, writer.groups)
        m.d.comb += [
            writer.grant.eq(self.grant),
            self.overflow.eq(writer.overflow),
            self.saturated.eq(writer.saturated),
            self.waits.eq((self.port.valid & ~self.port.ready) | writer.held),
        ]
        self._vectors(m, program)
        self._strips(m, program)
        self._fetch(m, program)
        self._walk(m, program)
        self._look(m)
        self._work(m, datapath)
        return m

    def _vectors(self, m: Module, program: Program):
        """One VECTOR after another: its program, then its strips."""
        vector, places = self.vectors.payload, self.config.stream_bytes // INSTRUCTION_BYTES
        m.d.comb += [
            program.words.payload.address.eq(vector.program),
            program.words.payload.count.eq((vector.instructions + (places - 1)) // places),
            program.instructions.eq(self.asked.instructions),
            program.spans.eq(self.asked.spans),
            self.fault.eq(self.loader.outside | self.writer.outside),
        ]
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [
                    program.words.valid.eq(self.vectors.valid),
                    self.vectors.ready.eq(program.words.ready),
                ]
                with m.If(self.vectors.valid & self.vectors.ready):
                    m.d.sync += self.asked.eq(vector)
                    m.next = "FETCH"
            with m.State("FETCH"):
                m.d.sync += [self.here.eq(0), self.here.place.left.eq(self.asked.rows)]
                with m.If(program.fetched):
                    m.next = "CHECK"
            with m.State("CHECK"):
                m.next = "BEGIN"
                with m.If(program.bad):
                    m.d.comb += [self.fault.eq(1), self.finished.eq(1)]
                    m.next = "IDLE"
            with m.State("BEGIN"):
                m.d.comb += self.begin.eq(1)
                m.next = "RUN"
            with m.State("RUN"):
                m.d.comb += self.running.eq(1)
                with m.If(self.over):
                    m.d.sync += self.here.eq(self.ahead)
                    m.next = "BEGIN"
                    with m.If(self.ahead.place.left == 0):
                        m.next = "WRITE"
            with m.State("WRITE"):
                with m.If(~self.active & ~self.writer.busy):
                    m.d.comb += self.finished.eq(1)
                    m.next = "IDLE"

    def _strips(self, m: Module, program: Program):
        """Where the next strip begins, counted while this one is under way."""
        ahead, spans = self.ahead, strip_spans(self.config)
        later, step = next_place(m, "ahead", program.shape, ahead.place)
        m.d.comb += self.over.eq(
            (self.counted == spans) & ~self.ready & (self.address == program.length)
        )
        with m.If(self.begin):
            m.d.sync += [ahead.eq(self.here), self.counted.eq(0)]
        with m.Elif(self.counted != spans):
            m.d.sync += self.counted.eq(self.counted + 1)
            with m.If(ahead.place.left != 0):
                m.d.sync += ahead.place.eq(later)
                for row, setup in zip(ahead.rows, program.setup, strict=True):
                    m.d.sync += row.eq(next_row(row, setup.steps, step))

    def _fetch(self, m: Module, program: Program):
        """The next instruction out of the program's memory, as soon as the last one is gone."""
        m.d.comb += program.address.eq(self.address)
        m.d.sync += self.there.eq(1)
        left = self.address != program.length
        with m.If(self.running & self.there & ~self.ready & left):
            m.d.sync += [
                self.next.eq(program.instruction),
                self.ready.eq(1),
                self.address.eq(self.address + 1),
                self.there.eq(0),
            ]
        with m.If(self.begin):
            m.d.sync += [self.address.eq(0), self.there.eq(0)]

    def _walk(self, m: Module, program: Program):
        """What a LOAD or STORE needs of its stream, and whether it may have it."""
        stream, loader, writer = self.next.stream, self.loader, self.writer
        setup, words = program.setup[stream], self.asked.streams[stream]
        cursor, written = self.cursors[stream], self.written
        for addresses, mover, starts in (
            (self.from_memory, loader, self.loads),
            (self.to_memory, writer, self.stores),
        ):
            walk = addresses.walk
            m.d.comb += [
                addresses.shape.eq(program.shape),
                mover.start.eq(starts),
                mover.size.eq(setup.size),
                walk.valid.eq(starts),
                walk.payload.setup.eq(setup),
                walk.payload.words.eq(words),
                walk.payload.cursor.eq(cursor),
                walk.payload.place.eq(self.here.place),
                walk.payload.row.eq(self.here.rows[stream]),
                walk.payload.writes.eq(writer.busy & ~self.apart),
            ]
        m.d.comb += [
            loader.writing.eq(writer.busy),
            self.may_load.eq(loader.ready & self.from_memory.walk.ready),
            self.may_store.eq(self.to_memory.walk.ready & ~writer.busy),
        ]
        m.d.sync += self.apart.eq(~meet(words, written))
        with m.If(self.stores):
            m.d.sync += written.eq(words)
        with m.If((self.loads | self.stores) & self.next.op[MOVES_BIT]):
            m.d.sync += [
                cursor.rows.eq(cursor.rows + self.next.value[:16]),
                cursor.spans.eq(cursor.spans + self.next.value[16:]),
            ]

    def _look(self, m: Module):
        """The next instruction: what can be done before the one at work is over, and its turn."""
        looked, count, start = self.next, Signal(16), Signal.like(self.address)
        taken, works, free = Signal(), Signal(), Signal()
        m.d.comb += free.eq(~self.active | self._last_beat)
        m.d.sync += self.looked.eq(self.ready & ~taken)
        with m.If(self.ready), m.Switch(looked.op):
            with m.Case(Op.SEEK):
                m.d.comb += taken.eq(1)
                m.d.sync += self.cursors[looked.stream].eq(looked.value)
            with m.Case(Op.LOOP):
                m.d.comb += taken.eq(1)
                m.d.sync += [count.eq(looked.value), start.eq(self.address)]
            with m.Case(Op.END):
                m.d.comb += taken.eq(1)
                with m.If(count > 1):
                    m.d.sync += [count.eq(count - 1), self.address.eq(start), self.there.eq(0)]
            with m.Default():
                loads, stores = _streams(looked)
                m.d.comb += [
                    self.loads.eq(loads & self.looked & ~self.requested & self.may_load),
                    works.eq(free & (~loads | self.requested) & (~stores | self.may_store)),
                    self.stores.eq(stores & works),
                ]
                m.d.sync += self.requested.eq((self.requested | self.loads) & ~works)
        with m.If(works):
            m.d.comb += taken.eq(1)
        with m.If(taken):
            m.d.sync += self.ready.eq(0)
        with m.If(self.begin):
            m.d.sync += [self.cursors.eq(0), count.eq(0)]
        self._take(m, works)

    def _take(self, m: Module, works: Signal):
        """An instruction comes to work."""
        looked, width = self.next, self.config.vector_lanes
        # What changes places with other beats needs some that have come last.
        far = looked.exchange > width.bit_length() - 1
        with m.If(self._last_beat):
            m.d.sync += self.active.eq(0)
        with m.Elif(self.rest != 0):
            m.d.sync += self.rest.eq(self.rest - 1)
        with m.If(works):
            m.d.sync += [
                self.now.eq(looked),
                self.active.eq(1),
                self.size.eq(self.program.setup[looked.stream].size),
                self.rest.eq(Mux(far, self.config.group // (2 * width), 0)),
            ]

    def _work(self, m: Module, datapath: Datapath):
        """The beats of the instruction at work."""
        now, beat, loader = self.now, datapath.beat, self.loader
        moves, work = now.op[MOVES_BIT], Signal(Op)
        loads, stores = _streams(now)
        m.d.comb += work.eq(now.op)
        for size, (load, store) in enumerate(zip(LOADS, STORES, strict=True)):
            with m.If(moves & (self.size == size)):
                m.d.comb += work.eq(Mux(loads, load, store))
        m.d.comb += [
            datapath.valid.eq(self.active & (self.rest == 0) & (~loads | loader.o.valid)),
            loader.o.ready.eq(self.active & (self.rest == 0) & loads),
            datapath.loaded.eq(loader.o.payload),
            beat.op.eq(work),
            beat.beat.eq(self.beat),
            beat.target.eq(now.target),
            beat.a.eq(now.a),
            beat.b.eq(now.b),
            beat.loads.eq(loads),
            beat.stores.eq(stores),
            beat.keeps.eq(now.op != Op.STORE),
            beat.constant.eq(now.constant | moves),
            beat.value.eq(Mux(moves, 0, now.value)),
            beat.exchange.eq(Mux(moves, 0, now.exchange)),
            self._last_beat.eq(datapath.valid & (self.beat == BEATS - 1)),
        ]
        with m.If(datapath.valid):
            m.d.sync += self.beat.eq(self.beat + 1)


def _streams(instruction) -> tuple[Value, Value]:
    """Whether it reads a stream, and writes one."""
    loads, stores = instruction.op == Op.LOAD, instruction.op == Op.STORE
    return instruction.from_stream | loads, instruction.to_stream | stores
