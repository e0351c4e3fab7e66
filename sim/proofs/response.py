"""RowReader and ResponseWriter: a header for each response and then its rows, all of them, once."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ...hw.config import Config
from ...hw.control.response import ResponseWriter
from ...hw.formats import ROUNDED
from ...hw.isa.header import CHECKED_BYTES
from ...hw.layouts.stream import RESPONSE
from ...hw.lib.crc import HeaderCrc
from ...hw.output.row_reader import RowReader
from .claims import Chosen, ends_within


class ChosenCrc(Chosen, HeaderCrc):
    """No claim speaks of a header's CRC."""


class ResponseProof(wiring.Component):
    """Any responses, rows and pauses on all sides."""

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "offered": In(1),
                "response": In(RESPONSE(config)),
                "row_there": In(1),
                "results": In(32).array(config.columns),
                "flags": In(8),
                "ready": In(1),
                "word_there": In(1),
                "word": In(8 * config.stream_bytes),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.writer = writer = ResponseWriter(config, ChosenCrc(8 * CHECKED_BYTES))
        m.submodules.reader = reader = RowReader(config)
        wiring.connect(m, reader.host, writer.row)
        m.d.comb += [
            Assert(~writer.wanted.valid | reader.wanted.ready),
            reader.wanted.valid.eq(writer.wanted.valid),
            reader.wanted.payload.rows.eq(writer.wanted.payload.rows),
            reader.wanted.payload.format.eq(writer.wanted.payload.format),
            writer.response.valid.eq(self.offered),
            writer.response.payload.eq(self.response),
            writer.flags.eq(self.flags),
            writer.o.ready.eq(self.ready),
            # Outputs are of a format that exists (the sequencer refuses others).
            Assume(self.response.format <= max(ROUNDED)),
        ]
        # Rows that are there and wait to be taken.
        waiting = Signal(8)
        m.d.comb += [
            reader.row_there.eq(self.row_there),
            *(to.eq(result) for to, result in zip(reader.columns, self.results, strict=True)),
        ]
        m.d.sync += waiting.eq(waiting + self.row_there - reader.row_taken)
        started = self.offered & writer.response.ready
        # The queue that beats leave through is a Fifo, which has its own proof.
        sent, beat = writer.queue.i.valid, writer.queue.i.payload.beat

        # What is being answered, the beats to come, and the rows still to be fetched.
        active, response = Signal(), Signal(RESPONSE(config))
        head, beats, rows = Signal(8), Signal(40), Signal(32)
        row_beats, later_beats = Signal(8), Signal(8)
        for format, width in ((self.response.format, row_beats), (response.format, later_beats)):
            with m.Switch(format):
                for output in ROUNDED:
                    with m.Case(output):
                        m.d.comb += width.eq(config.row_beats(output))
        total = (config.header_beats + self.response.rows * row_beats)[: len(beats)]
        memory = Const(0)
        if config.tensor_words:
            memory = response.memory
            self._words(m, writer, started)
            with m.If(self.response.memory):
                m.d.comb += [row_beats.eq(1), Assume(self.response.rows != 0)]
        # The row that is being sent.
        row, place = Signal(32 * config.columns), Signal(8)
        packed = Signal.like(row)
        with m.Switch(response.format):
            for output in ROUNDED:
                with m.Case(output):
                    m.d.comb += packed.eq(Cat(r[: 8 * output.bytes] for r in self.results))
        m.d.comb += [
            # Rows must be few for the product above to be cheap.
            Assume(self.response.rows < 3),
            Assert(~started | ~active),
            Assert(~sent | (active & writer.queue.i.ready)),
            Assert(~reader.row_taken | (active & (rows != 0) & (waiting != 0))),
        ]
        with m.If(started):
            m.d.sync += [
                active.eq(1),
                response.eq(self.response),
                head.eq(0),
                beats.eq(total),
                rows.eq(self.response.rows),
            ]
            if config.tensor_words:
                with m.If(self.response.memory):
                    m.d.sync += rows.eq(0)
        with m.If(reader.row_taken):
            m.d.sync += [rows.eq(rows - 1), row.eq(packed), place.eq(0)]
        with m.If(sent):
            bits = 8 * config.stream_bytes
            m.d.sync += [beats.eq(beats - 1), head.eq(Mux(head == 255, head, head + 1))]
            m.d.comb += [
                Assert(beats != 0),
                Assert(beat.last == (beats == 1)),
                Cover(beat.last & (response.rows == 2)),
            ]
            with m.If(head == 0):
                first = Cat(response.opcode, response.tag, response.status)
                m.d.comb += Assert(beat.data[: len(first)] == first)
            with m.If((head >= config.header_beats) & memory):
                m.d.comb += Assert(beat.data == self.word)
                if config.tensor_words:
                    m.d.comb += Assert(writer.beats.ready)
            with m.Elif(head >= config.header_beats):
                m.d.comb += Assert(beat.data == (row >> (place * bits)[:16])[:bits])
                with m.If(~reader.row_taken):
                    m.d.sync += place.eq(place + 1)
            with m.If(beat.last):
                m.d.sync += active.eq(0)
                m.d.comb += Assert(rows == 0)
        # No deadlock: with rows there, a beat is offered soon after the one before.
        there = Mux(memory, self.word_there, waiting != 0)
        ends_within(m, active & there & ~writer.o.valid, 6)
        return m

    def _words(self, m: Module, writer: ResponseWriter, started):
        """A memory that gives the words that are asked for, one after another, when it likes."""
        coming = Signal(32)
        beat = writer.beats.payload
        begun = writer.words.valid & started
        m.d.comb += [
            writer.words.ready.eq(coming == 0),
            writer.beats.valid.eq(self.word_there & (coming != 0)),
            beat.data.eq(self.word),
            beat.last.eq(coming == 1),
            Assert(begun == (started & self.response.memory)),
            Assert(~begun | (coming == 0)),
            Cover(coming == 2),
        ]
        with m.If(writer.beats.valid & writer.beats.ready):
            m.d.sync += coming.eq(coming - 1)
        with m.If(begun):
            m.d.comb += [
                Assert(writer.words.payload.count == self.response.rows),
                Assert(writer.words.payload.address == self.response.address),
            ]
            m.d.sync += coming.eq(self.response.rows)
