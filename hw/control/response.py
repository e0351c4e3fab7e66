"""The response writer: for each command a header, for each finished RUN its rows, for each READ
its words."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..formats import OutputFormat
from ..isa.commands import HEADER_WORDS
from ..layouts import RESPONSE, WORDS, beat
from ..lib.crc import HeaderCrc
from ..lib.fifo import Fifo

FILLED = 5
"""Halfwords that a header begins with; zeros follow, then the CRC. Divides what the CRC covers."""
AHEAD = 4
"""Beats that wait for the host: so many that one a cycle can leave."""


class ResponseWriter(wiring.Component):
    """Write responses in the order of the commands.

    Latency: about 20 cycles from a response to its header, while the array still works on its
    rows. Throughput: one beat a cycle; a row takes as many beats as its C outputs fill. Stall
    rule: waits for the host, and for the columns' rows; never interleaves two packets.

    The request for a row comes from a register and is made a cycle before the row is needed,
    because the columns are many and far away on the chip. Whether the row will fit must be known
    by then, so beats leave through a queue whose free places the writer counts itself.

    Members
    -------
    response : In stream of layouts.RESPONSE
    row_there : In(1), one more row of results is complete; rows stay until they are taken
    columns : C x In(32), the results of the row that is next, narrow formats in the low bits
    row_taken : Out(1), the row is taken in this cycle; the next one is there in the one after
    flags : In(8), the sticky flags, for the header
    o : Out stream of layouts.beat
    last_output : Out(1), the last beat of a row has been taken

    With tensor memory also

    words : Out stream of layouts.WORDS, what a READ wants
    beats : In stream of layouts.beat, those words, in time
    """

    def __init__(self, config: Config):
        self.config = config
        leaving = data.StructLayout({"beat": beat(config), "ends_row": 1})
        self.queue = Fifo(leaving, config.queue(AHEAD))
        memory = {
            "words": Out(stream.Signature(WORDS(config))),
            "beats": In(stream.Signature(beat(config))),
        }
        super().__init__(
            {
                "response": In(stream.Signature(RESPONSE(config))),
                "row_there": In(1),
                "columns": In(32).array(config.columns),
                "row_taken": Out(1),
                "flags": In(8),
                "o": Out(stream.Signature(beat(config))),
                "last_output": Out(1),
            }
            | (memory if config.tensor_words else {})
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        beat_bits = 8 * config.stream_bytes
        m.submodules.crc = crc = HeaderCrc()
        m.submodules.queue = queue = self.queue
        # Whether a beat may enter the queue, now and in the next cycle; what leaves is a surprise.
        go, go_next = Signal(init=1), Signal()
        offer = Signal()
        if queue.depth:
            m.d.comb += [
                go_next.eq(queue.level + (offer & go) < queue.depth),
                queue.i.valid.eq(offer & go),
            ]
            m.d.sync += go.eq(go_next)
        else:
            m.d.comb += [go.eq(queue.i.ready), queue.i.valid.eq(offer)]
        m.d.comb += [
            self.o.valid.eq(queue.o.valid),
            self.o.payload.eq(queue.o.payload.beat),
            queue.o.ready.eq(self.o.ready),
            self.last_output.eq(queue.o.valid & queue.o.ready & queue.o.payload.ends_row),
        ]

        header = Signal(16 * FILLED, reset_less=True)
        whole = Cat(header, Const(0, 16 * (HEADER_WORDS - 1 - FILLED)), crc.crc)
        halfwords = Signal(range(HEADER_WORDS))
        beats = Signal(range(config.header_beats))
        rows, more = Signal(32), Signal()  # rows to ask for; `more`: not zero
        format = Signal(2)
        memory = Signal()  # what follows the header are words, not rows
        m.d.comb += crc.halfword.eq(Mux(halfwords < FILLED, header[:16], 0))
        row, row_ended = self._rows(m, more, format, go, go_next)

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
                    format.eq(response.format),
                    halfwords.eq(0),
                    beats.eq(0),
                ]
                if config.tensor_words:
                    # What was wanted before has come whole, so this is taken.
                    m.d.comb += [
                        self.words.valid.eq(self.response.valid & response.memory),
                        self.words.payload.address.eq(response.address),
                        self.words.payload.count.eq(response.rows),
                    ]
                    m.d.sync += memory.eq(response.memory)
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
                    offer.eq(1),
                    queue.i.payload.beat.data.eq(whole.word_select(beats, beat_bits)),
                    queue.i.payload.beat.last.eq(final & (rows == 0)),
                ]
                with m.If(go):
                    m.d.sync += beats.eq(beats + 1)
                    with m.If(final):
                        m.next = "IDLE"
                        with m.If(rows != 0):
                            m.d.sync += more.eq(~memory)
                            m.next = "ROWS"
                            if config.tensor_words:
                                with m.If(memory):
                                    m.next = "WORDS"
            with m.State("ROWS"):
                m.d.comb += [
                    offer.eq(row["valid"]),
                    queue.i.payload.beat.data.eq(row["data"]),
                    queue.i.payload.beat.last.eq(row["last"] & row["final"]),
                    queue.i.payload.ends_row.eq(row["last"]),
                ]
                with m.If(row["asked"]):
                    m.d.sync += [rows.eq(rows - 1), more.eq(rows != 1)]
                with m.If(row_ended & row["final"]):
                    m.next = "IDLE"
            if config.tensor_words:
                with m.State("WORDS"):
                    m.d.comb += [
                        offer.eq(self.beats.valid),
                        queue.i.payload.beat.eq(self.beats.payload),
                        self.beats.ready.eq(go),
                    ]
                    with m.If(self.beats.valid & go & self.beats.payload.last):
                        m.next = "IDLE"
        return m

    def _rows(self, m: Module, more, format, go, go_next):
        """Ask for rows while there are `more`, and show the one that is here, beat by beat.

        Returns what the row's beat is, and whether the row's last beat leaves in this cycle.
        """
        config = self.config
        beat_bits = 8 * config.stream_bytes
        per_row = {output: config.row_beats(output) for output in OutputFormat}
        row = Signal(beat_bits * per_row[OutputFormat.FP32], reset_less=True)
        valid, last, final = Signal(), Signal(), Signal()
        left = Signal(range(max(per_row.values())))  # beats after the next one
        packed = Signal.like(row)
        beats = Signal.like(left)
        with m.Switch(format):
            for kind in OutputFormat:
                with m.Case(kind):
                    results = Cat(column[: 8 * kind.bytes] for column in self.columns)
                    m.d.comb += [packed.eq(results), beats.eq(per_row[kind] - 1)]

        # What the row will be in the next cycle, to ask for the row after it in time.
        leaves = valid & go
        ended = leaves & last
        valid_next, last_next = Signal(), Signal()
        m.d.comb += [
            valid_next.eq(self.row_taken | (valid & ~ended)),
            last_next.eq(Mux(self.row_taken, beats == 0, Mux(leaves, left == 0, last))),
        ]
        m.d.sync += [valid.eq(valid_next), last.eq(last_next)]
        with m.If(self.row_taken):
            m.d.sync += [row.eq(packed), left.eq(beats - 1), final.eq(~more)]
        with m.Elif(leaves):
            m.d.sync += [row.eq(row[beat_bits:]), left.eq(left - 1)]

        there = Signal(range(config.output_depth + 1))
        some, several = Signal(), Signal()
        asked = Signal()
        there_next = Signal.like(there)
        m.d.comb += [
            # The row that is taken in this cycle is still among those that are there.
            asked.eq(
                more & Mux(self.row_taken, several, some) & (~valid_next | (go_next & last_next))
            ),
            there_next.eq(there + self.row_there - self.row_taken),
        ]
        m.d.sync += [
            self.row_taken.eq(asked),
            there.eq(there_next),
            some.eq(there_next != 0),
            several.eq(there_next > 1),
        ]
        beat = {"valid": valid, "last": last, "final": final, "data": row[:beat_bits]}
        return beat | {"asked": asked}, ended
