"""The response writer: for each command a header, for each finished RUN its rows."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .commands import HEADER_WORDS, OutputFormat
from .config import Config
from .crc import HeaderCrc
from .layouts import RESPONSE, beat

FILLED = 5
"""Halfwords that a header begins with; zeros follow, then the CRC. Divides what the CRC covers."""


class ResponseWriter(wiring.Component):
    """Write responses in the order of the commands.

    Latency: about 18 cycles from a response to its header, while the array still works on its
    rows. Throughput: one beat a cycle; a row takes as many beats as its C outputs fill. Stall
    rule: waits for the host, and for the columns' rows; never interleaves two packets.

    Members
    -------
    response : In stream of layouts.RESPONSE
    columns : C In streams of 32-bit results, narrow formats in the low bits
    flags : In(8), the sticky flags, for the header
    o : Out stream of layouts.beat
    row_taken : Out(1), a row has left the columns' buffers
    last_output : Out(1), the last beat of a row has been taken
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "response": In(stream.Signature(RESPONSE)),
                "columns": In(stream.Signature(32)).array(config.columns),
                "flags": In(8),
                "o": Out(stream.Signature(beat(config))),
                "row_taken": Out(1),
                "last_output": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        beat_bits = 8 * config.stream_bytes
        m.submodules.crc = crc = HeaderCrc()

        header = Signal(16 * FILLED)
        whole = Cat(header, Const(0, 16 * (HEADER_WORDS - 1 - FILLED)), crc.crc)
        per_row = {output: config.row_beats(output) for output in OutputFormat}
        row = Signal(beat_bits * per_row[OutputFormat.FP32])
        row_valid = Signal()
        beats = Signal(range(max(config.header_beats, *per_row.values())))
        halfwords = Signal(range(HEADER_WORDS))
        rows, more = Signal(32), Signal()  # `more`: not zero
        format = Signal(2)

        packed = Signal.like(row)
        last_beat = Signal()
        with m.Switch(format):
            for kind in OutputFormat:
                with m.Case(kind):
                    bits = 8 * kind.bytes
                    m.d.comb += [
                        packed.eq(Cat(column.payload[:bits] for column in self.columns)),
                        last_beat.eq(beats == per_row[kind] - 1),
                    ]
        ready = Cat(column.valid for column in self.columns).all()
        m.d.comb += [column.ready.eq(self.row_taken) for column in self.columns]
        m.d.comb += crc.halfword.eq(Mux(halfwords < FILLED, header[:16], 0))

        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [self.response.ready.eq(1), crc.clear.eq(1)]
                response = self.response.payload
                m.d.sync += [
                    header.eq(
                        Cat(
                            response.opcode,
                            response.tag,
                            response.status,
                            response.rows,
                            self.flags,
                        )
                    ),
                    rows.eq(response.rows),
                    more.eq(response.rows != 0),
                    format.eq(response.format),
                    halfwords.eq(0),
                    beats.eq(0),
                ]
                with m.If(self.response.valid):
                    m.next = "CHECK"
            with m.State("CHECK"):
                # When the CRC is whole, what the header begins with has made full turns.
                final = halfwords == HEADER_WORDS - 1
                m.d.comb += crc.valid.eq(~final)
                m.d.sync += halfwords.eq(halfwords + 1)
                with m.If(final):
                    m.next = "HEADER"
                with m.Else():
                    m.d.sync += header.eq(header.rotate_right(16))
            with m.State("HEADER"):
                final = beats == config.header_beats - 1
                m.d.comb += [
                    self.o.valid.eq(1),
                    self.o.payload.data.eq(whole.word_select(beats, beat_bits)),
                    self.o.payload.last.eq(final & ~more),
                ]
                with m.If(self.o.ready):
                    m.d.sync += beats.eq(Mux(final, 0, beats + 1))
                    with m.If(final):
                        m.next = "ROWS"
                        with m.If(~more):
                            m.next = "IDLE"
            with m.State("ROWS"):
                row_done = row_valid & self.o.ready & last_beat
                m.d.comb += [
                    self.o.valid.eq(row_valid),
                    self.o.payload.data.eq(row),
                    self.o.payload.last.eq(last_beat & ~more),
                    self.row_taken.eq(ready & more & (~row_valid | row_done)),
                    self.last_output.eq(row_done),
                ]
                with m.If(row_valid & self.o.ready):
                    m.d.sync += [row.eq(row[beat_bits:]), beats.eq(Mux(last_beat, 0, beats + 1))]
                    with m.If(last_beat):
                        m.d.sync += row_valid.eq(0)
                with m.If(self.row_taken):
                    m.d.sync += [
                        row.eq(packed),
                        row_valid.eq(1),
                        rows.eq(rows - 1),
                        more.eq(rows != 1),
                    ]
                with m.If(row_done & ~more):
                    m.next = "IDLE"
        return m
