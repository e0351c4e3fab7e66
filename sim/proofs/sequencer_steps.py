"""Sequencer: from any state it can be in, a command goes on to its one answer.

The unpacker is the solver's choice, within what its own proof (`unpacker.py`) says of it.
"""

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ...hw.buffers.payload import PayloadUnpacker
from ...hw.config import HEADER_BYTES, Config
from ...hw.control.sequencer import ANSWERS_AHEAD, Sequencer
from ...hw.isa.codes import Opcode, Status, Target
from ...hw.isa.commands import WITH_PAYLOAD, opcodes
from ...hw.isa.engines import PLACES, Engine
from ...hw.isa.header import HEADER_WORDS
from ...hw.isa.maps import address_bits
from ...hw.layouts.array import RELEASE, RELEASE_SETTINGS
from .claims import Chosen, during, elaborated, falls, ranking
from .sequencer import surround, surroundings

STEPS = ("HEADER", "RESPOND", "DISCARD", "PAYLOAD", "EXECUTE", "JUDGE", "CHECK")
"""A command's way through the states, from its end: it only ever goes down this list. Only a
compact device has a CHECK."""
TENSOR_COMMANDS = (
    *(Opcode.WRITE, Opcode.READ, Opcode.FILL, Opcode.ROWS),
    *(Opcode.IMAGE, Opcode.SIDE),
)
HELD_AS = {
    Target.ACTIVATIONS: "activations",
    Target.SCHEDULE: "schedule",
    Target.INDICES: "weights",
    Target.VALUES: "weights",
}
"""The pages that a LOAD writes, as a RUN holds them."""


WORDS = {
    Opcode.LOAD: ("opcode", "target", "address", "count"),
    Opcode.SETTINGS: ("opcode", "column", "entry"),
    Opcode.WRITE: ("opcode", "address", "address_high", "count", "count_high"),
    Opcode.READ: ("opcode", "address", "address_high", "count", "count_high"),
}
"""Halfwords of a header that are spoken of here."""


class ChosenUnpacker(Chosen, PayloadUnpacker):
    pass


class SequencerSteps(wiring.Component):
    """Any packets with any pauses on all sides; RUNs end when they like, or never."""

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                **surroundings(config),
                "release": In(RELEASE(config)),
                "release_settings": In(RELEASE_SETTINGS(config)),
                "takes": In(1),
                "done": In(1),
                "bad_length": In(1),
                "bad_schedule": In(1),
                "read_done": In(1),
                "finished": In(PLACES),
            }
        )
        self.memory = bool(config.tensor_words)

    def elaborate(self, platform):
        m = Module()
        unpacker = ChosenUnpacker(self.config)
        s = self.sequencer = Sequencer(self.config, unpacker)
        m.submodules.sequencer = elaborated(s)
        wiring.connect(m, wiring.flipped(self.release), s.release)
        wiring.connect(m, wiring.flipped(self.release_settings), s.release_settings)
        surround(m, self, s)
        m.d.comb += Assert(s.fsm.state < len(s.fsm.encoding))
        whole = self._packet(m, unpacker)
        self._progress(m, unpacker)
        self._pages(m, unpacker)
        self._deeds(m, unpacker, whole)
        if self.memory:
            self._words(m)
            self._moves(m)
        return m

    def during(self, *names: str) -> Value:
        there = [name for name in names if self.config.compact or name != "CHECK"]
        return during(self.sequencer.fsm, *there) if there else Const(0)

    def _words(self, m: Module):
        """A WRITE waits for the READs before it, and what both say reaches tensor memory."""
        s, t = self.sequencer, self.sequencer.tensors
        writer, ok = t.writer, s.status == Status.OK
        opcode, answer = s.header[:8], s.responses.i.payload
        writes = self.during("PAYLOAD") & (opcode == Opcode.WRITE)
        m.d.comb += [
            s.read_done.eq(self.read_done),
            Assume(~self.read_done | (s.tensors.reads != 0)),
            # As many wait for the response writer as the queue holds, and it has one.
            Assume(s.tensors.reads < ANSWERS_AHEAD + 2),
            Assert(writer.active == writes),
            Assert(~writer.start | (s.tensors.reads == 0)),
        ]
        with m.If(writer.start):
            m.d.comb += [
                Assert(writer.words.address == s.header[16:48][: len(writer.words.address)]),
                Assert(writer.words.count == s.header[48:80][: len(writer.words.count)]),
            ]
        with m.If(writes):
            m.d.comb += [
                Assert(s.i.ready),
                Assert(writer.i.valid == s.i.valid),
                Assert(Value.cast(writer.i.payload) == Value.cast(s.i.payload)),
            ]
        with m.If(self.during("RESPOND")):
            reads = ok & (opcode == Opcode.READ)
            m.d.comb += [
                Assert(answer.memory == reads),
                Assert(~reads | (answer.rows == s.header[48:80])),
                Assert(answer.address == s.header[16:48][: len(answer.address)]),
            ]
        before, begun, ended = Signal.like(s.tensors.reads), Signal(), Signal()
        m.d.sync += [
            before.eq(s.tensors.reads),
            begun.eq(self.during("RESPOND") & s.responses.i.ready & answer.memory),
            ended.eq(self.read_done),
        ]
        with m.If(begun | ended):
            m.d.comb += Assert(s.tensors.reads == (before + begun - ended)[: len(before)])

    def _moves(self, m: Module):
        """FILLs, ROWS and IMAGEs are queued once, and nobody works beside them who must not."""
        s, t = self.sequencer, self.sequencer.tensors
        opcode, working = s.header[:8], t.dispatcher.working
        good = self.during("EXECUTE") & (s.judge.problem == Status.OK)
        moved, moves = Signal(2), Signal(2)
        m.d.comb += s.finished.eq(self.finished)
        walks = (opcode == Opcode.ROWS) | (opcode == Opcode.IMAGE)
        for number, (mine, queue) in enumerate(
            ((opcode == Opcode.FILL, t.dispatcher.fills), (walks, t.dispatcher.rows))
        ):
            m.d.comb += [
                moves[number].eq(queue.valid & queue.ready),
                Assert(~queue.valid | (good & mine & ~moved[number])),
            ]
            with m.If(self.during("RESPOND")):
                m.d.comb += Assert(moved[number] == ((s.status == Status.OK) & mine))
            with m.Elif(~self.during("HEADER")):
                m.d.comb += Assert(~moved[number])
        m.d.sync += moved.eq(Mux(self.during("HEADER"), 0, moved | moves))
        filling, storing = working[Engine.FILL] | working[Engine.ROWS], working[Engine.STORE]
        begins = good & t.begun
        m.d.comb += [
            Assert(s.filling == filling),
            Assert(s.working == working.any()),
            Assert(~(t.writer.start | s.unpacker.start) | ~filling),
            Assert(~t.writer.start | ~storing),
            Assert(~(begins & (opcode == Opcode.READ)) | ~storing),
        ]

    def _packet(self, m: Module, unpacker) -> Signal:
        """A packet's beats are taken up to its last, and none before its answer."""
        s = self.sequencer
        taken = s.i.valid & s.i.ready
        answered = self.during("RESPOND") & s.responses.i.ready
        # Whether the header is whole and the packet has ended, and the header's first two bytes.
        short, whole, last, named = Signal(), Signal(), Signal(), Signal(16)
        m.d.comb += whole.eq(~short & ~self.during("HEADER"))
        with m.If(answered):
            m.d.sync += last.eq(0)
        with m.Elif(taken):
            m.d.sync += last.eq(self.payload.last)
            with m.If(self.during("HEADER")):
                final = s.beats == self.config.header_beats - 1
                m.d.sync += short.eq(self.payload.last & ~final)
                with m.If(s.beats == 0):
                    m.d.sync += named.eq(self.payload.data[:16])
        # The unpacker takes no beat after the last, and knows at its end whether it had that.
        m.d.comb += [
            unpacker.i.ready.eq(self.takes),
            unpacker.done.eq(self.done),
            unpacker.ended.eq(last),
            unpacker.bad_length.eq(self.bad_length),
            unpacker.bad_schedule.eq(self.bad_schedule),
            Assume(~self.takes | ~(last | self.done)),
            Assert(~taken | ~last),
        ]
        with m.If(self.during("HEADER")):
            m.d.comb += [Assert(s.beats < self.config.header_beats), Assert(~last)]
        with m.Else():
            m.d.comb += [Assert(s.beats == 0), Assert(whole | (self.during("RESPOND") & last))]
        with m.If(self.during("CHECK", "JUDGE", "EXECUTE", "DISCARD")):
            m.d.comb += Assert(s.ended == last)
        with m.If(self.during("RESPOND")):
            m.d.comb += Assert(last)
        if self.memory:
            with m.If(self.during("PAYLOAD") & (s.header[:8] == Opcode.WRITE)):
                m.d.comb += Assert(~last)

        # The header turns past its check, so that its first halfword is found again.
        bits = len(s.i.payload.data)
        with m.If(self.during("HEADER")):
            for beats in range(1, self.config.header_beats):
                with m.If(s.beats == beats):
                    m.d.comb += Assert(s.header[8 * HEADER_BYTES - bits * beats :][:16] == named)
        with m.Elif(self.during("CHECK")):
            m.d.comb += Assert(s.halfwords < HEADER_WORDS)
            for turned in range(HEADER_WORDS):
                with m.If(s.halfwords == turned):
                    at = (HEADER_WORDS - turned) % HEADER_WORDS
                    m.d.comb += Assert(s.header.word_select(at, 16) == named)
        with m.Else():
            m.d.comb += Assert(s.header[:16] == Mux(whole, named, 0))
        return whole

    def _progress(self, m: Module, unpacker):
        """A number that falls, but for what others have to do first."""
        s = self.sequencer
        opcode = s.header[:8]
        good = s.judge.problem == Status.OK
        left = {"CHECK": HEADER_WORDS - s.halfwords, "EXECUTE": self.config.columns - s.place}
        number = ranking(m, self.during, STEPS, left)
        others = {
            "HEADER": 1,  # the host, for as long as it sends no header
            "EXECUTE": good
            & (
                ((opcode == Opcode.LOAD) & (s.page_busy | s.filling))
                | ((opcode == Opcode.SETTINGS) & (s.settings_busy | s.setting))
                | ((opcode == Opcode.RUN) & (s.full | ~s.queued.ready))
                | ((opcode == Opcode.SYNC) & ~(self.idle & ~s.working))
            ),
            "PAYLOAD": ~self.done,  # the unpacker, which waits for the host
            "DISCARD": ~s.ended,
            "RESPOND": ~s.responses.i.ready,
        }
        if self.memory:
            own = Cat(opcode == each for each in TENSOR_COMMANDS).any()
            others["EXECUTE"] |= good & own & ~s.tensors.begun
            others["PAYLOAD"] = ~Mux(opcode == Opcode.WRITE, s.tensors.done, self.done)
        waits = Cat(self.during(name) & waits for name, waits in others.items()).any()
        falls(m, number, ~waits)
        # What the host offers is taken where it is waited for, or is the unpacker's to take.
        with m.If(self.during("HEADER") | (self.during("DISCARD") & ~s.ended)):
            m.d.comb += Assert(s.i.ready)
        with m.If(self.during("PAYLOAD") & (opcode == Opcode.LOAD)):
            m.d.comb += [
                Assert(s.i.ready == unpacker.i.ready),
                Assert(unpacker.i.valid == s.i.valid),
                Assert(Value.cast(unpacker.i.payload) == Value.cast(s.i.payload)),
            ]
        with m.Elif(~self.during("PAYLOAD")):
            m.d.comb += Assert(~unpacker.i.valid)
        with m.If(self.during("EXECUTE") & good):
            known = Cat(opcode == each for each in opcodes(self.config)).any()
            followed = Cat(opcode == each for each in WITH_PAYLOAD).any()
            # Finishes and does not store: bits 0 and 4 of the mode.
            rows = (opcode == Opcode.RUN) & s.header[16] & ~s.header[20]
            m.d.comb += [
                Assert(known),
                Assert(~followed | ~s.ended),
                Assert(~(rows | (opcode == Opcode.READ)) | s.ended),
            ]
        with m.If(~self.during("EXECUTE")):
            m.d.comb += Assert(s.place == 0)

    def _pages(self, m: Module, unpacker):
        """What a RUN holds is waited for and not written; a SYNC waits for all RUNs."""
        s = self.sequencer

        def field(op: Opcode, name: str):
            return s.header.word_select(WORDS[op].index(name), 16)

        # Whether a RUN held it a cycle ago, the page that the command is about.
        page, held_page = Signal(), Signal()
        with m.Switch(field(Opcode.LOAD, "target")):
            for target, bits in address_bits(self.config).items():
                with m.Case(target):
                    which = field(Opcode.LOAD, "address")[bits - 1]
                    busy = getattr(s.interlock.busy, HELD_AS[target])
                    m.d.comb += page.eq(busy.bit_select(which, 1))
        entry, contexts = field(Opcode.SETTINGS, "entry"), self.config.interleave
        settings = Signal()
        for number, busy in enumerate(s.interlock.busy.settings):
            first = number * contexts
            with m.If((entry >= first) & (entry < first + contexts)):
                m.d.comb += settings.eq(busy)
        held_settings, exists, was_full = Signal(), Signal(), Signal()
        judged, alone, synced = Signal(), Signal(), Signal()
        good = self.during("EXECUTE") & (s.judge.problem == Status.OK)
        sync = good & (s.header[:8] == Opcode.SYNC)
        m.d.sync += [
            held_page.eq(page),
            held_settings.eq(settings),
            exists.eq(entry < self.config.settings_entries),
            was_full.eq(s.interlock.full),
            judged.eq(self.during("JUDGE", "EXECUTE")),
            alone.eq(self.idle & ~s.working),
            synced.eq(sync),
        ]
        with m.If(judged & good):
            m.d.comb += [
                Assert((s.header[:8] != Opcode.LOAD) | (s.page_busy == held_page)),
                Assert(~exists | (s.settings_busy == held_settings)),
                Assert(s.full == was_full),
            ]
        m.d.comb += [
            Assert(~unpacker.start | ~held_page),
            Assert(~s.settings.valid | ~held_settings),
            Assert(~s.interlock.acquire.valid | ~was_full),
            Assert(s.interlock.acquire.valid == (s.queued.valid & s.queued.ready)),
        ]
        with m.If(good & (s.header[:8] == Opcode.LOAD)):
            m.d.comb += Assert(field(Opcode.LOAD, "target") <= max(Target))
        with m.If(unpacker.start):
            told = {name: getattr(unpacker, name) for name in ("target", "address", "count")}
            m.d.comb += [Assert(value == field(Opcode.LOAD, name)) for name, value in told.items()]
        with m.If(synced):
            m.d.comb += Assert(self.during("RESPOND", "HEADER") == alone)

    def _deeds(self, m: Module, unpacker, whole: Signal):
        """What is answered with OK was done, once; what is refused at its header was not."""
        s = self.sequencer
        opcode, ok = s.header[:8], s.status == Status.OK
        good = self.during("EXECUTE") & (s.judge.problem == Status.OK)
        payload = opcode == Opcode.LOAD
        starts, ends, bad = unpacker.start, self.done, self.bad_length
        if self.memory:
            writer, writes = s.tensors.writer, opcode == Opcode.WRITE
            payload |= writes
            starts |= writer.start
            ends = Mux(writes, writer.done, ends)
            bad = Mux(writes, writer.bad_length, bad)
            m.d.comb += Assert(~writer.start | (good & writes))
        queued, set_, begun = Signal(), Signal(), Signal()
        queues = s.queued.valid & s.queued.ready
        sets = good & s.settings.valid
        m.d.comb += [
            Assert(~queues | (good & (opcode == Opcode.RUN) & ~queued)),
            Assert(~s.settings.valid | (good & (opcode == Opcode.SETTINGS))),
            Assert(~unpacker.start | (good & (opcode == Opcode.LOAD))),
            Assert(~starts | ~begun),
            Assert(s.responses.i.valid == self.during("RESPOND")),
        ]
        with m.If(self.during("HEADER")):
            m.d.sync += [queued.eq(0), set_.eq(0), begun.eq(0)]
        with m.Else():
            m.d.sync += [
                queued.eq(queued | queues),
                set_.eq(set_ | sets),
                begun.eq(begun | starts),
            ]
        with m.If(self.during("CHECK", "JUDGE")):
            m.d.comb += [Assert(~queued), Assert(~set_), Assert(~begun)]
        with m.If(self.during("EXECUTE")):
            m.d.comb += [
                Assert(~queued),
                Assert(~begun),
                Assert(set_ == (s.place != 0)),
                Assert((s.place == 0) | (good & (opcode == Opcode.SETTINGS))),
            ]
        with m.If(self.during("PAYLOAD")):
            m.d.comb += [Assert(ok), Assert(begun), Assert(payload)]
        with m.If(self.during("PAYLOAD", "DISCARD")):
            m.d.comb += [Assert(~queued), Assert(~set_), Assert(~ok | begun)]
        with m.If(self.during("DISCARD", "RESPOND")):
            m.d.comb += Assert(~begun | payload)
        # What the unpacker said of a LOAD, or the writer of a WRITE.
        dealt, fine = Signal(), Signal()
        with m.If(self.during("PAYLOAD") & ends):
            bad_schedule = (opcode == Opcode.LOAD) & self.bad_schedule
            m.d.sync += [dealt.eq(1), fine.eq(~bad & ~bad_schedule)]
        with m.Elif(self.during("HEADER")):
            m.d.sync += [dealt.eq(0), fine.eq(0)]
        m.d.comb += Assert(~fine | dealt)
        with m.If(~self.during("HEADER")):
            m.d.comb += Assert(~dealt | (begun & self.during("DISCARD", "RESPOND")))
        with m.If(self.during("DISCARD")):
            m.d.comb += [Assert(dealt == begun), Assert(ok == fine)]
        with m.If(self.during("RESPOND")):
            answer = s.responses.i.payload
            m.d.comb += [
                Assert(~payload | (ok == fine)),
                Assert(queued == (ok & (opcode == Opcode.RUN))),
                Assert(set_ == (ok & (opcode == Opcode.SETTINGS))),
                Assert(whole | (s.status == Status.BAD_LENGTH)),
                Assert(answer.status == s.status),
                Assert(Cat(answer.opcode, answer.tag) == s.header[:16]),
            ]
            # Every command is answered with OK, and refused.
            for each in opcodes(self.config):
                m.d.comb += Cover(ok & (opcode == each))
            m.d.comb += Cover(whole & ~ok)
