"""The response writer: for each command a header, for each finished RUN its rows, for each READ
its words."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..isa.header import CHECKED_BYTES, HEADER_WORDS
from ..layouts.output import OUTPUT, ROW
from ..layouts.stream import RESPONSE, beat
from ..layouts.tensor import WORDS
from ..lib.crc import HeaderCrc
from ..lib.fifo import Fifo

FILLED = 5
"""Halfwords that a header begins with; zeros follow, then the CRC. Divides what the CRC covers."""
AHEAD = 4
"""Beats that wait for the host: so many that one a cycle can leave."""


class ResponseWriter(wiring.Component):
    """Write responses in the order of the commands.

    Latency: 3 cycles from a response to its header (17 if the device is `compact`), while the array
    still works on its rows. Throughput: one beat a cycle; a row takes as many beats as its C
    outputs fill; 2 cycles (16) from an answer to the next one's header. Stall
    rule: waits for the host, and for the columns' rows; never interleaves two packets.

    Whether a row's beat will fit must be known a cycle ahead (`output.row_reader`), so beats leave
    through a queue whose free places the writer counts itself.

    Members
    -------
    response : In stream of layouts.RESPONSE
    wanted : Out stream of layouts.OUTPUT, the rows that follow a header; taken at once. With tensor
        memory the row reader has them from elsewhere: some rows are for the memory.
    row : In(layouts.ROW), those rows
    flags : In(8), the sticky flags, for the header
    o : Out stream of layouts.beat
    last_output : Out(1), the last beat of a row has been taken

    With tensor memory also

    words : Out stream of layouts.WORDS, what a READ wants
    beats : In stream of layouts.beat, those words, in time

    With external memory also

    external : In stream of layouts.beat, its words for a READ, which come by themselves
    """

    def __init__(self, config: Config, crc: HeaderCrc | None = None):
        self.config = config
        self.crc = crc or HeaderCrc(16 if config.compact else 8 * CHECKED_BYTES)
        leaving = data.StructLayout({"beat": beat(config), "ends_row": 1})
        self.queue = Fifo(leaving, config.queue(AHEAD))
        memory = {
            "words": Out(stream.Signature(WORDS(config))),
            "beats": In(stream.Signature(beat(config))),
        }
        external = {"external": In(stream.Signature(beat(config)))}
        super().__init__(
            {
                "response": In(stream.Signature(RESPONSE(config))),
                "wanted": Out(stream.Signature(OUTPUT(config))),
                "row": In(ROW(config)),
                "flags": In(8),
                "o": Out(stream.Signature(beat(config))),
                "last_output": Out(1),
            }
            | (memory if config.tensor_words else {})
            | (external if config.external_bits else {})
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        beat_bits = 8 * config.stream_bytes
        m.submodules.crc = crc = self.crc
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
        step = Signal(range(HEADER_WORDS))
        beats = Signal(range(config.header_beats))
        more, format = Signal(), Signal(2)  # `more`: something follows the header
        memory = Signal()  # and that are words, not rows
        external = Signal()  # and these words are external memory's
        row, sending = self.row, Signal()
        m.d.comb += [
            crc.data.eq(Mux(step < FILLED, header, 0)),
            self.wanted.payload.rows.eq(header[32:]),
            self.wanted.payload.format.eq(format),
            row.go.eq(sending & go),
            # Of the row that comes after the last of this answer nothing is known yet.
            row.go_next.eq(sending & go_next & ~(row.valid & row.last & row.final)),
        ]

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
                    more.eq(response.rows != 0),
                    format.eq(response.format),
                    step.eq(0),
                    beats.eq(0),
                ]
                if config.tensor_words:
                    wants = response.memory
                    if config.external_bits:
                        m.d.sync += external.eq(response.external)
                        wants &= ~response.external
                    # What was wanted before has come whole, so this is taken.
                    m.d.comb += [
                        self.words.valid.eq(self.response.valid & wants),
                        self.words.payload.address.eq(response.address),
                        self.words.payload.count.eq(response.rows),
                    ]
                    m.d.sync += memory.eq(response.memory)
                with m.If(self.response.valid):
                    m.next = "CHECK"
            with m.State("CHECK"):
                # When the CRC is whole, what the header begins with has made full turns.
                taken = crc.bits // 16
                m.d.comb += crc.valid.eq(1)
                m.d.sync += [
                    step.eq(step + taken),
                    header.eq(header.rotate_right(crc.bits % len(header))),
                ]
                with m.If(step == HEADER_WORDS - 1 - taken):
                    m.next = "HEADER"
            with m.State("HEADER"):
                final = beats == config.header_beats - 1
                m.d.comb += [
                    offer.eq(1),
                    queue.i.payload.beat.data.eq(whole.word_select(beats, beat_bits)),
                    queue.i.payload.beat.last.eq(final & ~more),
                ]
                with m.If(go):
                    m.d.sync += beats.eq(beats + 1)
                    with m.If(final):
                        m.next = "IDLE"
                        with m.If(more):
                            m.next = "ROWS"
                            m.d.comb += self.wanted.valid.eq(~memory)
                            if config.tensor_words:
                                with m.If(memory):
                                    m.next = "WORDS"
            with m.State("ROWS"):
                m.d.comb += [
                    sending.eq(1),
                    offer.eq(row.valid),
                    queue.i.payload.beat.data.eq(row.data[:beat_bits]),
                    queue.i.payload.beat.last.eq(row.last & row.final),
                    queue.i.payload.ends_row.eq(row.last),
                ]
                with m.If(row.valid & go & row.last & row.final):
                    m.next = "IDLE"
            if config.tensor_words:
                sources = {"beats": ~external}
                if config.external_bits:
                    sources["external"] = external
                with m.State("WORDS"):
                    for name, chosen in sources.items():
                        words = getattr(self, name)
                        with m.If(chosen):
                            m.d.comb += [
                                offer.eq(words.valid),
                                queue.i.payload.beat.eq(words.payload),
                                words.ready.eq(go),
                            ]
                            with m.If(words.valid & go & words.payload.last):
                                m.next = "IDLE"
        return m
