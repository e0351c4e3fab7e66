"""The sequencer: takes commands off the host stream, checks them, and sees that each is answered.

             ┌─────── another command in the packet ◄──────┐
             ▼                                             │
    ┌─► HEADER ─► JUDGE ─► EXECUTE ────────────────────────┤
    │                         ├─► PAYLOAD ─┐               │ its last one
    │                  error  └────────────┴─► DISCARD ────┴─► RESPOND
    │                                    (to the packet's end)    │
    └─────────────────────────────────────────────────────────────┘

A malformed or impossible command changes nothing (of a payload that is refused, what was written
stays written), ends its packet, is answered with a status, and the next packet is taken as if
nothing had been.
"""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..buffers.payload import PayloadUnpacker
from ..bus.bursts import WRITE_BEAT
from ..config import HEADER_BYTES, Config
from ..isa.codes import Opcode, Status, Target
from ..isa.commands import ALL_COLUMNS, ColumnSettings, Load, Read, Run
from ..isa.engines import PLACES
from ..isa.header import HEADER_WORDS
from ..isa.maps import address_bits
from ..layouts.array import (
    HOLD,
    RELEASE,
    RELEASE_SETTINGS,
    RUN,
    settings_signature,
    write_signature,
)
from ..layouts.engines import COPY, STATES, VECTOR_WORK
from ..layouts.output import OUTPUT, SIDE
from ..layouts.stream import RESPONSE, beat
from ..layouts.tensor import FILL, WALK, WRITE_PORT
from ..lib.connect import connect_checked
from ..lib.crc import HeaderCrc
from ..lib.fifo import Fifo
from ..lib.pipeline import times
from .interlock import Interlock
from .judge import Judge, page_bits, view
from .tensor_commands import TensorCommands

ANSWERS_AHEAD = 64
"""Packets that are done, or wait for RUNs, while a RUN before them still sends its rows."""
HEADER_BITS = 8 * HEADER_BYTES


class Sequencer(wiring.Component):
    """Execute the command stream of `hw.isa.commands`.

    Latency: 2 cycles from a header to what it asks for. Throughput: a command in 2 cycles and its
    header's beats; payloads one chunk a cycle, to tensor memory a beat. A `compact` device checks a
    header's CRC a halfword a cycle, and so takes 15 cycles more. Stall rule: the stream waits while
    a LOAD or SETTINGS waits for its page, while an engine's queue is full, while a SYNC waits, and
    while a LOAD, WRITE or READ waits for what before it works on the same memory.

    Members
    -------
    i : In stream of layouts.beat
    write, settings : Out, the buses to buffers and column outputs
    run : Out stream of layouts.RUN
    response : Out stream of layouts.RESPONSE, one a command, in order
    idle : In(1), no RUN is under way
    release : In({valid, pages}), a RUN has read its buffers
    release_settings : In({valid, page}), a finishing RUN's rows have left
    answered, errored : Out(1), pulses for the counters
    working : Out(1), a RUN has not begun, or an engine has something to do

    With tensor memory also

    memory : Out(layouts.WRITE_PORT)
    read_done : In(1), a READ's last word has been asked for
    fill, row : Out streams of layouts.FILL and WALK
    output : Out stream of layouts.OUTPUT, where each RUN's rows go
    side : Out stream of layouts.SIDE, what a RUN that has begun reads beside
    finished : In(1) for each engine, pulses
    states : Out(layouts.STATES), of the dispatcher
    syncs : Out(1), a SYNC waits
    vector : Out stream of layouts.VECTOR_WORK, with a vector unit

    With external memory also

    copy : Out stream of layouts.COPY
    given : Out stream of bursts.WRITE_BEAT, what WRITEs bring for it
    """

    def __init__(self, config: Config, unpacker: PayloadUnpacker | None = None):
        self.config = config
        self.unpacker = unpacker or PayloadUnpacker(config)
        self.interlock = Interlock(config, 2 * config.runs_ahead - 1)
        self.judge = Judge(config)
        self.tensors = TensorCommands(config, ANSWERS_AHEAD) if config.tensor_words else None
        if self.tensors:
            self.queued = self.tensors.runs
        else:
            self.runs = Fifo(RUN(config), config.queue(config.runs_ahead))
            self.queued = self.runs.i
        self.filling, self.setting = Signal(), Signal()
        """An engine that fills buffers has something to do; one that may set columns has."""
        self.crc = HeaderCrc(16 if config.compact else min(8 * config.stream_bytes, HEADER_BITS))
        self.responses = Fifo(RESPONSE(config), config.queue(ANSWERS_AHEAD))
        self.header = Signal(HEADER_BITS, reset_less=True)
        self.beats, self.halfwords = Signal(range(config.header_beats)), Signal(range(HEADER_WORDS))
        self.ended = Signal()
        """The packet's last beat has been taken."""
        self.status = Signal(Status)
        self.place = Signal(range(config.columns_per_epilogue))
        """Which of an epilogue's columns is set."""
        self.page_busy, self.settings_busy, self.full = Signal(), Signal(), Signal()
        """As the pages were a cycle ago. A page is taken long before the next command is judged."""
        self._final = self.beats == config.header_beats - 1
        self._opcode, self._tag = self.header[:8], self.header[8:16]
        self._load, self._column_settings, self._asked = (
            view(kind, self.header) for kind in (Load, ColumnSettings, Run)
        )
        self._every_column = self._column_settings.column == ALL_COLUMNS
        memory = {
            "memory": Out(WRITE_PORT(config)),
            "read_done": In(1),
            "fill": Out(stream.Signature(FILL(config))),
            "row": Out(stream.Signature(WALK(config))),
            "output": Out(stream.Signature(OUTPUT(config))),
            "side": Out(stream.Signature(SIDE(config))),
            "finished": In(PLACES),
            "states": Out(STATES),
            "syncs": Out(1),
        }
        external = {
            "copy": Out(stream.Signature(COPY(config))),
            "given": Out(stream.Signature(WRITE_BEAT(config))),
        }
        if config.vector_lanes:
            memory["vector"] = Out(stream.Signature(VECTOR_WORK(config)))
        super().__init__(
            {
                "i": In(stream.Signature(beat(config))),
                "write": Out(write_signature(config)),
                "settings": Out(settings_signature(config)),
                "run": Out(stream.Signature(RUN(config))),
                "response": Out(stream.Signature(RESPONSE(config))),
                "idle": In(1),
                "release": In(RELEASE(config)),
                "release_settings": In(RELEASE_SETTINGS(config)),
                "answered": Out(1),
                "errored": Out(1),
                "working": Out(1),
            }
            | (memory if config.tensor_words else {})
            | (external if config.external_bits else {})
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc = crc = self.crc
        m.submodules.judge = judge = self.judge
        m.submodules.unpacker = unpacker = self.unpacker
        m.submodules.interlock = interlock = self.interlock
        m.submodules.responses = responses = self.responses
        connect_checked(m, responses.o, wiring.flipped(self.response))
        connect_checked(m, unpacker.write, wiring.flipped(self.write))
        connect_checked(m, wiring.flipped(self.release), interlock.release)
        connect_checked(m, wiring.flipped(self.release_settings), interlock.release_settings)

        load, settings, run = self._load, self._column_settings, self._run_of(self._asked)
        m.d.comb += [
            judge.header.eq(self.header),
            judge.ended.eq(self.ended),
            unpacker.target.eq(load.target),
            unpacker.address.eq(load.address),
            unpacker.count.eq(load.count),
            unpacker.i.payload.eq(self.i.payload),
            self.settings.all.eq(self._every_column),
            self.settings.column.eq(Mux(self._every_column, self.place, settings.column)),
            self.settings.entry.eq(settings.entry),
            self.settings.scale.eq(settings.scale),
            self.settings.exponent.eq(settings.exponent),
            self.settings.bias.eq(settings.bias),
            self.queued.payload.eq(run),
            responses.i.payload.opcode.eq(self._opcode),
            responses.i.payload.tag.eq(self._tag),
            responses.i.payload.status.eq(self.status),
            responses.i.payload.format.eq(run.mode.format),
        ]
        # The product takes a cycle, and is ready before the answer is sent.
        rows = Signal.like(responses.i.payload.rows)
        m.d.sync += rows.eq(0)
        with m.If((self._opcode == Opcode.RUN) & self._asked.finish & ~self._asked.store):
            m.d.sync += rows.eq(times(run.row_blocks, self.config.tile_rows))
        with m.If(self.status == Status.OK):
            m.d.comb += responses.i.payload.rows.eq(rows)
        if self.tensors:
            self._tensors(m, self.tensors, rows)
        else:
            m.submodules.runs = runs = self.runs
            connect_checked(m, runs.o, wiring.flipped(self.run))
            m.d.comb += self.working.eq(runs.o.valid)
        self._pages(m, run)
        self._check(m, crc)
        with m.FSM() as self.fsm:
            self._take(m, crc)
            with m.State("JUDGE"):
                m.next = "EXECUTE"
            self._execute(m, crc)
            self._finish(m, crc)
        return m

    def _tensors(self, m: Module, tensors: TensorCommands, rows: Signal):
        """Commands of tensor memory, and their answers."""
        m.submodules.tensors = tensors
        more = ["vector"] if self.config.vector_lanes else []
        more += ["copy", "given"] if self.config.external_bits else []
        for name in ("memory", "fill", "row", "run", "output", "side", *more):
            connect_checked(m, getattr(tensors, name), wiring.flipped(getattr(self, name)))
        read, answer = view(Read, self.header), self.responses.i
        reads = (self._opcode == Opcode.READ) & (self.status == Status.OK)
        of_tensors = ~read.external if self.config.external_bits else Const(1)
        m.d.comb += [
            tensors.header.eq(self.header),
            self.judge.side.eq(tensors.sides),
            tensors.i.payload.eq(self.i.payload),
            tensors.answered.eq(answer.valid & answer.ready & reads & of_tensors),
            tensors.read.eq(self.read_done),
            tensors.finished.eq(self.finished),
            self.judge.limits.eq(tensors.limits),
            self.working.eq(tensors.working),
            self.states.eq(tensors.states),
            self.filling.eq(tensors.filling),
            self.setting.eq(tensors.setting),
            answer.payload.memory.eq(reads),
            answer.payload.address.eq(read.address),
        ]
        if self.config.external_bits:
            m.d.comb += answer.payload.external.eq(read.external)
        with m.If(self._opcode == Opcode.READ):
            m.d.sync += rows.eq(read.count)

    def _pages(self, m: Module, run):
        """Whether what a command needs is free, and what a RUN will hold."""
        interlock, load = self.interlock, self._load
        top = {target: bits - 1 for target, bits in address_bits(self.config).items()}
        with m.Switch(load.target):
            for target, busy in (
                (Target.ACTIVATIONS, interlock.busy.activations),
                (Target.SCHEDULE, interlock.busy.schedule),
                (Target.INDICES, interlock.busy.weights),
                (Target.VALUES, interlock.busy.weights),
            ):
                with m.Case(target):
                    m.d.sync += self.page_busy.eq(busy.bit_select(load.address[top[target]], 1))
        page = self._settings_page(self._column_settings.entry)
        m.d.sync += [
            self.settings_busy.eq(interlock.busy.settings.bit_select(page, 1)),
            self.full.eq(interlock.full),
        ]
        pages = interlock.acquire.pages
        m.d.comb += [
            pages.activations.eq(run.activation_base[top[Target.ACTIVATIONS]]),
            pages.weights.eq(run.slot_base[top[Target.VALUES]]),
            pages.schedule.eq(run.schedule_base[top[Target.SCHEDULE]]),
            pages.settings.eq(run.mode.settings_page),
            interlock.acquire.settings.eq(run.mode.finish),
        ]

    def _check(self, m: Module, crc: HeaderCrc):
        """The CRC of a header as it comes, or, if the device is compact, afterwards."""
        header, judge = self.header, self.judge
        if self.config.compact:
            m.d.comb += [crc.data.eq(header[:16]), judge.bad_check.eq(crc.crc != header[-16:])]
            return
        # A CRC over what it guards and itself is zero; but its higher byte must come first.
        kept = self.i.payload.data[:HEADER_BITS]
        low, high = kept[-16:-8], kept[-8:]
        ends = Mux(self._final, Cat(high, low), Cat(low, high))
        m.d.comb += [crc.data.eq(Cat(kept[:-16], ends)), judge.bad_check.eq(crc.crc != 0)]

    def _take(self, m: Module, crc: HeaderCrc):
        """A header off the stream."""
        header, i, compact = self.header, self.i, self.config.compact
        kept = i.payload.data[:HEADER_BITS]
        with m.State("HEADER"):
            m.d.comb += [i.ready.eq(1), crc.valid.eq(i.valid & (not compact))]
            with m.If(i.valid):
                m.d.sync += [
                    header.eq(Cat(header[len(kept) :], kept)),
                    self.ended.eq(i.payload.last),
                    self.beats.eq(self.beats + 1),
                    self.halfwords.eq(0),
                ]
                with m.If(self._final):
                    m.d.sync += self.beats.eq(0)
                    m.next = "CHECK" if compact else "JUDGE"
                with m.Elif(i.payload.last):
                    # Too short to have a tag; what came of it is answered as it stands.
                    m.d.sync += [
                        self.beats.eq(0),
                        self.status.eq(Status.BAD_LENGTH),
                        header.eq(0),
                    ]
                    m.next = "RESPOND"
        if compact:
            with m.State("CHECK"):
                # A full turn of the header past the CRC leaves it as it was.
                last = self.halfwords == HEADER_WORDS - 1
                m.d.sync += [
                    header.eq(header.rotate_right(16)),
                    self.halfwords.eq(self.halfwords + 1),
                ]
                m.d.comb += crc.valid.eq(~last)
                with m.If(last):
                    m.next = "JUDGE"

    def _execute(self, m: Module, crc: HeaderCrc):
        """What the command asks for, once it may be done; then the packet's next one, if any."""
        interlock, runs, problem = self.interlock, self.queued, self.judge.problem
        unpacker, tensors = self.unpacker, self.tensors
        done = Signal()
        with m.State("EXECUTE"):
            m.d.sync += self.status.eq(problem)
            with m.If(problem != Status.OK):
                m.next = "DISCARD"
            with m.Else(), m.Switch(self._opcode):
                with m.Case(Opcode.LOAD), m.If(~self.page_busy & ~self.filling):
                    m.d.comb += unpacker.start.eq(1)
                    m.next = "PAYLOAD"
                with m.Case(Opcode.SETTINGS), m.If(~self.settings_busy & ~self.setting):
                    # An epilogue's columns share a memory: one of them a cycle.
                    last = self.place == self.config.columns_per_epilogue - 1
                    m.d.comb += [self.settings.valid.eq(1), done.eq(~self._every_column | last)]
                    m.d.sync += self.place.eq(Mux(done, 0, self.place + 1))
                with m.Case(Opcode.RUN):
                    m.d.comb += [
                        runs.valid.eq(~self.full),
                        interlock.acquire.valid.eq(runs.valid & runs.ready),
                        done.eq(interlock.acquire.valid),
                    ]
                with m.Case(Opcode.SYNC):
                    m.d.comb += done.eq(self.idle & ~self.working)
                    if tensors:
                        m.d.comb += self.syncs.eq(~done)
                if tensors:
                    with m.Default():
                        m.d.comb += [tensors.begin.eq(1), done.eq(tensors.begun)]
            with m.If(done):
                m.d.comb += crc.clear.eq(1)
                m.next = "HEADER"
                with m.If(self.ended):
                    m.next = "RESPOND"
                if tensors:
                    with m.Elif(self._opcode == Opcode.WRITE):
                        m.next = "PAYLOAD"
        with m.State("PAYLOAD"):
            m.d.comb += [unpacker.i.valid.eq(self.i.valid), self.i.ready.eq(unpacker.i.ready)]
            end = {name: getattr(unpacker, name) for name in ("done", "ended", "bad_length")}
            if tensors:
                # Of the two, one is at work.
                m.d.comb += [
                    tensors.i.valid.eq(self.i.valid),
                    self.i.ready.eq(unpacker.i.ready | tensors.i.ready),
                ]
                writes = self._opcode == Opcode.WRITE
                end = {n: Mux(writes, getattr(tensors, n), value) for n, value in end.items()}
            with m.If(end["done"]):
                m.d.sync += self.ended.eq(end["ended"])
                with m.If(end["bad_length"]):
                    m.d.sync += self.status.eq(Status.BAD_LENGTH)
                with m.Elif(unpacker.bad_schedule & (self._opcode == Opcode.LOAD)):
                    m.d.sync += self.status.eq(Status.BAD_SCHEDULE)
                m.next = "DISCARD"

    def _finish(self, m: Module, crc: HeaderCrc):
        """The rest of the packet away, and the answer."""
        with m.State("DISCARD"):
            m.d.comb += self.i.ready.eq(~self.ended)
            with m.If(self.i.valid & self.i.payload.last):
                m.d.sync += self.ended.eq(1)
            with m.If(self.ended):
                m.next = "RESPOND"
        with m.State("RESPOND"):
            m.d.comb += [self.responses.i.valid.eq(1), crc.clear.eq(1)]
            with m.If(self.responses.i.ready):
                m.d.comb += [self.answered.eq(1), self.errored.eq(self.status != Status.OK)]
                m.next = "HEADER"

    def _run_of(self, asked):
        """A RUN's header as layouts.RUN, which has as many bits of a page as there are; what it
        holds is to be added."""
        layout = RUN(self.config)
        page = asked.settings_page[: page_bits(self.config)]
        side = (asked.addend, asked.mask) if self.config.tensor_words else ()
        where = (getattr(asked, name) for name in layout.members if name not in ("mode", "hold"))
        held = [Const(0, HOLD(self.config).size)] if self.config.training else []
        return layout(Cat(asked.finish, asked.relu, asked.output, page, *side, *where, *held))

    def _settings_page(self, entry):
        """The page of an entry that exists: its number divided by T, rounded down."""
        contexts, pages = self.config.interleave, self.config.settings_pages
        if contexts & (contexts - 1):
            return sum(entry >= page * contexts for page in range(1, pages))
        return entry[contexts.bit_length() - 1 :][: page_bits(self.config)]
