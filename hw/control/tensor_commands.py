"""What commands want of tensor memory: WRITE, READ, FILL, ROWS; and the queues of all engines."""

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import HEADER_BYTES, Config
from ..isa.commands import WAITS_AT, Fill, Opcode, Read, Rows, Write
from ..isa.engines import WAITS_BITS, Engine
from ..layouts import FILL, ROWS, RUN, WRITE_PORT, beat, connect_checked
from ..tensor.beats import BeatWriter
from .dispatcher import Dispatcher
from .judge import view


class TensorCommands(wiring.Component):
    """Begin a good command when its turn has come; and queue RUNs, which wait as FILLs and ROWS do.

    Latency: none from `begin` to `begun`. Stall rule: FILL and ROWS wait while their queue is full,
    a WRITE while anything before it has tensor memory to read, a READ for nothing.

    Members
    -------
    header : In(256), the command's
    begin, begun : In(1), Out(1), as valid and ready: nothing happens before both
    i : In stream of layouts.beat, a WRITE's payload after its beginning
    memory : Out(layouts.WRITE_PORT)
    done, ended, bad_length : Out(1), of a WRITE (`tensor.beats.BeatWriter`)
    answered, read : In(1), a READ's answer is on its way; its last word has been asked for
    runs : In stream of layouts.RUN, with the header's `waits`
    fill, row, run : Out streams of layouts.FILL, ROWS, RUN
    finished : In(1) for each engine, pulses
    moving : In(1), the filler or the row mover is at work
    pending : Out(1), a descriptor is in a queue
    reading : Out(1), as it was a cycle ago: a FILL or ROWS is in its queue or at work
    """

    def __init__(self, config: Config, answers: int):
        self.config = config
        self.dispatcher = Dispatcher(config)
        self.writer = BeatWriter(config)
        self.reads = Signal(range(2 * answers))
        """READs that have not read: no more than `answers` wait, but for some on their way."""
        super().__init__(
            {
                "header": In(8 * HEADER_BYTES),
                "begin": In(1),
                "begun": Out(1),
                "i": In(stream.Signature(beat(config))),
                "memory": Out(WRITE_PORT(config)),
                "done": Out(1),
                "ended": Out(1),
                "bad_length": Out(1),
                "answered": In(1),
                "read": In(1),
                "runs": In(stream.Signature(RUN(config))),
                "fill": Out(stream.Signature(FILL(config))),
                "row": Out(stream.Signature(ROWS(config))),
                "run": Out(stream.Signature(RUN(config))),
                "finished": In(len(Engine)),
                "moving": In(1),
                "pending": Out(1),
                "reading": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.dispatcher = dispatcher = self.dispatcher
        m.submodules.writer = writer = self.writer
        write, read, fill, rows = (view(kind, self.header) for kind in (Write, Read, Fill, Rows))
        for name in ("fill", "row", "run"):
            connect_checked(m, getattr(dispatcher, name), wiring.flipped(getattr(self, name)))
        connect_checked(m, wiring.flipped(self.runs), dispatcher.runs)
        connect_checked(m, wiring.flipped(self.i), writer.i)
        connect_checked(m, writer.port, wiring.flipped(self.memory))
        wanted = dispatcher.fills.payload
        m.d.comb += [
            writer.words.address.eq(write.address),
            writer.words.count.eq(write.count),
            *(getattr(self, name).eq(getattr(writer, name)) for name in ("done", "ended")),
            self.bad_length.eq(writer.bad_length),
            dispatcher.waits.eq(self.header[WAITS_AT:][:WAITS_BITS]),
            dispatcher.finished.eq(self.finished),
            *(wanted[name].eq(fill[name]) for name in ("target", "address", "count")),
            wanted.words.address.eq(fill.source),
            wanted.words.count.eq(fill.words),
            *(dispatcher.rows.payload[name].eq(rows[name]) for name in ROWS(self.config).members),
            self.pending.eq(dispatcher.pending != 0),
        ]
        moves = dispatcher.pending[Engine.FILL] | dispatcher.pending[Engine.ROWS]
        m.d.sync += [
            self.reading.eq(self.moving | moves),
            self.reads.eq(self.reads + self.answered - self.read),
        ]
        with m.Switch(self.header[:8]):
            for opcode, queue in (
                (Opcode.FILL, dispatcher.fills),
                (Opcode.ROWS, dispatcher.rows),
            ):
                with m.Case(opcode):
                    m.d.comb += [queue.valid.eq(self.begin), self.begun.eq(queue.ready)]
            with m.Case(Opcode.WRITE):
                m.d.comb += [
                    self.begun.eq((self.reads == 0) & ~self.reading),
                    writer.start.eq(self.begin & self.begun),
                ]
            with m.Case(Opcode.READ):
                m.d.comb += self.begun.eq(1)
        return m
